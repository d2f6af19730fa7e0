"""Random melodies in each instrument's playing style (explained in notebook 01_sound_and_spectrograms)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sopedu.toyband.instruments import Style, instrument_named
from sopedu.toyband.splits import generator_for
from sopedu.toyband.voices import Note

#: Semitones above the key note: major, natural minor and major pentatonic.
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))

#: MIDI pitches that no melody leaves.
_LOWEST, _HIGHEST = 31, 91

#: A figure in steps of the scale above a root: for each moment a tuple, of one tone or of a chord.
_Figure = tuple[tuple[int, ...], ...]
#: The guitar plays a chord tone by tone in three orders, or all tones at once.
_ARPEGGIOS: tuple[_Figure, ...] = (
    ((0,), (2,), (4,), (2,)), ((4,), (2,), (0,), (2,)), ((0,), (4,), (2,), (6,)), ((0, 2, 4),),
)  # fmt: skip
#: The accordion plays thirds, fifths and triads, each once or twice.
_CHORDS: tuple[_Figure, ...] = (((0, 2),), ((0, 4),) * 2, ((0, 2, 4),), ((0, 2, 4),) * 2)


def _scale_pitches(pitch_range: tuple[int, int], generator: np.random.Generator) -> list[int]:
    """Return the MIDI pitches of a random key and scale within a range, from low to high."""
    key, scale = int(generator.integers(12)), _SCALES[int(generator.integers(len(_SCALES)))]
    lowest, highest = pitch_range
    return [pitch for pitch in range(lowest, highest + 1) if (pitch - key) % 12 in scale]


def _draw_figure(figure: str, generator: np.random.Generator) -> _Figure:
    """Draw one figure of the kind that :class:`~sopedu.toyband.instruments.Style` names."""
    if figure in ("repeat", "roll"):
        return ((0,),) * int(generator.integers(2, 6))
    if figure == "bass":
        return ((0,), (4,))
    if figure in ("chords", "arpeggio"):
        choices = _CHORDS if figure == "chords" else _ARPEGGIOS
        return choices[int(generator.integers(len(choices)))]
    return ((0,),)


def _other_phrasing(
    style: Style, pitch_range: tuple[int, int], generator: np.random.Generator
) -> tuple[Style, tuple[int, int]]:
    """Draw a style and a register: the usual ones, or slower, faster, plainer, an octave higher or lower."""
    slower = float(np.exp(generator.uniform(-0.5, 0.7)))
    kind, octave = generator.random(), int(generator.choice([-12, -12, 0, 0, 0, 0, 12, 12]))
    if kind < 0.2:
        style = Style("line", (0.3, 0.5, 0.9), hold=float(generator.uniform(0.6, 1.0)), ring=style.ring, leap=3)
    elif kind < 0.3:
        style = Style("repeat", (0.2, 0.3), hold=float(generator.uniform(0.5, 0.9)), ring=style.ring)
    style = replace(style, steps=tuple(slower * step for step in style.steps))
    lowest, highest = (pitch + octave for pitch in pitch_range)
    return style, (lowest, highest) if lowest >= _LOWEST and highest <= _HIGHEST else pitch_range


def compose(
    instrument: str,
    identity: int,
    seconds: float,
    phrasing: bool = False,
    pitch_range: tuple[int, int] | None = None,
) -> list[Note]:
    """Compose a random melody in the playing style of an instrument: its notes in order of their start.

    The clip begins in the middle of the music, so the first notes may start before 0. A longer clip of the
    same identity begins with the notes of the shorter one.

    Args:
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        identity: which melody.
        seconds: length of the clip.
        phrasing: some melodies are slower, faster or plainer than usual, or an octave higher or lower.
        pitch_range: lowest and highest MIDI pitch, of at least an octave; default: the instrument's own.

    Returns:
        The notes that sound within the clip, in order of their start.

    Raises:
        ValueError: if the instrument is unknown.
    """
    played, generator = instrument_named(instrument), generator_for("melody", instrument, identity)
    style, usual = played.style, played.pitch_range
    if phrasing:
        style, usual = _other_phrasing(style, usual, generator_for("phrasing", instrument, identity))
    scale = _scale_pitches(pitch_range or usual, generator)
    tempo, time = generator.uniform(0.85, 1.15), -generator.uniform(0.1, 1.0)
    root, loudness = int(generator.integers(len(scale))), generator.uniform(0.4, 0.9)
    notes: list[Note] = []
    while time < seconds:
        for offsets in _draw_figure(style.figure, generator):
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
