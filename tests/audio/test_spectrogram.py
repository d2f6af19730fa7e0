"""Spectrograms: librosa agrees, the inverse restores, and the warp loses neither borders nor bins."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.audio.spectrogram import istft, log_magnitude, row_hertz, stft, unwarp, warp
from sopedu.config import preset
from sopedu.errors import SopeduError

PAPER, TINY, LAPTOP = (preset(name).spectrogram for name in ("paper", "tiny", "laptop"))
KINDS = [replace(PAPER, warp="bilinear"), replace(PAPER, warp="area"), TINY, replace(TINY, warp="bilinear")]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def warp_matrix(config) -> torch.Tensor:
    return warp(torch.eye(config.linear_bins), config)


def sampled_like_the_paper(picture: torch.Tensor, rows: int, inverse: bool) -> torch.Tensor:
    """The warp as the paper's code does it: a grid of (x, y) in [−1, 1] read by grid_sample."""
    height, width = picture.shape[-2:]
    y = torch.linspace(-1, 1, rows, dtype=torch.float64)
    y = 2 * torch.log(10 * y + 11) / np.log(21) - 1 if inverse else (21 ** ((y + 1) / 2) - 11) / 10
    x = torch.linspace(-1, 1, width, dtype=torch.float64)
    grid = torch.stack([x.expand(rows, width), y[:, None].expand(rows, width)], dim=-1)[None]
    # The first and last place may pass ±1 by a rounding error; the border is meant.
    picture = picture.double().view(1, 1, height, width)
    return torch.nn.functional.grid_sample(picture, grid, align_corners=True, padding_mode="border")[0, 0]


@pytest.mark.parametrize("config", [PAPER, TINY, LAPTOP], ids=["paper", "tiny", "laptop"])
def test_stft_agrees_with_librosa(config):
    waveform = noise(config.samples)
    expected = librosa.stft(
        waveform.numpy(), n_fft=config.n_fft, hop_length=config.hop_length, center=True, pad_mode="constant"
    )
    found = stft(waveform, config).numpy()
    assert found.shape == expected.shape == (config.linear_bins, config.time_frames)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("config", [PAPER, TINY, LAPTOP], ids=["paper", "tiny", "laptop"])
def test_the_inverse_restores_the_samples_that_count(config):
    waveform = (torch.rand(config.samples, generator=torch.Generator().manual_seed(1)) * 2 - 1).float()
    restored = istft(stft(waveform, config), config)
    assert restored.shape == (config.counted_samples,)
    assert restored.dtype == torch.float32
    assert (restored - waveform[: config.counted_samples]).abs().max() <= 1e-5


@pytest.mark.parametrize("rows", [128, 256])
def test_bilinear_warp_is_the_papers_grid_sample(rows):
    config = replace(PAPER, log_frequency_bins=rows)
    magnitude = noise(512, 40).abs()
    mask = torch.rand(rows, 40, generator=torch.Generator().manual_seed(2))
    assert (warp(magnitude, config) - sampled_like_the_paper(magnitude, rows, False)).abs().max() <= 1e-5
    assert (unwarp(mask, config) - sampled_like_the_paper(mask, 512, True)).abs().max() <= 1e-5


@pytest.mark.parametrize("config", KINDS, ids=lambda c: f"{c.warp}-{c.log_frequency_bins}")
def test_ones_stay_ones_to_the_border(config):
    warped = warp(torch.ones(config.linear_bins, 5), config)
    assert warped.shape == (config.log_frequency_bins, 5)
    torch.testing.assert_close(warped, torch.ones_like(warped), atol=1e-5, rtol=0)
    back = unwarp(warped, config)
    torch.testing.assert_close(back, torch.ones(config.linear_bins, 5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rows", [64, 128, 256])
def test_area_warp_counts_every_bin_and_each_row_is_an_average(rows):
    matrix = warp_matrix(replace(TINY, log_frequency_bins=rows))
    assert (matrix.sum(0) > 0).all()
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(1), torch.ones(rows))


def test_bilinear_warp_of_512_bins_to_128_rows_skips_298():
    read = warp_matrix(replace(PAPER, log_frequency_bins=128)).abs().sum(0) > 0
    assert int((~read).sum()) == 298


def test_rows_rise_from_zero_to_half_the_sample_rate():
    for config in (PAPER, TINY):
        hertz = row_hertz(config)
        assert hertz.shape == (config.log_frequency_bins,)
        assert (np.diff(hertz) > 0).all()
        # The last of n_fft / 2 + 1 bins is exactly half the sample rate.
        np.testing.assert_allclose([hertz[0], hertz[-1]], [0, config.sample_rate / 2], atol=1e-6)


@pytest.mark.parametrize("frequency", [440.0, 1000.0, 3000.0])
@pytest.mark.parametrize("config", KINDS, ids=lambda c: f"{c.warp}-{c.log_frequency_bins}")
def test_a_sine_shows_at_its_row(config, frequency):
    seconds = torch.arange(config.samples) / config.sample_rate
    loudness = warp(stft(torch.sin(2 * np.pi * frequency * seconds), config).abs(), config).mean(-1)
    hertz = row_hertz(config)[int(loudness.argmax())]
    row_spacing = np.interp(frequency, row_hertz(config)[1:], np.diff(row_hertz(config)))
    bin_spacing = config.sample_rate / config.n_fft
    assert abs(hertz - frequency) <= max(row_spacing, bin_spacing)


@settings(max_examples=8, deadline=None)
@given(first=st.integers(1, 2), second=st.integers(1, 3), config=st.sampled_from([PAPER, TINY]))
def test_a_batch_with_any_leading_axes_equals_a_loop(first, second, config):
    config = replace(config, samples=8 * config.hop_length - 1)
    waveforms = noise(first, second, config.samples)

    def there_and_back(waveform):
        spectrogram = stft(waveform, config)
        return spectrogram, unwarp(warp(spectrogram.abs(), config), config), istft(spectrogram, config)

    for batched, stacked in zip(
        there_and_back(waveforms),
        (torch.stack(parts) for parts in zip(*map(there_and_back, waveforms.flatten(0, 1)), strict=True)),
        strict=True,
    ):
        assert batched.shape[:2] == (first, second)
        torch.testing.assert_close(batched.flatten(0, 1), stacked, atol=1e-5, rtol=1e-5)


def test_log_magnitude_is_finite_in_silence_and_exact_elsewhere():
    silent = log_magnitude(torch.zeros(3), PAPER)
    torch.testing.assert_close(silent, torch.full((3,), float(np.log(1e-10))))
    torch.testing.assert_close(log_magnitude(torch.tensor([1.0]), TINY), torch.tensor([float(np.log(1.0001))]))


@pytest.mark.parametrize("config", [PAPER, TINY], ids=["bilinear", "area"])
def test_gradients_flow_back_to_the_waveform(config):
    waveform = noise(config.samples).requires_grad_()
    spectrogram = stft(waveform, config)
    istft(unwarp(warp(spectrogram.abs(), config), config) * spectrogram, config).square().sum().backward()
    assert torch.isfinite(waveform.grad).all()
    assert (waveform.grad[: config.counted_samples] != 0).float().mean() > 0.99


def test_a_warp_first_used_while_separating_serves_training_afterwards():
    config = replace(preset("tiny").spectrogram, log_frequency_bins=66)  # asked for nowhere else, so not yet cached
    with torch.inference_mode():
        warp(torch.ones(config.linear_bins, 2), config)
    magnitude = torch.ones(config.linear_bins, 2, requires_grad=True)
    warp(magnitude, config).sum().backward()
    assert (magnitude.grad > 0).all()


@pytest.mark.parametrize("wrong", [[0.0] * 100, np.zeros(100), torch.zeros(100, 1), torch.zeros(2, 0), torch.zeros(())])
def test_what_is_no_tensor_with_time_last_is_refused(wrong):
    with pytest.raises(SopeduError, match="time last"):
        stft(wrong, preset("tiny").spectrogram)
