"""Waveforms to spectrograms and back: STFT, inverse STFT, and the warp to a logarithmic frequency axis.

Shapes: waveform ``(…, L)``, spectrogram ``(…, F, T)``, log-frequency spectrogram ``(…, Q, T)``. Everything is batched
torch and runs on the device of its input.

Notebook: 01_sound_and_spectrograms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError

# The warp of the paper's code: 21 = 2·10 + 1 sets how strongly low frequencies are stretched.
_STRETCH = 21.0


def stft(waveform: torch.Tensor, config: SpectrogramConfig) -> torch.Tensor:
    """Compute the short-time Fourier transform with a Hann window, padded with zeros as librosa does.

    Args:
        waveform: ``(…, L)`` float.
        config: of the spectrogram.

    Returns:
        ``(…, F, T)`` complex, F = n_fft // 2 + 1, T = 1 + L // hop_length.

    Raises:
        SopeduError: not a tensor, or its last axis has only one sample.
    """
    if not isinstance(waveform, torch.Tensor) or not waveform.ndim or waveform.shape[-1] < min(waveform.ndim, 2):
        found = tuple(waveform.shape) if isinstance(waveform, torch.Tensor) else type(waveform).__name__
        raise SopeduError(f"stft takes a torch tensor (…, L), time last, not {found}")
    flat = waveform.reshape(-1, waveform.shape[-1]).float()
    window = torch.hann_window(config.n_fft, device=waveform.device)
    spectrogram = torch.stft(
        flat, config.n_fft, config.hop_length, window=window, pad_mode="constant", return_complex=True
    )
    return spectrogram.reshape(*waveform.shape[:-1], *spectrogram.shape[-2:])


def istft(spectrogram: torch.Tensor, config: SpectrogramConfig) -> torch.Tensor:
    """Compute the inverse STFT up to the centre of the last frame, ``(…, (T − 1) · hop_length)`` float32.

    After that centre the windows sum to almost 0; dividing by that sum would amplify rounding errors.

    Args:
        spectrogram: ``(…, F, T)`` complex.
        config: of the spectrogram.
    """
    flat = spectrogram.reshape(-1, *spectrogram.shape[-2:])
    window = torch.hann_window(config.n_fft, device=spectrogram.device)
    length = (spectrogram.shape[-1] - 1) * config.hop_length
    waveform = torch.istft(flat, config.n_fft, config.hop_length, window=window, length=length)
    return waveform.reshape(*spectrogram.shape[:-2], length)


def warp(magnitude: torch.Tensor, config: SpectrogramConfig) -> torch.Tensor:
    """Resample the frequency axis to log-frequency rows ``(…, Q, T)``.

    ``bilinear`` interpolates between the two nearest linear bins, as the paper's code does with ``grid_sample``
    (``align_corners=True``); ``area`` averages all bins that a row covers, so that none is skipped.

    Args:
        magnitude: ``(…, F, T)``.
        config: of the spectrogram; its ``warp`` selects the method.
    """
    return _matrix(config, "warp", magnitude) @ magnitude


def unwarp(mask: torch.Tensor, config: SpectrogramConfig) -> torch.Tensor:
    """Bring masks ``(…, Q, T)`` from log-frequency rows back to linear bins ``(…, F, T)``.

    Args:
        mask: real or complex.
        config: of the spectrogram.
    """
    return _matrix(config, "unwarp", mask) @ mask


def log_magnitude(warped: torch.Tensor, config: SpectrogramConfig) -> torch.Tensor:
    """Compute the audio net's input: natural logarithm of the warped magnitude plus a floor, same shape.

    Args:
        warped: magnitude ``(…, Q, T)``.
        config: of the spectrogram.
    """
    return torch.log(warped + config.floor)


def row_hertz(config: SpectrogramConfig) -> np.ndarray:
    """Return the centre frequency in hertz of each log-frequency row, ``(Q,)`` float64, low to high.

    Args:
        config: of the spectrogram.
    """
    rows = np.arange(config.log_frequency_bins)
    return _row_to_bin(rows, config) * config.sample_rate / config.n_fft


def _row_to_bin(rows: np.ndarray, config: SpectrogramConfig) -> np.ndarray:
    """Position in linear bins of (fractional) log-frequency rows: y ↦ (21^((y+1)/2) − 11) / 10."""
    y = 2 * rows / (config.log_frequency_bins - 1) - 1
    x = (_STRETCH ** ((y + 1) / 2) - 11) / 10
    return (x + 1) / 2 * (config.linear_bins - 1)


def _bin_to_row(bins: np.ndarray, config: SpectrogramConfig) -> np.ndarray:
    """The inverse of :func:`_row_to_bin`: x ↦ 2 · log(10 x + 11) / log 21 − 1."""
    x = 2 * bins / (config.linear_bins - 1) - 1
    y = 2 * np.log(10 * x + 11) / np.log(_STRETCH) - 1
    return (y + 1) / 2 * (config.log_frequency_bins - 1)


def _interpolation(positions: np.ndarray, size: int) -> np.ndarray:
    """Matrix ``(len(positions), size)`` that interpolates an axis of ``size`` entries at fractional positions."""
    positions = np.clip(positions, 0, size - 1)
    low = np.minimum(positions.astype(int), size - 2)
    matrix = np.zeros((len(positions), size))
    rows = np.arange(len(positions))
    matrix[rows, low] = 1 - (positions - low)
    matrix[rows, low + 1] += positions - low
    return matrix


def _overlap(row_edges: np.ndarray, column_edges: np.ndarray) -> np.ndarray:
    """Matrix of overlaps: the share of each row's interval that lies in each column's interval; rows sum to one."""
    low = np.maximum(row_edges[:-1, None], column_edges[None, :-1])
    high = np.minimum(row_edges[1:, None], column_edges[None, 1:])
    shared = np.clip(high - low, 0, None)
    return shared / shared.sum(axis=1, keepdims=True)


@lru_cache(maxsize=32)
def _numpy_matrix(config: SpectrogramConfig, direction: str) -> np.ndarray:
    bins, rows = config.linear_bins, config.log_frequency_bins
    if config.warp == "bilinear":
        if direction == "warp":
            return _interpolation(_row_to_bin(np.arange(rows), config), bins)
        return _interpolation(_bin_to_row(np.arange(bins), config), rows)
    # Borders between rows, measured in bins; the first and last reach the ends of the axis.
    borders = _row_to_bin(np.arange(rows + 1) - 0.5, config)
    borders[0], borders[-1] = -0.5, bins - 0.5
    bin_borders = np.arange(bins + 1) - 0.5
    return _overlap(borders, bin_borders) if direction == "warp" else _overlap(bin_borders, borders)


@lru_cache(maxsize=32)
def _device_matrix(config: SpectrogramConfig, direction: str, device: str) -> torch.Tensor:
    # A tensor created in inference mode cannot be used in training.
    with torch.inference_mode(False):
        return torch.from_numpy(_numpy_matrix(config, direction)).float().to(device)


def _matrix(config: SpectrogramConfig, direction: str, like: torch.Tensor) -> torch.Tensor:
    matrix = _device_matrix(config, direction, str(like.device))
    return matrix.to(like.dtype)
