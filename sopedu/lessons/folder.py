"""A learner's folder: copies of the notebooks and of what they link to, and JupyterLab opened in it.

    >>> copy_lessons("course")                      # again after an update: what is new is added
    >>> open_lab("course")

What a learner changed is never replaced. ``.sopedu.json`` in the folder remembers what was copied, so that a later
version can tell a changed notebook from an untouched one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from sopedu.errors import SopeduError
from sopedu.files import write_json, written_aside
from sopedu.folders import folder_written_aside
from sopedu.shipped import sample_path, shipped_path

# Notebooks and pages keep their folders, so that the links between them work.
_COPIED = ("notebooks/*.ipynb", "notebooks/pictures/*.svg", "docs/*.*", "data_samples/**/*.md")
# The package's own files lie elsewhere.
_SOURCE_LINK = re.compile(rb"\[([^\[\]]*)\]\(\.\./sopedu/[^)\s]*\)")
_FIRST = "notebooks/00_start_here.ipynb"
_MEMORY = ".sopedu.json"
# JupyterLab itself, and what draws the widgets in it: all of the extra `notebooks`.
_NEEDED = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget")


def copy_lessons(folder: str | Path) -> list[Path]:
    """Copy the notebooks, the sample video and the pages that they link to into a folder.

    Where the folder holds lessons already, only what is missing or new is written: a missing file is copied, an
    untouched one is replaced by its newer version, and the newer version of a notebook that was changed (run or
    edited) is put beside it, as ``NAME.new.ipynb``.

    Args:
        folder: a new or empty folder, or one with lessons.

    Returns:
        The paths that were written.

    Raises:
        SopeduError: the folder holds something else, or cannot be written.
    """
    folder, sources = Path(folder), _sources()
    if (folder / _MEMORY).exists() or (folder / _FIRST).exists():
        return _add(folder, sources)
    if folder.is_dir() and any(folder.iterdir()):
        raise SopeduError(
            f"{folder}: holds other files and no lessons; name a new folder, such as {folder / 'lessons'}"
        )
    with folder_written_aside(folder) as unfinished:
        for name, content in sources.items():
            (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / name).write_bytes(content)  # without the permissions: a copy may be changed
        write_json(unfinished / _MEMORY, {name: _digest(content) for name, content in sources.items()})
    return [folder / name for name in sources]


def open_lab(folder: str | Path) -> int:
    """Open JupyterLab with the first notebook of a learner's folder; return its exit status when it ends.

    Args:
        folder: as :func:`copy_lessons` made it.

    Raises:
        SopeduError: JupyterLab or the widgets are not installed.
    """
    require_lab()
    main = threading.current_thread() is threading.main_thread()
    process = subprocess.Popen(_lab_command(), cwd=folder)
    # Ctrl-C is for JupyterLab, which gets it too and asks whether it should stop.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        return process.wait()
    finally:
        if process.poll() is None:  # this process was told to end
            process.terminate()
        if main:
            signal.signal(signal.SIGINT, before)


def require_lab() -> None:
    """Raise an error that says what to install if JupyterLab cannot be opened.

    Raises:
        SopeduError: JupyterLab or the widgets are not installed.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SopeduError(
            f"{' and '.join(missing)}: not installed beside sopedu; pip install 'sopedu[notebooks]' installs what the "
            "notebooks need, and --no-open only copies them"
        )


def _lab_command() -> list[str]:
    # The same Python: so the notebooks run where sopedu is installed.
    return [sys.executable, "-m", "jupyterlab", _FIRST]


def _sources() -> dict[str, bytes]:
    """Return name in the learner's folder → content of the file."""
    sources = {"duet.mp4": sample_path("duet.mp4")}
    for pattern in _COPIED:
        top, _, names = pattern.partition("/")
        found = sorted(shipped_path(top).glob(names))
        sources |= {f"{top}/{path.relative_to(shipped_path(top)).as_posix()}": path for path in found}
    return {name: _content(path) for name, path in sources.items()}


def _content(path: Path) -> bytes:
    """The content of a shipped file; in notebooks, links to the package's files become their words."""
    content = path.read_bytes()
    return _SOURCE_LINK.sub(rb"\1", content) if path.suffix == ".ipynb" else content


def _add(folder: Path, sources: Mapping[str, bytes]) -> list[Path]:
    """Write what is missing or newer into a folder with lessons; return what was written."""
    given, now, written = _memory(folder), {}, []
    for name, content in sources.items():
        path, now[name] = folder / name, _digest(content)
        if path.exists() and given.get(name, now[name]) == now[name]:
            continue  # nothing new; or the folder has no memory, and what is there is the learner's
        if path.exists() and _digest(path.read_bytes()) not in (given[name], now[name]):
            path = _free_name(path)
        with written_aside(path, parents=True) as unfinished:
            unfinished.write_bytes(content)
        written.append(path)
    if now != given and os.access(folder, os.W_OK):
        write_json(folder / _MEMORY, {**given, **now})
    return written


def _free_name(path: Path) -> Path:
    """Return ``NAME.new.ipynb`` beside a file, or ``NAME.new-2.ipynb`` and so on if that is there."""
    for number in range(1, 1000):
        beside = path.with_suffix(f".new{f'-{number}' * (number > 1)}{path.suffix}")
        if not beside.exists():
            return beside
    raise SopeduError(f"{path}: 999 newer versions lie beside it; move some away")


def _memory(folder: Path) -> dict[str, str]:
    """Return name → digest of the shipped file that was copied last."""
    try:
        given = json.loads((folder / _MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # copied by an earlier version, a checkout, or damaged
        return {}
    return given if isinstance(given, dict) else {}


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
