"""One waveform from several channels: their mean, except for channels that are silent or cancel each other out.

A mean over six channels would make a video with sound in only one of them 15 dB quieter, and would silence a video
whose second channel is the first one with its sign inverted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError

# A channel is silent if its peak is this far (-60 dB) below that of the loudest one.
_SILENT = 1e-3
# The mean of N unrelated channels has 1/N of their energy; if it has a tenth of that, they cancel each other out.
_CANCELLED = 0.1
# A sample 60 dB above full scale means a damaged file.
_LOUDEST_SAMPLE = 1000.0


@dataclass(frozen=True)
class Mix:
    """Which of a sound's channels are averaged.

    Attributes:
        channels: numbers of the channels, from 0.
        of: how many channels the sound has.
        cancelled: whether one channel was chosen because the mean would have been silent.
    """

    channels: tuple[int, ...]
    of: int
    cancelled: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all channels are averaged."""
        return len(self.channels) == self.of

    def mono(self, samples: np.ndarray) -> np.ndarray:
        """Average the channels.

        Args:
            samples: (C, n) float; with another number of channels than `of`, all are averaged.

        Returns:
            (n,) float32.
        """
        if len(samples) == self.of and len(self.channels) < self.of:
            samples = samples[list(self.channels)]
        return samples.mean(axis=0, dtype=np.float64).astype(np.float32)

    def note(self) -> str | None:
        """Return one line for the user if only one channel is used, otherwise None."""
        if not self.cancelled:
            return None
        return (
            f"its {self.of} channels of sound cancel each other out (one has its sign inverted): "
            f"channel {self.channels[0] + 1} is used alone"
        )


#: All channels are averaged, however many there are.
EVERY_CHANNEL = Mix((), 0)


class ChannelLevels:
    """Measures the channels of a sound block by block and decides which of them are averaged."""

    def __init__(self) -> None:
        self._peaks = self._energies = np.zeros(0)
        self._mean_energy = 0.0

    def add(self, samples: np.ndarray) -> None:
        """Measure a block.

        Args:
            samples: (C, n) float; a block with another number of channels than the first one is ignored.
        """
        if not len(self._peaks):
            self._peaks = self._energies = np.zeros(len(samples))
        if samples.size and len(samples) == len(self._peaks):
            self._peaks = np.maximum(self._peaks, np.abs(samples).max(axis=1))
            self._energies = self._energies + np.square(samples, dtype=np.float64).sum(axis=1)
            self._mean_energy += float(np.square(samples.mean(axis=0, dtype=np.float64)).sum())

    def mix(self, with_silent: bool = False) -> Mix:
        """Return which channels are averaged.

        Args:
            with_silent: keep silent channels in the mean, so that levels can be compared.
        """
        count = len(self._peaks)
        used = np.flatnonzero(self._peaks > _SILENT * self._peaks.max(initial=0.0))
        used = used if len(used) else np.arange(count)
        if len(used) > 1 and self._energies.any():
            mean_energy = self._mean_energy * (count / len(used)) ** 2  # of the mean of the channels in use
            if mean_energy * len(used) < _CANCELLED * self._energies[used].mean():
                return Mix((int(self._energies.argmax()),), count, cancelled=True)
        return Mix(tuple(range(count) if with_silent else used.tolist()), count)


def samples_of(path: Path, frames: Sequence[Any]) -> np.ndarray:
    """Return the samples of decoded frames of sound, joined.

    Args:
        path: the file, for the error.
        frames: PyAV's, of one format and number of channels.

    Returns:
        Channels (C, n) float64; full scale is 1.

    Raises:
        SopeduError: the format is unknown, or a sample is far beyond full scale or not a number.
    """
    from av.audio.frame import format_dtypes

    # Not frame.to_ndarray(): with eight channels or more it reads a missing plane, and the process crashes.
    name, planar, channels = frames[0].format.name, frames[0].format.is_planar, frames[0].layout.nb_channels
    planes, width = (channels, 1) if planar else (1, channels)
    try:
        kind = np.dtype(format_dtypes[name])
        samples = [[np.frombuffer(p, kind, frame.samples * width) for p in frame.planes[:planes]] for frame in frames]
    except (KeyError, ValueError) as error:
        raise SopeduError(
            f"{path}: {frames[0].samples} samples of {channels} channels in the format {name} cannot be read; "
            "convert it to mp4"
        ) from error
    joined = [np.concatenate(plane) for plane in zip(*samples, strict=True)]
    values = np.array(joined if planar else joined[0].reshape(-1, channels).T, np.float64, order="C")
    if kind == np.uint8:
        values = (values - 128) / 128
    elif kind.kind == "i":
        values /= -float(np.iinfo(kind).min)
    loudest = float(max(values.max(), -values.min())) if values.size else 0.0
    if not loudest <= _LOUDEST_SAMPLE:  # also true for NaN
        raise SopeduError(
            f"{path}: its sound holds a sample of {loudest:g}, full scale is 1; export the file again"
            if np.isfinite(loudest)
            else f"{path}: its sound holds samples that are not numbers (NaN or infinite); export the file again"
        )
    return values
