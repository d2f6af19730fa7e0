"""Play a melody on an instrument, by the formulas of ``voices.py`` (notebook 01_sound_and_spectrograms)."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from sopedu.toyband.instruments import instrument_named
from sopedu.toyband.splits import generator_for
from sopedu.toyband.voices import Note, Voice, frequency_of


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
    played = instrument_named(instrument)
    generator = generator_for("noise", instrument, identity)
    sound, envelope = np.zeros(samples), np.zeros(samples)
    previous = notes[0].pitch if notes else 0.0
    for note in notes:
        first = int(np.rint(note.start * sample_rate))
        length = min(int(np.rint(note.duration * sample_rate)), samples - first)
        before = max(0, -first)
        # Inaudible, or too near the Nyquist frequency.
        if length <= before or frequency_of(note.pitch) > sample_rate / 3:
            continue
        here = slice(first + before, first + length)
        tone, noise = played.tone(note, voice, length, sample_rate, previous, generator)
        sound[here] += tone[before:]
        envelope[here] += noise[before:]
        previous = note.pitch
    if voice.noise:
        # A broad resonance around 1 kHz (at 11 025 Hz) makes the noise sound like breath or bow.
        sound += voice.noise * envelope * lfilter([0.1], [1, -1.5, 0.8], generator.standard_normal(samples))
    return normalized(sound, level=generator.uniform(0.08, 0.12))


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
