"""Resampling against theory: whole or in blocks, and what is no waveform or no sample rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import RATE, inner, sine

from sopedu.audio import resampling
from sopedu.audio import soundfiles as sound
from sopedu.audio.player import encode_mp3, player
from sopedu.errors import SopeduError
from sopedu.plots import plot_waveform


def test_what_the_new_rate_cannot_hold_is_removed():
    low = resampling.resample(sine(1000, 1.0), RATE, 11025)
    np.testing.assert_allclose(inner(low), inner(sine(1000, 1.0, 11025)), atol=2e-3)
    above_nyquist = resampling.resample(sine(8000, 1.0), RATE, 11025)
    assert np.abs(inner(above_nyquist)).max() < 0.5 * 10 ** (-50 / 20)


@pytest.mark.parametrize("from_rate, to_rate", [(8000, 11025), (48000, 11025), (22050, 11025), (11025, 44100)])
def test_resampling_keeps_time_and_length(from_rate, to_rate):
    resampled = resampling.resample(sine(300, 0.7, from_rate), from_rate, to_rate)
    assert len(resampled) == int(np.ceil(round(0.7 * from_rate) * to_rate / from_rate))
    expected = sine(300, 0.7, to_rate)[: len(resampled)]
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(inner(resampled[: len(expected)], to_rate), inner(expected, to_rate), atol=2e-3)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([(44100, 11025), (48000, 11025), (11025, 44100), (8000, 11025), (11025, 11025), (997, 1009)]),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=6),
    st.integers(0, 2**32),
)
def test_in_blocks_resampling_gives_what_the_whole_gives(rates, lengths, seed):
    waveform = np.random.default_rng(seed).normal(size=sum(lengths)).astype(np.float32)
    blocks = np.split(waveform, np.cumsum(lengths)[:-1])
    found = list(resampling.resample_blocks(blocks, *rates))
    expected = resampling.resample(waveform, *rates)
    assert sum(map(len, found)) == len(expected)
    np.testing.assert_allclose(np.concatenate([waveform[:0], *found]), expected, atol=2e-6)


TAKES_A_WAVEFORM = {
    "resample": lambda waveform: resampling.resample(waveform, 22050, 11025),
    "resample to the same rate": lambda waveform: resampling.resample(waveform, 11025, 11025),
    "encode_mp3": lambda waveform: encode_mp3(waveform, 11025),
    "player": lambda waveform: player(waveform, 11025),
    "plot_waveform": lambda waveform: plot_waveform(waveform, 11025),
}


@pytest.mark.parametrize("take", TAKES_A_WAVEFORM.values(), ids=TAKES_A_WAVEFORM)
def test_what_is_no_waveform_of_one_channel_is_refused_in_one_line(take):
    stereo = np.stack([sine(440, 0.1), sine(660, 0.1)])
    for wrong in (stereo, stereo.T, stereo[:1].T, torch.from_numpy(stereo), [[0.0], [1.0]], 0.5, None, "a.wav"):
        with pytest.raises(SopeduError, match=r"\(L,\)") as caught:
            take(wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(SopeduError, match="not numbers"):
        take([0.0, float("nan"), 1.0])


def test_lists_whole_numbers_and_tensors_are_resampled_like_arrays():
    tone = np.round(1000 * sine(440, 0.1)).astype(np.int16)
    expected = resampling.resample(tone.astype(np.float32), RATE, 11025)
    for same in (tone, tone.tolist(), torch.from_numpy(tone)):
        np.testing.assert_array_equal(resampling.resample(same, RATE, 11025), expected)
    np.testing.assert_array_equal(resampling.resample(tone, float(RATE), np.float64(11025)), expected)


@pytest.mark.parametrize("rate", [0, -8000, 11025.5, float("nan"), float("inf"), "11025", None])
def test_a_sample_rate_that_is_no_whole_number_is_refused(tmp_path, rate):
    tone = sine(440, 0.1)
    for act in (
        lambda: resampling.resample(tone, RATE, rate),
        lambda: resampling.resample(tone, rate, RATE),
        lambda: encode_mp3(tone, rate),
        lambda: sound.save_waveform(tmp_path / "a.wav", tone, rate),
    ):
        with pytest.raises(SopeduError, match="whole number of hertz"):
            act()
    assert list(tmp_path.iterdir()) == []
