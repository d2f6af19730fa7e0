"""Checks for notebooks 02_masks_by_hand and 03_measuring_separation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_binary_mask(function: Callable[[Any, Any], Any]) -> Verdict:
    """One where the source makes more than half of the mixture's magnitude (notebook 02_masks_by_hand)."""
    import torch

    source, mixture = torch.tensor([0.2, 0.5, 0.51, 2.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    cases = [((source, mixture), [0, 0, 1, 1, 0]), ((0.1 * source, 0.1 * mixture), [0, 0, 1, 1, 0])]
    hint = "compare every cell of the source with half of the *same cell* of the mixture; exactly half is not more"
    return judge(function, cases, hint, "0 or 1 for every cell, at any volume.", tolerance=0.0)


def check_power_shares(function: Callable[[Any], Any]) -> Verdict:
    """Masks that share out each cell's power among the sources and add up to one (notebook 02_masks_by_hand)."""
    import torch

    single = torch.tensor([3.0, 4.0]).reshape(2, 1, 1)
    trio = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    cases = [((single,), np.reshape([9 / 25, 16 / 25], (2, 1, 1))), ((trio,), trio**2 / (trio**2).sum(dim=0))]
    hint = "square first, then divide by the sum over the sources, which are axis 0; 3 and 4 share as 9 and 16 of 25"
    return judge(function, cases, hint, "in each cell the shares add up to one.", tolerance=1e-5)


def check_best_real_mask(function: Callable[[Any, Any], Any]) -> Verdict:
    """The real number that brings a cell of the mixture closest to the source's (notebook 02_masks_by_hand)."""
    import torch

    source, mixture = torch.tensor([1 + 0j, 1j, -1 + 0j, 2 + 2j]), torch.tensor([2 + 0j, 1 + 0j, 1 + 0j, 1 + 3j])
    hint = (
        "m = |S|/|X| · cos(angle between them): parallel arrows give the ratio, a right angle 0, opposite ones −ratio"
    )
    praise = "the projection of the source's arrow on the mixture's."
    return judge(function, [((source, mixture), [0.5, 0.0, -1.0, 0.8])], hint, praise, tolerance=1e-5)


def check_si_sdr_by_hand(function: Callable[[Any, Any], float]) -> Verdict:
    """SI-SDR of one estimate in decibels (notebook 03_measuring_separation)."""
    reference, rest = np.array([1.0, -1.0, 1.0, -1.0]), np.array([0.1, 0.1, -0.1, -0.1])
    cases = [((reference, scale * (reference + rest)), 20.0) for scale in (1.0, 0.25)]
    cases.append(((reference, 3 * reference + 10 * rest), 20 * np.log10(3)))
    hint = (
        "project first: scale = ⟨estimate, reference⟩ / ⟨reference, reference⟩ makes the target; the rest is distortion"
    )
    return judge(function, cases, hint, "the same at any volume.", tolerance=1e-3)


def check_honest_mean(function: Callable[[Any], tuple[float, int]]) -> Verdict:
    """Mean over the sources that sound, and how many were left out (notebook 03_measuring_separation)."""
    cases = [((np.array([10.0, 6.0]),), (8.0, 0)), ((np.array([12.0, np.nan, -30.0, 3.0]),), (-5.0, 1))]
    hint = "NaN marks a silent reference: leave it out and count it; −30 is an estimate that failed: it stays"
    return judge(
        function, cases, hint, "silent references are left out and counted, failed estimates stay.", tolerance=1e-9
    )
