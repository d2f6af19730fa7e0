"""Walk over a video of any length window by window, and put the pieces together again without a seam.

A model hears clips of one length; a longer video is a row of windows, each half a window after the last. Nothing here
grows with the length of the video: sound waits in files of raw samples, and of the pictures only those that windows
still need are kept. Explained in notebook 00_start_here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sopedu.audio.loudness import block_size, level_of_blocks
from sopedu.config import Config, SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.checkpoints import Checkpoint
from sopedu.video.reading import VideoInfo, frames_at, iterate_frames, iterate_sound
from sopedu.video.resizing import frame_size

# A slide may stand for long; what stands longer has a damaged timestamp.
_LONGEST_STILL_SECONDS = 3600.0


@dataclass(frozen=True)
class VideoPart:
    """The part of a video that is worked on; all its times count from `start`.

    Raises:
        SopeduError: if it begins before 0 or after the video's end, or ends before it begins.
    """

    info: VideoInfo
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        path, duration = self.info.path, self.info.duration
        if not 0 <= self.start < float("inf") or (self.end is not None and not self.end > self.start):
            raise SopeduError(f"{path}: a part begins at 0 s or later and ends after that; change --start or --end")
        if self.start >= duration > 0:
            raise SopeduError(
                f"{path}: is {duration:.2f} s long, nothing is there from {self.start:.2f} s on; start earlier"
            )

    @property
    def seconds(self) -> float:
        """Its length, to the end of the last picture or sound."""
        return max(0.0, min(self.info.duration, self.end or float("inf")) - self.start)

    def sound(self, sample_rate: int, skipped: list[float] | None = None) -> Iterator[np.ndarray]:
        """Its sound in blocks, see :func:`sopedu.video.reading.iterate_sound`."""
        return iterate_sound(self.info.path, sample_rate, self.start, self.end, self.info.sound_stream, skipped)

    def frames_at(self, times: Sequence[float], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """The pictures shown at ascending times; what is damaged is left out (and counted by :meth:`pictures`)."""
        shifted = [self.start + time for time in times]
        return frames_at(self.info.path, shifted, size, self.info.picture_stream, skipped=[])

    def pictures(
        self, skipped: list[float] | None = None, left_out: list[float] | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """All its pictures with ascending times; the first is the one that is shown at the start, at time 0.

        `left_out` takes the times of pictures that are not later than the one before, and so would never be seen.
        """
        stream, last = self.info.picture_stream, -1.0
        if self.start > 0:
            last = 0.0
            yield last, next(self.frames_at([0.0]))
        for time, picture in iterate_frames(self.info.path, self.start, self.end, stream, skipped):
            time = time - self.start if last >= 0 else 0.0
            if time - max(0.0, last) > _LONGEST_STILL_SECONDS:
                raise SopeduError(
                    f"{self.info.path}: its pictures jump from {max(0.0, last):.2f} s to {time:.2f} s; "
                    "its timestamps are damaged, convert it again"
                )
            if time > last + 1e-4:
                last = time
                yield time, picture
            elif left_out is not None and (last > 0 or self.start == 0):  # else it is the first one, told already
                left_out.append(last)


class DiskWaveform:
    """A waveform of any length, kept as raw float32 in a file: written in blocks, read from anywhere.

    Args:
        path: the file, made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.length, self.peak, self.energy = path, 0, 0.0, 0.0
        path.write_bytes(b"")

    def append(self, samples: np.ndarray) -> None:
        samples = np.ascontiguousarray(samples, np.float32)
        with open(self.path, "ab") as file:
            file.write(samples)
        self.length += len(samples)
        if len(samples):
            self.peak = max(self.peak, float(np.abs(samples).max()))
            self.energy += float(np.square(samples, dtype=np.float64).sum())

    def read(self, start: int, count: int) -> np.ndarray:
        """Samples from `start` on, fewer than `count` at the end."""
        count = min(count, self.length - start)
        return np.fromfile(self.path, np.float32, count, offset=4 * start) if count > 0 else np.zeros(0, np.float32)

    def blocks(self, gain: float = 1.0, length: int = 65536) -> Iterator[np.ndarray]:
        """All samples, in blocks, times a gain."""
        for start in range(0, self.length, length):
            yield np.float32(gain) * self.read(start, length)


@dataclass(frozen=True)
class Window:
    """One window of a video: its first sample, and what is seen and heard in it."""

    start: int
    pixels: PixelSounds


def window_starts(length: int, sound: SpectrogramConfig) -> range:
    """First samples of the windows that cover `length` samples, each half a window after the last."""
    step = sound.counted_samples // 2
    return range(0, max(1, length - step), step)


def window_centres(starts: Sequence[int], sound: SpectrogramConfig) -> list[float]:
    """Times in seconds of the middles of windows."""
    return [(start + sound.counted_samples / 2) / sound.sample_rate for start in starts]


def windows_of(part: VideoPart, checkpoint: Checkpoint, mixture: DiskWaveform) -> Iterator[Window]:
    """Walk over a part of a video, whose sound is in `mixture`; the last window is padded with silence.

    The nets hear every window at the level they were trained at, and pauses as pauses of the whole part.

    Frames keep their proportions as they are shown: the shorter side becomes the size the model was trained with.
    """
    config, sound = checkpoint.config, checkpoint.config.spectrogram
    starts = window_starts(mixture.length, sound)
    frames = _frames_of_windows(part, config, window_centres(starts, sound))
    level = recording_level(mixture, sound)
    for start, seen in zip(starts, frames, strict=True):
        piece = mixture.read(start, sound.samples)
        piece = np.pad(piece, (0, sound.samples - len(piece)))
        yield Window(start, PixelSounds(checkpoint.model, torch.from_numpy(piece), seen, level=level))


def recording_level(spool: DiskWaveform, sound: SpectrogramConfig) -> float:
    """Level of a waveform in a file, in dB full scale, see :mod:`sopedu.audio.loudness`."""
    return level_of_blocks(spool.blocks(length=64 * block_size(sound)), sound)


def _frames_of_windows(part: VideoPart, config: Config, centres: Sequence[float]) -> Iterator[torch.Tensor]:
    """Frames ``(S, 3, H, W)`` uint8 of every window, from one walk over the video."""
    last = max(0.0, part.seconds)
    wanted = [[min(max(0.0, time), last) for time in config.frames.times(centre)] for centre in centres]
    ascending = sorted({time for times in wanted for time in times})
    pictures = zip(ascending, part.frames_at(ascending, frame_size(part.info, config.frames.size)), strict=True)
    kept: dict[float, np.ndarray] = {}
    for times in wanted:
        while times[-1] not in kept:
            time, picture = next(pictures)
            kept[time] = picture
        yield torch.from_numpy(np.stack([kept[time] for time in times])).permute(0, 3, 1, 2)
        kept = {time: picture for time, picture in kept.items() if time >= times[0]}


def crossfade(pieces: Iterable[tuple[int, np.ndarray]], length: int) -> Iterator[np.ndarray]:
    """Add overlapping pieces, faded with a Hann window whose sum is divided out again.

    Where pieces overlap, the one whose middle is nearer counts more, so no seam is heard; unchanged pieces of one
    signal add up to that signal. What no later piece reaches is given out at once.

    Args:
        pieces: (first sample, ``(…, n)``) in ascending order.
        length: of the whole; what reaches beyond is cut, what nothing covers is silent.

    Yields:
        blocks ``(…, m)`` float32 that follow each other.
    """
    total = weights = None
    begin = 0  # the sample that total[..., 0] stands for
    for start, piece in pieces:
        if total is None:
            total, weights = np.zeros((*piece.shape[:-1], 0)), np.zeros(0)
        if start > begin:
            yield _shares(total, weights, start - begin)
            total, weights, begin = total[..., start - begin :], weights[start - begin :], start
        count = piece.shape[-1]
        # Half a sample in from both ends, so that no weight is zero where only one piece reaches.
        fade = np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2
        missing = max(0, count - len(weights))
        total = np.pad(total, [(0, 0)] * (total.ndim - 1) + [(0, missing)])
        weights = np.pad(weights, (0, missing))
        total[..., :count] += fade * piece
        weights[:count] += fade
    if total is not None and length > begin:
        yield _shares(total, weights, length - begin)


def _shares(total: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    missing = max(0, count - len(weights))
    done = total[..., :count] / np.where(weights[:count] > 0, weights[:count], 1)
    return np.pad(done, [(0, 0)] * (done.ndim - 1) + [(0, missing)]).astype(np.float32)
