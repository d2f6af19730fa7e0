"""The players of the toy band: how they look, how they move with their notes, and how they are drawn."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sopedu.toyband.melody import Note, check_instrument
from sopedu.toyband.raster import Colour, Pen, arc, curve, mirrored_profile, mixed
from sopedu.toyband.splits import generator_for

#: Materials as ranges of saturation and value; all but paint take their hue from brown to yellow.
_MATERIALS = {
    "wood": ((0.5, 0.8), (0.4, 0.75)),
    "brass": ((0.5, 0.75), (0.8, 0.95)),
    "black": ((0.1, 0.3), (0.12, 0.22)),
    "silver": ((0.03, 0.12), (0.75, 0.9)),
    "painted": ((0.45, 0.95), (0.35, 0.95)),
}
_NATURAL = {
    "accordion": "painted", "acoustic_guitar": "wood", "cello": "wood", "clarinet": "black", "erhu": "wood",
    "flute": "silver", "saxophone": "brass", "trumpet": "brass", "tuba": "brass", "violin": "wood",
    "xylophone": "wood",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Colours and proportions of one instrument and its player (1 is the drawing's standard)."""

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
    """A moment of playing.

    Attributes:
        activity: how loud the note is just now, 0…1.
        stroke: where the bow, mallet, arm or bellows is on its way, -1…1.
        pitch: the note's place between the lowest (0) and the highest (1) of the melody.
    """

    activity: float
    stroke: float
    pitch: float


def motion_at(notes: Sequence[Note], time: float) -> Motion:
    """Return how the player moves at ``time`` seconds; without notes the player rests.

    The stroke runs from one end to the other during a note and back with the next, so that it never jumps.
    Notes that begin within 60 ms (a chord) share a stroke.
    """
    onsets: list[Note] = []
    for note in sorted(notes, key=lambda one: (one.start, one.pitch)):
        if not onsets or note.start - onsets[-1].start > 0.06:
            onsets.append(note)
    if not onsets:
        return Motion(0.0, 0.0, 0.5)
    lowest, highest = min(note.pitch for note in notes), max(note.pitch for note in notes)
    heights = [(note.pitch - lowest) / (highest - lowest) if highest > lowest else 0.5 for note in onsets]
    current = max((i for i, note in enumerate(onsets) if note.start <= time), default=None)
    if current is None:
        return Motion(0.0, 1.0, heights[0])
    note, elapsed = onsets[current], time - onsets[current].start
    span = max(note.duration, 1e-3)
    if current + 1 < len(onsets):
        span = min(span, onsets[current + 1].start - note.start)
    progress = min(elapsed / span, 1.0)
    stroke = (1 - 2 * progress) * (-1 if current % 2 else 1)
    attack = min(elapsed / 0.02, 1.0)
    envelope = attack * np.exp(-0.8 * progress - max(elapsed - span, 0.0) / 0.15)
    previous = heights[max(current - 1, 0)]
    pitch = previous + (heights[current] - previous) * min(elapsed / 0.08, 1.0)
    return Motion(float(np.clip((0.5 + 0.5 * note.loudness) * envelope, 0, 1)), float(stroke), float(pitch))


def look(instrument: str, identity: int) -> Look:
    """Draw the colours and proportions that belong to an identity, always the same ones.

    The identity's last digit chooses a tenth of the colour circle for clothes, accents, painted bodies (and a
    tenth of the browns and yellows for natural ones), so that the hues of a validation player never occur
    in training. Any instrument may be of any material: the colour must not give the instrument away.

    Raises:
        ValueError: if ``instrument`` is not one of :data:`sopedu.toyband.melody.INSTRUMENTS`.
    """
    check_instrument(instrument)
    generator = generator_for("look", instrument, identity)

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def hue() -> float:
        return (identity % 10 + between(0.02, 0.98)) / 10

    material = _NATURAL[instrument]
    if generator.random() > 0.4:
        material = str(generator.choice(["painted", *_MATERIALS]))
    saturation, value = (between(*limits) for limits in _MATERIALS[material])
    # Paint leaves out the hues of wood and brass, so that these stay unseen in their own split too.
    body_hue = (0.15 + 0.87 * hue()) % 1 if material == "painted" else 0.03 + 0.11 * hue()
    body = colorsys.hsv_to_rgb(body_hue, saturation, value)
    bright = sum(body) / 3 > 0.45
    tone = between(0.0, 1.0)
    clothing_value = between(0.2, 0.5) if bright else between(0.65, 0.95)
    return Look(
        skin=(0.95 - 0.55 * tone, 0.8 - 0.55 * tone, 0.68 - 0.5 * tone),
        hair=colorsys.hsv_to_rgb(0.07, between(0.1, 0.7), between(0.08, 0.75)),
        clothing=colorsys.hsv_to_rgb(hue(), between(0.35, 0.85), clothing_value),
        trousers=colorsys.hsv_to_rgb(hue(), between(0.1, 0.5), between(0.15, 0.6)),
        accent=colorsys.hsv_to_rgb(hue(), between(0.6, 0.95), between(0.75, 1.0)),
        body=body,
        shade=mixed(body, (0.0, 0.0, 0.0), 0.3),
        outline=mixed(body, (0.0, 0.0, 0.0), 0.72) if bright or material != "black" else (0.72, 0.72, 0.72),
        metal=colorsys.hsv_to_rgb(0.03 + 0.11 * hue(), between(0.0, 0.6), 0.9),
        seat=colorsys.hsv_to_rgb(hue(), between(0.2, 0.5), between(0.25, 0.55)),
        hairstyle=int(generator.integers(4)),
        head=between(0.92, 1.08),
        girth=between(0.88, 1.15),
        instrument=between(0.94, 1.08),
        stretch=between(0.94, 1.06),
    )


def standing(pen: Pen, look: Look) -> None:
    """Draw legs and trunk of a player who stands."""
    for side in (-1, 1):
        pen.line([(0.06 * side, 0.12), (0.075 * side, 0.45)], 0.105, look.trousers, cap=0)
        pen.ellipse(0.09 * side, 0.47, 0.07, 0.03, look.shade)
    _trunk(pen, look)


def sitting(pen: Pen, look: Look) -> None:
    """Draw stool, trunk and parted legs of a player who sits facing us."""
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
    """Draw a head around (x, y); ``facing`` turns it from us (0) to the right (1) or left (-1)."""
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
    """Draw the arm from the left (-1) or right (1) shoulder, as we see it, to a hand at (x, y)."""
    shoulder = (0.135 * look.girth * side, -0.17)
    if elbow is None:
        elbow = (0.5 * (shoulder[0] + hand[0]) + 0.08 * side, 0.5 * (shoulder[1] + hand[1]) + 0.07)
    sleeve = mixed(look.clothing, (0.0, 0.0, 0.0), 0.22)
    pen.line(curve([shoulder, elbow, hand], steps=3), 0.062, sleeve)
    pen.ellipse(hand[0], hand[1], 0.034, 0.034, look.skin)
