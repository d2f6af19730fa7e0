"""``sopedu health``: examine prepared data before a training is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sopedu.cli.options import JsonOption, goal_of, printer, split_names, writable, write_figures
from sopedu.errors import SopeduError

# Seconds per clip on one core, measured with clips of 7 s and the checkpoint toyband.
_PER_CLIP, _JUDGED = 0.06, 0.12

#: Exit status if a clip has a fault.
FAULTY = 1


def health(
    indexes: Annotated[list[Path], typer.Argument(help="Index files of one data set, or the folder that holds them.")],
    checkpoint: Annotated[
        str, typer.Option(help="Its model tells pictures and sounds of another class; default: nobody does.")
    ] = "",
    page: Annotated[
        Path | None, typer.Option(help="Also write a page to look at and listen to.", callback=writable)
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write NAME.clean.csv beside each index, without the faulty clips.")
    ] = False,
    keep: Annotated[str, typer.Option(help="Kinds of faults that --fix keeps, with commas.")] = "",
    frame_rate: Annotated[
        float | None, typer.Option(help="Frames per second; default: read from the data.", min=0.1)
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder in which the paths begin; default: it is found.")] = None,
    seconds: Annotated[float, typer.Option(help="A clip that is shorter is called short.", min=0.0)] = 6.0,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one per core.", min=1)] = None,
    json_file: JsonOption = None,
) -> None:
    """Find silent, still, black, clipped, duplicate and wrongly cut clips. Changes no sound and no frame.

    The exit status is 0 if nothing was found, 1 if a clip has a fault (also with --fix).

    Python: sopedu.datasets.examine(["train.csv", "val.csv"])
    """
    from tqdm import tqdm

    from sopedu.data.opening import is_held_out
    from sopedu.data.prepared import read_index
    from sopedu.datasets.health import KINDS, examine, write_cleaned
    from sopedu.datasets.opening import index_files
    from sopedu.machine import usable_cores
    from sopedu.training.estimate import spoken

    if unknown := sorted(set(split_names(keep)) - KINDS.keys()):
        raise SopeduError(f"--keep {', '.join(unknown)}: no such kind of fault; choose of {', '.join(KINDS)}")
    say, paths = printer(json_file), index_files(indexes)
    processes = jobs or usable_cores()
    clips = sum(len(read_index(path, root)) for path in paths)
    lasting = clips * (_PER_CLIP / processes + (_JUDGED if checkpoint else 0))
    goals = [str(goal) for goal in (page, *_cleaned(paths, fix)) if goal is not None]
    say(
        f"plan: examine {clips} clips of {', '.join(map(str, paths))}, about {spoken(lasting)}"
        f"{'; writes ' + ', '.join(goals) if goals else ''}{goal_of(json_file)}"
    )
    with tqdm(unit="step", desc="examining") as bar:

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        processes = 0 if processes == 1 else processes
        report = examine(paths, checkpoint or None, frame_rate, root, seconds, processes, progress=progress)
    say(report.table())
    if page is not None:
        from sopedu.datasets.health_page import write_health_page

        say(f"page: {write_health_page(page, report)}")
    if fix:
        written = write_cleaned(report, split_names(keep))
        for path in written:
            say(f"cleaned: {path}")
        if training := [path for path in written if not is_held_out(path)]:
            say(f"next: sopedu train --data {training[0]} --out runs/NAME")
    write_figures(json_file, report.json())
    if report.faults:
        raise typer.Exit(FAULTY)


def _cleaned(paths: list[Path], fix: bool) -> list[Path]:
    return [path.with_name(f"{path.stem}.clean.csv") for path in paths] if fix else []
