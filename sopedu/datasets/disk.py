"""Sizes on a disk, what is free there, and databases for what would not fit into memory."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sopedu.errors import SopeduError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SMALLEST = 10_000


def bytes_of(text: str | int, name: str) -> int:
    """Return a size in bytes.

    Args:
        text: such as ``1GB``, ``500 MB`` or a number of bytes; units are powers of 1000.
        name: of the option, for the error.

    Raises:
        SopeduError: it is none, or smaller than 10 kB.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)b?", str(text).strip().lower())
    size = round(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < _SMALLEST:
        raise SopeduError(f"{name} {text!s:.40}: write a size of 10 kB or more, such as 1GB or 500MB")
    return size


def spoken_size(count: float) -> str:
    """Return a number of bytes as text, such as ``1.2 GB``.

    Args:
        count: of bytes.
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def require_space(root: Path, needed: float) -> None:
    """Check that there is room on a disk.

    Args:
        root: a folder on it.
        needed: bytes.

    Raises:
        SopeduError: less is free.
    """
    free = shutil.disk_usage(root).free
    if needed > free:
        raise SopeduError(
            f"{root}: about {spoken_size(needed)} are needed, {spoken_size(free)} are free; choose another disk"
        )


def temporary_database(schema: str) -> sqlite3.Connection:
    """Open a database for the time of one run: what does not fit into 2 MB of memory goes to a file without a name.

    Args:
        schema: statements that make its tables, with ``;`` between them.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    # Nothing is ever undone, and nothing needs to survive.
    database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {schema}; BEGIN")
    return database


@contextmanager
def temporary_space() -> Iterator[None]:
    """Turn errors of a temporary database into one line.

    Raises:
        SopeduError: the disk is full, or cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SopeduError(
            f"{tempfile.gettempdir()}: temporary files cannot be written ({error}); free some space there, or name "
            "another folder in the environment variable TMPDIR"
        ) from error
