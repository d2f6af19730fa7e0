"""The roofline: does arithmetic or memory limit the layers of the nets?

A device does a limited number of operations per second and moves a limited number of bytes per second. A layer that
does many operations per byte is limited by the first, one that does few by the second.

Source: Williams, Waterman & Patterson 2009, DOI 10.1145/1498765.1498785.

Notebook: 13_train_full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullFormatter
from torch import nn

from sopedu.config import Config
from sopedu.model.modes import untrained
from sopedu.plots import INK, NotebookFigure


@dataclass(frozen=True)
class LayerCost:
    """What a convolution costs in a training step.

    Attributes:
        name: of the layer, such as ``frame_net.head``.
        flop: floating-point operations, forward and backward.
        bytes_moved: bytes read and written, forward and backward.
    """

    name: str
    flop: float
    bytes_moved: float

    @property
    def intensity(self) -> float:
        """Operations per byte moved."""
        return self.flop / self.bytes_moved


def convolution_costs(config: Config, bytes_per_number: int = 2) -> list[LayerCost]:
    """Compute what each convolution of both nets costs in a training step with in-batch pairing.

    There are up to three passes: forward, gradient of the weights, gradient of the input. Each does the same number of
    operations and touches input, output and weights once: it reads two of them and writes the third. Caches that keep
    a tensor for the next layer are not counted, nor are the bytes of norms and activations, which do little arithmetic.

    Args:
        config: batch size, K and sizes count. Nothing is computed and no memory is taken (torch's ``meta`` device).
        bytes_per_number: 4 for float32, 2 for bf16.

    Returns:
        one cost per convolution, the audio net's first.
    """
    costs, size, sound = [], config.frames.size, config.spectrogram
    with torch.device("meta"):
        model = untrained(config)
        heard = torch.empty(config.training.batch_size, 1, sound.log_frequency_bins, sound.time_frames)
        frames = torch.empty(config.training.batch_size * config.frames.count, 3, size, size)
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}

    def count(layer: nn.Conv2d, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        passes = 1 + layer.weight.requires_grad + inputs[0].requires_grad
        flop = 2 * output.numel() * layer.weight[0].numel()
        numbers = inputs[0].numel() + output.numel() + layer.weight.numel()
        costs.append(LayerCost(names[layer], passes * flop, passes * numbers * bytes_per_number))

    for layer in names:
        layer.register_forward_hook(count)
    model.audio_net(heard)
    model.frame_net(frames)
    return costs


def plot_roofline(costs: Sequence[LayerCost], rate: float, bandwidth: float, filled: str = "") -> NotebookFigure:
    """Draw layers under the roofline of a device, and below it how much of the work each layer is.

    Args:
        costs: of the layers, from :func:`convolution_costs`.
        rate: of the device's arithmetic, FLOP per second.
        bandwidth: of its memory, bytes per second.
        filled: name of a layer whose marks are filled.
    """
    figure = NotebookFigure(figsize=(8.5, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    balance = rate / bandwidth
    ends = [cost.intensity for cost in costs] + [balance]
    roof = np.geomspace(min(ends) / 2, max(ends) * 2, 200)
    above.loglog(roof, np.minimum(rate, bandwidth * roof) / 1e12, color=INK, label="the device")
    total = sum(cost.flop for cost in costs)
    for net, colour, marker in (("frame_net", "#D55E00", "o"), ("audio_net", "#0072B2", "s")):
        own = [cost for cost in costs if cost.name.startswith(net)]
        intensities = [cost.intensity for cost in own]
        faces = [colour if cost.name == filled else "none" for cost in own]
        style = {"s": 36, "marker": marker, "facecolors": faces, "edgecolors": colour, "linewidths": 1.5, "zorder": 3}
        reached = [min(rate, bandwidth * cost.intensity) / 1e12 for cost in own]
        above.scatter(intensities, reached, **style, label=f"a layer of the {net.replace('_', ' ')}")
        below.scatter(intensities, [100 * cost.flop / total for cost in own], **style)
    for axes in (above, below):
        axes.axvline(balance, color=INK, linestyle=":", label=f"its balance: {balance:.0f} FLOP per byte")
        axes.grid(alpha=0.3)
    above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (above.xaxis, above.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    above.set(ylabel="TFLOP per second\nwithin reach")
    above.set_title("Left of the balance memory is the limit, right of it arithmetic")
    above.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    below.set(xlabel="FLOP per byte moved", ylabel="share of the FLOP\nof all layers in %")
    return figure


def least_seconds(costs: Sequence[LayerCost], rate: float, bandwidth: float) -> float:
    """Return the least seconds that the layers take, if each runs at its own limit.

    Args:
        costs: of the layers.
        rate: of the device's arithmetic, FLOP per second.
        bandwidth: of its memory, bytes per second.
    """
    return sum(max(cost.flop / rate, cost.bytes_moved / bandwidth) for cost in costs)
