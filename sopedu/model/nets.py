"""The three small nets: eyes (FrameNet), ears (AudioUNet), and the Synthesizer that brings them together.

Notebooks 06_ears, 07_eyes and 08_synthesizer take them apart. Source: The Sound of Pixels (Zhao et al., ECCV 2018),
section 3.1 and its supplement.
"""

from __future__ import annotations

import urllib.error
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.models.resnet import BasicBlock

from sopedu.config import ModelConfig
from sopedu.errors import SopeduError

_ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, dim=1),
    "relu": torch.relu,
    "tanh": torch.tanh,
    "none": lambda x: x,
}


def activate(features: torch.Tensor, name: str) -> torch.Tensor:
    """Apply an activation by name (``sigmoid``, ``softmax`` over axis 1, ``relu``, ``tanh``, ``none``)."""
    return _ACTIVATIONS[name](features)


class FrameNet(nn.Module):
    """A dilated ResNet that gives every cell of a frame a vector of K features.

    ``resnet18`` is torchvision's, without its classifier; ``small`` has four stages of one block each (widths ×1, 2,
    4, 4) and no pooling in the stem. In both the last stage keeps its resolution and looks wider by dilation instead
    (Yu et al. 2017, dilated residual networks), so that 224 px give 14 × 14 cells and 64 px give 8 × 8.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.frame_net == "resnet18":
            layers, channels = _resnet18_layers(config.frame_weights)
        else:
            layers, channels = _small_layers(config.frame_width)
        if config.frame_dilation > 0:
            _keep_resolution(layers[-1], config.frame_dilation)
        self.body = nn.Sequential(*layers)
        kernel = config.frame_head_kernel
        self.head = nn.Conv2d(channels, config.components, kernel, padding=kernel // 2)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames ``(B, 3, H, W)`` → feature map ``(B, K, h, w)``, without activation."""
        return self.head(self.body(frames))


def _resnet18_layers(weights: str) -> tuple[list[nn.Module], int]:
    try:
        net = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if weights == "imagenet" else None)
    except (urllib.error.URLError, OSError) as error:
        raise SopeduError(
            f"the ImageNet weights of ResNet-18 could not be downloaded ({error}): connect once so that torchvision "
            "can keep them, or start without them: --set model.frame_weights=none"
        ) from error
    return list(net.children())[:-2], 512


def _small_layers(width: int) -> tuple[list[nn.Module], int]:
    stem = nn.Sequential(
        nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
    layers, channels = [stem], width
    for multiple, stride in ((1, 1), (2, 2), (4, 2), (4, 2)):
        out = width * multiple
        shortcut = None
        if stride != 1 or out != channels:
            shortcut = nn.Sequential(_shortcut(channels, out, stride), nn.BatchNorm2d(out))
        layers.append(nn.Sequential(BasicBlock(channels, out, stride, shortcut)))
        channels = out
    return layers, channels


def _shortcut(channels: int, out: int, stride: int) -> nn.Conv2d:
    return (nn.Conv2d if channels % 8 == 0 else _ConvOfEverySecondCell)(channels, out, 1, stride, bias=False)


class _ConvOfEverySecondCell(nn.Conv2d):
    """A 1 × 1 convolution with a stride, written as one without a stride on the cells that it looks at.

    For channels_last input whose channels are no multiple of 8, oneDNN's backward kernel for AVX2 writes beyond its
    memory (torch 2.14.1: a crash, or worse, none). The numbers are the same.
    """

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        down, right = self.stride
        return nn.functional.conv2d(cells[..., ::down, ::right], self.weight, self.bias)


def _keep_resolution(stage: nn.Module, dilation: int) -> None:
    """Replace the stride of a stage by dilation: the strided convolution itself looks half as wide."""
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            reach = max(1, dilation // 2) if module.stride == (2, 2) else dilation
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (reach, reach)


class AudioUNet(nn.Module):
    """A U-Net that splits the mixture's log-frequency spectrogram into K components.

    Every step down halves both axes with a 4 × 4 convolution; every step up doubles them and also sees what the step
    down on the same level saw (Ronneberger et al. 2015). With 7 steps 256 × 256 shrinks to 2 × 2.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.audio_channels
        depth = len(channels)
        self.input_norm = nn.BatchNorm2d(1)
        self.down = nn.ModuleList()
        self.down_norm = nn.ModuleList()
        self.up = nn.ModuleList()
        self.up_norm = nn.ModuleList()
        for level, out in enumerate(channels):
            self.down.append(nn.Conv2d(1 if level == 0 else channels[level - 1], out, 4, 2, 1, bias=False))
            # Neither the first convolution nor the innermost one is normalised.
            self.down_norm.append(nn.BatchNorm2d(out) if 0 < level < depth - 1 else nn.Identity())
        for level in reversed(range(depth)):
            inputs = channels[level] * (1 if level == depth - 1 else 2)
            out = config.components if level == 0 else channels[level - 1]
            self.up.append(nn.Conv2d(inputs, out, 3, padding=1, bias=level == 0))
            self.up_norm.append(nn.BatchNorm2d(out) if level > 0 else nn.Identity())

    def forward(self, log_magnitude: torch.Tensor) -> torch.Tensor:
        """Log magnitude ``(B, 1, Q, T)`` → components ``(B, K, Q, T)``, without activation.

        Raises:
            SopeduError: if Q or T is not a multiple of 2 to the number of steps down.
        """
        multiple = 2 ** len(self.down)
        if log_magnitude.shape[-2] % multiple or log_magnitude.shape[-1] % multiple:
            raise SopeduError(
                f"a U-Net of {len(self.down)} steps needs a spectrogram whose sides are multiples of {multiple}, "
                f"not {tuple(log_magnitude.shape[-2:])}: change spectrogram or model.audio_channels"
            )
        x = self.down[0](self.input_norm(log_magnitude))
        levels = [x]
        for convolution, norm in zip(self.down[1:], self.down_norm[1:], strict=True):
            x = norm(convolution(F.leaky_relu(x, 0.2)))
            levels.append(x)
        for step, (convolution, norm) in enumerate(zip(self.up, self.up_norm, strict=True)):
            if step > 0:
                x = torch.cat([_dense_gradient(levels[-1 - step]), _dense_gradient(x)], dim=1)
            x = norm(convolution(twice_as_large(F.relu(x))))
        return x


def twice_as_large(x: torch.Tensor) -> torch.Tensor:
    """Double rows and columns of ``(B, C, H, W)``: bilinear, corners on corners.

    On a GPU by two matrix products: torch's own works in float32 there even where all else is bf16, and its gradient
    is added up in an order that changes from run to run. On the CPU by torch's own. The two differ by rounding.
    """
    if not _for_gpu(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    batch, channels, height, width = x.shape
    rows, columns = (_doubling(size, x.dtype, x.device) for size in (height, width))
    if x.is_contiguous():
        return torch.matmul(rows, torch.matmul(x, columns.T))
    # Pictures whose channels lie together in memory, as they do in training.
    wide = torch.matmul(columns, x.permute(0, 2, 3, 1))  # (B, H, 2 W, C)
    both = torch.matmul(rows, wide.reshape(batch, height, 2 * width * channels))
    return both.view(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _doubling(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Matrix ``(2 size, size)`` that doubles an axis: linear between neighbours, the ends stay the ends."""
    make = _doubling_matrix
    return (make.__wrapped__ if torch.compiler.is_compiling() else make)(size, dtype, device)


@lru_cache(maxsize=64)
def _doubling_matrix(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # or no later training may use it
        exact = torch.promote_types(dtype, torch.float32)  # as torch's own rounds the places
        places = torch.arange(2 * size, device=device, dtype=exact) * ((size - 1) / (2 * size - 1))
        distance = (places[:, None] - torch.arange(size, device=device, dtype=exact)).abs()
        return (1 - distance).clamp_min(0).to(dtype)


def _for_gpu(x: torch.Tensor) -> bool:
    return x.is_cuda


def _dense_gradient(x: torch.Tensor) -> torch.Tensor:
    """What is given, but its gradient comes without gaps, its axes in memory as they were.

    Behind ``cat`` a gradient is a slice of a larger one, for which batch normalisation on a GPU has only its slow way.
    """
    if not _for_gpu(x) or torch.compiler.is_compiling():
        return x
    return _DenseGradient.apply(x)


class _DenseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        dense = gradient.is_contiguous() or gradient.is_contiguous(memory_format=torch.channels_last)
        return gradient if dense else gradient.clone()  # which keeps the order of its axes


class Synthesizer(nn.Module):
    """The inner product of what is seen and what is heard: Σ_k scale_k · v_k · s_k + bias."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(components))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, visual: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Visual vectors ``(B, N, K)`` and components ``(B, K, Q, T)`` → mask logits ``(B, N, Q, T)``.

        N may count sources of a mixture or cells of a feature map: every pixel has a sound.
        """
        batch, _, rows, columns = components.shape
        weighted = (visual * self.scale).to(components.dtype)
        logits = torch.bmm(weighted, components.flatten(2)) + self.bias
        return logits.view(batch, -1, rows, columns)


def initialise_as_paper(net: nn.Module) -> None:
    """Draw convolutions from N(0, 0.001) and batch normalisation from N(1, 0.02), as the paper's code does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.001)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
