"""Decode pictures and sound on the clock of the file: the module that calls PyAV, and through it FFmpeg.

`reading` holds the functions for users, `sound` makes a waveform of decoded sound. Here a stream is chosen, packets are
decoded from a given time on, timestamps are put in order, and FFmpeg's errors about a damaged file become one line with
its name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError
from sopedu.video.clock import Clock, clock_of
from sopedu.video.sparing import TIME_TOLERANCE_SECONDS, Doubtful, Sparing
from sopedu.video.streams import KINDS, check_size, chosen_stream, opened, seconds_of
from sopedu.video.time_limit import check_time


class _FrameTimes:
    """When the decoded frames of a stream begin, in seconds on the clock of the file.

    As FFmpeg does it: a picture's own time counts, unless such times have gone back more often than those of decoding.
    Where packets have decoding times only, the n-th picture shown gets the n-th of these times.
    """

    def __init__(self, stream: Any, clock: Clock) -> None:
        self._is_video, self._zero, self._usual = stream.type == "video", clock.zero, clock.usual.get(stream.index, 0.0)
        self._base = stream.time_base
        self._following = clock.starts.get(stream.index, 0.0)  # taken for a frame without a time of its own
        self._waiting: deque[int] | None = deque() if stream.index in clock.decoding_order else None
        self._last: dict[str, float] = {"pts": -inf, "dts": -inf}
        self._wrong = {"pts": 0, "dts": 0}

    def fed(self, packet: Any) -> None:
        """Note the time of a packet before it is decoded."""
        if self._is_video and self._waiting is not None and packet.size and packet.pts is not None:
            self._waiting.append(packet.pts)

    def of(self, frame: Any) -> float:
        """Return the time of the next decoded frame."""
        if self._is_video:
            ticks = self._ticks(frame)
            time = seconds_of(ticks, self._base) - self._zero if ticks is not None else self._following
            self._following = time + self._usual
        else:
            time = frame.time - self._zero if frame.time is not None else self._following
            self._following = time + frame.samples / (frame.sample_rate or inf)
        return time

    def _ticks(self, frame: Any) -> int | None:
        if self._waiting:
            if frame.key_frame and frame.pts is not None:  # earlier entries that are left were never decoded
                while self._waiting[0] < frame.pts and len(self._waiting) > 1:
                    self._waiting.popleft()
            return self._waiting.popleft()
        for kind in ("pts", "dts"):
            if (ticks := getattr(frame, kind)) is not None:
                self._wrong[kind] += ticks <= self._last[kind]
                self._last[kind] = ticks
        trusted = frame.dts is None or self._wrong["pts"] <= self._wrong["dts"]
        return frame.pts if trusted and frame.pts is not None else frame.dts


def decoded_frames(
    path: Path,
    kind: str,
    start: float,
    number: int | None = None,
    skipped: list[float] | None = None,
    threads: bool = True,
    times: Sequence[float] | np.ndarray | None = None,
) -> Iterator[tuple[float, Any]]:
    """Yield the decoded frames of a stream from a time on, or from a little earlier.

    Some formats seek inexactly and would begin after `start`: then an earlier time is tried, at last the beginning.

    Args:
        path: the file.
        kind: "audio" or "video".
        start: seconds on the clock of the file.
        number: of the stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.
        threads: decode several pictures at a time; one thread is slower, but takes less work in all.
        times: ascending, in seconds: pictures shown at none of them may be left out; None gives every picture. Only
            with one thread.

    Yields:
        (time in seconds, PyAV's frame), in the order in which they are shown.

    Raises:
        SopeduError: there is no such stream, it is damaged, or nothing in it can be decoded.
        Doubtful: pictures must not be left out.
    """
    clock = clock_of(path)
    for seek_to in (start, start - 2, start - 10, 0.0):
        with opened(path) as container:
            stream = _required_stream(path, container, kind, number)
            stream.thread_type = "AUTO" if threads else "NONE"
            from_beginning = seek_to <= 0 or not clock.can_seek(stream.index)
            if not from_beginning and not _sought(container, stream, seek_to + clock.zero):
                continue
            begun = False
            sparing = None if times is None else Sparing(stream, clock, times)
            with closing(_decoded(path, container, stream, clock, from_beginning, skipped, sparing)) as frames:
                for time, frame in frames:
                    if not begun and not from_beginning and time > start + TIME_TOLERANCE_SECONDS:
                        break
                    begun = True
                    yield time, frame
            if begun:
                return
        if from_beginning:
            raise SopeduError(f"{path}: nothing in its {KINDS[kind]} stream can be decoded; convert it to mp4")


def shown_frames(
    path: Path,
    times: Sequence[float] | np.ndarray,
    start: float,
    number: int | None = None,
    skipped: list[float] | None = None,
) -> Iterator[tuple[float, Any]]:
    """Yield the decoded pictures of `decoded_frames` that are shown at some times, and some others, with less work.

    Args:
        path: the file.
        times: ascending, in seconds.
        start: seconds on the clock of the file.
        number: of the stream; None takes the default one.
        skipped: takes the times of damaged packets; None makes them an error.

    Yields:
        (time in seconds, PyAV's frame), in the order in which they are shown.

    Raises:
        SopeduError: as for `decoded_frames`.
    """
    last, stamp = -inf, None
    with (
        suppress(Doubtful, SopeduError),
        closing(decoded_frames(path, "video", start, number, None, threads=False, times=times)) as frames,
    ):
        for last, frame in frames:
            stamp = frame.pts
            yield last, frame
        return
    # In doubt all is decoded, and goes on after the last picture that was given; an error comes again, or is skipped.
    going_on = False
    with closing(decoded_frames(path, "video", start, number, skipped, threads=False)) as frames:
        for time, frame in frames:
            if going_on or time > last:
                going_on = True
                yield time, frame
            going_on |= frame.pts == stamp


def _required_stream(path: Path, container: Any, kind: str, number: int | None) -> Any:
    """Choose a stream and check its size."""
    stream = chosen_stream(path, container, kind, number)
    if stream is None:
        has = {"video": "pictures", "audio": "sound"}
        other = [has[s.type] for s in container.streams if s.type in has and s.type != kind]
        found = f"it holds {other[0]} only" if other else "nothing that can be decoded was found"
        raise SopeduError(f"{path}: has no {has[kind]}, {found}; choose a video with {has[kind]}")
    if kind == "video":
        check_size(path, stream.width, stream.height)
    return stream


def _sought(container: Any, stream: Any, seconds: float) -> bool:
    """Go to a time as the file's timestamps count it, and return whether that was possible."""
    import av

    try:
        container.seek(int(seconds / stream.time_base), stream=stream)
    except av.FFmpegError:
        return False
    return True


def _decoded(
    path: Path,
    container: Any,
    stream: Any,
    clock: Clock,
    from_beginning: bool,
    skipped: list[float] | None,
    sparing: Sparing | None,
) -> Iterator[tuple[float, Any]]:
    """Decode a stream from where its container stands: (time in seconds, frame)."""
    import av

    begun, time, first_key, times = False, 0.0, None, _FrameTimes(stream, clock)
    packets = clock.retimed(container.demux(stream), stream.index)
    if sparing is not None:
        packets = sparing.told(packets)
    while True:
        check_time()
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError) as error:  # IndexError: a stream that no header announced
            if skipped is None or not begun:
                said = getattr(error, "strerror", error)
                raise SopeduError(f"{path}: is damaged from {time:.2f} s on ({said}); copy it again") from error
            packet = None
            skipped.append(time)
        if packet is None:
            return
        times.fed(packet)
        if first_key is None and packet.is_keyframe and packet.pts is not None and not from_beginning:
            first_key = packet.pts
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if not (begun or from_beginning):
                continue  # a seek may land in the middle of a packet
            if skipped is None:
                raise
            skipped.append(time)
            continue
        for frame in frames:
            if sparing is not None:
                sparing.check(frame)
            # Pictures shown before the first key picture need what came before the place of the seek.
            early = first_key is not None and frame.pts is not None and frame.pts < first_key
            if not (early and stream.type == "video"):
                time, begun = times.of(frame), True
                yield time, frame
