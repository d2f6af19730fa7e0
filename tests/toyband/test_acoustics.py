"""Rooms, microphones and noise: reverberation time, levels, smoothness."""

from __future__ import annotations

import numpy as np
import pytest

from sopedu.toyband.acoustics import background, impulse_response, recorded, response

RATE = 11025


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_room_decays_as_it_was_drawn():
    """Schroeder's backward integration: the level of the tail falls by 60 dB in the reverberation time."""
    for seed in range(20):
        drawn = generator(seed)
        seconds, direct = drawn.uniform(0.15, 0.6), drawn.uniform(3.0, 15.0)
        room = impulse_response(RATE, generator(seed))
        assert room[0] == 1 and len(room) == int(0.8 * seconds * RATE)
        tail = room[1:]
        assert 10 * np.log10(1 / np.sum(tail**2)) == pytest.approx(direct, abs=0.1)
        late = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1])
        first, last = int(0.25 * seconds * RATE), int(0.5 * seconds * RATE)
        slope = (late[first] - late[last]) / ((last - first) / RATE)
        assert 60 / slope == pytest.approx(seconds, rel=0.3)


def test_high_frequencies_decay_sooner():
    shares = []
    for seed in range(10):
        room = impulse_response(RATE, generator(seed))[1:]
        halves = np.array_split(room, 3)
        power = [np.abs(np.fft.rfft(part)) ** 2 for part in (halves[0], halves[2])]
        shares.append([part[len(part) // 2 :].sum() / part.sum() for part in power])
    early, late = np.mean(shares, axis=0)
    assert late < early


def test_a_response_is_smooth_and_centred():
    frequency = np.linspace(0, RATE / 2, 4000)
    many = 20 * np.log10([response(frequency, 3.0, generator(seed)) for seed in range(200)])
    assert abs(many.mean()) < 0.3 and 1.5 < many.std() < 3.5
    octave = frequency[1:] / np.maximum(frequency[:-1], 1)
    steps = np.abs(np.diff(many))[:, frequency[1:] > 60] / np.log2(octave[frequency[1:] > 60])
    assert steps.max() < 30  # dB per octave: between neighbouring bands, 0.72 octaves apart


@pytest.mark.parametrize("seed", range(8))
def test_the_noise_of_a_place_lies_25_to_45_decibels_below(seed):
    sound = np.sin(2 * np.pi * 500 * np.arange(3 * RATE) / RATE)
    noisy = recorded(sound, RATE, ("background",), generator(1), generator(seed), generator(seed + 1))
    level = 10 * np.log10(np.mean((noisy - sound) ** 2) / np.mean(sound**2))
    assert -45.2 < level < -24.8


def test_background_is_louder_below_and_hums():
    power = np.mean(
        [np.abs(np.fft.rfft(background(4 * RATE, RATE, generator(seed)))) ** 2 for seed in range(12)], axis=0
    )
    frequency = np.fft.rfftfreq(4 * RATE, 1 / RATE)
    mean = {low: power[(frequency > low) & (frequency < 2 * low)].mean() for low in (200, 2000)}
    assert mean[200] > 2 * mean[2000]
    hum = power[np.isin(frequency, (50.0, 60.0))].mean()
    assert hum > 10 * power[(frequency > 40) & (frequency < 70)].mean() / 5


def test_nothing_is_recorded_otherwise_than_asked():
    sound = generator(0).standard_normal(3000)
    np.testing.assert_array_equal(recorded(sound, RATE, (), *map(generator, (1, 2, 3))), sound)
    room = recorded(sound, RATE, ("room",), *map(generator, (1, 2, 3)))
    np.testing.assert_allclose(room, np.convolve(sound, impulse_response(RATE, generator(2)))[: len(sound)], atol=1e-9)


def test_performers_in_one_place_share_its_room_but_not_its_noise():
    click = np.zeros(8000)
    click[0] = 1.0
    one = recorded(click, RATE, ("room", "microphone"), generator(1), generator(7), generator(3))
    two = recorded(click, RATE, ("room", "microphone"), generator(2), generator(7), generator(4))
    np.testing.assert_array_equal(one, two)
    noisy = [recorded(click, RATE, ("background",), generator(1), generator(7), generator(seed)) for seed in (3, 4)]
    assert abs(np.corrcoef(noisy[0][1000:], noisy[1][1000:])[0, 1]) < 0.3
