"""Places in a picture: points, boxes, cells of a feature map, crops and letterboxes, and how to convert them.

A point is ``(x, y)`` and a box ``(x0, y0, x1, y1)``, in fractions of width and height, x to the right and y down. Cells
are rows and columns of a feature map ``(h, w)``. A view is the part of the picture that the model gets, as a box;
the view of a letterboxed picture reaches beyond the picture. Explained in notebook 10_localize.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sopedu.errors import SopeduError

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Place = Point | Box | np.ndarray

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

_LEAST = 1e-6  # of a cell that a box must cover
_ROUNDING = 1e-9  # of a view: a place on its border stays there when it is converted back and forth


def check_box(box: Sequence[float]) -> Box:
    """Return a box as a tuple of floats if it lies in the picture.

    Args:
        box: ``(x0, y0, x1, y1)``.

    Raises:
        SopeduError: if it is not four finite numbers with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1.
    """
    box = _numbers(box, "write a box (x0, y0, x1, y1)")
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise SopeduError(
            f"box {','.join(f'{value:g}' for value in box)}: write x0,y0,x1,y1 as fractions of width and height, "
            "with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1"
        )
    return box


def check_point(point: Sequence[float]) -> Point:
    """Return a point as a tuple if it lies in the picture.

    Args:
        point: ``(x, y)``.

    Raises:
        SopeduError: if it is not two numbers from 0 to 1.
    """
    if len(point) != 2 or not all(0 <= value <= 1 for value in point):
        raise SopeduError(
            f"point {','.join(f'{value:g}' for value in point)}: write x,y as fractions of width and height, 0 to 1"
        )
    return tuple(point)


def check_place(place: Point | Box) -> Point | Box:
    """Return a point or a box as a tuple of floats if it lies in the picture.

    Args:
        place: ``(x, y)`` or ``(x0, y0, x1, y1)``.

    Raises:
        SopeduError: it is neither; see :func:`check_point` and :func:`check_box`.
    """
    wanted = "pass a point (x, y), a box (x0, y0, x1, y1), or a numpy array (h, w) of weights of the cells"
    numbers = _numbers(place, wanted)
    return check_point(numbers) if len(numbers) == 2 else check_box(numbers)


def _numbers(place: Sequence[float], wanted: str) -> tuple[float, ...]:
    """What was passed as a tuple of floats; the error says what is `wanted`."""
    try:
        return tuple(float(value) for value in place)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: a tensor of more dimensions
        shown = " ".join(repr(place).split())  # arrays are shown in many lines
        raise SopeduError(f"place {shown:.60}: {wanted}") from None


def centre(box: Box) -> Point:
    """Return the middle of a box.

    Args:
        box: ``(x0, y0, x1, y1)``.
    """
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def inside(point: Point, box: Box) -> bool:
    """Return whether a point lies in a box.

    Args:
        point: ``(x, y)``.
        box: ``(x0, y0, x1, y1)``, borders included.
    """
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the overlap of boxes over their union, ``(N, M)`` float64; 0 where both are empty.

    Args:
        first: boxes ``(N, 4)``.
        second: boxes ``(M, 4)``.
    """
    # torchvision's box_iou returns the same numbers, but NaN for empty boxes, and for few boxes it is slower.
    first, second = (np.asarray(boxes, float).reshape(-1, 4) for boxes in (first, second))
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def cells_of_box(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Return rows and columns of the cells whose centres lie in a box; for a small box, the cell its centre lies in.

    Args:
        box: ``(x0, y0, x1, y1)``.
        height: rows of the feature map.
        width: its columns.
    """
    x0, y0, x1, y1 = check_box(box)

    def span(low: float, high: float, cells: int) -> slice:
        first, last = math.ceil(low * cells - 0.5), math.floor(high * cells - 0.5)
        if first > last:
            first = last = min(int((low + high) / 2 * cells), cells - 1)
        return slice(first, last + 1)

    return span(y0, y1, height), span(x0, x1, width)


def box_of_cell(row: int, column: int, height: int, width: int, reach: int = 0) -> Box:
    """Return the box of a cell and its neighbours, cut at the picture's border.

    Args:
        row: of the cell, counted from 0.
        column: of the cell, counted from 0.
        height: rows of the feature map.
        width: its columns.
        reach: how many cells away a neighbour may be.
    """
    return (
        max(0, column - reach) / width,
        max(0, row - reach) / height,
        min(width, column + 1 + reach) / width,
        min(height, row + 1 + reach) / height,
    )


def cell_at(point: Point, height: int, width: int) -> tuple[int, int]:
    """Return row and column of the cell in which a point lies.

    Args:
        point: ``(x, y)``.
        height: rows of the feature map.
        width: its columns.
    """
    x, y = check_point(point)
    return min(int(y * height), height - 1), min(int(x * width), width - 1)


def cell_weights(place: Place, height: int, width: int) -> np.ndarray:
    """Return how much every cell of a map belongs to a place, ``(h, w)`` float64, 0 or more.

    A box gives the share of each cell's area that it covers. A point gives the weights of bilinear interpolation
    between the centres of the four cells around it, which add up to 1. An array ``(h, w)`` is returned as it is.

    Args:
        place: a point, a box, or weights of the cells ``(h, w)``.
        height: rows of the feature map.
        width: its columns.

    Raises:
        SopeduError: no such point or box; a box that covers less than a millionth of a cell; an array of another shape,
            with negative or undefined numbers, or of zeros.
    """
    if isinstance(place, np.ndarray) and place.ndim == 2:
        good = place.shape == (height, width) and place.dtype.kind in "biuf" and np.isfinite(place).all()
        if not good or place.min() < 0 or place.max() <= 0:
            raise SopeduError(
                f"painted cells {place.dtype} {place.shape}: pass an array {(height, width)} of finite weights, "
                "0 or more, not all 0"
            )
        return place.astype(float)
    place = check_place(place)
    if len(place) == 2:
        return np.outer(_between(place[1], height), _between(place[0], width))
    x0, y0, x1, y1 = place
    weights = np.outer(_covered(y0, y1, height), _covered(x0, x1, width))
    if weights.max() < _LEAST:  # rounding would make all weights 0, and the result would be silence
        raise SopeduError(f"box {x0:g},{y0:g},{x1:g},{y1:g}: covers next to nothing of any cell; pass a point instead")
    return weights


def _between(position: float, cells: int) -> np.ndarray:
    """Weights of linear interpolation between centres of cells; beyond the outermost centre, that cell alone."""
    return np.clip(1 - np.abs(np.clip(position * cells - 0.5, 0, cells - 1) - np.arange(cells)), 0, None)


def _covered(low: float, high: float, cells: int) -> np.ndarray:
    edges = np.arange(cells)
    return np.clip(np.minimum(high * cells, edges + 1) - np.maximum(low * cells, edges), 0, None)


def centre_crop(width: float, height: float) -> Box:
    """Return the view of the largest square in the middle of a picture.

    Args:
        width: of the picture, in any unit.
        height: in the same unit.
    """
    return _square(min(1.0, height / width), min(1.0, width / height))


def letterbox(width: float, height: float) -> Box:
    """Return the view of the smallest square around a picture, the rest filled with bars; it reaches beyond 0…1.

    Args:
        width: of the picture, in any unit.
        height: in the same unit.
    """
    return _square(max(1.0, height / width), max(1.0, width / height))


def _square(across: float, down: float) -> Box:
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2


def into_view(place: Point | Box, view: Box) -> Point | Box:
    """Return a place of the picture as a place of the view, in fractions of the view; of a box, the part that is seen.

    Args:
        place: in fractions of the picture.
        view: the part of the picture that was shown.

    Raises:
        SopeduError: nothing of it lies in the view.
    """
    across, down = view[2] - view[0], view[3] - view[1]
    moved = [(value - view[i % 2]) / (down if i % 2 else across) for i, value in enumerate(place)]
    seen = [min(max(value, 0.0), 1.0) for value in moved]
    if len(seen) == 2:
        missed = any(abs(a - b) > _ROUNDING for a, b in zip(seen, moved, strict=True))
    else:
        missed = seen[2] - seen[0] < _ROUNDING or seen[3] - seen[1] < _ROUNDING
    if missed:
        raise SopeduError(
            f"{','.join(f'{value:g}' for value in place)}: lies outside what the model saw of the picture, "
            f"{','.join(f'{value:g}' for value in view)}; choose a place inside"
        )
    return tuple(seen)


def out_of_view(place: Point | Box, view: Box) -> Point | Box:
    """Return a place of the view as a place of the picture; in the bars of a letterbox it lies outside 0…1.

    Args:
        place: in fractions of the view.
        view: the part of the picture that was shown.
    """
    across, down = view[2] - view[0], view[3] - view[1]
    return tuple(view[i % 2] + value * (down if i % 2 else across) for i, value in enumerate(place))


def map_on_picture(values: np.ndarray, view: Box, height: int, width: int) -> np.ndarray:
    """Return the map of a view on a grid over the whole picture, ``(height, width)``; 0 outside the view.

    Use it to lay the map of a cropped or letterboxed frame over the picture that the frame was cut from.

    Args:
        values: map ``(h, w)`` of the view.
        view: the part of the picture that was shown.
        height: rows of the grid.
        width: its columns.
    """
    rows, columns = values.shape
    x = ((np.arange(width) + 0.5) / width - view[0]) / (view[2] - view[0])
    y = ((np.arange(height) + 0.5) / height - view[1]) / (view[3] - view[1])
    down = np.stack([_between(position, rows) * (0 <= position <= 1) for position in y])
    across = np.stack([_between(position, columns) * (0 <= position <= 1) for position in x])
    return down @ values @ across.T
