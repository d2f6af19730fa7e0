"""Recordings longer than the clips of a model: process them in windows, and crossfade the results.

A model takes clips of one length. A longer recording is split into windows, each half a window after the last one.
Videos of any length are walked through in :mod:`sopedu.separation.windows`; :class:`LongClip` keeps the windows of a
short recording in memory, so that any place can be played at once (notebook 11_listen_to_pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sopedu.audio.loudness import level_of
from sopedu.audio.resampling import as_waveform
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import Place
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.video.resizing import resize_frames, size_in_proportion

_SLACK_SECONDS = 0.1  # seconds; a picture may begin this much after the end of the sound: rounded timestamps


@dataclass(frozen=True)
class Window:
    """One window of a recording.

    Attributes:
        start: its first sample.
        pixels: its components and feature map.
    """

    start: int
    pixels: PixelSounds


def window_starts(length: int, sound: SpectrogramConfig) -> range:
    """Return the first samples of the windows that cover a recording, each half a window after the last one.

    Args:
        length: of the recording, in samples.
        sound: settings of the model's spectrogram.
    """
    step = sound.counted_samples // 2
    return range(0, max(1, length - step), step)


def window_centres(starts: Sequence[int], sound: SpectrogramConfig) -> list[float]:
    """Return the times in seconds of the middles of windows.

    Args:
        starts: first samples of the windows.
        sound: settings of the model's spectrogram.
    """
    return [(start + sound.counted_samples / 2) / sound.sample_rate for start in starts]


def walk_windows(
    checkpoint: Checkpoint,
    starts: Sequence[int],
    read: Callable[[int, int], np.ndarray],
    frames: Iterable[torch.Tensor],
    level: float,
) -> Iterator[Window]:
    """Run the nets on one window after another. Nothing is kept, so memory does not grow with the recording.

    The nets get every window at the level of their training; pauses are those of the whole recording.

    Args:
        checkpoint: the model.
        starts: first samples of the windows, see :func:`window_starts`.
        read: returns the samples of the recording from a first sample on, as many as asked for or, at its end, fewer;
            what is missing becomes silence.
        frames: ``(S, 3, h, w)`` uint8 of each window.
        level: of the whole recording in dB full scale, see :mod:`sopedu.audio.loudness`.

    Yields:
        the windows, in their order.
    """
    length = checkpoint.config.spectrogram.samples
    for start, seen in zip(starts, frames, strict=True):
        piece = read(start, length)
        piece = torch.from_numpy(np.pad(piece, (0, length - len(piece))))
        yield Window(start, PixelSounds(checkpoint.model, piece, seen, level=level))


def crossfade(pieces: Iterable[tuple[int, np.ndarray]], length: int) -> Iterator[np.ndarray]:
    """Add overlapping pieces, each faded with a Hann window; divide by the sum of the windows.

    Where pieces overlap, the one whose middle is nearer counts more, so no seam is heard. Unchanged pieces of one
    signal add up to that signal. Samples are returned as soon as no later piece reaches them.

    Args:
        pieces: (first sample, ``(…, n)``) in ascending order.
        length: of the whole in samples; what reaches beyond is cut, what no piece covers is silent.

    Yields:
        blocks ``(…, m)`` float32 that follow each other.
    """
    total = weights = None
    begin = 0  # the sample that total[..., 0] stands for
    for start, piece in pieces:
        if total is None:
            total, weights = np.zeros((*piece.shape[:-1], 0)), np.zeros(0)
        if start > begin:
            yield _weighted_mean(total, weights, start - begin)
            total, weights, begin = total[..., start - begin :], weights[start - begin :], start
        count = piece.shape[-1]
        # Half a sample in from both ends, so that no weight is zero where only one piece reaches.
        fade = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2
        total, weights = _padded(total, count), _padded(weights, count)
        total[..., :count] += fade * piece
        weights[:count] += fade
    if total is not None and length > begin:
        yield _weighted_mean(total, weights, length - begin)


def _weighted_mean(total: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    done = total[..., :count] / np.where(weights[:count] > 0, weights[:count], 1)
    return _padded(done, count).astype(np.float32)


def _padded(values: np.ndarray, count: int) -> np.ndarray:
    """At least `count` samples, with zeros at the end."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, max(0, count - values.shape[-1]))])


class LongClip:
    """A recording of some seconds with its pictures; its windows stay in memory, so any place can be played at once.

    It takes 10 MB for each 3 s at the size of preset ``paper``, 0.5 MB for each 0.75 s at that of ``toyband``.

    Args:
        checkpoint: the model; or its folder or name.
        waveform: mono ``(L,)`` at the model's sample rate, of any length.
        pictures: ``(n, H, W, 3)`` uint8, of any size; the model gets them whole, in their proportions.
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
            # One clip of the model's length: the samples that an inverse STFT cannot restore need no second window.
            self.waveform = self.waveform[: self.sound.counted_samples]
        self.times = np.asarray(times, dtype=float)
        self.seconds = len(self.waveform) / self.sound.sample_rate
        _check(self.pictures, self.times, self.seconds)
        self.level = float(level_of(torch.from_numpy(self.waveform), self.sound))
        self.starts = window_starts(len(self.waveform), self.sound)
        #: Times in seconds of the middles of the windows.
        self.centres = [min(time, self.seconds) for time in window_centres(self.starts, self.sound)]
        frames = map(self._frames_around, self.centres)
        windows = walk_windows(self.checkpoint, self.starts, self._read, frames, self.level)
        #: Components and feature map of each window.
        self.clips = [window.pixels for window in windows]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.clips[0].grid

    def picture_at(self, time: float) -> int:
        """Return the number of the picture shown at a time in seconds: the last that begins not later, or the first.

        Args:
            time: from the start of the sound.
        """
        return max(0, int(np.searchsorted(self.times, time + 1e-9, side="right")) - 1)

    def heard(self, masks_of: Callable[[PixelSounds], torch.Tensor]) -> np.ndarray:
        """Apply masks in every window; return waveforms ``(…, L)`` float32.

        Args:
            masks_of: returns the masks ``(…, Q, T)`` of a window.
        """
        pieces = (
            (start, clip.heard_through(masks_of(clip)).numpy())
            for start, clip in zip(self.starts, self.clips, strict=True)
        )
        return np.concatenate(list(crossfade(pieces, len(self.waveform))), axis=-1)

    def separate(self, place: Place, pooling: str | None = None) -> np.ndarray:
        """Return the waveform ``(L,)`` of a place.

        Args:
            place: see :meth:`sopedu.PixelSounds.mask`.
            pooling: see there.
        """
        return self.heard(lambda clip: clip.mask(place, pooling))

    def maps(self, kind: str = MAP_KINDS[0]) -> np.ndarray:
        """Return a sound map for every picture ``(n, h, w)``: those of the windows, blended between their middles.

        Args:
            kind: see :meth:`sopedu.PixelSounds.sound_map`.
        """
        of_clips = np.stack([clip.sound_map(kind).mean(0) for clip in self.clips])
        position = np.interp(self.times, self.centres, np.arange(len(of_clips)))
        low = np.floor(position).astype(int)
        share = (position - low)[:, None, None]
        return (1 - share) * of_clips[low] + share * of_clips[np.minimum(low + 1, len(of_clips) - 1)]

    def _read(self, start: int, count: int) -> np.ndarray:
        return self.waveform[start : start + count]

    def _frames_around(self, centre: float) -> torch.Tensor:
        """Frames ``(S, 3, h, w)`` that the model gets for a window, given the time of its middle."""
        frames = self.checkpoint.config.frames
        shown = [self.picture_at(time) for time in frames.times(centre)]
        seen = torch.from_numpy(self.pictures[shown]).permute(0, 3, 1, 2)
        return resize_frames(seen, size_in_proportion(*seen.shape[-2:], frames.size))


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
