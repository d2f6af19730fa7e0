"""What limits a net's layers, arithmetic or memory: the roofline (notebook 13_train_full).

A device does so many operations a second and moves so many bytes a second. A layer that does many operations with
every byte it moves is limited by the first, one that does few by the second. Source: Williams, Waterman & Patterson
2009, DOI 10.1145/1498765.1498785.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from sopedu.config import Config
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.plots import NotebookFigure


@dataclass(frozen=True)
class LayerCost:
    """What a convolution costs in a training step: its name, operations and bytes moved, forward and backward."""

    name: str
    flop: float
    bytes_moved: float

    @property
    def intensity(self) -> float:
        """FLOP for every byte moved."""
        return self.flop / self.bytes_moved


def convolution_costs(config: Config, bytes_a_number: int = 2) -> list[LayerCost]:
    """What each convolution of both nets costs in a training step with in-batch pairing.

    There are up to three passes: forward, gradient of the weights, gradient of the input. Each does the same number of
    operations, and touches input, output and weights once: two are read, the third is written. Caches that keep a
    tensor for the next layer are not counted, nor are the bytes of norms and activations, which do little arithmetic.

    Args:
        config: batch size, K and sizes count; nothing is computed, and no memory taken (torch's ``meta`` device).
        bytes_a_number: 4 for float32, 2 for bf16.
    """
    costs, size, sound = [], config.frames.size, config.spectrogram
    with torch.device("meta"):
        model = SoundOfPixels(replace(config, model=replace(config.model, frame_weights="none")))
        heard = torch.empty(config.training.batch_size, 1, sound.log_frequency_bins, sound.time_frames)
        frames = torch.empty(config.training.batch_size * config.frames.count, 3, size, size)
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}

    def count(layer: nn.Conv2d, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        passes = 1 + layer.weight.requires_grad + inputs[0].requires_grad
        flop = 2 * output.numel() * layer.weight[0].numel()
        numbers = inputs[0].numel() + output.numel() + layer.weight.numel()
        costs.append(LayerCost(names[layer], passes * flop, passes * numbers * bytes_a_number))

    for layer in names:
        layer.register_forward_hook(count)
    model.audio_net(heard)
    model.frame_net(frames)
    return costs


def plot_roofline(costs: Sequence[LayerCost], rate: float, bandwidth: float) -> NotebookFigure:
    """Draw layers under the roof of a device: operations a second that it can reach, over operations a byte.

    Args:
        costs: see :func:`convolution_costs`.
        rate: of the device's arithmetic, FLOP a second.
        bandwidth: of its memory, bytes a second.
    """
    figure = NotebookFigure(figsize=(7, 3.4), layout="constrained")
    axes, balance = figure.subplots(), rate / bandwidth
    ends = [cost.intensity for cost in costs] + [balance]
    roof = np.geomspace(min(ends) / 2, max(ends) * 2, 200)
    axes.loglog(roof, np.minimum(rate, bandwidth * roof) / 1e12, color="black", label="the device")
    axes.axvline(balance, color="grey", linestyle=":", label=f"its balance: {balance:.0f} FLOP a byte")
    total = sum(cost.flop for cost in costs)
    for start, label, colour, marker in (("frame", "eyes", "#D55E00", "o"), ("audio", "ears", "#0072B2", "s")):
        own = [cost for cost in costs if cost.name.startswith(start)]
        reached = [min(rate, bandwidth * cost.intensity) / 1e12 for cost in own]
        area = [15 + 1500 * cost.flop / total for cost in own]
        style = {"s": area, "color": colour, "marker": marker, "alpha": 0.5, "linewidths": 0}
        axes.scatter([cost.intensity for cost in own], reached, **style, zorder=3)
        axes.scatter([], [], **style | {"s": 40}, label=f"a layer of the {label}")
    axes.set(xlabel="FLOP for every byte moved", ylabel="TFLOP a second within reach")
    axes.set_title("Left of the balance memory is the limit, right of it arithmetic")
    axes.legend(loc="lower right", framealpha=0.9)
    axes.grid(alpha=0.3, which="both")
    return figure


def least_seconds(costs: Sequence[LayerCost], rate: float, bandwidth: float) -> float:
    """Seconds that the layers take at least, if each is slowed by nothing but its own limit."""
    return sum(max(cost.flop / rate, cost.bytes_moved / bandwidth) for cost in costs)
