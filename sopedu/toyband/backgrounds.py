"""Cluttered backgrounds: a room with things in it, and never an instrument."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.random import Generator

from sopedu.toyband.raster import Canvas, Colour, Pen, Placement, curve, mixed
from sopedu.toyband.splits import generator_for


def paint(canvas: Canvas, identity: int) -> None:
    """Cover a canvas with the background that belongs to an identity, always the same one.

    The room is drawn in coordinates from -0.5 to 0.5 of the frame's height, wider if the frame is wider.

    Args:
        canvas: to paint on.
        identity: which background.
    """
    generator = generator_for("background", identity)
    pen = Pen(canvas, Placement(0.5, 0.5, 1.0))
    reach = 0.5 * canvas.width / canvas.height
    horizon = float(generator.uniform(0.1, 0.38))
    _room(pen, generator, reach, horizon)
    things = (_window, _shelf, _picture, _plant, _lamp, _blob, _stripes, _pole, _cupboard, _rug)
    for thing in generator.choice(len(things), int(generator.integers(6, 10))):
        x = float(generator.uniform(-reach, reach))
        things[thing](pen, generator, x, horizon)
    pen.paint()


def _muted(generator: Generator) -> Colour:
    hue, saturation, value = generator.random(3).tolist()
    return colorsys.hsv_to_rgb(hue, 0.05 + 0.4 * saturation, 0.3 + 0.6 * value)


def _room(pen: Pen, generator: Generator, reach: float, horizon: float) -> None:
    top, bottom, near, far = (_muted(generator) for _ in range(4))
    for rows, start, stop, first, last in ((6, -0.5, horizon, top, bottom), (3, horizon, 0.5, near, far)):
        for row in range(rows):
            # Each band overlaps the next one; otherwise the background would be visible along their edges.
            upper = start + (stop - start) * row / rows
            pen.box(-reach, upper, reach, stop, mixed(first, last, 0.6 * row / rows))
    if generator.random() < 0.5:
        pen.box(-reach, horizon - 0.015, reach, horizon + 0.01, _muted(generator))
    if generator.random() < 0.4:
        slope = generator.uniform(-0.3, 0.3)
        for start in np.arange(-reach, reach, 0.22):
            pen.line([(start, horizon), (start * 1.8 + slope, 0.5)], 0.008, _muted(generator), cap=0)


def _window(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    half, top = generator.uniform(0.09, 0.18), generator.uniform(-0.45, -0.25)
    bottom = min(top + generator.uniform(0.25, 0.45), horizon)
    pen.box(x - half, top, x + half, bottom, _muted(generator))
    pen.box(x - half + 0.02, top + 0.02, x + half - 0.02, bottom - 0.02, (0.75, 0.83, 0.9))
    pen.box(x - 0.008, top, x + 0.008, bottom, _muted(generator))
    if generator.random() < 0.6:
        cloth = _muted(generator)
        for side in (-1, 1):
            edge, hem = x + side * half, bottom + 0.08
            upper = [(edge - 0.06, top - 0.03), (edge + 0.06, top - 0.03)]
            pen.fill([*upper, (edge + 0.035 + 0.015 * side, hem), (edge - 0.035 + 0.015 * side, hem)], cloth)


def _shelf(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y, half = generator.uniform(-0.3, horizon), generator.uniform(0.1, 0.2)
    pen.box(x - half, y, x + half, y + 0.02, _muted(generator))
    for left in np.arange(x - half, x + half - 0.04, generator.uniform(0.04, 0.06)):
        high, wide = generator.uniform(0.06, 0.15), generator.uniform(0.025, 0.04)
        pen.box(left, y - high, left + wide, y, _muted(generator))


def _picture(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y = generator.uniform(-0.4, -0.1)
    half, high = generator.uniform(0.06, 0.14, 2)
    pen.box(x - half, y - high, x + half, y + high, _muted(generator))
    pen.box(x - half + 0.02, y - high + 0.02, x + half - 0.02, y + high - 0.02, _muted(generator))
    pen.ellipse(x, y, 0.5 * half, 0.4 * high, _muted(generator), generator.uniform(0, 3))


def _plant(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y, size = horizon + generator.uniform(0.0, 0.15), generator.uniform(0.12, 0.25)
    green = colorsys.hsv_to_rgb(generator.uniform(0.2, 0.45), 0.45, generator.uniform(0.3, 0.6))
    for angle in np.linspace(-1.1, 1.1, 6) + generator.uniform(-0.2, 0.2):
        leaf = pen.at(x, y - 0.08, angle, size)
        leaf.ellipse(0, -0.5, 0.12, 0.5, green)
    pen.line([(x, y - 0.09), (x, y + 0.03)], [0.12, 0.09], _muted(generator), cap=0)


def _lamp(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y, shade = generator.uniform(-0.3, 0.0), generator.uniform(0.06, 0.11)
    pen.line([(x, y), (x, horizon + 0.1)], 0.015, _muted(generator))
    pen.ellipse(x, horizon + 0.1, 0.07, 0.02, _muted(generator))
    pen.line([(x, y - 0.1), (x, y + 0.03)], [shade, 2 * shade], _muted(generator), cap=0)


def _blob(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y, angle = generator.uniform(-0.4, 0.45), np.arange(7) * (2 * np.pi / 7)
    radius = generator.uniform(0.03, 0.13, 7)
    points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)
    pen.fill(curve(points, closed=True), _muted(generator))


def _stripes(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y, turn, colour = generator.uniform(-0.4, 0.4), generator.uniform(0, 3.1), _muted(generator)
    stripe = pen.at(x, y, turn)
    length, gap = generator.uniform(0.08, 0.2), generator.uniform(0.03, 0.05)
    for place in range(int(generator.integers(3, 6))):
        stripe.box(-length, gap * place, length, gap * (place + 0.55), colour)


def _pole(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    lean, y, drop = generator.uniform(-0.4, 0.4), generator.uniform(-0.5, -0.1), generator.uniform(0.3, 0.7)
    pen.line([(x, y), (x + lean, y + drop)], generator.uniform(0.012, 0.035), _muted(generator))


def _cupboard(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    half, top = generator.uniform(0.1, 0.18), horizon - generator.uniform(0.12, 0.4)
    pen.box(x - half, top, x + half, horizon + 0.06, _muted(generator))
    front = _muted(generator)
    for side in (-1, 1):
        door = x + 0.5 * side * half
        pen.box(door - 0.4 * half, top + 0.03, door + 0.4 * half, horizon + 0.02, front)
        pen.ellipse(x + side * 0.2 * half, 0.5 * (top + horizon), 0.012, 0.012, _muted(generator))


def _rug(pen: Pen, generator: Generator, x: float, horizon: float) -> None:
    y, half = 0.5 * (horizon + 0.5), generator.uniform(0.15, 0.35)
    pen.ellipse(x, y, half, 0.3 * half, _muted(generator))
    pen.ellipse(x, y, 0.7 * half, 0.2 * half, _muted(generator))
