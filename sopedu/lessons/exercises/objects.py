"""Checks for notebook 12_objects_and_their_sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge

_GRID = 16  # boxes with corners on such a grid are exact in floating point


def check_overlap_by_hand(function: Callable[[Any, Any], float]) -> Verdict:
    """Intersection over union of two boxes (notebook 12_objects_and_their_sounds)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        pairs = [
            ((0, 0, 8, 8), (4, 0, 12, 8)),
            ((2, 3, 10, 14), (2, 3, 10, 14)),
            ((0, 0, 12, 16), (3, 2, 6, 10)),
            ((0, 0, 5, 6), (10, 11, 14, 16)),  # apart in both directions: two negative sides
            ((0, 0, 8, 16), (10, 0, 14, 16)),
            ((0, 0, 8, 8), (8, 2, 12, 6)),  # side by side
        ]
        for _ in range(40):
            pairs.append(tuple(_box(chance) for _ in range(2)))
        for pair in pairs:
            inside = np.zeros((2, _GRID, _GRID), bool)
            for picture, (left, top, right, bottom) in zip(inside, pair, strict=True):
                picture[top:bottom, left:right] = True
            first, second = (tuple(corner / _GRID for corner in box) for box in pair)
            yield (first, second), np.logical_and(*inside).sum() / np.logical_or(*inside).sum()

    hint = "draw two boxes: where does the shared one begin and end? Can a side be negative? What is counted twice?"
    return judge(function, cases, hint, "equal, nested, side by side and far apart: all correct.")


def _box(chance: np.random.Generator) -> tuple[int, ...]:
    left, right = np.sort(chance.choice(_GRID + 1, 2, replace=False))
    top, bottom = np.sort(chance.choice(_GRID + 1, 2, replace=False))
    return int(left), int(top), int(right), int(bottom)


def check_keep_surest(function: Callable[[Any, Any, float], Any]) -> Verdict:
    """Positions that greedy non-maximum suppression keeps (notebook 12_objects_and_their_sounds)."""
    import torch
    from torchvision.ops import nms

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        # A chain: the second overlaps the first, the third the second but not the first. The third has to stay.
        chain = np.array([[0.0, 0.0, 0.4, 1.0], [0.1, 0.0, 0.5, 1.0], [0.2, 0.0, 0.6, 1.0], [0.7, 0.0, 1.0, 1.0]])
        sets = [(chain, np.array(scores), 0.5) for scores in ([0.9, 0.8, 0.7, 0.6], [0.3, 0.8, 0.7, 0.9])]
        sets.append((chain[:1], np.array([0.4]), 0.5))
        for count, overlap in ((12, 0.2), (20, 0.5), (20, 0.7), (8, 0.05)):
            corners = chance.uniform(0, 0.5, (count, 2))
            boxes = np.concatenate([corners, corners + chance.uniform(0.2, 0.5, (count, 2))], axis=1)
            sets.append((boxes, (chance.permutation(count) + 1) / (count + 1), overlap))
        for boxes, scores, overlap in sets:
            yield (boxes, scores, overlap), nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap).tolist()

    hint = (
        "begin with the highest score; a box is compared only with those that were *kept* before it, since suppressed "
        "boxes suppress nothing; positions, the highest score first"
    )
    return judge(function, cases, hint, "what torchvision's nms keeps, in its order.", tolerance=0.0)


def check_moving_box(function: Callable[[Any], Any]) -> Verdict:
    """The box around all pixels that change (notebook 12_objects_and_their_sounds)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for top, left, bottom, right, (height, width) in (
            (2, 4, 6, 9, (10, 20)),
            (0, 1, 12, 2, (12, 8)),
            (3, 3, 4, 4, (7, 7)),
        ):
            for first, second in (
                ([100, 180, 180], [100, 100, 10]),
                ([100, 200, 200], [90, 105, 115]),
                ([250, 5, 250], [90, 105, 84]),
                ([90, 105, 115], [104, 90, 80]),
            ):
                frames = np.full((3, height, width, 3), 100, np.uint8)
                frames[:, top, left, 2] = first  # two corners of the box move, each in one channel
                frames[:, bottom - 1, right - 1, 0] = second
                frames[:, -1, -1] = np.array([[100], [110], [90]], np.uint8)  # a flicker of exactly 20, in all channels
                yield (frames,), (left / width, top / height, right / width, bottom / height)
        for _ in range(5):
            height, width = (int(side) for side in chance.integers(4, 12, 2))
            frames = np.repeat(chance.integers(0, 256, (1, height, width, 3)), 4, axis=0)
            frames[chance.integers(4), chance.integers(height), chance.integers(width), chance.integers(3)] ^= 128
            frames[chance.integers(4), chance.integers(height), chance.integers(width), chance.integers(3)] ^= 64
            moved = np.array([np.ptp(pixel) > 20 for pixel in frames.transpose(1, 2, 3, 0).reshape(-1, 4)])
            rows, columns = (set(places.tolist()) for places in moved.reshape(height, width, 3).nonzero()[:2])
            box = min(columns) / width, min(rows) / height, (max(columns) + 1) / width, (max(rows) + 1) / height
            yield (frames.astype(np.uint8),), box

    hint = (
        "a pixel changes between *any* two of the pictures, in any one channel, up or down (and uint8 has no negative "
        "numbers); the box ends *behind* the last pixel; columns give x, rows y"
    )
    return judge(function, cases, hint, "a detector that needs no training: what moves.")
