"""Make folders that appear only when they are complete, and find free names for those of runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sopedu.errors import SopeduError
from sopedu.files import check_name, made_parents, reason_of, sync, writing

_LONGEST_NAME = 255 - len("..unfinished")  # bytes; the temporary name of a folder is longer


def require_new_folder(folder: str | Path) -> Path:
    """Return the path of a folder that does not exist or is empty, and can be made; nothing is made here.

    Args:
        folder: the folder.

    Raises:
        SopeduError: it holds something, lies below a file, or may not be written.
    """
    folder = Path(folder)
    check_name(folder, _LONGEST_NAME)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SopeduError(f"{folder}: already exists and is not an empty folder; choose another folder")
        there = through_links(folder).absolute()
        nearest = next(place for place in (there, *there.parents) if place.exists())
        if not nearest.is_dir():
            raise SopeduError(f"{folder}: no folder can be made there, {nearest} is a file; choose another folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise SopeduError(
                f"{folder}: no folder can be made there, {nearest} may not be written; choose another folder"
            )
    except OSError as error:
        raise SopeduError(
            f"{folder!s:.200}: no folder can be made there ({reason_of(error)}); choose another folder"
        ) from error
    return folder


def through_links(path: str | Path) -> Path:
    """Return where a path leads if it is a link, or a folder above it is a link to nothing; else the path itself.

    A link cannot be replaced by a new or renamed folder.

    Args:
        path: of a file or folder.
    """
    path = Path(path)
    dangling = any(place.is_symlink() and not place.exists() for place in path.absolute().parents)
    return Path(os.path.realpath(path)) if dangling or path.is_symlink() else path


@contextmanager
def folder_written_aside(folder: str | Path, replace: bool = False, synced: bool = False) -> Iterator[Path]:
    """Yield a hidden folder beside `folder`; rename it to `folder` on success, remove it on failure or Ctrl-C.

    A new folder is locked against a second run. The lock ends with the process that holds it, so what a killed run
    left behind is removed by the next one.

    Args:
        folder: the folder to write; folders above it are made.
        replace: an earlier folder of that name is replaced once the new one is complete; otherwise there must be none,
            or an empty one.
        synced: wait until all files are on the disk, so that they survive a power failure.

    Yields:
        The hidden folder, which is empty.

    Raises:
        SopeduError: `folder` holds something (unless it is replaced), is a file, cannot be made, is being written by
            another run, or writing fails (a full disk).
    """
    folder = Path(folder) if replace else require_new_folder(folder)
    with writing(folder):
        absolute = through_links(folder).absolute()
        if absolute.is_file():
            raise SopeduError(f"{folder}: is a file; give the name of a folder")
    unfinished, earlier = (absolute.with_name(f".{absolute.name}.{what}") for what in ("unfinished", "earlier"))
    with writing(folder), made_parents(absolute), nullcontext() if replace else _locked(folder, absolute):
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            yield unfinished
            if synced:
                sync(*unfinished.iterdir(), unfinished)
            if absolute.exists():
                if not replace:
                    absolute.rmdir()  # it is empty, as checked above; not every system can rename onto a folder
                else:
                    shutil.rmtree(earlier, ignore_errors=True)
                    absolute.rename(earlier)
            unfinished.rename(absolute)
            if synced:
                sync(absolute.parent)
            shutil.rmtree(earlier, ignore_errors=True)
        except SopeduError as error:
            if str(unfinished) not in str(error):
                raise
            raise SopeduError(str(error).replace(str(unfinished), str(folder))) from error  # the name as it was given
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if replace and earlier.is_dir() and not absolute.exists():
                earlier.rename(absolute)


@contextmanager
def _locked(folder: Path, absolute: Path) -> Iterator[None]:
    """Lock a new folder against a second run."""
    from filelock import FileLock, Timeout

    lock = FileLock(absolute.with_name(f".{absolute.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise SopeduError(f"{folder}: another run is writing there; wait for it or choose another folder") from error
    try:
        require_new_folder(folder)  # the other run may have ended between the check and the lock
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def next_free_folder(parent: str | Path, name: str) -> Path:
    """Return the first of ``parent/name-001``, ``parent/name-002`` … that does not exist; it is not made.

    Args:
        parent: the folder that holds the runs.
        name: of the runs, without a number.

    Raises:
        SopeduError: all numbers up to 9999 exist.
    """
    for number in range(1, 10_000):
        folder = Path(parent) / f"{name}-{number:03d}"
        if not folder.exists():
            return folder
    raise SopeduError(f"{parent}: holds 9999 runs already; move some away")


def new_run_folder(parent: str | Path = "runs", name: str = "demo") -> Path:
    """Make a new folder for a run: the first of ``runs/demo-001``, ``runs/demo-002`` … that does not exist.

    Args:
        parent: the folder that holds the runs.
        name: of the runs, without a number.

    Raises:
        SopeduError: it cannot be made.
    """
    while True:
        folder = next_free_folder(parent, name)
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue  # another run was faster
