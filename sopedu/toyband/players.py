"""How a player of the toy band looks, moves with the notes, and is painted."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from sopedu.toyband.bodies import Look, Motion
from sopedu.toyband.instruments import instrument_named
from sopedu.toyband.raster import Box, Canvas, Pen, Placement, box_around, mixed
from sopedu.toyband.splits import generator_for
from sopedu.toyband.voices import Note

#: Materials as ranges of saturation and value; all but paint take their hue from brown to yellow.
_MATERIALS = {
    "wood": ((0.5, 0.8), (0.4, 0.75)),
    "brass": ((0.5, 0.75), (0.8, 0.95)),
    "black": ((0.1, 0.3), (0.12, 0.22)),
    "silver": ((0.03, 0.12), (0.75, 0.9)),
    "painted": ((0.45, 0.95), (0.35, 0.95)),
}


def motion_at(notes: Sequence[Note], time: float) -> Motion:
    """Return the movement of a player at one time; without notes the player rests.

    The stroke runs from one end to the other during a note and back with the next, so that it never jumps.
    Notes that begin within 60 ms (a chord) share a stroke.

    Args:
        notes: the whole melody.
        time: in seconds.

    Returns:
        The movement.
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
    in training. Any instrument may be of any material: the colour must not reveal the instrument.

    Args:
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        identity: which individual.

    Returns:
        The look.

    Raises:
        ValueError: if the instrument is unknown.
    """
    material = instrument_named(instrument).material
    generator = generator_for("look", instrument, identity)

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def hue() -> float:
        return (identity % 10 + between(0.02, 0.98)) / 10

    if generator.random() > 0.4:
        material = str(generator.choice(["painted", *_MATERIALS]))
    saturation, value = (between(*limits) for limits in _MATERIALS[material])
    # Paint excludes the hues of wood and brass, so that these stay unique to their split.
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


def draw(canvas: Canvas, instrument: str, look: Look, placement: Placement, motion: Motion) -> Box:
    """Paint an instrument with its player.

    Args:
        canvas: to paint on.
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        look: colours and proportions.
        placement: where, how large, and how turned.
        motion: the moment of playing.

    Returns:
        The box (x0, y0, x1, y1) around everything painted, in fractions of the frame's width and height.

    Raises:
        ValueError: if the instrument is unknown.
    """
    drawn, pen = instrument_named(instrument), Pen(canvas, placement)
    drawn.draw(pen.at(drawn.shift, 0.0, 0, drawn.scale), look, motion)
    return box_around(pen.paint(), canvas)
