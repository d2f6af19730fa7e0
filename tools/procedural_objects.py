"""Drawings of random everyday objects, from which the warm start is trained.

They replace ImageNet. No instrument is among them, and no drawing of the toy band is used. Long bodies, sticks
across round shapes, parallel bars and people who hold something are, so that the features help with instruments.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from sopedu.toyband.raster import (
    Box,
    Canvas,
    Colour,
    Pen,
    Placement,
    arc,
    box_around,
    curve,
    mirrored_profile,
)

_Family = Callable[[Pen, Generator, list[Colour]], None]


def draw(canvas: Canvas, family: str, generator: Generator, placement: Placement) -> Box:
    """Paint an object of a family with random proportions and colours.

    Args:
        canvas: is painted on.
        family: one of :data:`CLASSES`.
        generator: decides proportions and colours.
        placement: where the object stands, how large and how tilted.

    Returns:
        The box (x0, y0, x1, y1) around it, fractions of the canvas's width and height, clipped to the canvas.

    Raises:
        ValueError: ``family`` is not one of :data:`CLASSES`.
    """
    if family not in CLASSES:
        raise ValueError(f"unknown family of objects {family!r}: choose one of {', '.join(CLASSES)}")
    pen = Pen(canvas, placement)
    colours = [
        colorsys.hsv_to_rgb(generator.random(), generator.uniform(0.1, 0.95), generator.uniform(0.1, 1.0))
        for _ in range(4)
    ]
    _DRAWINGS[CLASSES.index(family)](pen, generator, colours)
    return box_around(pen.paint(), canvas)


def _mug(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    half, high = generator.uniform(0.2, 0.32), generator.uniform(0.3, 0.48)
    pen.line(arc(half, 0, 0.16, 0.5 * high, -1.6, 1.6), 0.06, colours[0])
    pen.box(-half, -high, half, high, colours[0], 0.05)
    pen.ellipse(0, -high, half, 0.07, colours[1])


def _key(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    pen.line([(0, -0.2), (0, 0.48)], generator.uniform(0.04, 0.08), colours[0])
    for tooth in np.linspace(0.25, 0.45, int(generator.integers(2, 4))):
        pen.line([(0, tooth), (generator.uniform(0.08, 0.18), tooth)], 0.05, colours[0], cap=0)
    pen.line(arc(0, -0.3, generator.uniform(0.1, 0.2), 0.15, 0, 2 * np.pi, 20), 0.07, colours[0])


def _tree(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    pen.line([(0, 0.5), (0, 0)], [generator.uniform(0.07, 0.14), 0.06], colours[1], cap=0)
    if generator.random() < 0.5:
        for tier in range(3):
            half, top = generator.uniform(0.16, 0.2) * (1 + 0.4 * tier), 0.2 * tier - 0.5
            pen.fill([(0, top), (half, top + 0.35), (-half, top + 0.35)], colours[0])
    else:
        for x, y in generator.uniform(-0.17, 0.17, (6, 2)):
            pen.ellipse(x, y - 0.2, 0.16, 0.14, colours[0])


def _house(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    half, eaves = generator.uniform(0.28, 0.45), generator.uniform(-0.2, 0.05)
    pen.box(-half, eaves, half, 0.5, colours[0])
    pen.fill([(-half - 0.05, eaves), (0, -0.5), (half + 0.05, eaves)], colours[1])
    pen.box(-0.3 * half, 0.2, 0.15 * half, 0.5, colours[2])
    pen.box(0.35 * half, 0.12, 0.75 * half, 0.28, colours[3])


def _car(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    front, back = generator.uniform(0.1, 0.25, 2)
    pen.fill([(-front - 0.1, 0), (-front, -0.22), (back, -0.22), (back + 0.12, 0)], colours[1])
    pen.box(-0.5, -0.04, 0.5, 0.16, colours[0], 0.06)
    for x in (-0.28, 0.28):
        pen.ellipse(x, 0.16, 0.11, 0.11, colours[2])
        pen.ellipse(x, 0.16, 0.05, 0.05, colours[3])


def _fish(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    high = generator.uniform(0.12, 0.25)
    pen.fill([(0.25, 0), (0.5, -high), (0.44, 0), (0.5, high)], colours[1])
    pen.fill([(-0.1, -0.8 * high), (0.1, -1.6 * high), (0.15, -0.5 * high)], colours[1])
    pen.ellipse(-0.1, 0, 0.4, high, colours[0])
    pen.ellipse(-0.33, -0.2 * high, 0.03, 0.03, colours[2])


def _umbrella(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    wide = generator.uniform(0.35, 0.5)
    pen.line(np.concatenate([[(0, -0.45)], arc(0.06, 0.4, 0.06, 0.08, np.pi, 0, 6)]), 0.035, colours[1])
    scallops = [arc(wide * (0.67 - 0.67 * n), 0, wide / 3, 0.07, 0, -np.pi, 5) for n in range(3)]
    pen.fill(np.concatenate([arc(0, 0, wide, 0.45, -np.pi, 0, 14), *scallops]), colours[0])


def _chair(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    half, seat = generator.uniform(0.18, 0.27), generator.uniform(0.0, 0.12)
    for x in (-half, half):
        pen.line([(x, seat), (1.15 * x, 0.5)], 0.05, colours[1], cap=0)
    pen.line([(-half, -0.5), (-half, seat)], 0.06, colours[1], cap=0)
    for rung in np.linspace(-0.45, -0.1, int(generator.integers(2, 5))):
        pen.box(-half, rung, half, rung + 0.06, colours[0])
    pen.line([(half, -0.5), (half, seat)], 0.06, colours[1], cap=0)
    pen.box(-half - 0.04, seat - 0.04, half + 0.04, seat + 0.04, colours[0])


def _star(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    points = int(generator.integers(4, 8))
    radius = np.where(np.arange(2 * points) % 2, generator.uniform(0.15, 0.28), 0.5)
    angle = np.arange(2 * points) * (np.pi / points)
    pen.fill(np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1), colours[0])


def _arrow(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    width, head = generator.uniform(0.05, 0.2), generator.uniform(0.15, 0.3)
    pen.line([(-0.5, 0), (0.2, 0)], width, colours[0], cap=0)
    pen.fill([(0.5, 0), (0.12, -head), (0.12, head)], colours[0])


def _ring(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    width = generator.uniform(0.06, 0.2)
    pen.line(arc(0, 0, generator.uniform(0.2, 0.4), 0.4, 0, 2 * np.pi, 28), width, colours[0], cap=0)


def _glyph(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    """A letter: strokes between the nine points a … i of a 3 × 3 grid."""
    letters = ("bg|bi|df", "ag|ac|df|gi", "ag|ci|df", "ag|dc|di", "ag|ai|ci", "ac|bh", "ai|cg", "ac|cg|gi")
    place = {name: (0.32 * (n % 3 - 1), 0.42 * (n // 3 - 1)) for n, name in enumerate("abcdefghi")}
    width = generator.uniform(0.07, 0.15)
    for stroke in letters[int(generator.integers(len(letters)))].split("|"):
        pen.line([place[stroke[0]], place[stroke[1]]], width, colours[0])


def _gear(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    for angle in np.arange(teeth := int(generator.integers(6, 11))) * (2 * np.pi / teeth):
        pen.at(0, 0, angle).box(-0.06, -0.5, 0.06, 0.0, colours[0])
    pen.ellipse(0, 0, 0.4, 0.4, colours[0])
    pen.ellipse(0, 0, *[generator.uniform(0.1, 0.25)] * 2, colours[1])


def _mushroom(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    wide, stem = generator.uniform(0.3, 0.48), generator.uniform(0.08, 0.16)
    pen.fill(mirrored_profile([(0.7 * stem, -0.1), (stem, 0.2), (1.3 * stem, 0.46)]), colours[1])
    pen.fill(arc(0, 0, wide, 0.48, -np.pi, 0, 16), colours[0])
    for x, y in generator.uniform(-1, 1, (5, 2)):
        pen.ellipse(0.6 * wide * x, -0.2 + 0.12 * y, 0.045, 0.04, colours[2])


def _bottle(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    half, neck = generator.uniform(0.12, 0.2), generator.uniform(0.04, 0.07)
    profile = [(neck, -0.5), (neck, -0.25), (half, -0.08), (half, 0.46), (0.8 * half, 0.5)]
    pen.fill(mirrored_profile(profile), colours[0])
    pen.box(-half, 0.05, half, 0.3, colours[1])


def _ladder(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    half = generator.uniform(0.12, 0.22)
    for rung in np.linspace(-0.42, 0.42, int(generator.integers(5, 9))):
        pen.line([(-half, rung), (half, rung)], 0.04, colours[1], cap=0)
    for side in (-half, half):
        pen.line([(side, -0.5), (side, 0.5)], 0.05, colours[0], cap=0)


def _fence(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    for y in (-0.1, 0.18):
        pen.box(-0.5, y, 0.5, y + 0.06, colours[1])
    bars = int(generator.integers(5, 10))
    for x in np.linspace(-0.45, 0.45, bars):
        half, top = 0.3 / bars, generator.uniform(-0.36, -0.3)
        pen.fill(
            [(x - half, 0.35), (x - half, top), (x, top - 0.08), (x + half, top), (x + half, 0.35)],
            colours[0],
        )


def _bird(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    for x in (-0.05, 0.06):
        pen.line([(x, 0.1), (x, 0.42)], 0.025, colours[2])
    pen.fill([(0.15, -0.05), (0.5, -0.2), (0.45, 0.05), (0.2, 0.12)], colours[1])
    pen.ellipse(0.0, 0.0, 0.28, generator.uniform(0.13, 0.22), colours[0], 0.2)
    pen.fill([(-0.34, -0.3), (-0.5, -0.2), (-0.3, -0.18)], colours[2])
    pen.ellipse(-0.24, -0.24, 0.13, 0.12, colours[0])
    pen.ellipse(0.06, 0.0, 0.17, 0.09, colours[1], generator.uniform(0.2, 0.7))


def _porter(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    """A person who carries a crate or a stick."""
    for side in (-1, 1):
        pen.line([(0.05 * side, 0.1), (0.1 * side, 0.5)], 0.09, colours[1], cap=0)
    pen.box(-0.13, -0.24, 0.13, 0.2, colours[0], 0.05)
    pen.ellipse(0, -0.37, 0.11, 0.12, (0.85, 0.65, 0.5))
    x, y, turn = generator.uniform(-0.2, 0.25), generator.uniform(-0.2, 0.1), generator.uniform(-1.5, 1.5)
    held = pen.at(x, y, turn)
    if generator.random() < 0.5:
        held.box(-0.14, -0.1, 0.14, 0.1, colours[2])
    else:
        held.line([(0, -0.35), (0, 0.35)], generator.uniform(0.02, 0.07), colours[2])
    for side in (-1, 1):
        pen.line(
            curve([(0.13 * side, -0.18), (0.26 * side, 0.02), (x + 0.04 * side, y)], steps=3),
            0.06,
            colours[3],
        )


def _lollipop(pen: Pen, generator: Generator, colours: list[Colour]) -> None:
    """A round shape with sticks across it."""
    for turn in generator.uniform(-0.7, 0.7, int(generator.integers(1, 3))):
        pen.at(0, 0.05, turn).line([(0, -0.45), (0, 0.45)], 0.04, colours[1])
    radius_x, radius_y = generator.uniform(0.14, 0.3, 2)
    pen.ellipse(0, -0.15, radius_x, radius_y, colours[0])
    pen.ellipse(0, -0.15, 0.5 * radius_x, 0.5 * radius_y, colours[2])


_DRAWINGS: tuple[_Family, ...] = (
    _mug, _key, _tree, _house, _car, _fish, _umbrella, _chair, _star, _arrow, _ring, _glyph, _gear,
    _mushroom, _bottle, _ladder, _fence, _bird, _porter, _lollipop,
)  # fmt: skip

#: The families' names, in the order of their labels.
CLASSES = tuple(drawing.__name__.strip("_") for drawing in _DRAWINGS)
