"""A small anti-aliased polygon rasterizer: every picture of the toy band is painted with it.

A pixel's opacity is the exact area of it that a polygon covers. The area is found from the outline alone:
each edge is cut where it crosses a pixel border, each piece gives the area to its right within its
pixel row, and a running sum along the row does the rest (the method of font renderers). The cost is the
outline's length plus the bounding box, and all polygons of a picture go through numpy together.

Coordinates are (x, y) with y downwards; pixel (row, column) covers [column, column + 1] × [row, row + 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Colour = tuple[float, float, float]
Box = tuple[float, float, float, float]
Points = np.ndarray | Sequence


@dataclass(frozen=True)
class Placement:
    """Where a drawing stands in the frame.

    Attributes:
        x: its centre, as a fraction of the frame's width.
        y: its centre, as a fraction of the frame's height.
        size: its height, as a fraction of the frame's height.
        turn: in radians, clockwise.
        mirrored: whether left and right are exchanged.
    """

    x: float
    y: float
    size: float
    turn: float = 0.0
    mirrored: bool = False


class Canvas:
    """A picture being painted: float64 until it is rounded once to bytes, so that all machines agree.

    Args:
        height: in pixels.
        width: in pixels.
        colour: of the empty picture; red, green, blue in 0…1.
    """

    def __init__(self, height: int, width: int, colour: Colour = (1.0, 1.0, 1.0)) -> None:
        self.height, self.width = height, width
        self._pixels = np.empty((3, height, width))
        self._pixels[:] = np.reshape(colour, (3, 1, 1))
        self._waiting: list[tuple[np.ndarray, np.ndarray, float]] = []

    def fill(self, points: np.ndarray, colour: Colour, opacity: float = 1.0) -> None:
        """Paint a polygon over what is there.

        Polygons wait until the picture is asked for: rasterizing them together is several times faster.

        Args:
            points: (V, 2) corners x, y in pixels; the last is joined to the first. The frame cuts them off.
            colour: red, green, blue in 0…1.
            opacity: 1 covers what lies below, 0 leaves it.
        """
        self._waiting.append((np.asarray(points, dtype=float), np.array(colour).reshape(3, 1, 1), opacity))

    def copy(self) -> Canvas:
        """Return an independent canvas with the same picture, e.g. a background for the next frame."""
        self._paint()
        twin = Canvas(self.height, self.width)
        twin._pixels[:] = self._pixels
        return twin

    def image(self) -> np.ndarray:
        """Return the picture, (H, W, 3) uint8."""
        self._paint()
        # Colours such as 0.1 lie half-way between two levels, where the last bit would decide: round up.
        levels = np.rint(255.0 * np.clip(self._pixels, 0.0, 1.0) + 1e-6).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))

    def _paint(self) -> None:
        waiting, self._waiting = self._waiting, []
        areas = coverages([points for points, _, _ in waiting], self.height, self.width)
        for (_, colour, opacity), (top, left, alpha) in zip(waiting, areas, strict=True):
            below = self._pixels[:, top : top + alpha.shape[0], left : left + alpha.shape[1]]
            below += (alpha * opacity) * (colour - below)


def coverages(polygons: Sequence[np.ndarray], height: int, width: int) -> list[tuple[int, int, np.ndarray]]:
    """Measure how much of each pixel each polygon covers.

    Args:
        polygons: arrays (V, 2) of corners x, y in pixels.
        height: of the frame, which clips the polygons.
        width: of the frame.

    Returns:
        for each polygon the top row and left column of its bounding box, and the fractions covered, (h, w).
    """
    if not polygons:
        return []
    corners = np.concatenate(polygons)
    counts = np.array([len(points) for points in polygons])
    first = np.cumsum(counts) - counts
    following = np.arange(1, len(corners) + 1)
    following[first + counts - 1] = first
    low, high = np.minimum.reduceat(corners, first), np.maximum.reduceat(corners, first)
    left, top = np.clip(np.floor(low), 0, (width, height)).astype(int).T
    right, bottom = np.clip(np.ceil(high), 0, (width, height)).astype(int).T
    columns, rows = right - left, bottom - top
    sizes = rows * (columns + 1)
    offset = np.cumsum(sizes) - sizes

    owner = np.repeat(np.arange(len(polygons)), counts)
    edges = np.stack([corners[:, 1], corners[:, 0], corners[following, 1], corners[following, 0]])
    edges, row, parent = _cut_at_whole_numbers(edges)
    owner = owner[parent]
    # A level edge has no area beside it, and its row may already be the one below the box.
    inside = (row >= 0) & (row < height) & (edges[0] != edges[2])
    edges, row, owner = edges[:, inside], row[inside], owner[inside]
    (x0, y0, x1, y1), column, parent = _cut_at_whole_numbers(edges[[1, 0, 3, 2]])
    row, owner = row[parent], owner[parent]

    column = column - left[owner]
    fraction = 0.5 * (x0 + x1) - left[owner] - column
    # Left of the box an edge still darkens the whole row; right of it none of the row.
    fraction[(column < 0) | (column >= columns[owner])] = 0.0
    column = np.clip(column, 0, columns[owner])
    index = offset[owner] + (row - top[owner]) * (columns[owner] + 1) + column
    change = y1 - y0
    total = int(sizes.sum())
    steps = np.bincount(index, change * (1 - fraction), total + 1)
    steps += np.bincount(index + 1, change * fraction, total + 1)
    # The changes along a row of a closed outline sum to zero, so that one running sum serves all rows.
    covered = np.minimum(np.abs(np.cumsum(steps)), 1.0)
    return [
        (t, le, covered[o : o + r * (c + 1)].reshape(r, c + 1)[:, :c])
        for t, le, o, r, c in zip(*(a.tolist() for a in (top, left, offset, rows, columns)), strict=True)
    ]


def _cut_at_whole_numbers(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut segments wherever their first coordinate passes a whole number.

    Args:
        segments: (4, S) rows a0, b0, a1, b1: from (a0, b0) to (a1, b1).

    Returns:
        the pieces (4, P), the whole number below each one's first coordinate (P,), and its segment (P,).
    """
    lowest = np.floor(np.minimum(segments[0], segments[2]))
    count = np.maximum(np.ceil(np.maximum(segments[0], segments[2])) - lowest, 1).astype(int)
    parent = np.repeat(np.arange(len(count)), count)
    unit = lowest[parent] + (np.arange(len(parent)) - (np.cumsum(count) - count)[parent])
    a0, b0, a1, b1 = segments[:, parent]
    start, stop = np.clip(a0, unit, unit + 1), np.clip(a1, unit, unit + 1)
    span = a1 - a0
    safe = np.where(span == 0, 1.0, span)
    b_start = b0 + (b1 - b0) * ((start - a0) / safe)
    b_stop = b0 + (b1 - b0) * np.where(span == 0, 1.0, (stop - a0) / safe)
    return np.stack([start, b_start, stop, b_stop]), unit.astype(int), parent


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return ``first`` with a share of ``second``, both (red, green, blue) in 0…1."""
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


@lru_cache
def _circle(steps: int) -> np.ndarray:
    angle = np.arange(steps) * (2 * np.pi / steps)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, steps: int = 20) -> np.ndarray:
    """Return (steps, 2) corners of an ellipse around (x, y), turned clockwise by ``turn`` radians."""
    points = _circle(steps) * (rx, ry)
    if turn:
        points = points @ _rotation(turn)
    return points + (x, y)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Return the (4, 2) corners of an upright rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> np.ndarray:
    """Return (16, 2) corners of a rectangle with round corners."""
    middle = np.array([(x1 - radius, y1 - radius), (x0 + radius, y1 - radius),
                       (x0 + radius, y0 + radius), (x1 - radius, y0 + radius)])  # fmt: skip
    quarters = _circle(12)[(3 * np.arange(4)[:, None] + np.arange(4)) % 12]
    return (middle[:, None] + radius * quarters).reshape(-1, 2)


def _rotation(turn: float) -> np.ndarray:
    """The matrix that turns row vectors clockwise (y points down)."""
    return np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float, steps: int = 10) -> np.ndarray:
    """Return (steps, 2) points along an ellipse from angle ``start`` to ``stop`` (0 is right, π/2 down)."""
    angle = np.linspace(start, stop, steps)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def curve(points: Points, closed: bool = False, steps: int = 4) -> np.ndarray:
    """Return points along a smooth curve (a Catmull-Rom spline) through ``points`` (V, 2)."""
    knots = np.asarray(points, dtype=float)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, here, there, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    bent = 2 * here + (there - before) * t + (2 * before - 5 * here + 4 * there - after) * t**2
    bent = 0.5 * (bent + (3 * here - before - 3 * there + after) * t**3)
    path = bent.reshape(-1, 2)
    return path if closed else np.concatenate([path, knots[-1:]])


def thick(points: Points, width: float | Sequence[float], cap: int = 3) -> np.ndarray:
    """Return the outline of a line of some width through ``points`` (V, 2).

    Args:
        points: (V, 2) corners x, y.
        width: of the whole line, or one number per point (a tapering tube).
        cap: corners per round end; 0 gives flat ends.
    """
    path = np.asarray(points, dtype=float)
    half = 0.5 * np.asarray(width, dtype=float).reshape(-1, 1)
    step = path[1:] - path[:-1]
    step = step / np.maximum(np.sqrt((step**2).sum(axis=1, keepdims=True)), 1e-9)
    ahead = np.concatenate([step[:1], step[:-1] + step[1:], step[-1:]])
    # The sum of two unit steps over its squared length gives a mitred joint; the bound avoids spikes.
    squared = (ahead**2).sum(axis=1, keepdims=True)
    squared[1:-1] *= 0.5
    across = half * ahead[:, ::-1] * (-1, 1) / np.maximum(squared, 0.5)
    right, left = path + across, (path - across)[::-1]
    if not cap:
        return np.concatenate([right, left])
    cosine, sine = np.split(_circle(2 * cap + 2)[1 : cap + 1], 2, axis=1)
    end = path[-1] + cosine * across[-1] + sine * half[-1] * step[-1]
    start = path[0] - cosine * across[0] - sine * half[0] * step[0]
    return np.concatenate([right, end, left, start])


def mirrored_profile(profile: Points, steps: int = 4) -> np.ndarray:
    """Return a smooth closed outline, symmetric about x = 0, from half-widths and heights (V, 2)."""
    half = np.asarray(profile, dtype=float)
    return curve(np.concatenate([half, half[::-1] * (-1, 1)]), closed=True, steps=steps)


class Pen:
    """Draws shapes given in a drawing's own unit coordinates (about ±0.5) onto a placed part of a canvas.

    Args:
        canvas: to draw on.
        placement: where the unit coordinates lie in the canvas.
    """

    def __init__(self, canvas: Canvas, placement: Placement) -> None:
        self.canvas, self.placement = canvas, placement
        self.scale = placement.size * canvas.height
        self._parent: Pen | None = None
        self._matrix, self._origin = np.eye(2), np.zeros(2)
        self._shapes: list[tuple[np.ndarray, Colour, float]] = []

    def at(self, x: float, y: float, turn: float = 0.0, scale: float = 1.0) -> Pen:
        """Return a pen whose coordinates start at (x, y) of this one, turned clockwise and scaled."""
        pen = object.__new__(Pen)
        pen.__dict__.update(self.__dict__)
        pen._parent, pen.scale = self, self.scale * scale
        pen._matrix, pen._origin = scale * _rotation(turn), np.array([x, y], dtype=float)
        return pen

    def locate(self, points: Points) -> np.ndarray:
        """Express this pen's coordinates (…, 2) in those of the pen it was made from by :meth:`at`."""
        return np.asarray(points, dtype=float) @ self._matrix + self._origin

    def fill(self, points: Points, colour: Colour, opacity: float = 1.0) -> None:
        """Paint a polygon (V, 2)."""
        pen: Pen | None = self
        while pen is not None:
            points, pen = pen.locate(points), pen._parent
        self._shapes.append((points, colour, opacity))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0.0) -> None:
        """Paint an ellipse with as many corners as its size on the screen asks for."""
        pixels = max(rx, ry) * self.scale
        self.fill(ellipse(x, y, rx, ry, turn, 8 if pixels < 2 else 14 if pixels < 10 else 24), colour)

    def line(self, points: Points, width: float | Sequence[float], colour: Colour, cap: int = 3) -> None:
        """Paint a line of some width; ``cap=0`` gives flat ends."""
        self.fill(thick(points, width, cap), colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, radius: float = 0.0) -> None:
        """Paint an upright rectangle, its corners rounded if ``radius`` is given."""
        self.fill(rounded(x0, y0, x1, y1, radius) if radius else rectangle(x0, y0, x1, y1), colour)

    def paint(self) -> list[np.ndarray]:
        """Put the shapes on the canvas and return their corners in pixels."""
        points = np.concatenate([shape for shape, _, _ in self._shapes]) @ _rotation(self.placement.turn)
        points *= self.placement.size * self.canvas.height
        # Mirroring comes after turning, so that a mirrored picture is the exact mirror image.
        points *= (-1.0 if self.placement.mirrored else 1.0, 1.0)
        points += (self.placement.x * self.canvas.width, self.placement.y * self.canvas.height)
        stops = np.cumsum([len(shape) for shape, _, _ in self._shapes]).tolist()
        polygons = [points[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
        for polygon, (_, colour, opacity) in zip(polygons, self._shapes, strict=True):
            self.canvas.fill(polygon, colour, opacity)
        self._shapes.clear()
        return polygons


def box_around(polygons: Sequence[np.ndarray], canvas: Canvas) -> Box:
    """Return the exact box (x0, y0, x1, y1) around polygons, as fractions of the frame and clipped to it.

    All zeros if nothing lies inside the frame.
    """
    frame = np.array([canvas.width, canvas.height], dtype=float)
    points = np.concatenate(polygons)
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < 0).any() or (high > frame).any():
        # The frame may cut off the highest or lowest part of a shape, so the box is computed from pixels.
        seen = np.zeros((canvas.height, canvas.width), dtype=bool)
        for top, left, alpha in coverages(polygons, canvas.height, canvas.width):
            seen[top : top + alpha.shape[0], left : left + alpha.shape[1]] |= alpha > 0.5 / 255
        columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        if not len(columns):
            return 0.0, 0.0, 0.0, 0.0
        low = np.maximum(low, (columns[0], rows[0]))
        high = np.minimum(high, (columns[-1] + 1, rows[-1] + 1))
    return (*(low / frame).tolist(), *(high / frame).tolist())
