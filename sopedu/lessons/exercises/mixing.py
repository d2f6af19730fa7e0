"""Checks for notebooks 04_without_learning and 05_mix_and_separate."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_running_median(function: Callable[[Any, int], Any]) -> Verdict:
    """Median of every `span` neighbours in a row of magnitudes (notebook 04_without_learning)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        rows = [([0, 1, 9, 1, 0, 0], 3), ([7, 7, 16, 7, 7, 2, 2, 2], 5), ([1, 3, 8, 4], 2)]
        for length, span in ((7, 4), (9, 1), (5, 5), (6, 6), (20, 7), (21, 8)):
            rows.append((chance.integers(0, 50, length).tolist(), span))
        for row, span in rows:
            windows = [row[start : start + span] for start in range(len(row)) if start + span <= len(row)]
            yield (np.array(row, float), span), [statistics.median(window) for window in windows]

    hint = "where does the first window begin and the last one? The median of an even number lies halfway between two"
    return judge(function, cases, hint, "clicks are gone, notes stay, and edges stay sharp.")


def check_update_activations(function: Callable[[Any, Any, Any], Any]) -> Verdict:
    """One multiplicative update of H for the squared error (notebook 04_without_learning)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for rows, components, columns in ((2, 1, 3), (5, 2, 4), (3, 3, 3)):
            shapes = (rows, columns), (rows, components), (components, columns)
            other, spectra, activations = (chance.random(shape) + 0.1 for shape in shapes)
            fits = spectra @ activations
            for magnitude in (fits, other):
                above = np.einsum("qk,qt->kt", spectra, magnitude)
                arguments = (torch.from_numpy(part).float() for part in (magnitude, spectra, activations))
                yield tuple(arguments), activations * above / np.einsum("qk,qt->kt", spectra, fits)

    hint = "numerator and denominator both have the shape (K, T); where the model fits already, H must stay as it is"
    return judge(function, cases, hint, "what fits stays, what is too small grows.", tolerance=1e-4)


def check_mix_by_hand(function: Callable[[Any, Any], Any]) -> Verdict:
    """The mixture of N solos with gains, each divided by N (notebook 05_mix_and_separate)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        batches = [(np.array([[1.0, -1.0, 0.5], [0.0, 1.0, 0.5]]), np.array([0.5, 1.0]))]
        for sources, samples in ((2, 4), (3, 4), (1, 3), (4, 4), (7, 2)):
            batches.append((chance.uniform(-1, 1, (sources, samples)), chance.uniform(0.5, 1.5, sources)))
        for waveforms, gains in batches:
            mixture = sum(gain / len(gains) * waveform for gain, waveform in zip(gains, waveforms, strict=True))
            yield (torch.from_numpy(waveforms).float(), torch.from_numpy(gains).float()), mixture

    hint = "each row has its own gain; is the sum divided by the number of solos, whatever the gains are?"
    return judge(function, cases, hint, "for two sources, for three, for any number.", tolerance=1e-5)


def check_same_class_mixtures(function: Callable[[Any, Any], int]) -> Verdict:
    """How many mixtures hold a class more than once (notebook 05_mix_and_separate)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        labels = np.array([3, 3, 7, 5, 7])
        # The first ones are small, so that a failure shows them.
        pairs, trios = np.array([[0, 1], [1, 2], [2, 4]]), np.array([[0, 2, 1], [0, 2, 3]])
        batches = [(pairs, labels), (trios, labels), (pairs[:0], labels)]
        batches += [(np.array([four]), labels) for four in ([0, 1, 2, 4], [0, 3, 2, 4])]
        batches.append((np.array([[0, 1, 2]]), np.array([4, 4, 4])))
        for sources in (2, 3, 3, 4, 5):
            members = np.stack([chance.permutation(9)[:sources] for _ in range(8)])
            batches.append((members, chance.integers(0, 2 + sources, 9)))
        for members, labels in batches:
            twice = [any(labels[a] == labels[b] for a, b in itertools.combinations(row, 2)) for row in members]
            yield (members, labels), sum(twice)

    hint = "a mixture counts once, however often it holds a class, and wherever the two solos stand in its row"
    return judge(function, cases, hint, "what cannot be avoided can be counted.", tolerance=0.0)


def check_trios(function: Callable[[Any, Any, Any], Any]) -> Verdict:
    """A batch mixed with three sources per mixture (notebook 05_mix_and_separate)."""
    import torch

    from sopedu.config import preset, with_values
    from sopedu.data.mixing import mix

    settings = with_values(preset("tiny"), ["mixing.sources=3"]).mixing

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for solos in (9, 6, 7):
            batch = torch.from_numpy(chance.standard_normal((solos, 4))).float(), np.arange(solos) // 3
            ours = mix(*batch, settings, np.random.default_rng(solos))
            parts = {name: getattr(ours, name) for name in ("members", "gains", "absent", "solos")}
            yield (*batch, np.random.default_rng(solos)), parts

    hint = "one field of the preset `tiny` says how many sources a mixture has; change only this one, pass all three on"
    return judge(function, cases, hint, "three per mixture, none with itself or its own class.")


def check_dead_clips(function: Callable[[Any], Any]) -> Verdict:
    """Positions of the clips whose samples are all zero (notebook 05_mix_and_separate)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        small = [  # a failure shows them
            [[0.5, -0.5], [0.0, 0.0]],
            [[0.0, 0.5], [-0.5, -0.1], [0.0, 0.0]],
            [[0.2, 0.2], [0.0, 0.0], [0.0, 1e-4]],
            [[-1e-6, 0.0], [0.0, 0.0]],
            [[0.5, -0.5, 0.0]],
            [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
        ]
        batches = [np.array(clips) for clips in small]
        for solos in (4, 9):
            batch = chance.uniform(-1, 1, (solos, 5))
            batch[chance.random(solos) < 0.4] = 0
            batches.append(batch)
        for batch in batches:
            dead = [place for place, clip in enumerate(batch) if set(clip.tolist()) == {0.0}]
            yield (torch.from_numpy(batch).float(),), dead

    hint = "sound swings around 0, and may be negative, soft, or zero at its start: look at the size of every sample"
    return judge(function, cases, hint, "soft clips are kept, dead ones are found.", tolerance=0.0)
