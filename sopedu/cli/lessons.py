"""``sopedu lessons``: the notebooks in a folder of the learner's own, opened in JupyterLab."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def lessons(
    folder: Annotated[Path, typer.Argument(help="Your folder: a new one, or one with lessons.")] = Path(
        "sopedu-lessons"
    ),
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")] = True,
) -> None:
    """Copy the notebooks and the sample video duet.mp4 into a folder, and open JupyterLab there.

    In a folder that has them already, what you changed stays as it is; what a newer sopedu brings is added.

    Python: sopedu.lessons.copy_lessons(folder)
    """
    from sopedu.lessons.folder import copy_lessons, open_lab, require_lab

    if open_:
        require_lab()  # before anything is written
    fresh = not (folder.is_dir() and any(folder.iterdir()))
    written = copy_lessons(folder)
    for line in [f"{len(written)} files in {folder}"] if fresh else [f"new: {path}" for path in written]:
        typer.echo(line)
    if not open_:
        first, film = (shlex.quote(str(folder / name)) for name in ("notebooks/00_start_here.ipynb", "duet.mp4"))
        typer.echo(f"next: jupyter lab {first}\n      sopedu separate {film}")
        return
    typer.echo(f"JupyterLab opens in {folder}, in your browser; Ctrl-C here ends it")
    if status := open_lab(folder):
        raise typer.Exit(status)
