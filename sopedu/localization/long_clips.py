"""A stretch of sound with its pictures, cut into clips as long as the model hears, and heard at any place.

What a widget, a page and a function share that answer "what does this pixel sound like?" for more than one clip: see
notebook 11_listen_to_pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from sopedu.audio.loudness import level_of
from sopedu.audio.soundfiles import as_waveform
from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import Place
from sopedu.localization.windows import crossfade, window_centres, window_starts
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.video.resizing import resize_frames, size_in_proportion

_SLACK_SECONDS = 0.1  # how much later than the end of the sound a picture may begin: timestamps are rounded


class LongClip:
    """Half-overlapping clips of a stretch of sound, each with the pictures of its time, kept ready to be asked.

    Kept are 10 MB for each 3 s at the size of preset ``paper``, 0.5 MB for each 0.75 s at that of ``toyband``.

    Args:
        checkpoint: whose model looks and listens.
        waveform: mono ``(L,)`` at the model's sample rate, of any length.
        pictures: ``(n, H, W, 3)`` uint8, of any size; the model sees them whole, in their proportions.
        times: seconds from the start of the sound at which each picture begins to show, ascending.

    Raises:
        SopeduError: the sound is empty or not finite; pictures of another type or shape; not as many times as
            pictures, not ascending, or later than the sound.
    """

    def __init__(
        self, checkpoint: Checkpoint | str | Path, waveform: np.ndarray, pictures: np.ndarray, times: Sequence[float]
    ) -> None:
        self.checkpoint = as_checkpoint(checkpoint)
        self.sound = self.checkpoint.config.spectrogram
        self.waveform, self.pictures = as_waveform(waveform), np.asarray(pictures)
        if self.sound.counted_samples < len(self.waveform) <= self.sound.samples:
            # One clip of the model's length: what an inverse STFT cannot restore is no reason for a second window.
            self.waveform = self.waveform[: self.sound.counted_samples]
        self.times = np.asarray(times, dtype=float)
        self.seconds = len(self.waveform) / self.sound.sample_rate
        _check(self.pictures, self.times, self.seconds)
        self.level = float(level_of(torch.from_numpy(self.waveform), self.sound))
        self.starts = window_starts(len(self.waveform), self.sound)
        #: Times in seconds of the middles of the clips.
        self.centres = [min(time, self.seconds) for time in window_centres(self.starts, self.sound)]
        self.clips = [self._clip(start, centre) for start, centre in zip(self.starts, self.centres, strict=True)]

    def _clip(self, start: int, centre: float) -> PixelSounds:
        piece = self.waveform[start : start + self.sound.samples]
        piece = torch.from_numpy(np.pad(piece, (0, self.sound.samples - len(piece))))
        frames = self.checkpoint.config.frames
        shown = [self.picture_at(time) for time in frames.times(centre)]
        seen = torch.from_numpy(self.pictures[shown]).permute(0, 3, 1, 2)
        seen = resize_frames(seen, size_in_proportion(*seen.shape[-2:], frames.size))
        return PixelSounds(self.checkpoint.model, piece, seen, level=self.level)

    def picture_at(self, time: float) -> int:
        """Number of the picture shown at a time: the last that begins not later, or the first."""
        return max(0, int(np.searchsorted(self.times, time + 1e-9, side="right")) - 1)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.clips[0].grid

    def heard(self, masks_of: Callable[[PixelSounds], torch.Tensor]) -> np.ndarray:
        """What a rule lets through: masks ``(…, Q, T)`` made for every clip → waveforms ``(…, L)`` float32."""
        pieces = (
            (start, clip.heard_through(masks_of(clip)).numpy())
            for start, clip in zip(self.starts, self.clips, strict=True)
        )
        return np.concatenate(list(crossfade(pieces, len(self.waveform))), axis=-1)

    def separate(self, place: Place, pooling: str | None = None) -> np.ndarray:
        """Waveform ``(L,)`` of a place; see :meth:`sopedu.localization.pixel_sounds.PixelSounds.mask`."""
        return self.heard(lambda clip: clip.mask(place, pooling))

    def maps(self, kind: str = MAP_KINDS[0]) -> np.ndarray:
        """A sound map for every picture ``(n, h, w)``: those of the clips, blended between their middles."""
        of_clips = np.stack([clip.sound_map(kind).mean(0) for clip in self.clips])
        position = np.interp(self.times, self.centres, np.arange(len(of_clips)))
        low = np.floor(position).astype(int)
        share = (position - low)[:, None, None]
        return (1 - share) * of_clips[low] + share * of_clips[np.minimum(low + 1, len(of_clips) - 1)]


def _check(pictures: np.ndarray, times: np.ndarray, seconds: float) -> None:
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8 or 0 in pictures.shape:
        raise SopeduError(
            f"the pictures are {pictures.dtype} {pictures.shape}: pass (n, H, W, 3) uint8, one picture at least"
        )
    if times.shape != (len(pictures),) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise SopeduError(
            f"{len(pictures)} pictures at times of shape {times.shape}: give the second at which each begins, ascending"
        )
    if times[-1] > seconds + _SLACK_SECONDS or times[0] < -_SLACK_SECONDS:
        raise SopeduError(
            f"the pictures begin between {times[0]:.2f} s and {times[-1]:.2f} s, but the sound lasts from 0 to "
            f"{seconds:.2f} s: cut both to the same stretch"
        )
