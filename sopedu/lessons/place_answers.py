"""The sound of a place in a recording, with its mask, share and description (notebook 11_listen_to_pixels)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from sopedu.errors import SopeduError
from sopedu.localization.long_clips import LongClip, crossfade
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import WHOLE, Box, Place

_SLACK_SECONDS = 1.0  # seconds; a sound may be this much longer than its pictures, if they follow each other faster


@dataclass(frozen=True, eq=False)
class PlaceAnswer:
    """The result for a place.

    Attributes:
        place: as passed by the caller.
        name: description of the place.
        waveform: ``(L,)`` float32, of the whole recording.
        mask: ``(Q, T)`` in 0…1 over the whole recording; masks of overlapping windows are blended as their sounds are.
        share: energy of the place's sound over that of the mixture.
    """

    place: Place
    name: str
    waveform: np.ndarray
    mask: np.ndarray
    share: float

    @property
    def text(self) -> str:
        """One line of text: the place and its share of the energy."""
        level = f"{10 * math.log10(self.share):.1f} dB".replace("-", "−") if self.share > 0 else "silent"
        return f"{self.name}: {percent(self.share)} of the mixture's energy ({level})"


def answer_of(
    clip: LongClip, place: Place, boxes: Mapping[str, Box] | None = None, pooling: str | None = None
) -> PlaceAnswer:
    """Separate the sound of a place.

    Args:
        clip: the recording.
        place: a point, a box, or weights of the cells, see :func:`sopedu.localization.places.cell_weights`.
        boxes: named boxes; the name is used if the place is one of them.
        pooling: see :meth:`sopedu.PixelSounds.mask`.

    Raises:
        SopeduError: the place lies outside the picture, is empty, or not a number.
    """
    masks: list[torch.Tensor] = []

    def mask_of(pixels: PixelSounds) -> torch.Tensor:
        masks.append(pixels.mask(place, pooling))
        return masks[-1]

    waveform = clip.heard(mask_of)
    heard, all_of_it = (float(np.square(wave, dtype=np.float64).sum()) for wave in (waveform, clip.waveform))
    mask = joined(clip, (mask.cpu().numpy() for mask in masks), 1 + len(clip.waveform) // clip.sound.hop_length)
    return PlaceAnswer(place, _name_of(place, boxes or {}), waveform, mask, heard / max(all_of_it, 1e-12))


def percent(share: float) -> str:
    """Format a share as ``13 %``, and small ones as ``0.4 %``.

    Args:
        share: in 0…1.
    """
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def check_lengths(clip: LongClip) -> None:
    """Check that pictures which follow each other reach to the end of the sound; a single one may be used for all.

    Args:
        clip: the recording.

    Raises:
        SopeduError: they end long before the sound.
    """
    if len(clip.times) < 2:
        return
    left = clip.seconds - clip.times[-1]
    if left > max(_SLACK_SECONDS, 2 * float(np.diff(clip.times).max())):
        raise SopeduError(
            f"the last picture begins at {clip.times[-1]:.2f} s, but the sound lasts {clip.seconds:.2f} s: "
            "cut the sound or give pictures for the rest"
        )


def joined(clip: LongClip, of_windows: Iterable[np.ndarray], length: int | None = None) -> np.ndarray:
    """Join arrays ``(…, T)`` of the windows into one of the whole recording, blended where windows overlap.

    Args:
        clip: the recording.
        of_windows: one array per window, in columns of the spectrogram.
        length: columns of the result; None: as far as the windows reach.
    """
    starts = [round(start / clip.sound.hop_length) for start in clip.starts]
    pieces = list(zip(starts, of_windows, strict=True))
    length = length or max(first + piece.shape[-1] for first, piece in pieces)
    return np.concatenate(list(crossfade(pieces, length)), -1)


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
