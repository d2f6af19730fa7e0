"""Check files before they are used; write them so that they appear only when they are complete (`folders`: folders)."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sopedu.errors import SopeduError

if TYPE_CHECKING:
    import torch

_LONGEST_NAME = 255  # bytes, of a file on most systems


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
        raise SopeduError(f"{path!s:.200}: cannot be opened ({reason_of(error)}); check the name") from error
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
    check_name(path)
    # Short, because the name itself may be as long as the system allows.
    unfinished = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    with writing(path), made_parents(path):
        try:
            yield unfinished
            if synced:
                sync(unfinished)
            os.replace(unfinished, path)
            if synced:
                sync(path.parent)
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
        raise SopeduError(f"{path!s:.400}: cannot be written ({reason_of(error)}); {what}") from error


def check_name(path: Path, longest: int = _LONGEST_NAME) -> None:
    """Check that a name is short enough for the system.

    Args:
        path: of the file or folder.
        longest: size of the name in bytes that is possible.

    Raises:
        SopeduError: it is longer.
    """
    size = len(os.fsencode(path.name))
    if size > longest:
        raise SopeduError(
            f"{path!s:.200}: its name takes {size} bytes, {longest} are possible, and a letter may take up to 4; "
            "choose another, shorter one"
        )


def require_place(path: str | Path) -> Path:
    """Return the path of a file that can be written, in a folder that exists or can be made; nothing is made here.

    Args:
        path: the file.

    Raises:
        SopeduError: it is a folder, or lies below a file.
    """
    path = Path(path)
    check_name(path)
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
def made_parents(path: Path) -> Iterator[None]:
    """Make the folders above a path; if what follows fails, remove those that were made.

    Args:
        path: of a file or folder.
    """
    made = [place for place in path.absolute().parents if not place.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):  # a folder that is no longer empty stays
            for place in made:  # innermost first
                place.rmdir()
        raise


def sync(*paths: Path) -> None:
    """Wait until files and lists of folders are on the disk.

    Args:
        paths: of files and folders.
    """
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


def reason_of(error: Exception) -> str:
    """Return what the system says about an error, in one line.

    Args:
        error: of the system.
    """
    return (getattr(error, "strerror", None) or str(error)).strip(" .").replace("\n", " ")
