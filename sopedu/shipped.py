"""The files that come with the package: checkpoints, warm start, detector, recorded runs, a video, the notebooks.

    >>> sopedu.sample_path("duet.mp4")
    >>> sopedu.load_checkpoint("toyband")

In an installation they lie inside the package, in a checkout in the folders beside it. Only this module knows both.
What is made or fetched later lies in the cache.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from sopedu.errors import SopeduError

#: Checkpoints that do not come with sopedu: ``sopedu weights NAME`` fetches them into the cache.
FETCHED = ("music",)


def cache_folder() -> Path | None:
    """Return the folder of what can be made or fetched again: ``$SOPEDU_CACHE``, or ``sopedu`` in the user's cache.

    Returns:
        The folder, which may not exist yet; None if the user has no home folder.
    """
    for name, below in (("SOPEDU_CACHE", ""), ("XDG_CACHE_HOME", "sopedu")):
        if os.environ.get(name):
            return Path(os.environ[name]) / below
    try:
        return Path.home() / ".cache" / "sopedu"
    except RuntimeError:  # no entry for the user in the system, as in some containers
        return None


def shipped_path(name: str) -> Path:
    """Return the path of a shipped file or folder.

    Args:
        name: path from the top of the repository, such as ``data_samples/warm_start`` or ``notebooks``.
    """
    package = Path(str(files("sopedu")))
    beside = package.parent / name
    return beside if beside.exists() and not (package / name).exists() else package / name


def sample_path(name: str) -> Path:
    """Return the path of a file or folder of ``data_samples``, in a checkout or in an installed package.

    Args:
        name: path inside ``data_samples``, such as ``duet.mp4``.

    Raises:
        SopeduError: no such file or folder comes with sopedu.
    """
    path = shipped_path("data_samples") / name
    if not os.path.exists(path):
        there = sorted(place.name for place in path.parent.iterdir()) if os.path.isdir(path.parent) else []
        raise SopeduError(f"{name}: no such sample comes with sopedu; there are {', '.join(there) or 'none'}")
    return path


def checkpoint_names() -> list[str]:
    """Return the names of the checkpoints that come with sopedu."""
    return sorted(path.parent.name for path in shipped_path("data_samples/checkpoints").glob("*/config.json"))


def fetched_folder(name: str) -> Path:
    """Return the folder of the cache for a checkpoint that others published; it may not exist yet.

    Args:
        name: one of :data:`FETCHED`.

    Raises:
        SopeduError: the user has no home folder, so there is no cache.
    """
    cache = cache_folder()
    if cache is None:
        raise SopeduError(f"{name}: this user has no home folder to keep it in; SOPEDU_CACHE=FOLDER names a place")
    return cache / "checkpoints" / name


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """Return the folder of a checkpoint.

    Args:
        checkpoint: the folder itself, the folder of a run (which holds ``checkpoint/``), or the name of a checkpoint
            that comes with sopedu or was fetched. A folder of that name in the working directory takes precedence.

    Raises:
        SopeduError: the name is one of those that can be fetched, and it was not.
    """
    folder, name = Path(checkpoint), os.fspath(checkpoint)
    if name in checkpoint_names() and not os.path.isdir(folder):
        return shipped_path("data_samples/checkpoints") / name
    if name in FETCHED and not os.path.isdir(folder):
        folder = fetched_folder(name)
        if not os.path.exists(folder / "config.json"):
            raise SopeduError(f"{name}: is not on this machine yet; sopedu weights {name} fetches it once")
        return folder
    inside = folder / "checkpoint"
    is_run = os.path.exists(inside / "config.json") and not os.path.exists(folder / "config.json")
    return inside if is_run else folder
