"""Measure how far a video lies from what a model was trained on, without the training data.

Batch normalisation stores the mean and spread of every channel over the training clips. A clip of the same kind lies
close to these means in every layer; a filmed video lies far from those of a model trained on drawings.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn

from sopedu.model.sound_of_pixels import SoundOfPixels

# Mean distances of data_samples/checkpoints/toyband, at the level of its training: 80 lifelike duets of the test split
# 0.14 to 0.54 for sound and 0.12 to 0.27 for pictures, single clips of 40 scenes in which one plays alone 0.24 to 0.71
# (it was trained on mixtures), plain duets 0.42 to 0.98; nine real videos 0.44 to 0.86 and 0.23 to 0.90, each above one
# of the limits. Of toyband-tiny: plain duets 0.25 to 0.62 and 0.11 to 0.24, one alone 0.34 to 0.64; the videos 0.52 to
# 0.65 and 0.22 to 0.85, of which five are reported. Other models were not measured: their limits are guesses.
_LIMITS = {"toyband": {"sound": 0.65, "picture": 0.31}}
_USUAL_LIMITS = {"sound": 0.8, "picture": 0.35}


class DomainShift:
    """Measure how much the input of a model differs from its training data, while the model runs.

    Args:
        model: whose batch normalisation layers are watched inside a ``with``.

    Example:
        >>> with DomainShift(model) as shift:
        ...     PixelSounds(model, mixture, frames)
        >>> shift.distances()
        {'sound': 0.36, 'picture': 0.17}

    Notebook: 11_listen_to_pixels.
    """

    def __init__(self, model: SoundOfPixels) -> None:
        self._limits = _LIMITS.get(model.config.name, _USUAL_LIMITS)
        self._nets = {"sound": model.audio_net, "picture": model.frame_net}
        self._measured: dict[str, list[torch.Tensor]] = {name: [] for name in self._nets}

    def __enter__(self) -> DomainShift:
        """Begin to watch."""
        self._hooks = [
            layer.register_forward_hook(self._watch(name))
            for name, net in self._nets.items()
            for layer in net.modules()
            if isinstance(layer, nn.BatchNorm2d)
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        for hook in self._hooks:
            hook.remove()

    def distances(self) -> dict[str, float]:
        """Return the distance of the sound and of the pictures from the training data.

        It is the root mean square over channels of the distance from the training mean in standard deviations,
        averaged over layers and clips.
        """
        return {name: float(torch.stack(values).mean()) for name, values in self._measured.items() if values}

    def notes(self) -> list[str]:
        """Return one line for sound and one for pictures, where they are unlike the training data."""
        return [
            f"its {name} is unlike what this model was trained on (distance {distance:.2f}, familiar is below "
            f"{self._limits[name]}): the sound of a region may be chance"
            for name, distance in self.distances().items()
            if distance > self._limits[name]
        ]

    def _watch(self, name: str) -> Any:
        def measure(layer: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
            mean = inputs[0].float().mean((0, 2, 3))
            distance = (mean - layer.running_mean) / (layer.running_var + layer.eps).sqrt()
            self._measured[name].append(distance.square().mean().sqrt())

        return measure
