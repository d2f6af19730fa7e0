"""Loss of pasted scenes: the masks of regions and of single cells are compared with the source that was pasted there.

:mod:`sopedu.data.pasting` explains why scenes are pasted; the recipe and its ablation are in ``docs/measurements.md``.

Notebook: 14_limits_of_localization.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from sopedu.audio.masks import Spectra
from sopedu.audio.spectrogram import log_magnitude
from sopedu.config import Config, LossConfig
from sopedu.data.mixing import to_device
from sopedu.data.pasting import PastedScenes, paste
from sopedu.model.nets import activate
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.loss import loss_weight, mask_loss

_BINS = 512  # time-frequency bins drawn for what is computed in every cell
_QUIET, _QUIET_WEIGHT = 0.25, 0.1  # cells with less than this share of the loudest cell's energy should be silent
_LOUD = 0.5  # a cell with at least this share should give the source's mask on its own
_EMPTY_WEIGHT = 0.3  # of cells without a source


def pasted_scene_loss(
    net: torch.nn.Module,
    spectra: Spectra,
    target: torch.Tensor,
    frames: torch.Tensor,
    members: torch.Tensor,
    labels: np.ndarray,
    config: Config,
    generator: np.random.Generator,
) -> torch.Tensor:
    """Paste the sources of each mixture into one picture and compute the loss of these scenes.

    Args:
        net: a :class:`sopedu.SoundOfPixels`, perhaps compiled or wrapped for several GPUs.
        spectra: of M mixtures of N sources.
        target: masks of the sources, ``(M, N, Q, T)``.
        frames: normalised, of the batch, ``(B, S, 3, H, W)``.
        members: ``(M, N)`` int, which clip of the batch is which source.
        labels: ``(B,)`` class of each clip.
        config: of the net.
        generator: source of randomness.

    Returns:
        scalar float32.
    """
    scenes = paste(frames, members, labels, generator)
    features, components = net(log_magnitude(spectra.mixture, spectra.config), scenes.frames, parts=True)
    model: SoundOfPixels = getattr(net, "module", net)
    weight = loss_weight(spectra.mixture, config.loss)
    return pasted_loss(model, features, components, scenes, target, spectra.mixture, weight, config.loss, generator)


def pasted_loss(
    model: SoundOfPixels,
    features: torch.Tensor,
    components: torch.Tensor,
    scenes: PastedScenes,
    target: torch.Tensor,
    mixture: torch.Tensor,
    weight: torch.Tensor,
    config: LossConfig,
    generator: np.random.Generator,
) -> torch.Tensor:
    """Compare the masks of regions and cells of pasted scenes with those of the sources that were pasted there.

    Three binary cross entropies have equal weight: of the max-pooled features of a source's strip; of one cell drawn
    from its loud ones; of the noisy-OR of all masks of the strip, 1 − Π(1 − σ(z)). In addition, quiet cells of a strip
    and cells without a source are pulled towards silence. ``config.pasted_terms`` names the terms that count.

    Args:
        model: whose synthesizer makes the masks.
        features: feature maps before the activation, ``(M, K, S, h, w)``.
        components: of the audio net, ``(M, K, Q, T)``.
        scenes: which source was pasted where.
        target: true masks, ``(M, N, Q, T)``.
        mixture: magnitudes, ``(M, 1, Q, T)``.
        weight: of each cell of the spectrogram, ``(M, 1, Q, T)``.
        config: of the loss.
        generator: draws cells and time-frequency bins.

    Returns:
        the loss, a scalar float32.
    """
    count, (height, width) = features.shape[2], features.shape[-2:]
    strips, empty = scenes.regions(height, width)
    strips = strips[:, :, None].expand(-1, -1, count, -1, -1).flatten(2)  # (M, N, C)
    empty = empty[:, None].expand(-1, count, -1, -1).flatten(1)  # (M, C)
    raw, kind = features.flatten(2).float(), model.config.model.visual_activation  # (M, K, C)
    cells = activate(raw, kind).transpose(1, 2)  # (M, C, K)
    bins = to_device(generator.integers(0, components[0, 0].numel(), _BINS), components.device)
    logits = model.synthesizer(cells, components.flatten(2)[..., bins, None])[..., 0].float()  # (M, C, P)
    weight_there, mixture_there = weight.flatten(2)[..., bins], mixture.flatten(2)[..., bins]  # (M, 1, P)
    chosen, quiet = _loud_and_quiet_cells(logits, mixture_there, strips, generator)
    pooled = raw[:, None].masked_fill(~strips[:, :, None], -torch.inf).amax(-1)  # (M, N, K)
    alone = torch.gather(cells, 1, chosen[..., None].expand(-1, -1, cells.shape[-1]))
    visual = {"pooled": activate(pooled.transpose(1, 2), kind).transpose(1, 2), "cell": alone}
    visual = [value for name, value in visual.items() if name in config.pasted_terms]
    softplus = F.softplus(logits)  # −log(1 − mask)
    terms = []
    if visual:
        masks = model.synthesizer(torch.cat(visual, 1), components).split(strips.shape[1], dim=1)
        terms += [mask_loss(mask, target, weight, config) for mask in masks]
    if "any" in config.pasted_terms:
        terms.append(_noisy_or_loss(softplus, strips, target.flatten(2)[..., bins], weight_there))
    loss = sum(terms) / len(terms)
    if "silence" in config.pasted_terms:
        silence = weight_there * softplus
        loss = loss + _QUIET_WEIGHT * _mean_over(silence, quiet) + _EMPTY_WEIGHT * _mean_over(silence, empty)
    return loss


@torch.no_grad()
def _loud_and_quiet_cells(
    logits: torch.Tensor, mixture: torch.Tensor, strips: torch.Tensor, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one loud cell per source ``(M, N)``, and find the quiet cells ``(M, C)``, by their energy."""
    energy = (torch.sigmoid(logits) * mixture).square().sum(-1)[:, None] * strips  # (M, N, C)
    loudest = energy.amax(-1, keepdim=True)
    drawn = to_device(generator.random(energy.shape), energy.device)
    loud = (drawn * (energy >= _LOUD * loudest) * strips).argmax(-1)
    return loud, ((energy < _QUIET * loudest) & strips).any(1)


def _noisy_or_loss(
    softplus: torch.Tensor, strips: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Compute the cross entropy of the noisy-OR mask of the strip, which is 1 − exp(−none)."""
    none = torch.einsum("mnc,mcp->mnp", strips.to(softplus.dtype), softplus).clamp_min(1e-6)  # −log Π(1 − mask)
    truth = target.clamp(0, 1)
    return (weight * ((1 - truth) * none - truth * torch.log(-torch.expm1(-none)))).mean()


def _mean_over(values: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return the mean of ``(M, C, P)`` over the chosen cells ``(M, C)``; 0 if none is chosen."""
    return (values * cells[..., None]).sum() / (cells.sum() * values.shape[-1]).clamp_min(1)
