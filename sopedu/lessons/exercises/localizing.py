"""Checks for notebooks 10_localize and 14_limits_of_localization."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_point_mask(function: Callable[[Any, float, float], Any]) -> Verdict:
    """Mask of a point from those of the four cells around it (notebook 10_localize)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        shares = [(0.25, 0.5), (0.0, 1.0), (1.0, 0.0), (0.9, 0.3), *chance.random((4, 2)).round(2).tolist()]
        for across, down in shares:
            corners = chance.random((2, 2, *chance.integers(2, 4, 2)))
            mask = np.zeros(corners.shape[2:])
            for row, column in np.ndindex(2, 2):  # the area between the point and the opposite corner
                mask += abs(1 - row - down) * abs(1 - column - across) * corners[row, column]
            yield (torch.from_numpy(corners).float(), across, down), mask

    hint = "first mix along one direction: how much does the right column count if the point lies far to the right?"
    return judge(function, cases, hint, "the nearer a cell, the more it counts.", tolerance=1e-5)


def check_energy_mean(function: Callable[[Any, Any], Any]) -> Verdict:
    """Masks (C, Q, T) averaged with the energy that each lets through as weight (notebook 10_localize)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for shape in ((1, 2, 2), (2, 2, 2), (5, 4, 3), (6, 6, 6), (3, 1, 7)):
            masks, magnitude = chance.random(shape), chance.random(shape[1:])
            masks[0] *= 0.1  # a quiet cell, which must count for little
            weights = [np.linalg.norm(mask * magnitude) ** 2 for mask in masks]
            arguments = torch.from_numpy(masks).float(), torch.from_numpy(magnitude).float()
            yield arguments, np.average(masks, axis=0, weights=weights)

    hint = "each cell gets one weight, its energy; the weights are divided by their sum, so that they add up to 1"
    return judge(function, cases, hint, "cells that let nothing through do not count.", tolerance=1e-5)


def check_cell_of_point(function: Callable[[float, float, int, int], Any]) -> Verdict:
    """Row and column of the cell in which a point (x, y) lies (notebook 10_localize)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        points = [(0.1, 0.6, 8, 8), (0.95, 0.2, 4, 10), (0.0, 1.0, 5, 3), (1.0, 0.0, 5, 3), (1.0, 1.0, 1, 1)]
        points += [(0.0, 0.0, 7, 14), (1.0, 1.0, 14, 7), (0.99, 0.99, 8, 8)]
        for _ in range(30):
            height, width = (int(side) for side in chance.integers(1, 20, 2))
            # Well inside a cell: on the border of two, both would be right.
            row, column, down, right = (chance.integers(height), chance.integers(width), *chance.uniform(0.1, 0.9, 2))
            points.append((float((column + right) / width), float((row + down) / height), height, width))
        for x, y, height, width in points:
            inner_borders = np.arange(1, height) / height, np.arange(1, width) / width
            yield (
                (x, y, height, width),
                [int(np.searchsorted(borders, place)) for borders, place in zip(inner_borders, (y, x), strict=True)],
            )

    hint = "is the row a matter of x or of y? Which is named first? And what happens at exactly 1?"
    return judge(function, cases, hint, "left stays left, up stays up, and the border is inside.", tolerance=0.0)


def check_noisy_or(function: Callable[[Any, Any], Any]) -> Verdict:
    """Chance that some of the weighted cells lets a bin through (notebook 14_limits_of_localization)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        half = np.full((2, 1, 1), 0.5)
        rooms = [(half, np.ones(2)), (half, np.array([1.0, 0.0])), (half, np.array([0.5, 0.0])), (half, np.zeros(2))]
        for cells, rows, columns in ((1, 3, 5), (4, 3, 5), (9, 2, 2), (3, 3, 3)):
            rooms.append((chance.random((cells, rows, columns)), chance.random(cells)))
        for masks, weights in rooms:
            chances = np.zeros(masks.shape[1:])
            for mask, weight in zip(masks, weights, strict=True):  # one cell after the other: a or b = a + b − a · b
                chances = chances + weight * mask - chances * weight * mask
            yield (torch.from_numpy(masks).float(), torch.from_numpy(weights).float()), chances

    hint = "what is the chance that one cell does *not* let it through? And that none of them does?"
    praise = "two halves make three quarters, and absent cells change nothing."
    return judge(function, cases, hint, praise, tolerance=1e-5)
