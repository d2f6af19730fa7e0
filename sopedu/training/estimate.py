"""How long a training will take, measured on a few mixtures, and how a duration is written."""

from __future__ import annotations

from dataclasses import replace

import torch

from sopedu.config import Config
from sopedu.training.benchmark import measure_step

_MEASURED_MIXTURES = 4  # in the training step that is measured


def seconds_per_mixture(config: Config, steps: int = 1) -> float:
    """Measure the seconds of a training step per mixture, on random data with few mixtures.

    Random numbers that the training draws afterwards stay the same.

    Args:
        config: of the training.
        steps: number of steps to time; their median counts.
    """
    settings = config.training
    few = min(settings.batch_size, max(_MEASURED_MIXTURES, config.mixing.sources))
    small = replace(config, training=replace(settings, batch_size=few, compile="none"))
    with torch.random.fork_rng():
        precision = None if torch.cuda.is_available() else "float32"
        return measure_step(small, steps, precision) / few


def spoken(seconds: float) -> str:
    """Return a duration as a short text: ``20 s``, ``3 min``, ``2.5 h``, ``12 days``; at least ``1 s``.

    Args:
        seconds: the duration.
    """
    for limit, unit, digits, name in ((90, 1, 0, "s"), (5400, 60, 0, "min"), (172_800, 3600, 1, "h")):
        if seconds < limit:
            return f"{max(1, round(seconds / unit, digits)):g} {name}"
    return f"{seconds / 86400:.0f} days"
