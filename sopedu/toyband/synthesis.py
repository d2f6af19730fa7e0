"""Play a melody on an instrument, by the formulas of ``voices.py`` (notebook 01_sound_and_spectrograms)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from sopedu.toyband.instruments import instrument_named
from sopedu.toyband.splits import generator_for
from sopedu.toyband.voices import Note, Tone, Voice, frequency_of


def voice(instrument: str, identity: int) -> Voice:
    """Build one individual of an instrument.

    Args:
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        identity: which individual.

    Returns:
        The typical voice of the instrument, slightly changed.

    Raises:
        ValueError: if the instrument is unknown.
    """
    return instrument_named(instrument).voice.individual(generator_for("voice", instrument, identity))


def synthesize(
    instrument: str,
    notes: list[Note],
    voice: Voice,
    samples: int,
    sample_rate: int = 11025,
    identity: int = 0,
) -> np.ndarray:
    """Play notes on an instrument.

    Args:
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        notes: from :func:`sopedu.toyband.melody.compose`, or your own, in order of their start.
        voice: the build of the instrument.
        samples: length of the clip.
        sample_rate: in Hz.
        identity: which random noise (breath, bow, pluck) and level.

    Returns:
        The waveform, float64 (samples,), in [-0.95, 0.95], with an RMS of about 0.08 to 0.12.

    Raises:
        ValueError: if the instrument is unknown.
    """
    tone, generator = instrument_named(instrument).tone, generator_for("noise", instrument, identity)
    sound = sound_of([PlayedNote(note, voice, tone) for note in notes], voice, samples, sample_rate, generator)
    return normalized(sound, level=generator.uniform(0.08, 0.12))


class PlayedNote(NamedTuple):
    """A note, and how it is played.

    Attributes:
        note: what to play.
        voice: the build of the instrument, and the habits of its player, for this note.
        tone: a function of ``voices.py``.
    """

    note: Note
    voice: Voice
    tone: Tone


def sound_of(
    played: Sequence[PlayedNote], build: Voice, samples: int, sample_rate: int, generator: np.random.Generator
) -> np.ndarray:
    """Add up the sounds of notes, and their noise.

    Args:
        played: in order of their start.
        build: of the instrument.
        samples: length of the clip.
        sample_rate: in Hz.
        generator: source of the noise of breath, bow, pluck and keys.

    Returns:
        (samples,), at any level.
    """
    sound, envelope = np.zeros(samples), np.zeros(samples)
    previous = played[0].note.pitch if played else 0.0
    for note, voice, tone in played:
        first = int(np.rint(note.start * sample_rate))
        length = min(int(np.rint(note.duration * sample_rate)), samples - first)
        before = max(0, -first)
        # Inaudible, or too near the Nyquist frequency.
        if length <= before or frequency_of(note.pitch) > sample_rate / 3:
            continue
        here = slice(first + before, first + length)
        tone_here, noise = tone(note, voice, length, sample_rate, previous, generator)
        sound[here] += tone_here[before:]
        if voice.click:
            sound[here] += voice.click * note.loudness * _click(length, sample_rate, generator)[before:]
        envelope[here] += (voice.noise * noise)[before:]
        previous = note.pitch
    if envelope.any():
        # A broad resonance around 1 kHz (at 11 025 Hz) makes the noise sound like breath or bow.
        sound += envelope * lfilter([0.1], [1, -1.5, 0.8], generator.standard_normal(samples))
    return sound


def _click(length: int, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    """Return a short noise: a key, a finger on a string, the start of a bow stroke."""
    count = min(length, int(0.06 * sample_rate))
    click, decay = np.zeros(length), np.exp(-np.arange(count) / (generator.uniform(0.003, 0.015) * sample_rate))
    click[:count] = 3 * generator.standard_normal(count) * decay
    return click


def normalized(sound: np.ndarray, level: float) -> np.ndarray:
    """Scale a sound to a level; amplitudes above 0.6 are compressed so that no peak exceeds 0.95.

    Args:
        sound: (samples,).
        level: root mean square of the result, before compression.

    Returns:
        The scaled sound, same shape.
    """
    sound = sound * (level / (float(np.sqrt(np.mean(sound**2))) + 1e-12))
    above = np.maximum(np.abs(sound) - 0.6, 0.0)
    return np.sign(sound) * (np.abs(sound) - above + 0.35 * above / (0.35 + above))
