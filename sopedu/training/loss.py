"""The training loss: mix solos, predict the masks of their sources, compare them with the true masks.

This is a training step without the update of the weights.

Notebook: 05_mix_and_separate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from sopedu.audio.masks import MASK_KINDS, Spectra
from sopedu.audio.spectrogram import log_magnitude
from sopedu.config import Config, LossConfig, Registry
from sopedu.data.augmentation import augment
from sopedu.data.mixing import Mixtures, mix
from sopedu.errors import SopeduError
from sopedu.model.sound_of_pixels import normalise_frames

Activation = Callable[[torch.Tensor], torch.Tensor]
PastedLoss = Callable[..., torch.Tensor]


def binary_cross_entropy(logits: torch.Tensor, target: torch.Tensor, activation: Activation) -> torch.Tensor:
    """Compute the cross entropy from logits, because bf16 needs that; masks are in 0 … 1. For arguments see LOSSES."""
    if activation is not torch.sigmoid:
        raise SopeduError("loss.kind=bce compares masks in 0 … 1: use l1 or l2 for this loss.target")
    return F.binary_cross_entropy_with_logits(logits, target.clamp(0, 1), reduction="none")


#: Losses by the value of ``loss.kind``. Each takes logits and target, ``(M, N, P · Q, T)`` float32, and the activation
#: that turns logits into mask values, and returns the loss of each cell, same shape.
LOSSES: Registry[Callable[[torch.Tensor, torch.Tensor, Activation], torch.Tensor]] = Registry(
    "loss.kind",
    {
        "bce": binary_cross_entropy,
        "l1": lambda logits, target, activation: (activation(logits) - target).abs(),
        "l2": lambda logits, target, activation: (activation(logits) - target).square(),
    },
)


def loss_weight(mixture: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Compute the weight of each cell: log(1 + magnitude of the mixture), limited to 0.001 … 10.

    Args:
        mixture: magnitudes ``(M, 1, Q, T)``.
        config: if its ``weighted`` is false, all weights are 1.
    """
    return torch.log1p(mixture).clamp(1e-3, 10.0) if config.weighted else torch.ones_like(mixture)


def mask_loss(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Compute the mean over all cells of weight × loss, a scalar float32.

    Args:
        logits: ``(M, N, P · Q, T)``.
        target: same shape.
        weight: ``(M, 1 or N, Q, T)``, the same for both parts of a complex mask.
        config: selects loss and mask kind.

    Source: The Sound of Pixels, section 3.2.
    """
    kind = MASK_KINDS[config.target]
    loss = LOSSES[config.kind](logits.float(), target, kind.activation)
    return (weight.tile(kind.parts, 1) * loss).mean() if kind.parts > 1 else (weight * loss).mean()


def shown_loss(
    net: torch.nn.Module,
    spectra: Spectra,
    target: torch.Tensor,
    frames: torch.Tensor,
    shown: torch.Tensor,
    config: Config,
) -> torch.Tensor:
    """Compute the loss of mixtures whose sources are shown, a scalar; training and validation both use this.

    Args:
        net: a :class:`sopedu.SoundOfPixels`, perhaps compiled or wrapped for several GPUs.
        spectra: of M mixtures of N sources.
        target: masks of the sources, ``(M, N, P · Q, T)``.
        frames: normalised, of B clips, ``(B, S, 3, H, W)``.
        shown: ``(M, N + A)`` int, the clips shown with each mixture: of its sources, then A of absent instruments,
            whose target is 0; −1 where none is available (weight 0).
        config: of the net.
    """
    weight = loss_weight(spectra.mixture, config.loss)
    absent = shown.shape[1] - target.shape[1]
    if absent:
        target = torch.cat([target, torch.zeros_like(target[:, :1]).expand(-1, absent, -1, -1)], dim=1)
        weight = weight * (shown >= 0)[..., None, None]
    logits = net(log_magnitude(spectra.mixture, spectra.config), frames, shown.clamp_min(0))
    return mask_loss(logits, target, weight, config.loss)


def mixture_loss(
    net: torch.nn.Module,
    waveforms: torch.Tensor,
    frames: torch.Tensor,
    labels: np.ndarray,
    config: Config,
    generator: np.random.Generator,
    pasted: PastedLoss | None = None,
) -> tuple[torch.Tensor, Mixtures]:
    """Mix a batch of solos, predict the masks of all sources, and compare them with the true ones.

    Args:
        net: a :class:`sopedu.SoundOfPixels`, perhaps compiled or wrapped for several GPUs.
        waveforms: ``(B, L)`` float.
        frames: ``(B, S, 3, H, W)`` uint8.
        labels: ``(B,)`` class of each solo.
        config: of the net.
        generator: source of randomness.
        pasted: computes the loss of scenes that hold all sources of a mixture,
            :func:`sopedu.training.pasted_loss.pasted_scene_loss`; None: each source is shown by its own clip.

    Returns:
        the loss, a scalar; and the mixtures that it was computed on.
    """
    mixtures = mix(waveforms, labels, config.mixing, generator)
    with torch.autocast(waveforms.device.type, enabled=False):  # spectrograms and targets stay float32
        spectra = mixtures.spectra(config.spectrogram)
        target, _ = MASK_KINDS[config.loss.target].target(spectra), spectra.mixture  # `spectra` keeps both in float32
    pictures = augment(normalise_frames(frames), config, generator)
    if pasted is not None:
        return pasted(net, spectra, target, pictures, mixtures.members, labels, config, generator), mixtures
    shown = torch.cat([mixtures.members, mixtures.absent], dim=1)
    return shown_loss(net, spectra, target, pictures, shown, config), mixtures
