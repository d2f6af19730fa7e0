"""Signals during a training: Ctrl-C and SIGTERM end it after the step that it is in."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sopedu.training.run import Run


@contextmanager
def gentle_signals(run: Run) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and the first Ctrl-C end the run after its step; a second Ctrl-C ends it at once.

    Args:
        run: gets ``stop`` and the reason.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        run.stop = True
        if number != signal.SIGINT:
            run.terminated = True
        else:
            run.interrupted = True
            if run.processes == 1:  # a launcher repeats a Ctrl-C that its processes have already got themselves
                signal.signal(signal.SIGINT, signal.default_int_handler)

    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)  # Windows has none, and nohup ignores it
    numbers = {signal.SIGTERM, signal.SIGINT, *([hangup] if signal.getsignal(hangup) != signal.SIG_IGN else [])}
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals_to_the_parent(_: int) -> None:
    """Make a loader's worker ignore signals that go to the whole process group: the parent decides.

    Args:
        _: number of the worker; unused.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
