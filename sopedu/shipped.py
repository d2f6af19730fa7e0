"""The files that come with the package: checkpoints, warm start, detector, recorded runs, a video, the notebooks.

    >>> sopedu.sample_path("duet.mp4")
    >>> sopedu.load_checkpoint("toyband")

In an installation they lie inside the package, in a checkout in the folders beside it. Only this module knows both.
"""

from __future__ import annotations

import os
import shutil
from importlib.resources import files
from pathlib import Path

from sopedu.errors import SopeduError
from sopedu.files import folder_written_aside

# The notebooks and the pages that they link to keep their folders, so that the links work.
_COPIED = ("notebooks/*.ipynb", "docs/*.*", "data_samples/**/*.md")


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


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """Return the folder of a checkpoint.

    Args:
        checkpoint: the folder itself, the folder of a run (which holds ``checkpoint/``), or the name of a checkpoint
            that comes with sopedu. A folder of that name in the working directory takes precedence.
    """
    folder, name = Path(checkpoint), os.fspath(checkpoint)
    if name in checkpoint_names() and not os.path.isdir(folder):
        return shipped_path("data_samples/checkpoints") / name
    inside = folder / "checkpoint"
    is_run = os.path.exists(inside / "config.json") and not os.path.exists(folder / "config.json")
    return inside if is_run else folder


def copy_samples(folder: str | Path) -> list[Path]:
    """Copy the sample video, the notebooks and the pages that they link to into a new folder.

    Args:
        folder: must not exist yet, or be empty.

    Returns:
        The paths of the copies.

    Raises:
        SopeduError: the folder holds something or cannot be written.
    """
    sources = {"duet.mp4": sample_path("duet.mp4")}
    for pattern in _COPIED:
        top, _, names = pattern.partition("/")
        found = sorted(shipped_path(top).glob(names))
        sources |= {f"{top}/{path.relative_to(shipped_path(top)).as_posix()}": path for path in found}
    with folder_written_aside(folder) as unfinished:
        for name, path in sources.items():
            (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, unfinished / name)  # not its permissions: a copy may be changed
    return [Path(folder) / name for name in sources]
