"""The bodies of the frame net: a ResNet-18, and a small one for the toy band."""

from __future__ import annotations

import urllib.error

from torch import nn
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.models.resnet import BasicBlock

from sopedu.errors import SopeduError
from sopedu.model.layers import StridedPointwiseConv


def resnet18_layers(weights: str) -> tuple[list[nn.Module], int]:
    """Build torchvision's ResNet-18 without its classifier.

    Args:
        weights: ``imagenet`` downloads them, unless torchvision has kept them; anything else: random.

    Returns:
        stages, and number of output channels.

    Raises:
        SopeduError: the weights cannot be downloaded.
    """
    try:
        net = resnet18(weights=ResNet18_Weights.IMAGENET1K_V1 if weights == "imagenet" else None)
    except (urllib.error.URLError, OSError) as error:
        raise SopeduError(
            f"the ImageNet weights of ResNet-18 could not be downloaded ({error}): connect once so that torchvision "
            "can keep them, or start without them: --set model.frame_weights=none"
        ) from error
    return list(net.children())[:-2], 512


def small_layers(width: int) -> tuple[list[nn.Module], int]:
    """Build four stages of one block each, without pooling in the stem.

    Args:
        width: channels of the first stage; the others have 2, 4 and 4 times as many.

    Returns:
        stages, and number of output channels.
    """
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
    return (nn.Conv2d if channels % 8 == 0 else StridedPointwiseConv)(channels, out, 1, stride, bias=False)


def keep_resolution(stage: nn.Module, dilation: int) -> None:
    """Replace the stride of a stage by dilation; the strided convolution itself gets half of it.

    Args:
        stage: changed in place.
        dilation: of its convolutions.
    """
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            reach = max(1, dilation // 2) if module.stride == (2, 2) else dilation
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = module.padding = (reach, reach)
