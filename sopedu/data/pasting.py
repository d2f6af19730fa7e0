"""Pasted scenes: several solos in one picture whose layout is known, to train the masks of single cells.

Max pooling over solos trains the mask of a whole picture: one strong cell is enough for a good mask. If the
sources of a mixture are pasted side by side, it is known which half of the picture made which sound, without any
labels. Notebook: 14_limits_of_localization. The loss is in `sopedu.training.pasted_loss`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from sopedu.data.mixing import NOBODY, to_device


@dataclass(frozen=True)
class PastedScenes:
    """M pictures with N solos each, and the place of each solo.

    Attributes:
        frames: ``(M, S, 3, H, W)`` float, normalised.
        corners: ``(M, N, 4)`` x0, y0, x1, y1 of each solo as fractions, before it is cut at its strip.
        strips: ``(M, N, 4)`` the strip of the picture that belongs to each source, likewise.
    """

    frames: torch.Tensor
    corners: torch.Tensor
    strips: torch.Tensor

    def regions(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which cells of a map belong to which source.

        Args:
            height: rows h of the map.
            width: columns w of the map.

        Returns:
            ``(M, N, h, w)`` bool: the cells of each source's strip; ``(M, h, w)`` bool: the cells without any solo.
        """
        strips = _covered(self.strips, height, width)
        return strips, ~(strips & _covered(self.corners, height, width)).any(1)


def paste(
    frames: torch.Tensor, members: torch.Tensor, labels: np.ndarray, generator: np.random.Generator
) -> PastedScenes:
    """Shrink the solos of each mixture and paste them side by side, or one below the other.

    The background is an empty room of the batch if there is one, or a plain colour. Each solo gets a strip of its own;
    it is drawn at 0.94 to 1.34 of the strip's width, slightly shifted, and cut at the edges of the strip.

    Args:
        frames: ``(B, S, 3, H, W)`` float, the normalised frames of the batch.
        members: ``(M, N)`` int, the clip of each source.
        labels: ``(B,)`` int, class of every clip, or ``NOBODY``.
        generator: chooses sizes, places and backgrounds.
    """
    mixtures, sources = members.shape
    size = generator.uniform(0.94, 1.34, (mixtures, sources, 1)) / sources
    along = (np.arange(sources)[None, :, None] + 0.5) / sources + generator.uniform(-0.06, 0.06, size.shape)
    spare = np.maximum(0, 1 - size)
    across = size / 2 + generator.uniform(0, 1, size.shape) * spare
    low, high = np.concatenate([along, across], -1) - size / 2, np.concatenate([along, across], -1) + size / 2
    edges = np.arange(sources) / sources
    zeros, ones = np.zeros(sources), np.ones(sources)
    strips = np.broadcast_to(np.stack([edges, zeros, edges + 1 / sources, ones], -1), (mixtures, sources, 4)).copy()
    corners = np.concatenate([low, high], -1)
    upright = generator.random(mixtures) < 0.5
    for boxes in (corners, strips):  # exchange x and y: one below the other
        boxes[upright] = boxes[upright][..., [1, 0, 3, 2]]
    rooms = np.flatnonzero(labels == NOBODY)
    ground = generator.normal(0, 1, (mixtures, 1, 3, 1, 1))
    in_room = generator.random(mixtures) < 0.5
    room = generator.integers(0, max(1, len(rooms)), mixtures)
    canvas = to_device(ground, frames.device).to(frames.dtype).expand(-1, frames.shape[1], -1, *frames.shape[-2:])
    if len(rooms):
        chosen = to_device(rooms[room], frames.device)
        canvas = torch.where(to_device(in_room, frames.device)[:, None, None, None, None], frames[chosen], canvas)
    where, strip = (to_device(boxes.astype(np.float32), frames.device) for boxes in (corners, strips))
    for source in range(sources):
        canvas = _drawn_into(canvas, frames[members[:, source]], where[:, source], strip[:, source])
    return PastedScenes(canvas, where, strip)


def _drawn_into(canvas: torch.Tensor, solos: torch.Tensor, corners: torch.Tensor, strips: torch.Tensor) -> torch.Tensor:
    height, width = canvas.shape[-2:]
    x, y = _centres(width, canvas), _centres(height, canvas)
    u = 2 * (x - corners[:, :1]) / (corners[:, 2:3] - corners[:, :1]) - 1  # (M, W), −1…1 across the solo
    v = 2 * (y - corners[:, 1:2]) / (corners[:, 3:4] - corners[:, 1:2]) - 1
    grid = torch.stack([u[:, None, :].expand(-1, height, -1), v[:, :, None].expand(-1, -1, width)], -1)
    drawn = F.grid_sample(solos.flatten(1, 2), grid, padding_mode="border", align_corners=False).view_as(canvas)
    inside = (u.abs() <= 1)[:, None, :] & (v.abs() <= 1)[:, :, None] & _covered(strips[:, None], height, width)[:, 0]
    return torch.where(inside[:, None, None], drawn, canvas)


def _centres(count: int, like: torch.Tensor) -> torch.Tensor:
    return (torch.arange(count, device=like.device, dtype=torch.float32)[None] + 0.5) / count


def _covered(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return which cells of a map have their centre in boxes ``(M, N, 4)``: ``(M, N, h, w)`` bool."""
    x, y = _centres(width, boxes), _centres(height, boxes)
    columns = (x >= boxes[..., 0:1]) & (x < boxes[..., 2:3])
    rows = (y >= boxes[..., 1:2]) & (y < boxes[..., 3:4])
    return rows[..., :, None] & columns[..., None, :]
