"""The three nets: FrameNet for frames, AudioUNet for sound, and the Synthesizer, which combines both into masks.

K (``model.components``) is the number of output channels of FrameNet and AudioUNet.

Source: The Sound of Pixels (Zhao et al., ECCV 2018), section 3.1 and supplement.
Notebook: 06_ears, 07_eyes, 08_synthesizer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from sopedu.config import ModelConfig, Registry
from sopedu.errors import SopeduError
from sopedu.model.backbones import keep_resolution, resnet18_layers, small_layers
from sopedu.model.layers import dense_gradient, twice_as_large

#: Activations by the values of ``model.visual_activation`` and ``model.audio_activation``; axis 1 is K.
ACTIVATIONS: Registry[Callable[[torch.Tensor], torch.Tensor]] = Registry(
    "model.visual_activation model.audio_activation",
    {
        "sigmoid": torch.sigmoid,
        "softmax": lambda x: torch.softmax(x, dim=1),
        "relu": torch.relu,
        "tanh": torch.tanh,
        "none": lambda x: x,
    },
)


def activate(features: torch.Tensor, name: str) -> torch.Tensor:
    """Apply an activation by name.

    Args:
        features: ``(B, K, …)``.
        name: a key of :data:`ACTIVATIONS`.
    """
    return ACTIVATIONS[name](features)


class FrameNet(nn.Module):
    """A dilated ResNet that gives each cell of a frame a vector of K features.

    ``resnet18`` is torchvision's, without its classifier. ``small`` has four stages of one block each (widths ×1, 2,
    4, 4) and no pooling in the stem. In both, the last stage uses dilation instead of a stride (unless it
    is 0), so that 224 px give 14 × 14 cells and 64 px give 8 × 8.

    Args:
        config: sizes and starting weights.

    Source: Yu et al. 2017, dilated residual networks.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.frame_net == "resnet18":
            layers, channels = resnet18_layers(config.frame_weights)
        else:
            layers, channels = small_layers(config.frame_width)
        if config.frame_dilation > 0:
            keep_resolution(layers[-1], config.frame_dilation)
        self.body = nn.Sequential(*layers)
        kernel = config.frame_head_kernel
        self.head = nn.Conv2d(channels, config.components, kernel, padding=kernel // 2)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Compute the feature map ``(B, K, h, w)``, without activation.

        Args:
            frames: normalised, ``(B, 3, H, W)``.
        """
        return self.head(self.body(frames))


class AudioUNet(nn.Module):
    """A U-Net that splits the mixture's log-frequency spectrogram into K components.

    Each step down halves both axes with a 4 × 4 convolution. Each step up doubles them and also gets the output of the
    step down on the same level. With 7 steps, 256 × 256 shrinks to 2 × 2.

    Args:
        config: sizes.
        parts: numbers per component and cell; 1 for real masks, see :class:`sopedu.audio.masks.MaskKind`.

    Source: Ronneberger et al. 2015, U-Net.
    """

    def __init__(self, config: ModelConfig, parts: int = 1) -> None:
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
            out = config.components * parts if level == 0 else channels[level - 1]
            self.up.append(nn.Conv2d(inputs, out, 3, padding=1, bias=level == 0))
            self.up_norm.append(nn.BatchNorm2d(out) if level > 0 else nn.Identity())

    def forward(self, log_magnitude: torch.Tensor) -> torch.Tensor:
        """Compute the components ``(B, parts · K, Q, T)``, without activation.

        Args:
            log_magnitude: of the mixtures, ``(B, 1, Q, T)``.

        Raises:
            SopeduError: Q or T is not a multiple of 2 ** (number of steps down).
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
                x = torch.cat([dense_gradient(levels[-1 - step]), dense_gradient(x)], dim=1)
            x = norm(convolution(twice_as_large(F.relu(x))))
        return x


class Synthesizer(nn.Module):
    """The inner product of visual vector and audio components: Σ_k scale_k · v_k · s_k + bias.

    Args:
        components: K.
    """

    def __init__(self, components: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(components))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, visual: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Compute mask logits ``(B, N, P · Q, T)``.

        Args:
            visual: ``(B, N, K)``; N counts the sources of a mixture, or the cells of a feature map.
            components: ``(B, K, P · Q, T)``; P is 1, or 2 for complex masks.
        """
        batch, _, rows, columns = components.shape
        weighted = (visual * self.scale).to(components.dtype)
        logits = torch.bmm(weighted, components.flatten(2)) + self.bias
        return logits.view(batch, -1, rows, columns)


def initialise_as_paper(net: nn.Module) -> None:
    """Draw convolutions from N(0, 0.001) and batch normalisation from N(1, 0.02), as the paper's code does.

    Args:
        net: changed in place.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.001)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
