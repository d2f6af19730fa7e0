"""The command ``sopedu sweep``: a grid of settings, several seeds, a table with intervals, figures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sopedu.cli.options import JsonOption, SetOption, counted, goal_of, printer, split_names, write_figures
from sopedu.config import PRESETS
from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from sopedu.experiments.plan import SweepPlan
    from sopedu.experiments.sweep import Sweep

_SOME_FAILED = 1
_GRID_HELP = (
    "Vary a field: model.components=4,16,32; repeat for more, every combination is trained. Fields that change "
    "together: loss.target=binary+loss.kind=bce,loss.target=ratio+loss.kind=l1. A value that is a list: "
    "model.audio_channels=[8,16,32],[12,24,48]."
)


def sweep(
    out: Annotated[Path, typer.Option(help="Folder of the sweep, with a folder per run; the same one to go on.")],
    grid: Annotated[list[str] | None, typer.Option(help=_GRID_HELP)] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds of the trainings, with commas; default: 0.")] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"{', '.join(PRESETS)}; default: tiny, or that of --heads-of.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="toyband (the default), or an index CSV of prepared clips.")] = None,
    changes: SetOption = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Start every run with the weights of this checkpoint.")
    ] = None,
    heads_of: Annotated[
        str | None,
        typer.Option(help="Train only new heads on the trunk of this checkpoint: 100 steps, some seconds per run."),
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(help="Held-out mixtures that every run is scored on; default: 32.", min=1)
    ] = None,
    evaluation_seeds: Annotated[
        str | None, typer.Option(help="Each draws that many other mixtures; with commas; default: 0.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Runs at the same time; default: one per core, or one with a GPU.", min=1)
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="No run begins that would end later than this: 90s, 30m, 2h, 1h30m.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on as it was asked for; needs only --out.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Train a grid of settings with several seeds; compare them on the same held-out pairs.

    Killed or stopped at any time, the same command again goes on: finished runs stay, others resume exactly.

    Python: sopedu.experiments.run_sweep(folder, config, grid, seeds)
    """
    from sopedu.experiments.plan import read_plan
    from sopedu.experiments.sweep import plan_sweep, run_sweep

    say, seconds = printer(json_file), None if budget is None else parse_duration(budget)
    asked = (grid, seeds, preset, data, changes, start_from, heads_of, pairs, evaluation_seeds)
    if resume and any(value is not None for value in asked):
        raise SopeduError("--resume goes on as the sweep was asked for; give only --out, --processes and --budget")
    if resume:
        plan = read_plan(out)
    else:
        plan = plan_sweep(
            _config(preset, heads_of, changes or []), grid or [], parse_numbers(seeds or "0"), data or "toyband",
            start_from, heads_of, pairs or 32, parse_numbers(evaluation_seeds or "0"),
        )  # fmt: skip
    judged = plan.pairs * len(plan.evaluation_seeds)
    steps = max(run.config.training.steps for run in plan.runs)
    say(
        f"plan: train {counted(len(plan.runs), 'run')} on {plan.data} and score each on "
        f"{counted(judged, 'held-out mixture')}, at most {counted(steps, 'step')} each (the seconds follow); "
        f"results go to {out}"
        f"{goal_of(json_file)}"
    )
    swept = run_sweep(out, plan=plan, processes=processes, budget=seconds, say=say)
    figures = _report(swept, plan, say)
    write_figures(json_file, figures)
    _leave(swept)


def parse_duration(text: str) -> float:
    """Read a duration.

    Args:
        text: such as ``90s``, ``30m``, ``2h``, ``1h30m``; a number alone is seconds.

    Raises:
        SopeduError: the text is no duration.
    """
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(rf"(?:{number}h)?(?:{number}m(?:in)?)?(?:{number}s?)?", text.strip())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise SopeduError(f"--budget {text}: write hours, minutes or seconds, such as 2h, 30m, 1h30m or 90s")
    return total


def parse_numbers(text: str) -> list[int]:
    """Read whole numbers with commas.

    Args:
        text: such as ``0,1,2``.

    Raises:
        SopeduError: the text is something else.
    """
    words = split_names(text)
    if not words or not all(word.isdecimal() for word in words):
        raise SopeduError(f"{text!r}: write whole numbers with commas, such as 0,1,2")
    return [int(word) for word in words]


def _config(preset: str | None, heads_of: str | None, changes: list[str]) -> Any:
    from sopedu.config import preset as preset_named
    from sopedu.config import with_values
    from sopedu.model.heads import heads_config

    if heads_of is not None and preset is not None:
        raise SopeduError("--heads-of takes the settings of that checkpoint: leave out --preset")
    return heads_config(heads_of, changes) if heads_of else with_values(preset_named(preset or "tiny"), changes)


def _report(swept: Sweep, plan: SweepPlan, say: Any) -> dict[str, Any]:
    """Write and print tables and figures of what is finished; return the figures as JSON can hold them."""
    from sopedu.experiments.plots import write_plots
    from sopedu.experiments.table import format_sweep, row_figures, summarise_sweep, write_tables

    rows = summarise_sweep(swept.results) if swept.results else []
    if rows:
        say(format_sweep(rows))
        for path in [*write_tables(swept.out, rows, swept.failed), *write_plots(swept.out, rows, plan.axes)]:
            say(f"  {path}")
    for name, reason in swept.failed.items():
        say(f"failed: {name}: {reason}")
    if swept.left:
        say(f"not run: {', '.join(swept.left)}")
    if swept.failed or swept.left:
        say(f"go on with: {shlex.join(['sopedu', 'sweep', '--out', str(swept.out), '--resume'])}")
    return {"rows": [row_figures(row) for row in rows], "failed": swept.failed, "left": swept.left}


def _leave(swept: Sweep) -> None:
    """End with a status that says what is missing."""
    from sopedu.training.resume import RESUME_STATUS

    if swept.interrupted:
        raise typer.Exit(130)
    if swept.failed:
        raise typer.Exit(_SOME_FAILED)
    if swept.left:
        raise typer.Exit(RESUME_STATUS)
