"""The instruments of the toy band: adding one is one entry in :data:`BAND`.

>>> BAND["theremin"] = Instrument((60, 84), Style("line", (0.8, 1.2)), Voice(vibrato_depth=0.5, glide=0.4),
...                               sustained, "painted", draw_theremin)
>>> sopedu.solo(seed=1, instrument="theremin")

Here ``draw_theremin`` is a function like those in :mod:`sopedu.toyband.drawings`, and ``sustained`` one of the tones in
:mod:`sopedu.toyband.voices`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sopedu.toyband import drawings
from sopedu.toyband.bodies import Look, Motion
from sopedu.toyband.raster import Pen
from sopedu.toyband.voices import Tone, Voice, free_reeds, plucked, struck, sustained

#: The eleven instruments of the MUSIC data set, in alphabetical order: a label is an index into this tuple. These are
#: rendered by default; other entries of :data:`BAND` are used by naming them.
INSTRUMENTS = (
    "accordion", "acoustic_guitar", "cello", "clarinet", "erhu", "flute",
    "saxophone", "trumpet", "tuba", "violin", "xylophone",
)  # fmt: skip

#: Four that look and move differently, and whose mean spectra are similar: used by `sopedu demo` and some lessons.
DEMO_INSTRUMENTS = ("cello", "flute", "trumpet", "xylophone")


@dataclass(frozen=True)
class Style:
    """How an instrument's melodies move.

    Attributes:
        figure: ``line`` (a walk on the scale), ``repeat`` and ``roll`` (the same note again and again),
            ``arpeggio`` (broken chords), ``chords``, or ``bass`` (root and fifth in turn).
        steps: seconds from one note to the next, one drawn for each note.
        hold: the part of a step that the note sounds: 0.5 is staccato, 1 is legato.
        ring: seconds that a note continues during the next notes, like a string that is not damped.
        rest: probability of a short rest after a note.
        leap: the widest usual interval, in steps of the scale.
    """

    figure: Literal["line", "repeat", "roll", "arpeggio", "chords", "bass"]
    steps: tuple[float, ...]
    hold: float = 1.0
    ring: float = 0.0
    rest: float = 0.1
    leap: int = 2


@dataclass(frozen=True)
class Instrument:
    """The properties of an instrument of the toy band.

    Attributes:
        pitch_range: lowest and highest MIDI pitch of its melodies. The ranges of the eleven are real, but overlap,
            so that pitch alone does not tell two instruments apart.
        style: how its melodies move.
        voice: its typical build; each individual differs a little.
        tone: how a note sounds: a function of ``voices.py``, or one of your own.
        material: the most common one: ``wood``, ``brass``, ``black``, ``silver`` or ``painted``.
        draw: draws it with its player, see ``drawings.py``.
        midi_program: General MIDI program, counted from 0, for ``tools/sampled_instruments.py``; None: there is none.
        shift: moves the drawing to the middle of ±0.5, horizontally.
        scale: brings the drawing's height to ±0.5.
    """

    pitch_range: tuple[int, int]
    style: Style
    voice: Voice
    tone: Tone
    material: str
    draw: Callable[[Pen, Look, Motion], None]
    midi_program: int | None = None
    shift: float = 0.0
    scale: float = 1.0


#: Every instrument that can be rendered.
BAND: dict[str, Instrument] = {
    "accordion": Instrument(
        pitch_range=(55, 76),
        style=Style("chords", (0.45, 0.45, 0.9), hold=0.92, rest=0.0, leap=3),
        voice=Voice(((600, 1.5, 300),), tilt=0.6, detune=5.0, attack=0.04, release=0.05),
        tone=free_reeds,
        material="painted",
        draw=drawings.accordion,
        midi_program=21,
    ),
    "acoustic_guitar": Instrument(
        pitch_range=(50, 74),
        style=Style("arpeggio", (0.16, 0.16, 0.32), ring=0.45, rest=0.0, leap=3),
        voice=Voice(brightness=0.5, decay=0.55),
        tone=plucked,
        material="wood",
        draw=drawings.acoustic_guitar,
        midi_program=24,
        shift=-0.1,
    ),
    "cello": Instrument(
        pitch_range=(50, 71),
        style=Style("line", (0.9, 1.2, 1.6), rest=0.0),
        voice=Voice(
            ((450, 2.0, 200), (900, 1.0, 200)),
            tilt=0.7,
            swell=0.8,
            vibrato_rate=5.0,
            vibrato_depth=0.3,
            attack=0.12,
            release=0.12,
            noise=0.01,
        ),
        tone=sustained,
        material="wood",
        draw=drawings.cello,
        midi_program=42,
        shift=-0.03,
    ),
    "clarinet": Instrument(
        pitch_range=(55, 76),
        style=Style("line", (0.2, 0.2, 0.4), hold=0.95),
        voice=Voice(tilt=0.5, even=0.1, brightness=0.85, attack=0.02, release=0.03),
        tone=sustained,
        material="black",
        draw=drawings.clarinet,
        midi_program=71,
        shift=-0.18,
    ),
    "erhu": Instrument(
        pitch_range=(62, 77),
        style=Style("line", (0.5, 0.75, 1.0), rest=0.05, leap=3),
        voice=Voice(
            ((700, 2.0, 250),), tilt=0.8, vibrato_rate=6.0, vibrato_depth=0.7, glide=0.2, attack=0.06, noise=0.01
        ),
        tone=sustained,
        material="wood",
        draw=drawings.erhu,
        midi_program=110,  # General MIDI has no erhu: the fiddle, also a bowed string, is used instead
        shift=-0.09,
    ),
    "flute": Instrument(
        pitch_range=(60, 77),
        style=Style("line", (0.5, 0.7, 1.0), hold=0.95),
        voice=Voice(
            tilt=0.8,
            brightness=0.5,
            vibrato_rate=5.0,
            vibrato_depth=0.1,
            tremolo=0.5,
            attack=0.06,
            release=0.06,
            noise=0.05,
        ),
        tone=sustained,
        material="silver",
        draw=drawings.flute,
        midi_program=73,
        shift=-0.16,
    ),
    "saxophone": Instrument(
        pitch_range=(54, 75),
        style=Style("line", (0.3, 0.45, 0.6), hold=0.9, leap=3),
        voice=Voice(((600, 1.5, 250),), tilt=0.4, brightness=0.8, vibrato_depth=0.1, scoop=1.0, glide=0.08, noise=0.01),
        tone=sustained,
        material="brass",
        draw=drawings.saxophone,
        midi_program=65,
        shift=-0.18,
    ),
    "trumpet": Instrument(
        pitch_range=(55, 76),
        style=Style("repeat", (0.16, 0.16, 0.32), hold=0.6, leap=3),
        voice=Voice(((1000, 1.0, 400),), tilt=0.2, brightness=0.8, swell=0.5, attack=0.015, release=0.03),
        tone=sustained,
        material="brass",
        draw=drawings.trumpet,
        midi_program=56,
        shift=-0.23,
        scale=0.97,
    ),
    "tuba": Instrument(
        pitch_range=(43, 62),
        style=Style("bass", (0.36, 0.36, 0.5), hold=0.6, rest=0.0),
        voice=Voice(((450, 3.0, 200),), tilt=0.1, brightness=0.8, swell=0.3, attack=0.03, release=0.05),
        tone=sustained,
        material="brass",
        draw=drawings.tuba,
        midi_program=58,
        shift=-0.09,
    ),
    "violin": Instrument(
        pitch_range=(55, 77),
        style=Style("line", (0.25, 0.5, 0.8), rest=0.05, leap=4),
        voice=Voice(
            ((450, 1.0, 100), (900, 1.0, 200)),
            tilt=0.7,
            vibrato_rate=6.0,
            vibrato_depth=0.4,
            attack=0.06,
            release=0.05,
            noise=0.01,
        ),
        tone=sustained,
        material="wood",
        draw=drawings.violin,
        midi_program=40,
        shift=-0.13,
    ),
    "xylophone": Instrument(
        pitch_range=(58, 77),
        style=Style("roll", (0.085,), hold=0.9, ring=0.25, rest=0.04, leap=3),
        voice=Voice(brightness=0.5, decay=0.06),
        tone=struck,
        material="wood",
        draw=drawings.xylophone,
        midi_program=13,
    ),
}


def instrument_named(name: str) -> Instrument:
    """Return the instrument of a name.

    Args:
        name: a key of :data:`BAND`.

    Returns:
        The instrument.

    Raises:
        ValueError: if there is none of that name; lists the names.
    """
    if name not in BAND:
        raise ValueError(f"unknown instrument {name!r}: choose one of {', '.join(BAND)}")
    return BAND[name]
