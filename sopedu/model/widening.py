"""A wider audio net that computes the same as a narrower one: a training goes on with more weights, from where it was.

Each channel of the wide net is a copy of a channel of the narrow one. What reads a channel with several copies shares
its weight among them, by parts that are drawn, so the copies get different gradients and soon differ.

    >>> narrow = load_checkpoint("toyband").model
    >>> wide = widened(narrow, with_values(narrow.config, ["model.audio_channels=32,64,128,192,256"]))
"""

from __future__ import annotations

import torch

from sopedu.config import Config
from sopedu.errors import SopeduError
from sopedu.model.modes import untrained
from sopedu.model.sound_of_pixels import SoundOfPixels


def is_wider(narrow: Config, wide: Config) -> bool:
    """Return whether the second configuration's U-Net is the first's with more channels on at least one level.

    Args:
        narrow: of a model that is there.
        wide: of a model that is wanted.
    """
    before, now = narrow.model.audio_channels, wide.model.audio_channels
    if len(before) != len(now) or tuple(before) == tuple(now):
        return False
    return all(few <= many for few, many in zip(before, now, strict=True))


def widened(narrow: SoundOfPixels, config: Config) -> SoundOfPixels:
    """Build a model with a wider audio net that gives the same masks.

    Args:
        narrow: the model to begin with; it is not changed.
        config: that of ``narrow`` with larger numbers in ``model.audio_channels``; ``training.seed`` draws the parts.

    Returns:
        the model, on the CPU.

    Raises:
        SopeduError: a level has fewer channels than in ``narrow``, or something else about the model differs.

    Source: Chen, Goodfellow and Shlens 2016, Net2WiderNet, section 2.2.
    """
    generator = torch.Generator().manual_seed(config.training.seed)
    wide, weights = untrained(config), dict(narrow.state_dict())
    few, many = narrow.config.model.audio_channels, config.model.audio_channels
    if not is_wider(narrow.config, config):
        raise SopeduError(f"a wider audio net has as many levels and no narrower one: {tuple(few)} → {tuple(many)}")
    copies = [torch.arange(now) % before for before, now in zip(few, many, strict=True)]  # of which channel, by level
    for level in range(len(many)):
        down = f"audio_net.down.{level}.weight"
        weights[down] = weights[down][copies[level]]
        if level:
            weights[down] = _shared(weights[down], copies[level - 1], generator)
        _copy_norm(weights, f"audio_net.down_norm.{level}.", copies[level])
        step = len(many) - 1 - level
        up, read = f"audio_net.up.{step}.weight", copies[level]
        if step:  # it also reads the step down of its level
            read = torch.cat([read, few[level] + read])
        weights[up] = _shared(weights[up], read, generator)
        if level:  # the last step up gives the K components, which stay K
            weights[up] = weights[up][copies[level - 1]]
            _copy_norm(weights, f"audio_net.up_norm.{step}.", copies[level - 1])
    sizes = {name: value.shape for name, value in weights.items()}
    wrong = [name for name, value in wide.state_dict().items() if value.shape != sizes.get(name)]
    if wrong:
        raise SopeduError(f"only model.audio_channels may differ from the narrower model; here {wrong[0]} differs too")
    wide.load_state_dict(weights)
    wide.config = config
    return wide


def _shared(weight: torch.Tensor, read: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Share the weights ``(O, I, H, W)`` of inputs among their copies; those of one input sum to what it had."""
    parts = torch.rand(len(weight), len(read), generator=generator) + 0.1
    sums = torch.zeros(len(weight), weight.shape[1]).index_add_(1, read, parts)
    return weight[:, read] * (parts / sums[:, read])[..., None, None]


def _copy_norm(weights: dict[str, torch.Tensor], name: str, copies: torch.Tensor) -> None:
    """Copy what a batch normalisation knows of each channel, if there is one under this name."""
    for key in ("weight", "bias", "running_mean", "running_var"):
        if name + key in weights:
            weights[name + key] = weights[name + key][copies]
