"""Compare runs: their settings, results and learning curves.

    >>> compare_runs(["runs/k8", "runs/k32"])             # a table, one row per run
    >>> plot_comparison(["runs/k8", "runs/k32"])          # learning curves over steps and over seconds

The loss of a run jumps from record to record, so each loss here is a mean over the same number of steps in all runs: a
twentieth of the longest run, or the steps between two records if that is more.

Notebook: 13_train_full.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError
from sopedu.plots import INK, NotebookFigure
from sopedu.training.callbacks import read_history

#: Folders of runs or files of their histories; or names → these or histories like ``Run.history``.
Runs = Sequence[str | Path] | Mapping[str, str | Path | Sequence[Mapping[str, float]]]

# Okabe and Ito's colours without yellow, which is faint on white, and grey instead of black; the line style
# changes with the colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", INK, "#E69F00")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class _Recorded:
    """A run that was read: its records, and its settings by field (None if its configuration is not known)."""

    name: str
    history: list[Mapping[str, float]]
    settings: dict[str, Any] | None

    def column(self, key: str) -> np.ndarray:
        """Return a figure of all records, NaN where it was not recorded."""
        return np.array([entry.get(key, math.nan) for entry in self.history], dtype=float)


def compare_runs(runs: Runs) -> list[dict[str, Any]]:
    """Put runs side by side in a table.

    Args:
        runs: folders that ``sopedu train`` wrote, files of histories, or names → folders or histories.

    Returns:
        one row per run: ``run``, ``settings`` (those that differ between the runs, by field; None if they are not
        known), ``steps``, ``seconds``, ``mixtures_per_second`` (median), ``smoothing_steps``, and ``final`` and
        ``best`` of ``loss`` (a mean over ``smoothing_steps``), ``validation_loss`` and ``validation_sdr`` (dB), the
        best with its step in ``best_…_step``. Figures that were not recorded are None.

    Raises:
        SopeduError: a run cannot be found or read, or has no record yet.

    Notebook: 13_train_full.
    """
    recorded = _read(runs)
    differing, span = _differing(recorded), _span(recorded)
    rows = []
    for run in recorded:
        settings = run.settings and {field: run.settings.get(field) for field in differing}
        row = {"run": run.name, "settings": settings, "steps": int(run.history[-1]["step"])}
        speeds = [entry["mixtures_per_second"] for entry in run.history if "mixtures_per_second" in entry]
        row["seconds"] = run.history[-1].get("seconds")
        row["mixtures_per_second"] = statistics.median(speeds) if speeds else None
        row["smoothing_steps"] = span
        steps = run.column("step")
        row |= _final_and_best("loss", steps, _smoothed(steps, run.column("loss"), span), np.nanargmin)
        row |= _final_and_best("validation_loss", steps, run.column("validation_loss"), np.nanargmin)
        row |= _final_and_best("validation_sdr", steps, run.column("validation_sdr"), np.nanargmax)
        rows.append(row)
    return rows


def plot_comparison(runs: Runs) -> NotebookFigure:
    """Draw the learning curves of runs over steps and over seconds, and their SDR on held-out mixtures if recorded.

    The legend names the settings that differ. If the runs were trained with different losses, whose scales differ,
    each curve is divided by its first value. Circles are losses on held-out mixtures.

    Args:
        runs: as for :func:`compare_runs`.

    Raises:
        SopeduError: as :func:`compare_runs`.

    Notebook: 13_train_full.
    """
    recorded = _read(runs)
    differing, span = _differing(recorded), _span(recorded)
    keys = {key for run in recorded for entry in run.history for key in entry}
    clocks = [clock for clock in ("step", "seconds") if clock in keys]
    rows = 2 if "validation_sdr" in keys else 1
    relative = any(field.startswith("loss.") for field in differing)
    size = (5.5 * len(clocks), 3 * rows + 0.5 + 0.22 * len(recorded))
    figure = NotebookFigure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, len(clocks), squeeze=False, sharex="col", sharey="row")
    for number, (run, label) in enumerate(zip(recorded, _labels(recorded, differing), strict=True)):
        style = {"color": _COLOURS[number % len(_COLOURS)], "linestyle": _STYLES[number % len(_STYLES)]}
        circles = {"marker": "o", "markerfacecolor": "white", "markersize": 5}
        losses, held_out, sdr = (run.column(key) for key in ("loss", "validation_loss", "validation_sdr"))
        losses, scored = _smoothed(run.column("step"), losses, span), np.isfinite(sdr)
        scale = losses[0] if relative and losses[0] else 1.0
        for axes, clock in zip(grid.T, clocks, strict=True):
            times = run.column(clock)
            axes[0].plot(times, losses / scale, label=label, **style)
            axes[0].plot(times, held_out / scale, **style | circles | {"linestyle": "none"})
            if rows > 1:
                axes[1].plot(times[scored], sdr[scored], **style | circles)
    label = ("loss / its first value" if relative else "loss") + (f", mean over {span} steps" if span > 1 else "")
    grid[0, 0].set_ylabel(label + ("\n(circles: on held-out mixtures)" if "validation_loss" in keys else ""))
    if rows > 1:
        grid[1, 0].set_ylabel("SDR in dB\non held-out mixtures")
    for axes, clock in zip(grid.T, clocks, strict=True):
        axes[0].set_title("Over steps" if clock == "step" else "Over time")
        axes[-1].set_xlabel("step" if clock == "step" else "time of training in s")
        for one in axes:
            one.grid(alpha=0.3)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", frameon=False, handlelength=4)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names may contain dollar signs, which would start a formula
    return figure


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format a comparison as text: a table of figures, then the settings that differ.

    Args:
        rows: from :func:`compare_runs`.

    Returns:
        several lines.
    """
    columns = {
        "steps": ("steps", "{:.0f}"),
        "seconds": ("seconds", "{:.0f}"),
        "mixtures/s": ("mixtures_per_second", "{:.3g}"),
        "final loss": ("final_loss", "{:.4f}"),
        "best loss": ("best_loss", "{:.4f}"),
        "final SDR": ("final_validation_sdr", "{:.2f}"),
        "best SDR": ("best_validation_sdr", "{:.2f}"),
        "at step": ("best_validation_sdr_step", "{:.0f}"),
    }
    width = max(5, *(len(row["run"]) + 1 for row in rows))
    lines = ["run".ljust(width) + "".join(f"{title:>12}" for title in columns)]
    for row in rows:
        cells = ("–" if row[key] is None else form.format(row[key]) for key, form in columns.values())
        lines.append(row["run"].ljust(width) + "".join(f"{cell:>12}" for cell in cells))
    lines.append(f"loss: of training, mean over {rows[0]['smoothing_steps']} steps; SDR: of validation, in dB")
    fields = dict.fromkeys(field for row in rows for field in row["settings"] or ())
    if any(field.startswith("loss.") for field in fields):
        lines.append("the runs have different losses: compare their SDR, not their losses")
    lines.append("set differently:" if fields else "no setting is known to differ")
    for field in fields:
        values = ("?" if row["settings"] is None else _text(row["settings"][field]) for row in rows)
        lines.append(f"  {field:28}" + " | ".join(values))
    return "\n".join(lines)


def _smoothed(steps: np.ndarray, values: np.ndarray, span: int) -> np.ndarray:
    """Return at each record ``(n,)`` the mean of the records of the last ``span`` steps; at first there are fewer."""
    first = np.searchsorted(steps, steps - span, side="right")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(steps) + 1)
    return (sums[last] - sums[first]) / (last - first)


def _read(runs: Runs) -> list[_Recorded]:
    if isinstance(runs, (str, Path)):
        raise SopeduError(f"{runs}: to compare runs, give a list of their folders")
    named = runs if isinstance(runs, Mapping) else dict(zip(_names(runs), runs, strict=True))
    if not named:
        raise SopeduError("there is no run to compare: name the folders of some")
    recorded = []
    for name, source in named.items():
        if isinstance(source, (str, Path)):
            history, settings = read_history(source), _settings(Path(source))
        else:
            history, settings = list(source), None
        if not history:
            raise SopeduError(f"{name}: has no record yet; wait for its first, or leave it out")
        recorded.append(_Recorded(str(name), history, settings))
    return recorded


def _names(paths: Sequence[str | Path]) -> list[str]:
    """Name runs by the shortest ends of their paths that are unique."""
    parts = [_folder(Path(path)).absolute().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise SopeduError("the same run is named twice; name each once")
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _folder(path: Path) -> Path:
    return path.parent if path.name in ("history.jsonl", "history.json") else path


def _settings(path: Path) -> dict[str, Any] | None:
    """Read the configuration of a run by field, and its data, as any version has written them."""
    folder = _folder(path)
    paths = [folder / "checkpoint" / "config.json", folder / "run.json"]  # the latter exists from the beginning
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
        trained_on = notes.get("trained_on", notes)
        settings = {"preset": notes["config"]["name"]}
        settings |= {key: trained_on.get(key) for key in ("data", "precision", "device")}
        for section, fields in notes["config"].items():
            if isinstance(fields, dict):
                settings |= {f"{section}.{key}": value for key, value in fields.items()}
        return settings
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SopeduError(f"{path}: not readable as a configuration ({error}); leave this run out") from error


def _differing(runs: Sequence[_Recorded]) -> list[str]:
    """Return the fields that have more than one value among the runs whose settings are known."""
    known = [run.settings for run in runs if run.settings is not None]
    fields = dict.fromkeys(field for settings in known for field in settings)
    values = {field: [s[field] for s in known if s.get(field) is not None] for field in fields}
    return [field for field, several in values.items() if any(value != several[0] for value in several)]


def _labels(runs: Sequence[_Recorded], differing: Sequence[str]) -> list[str]:
    """Label runs by the settings that differ; by name too where these are not known or are the same."""
    labels = [
        ", ".join(f"{field}={_text(run.settings.get(field))}" for field in differing) if run.settings else ""
        for run in runs
    ]
    return [
        label if label and labels.count(label) == 1 else ": ".join(filter(None, (run.name, label)))
        for run, label in zip(runs, labels, strict=True)
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(not set)"
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _span(runs: Sequence[_Recorded]) -> int:
    """Return the number of steps to average over; at least those between two records, which are means themselves."""
    between = [np.median(np.diff(run.column("step"), prepend=0.0)) for run in runs]
    return max(1, round(max(*between, max(run.history[-1]["step"] for run in runs) / 20)))


def _final_and_best(name: str, steps: np.ndarray, values: np.ndarray, choose: Any) -> dict[str, Any]:
    recorded = np.flatnonzero(np.isfinite(values))
    if not len(recorded):
        return dict.fromkeys((f"final_{name}", f"best_{name}", f"best_{name}_step"))
    best = choose(values)
    return {
        f"final_{name}": float(values[recorded[-1]]),
        f"best_{name}": float(values[best]),
        f"best_{name}_step": int(steps[best]),
    }
