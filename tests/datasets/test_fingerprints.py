"""Fingerprints agree for one recording in two forms, and differ for two recordings of one instrument."""

from __future__ import annotations

import numpy as np
import pytest

from sopedu.audio.resampling import resample
from sopedu.datasets.fingerprints import frame_print, sound_prints
from sopedu.datasets.twins import same_pictures, same_sounds
from sopedu.toyband import solo

RATE = 11025


def played(seed: int) -> np.ndarray:
    return solo(seed, "train", "violin", samples=8 * RATE, times=(0.0,), size=32).waveform().numpy()


def softer(x):
    return 0.1 * x


def cut(x):
    return x[4321:]


def noisy(x):
    return x + np.random.default_rng(0).normal(0, 0.01 * np.abs(x).max(), len(x))


def slower_rate(x):
    return resample(resample(x, RATE, 8000), 8000, RATE)


@pytest.mark.parametrize("change", [softer, cut, noisy, slower_rate], ids=lambda change: change.__name__)
def test_a_recording_in_another_form_is_recognised(change):
    sounds = [played(seed) for seed in range(4)]
    prints = [sound_prints(sound, RATE) for sound in [*sounds, change(sounds[2])]]
    assert list(same_sounds(prints)) == [(2, 4)]


def test_silence_and_very_short_sounds_have_no_prints_and_no_twins():
    prints = [sound_prints(np.zeros(5 * RATE), RATE)] * 2 + [sound_prints(np.ones(100), RATE)] * 2
    assert [len(one) for one in prints] == [0, 0, 0, 0] and list(same_sounds(prints)) == []
    assert list(same_sounds([])) == [] == list(same_pictures([]))


def test_frames_keep_their_print_when_brightness_and_noise_change_a_little():
    generator = np.random.default_rng(1)
    frame = generator.uniform(0, 255, (32, 32))
    other = generator.uniform(0, 255, (32, 32))
    prints = [
        frame_print(frame),
        frame_print(frame * 0.9 + 5 + generator.normal(0, 1, frame.shape)),
        frame_print(other),
    ]
    assert (prints[0] ^ prints[1]).bit_count() <= 4 < 15 < (prints[0] ^ prints[2]).bit_count()
    flat = np.full((32, 32), 90.0)
    assert frame_print(flat) == frame_print(flat + generator.normal(0, 2, flat.shape)) == 0
