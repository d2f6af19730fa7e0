"""Run a command: one-line errors, lost output, and signals that end it.

Results in files matter more than printed text: if a command cannot print, it keeps working. If the system ends it
(SIGTERM, or SIGHUP when the terminal closes), it removes unfinished files first. The commands in `tools/` run
the same way.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from sopedu.errors import SopeduError


def run_command(app: Callable[..., Any]) -> None:
    """Run a Typer app on the arguments of this process; print a `SopeduError` as one line.

    Args:
        app: called with ``standalone_mode=False``; returns the exit status of ``typer.Exit``, or None.

    Raises:
        SystemExit: status 2 for wrong usage or bad input, 130 after Ctrl-C, 128 + the signal's number after SIGTERM or
            SIGHUP, or the status that the command chose with ``typer.Exit``.
    """
    _restart_in_utf8_mode()
    with tolerant_streams():
        if not sys.stderr.isatty():
            os.environ.setdefault("TQDM_MININTERVAL", "10")  # in a log file: one line every ten seconds is enough
        try:
            with signals_raise():
                status = app(standalone_mode=False)
        except Terminated as end:
            _leave(f"ended by {end.name}; unfinished files are removed", int(end.code))
        except SopeduError as error:
            _leave(str(error), 2)
        except Exception as error:
            if not hasattr(error, "format_message"):  # Typer's usage errors have this attribute
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
                sys.exit(2)
            _leave(f"{error.format_message()} (see --help)", 2)
        if status == 130:  # Typer turns Ctrl-C into this status and prints nothing
            _leave("interrupted", 130)
        if isinstance(status, int) and status:
            sys.exit(status)


def _leave(message: str, status: int) -> NoReturn:
    """Print one line, whatever line breaks a file name may hold, and exit."""
    print("sopedu:", *message.split(), file=sys.stderr)
    sys.exit(status)


class _TolerantFile(io.FileIO):
    """A stream of the process that accepts every write, also after its reader or its disk is gone."""

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
def tolerant_streams() -> Iterator[None]:
    """Let a command continue if its output or messages cannot be written.

    A closed pipe (``| head -1``) is no error. File names that are not valid text are printed with escapes.

    Raises:
        SystemExit: status 1, at the end, if standard output was lost for another reason, such as a full disk.
    """
    before = sys.stdout, sys.stderr
    for number in range(3):  # else the next opened file would get the number of a closed stream, and its output
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    files = dict[str, _TolerantFile]()
    for name, number, stream in (("stdout", 1, sys.stdout), ("stderr", 2, sys.stderr)):
        if stream is None or stream is getattr(sys, f"__{name}__") and hasattr(stream, "buffer"):
            files[name] = _replace_stream(name, number, stream)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for name in files:
            getattr(sys, name).flush()
        sys.stdout, sys.stderr = before
    lost = files["stdout"].error if "stdout" in files else None
    if lost is not None and lost.errno != errno.EPIPE:
        with contextlib.suppress(OSError, AttributeError):
            print(f"sopedu: standard output was lost ({lost.strerror}); results in files are complete", file=before[1])
        sys.exit(1)


def _replace_stream(name: str, number: int, stream: Any) -> _TolerantFile:
    """Replace ``sys.stdout`` or ``sys.stderr`` by a tolerant stream."""
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.flush()
    file = _TolerantFile(number, "w", closefd=False)
    lines = io.TextIOWrapper(
        io.BufferedWriter(file), getattr(stream, "encoding", None) or "utf-8", "backslashreplace",
        line_buffering=True, write_through=file.isatty() or name == "stderr",
    )  # fmt: skip
    setattr(sys, name, lines)
    return file


class Terminated(SystemExit):
    """This process got a signal that ends it.

    Args:
        number: the signal's number; the exit status is 128 + this number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that unfinished files are removed on the way out.

    An ignored signal (``nohup``) stays ignored. A training installs its own handlers.

    Raises:
        Terminated: such a signal came.
    """

    def end(number: int, frame: FrameType | None) -> None:
        for other in known:
            signal.signal(other, signal.SIG_IGN)  # a second one must not stop the removal
        raise Terminated(number)

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


def _restart_in_utf8_mode() -> None:
    """Start this command again in UTF-8 mode if Python decodes file names as ASCII (``LC_ALL=C``)."""
    if sys.getfilesystemencoding().lower() in ("ascii", "us-ascii", "ansi_x3.4-1968") and os.name == "posix":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
