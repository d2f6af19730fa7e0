"""What a place of a stretch sounds like, in sound, numbers and words (notebook 11_listen_to_pixels)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sopedu.errors import SopeduError
from sopedu.localization.long_clips import LongClip
from sopedu.localization.maps import smooth_over_time, volume_over_time
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import WHOLE, Box, Place, box_of_cell, cell_at
from sopedu.localization.windows import crossfade

_SLACK_SECONDS = 1.0  # how much longer than its pictures a sound may last, where pictures follow each other faster


@dataclass(frozen=True, eq=False)
class Answer:
    """What sounds at a place.

    Attributes:
        place: as it was asked for.
        name: of the place, for people.
        waveform: ``(L,)`` float32, of the whole stretch.
        mask: ``(Q, T)`` in 0…1: what was let through, over the whole stretch; masks of overlapping clips are blended
            as their sounds are.
        share: energy of what is heard over the mixture's.
    """

    place: Place
    name: str
    waveform: np.ndarray
    mask: np.ndarray
    share: float

    @property
    def text(self) -> str:
        """A line for people: where, and how loud."""
        level = f"{10 * math.log10(self.share):.1f} dB".replace("-", "−") if self.share > 0 else "silent"
        return f"{self.name}: {percent(self.share)} of the mixture's energy ({level})"


def answer_of(
    stretch: LongClip, place: Place, boxes: Mapping[str, Box] | None = None, pooling: str | None = None
) -> Answer:
    """Listen to a place.

    Args:
        place: a point, a box, or weights of the cells, see :func:`sopedu.localization.places.cell_weights`.
        boxes: names of places that people know.
        pooling: see :meth:`sopedu.localization.pixel_sounds.PixelSounds.mask`.

    Raises:
        SopeduError: the place lies outside the picture, is empty, or not a number.
    """
    masks: list[torch.Tensor] = []

    def mask_of(clip: PixelSounds) -> torch.Tensor:
        masks.append(clip.mask(place, pooling))
        return masks[-1]

    waveform = stretch.heard(mask_of)
    heard, all_of_it = (float(np.square(wave, dtype=np.float64).sum()) for wave in (waveform, stretch.waveform))
    return Answer(place, _name_of(place, boxes or {}), waveform, _joined(masks, stretch), heard / max(all_of_it, 1e-12))


def percent(share: float) -> str:
    """A share as people read it: ``13 %``, and ``0.4 %`` where rounding would leave nothing."""
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def check_lengths(stretch: LongClip) -> None:
    """See that pictures which follow each other reach to the end of the sound; a single one may stand for all of it.

    Raises:
        SopeduError: they end long before the sound.
    """
    if len(stretch.times) < 2:
        return
    left = stretch.seconds - stretch.times[-1]
    if left > max(_SLACK_SECONDS, 2 * float(np.diff(stretch.times).max())):
        raise SopeduError(
            f"the last picture begins at {stretch.times[-1]:.2f} s, but the sound lasts {stretch.seconds:.2f} s: "
            "cut the sound or give pictures for the rest"
        )


def maps_of_moments(stretch: LongClip) -> np.ndarray:
    """Share of the energy at the moment of every picture that each cell lets through, ``(n, h, w)``.

    The nets look at a clip as a whole; what changes from moment to moment is the sound that their masks meet. Power is
    averaged over 0.3 s around a picture, and clips that overlap are blended as their sounds are.
    """
    pieces = []
    for start, clip in zip(stretch.starts, stretch.clips, strict=True):
        power = clip.magnitude.square().sum(0).cpu().numpy()  # (T,)
        heard = volume_over_time(clip, clip.features.shape[1] // 2) * max(float(power.max()), 1e-12)
        pieces.append((_column(start, stretch), np.concatenate([heard.reshape(len(power), -1), power[:, None]], 1).T))
    length = max(first + piece.shape[-1] for first, piece in pieces)
    power = np.concatenate(list(crossfade(pieces, length)), -1).T  # (T, h·w + 1), the last is the mixture's
    hop = stretch.sound.hop_length / stretch.sound.sample_rate
    smooth = smooth_over_time(power, np.arange(length) * hop)
    # What is hardly heard has no share worth a colour: a thousandth of the loudest moment is the floor.
    now = smooth[np.clip(np.rint(stretch.times / hop).astype(int), 0, length - 1)]
    return (now[:, :-1] / np.maximum(now[:, -1:], 1e-3 * smooth[:, -1].max() + 1e-12)).reshape(-1, *stretch.grid)


def _joined(masks: Sequence[torch.Tensor], stretch: LongClip) -> np.ndarray:
    """Masks ``(Q, T)`` of the clips, one mask of the whole stretch, blended as the clips' sounds are."""
    pieces = ((_column(start, stretch), mask.cpu().numpy()) for start, mask in zip(stretch.starts, masks, strict=True))
    return np.concatenate(list(crossfade(pieces, 1 + len(stretch.waveform) // stretch.sound.hop_length)), -1)


def _column(sample: int, stretch: LongClip) -> int:
    return round(sample / stretch.sound.hop_length)


def _name_of(place: Place, boxes: Mapping[str, Box]) -> str:
    if isinstance(place, np.ndarray) and place.ndim == 2:
        count = int((place > 0).sum())
        return f"{count} painted cell{'s' if count > 1 else ''}"
    place = tuple(float(value) for value in place)
    known = next((name for name, box in boxes.items() if place == box), None)
    if known or place == WHOLE:
        return known or "the whole picture"
    numbers = [f"{value:.2f}" for value in place]
    if len(place) == 2:
        return f"point {numbers[0]}, {numbers[1]}"
    return f"box {numbers[0]}–{numbers[2]} across, {numbers[1]}–{numbers[3]} down"


def outlines(place: Place, grid: tuple[int, int]) -> list[Box]:
    """Boxes to draw around a place: of a point its cell, of painted cells each."""
    if isinstance(place, np.ndarray) and place.ndim == 2:
        return [box_of_cell(int(row), int(column), *grid) for row, column in np.argwhere(place > 0)]
    return [box_of_cell(*cell_at(place, *grid), *grid)] if len(place) == 2 else [tuple(place)]
