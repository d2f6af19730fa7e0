"""Random changes of training pictures."""

from __future__ import annotations

import numpy as np
import torch

from sopedu.config import Config
from sopedu.data.mixing import to_device


def augment(frames: torch.Tensor, config: Config, generator: np.random.Generator) -> torch.Tensor:
    """Mirror and tint clips at random, each clip as a whole.

    Args:
        frames: normalised, ``(B, S, 3, H, W)``.
        config: ``mixing.flip`` and ``mixing.colour_jitter``.
        generator: source of randomness.

    Returns:
        same shape.
    """
    count = len(frames)
    if config.mixing.flip:
        mirrored = to_device(generator.random(count) < 0.5, frames.device)
        frames = torch.where(mirrored[:, None, None, None, None], frames.flip(-1), frames)
    if config.mixing.colour_jitter:
        jitter = config.mixing.colour_jitter
        gain = to_device(generator.uniform(1 - jitter, 1 + jitter, (count, 1, 3, 1, 1)), frames.device)
        shift = to_device(generator.uniform(-jitter, jitter, (count, 1, 3, 1, 1)), frames.device)
        frames = frames * gain.to(frames.dtype) + shift.to(frames.dtype)
    return frames
