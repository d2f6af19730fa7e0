"""Decode only what is shown at given times: a picture that no other one refers to is otherwise left out.

Every picture that is decoded is exact. Where a file gives any reason to doubt that (a damaged packet, timestamps that
are not those of display), `Doubtful` is raised, and all of the file is decoded instead.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Any

import numpy as np

from sopedu.video.clock import Clock
from sopedu.video.streams import seconds_of

# Timestamps may be rounded to milliseconds: a picture that begins this little after a time is the one meant.
TIME_TOLERANCE_SECONDS = 0.001
_ROUNDING_SECONDS = 1e-6
# Packets that are looked at on both sides of one to find out which picture is shown next. Formats reorder 16 at most;
# where more are reordered, a picture seems to be shown for longer, and more is decoded than is needed.
_WINDOW = 32


class Doubtful(Exception):
    """All pictures of this file must be decoded."""


class Sparing:
    """Tells a decoder which packets it may leave out, and checks that what is needed comes out.

    Args:
        stream: PyAV's, of pictures, decoded in one thread.
        clock: of the file.
        times: at which pictures are shown; seconds, ascending.
    """

    def __init__(self, stream: Any, clock: Clock, times: Sequence[float] | np.ndarray) -> None:
        self._context, self._base, self._zero = stream.codec_context, stream.time_base, clock.zero
        self._times = (np.asarray(times, dtype=np.float64) + TIME_TOLERANCE_SECONDS).tolist()
        self._order: list[int] = []  # timestamps in the window, ascending
        self._awaited: list[int] = []  # heap of the timestamps of pictures that must come out
        self._last = -inf

    def told(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Yield packets; before each, the decoder is told whether its picture is needed.

        Args:
            packets: of the stream.

        Raises:
            Doubtful: a packet has no timestamp, or that of another one; or a picture that is needed did not come.
        """
        ahead, behind = deque[Any](), deque[int]()
        first_key = first = highest = None
        reordered, more = False, True
        while more or ahead:
            while more and len(ahead) <= _WINDOW:
                packet = next(packets, None)
                more = packet is not None
                if more:
                    self._enter(packet)
                    ahead.append(packet)
            if not ahead:
                break
            packet = ahead.popleft()
            if not packet.size:  # at the end: the decoder gives what it holds
                yield packet
                continue
            stamp = packet.pts
            if first_key is None and packet.is_keyframe:
                first_key = stamp
            # Only where pictures are stored in another order are timestamps known to be those of display.
            reordered |= highest is not None and stamp < highest
            highest = stamp if highest is None else max(highest, stamp)
            needed = first is None or stamp < first or self._is_shown(stamp)
            first = stamp if first is None else min(first, stamp)
            if needed and first_key is not None and stamp >= first_key:
                heappush(self._awaited, stamp)
            self._context.skip_frame = "DEFAULT" if needed or not reordered else "NONREF"
            yield packet
            behind.append(stamp)
            if len(behind) > _WINDOW:
                del self._order[bisect_left(self._order, behind.popleft())]
        if self._awaited:
            raise Doubtful

    def _enter(self, packet: Any) -> None:
        if not packet.size:
            return
        if packet.pts is None or packet.pts in self._order:
            raise Doubtful
        insort(self._order, packet.pts)

    def _is_shown(self, stamp: int) -> bool:
        """Return whether one of the times may fall between this picture and the next one."""
        place = bisect_right(self._order, stamp)
        end = self._seconds(self._order[place]) if place < len(self._order) else inf
        place = bisect_left(self._times, self._seconds(stamp) - _ROUNDING_SECONDS)
        return place < len(self._times) and self._times[place] < end + _ROUNDING_SECONDS

    def _seconds(self, stamp: int) -> float:
        return seconds_of(stamp, self._base) - self._zero

    def check(self, frame: Any) -> None:
        """Take note of a picture that comes out of the decoder.

        Args:
            frame: PyAV's.

        Raises:
            Doubtful: it is damaged, comes in the wrong order, or one that is needed did not come before it.
        """
        if frame.pts is None or frame.pts <= self._last or frame.is_corrupt:
            raise Doubtful
        if frame.interlaced_frame:  # its two halves may be two packets
            raise Doubtful
        self._last = frame.pts
        if self._awaited and self._awaited[0] < frame.pts:
            raise Doubtful
        if self._awaited and self._awaited[0] == frame.pts:
            heappop(self._awaited)
