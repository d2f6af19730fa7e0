"""A part of a video with its own clock, and waveforms of any length that are kept in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sopedu.audio.loudness import block_size, level_of_blocks
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.video.probing import VideoInfo
from sopedu.video.reading import frames_at, iterate_frames, iterate_sound

# seconds; a slide may be shown for long, but a longer gap is a damaged timestamp
_LONGEST_STILL_SECONDS = 3600.0


@dataclass(frozen=True)
class VideoPart:
    """A part of a video; all its times count from `start`.

    Attributes:
        info: what :func:`sopedu.probe` returns.
        start: its first second in the video.
        end: its last one; by default the video's end.

    Raises:
        SopeduError: if it begins before 0 or after the video's end, or ends before it begins.
    """

    info: VideoInfo
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        """Check the times."""
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
        """Yield its sound in blocks, see :func:`sopedu.video.reading.iterate_sound`.

        Args:
            sample_rate: of the blocks in Hz.
            skipped: gets the times of damaged packets; without it they raise an error.
        """
        return iterate_sound(self.info.path, sample_rate, self.start, self.end, self.info.sound_stream, skipped)

    def frames_at(self, times: Sequence[float], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yield the pictures ``(h, w, 3)`` uint8 shown at some times; damaged ones are left out.

        Args:
            times: in seconds, ascending.
            size: (height, width) in pixels; by default as large as they are.
        """
        shifted = [self.start + time for time in times]
        return frames_at(self.info.path, shifted, size, self.info.picture_stream, skipped=[])

    def pictures(
        self, skipped: list[float] | None = None, left_out: list[float] | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield all pictures with ascending times; the first one is shown at the start, so its time is 0.

        Args:
            skipped: gets the times of damaged packets; without it they raise an error.
            left_out: gets the times of pictures that are not later than the one before, which are left out.

        Raises:
            SopeduError: the times of pictures are damaged.
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
            elif left_out is not None and (last > 0 or self.start == 0):  # else the first picture was yielded before
                left_out.append(last)


class DiskWaveform:
    """A waveform of any length, kept as raw float32 in a file: written in blocks, read from anywhere.

    Args:
        path: the file, which is made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.length, self.peak, self.energy = path, 0, 0.0, 0.0
        path.write_bytes(b"")

    def append(self, samples: np.ndarray) -> None:
        """Add samples ``(n,)`` at the end.

        Args:
            samples: of any float type.
        """
        samples = np.ascontiguousarray(samples, np.float32)
        with open(self.path, "ab") as file:
            file.write(samples)
        self.length += len(samples)
        if len(samples):
            self.peak = max(self.peak, float(np.abs(samples).max()))
            self.energy += float(np.square(samples, dtype=np.float64).sum())

    def read(self, start: int, count: int) -> np.ndarray:
        """Return samples ``(n,)`` float32.

        Args:
            start: the first one.
            count: how many; fewer are returned at the end.
        """
        count = min(count, self.length - start)
        return np.fromfile(self.path, np.float32, count, offset=4 * start) if count > 0 else np.zeros(0, np.float32)

    def blocks(self, gain: float = 1.0, length: int = 65536) -> Iterator[np.ndarray]:
        """Yield all samples, block by block.

        Args:
            gain: they are multiplied with it.
            length: samples per block.
        """
        for start in range(0, self.length, length):
            yield np.float32(gain) * self.read(start, length)

    def level(self, sound: SpectrogramConfig) -> float:
        """Return the level in dB full scale, see :mod:`sopedu.audio.loudness`.

        Args:
            sound: settings of the model's spectrogram.
        """
        return level_of_blocks(self.blocks(length=64 * block_size(sound)), sound)
