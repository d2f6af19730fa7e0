"""Find where the paths of an index begin: lists of the original code and its forks were written in other folders.

A list may say ``./data/audio/…``, ``../MUSIC_dataset/…`` or ``/home/me/MUSIC/…``, with the separators of any system.
The root is the folder of the list, or one of the two above it, at which most of its files exist when some leading
folders are left out. Some forks write ``/flute/a.wav,/flute/a.mp4`` for files in the folders ``audio`` and ``frames``.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from sopedu.errors import SopeduError

_ABOVE = ("/", "..")
_BELOW = (("", ""), ("audio/", "frames/"))
_DRIVE = re.compile(r"\A[A-Za-z]:(?=/)")


def is_unusual(name: str) -> bool:
    """Return whether a path may need :func:`plain_path`; a fast test, because there are hundreds of thousands.

    Args:
        name: as the index has it.
    """
    return (
        "/." in name or "//" in name or "\\" in name or "\0" in name or ":" in name or not name or name[0] in "./"
        or name[-1] == "/"
    )  # fmt: skip


def plain_path(name: str, where: str) -> str:
    """Return a path with ``/``, without ``.`` and inner ``..``; it is handled as text, without access to the disk.

    Args:
        name: as the index has it, with the separators of any system.
        where: file and line, for the error.

    Returns:
        The path, which begins with ``/`` if it is absolute, with ``../`` if it leads upwards.

    Raises:
        SopeduError: it is empty, names no file below a folder, or holds a null byte.
    """
    begin = 1 if name[:1] == "/" else 0
    while name.startswith("../", begin) and name[0] == ".":
        begin += 3
    if begin and not is_unusual(name[begin:]):
        return name  # as most paths that lead out
    path = _DRIVE.sub("", posixpath.normpath(name.replace("\\", "/")), count=1)
    path = f"/{path.lstrip('/')}" if path.startswith("/") else path
    if not name or "\0" in name or path.rpartition("/")[2] in ("", ".", ".."):
        raise SopeduError(f"{where}: {name[:200]!r} is no path of a file or folder; correct the line or take it out")
    return path


def leads_out(name: str) -> bool:
    """Return whether a plain path is absolute or leads upwards.

    Args:
        name: a path as :func:`plain_path` returns it.
    """
    return name.startswith(("/", "../"))


class Root(NamedTuple):
    """Where the files of an index lie.

    Attributes:
        folder: with links resolved.
        prefix: the beginning of all paths that is left out, such as ``data/`` or ``/home/somebody/``; may be empty.
        below: folders of sounds and of frames that the paths do not name, such as ``audio/`` and ``frames/``.
    """

    folder: str
    prefix: str = ""
    below: tuple[str, str] = ("", "")


def find_root(path: str | Path, names: Sequence[str], given: str | Path | None = None) -> Root:
    """Find the folder at which most files of an index exist, and the beginning of its paths that is left out there.

    Args:
        path: the index.
        names: some of its paths, in the form of :func:`plain_path`: sound and frames of one clip, of another, …
        given: the folder, if the user names it.

    Returns:
        The folder and how paths continue in it. If nothing is found for relative paths, it is the folder of the index:
        its files are missing.

    Raises:
        SopeduError: most paths lead out of every folder that was tried, or are not in the given one.
    """
    folder = os.path.realpath(Path(path).parent)
    above = os.path.dirname(folder)
    roots = [os.path.realpath(given)] if given else [folder, above, os.path.dirname(above)]
    parts = [["/", *name[1:].split("/")] if name[0] == "/" else name.split("/") for name in names]
    common = os.path.commonprefix([part[:-1] for part in parts])
    least = next((place for place, part in enumerate(common) if part not in _ABOVE), len(common))
    best, nearest = 0, roots[0]
    for root in dict.fromkeys(root for root in roots if root != os.path.dirname(root)):
        for left_out, below in product(range(least, len(common) + 1), _BELOW):
            found = sum(
                part[left_out] not in _ABOVE and os.path.exists(os.path.join(root, below[place % 2], *part[left_out:]))
                for place, part in enumerate(parts)
            )
            if 2 * found > len(parts):
                return Root(root, "".join(f"{part}/" for part in common[:left_out]).replace("//", "/"), below)
            if found > best:
                best, nearest = found, root
    if not given and not all(map(leads_out, names)):
        return Root(folder)
    raise SopeduError(
        f"{path}: {best} of {len(names)} files and folders that were looked for are below {nearest}, such as "
        f"{names[0]:.200}; --root FOLDER names the folder in which its paths begin"
    )


def below_prefix(name: str, prefix: str) -> str | None:
    """Return a path without the beginning that all paths of its index share; None if it leads elsewhere.

    Args:
        name: a path as :func:`plain_path` returns it.
        prefix: of the :class:`Root`.
    """
    rest = name[len(prefix) :]
    return rest if name.startswith(prefix) and not leads_out(rest) else None
