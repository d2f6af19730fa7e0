"""Scores of one map against the box of what sounds: its peak, its five loudest cells, and overlaps.

A map is `(h, w)`, not negative, one value per cell of the picture. Masks of pixels are compared on a picture of 64 × 64
pixels. Boxes are fractions of the picture, see :mod:`sopedu.localization.places`. Notebook: 10_localize.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sopedu.localization.places import WHOLE, Box, Point, cell_weights, inside, map_on_picture

#: Names of the scores of a map or a guess, in the order of the table.
MAP_SCORES = ("peak_in_player", "top5_in_player", "iou", "ciou_30", "ciou_50", "auc", "iou_same_area")
#: Side of the picture, in pixels, on which maps and boxes are compared.
PIXELS = 64
_LOUD = 0.1  # of the loudest place's energy, −10 dB: perceived as about half as loud

#: Peak in the box, share of the five loudest cells in it, overlap from the threshold on, overlap at the box's area.
Score = tuple[float, float, float, float]


def score_volume(volume: np.ndarray, boxes: np.ndarray) -> Score:
    """Score the map at the frame of the loudest cell.

    Args:
        volume: a map per frame, `(S, h, w)`.
        boxes: of the player in each frame, `(S, 4)`.
    """
    frame = int(volume.max(axis=(1, 2)).argmax())
    return score_map(volume[frame], tuple(boxes[frame]), loud_pixels(volume[frame]))


def score_map(cells: np.ndarray, box: Box, predicted: np.ndarray) -> Score:
    """Score a map; a map that is 0 everywhere scores 0.

    Args:
        cells: the map, `(h, w)`.
        box: of the player.
        predicted: pixels `(n, n)` bool that are predicted to sound, compared with the box by intersection over union.
    """
    if not cells.max() > 0:
        return 0.0, 0.0, 0.0, 0.0
    height, width = cells.shape
    loudest = np.argsort(-cells, axis=None, kind="stable")[:5]
    middles = [((place % width + 0.5) / width, (place // width + 0.5) / height) for place in loudest]
    hits = [inside(middle, box) for middle in middles]
    truth = pixels_of_box(box, len(predicted))
    ranked = np.argsort(-map_on_picture(cells, WHOLE, *truth.shape), axis=None, kind="stable")
    same_area = np.zeros(truth.shape, bool)
    same_area.flat[ranked[: truth.sum()]] = True
    return float(hits[0]), float(np.mean(hits)), overlap(predicted, truth), overlap(same_area, truth)


def loud_pixels(cells: np.ndarray, side: int = PIXELS) -> np.ndarray:
    """Find the pixels at which a map, interpolated between its cells, reaches a tenth of its maximum.

    Args:
        cells: the map, `(h, w)`.
        side: n, pixels per side of the picture.

    Returns:
        `(n, n)` bool.
    """
    fine = map_on_picture(cells, WHOLE, side, side)
    return (fine >= _LOUD * fine.max()) & (fine > 0)


def pixels_of_box(box: Box, side: int = PIXELS) -> np.ndarray:
    """Find the pixels whose centres lie in a box.

    Args:
        box: in fractions of the picture.
        side: n, pixels per side of the picture.

    Returns:
        `(n, n)` bool.
    """
    middles = (np.arange(side) + 0.5) / side
    down, across = ((box[i] <= middles) & (middles <= box[i + 2]) for i in (1, 0))
    return down[:, None] & across[None]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the intersection over union of two sets of pixels, bool of one shape; 0 if both are empty."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def guesses(box: Box, grid: tuple[int, int], generator: np.random.Generator) -> dict[str, Score]:
    """Score guesses that use no sound: the whole frame, boxes of half its width and height, the true box in cells.

    Args:
        box: of the player.
        grid: rows and columns of the map that the guesses are compared with.
        generator: draws the random box, and the order of cells that are equally good.
    """
    ties = 1e-9 * generator.random(grid)
    drawn = cell_weights(box, *grid)
    scores = {"whole_frame": score_map(1 + ties, box, pixels_of_box(WHOLE))}
    for name, middle in (("centre_box", (0.5, 0.5)), ("random_box", tuple(generator.uniform(0.25, 0.75, 2)))):
        scores[name] = score_map(_nearness(middle, grid) + ties, box, pixels_of_box(half_sized_box(middle)))
    return scores | {"ideal": score_map(drawn + ties, box, loud_pixels(drawn))}


def half_sized_box(middle: Point) -> Box:
    """Return the box of half the picture's width and height around a point."""
    x, y = middle
    return x - 0.25, y - 0.25, x + 0.25, y + 0.25


def _nearness(middle: Point, grid: tuple[int, int]) -> np.ndarray:
    rows, columns = ((np.arange(count) + 0.5) / count for count in grid)
    return 1 - np.maximum(np.abs(rows - middle[1])[:, None], np.abs(columns - middle[0])[None])


def success_area(overlaps: Sequence[float]) -> float:
    """Compute the area under the share of overlaps that reach a threshold, over 21 thresholds from 0 to 1.

    Args:
        overlaps: intersections over union, 0…1.

    Source: Chen et al. 2021, as in their evaluation (trapezoids).
    """
    reached = np.array([np.mean(np.asarray(overlaps) >= 0.05 * step - 1e-9) for step in range(21)])
    return float((reached[:-1] + reached[1:]).mean() / 2)


def summary(scores: Sequence[Score]) -> dict[str, float]:
    """Average the scores of many maps, by the names in :data:`MAP_SCORES`."""
    peaks, fives, overlaps, same_area = np.array(scores).T
    values = (peaks, fives, overlaps, overlaps >= 0.3, overlaps >= 0.5, success_area(overlaps), same_area)
    return {name: round(float(np.mean(value)), 3) for name, value in zip(MAP_SCORES, values, strict=True)}
