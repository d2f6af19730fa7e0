"""Every pixel has a sound: which cells of the picture sound, and what one hears in a region (notebook 10_localize).

Boxes are ``(x0, y0, x1, y1)`` as fractions of width and height, x to the right and y down; cells are rows and columns
of the feature map, ``(h, w)``. They are converted here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from sopedu.errors import SopeduError
from sopedu.masks import apply_mask
from sopedu.model import SoundOfPixels, normalise_frames
from sopedu.nets import activate
from sopedu.spectrogram import istft, log_magnitude, stft, warp

Box = tuple[float, float, float, float]


class PixelSounds:
    """What is seen and heard in one clip, kept ready to answer what any cell or region sounds like.

    Kept are the K components of the mixture and the feature map, a few megabytes; masks are made on demand.

    Args:
        model: in evaluation mode.
        mixture: waveform ``(L,)``.
        frames: ``(S, 3, H, W)`` uint8; any height and width, the nets are convolutional.
    """

    @torch.inference_mode()
    def __init__(self, model: SoundOfPixels, mixture: torch.Tensor, frames: torch.Tensor) -> None:
        device, self.model, self.sound = next(model.parameters()).device, model, model.config.spectrogram
        self.spectrogram = stft(mixture.to(device), self.sound)  # (F, T) complex
        self.magnitude = warp(self.spectrogram.abs(), self.sound)  # (Q, T)
        self.components = model.components(log_magnitude(self.magnitude, self.sound)[None, None])
        self.features = model.feature_map(normalise_frames(frames[None].to(device)))[0].float()  # (K, S, h, w)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.features.shape[-2], self.features.shape[-1]

    @torch.inference_mode()
    def masks(self, features: torch.Tensor) -> torch.Tensor:
        """Raw visual features ``(n, K)`` → masks ``(n, Q, T)`` in 0…1."""
        visual = activate(features, self.model.config.model.visual_activation)
        return torch.sigmoid(self.model.synthesizer(visual[None], self.components)[0].float())

    def sound_map(self, kind: str = "energy") -> np.ndarray:
        """How much every cell sounds, ``(S, h, w)``: ``energy`` is that of the masked mixture over the mixture's own,
        ``mean`` the mean of the mask. One row of cells at a time, so that memory does not grow with the map."""
        power = self.magnitude.square()
        total = power.sum().clamp_min(1e-12)
        _, count, height, width = self.features.shape
        volume = np.zeros((count, height, width))
        for frame in range(count):
            for row in range(height):
                masks = self.masks(self.features[:, frame, row].T)
                if kind == "energy":
                    volume[frame, row] = ((masks.square() * power).sum((1, 2)) / total).cpu().numpy()
                elif kind == "mean":
                    volume[frame, row] = masks.mean((1, 2)).cpu().numpy()
                else:
                    raise SopeduError(f"unknown sound map {kind!r}: choose energy or mean")
        return volume

    @torch.inference_mode()
    def region_mask(self, box: Box) -> torch.Tensor:
        """Mask ``(Q, T)`` of a box over all frames, pooled as the model's configuration says (``region_pooling``)."""
        rows, columns = cells_of_box(box, *self.grid)
        return self.model.region_mask(self.features[:, :, rows, columns].flatten(1), self.components, self.magnitude)

    def separate(self, box: Box) -> torch.Tensor:
        """Waveform ``((T − 1)·hop,)`` of what sounds in a box."""
        return self.separate_all([box])[0]

    def separate_all(self, boxes: Sequence[Box], normalise: bool = False) -> torch.Tensor:
        """Waveforms ``(N, (T − 1)·hop)`` of N boxes; normalised, they add up to :meth:`mixture`."""
        masks = torch.stack([self.region_mask(box) for box in boxes])
        binary = self.model.config.loss.target == "binary"
        return apply_mask(masks, self.spectrogram, self.sound, binary, normalise).cpu()

    def mixture(self) -> torch.Tensor:
        """The mixture itself through STFT and back, of the same length as the estimates."""
        return istft(self.spectrogram, self.sound).cpu()


def check_box(box: Box) -> Box:
    """Return the box if it is one inside the picture.

    Raises:
        SopeduError: if it is not four finite numbers with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1.
    """
    good = len(box) == 4 and all(math.isfinite(value) for value in box)
    if not good or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise SopeduError(
            f"box {','.join(f'{value:g}' for value in box)}: write x0,y0,x1,y1 as fractions of width and height, "
            "with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1"
        )
    return box


def cells_of_box(box: Box, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the cells whose centres lie in a box; for a small box, the cell its centre lies in."""
    x0, y0, x1, y1 = check_box(box)

    def span(low: float, high: float, cells: int) -> slice:
        first, last = math.ceil(low * cells - 0.5), math.floor(high * cells - 0.5)
        if first > last:
            first = last = min(int((low + high) / 2 * cells), cells - 1)
        return slice(first, last + 1)

    return span(y0, y1, height), span(x0, x1, width)


def box_of_cell(row: int, column: int, height: int, width: int, reach: int = 0) -> Box:
    """The box of a cell and its neighbours up to ``reach`` cells away, cut at the picture's border."""
    return (
        max(0, column - reach) / width,
        max(0, row - reach) / height,
        min(width, column + 1 + reach) / width,
        min(height, row + 1 + reach) / height,
    )


def peak(sound_map: np.ndarray) -> tuple[float, float]:
    """Place (x, y) of the loudest cell's centre of a map ``(h, w)``, as fractions of width and height."""
    row, column = np.unravel_index(np.argmax(sound_map), sound_map.shape)
    return (column + 0.5) / sound_map.shape[1], (row + 0.5) / sound_map.shape[0]


def loudest_regions(sound_map: np.ndarray, count: int = 2, apart: float = 0.3, reach: int = 1) -> list[Box]:
    """Boxes around the loudest cells of a map ``(h, w)`` that lie well apart.

    Args:
        sound_map: volume of every cell.
        count: how many at most; fewer if the rest of the map lies closer than ``apart``.
        apart: least distance of two peaks, as a share of the longer side of the map.
        reach: cells on every side of a peak that belong to its region.
    """
    height, width = sound_map.shape
    rows, columns = np.mgrid[:height, :width]
    left, regions = sound_map.astype(float).copy(), []
    while len(regions) < count and np.isfinite(left).any():
        row, column = np.unravel_index(np.argmax(left), left.shape)
        regions.append(box_of_cell(int(row), int(column), height, width, reach))
        left[np.hypot(rows - row, columns - column) < apart * max(height, width)] = -np.inf
    return regions


def inside(point: tuple[float, float], box: Box) -> bool:
    """Whether a place (x, y) lies in a box."""
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])
