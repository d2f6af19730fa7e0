"""Checks for notebook 09_train_live."""

from __future__ import annotations

from collections.abc import Callable

from sopedu.lessons.exercises.judging import Verdict, judge


def check_hours_of_mixtures(function: Callable[[int, int, float], float]) -> Verdict:
    """Hours of mixtures in a training (notebook 09_train_live)."""
    cases = [((200, 16, 1.5), 4 / 3), ((67_000, 80, 5.944), 67_000 * 80 * 5.944 / 3600), ((0, 16, 1.5), 0.0)]
    hint = "steps times mixtures per step times seconds, in hours of 3600 seconds"
    return judge(function, cases, hint, "each of B solos is mixed with one other, so a step has B mixtures.", 1e-3)


def check_rate_factor(function: Callable[[int, int, int], float]) -> Verdict:
    """Warm-up along a line, then half a cosine (notebook 09_train_live)."""
    from sopedu.config import TrainingConfig
    from sopedu.training.optimizer import rate_factor

    settings = TrainingConfig(steps=100, schedule="cosine", warmup_share=0.1)
    cases = [((step, 100, 10), rate_factor(step, settings)) for step in (0, 5, 9, 10, 55, 99)]
    hint = "below warmup (step + 1) / (warmup + 1), else half of 1 + cos(π · share) of the steps after it"
    return judge(function, cases, hint, "up along a line, down along a cosine, as in sopedu.train.", 1e-6)


def check_diagnosis(function: Callable[[float, float, float], str]) -> Verdict:
    """Diagnose three faults from three measurements, tested in the right order (notebook 09_train_live)."""
    cases = [
        ((0.18, 1.0, 8.9), "healthy"),
        ((0.000006, 1.0, 0.3), "input"),
        ((0.18, 4.9, 0.0), "learning rate"),
        ((0.18, 1.0, 0.06), "pictures"),
        ((0.5, 1.4, 3.0), "healthy"),
    ]
    hint = "without input, or with exploded weights, there is no gap either: test the gap last"
    return judge(function, cases, hint, "first what goes in, then the weights, then the pictures.", 0.0)
