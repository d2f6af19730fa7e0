"""The instruments of the toy band: adding one is one entry in :data:`BAND`.

>>> BAND["theremin"] = Instrument((60, 84), Style("line", (0.8, 1.2)), Voice(vibrato_depth=0.5, glide=0.4),
...                               sustained, "painted", draw_theremin)
>>> sopedu.solo(seed=1, instrument="theremin")

Here ``draw_theremin`` is a function like those in :mod:`sopedu.toyband.drawings`, and ``sustained`` one of the tones in
:mod:`sopedu.toyband.voices`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sopedu.toyband import drawings
from sopedu.toyband.bodies import Look, Motion
from sopedu.toyband.raster import Pen
from sopedu.toyband.voices import Note, Tone, Voice, free_reeds, plucked, struck, sustained

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
class Articulation:
    """One way of playing notes; the defaults are the usual way.

    Attributes:
        hold: factor of a note's length.
        level: factor of its loudness.
        changes: factors of the voice's numbers, by name.
        additions: what is added to the voice's numbers, by name.
        tone: how the note sounds, if not as usual (a violin is plucked).
        second: semitones from the note to a second one that sounds with it (double stop); 0: none.
        repeats: strokes per second into which a note is divided (tremolo); 0: one stroke.
    """

    hold: float = 1.0
    level: float = 1.0
    changes: Mapping[str, float] = field(default_factory=dict)
    additions: Mapping[str, float] = field(default_factory=dict)
    tone: Tone | None = None
    second: float = 0.0
    repeats: float = 0.0

    def notes(self, note: Note, voice: Voice, tone: Tone) -> list[tuple[Note, Voice, Tone]]:
        """Play a note in this way.

        Args:
            note: as composed.
            voice: the usual one.
            tone: the usual one.

        Returns:
            one or more notes, each with its voice and tone.
        """
        numbers = {name: getattr(voice, name) * factor for name, factor in self.changes.items()}
        numbers |= {name: numbers.get(name, getattr(voice, name)) + more for name, more in self.additions.items()}
        changed, tone = replace(voice, **numbers), self.tone or tone
        changed = replace(changed, brightness=min(changed.brightness, 0.95))
        note = replace(note, duration=note.duration * self.hold, loudness=note.loudness * self.level)
        if self.repeats:
            count = max(1, round(note.duration * self.repeats))
            part = note.duration / count
            return [(replace(note, start=note.start + i * part, duration=part), changed, tone) for i in range(count)]
        both = [(note, changed, tone)]
        return both + [(replace(note, pitch=note.pitch + self.second), changed, tone)] if self.second else both


#: Ways of playing that several instruments share.
_STACCATO = Articulation(hold=0.45)
_FLUTTER = Articulation(additions={"flutter": 0.6})
_BREATHY = Articulation(level=0.7, changes={"brightness": 0.6}, additions={"noise": 0.06})
_PIZZICATO = Articulation(tone=plucked, level=1.5, changes={"decay": 0.5, "brightness": 0.5})
_TREMOLO = Articulation(repeats=11.0, changes={"attack": 0.4, "release": 0.5})
_SPICCATO = Articulation(hold=0.4, changes={"attack": 0.4}, additions={"click": 0.05})
_BRIDGE = Articulation(level=0.7, additions={"tilt": -0.4, "noise": 0.03})
_SOFTENED = Articulation(level=0.6, changes={"brightness": 0.75}, additions={"tilt": 0.4})
_BOWED = (_PIZZICATO, _TREMOLO, _SPICCATO, _BRIDGE, _SOFTENED, Articulation(second=7.0), Articulation(second=-5.0))


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
        articulations: other ways of playing it, in passages.
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
    articulations: tuple[Articulation, ...] = ()
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
        articulations=(_STACCATO, Articulation(repeats=9.0, changes={"attack": 0.5}), _SOFTENED),
        midi_program=21,
    ),
    "acoustic_guitar": Instrument(
        pitch_range=(50, 74),
        style=Style("arpeggio", (0.16, 0.16, 0.32), ring=0.45, rest=0.0, leap=3),
        voice=Voice(brightness=0.5, decay=0.55),
        tone=plucked,
        material="wood",
        draw=drawings.acoustic_guitar,
        articulations=(
            Articulation(changes={"decay": 0.25, "brightness": 0.5}),
            Articulation(hold=0.5),
            Articulation(changes={"brightness": 1.7, "pluck": 0.5}),
            Articulation(changes={"decay": 1.8}),
        ),
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
        articulations=_BOWED,
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
        articulations=(_STACCATO, _FLUTTER, _SOFTENED, Articulation(additions={"glide": 0.05})),
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
        articulations=(_PIZZICATO, _TREMOLO, _SPICCATO, _SOFTENED),
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
        articulations=(_STACCATO, _FLUTTER, _BREATHY, _SOFTENED),
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
        articulations=(
            _STACCATO,
            _FLUTTER,
            _BREATHY,
            Articulation(hold=0.25, changes={"attack": 0.3}, additions={"click": 0.2}),
        ),
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
        articulations=(
            _FLUTTER,
            Articulation(hold=1.5),
            Articulation(level=0.5, changes={"brightness": 1.1}, additions={"tilt": -0.3}),
            _SOFTENED,
        ),
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
        articulations=(Articulation(hold=1.6), _STACCATO, _SOFTENED),
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
        articulations=_BOWED,
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
        articulations=(
            Articulation(changes={"decay": 0.4}),
            Articulation(changes={"decay": 2.5}),
            Articulation(changes={"decay": 1.5}, level=0.6),
        ),
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
