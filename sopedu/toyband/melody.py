"""Random melodies in each instrument's playing style (explained in notebook 01_sound_and_spectrograms)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sopedu.toyband.splits import generator_for

#: The eleven instruments of the MUSIC data set, in alphabetical order: a label is an index into this tuple.
INSTRUMENTS = (
    "accordion", "acoustic_guitar", "cello", "clarinet", "erhu", "flute",
    "saxophone", "trumpet", "tuba", "violin", "xylophone",
)  # fmt: skip

#: Four that look and move differently, and whose mean spectra give little away: of `sopedu demo` and some lessons.
DEMO_INSTRUMENTS = ("cello", "flute", "trumpet", "xylophone")

#: Lowest and highest MIDI pitch of each instrument's melodies: real, but from where the ranges of the eleven
#: overlap, so that pitch alone does not tell two instruments apart.
PITCH_RANGE: dict[str, tuple[int, int]] = {
    "accordion": (55, 76), "acoustic_guitar": (50, 74), "cello": (50, 71), "clarinet": (55, 76),
    "erhu": (62, 77), "flute": (60, 77), "saxophone": (54, 75), "trumpet": (55, 76),
    "tuba": (43, 62), "violin": (55, 77), "xylophone": (58, 77),
}  # fmt: skip

#: Semitones above the key note: major, natural minor and major pentatonic.
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))

#: A figure in steps of the scale above a root: for each moment a tuple, of one tone or of a chord.
Figure = tuple[tuple[int, ...], ...]
#: The guitar plays a chord tone by tone in three orders, or all tones at once.
ARPEGGIOS: tuple[Figure, ...] = (
    ((0,), (2,), (4,), (2,)), ((4,), (2,), (0,), (2,)), ((0,), (4,), (2,), (6,)), ((0, 2, 4),),
)  # fmt: skip
#: The accordion plays thirds, fifths and triads, each once or twice.
CHORDS: tuple[Figure, ...] = (((0, 2),), ((0, 4),) * 2, ((0, 2, 4),), ((0, 2, 4),) * 2)


@dataclass(frozen=True)
class Note:
    """One note: start and duration in seconds, pitch as a MIDI number (60 is middle C), loudness in 0…1."""

    start: float
    duration: float
    pitch: float
    loudness: float


@dataclass(frozen=True)
class Style:
    """How an instrument moves through a melody.

    Attributes:
        figure: ``line`` (a walk on the scale), ``repeat`` and ``roll`` (the same note again and again),
            ``arpeggio`` (broken chords), ``chords``, or ``bass`` (root and fifth in turn).
        steps: seconds from one note to the next, one drawn for each note.
        hold: the part of a step that the note sounds: 0.5 is staccato, 1 is legato.
        ring: seconds that a note sounds on under its successors, as on a string left to vibrate.
        rest: probability of a short rest after a note.
        leap: the widest usual interval, in steps of the scale.
    """

    figure: str
    steps: tuple[float, ...]
    hold: float = 1.0
    ring: float = 0.0
    rest: float = 0.1
    leap: int = 2


STYLES: dict[str, Style] = {
    "accordion": Style("chords", (0.45, 0.45, 0.9), hold=0.92, rest=0.0, leap=3),
    "acoustic_guitar": Style("arpeggio", (0.16, 0.16, 0.32), ring=0.45, rest=0.0, leap=3),
    "cello": Style("line", (0.9, 1.2, 1.6), rest=0.0),
    "clarinet": Style("line", (0.2, 0.2, 0.4), hold=0.95),
    "erhu": Style("line", (0.5, 0.75, 1.0), rest=0.05, leap=3),
    "flute": Style("line", (0.5, 0.7, 1.0), hold=0.95),
    "saxophone": Style("line", (0.3, 0.45, 0.6), hold=0.9, leap=3),
    "trumpet": Style("repeat", (0.16, 0.16, 0.32), hold=0.6, leap=3),
    "tuba": Style("bass", (0.36, 0.36, 0.5), hold=0.6, rest=0.0),
    "violin": Style("line", (0.25, 0.5, 0.8), rest=0.05, leap=4),
    "xylophone": Style("roll", (0.085,), hold=0.9, ring=0.25, rest=0.04, leap=3),
}


def check_instrument(instrument: str) -> None:
    """Raise a ValueError that lists the choices if nobody in the band plays ``instrument``."""
    if instrument not in INSTRUMENTS:
        raise ValueError(f"unknown instrument {instrument!r}: choose one of {', '.join(INSTRUMENTS)}")


def scale_pitches(instrument: str, generator: np.random.Generator) -> list[int]:
    """Return the MIDI pitches of a random key and scale within the instrument's range, from low to high."""
    key, scale = int(generator.integers(12)), SCALES[int(generator.integers(len(SCALES)))]
    lowest, highest = PITCH_RANGE[instrument]
    return [pitch for pitch in range(lowest, highest + 1) if (pitch - key) % 12 in scale]


def draw_figure(figure: str, generator: np.random.Generator) -> Figure:
    """Draw one figure of the kind that :class:`Style` names."""
    if figure in ("repeat", "roll"):
        return ((0,),) * int(generator.integers(2, 6))
    if figure == "bass":
        return ((0,), (4,))
    if figure in ("chords", "arpeggio"):
        choices = CHORDS if figure == "chords" else ARPEGGIOS
        return choices[int(generator.integers(len(choices)))]
    return ((0,),)


def compose(instrument: str, identity: int, seconds: float) -> list[Note]:
    """Compose a random melody in the playing style of an instrument: its notes in order of their start.

    The clip begins in the middle of the music, so the first notes may start before 0. A longer clip of the
    same identity begins with the notes of the shorter one.

    Args:
        instrument: one of :data:`INSTRUMENTS`.
        identity: which melody.
        seconds: length of the clip.

    Raises:
        ValueError: if the instrument is unknown.
    """
    check_instrument(instrument)
    generator = generator_for("melody", instrument, identity)
    style = STYLES[instrument]
    scale = scale_pitches(instrument, generator)
    tempo, time = generator.uniform(0.85, 1.15), -generator.uniform(0.1, 1.0)
    root, loudness = int(generator.integers(len(scale))), generator.uniform(0.4, 0.9)
    notes: list[Note] = []
    while time < seconds:
        for offsets in draw_figure(style.figure, generator):
            step = tempo * style.steps[int(generator.integers(len(style.steps)))]
            # A phrase swells and fades slowly; every note has a small accent of its own.
            loudness = float(np.clip(loudness + generator.uniform(-0.15, 0.15), 0.3, 1.0))
            accent = generator.uniform(0.85, 1.0)
            for offset in offsets:
                # Tones above the top of the range continue from its bottom.
                pitch = float(scale[(root + offset) % len(scale)])
                notes.append(Note(time, step * style.hold + style.ring, pitch, loudness * accent))
            time += step
        if generator.random() < style.rest:
            time += tempo * generator.uniform(0.1, 0.2)
        move = int(generator.integers(1, style.leap + 1)) * (1 if generator.random() < 0.5 else -1)
        root = root + move if 0 <= root + move < len(scale) else root - move
    return [note for note in notes if note.start < seconds and note.start + note.duration > 0]
