"""What a sweep was asked for, as its ``sweep.json`` holds it, and the results that its runs have written so far."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.config import from_dict, to_dict
from sopedu.errors import SopeduError
from sopedu.experiments.grid import SweepRun
from sopedu.files import write_json

#: Scores of each pair that are energies relative to the mixture; their means are given in dB.
LEAKS = ("leak_blank", "leak_absent")


@dataclass(frozen=True)
class SweepPlan:
    """A sweep before its first run.

    Attributes:
        runs: in the order in which they are trained.
        data: ``toyband`` or an index CSV.
        start_from: checkpoint with the weights to begin with, or None.
        heads_of: checkpoint with the trunk of all models, or None.
        pairs: held-out mixtures per evaluation seed.
        evaluation_seeds: each draws other pairs; all runs get the same ones.
        axes: of the grid: the fields that vary together, axis by axis.
    """

    runs: tuple[SweepRun, ...]
    data: str = "toyband"
    start_from: str | None = None
    heads_of: str | None = None
    pairs: int = 32
    evaluation_seeds: tuple[int, ...] = (0,)
    axes: tuple[tuple[str, ...], ...] = ()

    def run(self, name: str) -> SweepRun:
        """Return the run of a name."""
        return next(run for run in self.runs if run.name == name)


@dataclass(frozen=True)
class SweepResult:
    """What one run has reached.

    Attributes:
        run: its place in the grid.
        scores: by name, one number per held-out pair, see :func:`sopedu.evaluation.pair_scores.scores_by_pair`.
        steps: of the training.
        seconds: that the training took.
    """

    run: SweepRun
    scores: dict[str, np.ndarray]
    steps: int
    seconds: float

    def mean(self, score: str) -> float:
        """Return the mean over the pairs that have a value, in dB (``correlation``: as it is); NaN if none has."""
        values = self.scores[score]
        known = values[~np.isnan(values)]
        mean = float(known.mean()) if len(known) else float("nan")
        return 10 * float(np.log10(max(mean, 1e-10))) if score in LEAKS else mean


def write_plan(out: Path, plan: SweepPlan) -> None:
    """Write ``sweep.json`` for a new sweep, or for one that is continued, perhaps with more runs.

    Args:
        out: folder of the sweep.
        plan: of it.

    Raises:
        SopeduError: the folder holds a sweep that this one does not continue.
    """
    if (out / "sweep.json").exists():
        _require_continued(out, read_plan(out), plan)
    runs = [asdict(run) | {"config": to_dict(run.config)} for run in plan.runs]
    write_json(out / "sweep.json", vars(plan) | {"runs": runs})


def read_plan(out: str | Path) -> SweepPlan:
    """Read what a sweep was asked for.

    Args:
        out: folder of the sweep.

    Raises:
        SopeduError: there is no sweep, or its file is damaged.
    """
    path = Path(out) / "sweep.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple(SweepRun(**one | {"config": from_dict(one["config"])}) for one in values["runs"])
        axes = tuple(tuple(fields) for fields in values["axes"])
        return SweepPlan(**values | {"runs": runs, "axes": axes, "evaluation_seeds": tuple(values["evaluation_seeds"])})
    except FileNotFoundError as error:
        raise SopeduError(f"{path}: no such file, so there is no sweep; begin one with --grid") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SopeduError(f"{path}: not readable as a sweep ({error}); begin anew in another folder") from error


def read_result(out: str | Path, run: SweepRun) -> SweepResult | None:
    """Read the result of a run; None if it has none yet.

    Args:
        out: folder of the sweep.
        run: one of its runs.

    Raises:
        SopeduError: the file is damaged.
    """
    path = Path(out) / run.name / "results.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        scores = {name: np.array(by_pair, dtype=float) for name, by_pair in values["by_pair"].items()}
        return SweepResult(run, scores, int(values["steps"]), float(values["seconds"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SopeduError(
            f"{path}: not readable as results ({error}); remove the file, and resume the sweep"
        ) from error


def read_results(out: str | Path) -> list[SweepResult]:
    """Read the results of all runs that have some.

    Args:
        out: folder of a sweep.
    """
    found: Sequence[SweepResult | None] = [read_result(out, run) for run in read_plan(out).runs]
    return [result for result in found if result is not None]


def write_result(out: Path, result: SweepResult) -> None:
    """Write a result where :func:`read_result` finds it.

    Args:
        out: folder of the sweep.
        result: of one of its runs.
    """
    by_pair = {name: [None if np.isnan(v) else float(v) for v in values] for name, values in result.scores.items()}
    means = {name: result.mean(name) for name in result.scores}
    values = {
        "values": result.run.values,
        "seed": result.run.seed,
        "steps": result.steps,
        "seconds": round(result.seconds, 2),
        "figures": {name: None if np.isnan(mean) else round(mean, 4) for name, mean in means.items()},
        "by_pair": by_pair,
    }
    write_json(out / result.run.name / "results.json", values)


def _require_continued(out: Path, before: SweepPlan, plan: SweepPlan) -> None:
    for name in ("data", "start_from", "heads_of", "pairs", "evaluation_seeds"):
        was, now = getattr(before, name), getattr(plan, name)
        if was != now:
            raise SopeduError(f"{out}: holds a sweep with {name} {was!r}, not {now!r}; choose another --out")
    now = {run.name: run.config for run in plan.runs}
    for run in before.runs:
        if run.name not in now:
            raise SopeduError(
                f"{out}: holds a sweep with a run {run.name}; keep it in the grid, or choose another --out"
            )
        if now[run.name] != run.config:
            raise SopeduError(f"{out}: {run.name} had other settings; choose another --out")
