"""A small detector of our own: finds the toy band's players, offline and in milliseconds.

After CenterNet (Zhou et al., "Objects as Points", 2019): for every cell of a coarse grid the net estimates how likely
the middle of a player lies there, one map per instrument, and the distances to the four sides of the box. Peaks of the
maps are the detections. Explained in notebook 12_objects_and_their_sounds.

    >>> detections = load_toyband_detector()(sopedu.duet(seed=1, pair=("violin", "tuba")).frames)
    >>> detections[0].labels
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sopedu.errors import SopeduError
from sopedu.files import write_json, write_tensors
from sopedu.folders import folder_written_aside
from sopedu.model.sound_of_pixels import normalise_frames
from sopedu.objects.detection import Detections, make_detections, suppress_overlaps
from sopedu.shipped import shipped_path
from sopedu.toyband.instruments import INSTRUMENTS

#: Folder of the shipped detector.
SHIPPED = shipped_path("data_samples/detector")
SIDE = 128  # pixels of the shorter side of the net's input
_LONGEST = 512


class ToyBandNet(nn.Module):
    """A convolutional net from pictures to maps of class logits and box distances.

    Args:
        classes: number of instruments.
        widths: channels of the four resolutions, finest first.
    """

    def __init__(self, classes: int = len(INSTRUMENTS), widths: Sequence[int] = (16, 24, 48, 64)) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.near = nn.Sequential(
            _step(3, first, 2), _step(first, second, 2), _step(second, second),
            _step(second, third, 2), _step(third, third),
        )  # fmt: skip
        self.far = nn.Sequential(
            _step(third, fourth, 2), _step(fourth, fourth, dilation=2), _step(fourth, fourth, dilation=3)
        )
        self.together = nn.Sequential(_step(third + fourth, fourth, size=1), _step(fourth, fourth))
        self.head = nn.Conv2d(fourth, classes + 4, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():  # at first no cell is likely, and boxes are four cells wide
            self.head.bias[:classes] = -4.0
            self.head.bias[classes:] = math.log(2.0)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logits and distances.

        Args:
            pictures: ``(S, 3, H, W)`` float, normalised; H and W are multiples of 16.

        Returns:
            Logits ``(S, classes, H/8, W/8)``, and the distances ``(S, 4, H/8, W/8)``, in cells, of the box's left,
            upper, right and lower side from the middle of the cell.
        """
        near = self.near(pictures)
        far = F.interpolate(self.far(near), scale_factor=2, mode="bilinear")
        output = self.head(self.together(torch.cat([near, far], 1)))
        return output[:, :-4], output[:, -4:].clamp(-3, 5).exp()


def _step(before: int, after: int, stride: int = 1, dilation: int = 1, size: int = 3) -> nn.Sequential:
    around = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, around, dilation, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def boxes_of_cells(distances: torch.Tensor) -> torch.Tensor:
    """Convert distances to boxes.

    Args:
        distances: ``(S, 4, h, w)`` in cells, as :meth:`ToyBandNet.forward` returns them.

    Returns:
        The box of every cell, ``(S, h, w, 4)`` x0, y0, x1, y1 in fractions of width and height.
    """
    height, width = distances.shape[-2:]
    x, y = torch.arange(width) + 0.5, torch.arange(height)[:, None] + 0.5
    left, up, right, down = distances.unbind(1)
    return torch.stack([(x - left) / width, (y - up) / height, (x + right) / width, (y + down) / height], -1)


@dataclass(frozen=True)
class ToyBandDetector:
    """The net as a detector.

    Attributes:
        net: in evaluation mode.
        class_names: the instruments, in the order of the net's maps.
        least_score: detections with a lower score are dropped.
    """

    net: ToyBandNet
    class_names: tuple[str, ...] = INSTRUMENTS
    least_score: float = 0.3

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> list[Detections]:
        """Detect players.

        Args:
            frames: pictures ``(S, H, W, 3)`` uint8 of any size.

        Returns:
            One :class:`Detections` per picture, the most confident first.
        """
        results = []
        for some in np.split(frames, range(16, len(frames), 16)) if len(frames) else []:
            pictures = torch.from_numpy(np.array(some)).permute(0, 3, 1, 2)
            logits, distances = self.net(normalise_frames(_resized(pictures)))
            likely, boxes = torch.sigmoid(logits), boxes_of_cells(distances).clamp(0, 1)
            likely = likely * (likely == F.max_pool2d(likely, 3, 1, 1))  # peaks only
            for one, sides in zip(likely, boxes, strict=True):
                kind, row, column = torch.nonzero(one > self.least_score, as_tuple=True)
                names = [self.class_names[i] for i in kind]
                peaks = make_detections(sides[row, column].numpy(), names, one[kind, row, column].numpy())
                results.append(suppress_overlaps(peaks))
        return results


def _resized(pictures: torch.Tensor) -> torch.Tensor:
    """Resize so that the shorter side is SIDE, the longer at most 512 pixels, both multiples of 16; still uint8."""
    height, width = pictures.shape[-2:]
    scale = SIDE / min(height, width)
    size = [16 * max(1, round(min(length * scale, _LONGEST) / 16)) for length in (height, width)]
    if size == [height, width]:
        return pictures
    smaller = F.interpolate(pictures.float(), size, mode="bilinear", antialias=True)
    return smaller.round().clamp(0, 255).byte()


def load_toyband_detector(folder: str | Path = SHIPPED, least_score: float = 0.3) -> ToyBandDetector:
    """Load the shipped detector of the toy band's eleven instruments, or one that you trained.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``.
        least_score: detections with a lower score are dropped.

    Returns:
        The detector.

    Raises:
        SopeduError: if the folder lacks a file, or its files are damaged or do not belong together.
    """
    folder = Path(folder)
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names, widths = tuple(settings["class_names"]), tuple(settings["widths"])
        net = ToyBandNet(len(names), widths)
        weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        net.load_state_dict(weights)
    except FileNotFoundError as error:
        raise SopeduError(f"{folder}: holds no toy band detector; make it with `make detector`") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise SopeduError(
            f"{folder}: not a detector of the toy band, or damaged; make another with `make detector`"
        ) from error
    return ToyBandDetector(net.eval(), names, least_score)


def save_toyband_detector(folder: str | Path, detector: ToyBandDetector, notes: dict[str, Any]) -> Path:
    """Write weights (half precision) and ``config.json`` into a new folder.

    Args:
        folder: appears when all is written.
        detector: to save.
        notes: about its training; added to ``config.json``.

    Returns:
        The folder.
    """
    widths = [detector.net.near[0][0], detector.net.near[1][0], detector.net.near[3][0], detector.net.head]
    settings = {
        "format_version": 1,
        "class_names": list(detector.class_names),
        "widths": [layer.out_channels for layer in widths[:3]] + [widths[3].in_channels],
        **notes,
    }
    with folder_written_aside(folder) as unfinished:
        kept = {
            name: value.half().contiguous()
            for name, value in detector.net.state_dict().items()
            if value.is_floating_point()
        }
        write_tensors(unfinished / "model.safetensors", kept)
        write_json(unfinished / "config.json", settings)
    return Path(folder)
