"""A run that is killed by the system at a chosen moment; imported by a child process, so it loads little."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sopedu.datasets.ledger import Log
from sopedu.datasets.packing import pack
from sopedu.datasets.preparing import prepare


def killed_at(event: int) -> None:
    """Kill this process before or after the given one of the calls that change the disk, counted from now on."""
    left = [event]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            tick()
            result = call(*arguments, **named)
            tick()
            return result

        return wrapped

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in (
        (os, "replace"), (os, "unlink"), (shutil, "rmtree"), (Path, "rename"), (Path, "mkdir"), (Path, "write_bytes"),
        (Path, "unlink"), (Log, "add"),
    ):  # fmt: skip
        setattr(owner, name, counted(getattr(owner, name)))


def prepare_and_be_killed(event: int, films: Path, out: Path, delete: bool) -> None:
    """Prepare a folder of films, and be killed on the way unless there are too few events."""
    killed_at(event)
    prepare(films, out, delete_source=delete, jobs=0, progress=False)


def pack_and_be_killed(event: int, data: Path, out: Path, size: int) -> None:
    """Pack a data set, and be killed on the way."""
    killed_at(event)
    pack(data, out, size, jobs=0, progress=False)
