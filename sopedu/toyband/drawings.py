"""Drawings of the eleven instruments with their players, made of simple shapes.

Each instrument is a function of a pen, a look and a moment of playing, entered in ``instruments.py``. It draws in unit
coordinates: (0, 0) is the drawing's centre, y points down, and the drawing reaches about ±0.5. The silhouettes differ
enough to be told apart in 64 × 64 pixels without colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sopedu.toyband.bodies import Look, Motion, arm, head, sitting, standing
from sopedu.toyband.raster import Colour, Pen, arc, curve, ellipse, mirrored_profile, mixed

_PALE: Colour = (0.95, 0.93, 0.86)
_DARK: Colour = (0.1, 0.09, 0.09)


def _tube(pen: Pen, look: Look, points: Sequence | np.ndarray, width: float | Sequence[float]) -> None:
    """Draw a tube, perhaps tapering, with a dark outline and a bright streak of light along it."""
    widths = np.asarray(width, dtype=float)
    pen.line(points, widths + 0.018, look.outline, cap=0)
    pen.line(points, widths, look.body, cap=0)
    pen.line(points, 0.3 * widths, mixed(look.body, (1.0, 1.0, 1.0), 0.45), cap=0)


def _raised(motion: Motion) -> float:
    """Return how far a wind player lifts the instrument: with every note, and swaying from note to note."""
    return motion.activity * (0.4 + 0.6 * motion.stroke)


def _outlined(pen: Pen, look: Look, points: np.ndarray, colour: Colour, width: float) -> None:
    """Draw a filled shape with an outline of some width, in the pen's coordinates."""
    pen.fill(points, colour)
    pen.line(np.concatenate([points, points[:2]]), width, look.outline, cap=0)


def _bow(pen: Pen, x: float, y: float, turn: float, length: float, travel: float) -> np.ndarray:
    """Draw a bow across (x, y), shifted along itself by ``travel``; return where the hand holds it."""
    bow = pen.at(x, y, turn)
    tip, frog = travel - 0.5 * length, travel + 0.5 * length
    bow.line([(tip, 0), (frog, 0)], 0.012, _PALE, cap=0)
    bow.line(curve([(tip, -0.004), (travel, -0.024), (frog, -0.02)]), 0.014, (0.3, 0.12, 0.06))
    bow.line([(frog - 0.04, -0.008), (frog, -0.008)], 0.032, _DARK)
    return bow.locate((frog - 0.01, -0.005))


def _strings(pen: Pen, start: float, stop: float, spread: float, colour: Colour) -> None:
    for place in (-1, 0, 1):
        pen.line([(spread * place, start), (0.8 * spread * place, stop)], 0.011, colour, cap=0)


def _fiddle(pen: Pen, look: Look) -> None:
    """Draw a violin or cello, its body reaching over ±0.5 of the pen's units and its scroll to -1.25."""
    wide = look.stretch
    pen.line([(0, -0.4), (0, -1.15)], [0.1, 0.075], look.shade)
    pen.ellipse(0, -1.19, 0.07, 0.07, look.shade)
    for side in (-1, 1):
        pen.line([(0, -1.08 - 0.05 * side), (0.13 * side, -1.08 - 0.05 * side)], 0.045, _DARK)
    profile = [(0.08, -0.5), (0.24, -0.43), (0.27, -0.27), (0.19, -0.13), (0.17, 0.02), (0.24, 0.12),
               (0.335, 0.24), (0.32, 0.4), (0.14, 0.5)]  # fmt: skip
    _outlined(pen, look, mirrored_profile(np.multiply(profile, (wide, 1)), 3), look.body, 0.045)
    for side in (-1, 1):
        hole = np.multiply([(0.1, -0.06), (0.14, 0.02), (0.14, 0.14), (0.18, 0.2)], (side, 1))
        pen.line(hole, 0.035, look.outline)
    pen.fill([(-0.06, 0.24), (0.06, 0.24), (0.035, 0.46), (-0.035, 0.46)], _DARK)
    pen.line([(0, -1.1), (0, -0.15)], 0.06, _DARK, cap=0)
    pen.box(-0.09, 0.08, 0.09, 0.12, _PALE)
    _strings(pen, 0.24, -1.1, 0.03, _PALE)


def accordion(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw an accordionist, seated, with bellows that open and close."""
    sitting(pen, look)
    head(pen, look, 0.015 * motion.stroke * motion.activity)
    opening = 0.2 + 0.08 * motion.stroke
    treble = pen.at(-opening - 0.06, 0.01, -0.05 - 0.06 * motion.stroke, 1.1)
    bass = pen.at(opening + 0.06, 0.01, 0.05 + 0.06 * motion.stroke, 1.1)
    fingers = treble.locate((-0.1, -0.12 + 0.24 * motion.pitch))
    arm(pen, look, -1, fingers, treble.locate((-0.13, 0.1)))
    arm(pen, look, 1, bass.locate((0.09, 0.02)), bass.locate((0.13, 0.12)))
    upper_left, lower_left = treble.locate([(0.04, -0.17), (0.04, 0.17)])
    upper_right, lower_right = bass.locate([(-0.04, -0.17), (-0.04, 0.17)])
    folds = 13
    share = np.linspace(0, 1, folds)[:, None]
    teeth = 0.022 * (np.arange(folds) % 2)[:, None] * (0, 1)
    upper = upper_left + share * (upper_right - upper_left) - teeth
    lower = lower_left + share * (lower_right - lower_left) + teeth
    pen.fill(np.concatenate([upper, lower[::-1]]), look.accent)
    for fold in range(1, folds - 1, 2):
        pen.fill(np.stack([upper[fold], upper[fold + 1], lower[fold + 1], lower[fold]]), _DARK)
    for box, side in ((treble, -1), (bass, 1)):
        x0, x1 = (-0.05, 0.055) if side < 0 else (-0.055, 0.06)
        box.box(x0 - 0.012, -0.217, x1 + 0.012, 0.217, look.outline, 0.03)
        box.box(x0, -0.205, x1, 0.205, look.body, 0.025)
    treble.box(-0.13, -0.19, -0.04, 0.19, look.outline)
    treble.box(-0.122, -0.182, -0.046, 0.182, _PALE)
    for key in range(8):
        y = -0.162 + 0.0425 * key
        treble.box(-0.095, y, -0.046, y + 0.024, _DARK)
    for button in range(4):
        bass.ellipse(0.02, -0.13 + 0.085 * button, 0.016, 0.016, _PALE)
    pen.ellipse(*fingers, 0.034, 0.034, look.skin)


def acoustic_guitar(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a guitarist, seated, with a strumming hand."""
    sitting(pen, look)
    head(pen, look, 0.0, -0.36 + 0.008 * motion.activity, 0.25)
    guitar = pen.at(-0.05, 0.07, 1.05 + 0.03 * motion.activity * motion.stroke, 0.43 * look.instrument)
    guitar.line([(0, -0.3), (0, -1.25)], 0.125, look.outline, cap=0)
    guitar.line([(0, -0.4), (0, -1.2)], 0.085, look.shade, cap=0)
    guitar.fill([(-0.06, -1.2), (0.06, -1.2), (0.11, -1.5), (-0.11, -1.5)], look.outline)
    for peg in range(6):
        guitar.ellipse((0.13, -0.13)[peg % 2], -1.26 - 0.09 * (peg // 2), 0.035, 0.03, look.metal)
    profile = [(0.12, -0.52), (0.29, -0.44), (0.31, -0.29), (0.245, -0.12), (0.27, 0.02), (0.38, 0.17),
               (0.4, 0.34), (0.29, 0.48), (0.1, 0.53)]  # fmt: skip
    _outlined(guitar, look, mirrored_profile(np.multiply(profile, (look.stretch, 1)), 3), look.body, 0.045)
    guitar.ellipse(0, -0.13, 0.155, 0.155, look.metal)
    guitar.ellipse(0, -0.13, 0.125, 0.125, _DARK)
    guitar.box(-0.17, 0.25, 0.17, 0.32, look.outline)
    _strings(guitar, 0.28, -1.45, 0.045, _PALE)
    arm(pen, look, 1, guitar.locate((0.05, -1.15 + 0.5 * motion.pitch)), (0.26, 0.1))
    strum = guitar.locate((0.16 * motion.stroke, 0.05))
    arm(pen, look, -1, strum, (-0.27, 0.0))


def cello(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a cellist, seated, with a moving bow."""
    sitting(pen, look)
    head(pen, look, -0.06, -0.36, 0.02 * motion.stroke)
    cello = pen.at(0.03, 0.15, 0.1, 0.5 * look.instrument)
    cello.line([(0, 0.5), (0, 0.66)], 0.04, look.metal)
    _fiddle(cello, look)
    grip = cello.locate((0.03, -1.0 + 0.55 * motion.pitch))
    arm(pen, look, 1, grip, (0.26, -0.08))
    hold = _bow(pen, *cello.locate((0, -0.02)), np.pi + 0.08, 0.56, 0.15 * motion.stroke)
    arm(pen, look, -1, hold, (-0.27, -0.02))


def clarinet(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a clarinettist, standing, in profile."""
    standing(pen, look)
    head(pen, look, 0.0, -0.36 - 0.01 * motion.activity, 1.0)
    clarinet = pen.at(0.1, -0.3, -0.62 - 0.22 * _raised(motion), look.instrument)
    arm(pen, look, 1, clarinet.locate((0.0, 0.4)), (0.17, 0.08))
    clarinet.line([(0, 0.0), (0, 0.07)], [0.02, 0.045], _DARK)
    _tube(clarinet, look, [(0, 0.06), (0, 0.5), (0, 0.55), (0, 0.6)], [0.045, 0.05, 0.065, 0.12])
    for joint in (0.08, 0.29, 0.48):
        clarinet.line([(-0.028, joint), (0.028, joint)], 0.016, look.metal, cap=0)
    for key in range(6):
        clarinet.ellipse(0.004, 0.13 + 0.055 * key + 0.02 * (key > 2), 0.016, 0.013, look.metal)
    arm(pen, look, -1, clarinet.locate((-0.01, 0.2 + 0.02 * motion.pitch)), (-0.1, 0.06))


def erhu(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw an erhu player, seated, with a moving bow."""
    sitting(pen, look)
    head(pen, look, -0.06, -0.36)
    erhu = pen.at(0.16, 0.14, 0.05)
    erhu.line([(0, 0.05), (0, -0.56), (-0.03, -0.62)], 0.046, look.outline)
    erhu.line([(0, 0.05), (0, -0.56), (-0.03, -0.62)], 0.028, look.body)
    for peg in (-0.51, -0.41):
        erhu.line([(-0.03, peg), (0.15, peg - 0.02)], [0.022, 0.036], look.outline)
    for string in (-0.016, 0.016):
        erhu.line([(string * 0.4, -0.5), (string - 0.02, 0.03)], 0.007, _PALE, cap=0)
    for size, colour in ((1.15, look.outline), (1.0, look.body), (0.65, _PALE)):
        erhu.fill(size * look.instrument * ellipse(0, 0, 0.1, 0.092, steps=6), colour)
    arm(pen, look, 1, erhu.locate((0.0, -0.36 + 0.2 * motion.pitch)), (0.27, -0.02))
    hold = _bow(pen, *erhu.locate((0, -0.11)), np.pi + 0.03, 0.6, 0.14 * motion.stroke)
    arm(pen, look, -1, hold, (-0.27, 0.0))


def flute(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a flutist, standing, with the flute held sideways."""
    standing(pen, look)
    head(pen, look, -0.1, -0.36 - 0.01 * motion.activity, 0.2)
    flute = pen.at(-0.1, -0.3, 0.06 + 0.1 * motion.activity * motion.stroke, look.instrument)
    _tube(flute, look, [(-0.09, 0), (0.6, 0)], 0.036)
    flute.ellipse(0, -0.008, 0.03, 0.014, look.outline)
    for joint in (0.14, 0.5):
        flute.line([(joint, -0.022), (joint, 0.022)], 0.016, look.outline, cap=0)
    for key in range(6):
        flute.ellipse(0.2 + 0.048 * key, -0.008, 0.017, 0.017, look.metal)
    arm(pen, look, -1, flute.locate((0.19, 0.03)), (-0.16, -0.02))
    arm(pen, look, 1, flute.locate((0.4 + 0.02 * motion.pitch, 0.03)), (0.29, -0.02))


def saxophone(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a saxophonist, standing, in profile."""
    standing(pen, look)
    head(pen, look, -0.08, -0.36 - 0.01 * motion.activity, 1.0)
    sax = pen.at(0.03, -0.29, -0.1 - 0.18 * _raised(motion), look.instrument)
    arm(pen, look, 1, sax.locate((0.16, 0.36)), (0.1, 0.12))
    neck_and_body = [(0.02, 0.0), (0.1, -0.035), (0.14, 0.03), (0.16, 0.3), (0.19, 0.45)]
    path = curve([*neck_and_body, (0.27, 0.5), (0.35, 0.44), (0.37, 0.3), (0.4, 0.17)], steps=3)
    sax.line([(-0.02, 0.01), (0.05, -0.018)], [0.02, 0.04], _DARK)
    width = np.concatenate([np.linspace(0.028, 0.11, 19), np.linspace(0.115, 0.2, 6)])
    _tube(sax, look, path, width)
    sax.ellipse(0.405, 0.15, 0.115, 0.04, look.outline, 0.25)
    sax.ellipse(0.405, 0.15, 0.095, 0.026, look.shade, 0.25)
    for key in range(5):
        sax.ellipse(0.15 + 0.006 * key, 0.08 + 0.07 * key, 0.02, 0.02, look.metal)
    arm(pen, look, -1, sax.locate((0.13, 0.14 + 0.02 * motion.pitch)), (-0.1, 0.05))


def trumpet(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a trumpeter, standing, in profile, with moving valves."""
    standing(pen, look)
    head(pen, look, -0.05, -0.36, 1.0)
    trumpet = pen.at(0.08, -0.3, 0.04 - 0.2 * _raised(motion), look.instrument)
    arm(pen, look, 1, trumpet.locate((0.3, 0.1)), (0.18, 0.0))
    loop = curve([(0.1, 0), (0.35, 0), (0.4, 0.055), (0.35, 0.11), (0.1, 0.11), (0.05, 0.055), (0.1, 0)])
    _tube(trumpet, look, loop, 0.028)
    for valve in range(3):
        x = 0.18 + 0.05 * valve
        down = 0.025 * motion.activity * (int(3 * motion.pitch + valve) % 2)
        trumpet.line([(x, -0.07 + down), (x, 0.0)], 0.016, look.metal)
        trumpet.ellipse(x, -0.075 + down, 0.02, 0.01, look.metal)
        trumpet.box(x - 0.02, -0.035, x + 0.02, 0.14, look.outline)
        trumpet.box(x - 0.013, -0.028, x + 0.013, 0.133, look.shade)
    bell = [(0.0, 0), (0.38, 0), (0.46, 0), (0.52, 0), (0.55, 0)]
    _tube(trumpet, look, bell, [0.024, 0.03, 0.055, 0.12, 0.2])
    trumpet.line([(-0.02, 0), (0.02, 0)], [0.045, 0.02], look.metal, cap=0)
    trumpet.ellipse(0.555, 0, 0.026, 0.11, look.outline)
    trumpet.ellipse(0.559, 0, 0.014, 0.09, look.shade)
    arm(pen, look, -1, trumpet.locate((0.2, 0.13)), (-0.05, 0.03))


def tuba(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a tuba player, seated, with moving valves."""
    sitting(pen, look)
    head(pen, look, -0.13, -0.33 - 0.01 * motion.activity, 0.3)
    tuba = pen.at(0.04, 0.08, 0.08 + 0.06 * motion.activity * motion.stroke, look.instrument)
    for radius_x, radius_y, width in ((0.2, 0.25, 0.1), (0.1, 0.14, 0.06)):
        ring = arc(0, 0.06, radius_x, radius_y, 0, 2 * np.pi + 0.3, 24)
        _tube(tuba, look, ring, width)
    bell = [(0.2, 0.1), (0.2, -0.1), (0.19, -0.25), (0.17, -0.38), (0.165, -0.46), (0.16, -0.5)]
    _tube(tuba, look, bell, [0.1, 0.13, 0.16, 0.22, 0.32, 0.44])
    tuba.ellipse(0.16, -0.5, 0.235, 0.065, look.outline)
    tuba.ellipse(0.16, -0.5, 0.205, 0.045, look.shade)
    tuba.line(curve([(-0.13, -0.34), (-0.06, -0.3), (-0.02, -0.1)]), 0.03, look.metal)
    for valve in range(3):
        x = -0.06 + 0.06 * valve
        down = 0.03 * motion.activity * (int(3 * motion.pitch + valve) % 2)
        tuba.box(x - 0.02, -0.06 + down, x + 0.02, 0.14, look.metal, 0.01)
    arm(pen, look, -1, tuba.locate((-0.02, -0.05)), (-0.28, 0.05))
    arm(pen, look, 1, tuba.locate((0.2, 0.2)), (0.3, 0.1))


def violin(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a violinist, standing, with a moving bow."""
    standing(pen, look)
    head(pen, look, -0.05, -0.36, 0.15)
    violin = pen.at(0.1, -0.19, 1.5, 0.35 * look.instrument)
    arm(pen, look, 1, violin.locate((-0.06, -1.0 + 0.35 * motion.pitch)), (0.3, 0.0))
    _fiddle(violin, look)
    hold = _bow(pen, *violin.locate((0, -0.06)), 1.95, 0.5, 0.13 * motion.stroke)
    arm(pen, look, -1, hold, (-0.24, 0.05))


def xylophone(pen: Pen, look: Look, motion: Motion) -> None:
    """Draw a xylophonist, standing, with two mallets that strike in turn."""
    standing(pen, look)
    head(pen, look, 0.0, -0.36 + 0.01 * motion.activity)
    for x in (-0.44, 0.44):
        pen.line([(x, 0.2), (x, 0.48)], 0.035, look.outline)
        pen.line([(x - 0.05, 0.49), (x + 0.05, 0.49)], 0.025, look.outline)
    pen.line([(-0.5, 0.02), (0.5, 0.1)], 0.022, look.outline)
    pen.line([(-0.5, 0.36), (0.5, 0.24)], 0.022, look.outline)
    bars = 11
    pale = mixed(look.body, (1.0, 1.0, 1.0), 0.35)
    for bar in range(bars):
        x = -0.455 + 0.091 * bar
        half = 0.21 - 0.012 * bar
        pen.box(x - 0.036, 0.18 - half, x + 0.036, 0.18 + half, look.outline)
        pen.box(x - 0.029, 0.187 - half, x + 0.029, 0.173 + half, (look.body, pale, look.accent)[bar % 3])
    target = -0.4 + 0.8 * motion.pitch
    for side in (-1, 1):
        share = 0.5 * (1 + side * motion.stroke)
        down = share * motion.activity
        x = (0.5 + 0.5 * share) * target + 0.06 * side
        hand = np.array([0.5 * x + 0.1 * side, -0.03 - 0.03 * (1 - down)])
        tip = np.array([x, 0.17 - 0.2 * (1 - down)])
        arm(pen, look, side, hand, (0.22 * side, -0.03))
        pen.line([hand, tip], 0.016, _PALE)
        pen.ellipse(*tip, 0.034, 0.034, look.accent)
        pen.ellipse(*tip, 0.024, 0.024, _DARK)
