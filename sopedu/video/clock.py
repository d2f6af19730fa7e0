"""One clock for the sound and the pictures of a file, even if its timestamps begin anywhere, jump or wrap.

Timestamps may start below zero, go back to zero in the middle, or jump (the 33-bit clock of a transport stream wraps
after 26.5 hours; joined recordings have one clock each). All packets of a file are read once; only the first picture
and sound are decoded. Where the timestamps of all streams jump together, the later part is moved next to the earlier
one, by the same shift for all streams, so that they stay in sync.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

from sopedu.errors import SopeduError
from sopedu.video.streams import moving_pictures, opened, seconds_of, sounds
from sopedu.video.time_limit import check_time

# Timestamps that go back by more than this are a new clock; less is a packet that overlaps or is out of order.
_BACK_SECONDS = 1.0
# A picture may be stored this many pictures before it is shown.
_REORDERED_PICTURES = 16
# Where sound and pictures both pause for longer than this, the clock has jumped; this is not a gap.
_JUMP_SECONDS = 10.0
# A file with only pictures or only sound may have longer gaps, such as a slide show.
_LONE_JUMP_SECONDS = 600.0
# Fewer packets than this with timestamps of their own are damaged packets, not a new clock.
_STRAY_PACKETS = 4
# While one stream has jumped, the others may lag behind it in the file by this much.
_LAG_SECONDS = 5.0
_TRIED_PACKETS = 100
_WARM_UP_SECONDS = 0.05


@dataclass(frozen=True)
class Clock:
    """When the streams of a file begin and end, in seconds from `zero`.

    Attributes:
        zero: the earliest time that can be decoded, in the file's own timestamps.
        end: when the last picture or sound ends.
        announced: the length that the header states if that is longer than the file; otherwise equal to `end`.
        starts: number of a picture or sound stream → when it begins.
        ends: number of a stream → when it ends.
        usual: number of a picture stream → the usual duration of a picture in seconds.
        shifts: number of a stream → (first packet, seconds to add) in turn; None seconds: the timestamp is damaged.
        decoding_order: picture streams whose timestamps are decoding times, not display times.
        jumps: (time, seconds) of every jump that was closed.
    """

    zero: float = 0.0
    end: float = 0.0
    announced: float = 0.0
    starts: dict[int, float] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    usual: dict[int, float] = field(default_factory=dict)
    shifts: dict[int, tuple[tuple[int, float | None], ...]] = field(default_factory=dict)
    decoding_order: frozenset[int] = frozenset()
    jumps: tuple[tuple[float, float], ...] = ()

    def can_seek(self, number: int) -> bool:
        """Return whether every time belongs to exactly one place in the file, so that seeking works.

        Args:
            number: of the stream.
        """
        return len(self.shifts.get(number, ())) <= 1 and number not in self.decoding_order

    def retimed(self, packets: Iterator[Any], number: int) -> Iterator[Any]:
        """Yield the packets of a stream with their timestamps on this clock.

        Args:
            packets: PyAV's; from the start of the stream on unless `can_seek` holds.
            number: of the stream.
        """
        shifts, shift = list(self.shifts.get(number, ())), 0.0
        if not shifts:
            yield from packets
            return
        for count, packet in enumerate(packets):
            while shifts and shifts[0][0] <= count:
                shift = shifts.pop(0)[1]
            if shift is None:
                packet.pts = packet.dts = None
            elif shift and packet.time_base:
                ticks = round(shift / packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


def clock_of(path: Path) -> Clock:
    """Return the clock of a file, which is read once, and again only after it has changed.

    Args:
        path: the file.

    Raises:
        SopeduError: it cannot be read, or grows while it is read.
    """
    state = os.stat(path)
    clock = _looked_through(path, path.absolute(), state.st_mtime_ns, state.st_size)
    if os.stat(path).st_size != state.st_size:
        raise SopeduError(f"{path}: is still being written; wait until it is complete")
    return clock


class _Epoch:
    """A part of a file in which no timestamp jumps; times in seconds as the file states them."""

    def __init__(self, start: float, back: bool, before: float) -> None:
        self.start = self.end = start
        self.back, self.before = back, before  # before: the time that the epoch before it had reached
        self.streams: set[int] = set()
        self.stray = False


class _Stream:
    """What is known about one stream while the packets of a file are read."""

    def __init__(self, stream: Any) -> None:
        self.number, self.is_picture, self.base = stream.index, stream.type == "video", stream.time_base
        rate = (stream.average_rate or stream.guessed_rate) if self.is_picture else None
        self.usual = float(1 / rate) if rate else 0.0
        self.reorders = bool(self.is_picture and stream.codec_context.has_b_frames)
        self.back = max(_BACK_SECONDS, _REORDERED_PICTURES * self.usual if self.is_picture else 0.0)
        self.count = self.here = self.tried = 0  # packets so far, those in this epoch, those tried to decode
        self.epoch: int | None = None
        self.top = self.left = -inf  # the time it has reached here, and had reached in the epoch before
        self.changes: list[tuple[int, int]] = []  # (number of packet, epoch)
        self.tops: dict[int, float] = {}
        self.first_dts: float | None = None
        self.first_pts: float | None = None
        self.before_stamps = 0  # packets before the first one with a timestamp
        self.header_end = inf  # as an exact header states it: padding is left out
        self.padding = 0.0
        self.has_pts = False
        self.last, self.rising = -inf, True
        self.first_shown: float | None = None


@lru_cache(maxsize=64)
def _looked_through(path: Path, _absolute: Path, _changed: int, _size: int) -> Clock:
    import av

    epochs: list[_Epoch] = []
    other_end = 0.0  # of subtitles and the like
    with opened(path) as container:
        seen = {stream.index: _Stream(stream) for stream in (*moving_pictures(container), *sounds(container))}
        packets = container.demux()
        while True:
            check_time()
            try:
                packet = next(packets, None)
            except (av.FFmpegError, IndexError):  # the rest cannot be decoded either
                break
            if packet is None:
                break
            stamp = packet.pts if packet.pts is not None else packet.dts
            stream = seen.get(packet.stream_index)
            base = stream.base if stream is not None else packet.time_base
            lasting = seconds_of(packet.duration or 0, base) if base else 0.0
            if stream is None:
                if stamp is not None and base:
                    other_end = max(other_end, seconds_of(stamp, base) + lasting)
                continue
            if stamp is not None and base:
                _place(stream, epochs, packet, seconds_of(stamp, base), lasting)
            elif stream.first_pts is None and packet.size:
                stream.before_stamps += 1
            if stream.first_shown is None and stream.tried < _TRIED_PACKETS:
                stream.tried += 1
                try:
                    # In a damaged file a stream may become another kind: then nothing can decode it.
                    frames = packet.decode() if hasattr(packet.stream, "decode") else []
                except av.FFmpegError:
                    frames = []
                if frames and frames[0].time is not None:
                    stream.first_shown = float(frames[0].time)
            stream.count += 1
        header = [container.duration / 1_000_000] if container.duration else []
        lengths = [s.duration and float(((s.start_time or 0) + s.duration) * s.time_base) for s in container.streams]
        lengths = [length for s, length in zip(container.streams, lengths, strict=True) if s.index in seen]
        if lengths and all(lengths):
            header.append(max(lengths))
        for stream in container.streams.audio if "mp4" in container.format.name else ():
            if stream.index in seen and stream.duration and stream.rate:
                seen[stream.index].header_end = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
                seen[stream.index].padding = 2 * (stream.codec_context.frame_size or 0) / stream.rate
        is_avi, begin = container.format.name == "avi", max(0, container.start_time or 0) / 1_000_000
    return _clock(seen, epochs, header, other_end, is_avi, begin)


def _place(stream: _Stream, epochs: list[_Epoch], packet: Any, time: float, lasting: float) -> None:
    """Find the epoch of a packet, a new one where its stream's timestamps jump."""
    stream.rising &= time > stream.last
    stream.last = time
    if stream.first_pts is None:
        stream.first_pts = time
        stream.first_dts = seconds_of(packet.dts, stream.base) if packet.dts is not None else None
    stream.has_pts |= packet.pts is not None
    lasting = lasting or stream.usual
    at = stream.epoch
    if at is None:
        if not epochs:
            epochs.append(_Epoch(time, False, time))
        at = next((n for n in reversed(range(len(epochs))) if _fits(epochs[n], time)), len(epochs) - 1)
    elif at and _is_stray(stream, epochs[at]) and abs(time - stream.left) < min(abs(time - stream.top), _JUMP_SECONDS):
        epochs[at].stray = True  # it continues where it left the epoch before
        at = stream.changes[-2][1]
    elif time < stream.top - stream.back or time > stream.top + _JUMP_SECONDS:
        back = time < stream.top
        later = (n for n in range(at + 1, len(epochs)) if not epochs[n].stray and _fits(epochs[n], time))
        at = next(later, len(epochs))
        if at == len(epochs):
            epochs.append(_Epoch(time, back, epochs[stream.epoch].end))
    epoch = epochs[at]
    if at != stream.epoch:
        stream.left, stream.top, stream.here = stream.top, stream.tops.get(at, -inf), 0
        stream.epoch = at
        stream.changes.append((stream.count, at))
    stream.here += 1
    epoch.streams.add(stream.number)
    epoch.start = min(epoch.start, time)
    stream.top = stream.tops[at] = max(stream.top, time + lasting)
    epoch.end = max(epoch.end, stream.top)


def _is_stray(stream: _Stream, epoch: _Epoch) -> bool:
    return epoch.streams == {stream.number} and stream.here < _STRAY_PACKETS and len(stream.changes) > 1


def _fits(epoch: _Epoch, time: float) -> bool:
    return epoch.start - _JUMP_SECONDS <= time <= epoch.end + _JUMP_SECONDS


def _clock(
    seen: dict[int, _Stream],
    epochs: list[_Epoch],
    header: list[float],
    other_end: float,
    is_avi: bool,
    begin: float,
) -> Clock:
    """Join the epochs, and find where each stream begins and ends."""
    shifts, jumps = _shifts(epochs, len({stream.is_picture for stream in seen.values()}) == 2)
    changes: dict[int, tuple[tuple[int, float | None], ...]] = {}
    ends, starts, decoding_order = {}, {}, set()
    for number, stream in seen.items():
        reached = [top + shifts[at] for at, top in stream.tops.items() if shifts[at] is not None]
        if not reached:
            continue
        # FFmpeg does not report negative times in a Matroska file.
        start = stream.first_pts - stream.before_stamps * stream.usual
        if stream.first_shown is not None and not stream.before_stamps:
            start = stream.first_shown
        delay = 0.0
        if stream.is_picture and stream.first_dts is not None and (is_avi or not stream.has_pts):
            # An avi numbers its pictures in decoding order; FFmpeg guesses when they are shown.
            if stream.reorders and stream.rising:
                decoding_order.add(number)
                start = stream.first_pts
            delay = start - stream.first_dts
        own = [(count, None if shifts[at] is None else shifts[at] - delay) for count, at in stream.changes]
        own = [change for place, change in enumerate(own) if place == 0 or change[1] != own[place - 1][1]]
        if len(own) > 1 or own[0][1]:
            changes[number] = tuple(own)
        ends[number] = max(reached) - delay
        if len(own) == 1 and ends[number] - stream.padding <= stream.header_end < ends[number]:
            ends[number] = stream.header_end
        starts[number] = start - delay + (shifts[stream.changes[0][1]] or 0.0)
    zero = min(starts.values(), default=0.0)
    if begin <= zero < begin + _WARM_UP_SECONDS:  # a decoder's first packets may give no sound
        zero = begin
    end = max(ends.values(), default=zero) - zero
    # A header may count from the file's beginning or from 0, and include subtitles: the shortest reading is taken.
    lengths = [length - begin for length in header for begin in (0.0, zero) if length > begin]
    announced = 0.0 if jumps else min(lengths, default=0.0)
    return Clock(
        zero=zero,
        end=end,
        announced=announced if announced > max(end, other_end - zero) else end,
        starts={number: value - zero for number, value in starts.items()},
        ends={number: value - zero for number, value in ends.items()},
        usual={number: stream.usual for number, stream in seen.items()},
        shifts=changes,
        decoding_order=frozenset(decoding_order),
        jumps=tuple((time - zero, gap) for time, gap in jumps),
    )


def _shifts(epochs: list[_Epoch], both: bool) -> tuple[list[float | None], list[tuple[float, float]]]:
    """Return what is added to the times of every epoch (None: damaged), and (time, seconds) of every jump."""
    largest_gap = _JUMP_SECONDS if both else _LONE_JUMP_SECONDS
    shifts: list[float | None] = []
    jumps, before, shift = [], None, 0.0
    for epoch in epochs:
        if before is not None and not epoch.stray:
            # Where only one stream goes back, it does not continue at the end of the others.
            came_to = epoch.before if epoch.back and before.end > epoch.before + _LAG_SECONDS else before.end
            gap = epoch.start - came_to
            if epoch.back or gap > largest_gap:
                jumps.append((came_to + shift, gap))
                shift -= gap
        shifts.append(None if epoch.stray else shift)
        before = before if epoch.stray else epoch
    return shifts, jumps
