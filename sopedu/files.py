"""Check files and folders before they are used; write them so that they appear only when they are complete."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sopedu.errors import SopeduError

if TYPE_CHECKING:
    import torch

# Systems allow 255 bytes per name; the temporary name of a folder is longer.
_LONGEST_NAME = 255 - len("..unfinished")


def require_file(path: str | Path) -> Path:
    """Return the path of a file that can be read and is not empty.

    Args:
        path: the file.

    Raises:
        SopeduError: there is nothing at `path`, or a folder, an empty file, one that may not be read, a pipe or
            device, which may never end, or a network address.
    """
    if address := re.match(r"(https?|ftp|rtsp|rtmp|s3|gs|hf):/+(?=.)", str(path), re.IGNORECASE):
        rest = str(path)[address.end() :]
        raise SopeduError(f"{address[1]}://{rest:.200}: is a network address; download the file first, then name it")
    path = Path(path)
    try:
        if path.is_dir():
            raise SopeduError(f"{path}: is a folder; name a file in it")
        if not path.exists():
            raise SopeduError(f"{path}: no such file; check the name and the folder")
        if not path.is_file():
            raise SopeduError(f"{path}: is a pipe or a device and may never end; save it as a file first")
        if path.stat().st_size == 0:
            raise SopeduError(f"{path}: is empty (0 bytes); copy or download it again")
    except OSError as error:  # a name too long, or in a folder that is locked
        raise SopeduError(f"{path!s:.200}: cannot be opened ({_reason(error)}); check the name") from error
    if not os.access(path, os.R_OK):
        raise SopeduError(f"{path}: may not be read; change its permissions")
    return path


@contextmanager
def written_aside(path: str | Path, parents: bool = False, synced: bool = False) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; rename it to `path` on success, remove it on failure.

    So a file is never incomplete, and an interrupted run keeps the earlier file.

    Args:
        path: the file to write; one that is there is replaced.
        parents: make the folder of `path` if it does not exist.
        synced: wait until the file is on the disk, so that it survives a power failure.

    Yields:
        The temporary name, with the same suffix.

    Raises:
        SopeduError: the folder does not exist, `path` is a folder, or writing fails (a full disk).
    """
    path = Path(path)
    if path.is_dir():
        raise SopeduError(f"{path}: is a folder; give the name of the file to write")
    if not parents and not path.parent.is_dir():
        raise SopeduError(f"{path}: the folder {path.parent} does not exist; make it first")
    _check_name(path, 255)
    # Short, because the name itself may be as long as the system allows.
    unfinished = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    with writing(path), _made_parents(path):
        try:
            yield unfinished
            if synced:
                _sync(unfinished)
            os.replace(unfinished, path)
            if synced:
                _sync(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn errors of the system while writing (disk full, no permission) into one line that names the path.

    Args:
        path: the file or folder that is written.

    Raises:
        SopeduError: it cannot be written.
    """
    try:
        yield
    except SopeduError:
        raise
    except OSError as error:
        what = (
            "choose a shorter name" if error.errno == errno.ENAMETOOLONG else "free some space or choose another place"
        )
        raise SopeduError(f"{path!s:.400}: cannot be written ({_reason(error)}); {what}") from error


def _check_name(path: Path, longest: int = _LONGEST_NAME) -> None:
    size = len(os.fsencode(path.name))
    if size > longest:
        raise SopeduError(
            f"{path!s:.200}: its name takes {size} bytes, {longest} are possible, and a letter may take up to 4; "
            "choose another, shorter one"
        )


def through_links(path: str | Path) -> Path:
    """Return where a path leads if it is a link, or a folder above it is a link to nothing; else the path itself.

    A link cannot be replaced by a new or renamed folder.

    Args:
        path: of a file or folder.
    """
    path = Path(path)
    dangling = any(place.is_symlink() and not place.exists() for place in path.absolute().parents)
    return Path(os.path.realpath(path)) if dangling or path.is_symlink() else path


def require_new_folder(folder: str | Path) -> Path:
    """Return the path of a folder that does not exist or is empty, and can be made; nothing is made here.

    Args:
        folder: the folder.

    Raises:
        SopeduError: it holds something, lies below a file, or may not be written.
    """
    folder = Path(folder)
    _check_name(folder)
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
            f"{folder!s:.200}: no folder can be made there ({_reason(error)}); choose another folder"
        ) from error
    return folder


def require_place(path: str | Path) -> Path:
    """Return the path of a file that can be written, in a folder that exists or can be made; nothing is made here.

    Args:
        path: the file.

    Raises:
        SopeduError: it is a folder, or lies below a file.
    """
    path = Path(path)
    _check_name(path, 255)
    if path.is_dir():
        raise SopeduError(f"{path}: is a folder; give the name of the file to write")
    nearest = next(place for place in path.absolute().parents if place.exists())
    if not nearest.is_dir():
        raise SopeduError(f"{path}: cannot be written there, {nearest} is a file; choose another place")
    return path


def printable(name: str) -> str:
    """Return a file name as text; bytes that are not UTF-8 become a replacement character.

    Args:
        name: as Python holds it.
    """
    return os.fsencode(name).decode("utf-8", "replace")


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
    with writing(folder), _made_parents(absolute), nullcontext() if replace else _locked(folder, absolute):
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            yield unfinished
            if synced:
                _sync(*unfinished.iterdir(), unfinished)
            if absolute.exists():
                if not replace:
                    absolute.rmdir()  # it is empty, as checked above; not every system can rename onto a folder
                else:
                    shutil.rmtree(earlier, ignore_errors=True)
                    absolute.rename(earlier)
            unfinished.rename(absolute)
            if synced:
                _sync(absolute.parent)
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


@contextmanager
def _made_parents(path: Path) -> Iterator[None]:
    """Make the folders above `path`; if what follows fails, remove those that were made."""
    made = [place for place in path.absolute().parents if not place.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):  # a folder that is no longer empty stays
            for place in made:  # innermost first
                place.rmdir()
        raise


def _sync(*paths: Path) -> None:
    """Wait until files and lists of folders are on the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def move_into_place(complete: str | Path, path: str | Path) -> None:
    """Give a complete file or folder its name at once; an earlier file of that name is replaced.

    Args:
        complete: the file or folder, on the same disk.
        path: its place.
    """
    os.replace(complete, path)


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


def write_json(path: str | Path, values: Any) -> None:
    """Write values as indented JSON to a temporary file, then rename it.

    Args:
        path: the file to write; its folder is made if it does not exist.
        values: what JSON can hold, without NaN and infinity.

    Raises:
        SopeduError: it cannot be written.
    """
    with written_aside(path, parents=True) as unfinished:
        unfinished.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor] | Mapping[str, np.ndarray]) -> None:
    """Write tensors of torch, or arrays of NumPy, as safetensors to a temporary file, then rename it.

    Args:
        path: the file to write; its folder is made if it does not exist.
        tensors: name → tensor on the CPU, or name → array; not both kinds.

    Raises:
        SopeduError: it cannot be written, e.g. because the disk is full.
    """
    from safetensors import SafetensorError

    if all(isinstance(value, np.ndarray) for value in tensors.values()):
        from safetensors.numpy import save_file  # needs no torch
    else:
        from safetensors.torch import save_file

        tensors = {name: value.contiguous() for name, value in tensors.items()}
    with written_aside(path, parents=True) as unfinished:
        unfinished.write_bytes(b"")
        mode = os.stat(unfinished).st_mode  # normal permissions; safetensors lets only the owner read
        try:
            save_file(tensors, unfinished)
        except SafetensorError as error:  # its error for a full disk
            raise OSError(str(error)) from error
        os.chmod(unfinished, mode)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip(" .").replace("\n", " ")
