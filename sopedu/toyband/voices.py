"""How one note sounds, by small formulas in numpy (explained in notebook 01_sound_and_spectrograms).

A plucked string, a struck bar and free reeds; all that is bowed or blown is a sum of harmonics whose brightness follows
the loudness. The voices of the instruments are in ``instruments.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

#: Partials to which a xylophone bar is carved: (ratio, amplitude, decay).
_BAR_PARTIALS = ((1.0, 1.0, 1.0), (3.0, 0.4, 0.5), (6.0, 0.15, 0.25))
#: Harmonics above this frequency in Hz are too weak to be worth their computing time.
_HIGHEST_PARTIAL = 4200.0
#: Strokes per second of a flutter tongue.
_FLUTTER_RATE = 22.0


@dataclass(frozen=True)
class Note:
    """One note of a melody.

    Attributes:
        start: in seconds.
        duration: in seconds.
        pitch: MIDI number; 60 is middle C, 69 is the A of 440 Hz.
        loudness: 0…1.
    """

    start: float
    duration: float
    pitch: float
    loudness: float


@dataclass(frozen=True)
class Voice:
    """The build of one individual instrument, and the habits of its player.

    Attributes:
        formants: resonances of body or bore: (frequency in Hz, gain on top of 1, half width in Hz).
        tilt: partial n starts from the amplitude 1 / n**tilt.
        even: weight of the even harmonics, small for a tube closed at one end (clarinet).
        brightness: weight of partial n against partial n-1, at full loudness.
        swell: how far brightness and loudness grow towards the middle of a note, 0…1.
        vibrato_rate: in Hz.
        vibrato_depth: largest deviation of the pitch, in semitones.
        tremolo: depth of the amplitude vibrato, 0…1.
        detune: difference between the two reeds of an accordion, in Hz.
        glide: seconds to slide from the last pitch to the new one.
        scoop: if not 0, a glide starts so many semitones below the new pitch instead of from the last one.
        attack: seconds until a note is at full loudness.
        release: seconds of fading out.
        decay: seconds until a plucked or struck tone has fallen to 1/e.
        noise: level of breath or bow noise against the tone.
        click: level of the short noise at the start of a note (key, finger, bow, tongue) against the tone.
        dynamics: how much softer notes are also darker, 0…1.
        vibrato_delay: seconds until the vibrato begins.
        flutter: depth of a fast change of loudness, 22 times per second (flutter tongue, growl, bow tremolo), 0…1.
        octave: level of a second reed, an octave higher (accordion).
        pluck: where a string is plucked, as a part of its length.
        stretch: exponent of the frequency ratios of a bar: 1 for a xylophone, 1.26 for a marimba (fourth harmonic).
        partials: factors of the first harmonics on top of everything else; empty: ones.
    """

    formants: tuple[tuple[float, float, float], ...] = ()
    tilt: float = 0.5
    even: float = 1.0
    brightness: float = 0.8
    swell: float = 0.0
    vibrato_rate: float = 5.5
    vibrato_depth: float = 0.0
    tremolo: float = 0.0
    detune: float = 0.0
    glide: float = 0.0
    scoop: float = 0.0
    attack: float = 0.03
    release: float = 0.04
    decay: float = 0.5
    noise: float = 0.0
    click: float = 0.0
    dynamics: float = 0.4
    vibrato_delay: float = 0.0
    flutter: float = 0.0
    octave: float = 0.0
    pluck: float = 0.2
    stretch: float = 1.0
    partials: tuple[float, ...] = ()

    def individual(self, generator: np.random.Generator) -> Voice:
        """Build one individual: every number changed by up to 15 %, the formants' frequencies by up to 8 %.

        Args:
            generator: decides the changes.

        Returns:
            The voice of the individual.
        """
        shifts = generator.uniform(0.92, 1.08, len(self.formants))
        changed = {name: getattr(self, name) * float(generator.uniform(0.85, 1.15)) for name in _VARIED}
        changed["brightness"] = min(changed["brightness"], 0.95)
        pairs = zip(self.formants, shifts, strict=True)
        formants = tuple((centre * float(shift), gain, width) for (centre, gain, width), shift in pairs)
        return replace(self, formants=formants, **changed)


#: The numbers that differ from one individual to the next.
_VARIED = (
    "tilt", "even", "brightness", "swell", "vibrato_rate", "vibrato_depth", "tremolo", "detune", "glide", "scoop",
    "attack", "release", "decay", "noise",
)  # fmt: skip

#: How a note sounds on an instrument: from (note, voice, length, sample_rate, previous, generator) to its tone and the
#: envelope of its noise, both (length,). ``previous`` is the MIDI pitch of the note before.
Tone = Callable[[Note, Voice, int, int, float, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _resonance(frequency: np.ndarray, formants: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """Return the gain of body or bore: 1 plus a bump at each formant."""
    gain = np.ones_like(frequency)
    for centre, height, width in formants:
        gain += height / (1 + ((frequency - centre) / width) ** 2)
    return gain


def frequency_of(pitch: float) -> float:
    """Return the frequency of a pitch: 440 Hz for 69, twice as much an octave higher.

    Args:
        pitch: MIDI number, may be between two keys.

    Returns:
        The frequency in Hz.
    """
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def _ramp(time: np.ndarray, seconds: float) -> np.ndarray:
    """Rise smoothly from 0 to 1 over ``seconds`` (a cubic: no corner, so no click); shaped like ``time``."""
    x = np.clip(time / seconds, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _harmonic_count(frequency: float, sample_rate: int) -> int:
    """Return the number of harmonics below the Nyquist frequency, so that none is aliased."""
    return max(1, int(min(0.98 * sample_rate / 2, _HIGHEST_PARTIAL) / frequency))


def _steady_rotation(turn: float, length: int) -> np.ndarray:
    """Return exp(i·turn·t) for t = 0 … length - 1, multiplied from two short tables for t = 64a + b."""
    coarse, fine = np.arange(0, length, 64), np.arange(64)
    return np.outer(np.exp(1j * turn * coarse), np.exp(1j * turn * fine)).ravel()[:length]


def _harmonics(z: np.ndarray, frequency: float, count: int, brightness: np.ndarray | float, build: Voice) -> np.ndarray:
    """Sum the harmonics n = 1 … count with amplitudes a_n · brightnessⁿ⁻¹, where a_n belongs to the build.

    With w = brightness · z that is the imaginary part of z · (a_1 + a_2 w + a_3 w² + …): for this polynomial
    Horner's rule needs one multiplication per harmonic instead of one sine.

    Args:
        z: exp(i·phase) of the fundamental, complex (length,).
        frequency: the note's frequency in Hz, where the formants are read.
        count: number of harmonics.
        brightness: 0…1, one number or (length,).
        build: the voice.
    """
    n = np.arange(1, count + 1)
    amplitudes = n**-build.tilt * _resonance(n * frequency, build.formants)
    amplitudes[1::2] *= build.even
    amplitudes[: len(build.partials)] *= build.partials[:count]
    w = brightness * z
    total = np.full(len(z), amplitudes[-1], complex)
    for amplitude in amplitudes[-2::-1]:
        total *= w
        total += amplitude
    return (total * z).imag


def sustained(
    note: Note, build: Voice, length: int, sample_rate: int, previous: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Play a bowed or blown note: harmonics whose brightness follows the loudness.

    Args:
        note: what to play.
        build: the voice.
        length: of the result, in samples.
        sample_rate: in Hz.
        previous: MIDI pitch of the note before, from which a glide starts.
        generator: not used.

    Returns:
        The tone, and the envelope of its noise, both (length,).

    Source:
        Risset and Mathews, "Analysis of musical-instrument tones", 1969 (louder is brighter, found in the trumpet).
    """
    time = np.arange(length) / sample_rate
    frequency = frequency_of(note.pitch)
    left = np.maximum(note.duration - time, 0.0)
    envelope = note.loudness * _ramp(time, build.attack) * _ramp(left, build.release)
    if build.swell:
        # A parabola over the note: nothing at its ends, 1 in the middle.
        envelope *= 1 - build.swell + build.swell * 4 * time * left / note.duration**2
    ratio = np.ones(length)
    if build.glide:
        start = frequency_of(note.pitch - build.scoop if build.scoop else previous) / frequency
        ratio += (start - 1) * (1 - _ramp(time, build.glide))
    if build.vibrato_depth or build.tremolo:
        wave = np.sin(2 * np.pi * build.vibrato_rate * time) * _ramp(time - build.vibrato_delay, 0.3)
        # A semitone is 5.9 % in frequency.
        ratio += 0.059 * build.vibrato_depth * wave
        envelope *= 1 - build.tremolo * (0.5 + 0.5 * wave)
    if build.flutter:
        envelope *= 1 - build.flutter * (0.5 + 0.5 * np.sin(2 * np.pi * _FLUTTER_RATE * time))
    phase = (2 * np.pi * frequency / sample_rate) * np.cumsum(ratio)
    # Louder is brighter, most audibly so on brass.
    brightness = build.brightness * (1 - build.dynamics + build.dynamics * envelope)
    count = _harmonic_count(frequency * (float(ratio.max()) + 1e-6), sample_rate)
    z = np.cos(phase) + 1j * np.sin(phase)
    tone = envelope * _harmonics(z, frequency, count, brightness, build)
    # During the attack, breath or bow noise is louder than later.
    return tone, envelope * (3 - 2 * _ramp(time, 2 * build.attack))


def plucked(
    note: Note, build: Voice, length: int, sample_rate: int, previous: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Play a plucked string: noise circulates in a delay line and loses high frequencies in each round.

    Args:
        note: what to play.
        build: the voice.
        length: of the result, in samples.
        sample_rate: in Hz.
        previous: not used.
        generator: draws the noise.

    Returns:
        The tone, and the envelope of its noise, both (length,).

    Source:
        Karplus and Strong, "Digital synthesis of plucked-string and drum timbres", 1983.
    """
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
    noise -= np.roll(noise, max(1, int(period * build.pluck)))
    burst = np.zeros(length)
    burst[: len(noise)] = noise[:length]
    tone = lfilter([1.0], feedback, burst)
    tone *= note.loudness
    return tone * _ramp(note.duration - np.arange(length) / sample_rate, 0.05), np.zeros(length)


def struck(
    note: Note, build: Voice, length: int, sample_rate: int, previous: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Play a struck bar: three resonators that ring after one impulse, the high ones for a shorter time.

    Args:
        note: what to play.
        build: the voice.
        length: of the result, in samples.
        sample_rate: in Hz.
        previous: not used.
        generator: not used.

    Returns:
        The tone, and the envelope of its noise, both (length,).

    Source:
        Fletcher and Rossing, *The Physics of Musical Instruments*, chapter 19.
    """
    time = np.arange(length) / sample_rate
    total, impulse = np.zeros(length), np.zeros(length)
    impulse[0] = 1.0
    for (ratio, amplitude, decay), factor in zip(_BAR_PARTIALS, (build.partials or (1.0,) * 3)[:3], strict=True):
        turn = 2 * np.pi * ratio**build.stretch * frequency_of(note.pitch) / sample_rate
        loss = np.exp(-1 / (decay * build.decay * sample_rate))
        if turn < 0.98 * np.pi:
            resonator = [1, -2 * loss * np.cos(turn), loss**2]
            total += lfilter([0, factor * amplitude * loss * np.sin(turn)], resonator, impulse)
    tone = note.loudness * total * _ramp(note.duration - time, 0.02) * _ramp(time, 0.002)
    return tone, np.zeros(length)


def free_reeds(
    note: Note, build: Voice, length: int, sample_rate: int, previous: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Play one key of an accordion: two reeds a few Hz apart, which beat.

    Args:
        note: what to play.
        build: the voice.
        length: of the result, in samples.
        sample_rate: in Hz.
        previous: not used.
        generator: not used.

    Returns:
        The tone, and the envelope of its noise, both (length,).

    Source:
        Fletcher and Rossing, *The Physics of Musical Instruments*.
    """
    time = np.arange(length) / sample_rate
    frequency = frequency_of(note.pitch)
    envelope = note.loudness * _ramp(time, build.attack) * _ramp(note.duration - time, build.release)
    count, total = _harmonic_count(frequency + build.detune, sample_rate), np.zeros(length)
    for reed in (frequency, frequency + build.detune):
        z = _steady_rotation(2 * np.pi * reed / sample_rate, length)
        total += _harmonics(z, frequency, count, build.brightness, build)
    if build.octave:
        z = _steady_rotation(4 * np.pi * frequency / sample_rate, length)
        total += build.octave * _harmonics(z, 2 * frequency, (count + 1) // 2, build.brightness, build)
    return envelope * total, envelope * np.exp(-time / 0.02)
