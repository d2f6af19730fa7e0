"""Checks for notebooks 10_localize and 14_limits_of_localization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sopedu.lessons.exercises.judging import Verdict, judge


def check_point_mask(function: Callable[[Any, float, float], Any]) -> Verdict:
    """Mask of a point from those of the four cells around it (notebook 10_localize)."""
    import torch

    generator, cases = torch.Generator().manual_seed(1), []
    for across, down in ((0.25, 0.5), (0.0, 1.0), (0.9, 0.3), (0.5, 0.5)):
        corners = torch.rand(2, 2, 3, 4, generator=generator)
        rows = torch.lerp(corners[:, 0], corners[:, 1], across)
        cases.append(((corners, across, down), torch.lerp(rows[0], rows[1], down)))
    hint = "mix the columns of both rows with 1 − across and across, then the rows with 1 − down and down"
    return judge(function, cases, hint, "the nearer a cell, the more it counts.", tolerance=1e-5)


def check_energy_mean(function: Callable[[Any, Any], Any]) -> Verdict:
    """Masks (C, Q, T) averaged with the energy that each lets through as weight (notebook 10_localize)."""
    import torch

    generator, cases = torch.Generator().manual_seed(0), []
    for shape in ((1, 3, 4), (5, 4, 3), (2, 6, 6)):
        masks, magnitude = (torch.rand(size, generator=generator) for size in (shape, shape[1:]))
        masks[0] *= 0.1  # a quiet cell, which must count for little
        weights = (masks * magnitude).square().sum((1, 2))
        cases.append(((masks, magnitude), torch.einsum("c,cqt->qt", weights, masks) / weights.sum()))
    hint = "energy is the square of mask times magnitude, summed over Q and T; divide by the sum of the weights"
    return judge(function, cases, hint, "cells that let nothing through do not count.", tolerance=1e-5)


def check_cell_of_point(function: Callable[[float, float, int, int], Any]) -> Verdict:
    """Row and column of the cell in which a point (x, y) lies (notebook 10_localize)."""
    from sopedu.localization.places import cell_at

    points = ((0.1, 0.6, 8, 8), (0.9, 0.2, 4, 10), (0.55, 0.95, 14, 7), (0.0, 1.0, 5, 3), (1.0, 0.0, 5, 3))
    cases = [((x, y, height, width), cell_at((x, y), height, width)) for x, y, height, width in points]
    hint = "the row comes from y and the height and is named first; at 1 it is the last cell, not one beyond"
    return judge(function, cases, hint, "left stays left, up stays up, and the border is inside.", tolerance=0.0)


def check_noisy_or(function: Callable[[Any, Any], Any]) -> Verdict:
    """Chance that some of the weighted cells lets a bin through (notebook 14_limits_of_localization)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    half = torch.full((2, 1, 1), 0.5)
    cases = [((half, torch.ones(2)), torch.full((1, 1), 0.75)), ((half, torch.tensor([1.0, 0.0])), half[0])]
    for cells in (1, 4, 9):
        masks, weights = (torch.rand(size, generator=generator) for size in ((cells, 3, 5), (cells,)))
        cases.append(((masks, weights), 1 - (1 - weights[:, None, None] * masks).prod(0)))
    hint = "multiply the chances that a cell does not let it through, 1 − w · m, and take that from 1"
    return judge(
        function, cases, hint, "two halves make three quarters, and absent cells change nothing.", tolerance=1e-5
    )
