"""From an instrument to a recording of it: its body, a room, a microphone, and the noise of the place."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter

#: Centre frequencies in Hz between which a response is drawn.
_BANDS = np.geomspace(60.0, 5500.0, 10)


def response(frequency: np.ndarray, spread: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a smooth frequency response: a random gain in each of ten bands, joined by lines.

    Args:
        frequency: in Hz, (F,).
        spread: standard deviation of the gains in dB.
        generator: source of randomness.

    Returns:
        factors of the amplitude, (F,), whose mean over the bands is 0 dB.
    """
    gains = generator.normal(0.0, spread, len(_BANDS))
    decibels = np.interp(np.log(np.maximum(frequency, 1.0)), np.log(_BANDS), gains - gains.mean())
    return 10 ** (decibels / 20)


def impulse_response(sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the impulse response of a room: the direct sound, six early reflections, and decaying noise.

    High frequencies decay in half the time of low ones, as air and walls absorb them more.

    Args:
        sample_rate: in Hz.
        generator: source of randomness; draws a reverberation time of 0.15 to 0.6 s and a ratio of direct to
            reflected energy of 3 to 15 dB.

    Returns:
        (R,), the direct sound is 1 at index 0.

    Source:
        Moorer, "About this reverberation business", 1979 (decaying noise as the tail of a room).
    """
    seconds, direct = generator.uniform(0.15, 0.6), 10 ** (generator.uniform(3.0, 15.0) / 20)
    early, late = int(0.002 * sample_rate), int(0.03 * sample_rate)
    late = max(late, early + 1)  # at the few samples per second at which only the pictures matter
    time = np.arange(max(int(0.8 * seconds * sample_rate), late + 1)) / sample_rate
    noise = generator.standard_normal((2, len(time)))
    # 60 dB are a factor of exp(-6.9) in amplitude.
    tail = lfilter([0.3], [1, -0.7], noise[0]) * np.exp(-6.9 * time / seconds)
    tail += 0.5 * noise[1] * np.exp(-13.8 * time / seconds)
    tail *= np.minimum(time / 0.02, 1.0)
    at = generator.integers(early, late, 6)
    np.add.at(tail, at, generator.choice([-1.0, 1.0], 6) * generator.uniform(0.5, 2.0, 6))
    tail /= direct * np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail


def background(samples: int, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the noise of a place: air, louder at low frequencies, and the hum of the mains.

    Args:
        samples: length.
        sample_rate: in Hz.
        generator: source of randomness.

    Returns:
        (samples,), with an RMS of 1.
    """
    pole = generator.uniform(0.3, 0.95)
    air = lfilter([1 - pole], [1, -pole], generator.standard_normal(samples))
    air /= np.sqrt(np.mean(air**2))
    mains, turn = generator.choice([50.0, 60.0]), 2 * np.pi * np.arange(samples) / sample_rate
    weights = generator.uniform(0.0, 1.0, 4) * generator.uniform(0.0, 0.7)
    for harmonic, weight in zip((1, 2, 3, 5), weights, strict=True):
        air += weight * np.sin(harmonic * mains * turn + generator.uniform(0, 2 * np.pi))
    return air / np.sqrt(np.mean(air**2))


def recorded(
    sound: np.ndarray,
    sample_rate: int,
    properties: Collection[str],
    body: np.random.Generator,
    place: np.random.Generator,
    noise: np.random.Generator,
) -> np.ndarray:
    """Let a sound pass through body, room and microphone, and add the noise of the place.

    Args:
        sound: (samples,).
        sample_rate: in Hz.
        properties: those of ``bodies``, ``room``, ``microphone``, ``background`` that apply.
        body: draws the response of the individual instrument.
        place: draws room, microphone, and the level of the noise.
        noise: draws the noise.

    Returns:
        (samples,), at any level.
    """
    room = impulse_response(sample_rate, place) if "room" in properties else np.ones(1)
    size = next_fast_len(len(sound) + len(room), real=True)
    frequency = np.fft.rfftfreq(size, 1 / sample_rate)
    transfer = np.ones(len(frequency), complex)
    if "room" in properties:
        transfer *= rfft(room, size)
    if "bodies" in properties:
        transfer *= response(frequency, 3.5, body)
    if "microphone" in properties:
        transfer *= response(frequency, 3.0, place)
        cut = place.uniform(30.0, 150.0)
        transfer *= frequency**2 / (frequency**2 + cut**2)
    if {"room", "bodies", "microphone"} & set(properties):
        sound = irfft(rfft(sound, size) * transfer, size)[: len(sound)]
    if "background" in properties:
        air = background(len(sound), sample_rate, noise) * 10 ** (place.uniform(-45.0, -25.0) / 20)
        sound = sound + air * np.sqrt(np.mean(sound**2))
    return sound
