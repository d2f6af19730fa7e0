"""A limit on the time that one film may take: with every packet it is asked whether the time is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic

# So long after its limit a film is still at one packet: the decoder hangs.
_GRACE_SECONDS = 60.0


class OutOfTime(Exception):
    """A film has taken longer than it may; the text says so."""


class TimeLimit:
    """Counts the time of one film from now on.

    Args:
        seconds: that it may take; may be changed later.
        hanging: called by a watching thread before the process ends because a decoder hangs.
    """

    def __init__(self, seconds: float, hanging: Callable[[], object]) -> None:
        self.seconds, self.hanging, self._begin = seconds, hanging, monotonic()

    def is_over(self, grace: float = 0.0) -> bool:
        """Return whether the film has taken longer.

        Args:
            grace: seconds that it gets in addition.
        """
        return monotonic() - self._begin > self.seconds + grace


_current: ContextVar[TimeLimit | None] = ContextVar("current time limit", default=None)
_running: set[TimeLimit] = set()


@contextmanager
def limited(limit: TimeLimit) -> Iterator[None]:
    """Let a limit count for what is read in the block, in this thread.

    Args:
        limit: of the film.
    """
    token = _current.set(limit)
    _running.add(limit)
    try:
        yield
    finally:
        _running.discard(limit)
        _current.reset(token)


def check_time() -> None:
    """Stop a film whose time is over.

    Raises:
        OutOfTime: it is.
    """
    limit = _current.get()
    if limit is not None and limit.is_over():
        raise OutOfTime(f"took longer than {limit.seconds:.0f} s; give it more time with --time-limit")


def hanging() -> list[TimeLimit]:
    """Return the limits of this process that ended a minute ago: their decoders have not come back."""
    return [limit for limit in list(_running) if limit.is_over(_GRACE_SECONDS)]
