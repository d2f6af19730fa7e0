"""Train a grid of settings with several seeds, each run in a folder of its own; score all of them on the same pairs.

    >>> sweep = run_sweep("runs/k", preset("tiny"), {"model.components": (4, 16, 32)}, seeds=(0, 1, 2))
    >>> sweep.results[0].mean("sdr")

A sweep that was stopped or killed goes on when it is started again: finished runs stay, half-done ones resume exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config, preset
from sopedu.data.clips import ToyBandClips
from sopedu.data.opening import open_clips
from sopedu.errors import SopeduError, whole_number
from sopedu.experiments.grid import SweepRun, Values, axes_of, combined, fields_of, runs_of
from sopedu.experiments.plan import SweepPlan, SweepResult, read_plan, read_result, write_plan
from sopedu.experiments.pool import SweepPool
from sopedu.folders import require_new_folder, through_links
from sopedu.machine import usable_cores
from sopedu.model.checkpoints import as_checkpoint
from sopedu.model.heads import heads_config, new_heads
from sopedu.toyband import INSTRUMENTS
from sopedu.training.run_folder import locked

#: Field → values, or a list of axes, each as text or as a list of alternatives.
Grid = Mapping[str, Sequence[Any]] | Iterable[str | Sequence[Values]]


@dataclass
class Sweep:
    """A sweep that has ended.

    Attributes:
        out: its folder.
        plan: what was asked for.
        results: of the runs that are finished, in the order of the plan.
        failed: name of a run → why it failed, in one line.
        left: names of the runs that were not begun or not finished.
        interrupted: it was ended by Ctrl-C.
    """

    out: Path
    plan: SweepPlan
    results: list[SweepResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False


def plan_sweep(
    config: Config | None = None,
    grid: Grid = (),
    seeds: Sequence[int] = (0,),
    data: str = "toyband",
    start_from: str | Path | None = None,
    heads_of: str | Path | None = None,
    pairs: int = 32,
    evaluation_seeds: Sequence[int] = (0,),
) -> SweepPlan:
    """List the runs of a sweep and check their settings; nothing is written.

    Args:
        config: what is not varied; None: preset ``tiny``, or with ``heads_of`` the trunk's with a short training.
        grid: field → values; or axes as text or as alternatives, see :mod:`sopedu.experiments.grid`.
        seeds: of the trainings.
        data: ``toyband`` or an index CSV.
        start_from: checkpoint with the weights to begin with.
        heads_of: checkpoint whose trunk gets new heads in every run, see :mod:`sopedu.model.heads`.
        pairs: held-out mixtures per evaluation seed.
        evaluation_seeds: each draws other held-out mixtures.

    Raises:
        SopeduError: a field, a value or a number is not possible, or two runs would be the same.
    """
    if start_from is not None and heads_of is not None:
        raise SopeduError("a sweep begins with the weights of a checkpoint, or with its trunk: name only one")
    if config is None:
        config = preset("tiny") if heads_of is None else heads_config(heads_of)
    seeds = [whole_number(seed, "seed", 0) for seed in seeds]
    judged = tuple(whole_number(seed, "evaluation seed", 0) for seed in evaluation_seeds)
    if not judged or len(set(judged)) < len(judged):
        raise SopeduError("a sweep needs at least one evaluation seed, and each only once")
    axes = axes_of(grid)
    runs = runs_of(config, combined(axes), seeds)
    if heads_of is not None:
        trunk = as_checkpoint(heads_of)
        for run in runs[: len(runs) // len(seeds)]:
            new_heads(trunk, run.config)  # raises an error if the trunk does not fit
    varied = tuple(map(fields_of, axes))
    origins = (None if origin is None else str(origin) for origin in (start_from, heads_of))
    return SweepPlan(tuple(runs), data, *origins, whole_number(pairs, "pairs", 1), judged, varied)


def run_sweep(
    out: str | Path,
    config: Config | None = None,
    grid: Grid = (),
    seeds: Sequence[int] = (0,),
    processes: int | None = None,
    budget: float | None = None,
    say: Callable[[str], object] = print,
    plan: SweepPlan | None = None,
    **others: Any,
) -> Sweep:
    """Train and score every combination of settings and seeds; a sweep that was stopped goes on.

    Runs are trained in other processes with one thread each, which do not know entries that a notebook has added to a
    registry.

    Args:
        out: folder of the sweep, which gets one folder per run; a new one, or that of the sweep to go on with, to
            which values and seeds may be added.
        config: see :func:`plan_sweep`.
        grid: see there.
        seeds: see there.
        processes: that train at the same time; None: one per core, or one if there is a GPU.
        budget: seconds; no run is begun that would, by the estimate, end later. None: no limit.
        say: function that prints a line of text.
        plan: instead of the arguments that :func:`plan_sweep` takes.
        **others: further arguments of :func:`plan_sweep`.

    Returns:
        results, and what failed or was not run.

    Raises:
        SopeduError: see :func:`plan_sweep`; the folder holds something else or is in use; no run fits the budget.
    """
    out = through_links(out)
    plan = plan or plan_sweep(config, grid, seeds, **others)
    if processes is None:
        processes = 1 if torch.cuda.is_available() else usable_cores()
    processes = whole_number(processes, "processes", 1)
    _require_free(out)
    with locked(out, "sweep"):
        write_plan(out, plan)
        todo = [run for run in plan.runs if read_result(out, run) is None]
        pool = SweepPool(out, plan, todo, processes, budget, say)
        pool.announce()
        if todo:
            (out / "logs").mkdir(exist_ok=True)
            prepare_data(plan, todo)
            pool.work()
        results = {run.name: read_result(out, run) for run in plan.runs}
    left = [name for name, result in results.items() if result is None and name not in pool.failed]
    finished = [result for result in results.values() if result is not None]
    return Sweep(out, plan, finished, pool.failed, left, pool.interrupted)


def resume_sweep(out: str | Path, **others: Any) -> Sweep:
    """Go on with a sweep as it was asked for.

    Args:
        out: folder of the sweep.
        **others: ``processes``, ``budget`` and ``say`` of :func:`run_sweep`.
    """
    return run_sweep(out, plan=read_plan(out), **others)


def prepare_data(plan: SweepPlan, runs: Iterable[SweepRun]) -> None:
    """Render or index all clips once, so that the processes only read them.

    Args:
        plan: of the sweep.
        runs: those that need clips.

    Raises:
        SopeduError: the data cannot be read.
    """
    seen = set()
    for config in (run.config for run in runs):
        key = (config.spectrogram, config.frames, config.toyband)
        if key in seen:
            continue
        seen.add(key)
        open_clips(plan.data, config)
        if plan.data == "toyband":
            names = config.toyband.instruments or INSTRUMENTS
            judged = replace(config, toyband=replace(config.toyband, instruments=names, empty_scenes=0))
            for seed in plan.evaluation_seeds:
                ToyBandClips(judged, "validation", 2 * plan.pairs, seed=seed, workers=usable_cores())


def _require_free(out: Path) -> None:
    """Check that a folder holds a sweep or nothing; hidden files of a sweep that was killed at once do not count."""
    if not (out / "sweep.json").exists() and (not out.is_dir() or any(p.name[0] != "." for p in out.iterdir())):
        require_new_folder(out)
