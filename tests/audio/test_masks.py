"""Masks: what ideal ones are, what they reach, and that applying one changes nothing but what it masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.audio.masks import RATIO_LIMIT, apply_mask, ideal_binary_mask, ideal_ratio_mask, threshold
from sopedu.audio.metrics import bss_eval
from sopedu.audio.spectrogram import istft, stft, unwarp, warp
from sopedu.config import preset

PAPER, TINY = preset("paper").spectrogram, preset("tiny").spectrogram


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def sine(frequency: float, config, level: float = 0.3) -> torch.Tensor:
    return level * torch.sin(2 * np.pi * frequency * torch.arange(config.samples) / config.sample_rate)


def test_binary_masks_of_two_sources_share_every_cell_out():
    sources = random(4, 2, 16, 8)  # continuous, so no two are equal
    mixture = sources.sum(1, keepdim=True)  # magnitudes add where phases agree
    masks = ideal_binary_mask(sources, mixture)
    assert (masks.sum(1) == 1).all()
    assert (masks.argmax(1) == sources.argmax(1)).all()
    assert masks.dtype == sources.dtype


def test_binary_mask_of_an_equal_share_and_of_silence_is_zero():
    # The paper's inequality is strict: u > ½ mixture.
    source, mixture = torch.tensor([0.5, 0.0, 0.51]), torch.tensor([1.0, 0.0, 1.0])
    assert ideal_binary_mask(source, mixture).tolist() == [0, 0, 1]


def test_ratio_mask_is_the_quotient_clamped_and_zero_in_silence():
    source = torch.tensor([0.25, 2.0, 6.0, 0.0, 1e-30])
    mixture = torch.tensor([1.0, 1.0, 1.0, 0.0, 1e-30])
    assert ideal_ratio_mask(source, mixture).tolist() == pytest.approx([0.25, 2.0, RATIO_LIMIT, 0.0, 1.0])
    assert RATIO_LIMIT == 5.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6, width=32), st.floats(0, 1e6, width=32)), min_size=1, max_size=20))
def test_ideal_masks_stay_in_their_range_whatever_comes(cells):
    source, mixture = torch.tensor(cells, dtype=torch.float32).T
    ratio = ideal_ratio_mask(source, mixture)
    assert ((ratio >= 0) & (ratio <= RATIO_LIMIT)).all()  # false for NaN too
    assert set(ideal_binary_mask(source, mixture).tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("config", [PAPER, TINY], ids=["bilinear", "area"])
@pytest.mark.parametrize("kind", ["ratio", "binary"])
def test_ideal_masks_separate_two_sines_far_apart(config, kind):
    config = replace(config, samples=8191)
    sources = torch.stack([sine(300, config), sine(2000, config)])
    complex_mixture = stft(sources.sum(0), config)
    source, mixture = warp(stft(sources, config).abs(), config), warp(complex_mixture.abs(), config)
    mask = (ideal_ratio_mask if kind == "ratio" else ideal_binary_mask)(source, mixture)
    estimates = apply_mask(mask, complex_mixture, config, binary=kind == "binary")
    scores = bss_eval(sources[:, : config.counted_samples].numpy(), estimates.numpy())
    assert scores.sdr.min() > 20
    # The mixture itself, by symmetry, holds as much interference as source.
    unseparated = sources.sum(0).expand(2, -1)[:, : config.counted_samples]
    assert abs(bss_eval(sources[:, : config.counted_samples].numpy(), unseparated.numpy()).sdr).max() < 1


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("config", [PAPER, TINY], ids=["bilinear", "area"])
def test_a_mask_of_ones_gives_the_mixture_back_and_zeros_give_silence(config, binary):
    mixture = stft(random(config.samples) - 0.5, config)
    ones = torch.ones(config.log_frequency_bins, config.time_frames)
    torch.testing.assert_close(apply_mask(ones, mixture, config, binary), istft(mixture, config), atol=1e-5, rtol=0)
    assert not apply_mask(torch.zeros_like(ones), mixture, config, binary).any()


def test_a_mask_keeps_the_phase_and_masks_in_time():
    config = replace(TINY, samples=16 * 512 - 1)
    mixture = stft(random(config.samples) - 0.5, config)
    first_half = torch.zeros(config.log_frequency_bins, config.time_frames)
    first_half[:, : config.time_frames // 2] = 1
    heard = apply_mask(first_half, mixture, config)
    whole = istft(mixture, config)
    middle = (config.time_frames // 2) * config.hop_length
    torch.testing.assert_close(heard[: middle - config.n_fft], whole[: middle - config.n_fft], atol=1e-5, rtol=0)
    assert heard[middle:].abs().max() < 1e-5


def test_one_mixture_serves_the_masks_of_all_sources():
    config = replace(TINY, samples=8 * 512 - 1)
    mixtures = stft(random(3, config.samples) - 0.5, config)
    masks = random(3, 2, config.log_frequency_bins, config.time_frames)
    together = apply_mask(masks, mixtures[:, None], config)
    assert together.shape == (3, 2, config.counted_samples)
    for mixture in range(3):
        for source in range(2):
            alone = apply_mask(masks[mixture, source], mixtures[mixture], config)
            torch.testing.assert_close(together[mixture, source], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", [PAPER, TINY], ids=["bilinear", "area"])
def test_thresholding_after_unwarping_is_binary_and_before_is_not(config):
    mask = random(config.log_frequency_bins, 8)
    after = threshold(unwarp(mask, config))
    assert set(after.unique().tolist()) == {0.0, 1.0}
    before = unwarp(threshold(mask), config)
    assert ((before > 0.01) & (before < 0.99)).any()  # why the order matters


def test_a_binary_mask_is_applied_after_the_threshold():
    config = replace(TINY, samples=8 * 512 - 1)
    mixture = stft(random(config.samples) - 0.5, config)
    soft = random(config.log_frequency_bins, config.time_frames)
    expected = istft(threshold(unwarp(soft, config)) * mixture, config)
    torch.testing.assert_close(apply_mask(soft, mixture, config, binary=True), expected)


def test_threshold_is_strict_and_takes_its_height():
    assert threshold(torch.tensor([0.4, 0.5, 0.6])).tolist() == [0, 0, 1]
    assert threshold(torch.tensor([0.1, 0.3]), at=0.2).tolist() == [0, 1]


def test_normalised_masks_share_the_mixture_by_their_squares():
    """As a Wiener filter: masks of 0.8 and 0.4 stand for powers of 4 to 1."""
    config = preset("tiny").spectrogram
    torch.manual_seed(0)
    mixture = stft(torch.randn(config.samples), config)
    masks = torch.tensor([0.8, 0.4])[:, None, None].expand(2, config.log_frequency_bins, config.time_frames)
    whole = istft(mixture, config)
    shares = apply_mask(masks, mixture, config, normalise=True)
    torch.testing.assert_close(shares, torch.tensor([0.8, 0.2])[:, None] * whole, atol=1e-5, rtol=1e-4)
    halves = apply_mask(torch.zeros_like(masks), mixture, config, normalise=True)
    torch.testing.assert_close(halves, torch.stack([whole, whole]) / 2, atol=1e-5, rtol=1e-4)


def test_normalised_complex_masks_add_up_without_squares():
    config = preset("tiny").spectrogram
    torch.manual_seed(0)
    mixture = stft(torch.randn(config.samples), config)
    one = torch.full((config.log_frequency_bins, config.time_frames), 0.75 + 0.25j)
    shares = apply_mask(torch.stack([one, 1 - one]), mixture, config, normalise=True)
    torch.testing.assert_close(shares.sum(0), istft(mixture, config), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shares[0], istft(one[0, 0] * mixture, config), atol=1e-5, rtol=1e-4)
