"""From notes to sound by small formulas in numpy (explained in notebook 01_sound_and_spectrograms).

A plucked string (Karplus & Strong 1983), a struck bar and free reeds (Fletcher & Rossing, *The Physics of
Musical Instruments*); all that is bowed or blown is a sum of harmonics whose brightness follows the loudness,
which Risset and Mathews (1969) found in the trumpet.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from sopedu.toyband.melody import Note, check_instrument
from sopedu.toyband.splits import generator_for
from sopedu.toyband.voices import Voice, resonance, voice

__all__ = ["Voice", "synthesize", "voice"]

#: Partials that a xylophone bar is carved to (Fletcher & Rossing, chapter 19): (ratio, amplitude, decay).
BAR_PARTIALS = ((1.0, 1.0, 1.0), (3.0, 0.4, 0.5), (6.0, 0.15, 0.25))
#: Harmonics above this frequency in Hz are too weak to be worth their computing time.
HIGHEST_PARTIAL = 4200.0


def frequency_of(pitch: float) -> float:
    """Frequency in Hz of a MIDI pitch: 440 Hz for 69, twice as much an octave higher."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def ramp(time: np.ndarray, seconds: float) -> np.ndarray:
    """Rise smoothly from 0 to 1 over ``seconds`` (a cubic: no corner, so no click); shaped like ``time``."""
    x = np.clip(time / seconds, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def harmonic_count(frequency: float, sample_rate: int) -> int:
    """Number of harmonics that stay below the Nyquist frequency, so that none is mirrored (aliased)."""
    return max(1, int(min(0.98 * sample_rate / 2, HIGHEST_PARTIAL) / frequency))


def steady_rotation(turn: float, length: int) -> np.ndarray:
    """Return exp(i·turn·t) for t = 0 … length - 1, multiplied from two short tables for t = 64a + b."""
    coarse, fine = np.arange(0, length, 64), np.arange(64)
    return np.outer(np.exp(1j * turn * coarse), np.exp(1j * turn * fine)).ravel()[:length]


def harmonics(z: np.ndarray, frequency: float, count: int, brightness: np.ndarray | float, build: Voice) -> np.ndarray:
    """Sum the harmonics n = 1 … count with amplitudes a_n · brightnessⁿ⁻¹, where a_n belongs to the build.

    With w = brightness · z that is the imaginary part of z · (a_1 + a_2 w + a_3 w² + …): for this polynomial
    Horner's rule needs one multiplication a harmonic instead of one sine.

    Args:
        z: exp(i·phase) of the fundamental, complex (length,).
        frequency: the note's frequency in Hz, where the formants are read.
        brightness: 0…1, one number or (length,).
    """
    n = np.arange(1, count + 1)
    amplitudes = n**-build.tilt * resonance(n * frequency, build.formants)
    amplitudes[1::2] *= build.even
    w = brightness * z
    total = np.full(len(z), amplitudes[-1], complex)
    for amplitude in amplitudes[-2::-1]:
        total *= w
        total += amplitude
    return (total * z).imag


def sustained(note: Note, previous: float, build: Voice, length: int, sample_rate: int) -> list[np.ndarray]:
    """One bowed or blown note, as its tone and the envelope of its noise, both (length,).

    Args:
        previous: MIDI pitch of the note before, from which a glide starts.
    """
    time = np.arange(length) / sample_rate
    frequency = frequency_of(note.pitch)
    left = np.maximum(note.duration - time, 0.0)
    envelope = note.loudness * ramp(time, build.attack) * ramp(left, build.release)
    if build.swell:
        # A parabola over the note: nothing at its ends, 1 in the middle.
        envelope *= 1 - build.swell + build.swell * 4 * time * left / note.duration**2
    ratio = np.ones(length)
    if build.glide:
        start = frequency_of(note.pitch - build.scoop if build.scoop else previous) / frequency
        ratio += (start - 1) * (1 - ramp(time, build.glide))
    if build.vibrato_depth or build.tremolo:
        wave = np.sin(2 * np.pi * build.vibrato_rate * time) * ramp(time, 0.3)
        # A semitone is 5.9 % in frequency.
        ratio += 0.059 * build.vibrato_depth * wave
        envelope *= 1 - build.tremolo * (0.5 + 0.5 * wave)
    phase = (2 * np.pi * frequency / sample_rate) * np.cumsum(ratio)
    # Louder is brighter, most audibly so on brass.
    brightness = build.brightness * (0.6 + 0.4 * envelope)
    count = harmonic_count(frequency * (float(ratio.max()) + 1e-6), sample_rate)
    z = np.cos(phase) + 1j * np.sin(phase)
    tone = envelope * harmonics(z, frequency, count, brightness, build)
    # Until the tone stands, there is more breath or bow to hear than later.
    return [tone, envelope * (3 - 2 * ramp(time, 2 * build.attack))]


def plucked(note: Note, build: Voice, length: int, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    """A plucked string (Karplus & Strong 1983): noise runs round a delay line, duller at every round."""
    period = sample_rate / frequency_of(note.pitch)
    # The loop filter delays by d, between 0.5 and 1.5 samples: line and filter together last one period.
    line = int(period - 0.5)
    d = period - line
    delay_taps = np.array([(d - 1) * (d - 2) / 2, -d * (d - 2), d * (d - 1) / 2])
    damping = 0.25 * (1 - build.brightness)
    loop = np.convolve(delay_taps, [damping, 1 - 2 * damping, damping])
    loop *= np.exp(-period / (sample_rate * build.decay))
    feedback = np.zeros(line + 4)
    feedback[0] = 1.0
    feedback[line - 1 :] -= loop
    noise = lfilter([0.4], [1, -0.6], generator.uniform(-1, 1, int(period)))
    # Plucked at a fifth of its length, the string lacks every fifth harmonic, and any constant offset.
    noise -= np.roll(noise, int(period) // 5)
    burst = np.zeros(length)
    burst[: len(noise)] = noise[:length]
    tone = lfilter([1.0], feedback, burst)
    return note.loudness * tone * ramp(note.duration - np.arange(length) / sample_rate, 0.05)


def struck(note: Note, build: Voice, length: int, sample_rate: int) -> np.ndarray:
    """A struck bar: three resonators that ring after one impulse, the high ones for a shorter time."""
    time = np.arange(length) / sample_rate
    total, impulse = np.zeros(length), np.zeros(length)
    impulse[0] = 1.0
    for ratio, amplitude, decay in BAR_PARTIALS:
        turn = 2 * np.pi * ratio * frequency_of(note.pitch) / sample_rate
        loss = np.exp(-1 / (decay * build.decay * sample_rate))
        if turn < 0.98 * np.pi:
            resonator = [1, -2 * loss * np.cos(turn), loss**2]
            total += lfilter([0, amplitude * loss * np.sin(turn)], resonator, impulse)
    return note.loudness * total * ramp(note.duration - time, 0.02) * ramp(time, 0.002)


def free_reeds(note: Note, build: Voice, length: int, sample_rate: int) -> np.ndarray:
    """One key of an accordion: two reeds a few Hz apart, which beat."""
    time = np.arange(length) / sample_rate
    frequency = frequency_of(note.pitch)
    envelope = note.loudness * ramp(time, build.attack) * ramp(note.duration - time, build.release)
    count, total = harmonic_count(frequency + build.detune, sample_rate), np.zeros(length)
    for reed in (frequency, frequency + build.detune):
        z = steady_rotation(2 * np.pi * reed / sample_rate, length)
        total += harmonics(z, frequency, count, build.brightness, build)
    return envelope * total


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
        notes: from :func:`sopedu.toyband.melody.compose`, or your own, in order of their start.
        voice: the build of the instrument.
        samples: length of the clip.
        identity: which random noise (breath, bow, pluck) and level.

    Returns:
        The waveform, float64 (samples,), in [-0.95, 0.95], with an RMS of about 0.08 to 0.12.

    Raises:
        ValueError: if the instrument is unknown.
    """
    check_instrument(instrument)
    generator = generator_for("noise", instrument, identity)
    sound, envelope = np.zeros(samples), np.zeros(samples)
    previous = notes[0].pitch if notes else 0.0
    for note in notes:
        first = int(np.rint(note.start * sample_rate))
        length = min(int(np.rint(note.duration * sample_rate)), samples - first)
        before = max(0, -first)
        # Nothing to hear, or too near the Nyquist frequency to be a tone.
        if length <= before or frequency_of(note.pitch) > sample_rate / 3:
            continue
        here = slice(first + before, first + length)
        if instrument == "acoustic_guitar":
            tone = plucked(note, voice, length, sample_rate, generator)
        elif instrument == "xylophone":
            tone = struck(note, voice, length, sample_rate)
        elif instrument == "accordion":
            tone = free_reeds(note, voice, length, sample_rate)
        else:
            tone, shape = sustained(note, previous, voice, length, sample_rate)
            envelope[here] += shape[before:]
        sound[here] += tone[before:]
        previous = note.pitch
    if voice.noise:
        # A broad resonance around 1 kHz (at 11 025 Hz) makes breath or bow of the noise.
        sound += voice.noise * envelope * lfilter([0.1], [1, -1.5, 0.8], generator.standard_normal(samples))
    return normalized(sound, level=generator.uniform(0.08, 0.12))


def normalized(sound: np.ndarray, level: float) -> np.ndarray:
    """Scale a sound (samples,) to the RMS ``level``; what exceeds 0.6 is bent so that no peak passes 0.95."""
    sound = sound * (level / (float(np.sqrt(np.mean(sound**2))) + 1e-12))
    above = np.maximum(np.abs(sound) - 0.6, 0.0)
    return np.sign(sound) * (np.abs(sound) - above + 0.35 * above / (0.35 + above))
