"""Use a model in evaluation mode, build one without weights, count its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import nn

from sopedu.config import Config
from sopedu.model.sound_of_pixels import SoundOfPixels


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode; afterwards put each module back into the mode that it was in.

    In training mode, batch normalisation would use the statistics of one batch and change its own.

    Args:
        model: some of its modules may be frozen, i.e. in evaluation mode already.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def untrained(config: Config) -> SoundOfPixels:
    """Build a model with random weights, so that nothing has to be downloaded.

    Args:
        config: of the model.
    """
    return SoundOfPixels(replace(config, model=replace(config.model, frame_weights="none")))


def count_parameters(net: nn.Module) -> int:
    """Return the number of trainable parameters of a net.

    Args:
        net: any module.
    """
    return sum(parameter.numel() for parameter in net.parameters())
