"""Read the sound and the pictures of video files, on one clock.

Time zero of a file is the earliest time that can be decoded; all times here are seconds from it, for sound and
pictures alike (`clock` joins timestamps that jump). PyAV decodes (in `decoding`). An open container would make
forked data loader workers hang, so every function opens the file anew and closes it.

A damaged packet is an error, unless the caller passes a list as `skipped`: then everything that can be decoded is
used, and the list receives the times at which something was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from math import floor, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sopedu.audio.channels import ChannelLevels, Mix
from sopedu.audio.resampling import resample_blocks
from sopedu.errors import SopeduError
from sopedu.files import require_file
from sopedu.video.decoding import decoded_frames, shown_frames
from sopedu.video.pictures import Pictures
from sopedu.video.sound import channels_in_use, continuous_sound, sound_end
from sopedu.video.sparing import TIME_TOLERANCE_SECONDS

if TYPE_CHECKING:
    import torch

Converted = TypeVar("Converted")

# Pictures further apart than this are reached by a seek instead of by decoding all between them.
_SEEK_BEYOND_SECONDS = 4.0


def iterate_sound(
    path: str | Path,
    sample_rate: int = 11025,
    start: float = 0.0,
    end: float | None = None,
    stream: int | None = None,
    skipped: list[float] | None = None,
    mix: Mix | None = None,
    levels: ChannelLevels | None = None,
) -> Iterator[np.ndarray]:
    """Yield the sound of a video in blocks of about a second: memory does not grow with the length.

    Together the blocks are what `read_sound` returns. The file stays open while the generator is in use.

    Args:
        path: a video file, or a sound file that PyAV reads (m4a, opus, …).
        sample_rate: rate of the result in hertz.
        start: seconds; where to begin.
        end: seconds; None reads to the end.
        stream: number of the sound stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.
        mix: which channels are averaged; None decodes the part once more to find out, see `sound_channels`.
        levels: measures the channels of the part on the way.

    Yields:
        (n,) float32, mono: the mean of the channels.

    Raises:
        SopeduError: as for `read_sound`.
    """
    path = require_file(path)
    if not 0 <= start < inf or (end is not None and not end > start):
        until = "the end" if end is None else f"{end:g} s"
        raise SopeduError(f"{path}: cannot read from {start:g} s to {until}; start at 0 or later, end after the start")
    end = sound_end(path, stream) if end is None else end
    # A tenth of a second around the part keeps the edges of the resampling filter out of it.
    begin = max(0, floor(start - 0.1))
    left_out = round((start - begin) * sample_rate)
    wanted = inf if end == inf else round((end - start) * sample_rate)
    given = 0
    if end <= start:
        raise SopeduError(f"{path}: has no sound from {start:.2f} s on; start earlier")
    mix = mix or channels_in_use(path, start, end, stream)
    with closing(continuous_sound(path, begin, end, stream, skipped, mix, levels, start)) as pieces:
        rate, first = next(pieces, (0, None))
        blocks = resample_blocks(chain([first], (samples for _, samples in pieces)), rate, sample_rate) if rate else ()
        for block in blocks:
            kept = block[left_out:]
            left_out -= len(block) - len(kept)
            kept = kept[: int(min(wanted - given, len(kept)))]
            given += len(kept)
            if len(kept):
                yield kept
    if not given:
        raise SopeduError(f"{path}: has no sound from {start:.2f} s on; start earlier")


def sound_channels(path: str | Path, start: float = 0.0, end: float | None = None, stream: int | None = None) -> Mix:
    """Return which channels are averaged when a part of a video's sound is read.

    All of them except silent ones. Where they cancel each other out, because one has its sign inverted, the loudest
    one is taken alone.

    Args:
        path: the video file.
        start: seconds; where the part begins.
        end: seconds; None takes the end of the sound.
        stream: number of the sound stream; None takes the default one.

    Raises:
        SopeduError: as for `read_sound`.
    """
    path = require_file(path)
    return channels_in_use(path, start, sound_end(path, stream) if end is None else end, stream)


def read_sound(
    path: str | Path,
    sample_rate: int = 11025,
    start: float = 0.0,
    seconds: float | None = None,
    stream: int | None = None,
) -> np.ndarray:
    """Read the sound of a video as a mono waveform that starts at the video's own time.

    Channels are averaged, see `sound_channels`. Where the sound stream begins later than `start`, or has a gap, there
    are zeros.

    Args:
        path: a video file, or a sound file that PyAV reads (m4a, opus, …).
        sample_rate: rate of the result in hertz.
        start: where to begin, in seconds.
        seconds: how much to read; None reads to the end. Where the sound ends earlier, less is returned.
        stream: number of the sound stream; None takes the default one.

    Returns:
        (L,) float32 with L = round(seconds · sample_rate), or fewer at the end of the sound.

    Raises:
        SopeduError: the file is missing, empty, a folder, not a video, has no sound, none from `start` on, is
            damaged, or its samples are not finite.
    """
    if start < 0 or (seconds is not None and seconds <= 0):
        raise SopeduError(f"{path}: cannot read {seconds} s from {start} s; start at 0 or later, ask for more than 0 s")
    end = None if seconds is None else start + seconds
    return np.concatenate(list(iterate_sound(path, sample_rate, start, end, stream)))


def frames_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Turn pictures into frames as a model takes them.

    Args:
        pictures: ``(S, H, W, 3)`` uint8.

    Returns:
        ``(S, 3, H, W)`` uint8.
    """
    import torch

    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def iterate_frames(
    path: str | Path,
    start: float = 0.0,
    end: float | None = None,
    stream: int | None = None,
    skipped: list[float] | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield every picture that begins in [start, end), one at a time: memory does not grow with the length.

    The file stays open while the generator is in use: finish or close it before starting data loader workers.

    Args:
        path: the video file.
        start: seconds.
        end: seconds; None reads to the end.
        stream: number of the picture stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.

    Yields:
        (time in seconds, (H, W, 3) uint8 RGB picture, upright); all have the size of the first one.

    Raises:
        SopeduError: as for `read_frames`.
    """
    path, size = require_file(path), None
    pictures = Pictures(path)
    with closing(decoded_frames(path, "video", max(0.0, start), stream, skipped)) as decoded:
        for time, frame in decoded:
            if end is not None and time >= end - TIME_TOLERANCE_SECONDS:
                return
            if time >= start - TIME_TOLERANCE_SECONDS:
                picture = pictures.rgb(frame, size)
                size = picture.shape[:2]
                yield time, picture


def frames_at(
    path: str | Path,
    times: Sequence[float] | np.ndarray,
    size: tuple[int, int] | None = None,
    stream: int | None = None,
    skipped: list[float] | None = None,
) -> Iterator[np.ndarray]:
    """Yield the pictures that are shown at ascending times, one at a time: `read_frames` for a long list.

    Args:
        path: the video file.
        times: seconds, ascending.
        size: (height, width) to scale to, in pixels; None keeps the picture's own size.
        stream: number of the picture stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.

    Yields:
        (H, W, 3) uint8, RGB, upright.

    Raises:
        SopeduError: as for `read_frames`.
    """
    path = require_file(path)
    pictures = Pictures(path)

    def converted(frame: Any) -> np.ndarray:
        nonlocal size
        picture = pictures.rgb(frame, size)
        size = picture.shape[:2]
        return picture

    yield from shown_at(times, lambda start: decoded_frames(path, "video", start, stream, skipped), converted)


def jpegs_at(
    path: str | Path,
    times: Sequence[float] | np.ndarray,
    size: tuple[int, int],
    quality: int,
    stream: int | None = None,
    skipped: list[float] | None = None,
) -> Iterator[bytes]:
    """Yield the pictures that are shown at ascending times as JPEG files, with less work than `frames_at`.

    Args:
        path: the video file.
        times: seconds, ascending.
        size: (height, width) to scale to, in pixels.
        quality: of the JPEG files.
        stream: number of the picture stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.

    Yields:
        JPEG files; the same object again for a picture that is shown for longer.

    Raises:
        SopeduError: as for `read_frames`.
    """
    path = require_file(path)
    pictures = Pictures(path)
    yield from shown_at(
        times,
        lambda start: shown_frames(path, times, start, stream, skipped),
        lambda frame: pictures.jpeg(frame, size, quality),
    )


def shown_at(
    times: Sequence[float] | np.ndarray,
    decode: Callable[[float], Iterator[tuple[float, Any]]],
    convert: Callable[[Any], Converted],
) -> Iterator[Converted]:
    """Yield what is shown at ascending times, converted once per picture.

    Args:
        times: seconds, ascending.
        decode: called with a time to begin at; yields (time in seconds, frame).
        convert: called with each frame that is shown.
    """
    decoded, upcoming, shown, converted = None, None, None, None
    try:
        for time in times:
            if decoded is None or (upcoming is not None and time > upcoming[0] + _SEEK_BEYOND_SECONDS):
                if decoded is not None:
                    decoded.close()
                decoded = decode(max(0.0, time))
                upcoming, shown = next(decoded), None
            while upcoming is not None and (shown is None or upcoming[0] <= time + TIME_TOLERANCE_SECONDS):
                shown, converted = upcoming[1], None
                upcoming = next(decoded, None)
            if converted is None:
                converted = convert(shown)
            yield converted
    finally:
        if decoded is not None:
            decoded.close()


def read_frames(
    path: str | Path, times: Sequence[float], size: tuple[int, int] | None = None, stream: int | None = None
) -> np.ndarray:
    """Read the pictures that are shown at the given times.

    The picture at a time is the last one that begins not later (within a millisecond); before the first
    picture it is the first, past the end the last. Times may come in any order and repeat.

    Args:
        path: the video file.
        times: seconds, S of them.
        size: (height, width) to scale to, in pixels; None keeps the picture's own size.
        stream: number of the picture stream; None takes the default one.

    Returns:
        (S, H, W, 3) uint8, RGB, turned upright where the file says how.

    Raises:
        SopeduError: the file is missing, empty, a folder, not a video, has no pictures, pictures without size or
            with more than 8192 px on a side, or is damaged.
    """
    path = require_file(path)
    wanted = np.asarray(times, dtype=np.float64)
    if wanted.ndim != 1 or wanted.size == 0 or not np.isfinite(wanted).all():
        raise SopeduError(f"{path}: no times to read pictures at; give a list of seconds")
    order = np.argsort(wanted, kind="stable")
    pictures: list[Any] = [None] * len(wanted)
    with closing(frames_at(path, wanted[order], size, stream)) as shown:
        for index, picture in zip(order, shown, strict=True):
            pictures[index] = picture
    return np.stack(pictures)
