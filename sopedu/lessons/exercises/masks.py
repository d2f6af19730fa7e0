"""Checks for notebooks 02_masks_by_hand and 03_measuring_separation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_binary_mask(function: Callable[[Any, Any], Any]) -> Verdict:
    """One where the source makes more than half of the mixture's magnitude (notebook 02_masks_by_hand)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        source, mixture = np.array([0.25, 0.5, 0.75, 2.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.0])
        pairs = [(source, mixture), (source / 8, mixture / 8), (4 * source, 4 * mixture)]
        for shape in ((4, 4), (2, 3, 5)):  # eighths, so that exactly half occurs and is exact
            pairs.append((chance.integers(0, 9, shape) / 8, chance.integers(0, 9, shape) / 8))
        for source, mixture in pairs:
            yield (torch.from_numpy(source).float(), torch.from_numpy(mixture).float()), source + source > mixture

    hint = "compare every cell of the source with half of the *same cell* of the mixture; exactly half is not more"
    return judge(function, cases, hint, "0 or 1 for every cell, at any volume.", tolerance=0.0)


def check_power_shares(function: Callable[[Any], Any]) -> Verdict:
    """Masks that share out each cell's power among the sources and add up to one (notebook 02_masks_by_hand)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        stacks = [np.array([3.0, 4.0]).reshape(2, 1, 1)]
        stacks += [chance.random(shape) + 0.1 for shape in ((2, 2, 2), (3, 5, 4), (4, 4, 4), (1, 2, 3))]
        for stack in stacks:
            shares = np.empty_like(stack)
            for q, t in np.ndindex(stack.shape[1:]):
                shares[:, q, t] = [value**2 / np.dot(stack[:, q, t], stack[:, q, t]) for value in stack[:, q, t]]
            yield (torch.from_numpy(stack).float(),), shares

    hint = "which is axis 0? In each cell the shares add up to 1; magnitudes 3 and 4 share their power as 9 to 16"
    return judge(function, cases, hint, "in each cell the shares add up to one.", tolerance=1e-5)


def check_best_real_mask(function: Callable[[Any, Any], Any]) -> Verdict:
    """The real number that brings a cell of the mixture closest to the source's (notebook 02_masks_by_hand)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        source, mixture = np.array([1 + 0j, 1j, -1 + 0j, 2 + 2j]), np.array([2 + 0j, 1 + 0j, 1 + 0j, 1 + 3j])
        pairs = [(source, mixture), (source * 1j, mixture * 1j)]
        for shape in ((3, 3), (2, 4, 5)):
            parts = chance.standard_normal((2, *shape, 2)) + 0.1
            pairs.append(tuple(parts[..., 0] + 1j * parts[..., 1]))
        for source, mixture in pairs:
            best = np.abs(source) / np.abs(mixture) * np.cos(np.angle(source) - np.angle(mixture))
            yield tuple(torch.from_numpy(part).to(torch.complex64) for part in (source, mixture)), best

    hint = "draw both arrows: if they are parallel, the ratio of lengths is best; what if they are at a right angle?"
    praise = "the projection of the source's arrow on the mixture's."
    return judge(function, cases, hint, praise, tolerance=1e-4)


def check_si_sdr_by_hand(function: Callable[[Any, Any], float]) -> Verdict:
    """SI-SDR of one estimate in decibels (notebook 03_measuring_separation)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        reference, rest = np.array([1.0, -1.0, 1.0, -1.0]), np.array([0.1, 0.1, -0.1, -0.1])
        pairs = [(reference, scale * (reference + rest)) for scale in (1.0, 0.25, -2.0)]
        pairs.append((reference, 3 * reference + 10 * rest))
        for samples in (5, 64, 301):
            reference, rest = chance.standard_normal((2, samples))
            for scale in (0.5, -0.5, 3.0):  # with an offset, and upside down
                pairs.append((reference + 0.4, scale * (reference + 0.4) + rest))
        for reference, estimate in pairs:
            # The angle between both: its cosine is the target's share, its sine that of the rest.
            cosine = np.dot(reference, estimate) / np.linalg.norm(reference) / np.linalg.norm(estimate)
            yield (reference, estimate), 10 * np.log10(cosine**2 / (1 - cosine**2))

    hint = (
        "compute α first, with its sign; the target is α times the reference, and all else in the estimate is "
        "distortion; no mean is subtracted, and decibels of energies are 10 times a logarithm to base 10"
    )
    return judge(function, cases, hint, "the same at any volume.", tolerance=1e-4)


def check_honest_mean(function: Callable[[Any], tuple[float, int]]) -> Verdict:
    """Mean over the sources that sound, and how many were left out (notebook 03_measuring_separation)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        rows = [np.array([10.0, 6.0]), np.array([12.0, np.nan, -30.0, 3.0]), np.array([np.nan, 0.0, np.nan, 9.0])]
        for sources in (1, 5, 12):
            row = chance.normal(5, 10, sources + 2).round(1)
            row[chance.permutation(sources + 2)[: sources // 2 + 1]] = np.nan
            rows.append(row)
        for row in rows:
            kept = [float(score) for score in row if score == score]
            yield (row,), (sum(kept) / len(kept), len(row) - len(kept))

    hint = "NaN marks a silent reference: leave it out and count it; −30 is an estimate that failed: it stays"
    return judge(function, cases, hint, "silent references are left out and counted, failed estimates stay.")
