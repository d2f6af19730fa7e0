"""Checks for notebook 12_objects_and_their_sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_overlap_by_hand(function: Callable[[Any, Any], float]) -> Verdict:
    """Intersection over union of two boxes (notebook 12_objects_and_their_sounds)."""
    from sopedu.localization.places import intersection_over_union

    pairs = [
        ((0.0, 0.0, 0.5, 0.5), (0.25, 0.0, 0.75, 0.5)),
        ((0.1, 0.2, 0.6, 0.9), (0.1, 0.2, 0.6, 0.9)),
        ((0.0, 0.0, 0.8, 1.0), (0.2, 0.1, 0.4, 0.6)),
        ((0.0, 0.0, 0.3, 0.4), (0.6, 0.7, 0.9, 1.0)),  # apart in both directions: two negative sides
        ((0.0, 0.0, 0.5, 1.0), (0.6, 0.0, 0.9, 1.0)),
    ]
    cases = [((first, second), intersection_over_union(first, second)[0, 0]) for first, second in pairs]
    hint = (
        "the shared box goes from the larger of the first corners to the smaller of the second ones; no side of it is "
        "less than 0; the union is both areas less what they share"
    )
    return judge(function, cases, hint, "equal, nested, side by side and far apart: all correct.", 1e-9)


def check_keep_surest(function: Callable[[Any, Any, float], Any]) -> Verdict:
    """Positions that greedy non-maximum suppression keeps (notebook 12_objects_and_their_sounds)."""
    import torch
    from torchvision.ops import nms

    # A chain: the second overlaps the first, the third the second but not the first. The third has to stay.
    chain = np.array([[0.0, 0.0, 0.4, 1.0], [0.1, 0.0, 0.5, 1.0], [0.2, 0.0, 0.6, 1.0], [0.7, 0.0, 1.0, 1.0]])
    chance, cases = np.random.default_rng(12), []
    corners = chance.uniform(0, 0.6, (12, 2))
    many = np.concatenate([corners, corners + chance.uniform(0.2, 0.4, (12, 2))], axis=1)
    for boxes, scores, overlap in (
        (chain, np.array([0.9, 0.8, 0.7, 0.6]), 0.5),
        (chain, np.array([0.3, 0.8, 0.7, 0.9]), 0.5),
        (many, chance.permutation(12) / 12, 0.2),
    ):
        kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap).tolist()
        cases.append(((boxes, scores, overlap), kept))
    hint = (
        "go from the highest score to the lowest; keep a box if its overlap with each box *kept so far* is at most "
        "`overlap`; suppressed boxes suppress nothing; return positions, the highest score first"
    )
    return judge(function, cases, hint, "what torchvision's nms keeps, in its order.", tolerance=0.0)


def check_moving_box(function: Callable[[Any], Any]) -> Verdict:
    """The box around all pixels that change (notebook 12_objects_and_their_sounds)."""
    cases = []
    for top, left, bottom, right, (height, width) in ((2, 4, 6, 9, (10, 20)), (0, 1, 12, 2, (12, 8))):
        frames = np.full((3, height, width, 3), 100, np.uint8)
        frames[1, top, left, 2] = 180  # two corners of the box move, each in one channel, up and down
        frames[2, bottom - 1, right - 1, 0] = 10
        frames[2, -1, -1] = 110  # a flicker below the threshold
        cases.append(((frames,), (left / width, top / height, right / width, bottom / height)))
    hint = (
        "largest minus smallest value over the frames (axis 0) and the largest of that over the channels (axis -1), "
        "above 20; columns give x, rows y; the box ends *behind* the last pixel; divide by width and height"
    )
    return judge(function, cases, hint, "a detector that needs no training: what moves.", tolerance=1e-9)
