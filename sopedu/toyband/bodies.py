"""The bodies of the players: their colours and proportions, and how trunk, head and arms are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sopedu.toyband.raster import Colour, Pen, arc, curve, mirrored_profile, mixed


@dataclass(frozen=True)
class Look:
    """Colours and proportions of one instrument and its player.

    Attributes:
        skin: colour of face and hands.
        hair: colour of the hair.
        clothing: colour of shirt and sleeves.
        trousers: colour of the legs.
        accent: a bright colour for small parts, e.g. collar and bellows.
        body: colour of the instrument.
        shade: a darker ``body``.
        outline: colour of the instrument's outline.
        metal: colour of keys and pegs.
        seat: colour of the stool.
        hairstyle: 0 short, 1 long, 2 with a bun, 3 bald.
        head: size of the head; 1 is the drawing's standard.
        girth: width of the trunk; 1 is the drawing's standard.
        instrument: size of the instrument; 1 is the drawing's standard.
        stretch: width of the instrument's body; 1 is the drawing's standard.
    """

    skin: Colour
    hair: Colour
    clothing: Colour
    trousers: Colour
    accent: Colour
    body: Colour
    shade: Colour
    outline: Colour
    metal: Colour
    seat: Colour
    hairstyle: int
    head: float
    girth: float
    instrument: float
    stretch: float


@dataclass(frozen=True)
class Motion:
    """Movement of a player at one moment.

    Attributes:
        activity: loudness of the current note, 0…1.
        stroke: position of the bow, mallet, arm or bellows on its way, -1…1.
        pitch: position of the current note between the lowest (0) and the highest (1) of the melody.
    """

    activity: float
    stroke: float
    pitch: float


def standing(pen: Pen, look: Look) -> None:
    """Draw legs and trunk of a standing player.

    Args:
        pen: its coordinates reach about ±0.5; the player stands in the middle.
        look: colours and proportions.
    """
    for side in (-1, 1):
        pen.line([(0.06 * side, 0.12), (0.075 * side, 0.45)], 0.105, look.trousers, cap=0)
        pen.ellipse(0.09 * side, 0.47, 0.07, 0.03, look.shade)
    _trunk(pen, look)


def sitting(pen: Pen, look: Look) -> None:
    """Draw stool, trunk and parted legs of a player who sits facing the viewer.

    Args:
        pen: its coordinates reach about ±0.5; the player stands in the middle.
        look: colours and proportions.
    """
    pen.box(-0.15, 0.16, 0.15, 0.24, look.seat, 0.03)
    for side in (-1, 1):
        pen.line([(0.09 * side, 0.24), (0.11 * side, 0.48)], 0.03, look.seat, cap=0)
    _trunk(pen, look)
    for side in (-1, 1):
        leg = curve([(0.06 * side, 0.14), (0.18 * side, 0.19), (0.19 * side, 0.45)])
        pen.line(leg, 0.1, look.trousers, cap=0)
        pen.ellipse(0.205 * side, 0.47, 0.065, 0.03, look.shade)


def _trunk(pen: Pen, look: Look) -> None:
    pen.line([(0, -0.28), (0, -0.2)], 0.08, look.skin, cap=0)
    profile = [(0.07, -0.235), (0.15 * look.girth, -0.17), (0.125 * look.girth, 0.2)]
    pen.fill(mirrored_profile(profile, 3), look.clothing)
    pen.fill([(-0.05, -0.232), (0.05, -0.232), (0.0, -0.16)], look.accent)


def head(pen: Pen, look: Look, x: float = 0.0, y: float = -0.36, facing: float = 0.0) -> None:
    """Draw a head.

    Args:
        pen: its coordinates reach about ±0.5.
        look: colours and proportions.
        x: centre of the head.
        y: centre of the head, downwards.
        facing: turns the head from the viewer (0) to the right (1) or left (-1).
    """
    radius = 0.11 * look.head
    if look.hairstyle == 1:
        pen.ellipse(x - 0.4 * radius * facing, y + 0.5 * radius, 1.15 * radius, 1.2 * radius, look.hair)
    if look.hairstyle == 2:
        pen.ellipse(x - radius * facing, y - 0.9 * radius, 0.5 * radius, 0.5 * radius, look.hair)
    pen.ellipse(x, y, radius, 1.1 * radius, look.skin)
    if facing:
        pen.ellipse(x + facing * radius, y + 0.12 * radius, 0.25 * radius, 0.18 * radius, look.skin)
    low, high = np.pi * (1.0 - 0.22 * max(facing, 0)), np.pi * (2.0 + 0.22 * min(facing, 0))
    if look.hairstyle < 3:
        cap = arc(x, y - 0.1 * radius, 1.08 * radius, 1.08 * radius, low, high - 0.25 * max(facing, 0), 12)
        pen.fill(np.concatenate([cap, [(x - 0.2 * radius * facing, y - 0.35 * radius)]]), look.hair)
    for side in (-1, 1):
        eye = x + (0.38 * side * (1 - abs(facing)) + 0.5 * facing) * radius
        pen.ellipse(eye, y, 0.012, 0.017, (0.1, 0.08, 0.08))


def arm(pen: Pen, look: Look, side: int, hand: Sequence[float], elbow: Sequence[float] | None = None) -> None:
    """Draw an arm.

    Args:
        pen: its coordinates reach about ±0.5.
        look: colours and proportions.
        side: shoulder from which it starts, -1 for the left and 1 for the right one as the viewer sees it.
        hand: (x, y) of the hand.
        elbow: (x, y) of the elbow; None bends the arm a little.
    """
    shoulder = (0.135 * look.girth * side, -0.17)
    if elbow is None:
        elbow = (0.5 * (shoulder[0] + hand[0]) + 0.08 * side, 0.5 * (shoulder[1] + hand[1]) + 0.07)
    sleeve = mixed(look.clothing, (0.0, 0.0, 0.0), 0.22)
    pen.line(curve([shoulder, elbow, hand], steps=3), 0.062, sleeve)
    pen.ellipse(hand[0], hand[1], 0.034, 0.034, look.skin)
