"""Masks: how much of every cell of the mixture's spectrogram belongs to a source.

Ideal masks are computed from the known sources and say how well any mask could do; a model's masks are only ever
compared with them. Explained in notebook 01_sound_and_spectrograms, and by hand in 02_masks_by_hand.
"""

from __future__ import annotations

import torch

from sopedu.audio.spectrogram import istft, unwarp
from sopedu.config import SpectrogramConfig

RATIO_LIMIT = 5.0


def ideal_binary_mask(source: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """One where the source makes more than half of the mixture's magnitude, else zero.

    Args:
        source: magnitudes ``(B, N, Q, T)`` (or any shape that broadcasts with the mixture's).
        mixture: magnitudes ``(B, 1, Q, T)``.

    Returns:
        float mask of the source's shape. Source: The Sound of Pixels, section 3.2; u > ½ mixture.
    """
    return (source > 0.5 * mixture).to(source.dtype)


def ideal_ratio_mask(source: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Magnitude of the source over that of the mixture, clamped to [0, 5]; where both are silent, zero.

    It can pass 1 where sources cancel each other. Shapes as in :func:`ideal_binary_mask`.
    """
    tiny = torch.finfo(source.dtype).tiny
    return (source / mixture.clamp_min(tiny)).clamp(0, RATIO_LIMIT)


def threshold(mask: torch.Tensor, at: float = 0.5) -> torch.Tensor:
    """Turn a continuous mask into a binary one; do it after unwarping, or the interpolation softens it again."""
    return (mask > at).to(mask.dtype)


def apply_mask(
    mask: torch.Tensor,
    mixture: torch.Tensor,
    config: SpectrogramConfig,
    binary: bool = False,
    normalise: bool = False,
) -> torch.Tensor:
    """Separate: unwarp the mask, multiply the mixture's complex spectrogram with it, and transform back.

    The estimate keeps the mixture's phase, which is what every mask-based method of this kind pays.

    Args:
        mask: ``(…, Q, T)`` on the log-frequency axis.
        mixture: complex STFT ``(…, F, T)``; leading axes broadcast with the mask's.
        binary: threshold the unwarped mask at 0.5 first.
        normalise: divide the unwarped masks ``(…, N, Q, T)`` by their sum over N, so that the N estimates add up to
            the mixture; no mask is thresholded then. Where all masks vanish, each gets the same share.

    Returns:
        waveform ``(…, (T − 1) · hop_length)`` float32.
    """
    linear = unwarp(mask.float(), config)
    if normalise:
        linear = linear + 1e-9
        linear = linear / linear.sum(-3, keepdim=True)
    elif binary:
        linear = threshold(linear)
    return istft(linear * mixture, config)
