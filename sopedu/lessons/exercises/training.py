"""Checks for notebook 09_train_live."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.differences import Either
from sopedu.lessons.exercises.judging import Verdict, judge


def check_hours_of_mixtures(function: Callable[[int, int, float], float]) -> Verdict:
    """Hours of mixtures in a training (notebook 09_train_live)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        yield (200, 16, 1.5), 4 / 3
        yield (0, 16, 1.5), 0.0
        for _ in range(10):
            steps, batch, seconds = int(chance.integers(1, 9999)), int(chance.integers(1, 99)), chance.integers(1, 60)
            yield (steps, batch, float(seconds) / 4), sum([float(seconds)] * batch) / 4 / 60 * steps / 60

    hint = "how many mixtures does one step have, and how many seconds has an hour?"
    return judge(function, cases, hint, "each of B solos is mixed with one other, so a step has B mixtures.", 1e-5)


def check_rate_factor(function: Callable[[int, int, int], float]) -> Verdict:
    """Warm-up along a line, then half a cosine (notebook 09_train_live)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        settings = [(step, 100, 10) for step in (0, 5, 9, 10, 55, 99)] + [(0, 20, 0), (19, 20, 0), (0, 6, 5)]
        for _ in range(20):
            steps = int(chance.integers(5, 500))
            settings.append((int(chance.integers(steps)), steps, int(chance.integers(steps))))
        for step, steps, warmup in settings:
            # ½ (1 + cos 2x) = cos² x; np.interp draws the line from step −1, where it would be 0.
            line = float(np.interp(step, [-1, warmup], [0, 1]))
            yield (step, steps, warmup), line * math.cos(math.pi / 2 * max(0, step - warmup) / (steps - warmup)) ** 2

    hint = "two cases: which share of the warm-up is done, or which share of the steps *after* it?"
    return judge(function, cases, hint, "up along a line, down along a cosine, as in sopedu.train.", 1e-6)


def check_diagnosis(function: Callable[[float, float, float], str]) -> Verdict:
    """Diagnose three faults from three measurements, tested in the right order (notebook 09_train_live)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        rows = [(0.18, 1.0, 8.9), (0.000006, 1.0, 0.3), (0.18, 4.9, 0.0), (0.18, 1.0, 0.06), (0.5, 1.4, 3.0)]
        rows += [
            (0.0, 1.0, 5.0),
            (0.2, 3.0, 7.5),
            (0.2, 1.0, -2.0),
            (0.001, 1.0, 4.0),
            (0.3, 2.0, 4.0),
            (0.3, 1.0, 1.0),
        ]
        for _ in range(30):
            rows.append(
                (float(chance.choice([0.0004, 0.3])), float(chance.uniform(0.5, 3.5)), float(chance.uniform(-3, 6)))
            )
        for loudest, weights, gap in rows:
            # Which of these two is asked first does not matter, but both come before the pictures.
            faults = ["input"] * (loudest < 0.001) + ["learning rate"] * (weights > 2)
            named = faults or (["pictures"] if gap < 1 else ["healthy"])
            yield (loudest, weights, gap), Either(named) if len(named) > 1 else named[0]

    hint = "without input, or with exploded weights, the gap says nothing, so ask for it last; −2 dB is below 1 dB, too"
    return judge(function, cases, hint, "first what goes in, then the weights, then the pictures.", 0.0)
