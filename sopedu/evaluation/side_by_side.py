"""Places in pictures set side by side: where clips have no boxes, it is still known which half a sound belongs to.

The pictures of a mixture's solos become one wide picture, as a duet would be filmed. Two questions follow, each beside
places that ignore the sound: the whole frame, and a box in its middle. Does the place of a solo separate its sound from
the mixture? And if one solo is heard alone, does the map point to its place? Notebook: 14_limits_of_localization.
"""

from __future__ import annotations

import numpy as np
import torch

from sopedu.evaluation.map_scores import half_sized_box
from sopedu.evaluation.mask_curve import THRESHOLDS
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import WHOLE
from sopedu.model.sound_of_pixels import SoundOfPixels

#: Places from which sounds are separated.
PLACES = ("own_place", "other_place", "whole_frame", "centre_box")
#: What is measured on the map of a solo that is heard alone.
MAP_FIGURES = ("peak_in_place", "map_in_place")


def side_by_side(frames: torch.Tensor) -> torch.Tensor:
    """Set the pictures of N solos side by side: ``(N, S, 3, H, W)`` becomes ``(S, 3, H, N · W)``.

    Args:
        frames: of the solos of a mixture, of any type.
    """
    return torch.cat(list(frames), dim=-1)


def sounds_of_places(model: SoundOfPixels, mixture: torch.Tensor, frames: torch.Tensor) -> dict[str, torch.Tensor]:
    """Separate the sounds of places in the wide picture of a mixture.

    Args:
        model: in any mode.
        mixture: waveform ``(L,)``.
        frames: ``(N, S, 3, H, W)`` uint8.

    Returns:
        the names of :data:`PLACES` → an estimate of each solo, ``(N, (T − 1) · hop_length)``.
    """
    count, pixels = len(frames), PixelSounds(model, mixture, side_by_side(frames))
    strips = [(n / count, 0.0, (n + 1) / count, 1.0) for n in range(count)]
    own, same = pixels.separate_all(strips), [pixels.separate(box) for box in (WHOLE, half_sized_box((0.5, 0.5)))]
    whole, centre = (estimate.expand_as(own) for estimate in same)
    return dict(zip(PLACES, (own, own.roll(1, 0), whole, centre), strict=True))


def map_of_solo(model: SoundOfPixels, solo: torch.Tensor, frames: torch.Tensor, place: int) -> dict[str, np.ndarray]:
    """Score the map of one solo that is heard with the wide picture.

    Args:
        model: in any mode.
        solo: waveform ``(L,)``.
        frames: ``(N, S, 3, H, W)`` uint8.
        place: which of the N pictures is the solo's.

    Returns:
        ``peak_in_place``: 1 if the loudest cell is in the solo's place; ``map_in_place``: share of the map's volume in
        it; both 0 for a dark map. By threshold, as shares of the loudest cell: ``chosen``, share of the picture that
        reaches it; ``right``, share of this in the solo's place, NaN for a dark map.
    """
    volume = PixelSounds(model, solo, side_by_side(frames)).sound_map(noise=True)  # filmed sounds may be noisy
    cells = volume[volume.max(axis=(1, 2)).argmax()]
    columns = (np.arange(cells.shape[1]) + 0.5) / cells.shape[1] * len(frames)
    inside = np.broadcast_to((columns >= place) & (columns < place + 1), cells.shape)
    if not cells.max() > 0:
        dark = np.zeros(len(THRESHOLDS))
        return {"peak_in_place": np.zeros(()), "map_in_place": np.zeros(()), "chosen": dark, "right": dark + np.nan}
    chosen = [cells >= at * cells.max() for at in THRESHOLDS]
    return {
        "peak_in_place": np.float64(inside.flat[cells.argmax()]),
        "map_in_place": cells[inside].sum() / cells.sum(),
        "chosen": np.array([some.mean() for some in chosen]),
        "right": np.array([inside[some].mean() for some in chosen]),
    }
