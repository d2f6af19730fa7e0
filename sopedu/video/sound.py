"""From decoded frames of sound to one waveform without gaps: which channels count, where it begins and ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.audio.channels import EVERY_CHANNEL, ChannelLevels, Mix, samples_of
from sopedu.errors import SopeduError
from sopedu.video.clock import clock_of
from sopedu.video.decoding import decoded_frames
from sopedu.video.streams import chosen_stream, opened

# After a seek, sound decoders need some packets before their output is right (Opus: 80 ms).
_WARM_UP_SECONDS = 1.0
# Sound continues without a gap unless its timestamps jump by more than this.
_GAP_SECONDS = 0.05
# More silence than that in a file comes from damaged timestamps, and would be filled in for hours.
_LONGEST_GAP_SECONDS = 600.0
# Decoded frames that are converted together, which is faster.
_JOINED_FRAMES = 32
# No recorder goes beyond this; a higher rate in a damaged header would take gigabytes to resample.
_HIGHEST_RATE = 768_000
_NOTHING = np.zeros(0, np.float32)


def sound_end(path: Path, number: int | None) -> float:
    """Return when the sound ends as an mp4's exact tables state it, so that AAC's padding is left out.

    Args:
        path: the file.
        number: of the sound stream; None takes the default one.

    Returns:
        Seconds; infinity for other formats, which only estimate the end.
    """
    clock = clock_of(path)
    with opened(path) as container:
        sound = chosen_stream(path, container, "audio", number)
        if sound is None or not sound.duration or "mp4" not in container.format.name:
            return inf
        return clock.ends.get(sound.index) or inf


def channels_in_use(path: Path, start: float, end: float, number: int | None) -> Mix:
    """Return how the channels of a part of the sound are mixed to one; decodes that part once if there are several.

    Args:
        path: the file.
        start: seconds.
        end: seconds.
        number: of the sound stream; None takes the default one.
    """
    state = os.stat(path)
    return _channels_in_use(path, path.absolute(), state.st_mtime_ns, state.st_size, start, end, number)


@lru_cache(maxsize=64)
def _channels_in_use(
    path: Path, _absolute: Path, _changed: int, _size: int, start: float, end: float, number: int | None
) -> Mix:
    levels = ChannelLevels()
    joined = _Joined(path, EVERY_CHANNEL, levels)
    with closing(decoded_frames(path, "audio", start, number, [])) as decoded:
        for time, frame in decoded:
            if frame.layout.nb_channels == 1:
                return Mix((0,), 1)
            if time >= end:
                break
            joined.add(frame)
        joined.rest()
    return levels.mix()


class _Joined:
    """Converts decoded frames of sound together, as long as they are of one kind.

    Args:
        path: the file, for errors.
        mix: which channels are averaged.
        levels: measures the channels; None: they are known.
    """

    def __init__(self, path: Path, mix: Mix, levels: ChannelLevels | None) -> None:
        self._path, self._mix, self._levels = path, mix, levels
        self._frames, self._kind, self._cut = list[Any](), ("", 0, False), 0

    def add(self, frame: Any, cut: int = 0, measured: bool = True) -> np.ndarray:
        """Take a frame without its first `cut` samples, and return what is complete: (n,) float32, mono."""
        kind, complete = (frame.format.name, frame.layout.nb_channels, measured), _NOTHING
        if kind != self._kind or cut or len(self._frames) == _JOINED_FRAMES:
            complete, self._kind, self._cut = self.rest(), kind, cut
        self._frames.append(frame)
        return complete

    def rest(self) -> np.ndarray:
        """Return what was added last: (n,) float32, mono."""
        if not self._frames:
            return _NOTHING
        samples, cut = samples_of(self._path, self._frames), self._cut
        self._frames, self._cut = [], 0
        if self._levels is not None and self._kind[-1]:
            self._levels.add(samples)
        return self._mix.mono(samples)[cut:]


def continuous_sound(
    path: Path,
    begin: float,
    end: float,
    number: int | None,
    skipped: list[float] | None,
    mix: Mix,
    levels: ChannelLevels | None,
    start: float,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the sound without gaps, until at least `end` or the end of the sound.

    Args:
        path: the file.
        begin: seconds.
        end: seconds.
        number: of the sound stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.
        mix: which channels are averaged.
        levels: measures the channels from `start` to `end`; None: they are known.
        start: seconds; not before `begin`.

    Yields:
        (sample rate in hertz, (n,) float32 mono samples); n may be 0.

    Raises:
        SopeduError: the sample rate changes or is none, or the timestamps are damaged.
    """
    rate, position, gaps, joined = 0, 0, 0, _Joined(path, mix, levels)
    with closing(decoded_frames(path, "audio", max(0.0, begin - _WARM_UP_SECONDS), number, skipped)) as decoded:
        for time, frame in decoded:
            if rate not in (0, frame.sample_rate):
                raise SopeduError(f"{path}: its sample rate changes at {time:.2f} s; convert it to one rate first")
            rate = frame.sample_rate
            if not 0 < rate <= _HIGHEST_RATE:
                raise SopeduError(f"{path}: its sound has an impossible sample rate of {rate} Hz; convert it to mp4")
            if time >= end + 0.1:
                # Sound continues later, so what is missing in this part is a gap and not the end.
                missing = round((min(end, begin + _LONGEST_GAP_SECONDS) - begin) * rate) - position
                yield rate, joined.rest()
                if missing > 0:
                    yield rate, np.zeros(missing, np.float32)
                return
            jump, cut = round((time - begin) * rate) - position, 0
            if position == 0 and jump < 0:
                cut = -jump  # before `begin`
            elif position == 0 or jump > _GAP_SECONDS * rate:
                gaps += max(0, jump)
                if gaps > _LONGEST_GAP_SECONDS * rate:
                    raise SopeduError(
                        f"{path}: its sound jumps from {begin + position / rate:.2f} s to {time:.2f} s; "
                        "its timestamps are damaged, convert it again"
                    )
                if jump > 0:
                    yield rate, joined.rest()
                    yield rate, np.zeros(jump, np.float32)
                    position += jump
            elif -rate < jump < -_GAP_SECONDS * rate:
                cut = -jump  # repeated; a larger step back is a new clock, and the sound continues
            cut = min(cut, frame.samples)
            position += frame.samples - cut
            if len(samples := joined.add(frame, cut, start <= time < end)):
                yield rate, samples
        yield rate, joined.rest()
