"""Steady noise of any colour and level is told from music of any level; what the share should be comes from theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.audio.noise import certainty_of_music, share_above_noise
from sopedu.audio.spectrogram import stft
from sopedu.config import preset
from sopedu.toyband import INSTRUMENTS, solo

SOUND = preset("tiny").spectrogram
LENGTH, RATE = SOUND.samples, SOUND.sample_rate
LEVELS = (0, -20, -40, -60, -80)  # dB


def spectrum(waveform: np.ndarray, level: float = 0.0) -> torch.Tensor:
    return stft(torch.from_numpy(waveform * 10 ** (level / 20)).float(), SOUND)


def noise(exponent: float, seed: int) -> np.ndarray:
    """Steady noise of unit power whose power goes with a power of the frequency: 0 white, −1 pink, 1 blue."""
    bins = np.fft.rfft(np.random.default_rng(seed).normal(size=LENGTH))
    frequency = np.fft.rfftfreq(LENGTH, 1 / RATE)
    bins[1:] *= frequency[1:] ** (exponent / 2)
    bins[0] = 0
    found = np.fft.irfft(bins, LENGTH)
    return found / found.std()


def chord(hertz: float) -> np.ndarray:
    """A held note of ten harmonics, of unit power."""
    time = np.arange(LENGTH) / RATE
    found = sum(np.sin(2 * math.pi * n * hertz * time + n * n) / n for n in range(1, 11))
    return found / found.std()


def melody(name: str, number: int) -> np.ndarray:
    played = solo(number, "test", name, samples=LENGTH, size=16, times=(0.5,)).waveform().numpy()
    return played / np.abs(played).max()


@pytest.mark.parametrize("exponent", [-1, -0.5, 0, 0.5, 1])
def test_steady_noise_of_every_colour_is_no_music_at_any_level(exponent):
    shares = [share_above_noise(spectrum(noise(exponent, seed), level)) for seed in range(8) for level in LEVELS]
    # Of exponentially distributed power, the cells above c times the mean hold (1 + c) · exp(−c); the floor is found
    # from a finite sample and between bins, which costs up to twice that.
    assert 0.5 * 6 * math.exp(-5) < np.mean(shares) < 2 * 6 * math.exp(-5)
    assert [certainty_of_music(spectrum(noise(exponent, seed))) for seed in range(8)] == [0] * 8


def test_independent_cells_give_the_share_of_theory():
    bins, found = torch.arange(513)[:, None].clamp_min(1), []
    for seed in range(5):
        cells = torch.randn(513, 4000, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
        # Power with 1 / frequency² makes the tilted power flat, so that the floor is exact but for chance.
        found.append(share_above_noise(cells / bins))
    assert np.mean(found) == pytest.approx(6 * math.exp(-5), rel=0.1)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_solo_is_music_at_every_level(name):
    for number in range(3):
        played = melody(name, number)
        assert [certainty_of_music(spectrum(played, level)) for level in LEVELS] == [1] * len(LEVELS)


@settings(deadline=None, max_examples=30)
@given(st.floats(60, 1000))
def test_a_held_note_is_no_noise(hertz):
    assert share_above_noise(spectrum(chord(hertz))) > 0.95


@settings(deadline=None, max_examples=30)
@given(st.floats(-120, 40), st.integers(0, 100))
def test_the_level_does_not_matter(level, seed):
    sound = torch.from_numpy(chord(300) + noise(-1, seed))
    found = share_above_noise(stft(sound, SOUND))
    assert share_above_noise(stft(10 ** (level / 20) * sound, SOUND)) == pytest.approx(found, abs=1e-3)


def test_the_share_falls_as_the_noise_grows():
    shares = [
        share_above_noise(spectrum(chord(440) + 10 ** (level / 20) * noise(0, 1))) for level in range(-40, 41, 10)
    ]
    assert shares[:6] == sorted(shares[:6], reverse=True) and shares[0] > 0.99 and max(shares[6:]) < 0.1
    # With the power r of the noise, the note has 1 / (1 + r) of the energy.
    assert shares[3] == pytest.approx(1 / 1.1, abs=0.05) and shares[4] == pytest.approx(0.5, abs=0.15)


def test_silence_and_what_is_too_low_to_hear_are_no_music():
    assert share_above_noise(torch.zeros(512, 32)) == share_above_noise(spectrum(np.zeros(LENGTH))) == 0
    offset = torch.zeros(512, 32)
    offset[:3] = 1
    assert share_above_noise(offset) == 0


@pytest.mark.parametrize("end", [2000, 6000, 12000])
def test_noise_before_added_zeros_is_no_music(end):
    for seed in range(4):
        ended = noise(0, seed)
        ended[end:] = 0
        assert certainty_of_music(spectrum(ended)) < 0.2
