"""Masks: how much of each time-frequency cell of a mixture belongs to a source.

From the network's output to sound::

    logits --mask_from_logits--> mask --apply_mask--> waveform

A mask kind computes the target of the training from the known sources. One entry in :data:`MASK_KINDS` adds a kind;
``loss.target`` selects it (a kind that comes with sopedu is also named beside that field).

Notebook: 01_sound_and_spectrograms, 02_masks_by_hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import torch

from sopedu.audio.spectrogram import istft, stft, unwarp, warp
from sopedu.config import Registry, SpectrogramConfig

RATIO_LIMIT = 5.0


@dataclass(frozen=True)
class Spectra:
    """Spectrograms of M mixtures of N sources, from which target masks are computed.

    The STFT is linear, so each solo is transformed once, and a mixture's spectrogram is the sum of its sources'
    spectrograms times their gains: B transforms instead of M · (N + 1).

    Args:
        solos: STFTs of the B solos of a batch, ``(B, F, T)`` complex.
        members: ``(M, N)`` int, index of the solo of each source.
        gains: ``(M, N)`` float, the factor of each source.
        config: of the spectrograms.
    """

    solos: torch.Tensor
    members: torch.Tensor
    gains: torch.Tensor
    config: SpectrogramConfig

    @classmethod
    def of_sources(cls, waveforms: torch.Tensor, config: SpectrogramConfig) -> Spectra:
        """Transform sources ``(M, N, L)`` whose mixture is their sum, with gains of 1."""
        members = torch.arange(waveforms.shape[0] * waveforms.shape[1], device=waveforms.device)
        gains = waveforms.new_ones(waveforms.shape[:2])
        return cls(stft(waveforms.flatten(0, 1), config), members.view(gains.shape), gains, config)

    @cached_property
    def source_stft(self) -> torch.Tensor:
        """STFTs of the sources, ``(M, N, F, T)`` complex."""
        return self.solos[self.members] * self.gains[..., None, None]

    @cached_property
    def mixture_stft(self) -> torch.Tensor:
        """STFTs of the mixtures, ``(M, 1, F, T)`` complex; summed without keeping all sources in memory."""
        pairs = zip(self.members.T, self.gains.T[..., None, None], strict=True)
        return sum(self.solos[solo] * gain for solo, gain in pairs)[:, None]

    @cached_property
    def source(self) -> torch.Tensor:
        """Magnitudes of the sources on log-frequency rows, ``(M, N, Q, T)``."""
        return warp(self.solos.abs(), self.config)[self.members] * self.gains[..., None, None]

    @cached_property
    def mixture(self) -> torch.Tensor:
        """Magnitudes of the mixtures on log-frequency rows, ``(M, 1, Q, T)``."""
        return warp(self.mixture_stft.abs(), self.config)


def ideal_binary_mask(source: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Return 1 where the source has more than half of the mixture's magnitude, else 0.

    Args:
        source: magnitudes ``(M, N, Q, T)``, or any shape that broadcasts with the mixture's.
        mixture: magnitudes ``(M, 1, Q, T)``.

    Returns:
        float mask of the source's shape.

    Source: The Sound of Pixels, section 3.2, u > ½ mixture.
    """
    return (source > 0.5 * mixture).to(source.dtype)


def ideal_ratio_mask(source: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Return the source's magnitude over the mixture's, clamped to 0 … 5; 0 where both are silent.

    It exceeds 1 where sources cancel each other.

    Args:
        source: magnitudes ``(M, N, Q, T)``, or any shape that broadcasts with the mixture's.
        mixture: magnitudes ``(M, 1, Q, T)``.

    Returns:
        float mask of the source's shape.
    """
    tiny = torch.finfo(source.dtype).tiny
    return (source / mixture.clamp_min(tiny)).clamp(0, RATIO_LIMIT)


@dataclass(frozen=True)
class MaskKind:
    """A kind of mask: how its target is computed, and how logits become mask values.

    Args:
        target: computes the target masks ``(M, N, P · Q, T)`` float from the spectra of mixtures.
        activation: maps logits to the values of the mask.
        parts: P, numbers per cell: 1 for a real mask; 2 for a complex one, the real part in the first Q rows, the
            imaginary part in the next Q.
        binary: threshold the mask at 0.5 before it is applied.
    """

    target: Callable[[Spectra], torch.Tensor]
    activation: Callable[[torch.Tensor], torch.Tensor] = field(default_factory=lambda: torch.sigmoid)
    parts: int = 1
    binary: bool = False


#: Mask kinds by the value of ``loss.target``.
MASK_KINDS: Registry[MaskKind] = Registry(
    "loss.target",
    {
        "binary": MaskKind(lambda spectra: ideal_binary_mask(spectra.source, spectra.mixture), binary=True),
        "ratio": MaskKind(lambda spectra: ideal_ratio_mask(spectra.source, spectra.mixture)),
    },
)


def mask_from_logits(logits: torch.Tensor, kind: MaskKind) -> torch.Tensor:
    """Turn a network's logits into masks ``(…, Q, T)`` float32, or complex64 for a kind of two parts.

    Args:
        logits: ``(…, P · Q, T)``.
        kind: the mask kind that the network was trained with.
    """
    return mask_from_values(kind.activation(logits.float()), kind)


def mask_from_values(values: torch.Tensor, kind: MaskKind) -> torch.Tensor:
    """Combine the parts of masks into ``(…, Q, T)``, complex if there are two.

    Args:
        values: ``(…, P · Q, T)`` float32, such as a target.
        kind: of the masks.
    """
    return values if kind.parts == 1 else torch.complex(*values.chunk(2, dim=-2))


def mask_power(mask: torch.Tensor) -> torch.Tensor:
    """Return the share of the energy that a real or complex mask keeps in each cell, float, same shape."""
    return mask.abs().square() if mask.is_complex() else mask.square()


def threshold(mask: torch.Tensor, at: float = 0.5) -> torch.Tensor:
    """Turn a continuous mask into a binary one; threshold after unwarping, which interpolates.

    Args:
        mask: any shape.
        at: values above it become 1, the others 0.
    """
    return (mask > at).to(mask.dtype)


def apply_mask(
    mask: torch.Tensor, mixture: torch.Tensor, config: SpectrogramConfig, binary: bool = False, normalise: bool = False
) -> torch.Tensor:
    """Separate: unwarp the mask, multiply the mixture's complex spectrogram by it, and transform back.

    With a real mask the estimate keeps the mixture's phase, which limits every method of this kind.

    Args:
        mask: ``(…, Q, T)`` real or complex, on the log-frequency axis.
        mixture: complex STFT ``(…, F, T)``; leading axes broadcast with the mask's.
        config: of the spectrograms.
        binary: threshold the unwarped mask at 0.5 first.
        normalise: divide the squares of the unwarped masks ``(…, N, Q, T)`` by their sum over N, like a Wiener filter
            of powers, so that the N estimates add up to the mixture. Complex masks are not squared, and no mask is
            thresholded. Where all masks are 0, each source gets the same share.

    Returns:
        waveform ``(…, (T − 1) · hop_length)`` float32.
    """
    linear = unwarp(mask if mask.is_complex() else mask.float(), config)
    if normalise:
        linear = (linear if linear.is_complex() else linear.square()) + 1e-9
        linear = linear / linear.sum(-3, keepdim=True)
    elif binary:
        linear = threshold(linear)
    return istft(linear * mixture, config)
