"""A command's surroundings: its output may end before it does, and the system may tell it to end.

What a command writes to a terminal, a pipe or a file is worth less than its results: when that fails, the work goes on.
When the system tells it to end (SIGTERM, or SIGHUP as the terminal is closed), what is unfinished is swept away first.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class _Patient(io.FileIO):
    """An open stream of the process that takes whatever is written, also when it leads nowhere any more."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return size


@contextlib.contextmanager
def patient_streams() -> Iterator[None]:
    """Let a command go on when its output or its messages cannot be written, and show what can be shown.

    A reader that has ended (``| head -1``) has seen enough. Names that are no text are written with escapes.

    Raises:
        SystemExit: with status 1, at the end, if standard output was lost for another reason, such as a full disk.
    """
    before = sys.stdout, sys.stderr
    for number in range(3):  # a closed one: the next file that is opened would take its place, and be written to
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    patient = dict[str, _Patient]()
    for name, number, stream in (("stdout", 1, sys.stdout), ("stderr", 2, sys.stderr)):
        if stream is None or stream is getattr(sys, f"__{name}__") and hasattr(stream, "buffer"):
            encoding = getattr(stream, "encoding", None) or "utf-8"
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.flush()
            patient[name] = _Patient(number, "w", closefd=False)
            interactive = patient[name].isatty()
            lines = io.TextIOWrapper(
                io.BufferedWriter(patient[name]), encoding, "backslashreplace",
                line_buffering=True, write_through=interactive or name == "stderr",
            )  # fmt: skip
            setattr(sys, name, lines)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for name in patient:
            getattr(sys, name).flush()
        sys.stdout, sys.stderr = before
    lost = patient["stdout"].error if "stdout" in patient else None
    if lost is not None and lost.errno != errno.EPIPE:
        with contextlib.suppress(OSError, AttributeError):
            print(f"sopedu: standard output was lost ({lost.strerror}); results in files are whole", file=before[1])
        sys.exit(1)


class Told(SystemExit):
    """The system told this process to end; its exit status is 128 and the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextlib.contextmanager
def ends_tidily() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: what is unfinished is removed on the way out.

    A signal that is ignored, as ``nohup`` has it, stays ignored. A training gives them a meaning of its own.

    Raises:
        Told: such a signal came.
    """

    def end(number: int, frame: FrameType | None) -> None:
        for other in known:
            signal.signal(other, signal.SIG_IGN)  # a second one shall not stop the tidying
        raise Told(number)

    known = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    known = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        known = []
    before = {number: signal.signal(number, end) for number in known}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def restart_where_names_are_no_text() -> None:
    """Start this command again in UTF-8 mode where Python reads names of files as ASCII (``LC_ALL=C``)."""
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii", "ansi_x3.4-1968") and os.name == "posix":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
