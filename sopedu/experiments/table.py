"""Tables of a sweep: the mean over the seeds, how far the seeds lie apart, and how sure the mean over the pairs is.

Two things make a figure uncertain, and they are given apart. The *spread* is the standard deviation of the seeds'
means: it says how much chance there is in the training. The *interval* is the 95 % bootstrap interval over the held-out
pairs of the mean over the seeds: it says how much depends on which pairs were drawn.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError
from sopedu.evaluation.statistics import bootstrap_interval
from sopedu.experiments.plan import LEAKS, SweepResult
from sopedu.files import write_json, written_aside

#: Scores of the tables: name → title.
TITLES = {
    "sdr": "SDR in dB",
    "sdr_improvement": "improvement in dB",
    "sdr_swapped": "SDR, pictures swapped, in dB",
    "leak_absent": "leak, absent picture, in dB",
    "leak_blank": "leak, empty room, in dB",
    "correlation": "correlation of estimates",
}
SPREAD = "± standard deviation over the seeds; [95 % bootstrap interval over the held-out pairs]"


@dataclass(frozen=True)
class SweepRow:
    """A variant: the runs that differ in their seeds only.

    Attributes:
        variant: its name.
        values: the varied fields and their values.
        seeds: of its finished runs.
        means: score → the mean of each seed, in the order of the seeds; NaN where there is none.
        intervals: score → lower and upper end of the mean over the seeds.
        seconds: of training, mean over the seeds.
        pairs: held-out mixtures that it was scored on.
    """

    variant: str
    values: dict[str, str]
    seeds: tuple[int, ...]
    means: dict[str, list[float]]
    intervals: dict[str, tuple[float, float]]
    seconds: float
    pairs: int

    def mean(self, score: str) -> float:
        """Return the mean over the seeds, NaN if there is none; energies are averaged before they become dB."""
        means = np.array(self.means[score])
        return float(10 * np.log10(np.mean(10 ** (means / 10)))) if score in LEAKS else float(np.mean(means))

    def spread(self, score: str) -> float:
        """Return the standard deviation over the seeds (n − 1), NaN for one seed."""
        return float(np.std(self.means[score], ddof=1)) if len(self.seeds) > 1 else math.nan


def summarise_sweep(results: Sequence[SweepResult]) -> list[SweepRow]:
    """Put the runs of each variant together.

    Args:
        results: from a sweep, all scored on the same pairs.

    Returns:
        one row per variant, in the order of the results.

    Raises:
        SopeduError: there is no result.
    """
    if not results:
        raise SopeduError("the sweep has no result yet: there is nothing to put into a table")
    rows = []
    for variant in dict.fromkeys(result.run.variant for result in results):
        runs = [result for result in results if result.run.variant == variant]
        means = {score: [result.mean(score) for result in runs] for score in TITLES if score in runs[0].scores}
        means["sdr_improvement"] = [run.mean("sdr") - run.mean("sdr_mixture") for run in runs]
        rows.append(
            SweepRow(
                variant, runs[0].run.values, tuple(result.run.seed for result in runs),
                {score: means[score] for score in TITLES},
                {score: _interval(runs, score) for score in TITLES},
                float(np.mean([result.seconds for result in runs])), len(runs[0].scores["sdr"]),
            )
        )  # fmt: skip
    return rows


def _interval(runs: Sequence[SweepResult], score: str) -> tuple[float, float]:
    """Bootstrap the mean over pairs and seeds; energies are averaged before they become dB."""
    if score == "sdr_improvement":
        values = [run.scores["sdr"] - run.scores["sdr_mixture"] for run in runs]
    else:
        values = [run.scores[score] for run in runs]
    if np.isnan(values).all(axis=1).any():  # a seed has no value at all, so there is no mean over the seeds
        return math.nan, math.nan
    low, high = bootstrap_interval(np.stack(values, axis=1))
    if score in LEAKS:
        low, high = (10 * np.log10(max(end, 1e-10)) if end == end else end for end in (low, high))
    return float(low), float(high)


def varying_fields(rows: Sequence[SweepRow]) -> list[str]:
    """Return the fields that have more than one value in these rows.

    Args:
        rows: from :func:`summarise_sweep`.
    """
    fields = dict.fromkeys(field for row in rows for field in row.values)
    return [field for field in fields if len({row.values.get(field) for row in rows}) > 1]


def format_sweep(rows: Sequence[SweepRow], form: str = "text", scores: Sequence[str] = tuple(TITLES)) -> str:
    """Format a sweep as a table.

    Args:
        rows: from :func:`summarise_sweep`.
        form: ``text``, ``markdown``, ``latex`` or ``csv``, which has a column per number.
        scores: one column each, names of :data:`TITLES`; a CSV has all.

    Raises:
        SopeduError: no such form.
    """
    if form == "csv":
        return _csv(rows)
    fields = varying_fields(rows) or list(rows[0].values)
    heads = [field.partition(".")[2].replace("_", " ") for field in fields]
    heads += [TITLES[score] for score in scores] + ["seeds", "time in s"]
    cells = [
        [row.values.get(field, "–") for field in fields]
        + [_cell(row, score, form) for score in scores]
        + [str(len(row.seeds)), f"{row.seconds:.0f}"]
        for row in rows
    ]
    if form == "markdown":
        lines = [heads, ["---"] * len(heads), *cells]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{SPREAD}; {_pairs(rows)}\n"
    if form == "latex":
        return _latex(heads, cells, len(fields)) + f"% {SPREAD.replace('%', 'percent')}; {_pairs(rows)}\n"
    if form != "text":
        raise SopeduError(f"no table in the form {form!r}: choose text, markdown, latex or csv")
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [heads, *cells]]
    return "\n".join(line.rstrip() for line in lines) + f"\n{SPREAD}; {_pairs(rows)}"


def write_tables(out: str | Path, rows: Sequence[SweepRow], failed: Mapping[str, str] | None = None) -> list[Path]:
    """Write ``table.csv``, ``table.md``, ``table.tex`` and ``table.json``.

    Args:
        out: folder of the sweep.
        rows: from :func:`summarise_sweep`.
        failed: name of a run → why it failed.

    Returns:
        the paths.
    """
    out = Path(out)
    paths = {out / "table.csv": "csv", out / "table.md": "markdown", out / "table.tex": "latex"}
    for path, form in paths.items():
        with written_aside(path, parents=True) as unfinished:
            unfinished.write_text(format_sweep(rows, form), encoding="utf-8")
    write_json(out / "table.json", {"rows": [row_figures(row) for row in rows], "failed": dict(failed or {})})
    return [*paths, out / "table.json"]


def row_figures(row: SweepRow) -> dict[str, Any]:
    """Return a row as JSON can hold it; None where there is no number.

    Args:
        row: from :func:`summarise_sweep`.
    """

    def number(value: float) -> float | None:
        return round(value, 4) if math.isfinite(value) else None

    return {
        "variant": row.variant,
        "values": row.values,
        "seeds": list(row.seeds),
        "pairs": row.pairs,
        "seconds": number(row.seconds),
        "scores": {
            score: {
                "mean": number(row.mean(score)),
                "spread": number(row.spread(score)),
                "interval": [number(end) for end in row.intervals[score]],
                "by_seed": [number(value) for value in row.means[score]],
            }
            for score in TITLES
        },
    }


def _csv(rows: Sequence[SweepRow]) -> str:
    fields = list(dict.fromkeys(field for row in rows for field in row.values))
    numbers = [f"{score}_{what}" for score in TITLES for what in ("mean", "spread", "low", "high")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["variant", *fields, "seeds", "pairs", "seconds", *numbers])
    for row in rows:
        values = [value for s in TITLES for value in (row.mean(s), row.spread(s), *row.intervals[s])]
        written = ["" if not math.isfinite(value) else f"{value:.4f}" for value in values]
        named = [row.values.get(field, "") for field in fields]
        writer.writerow([row.variant, *named, len(row.seeds), row.pairs, f"{row.seconds:.1f}", *written])
    return text.getvalue()


def _cell(row: SweepRow, score: str, form: str) -> str:
    mean, spread, (low, high) = row.mean(score), row.spread(score), row.intervals[score]
    if not math.isfinite(mean):
        return "–"
    plus, sign = (r"\pm", "-") if form == "latex" else ("±", "−")
    text = f"{mean:.2f}" + (f" {plus} {spread:.2f}" if math.isfinite(spread) else "")
    digits = 2 if score == "correlation" else 1
    text += f" [{low:.{digits}f}, {high:.{digits}f}]" if math.isfinite(low) else ""
    return f"${text}$" if form == "latex" else text.replace("-", sign)


def _latex(heads: Sequence[str], cells: Sequence[Sequence[str]], named: int) -> str:
    def line(values: Sequence[str], plain: int) -> str:
        safe = [_latex_text(value) if i < plain else value for i, value in enumerate(values)]
        return " & ".join(safe) + r" \\"

    body = [line(values, named) for values in cells]
    columns = "l" * named + "r" * (len(heads) - named)
    begin = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", line(heads, len(heads)), r"\hline"]
    return "\n".join([*begin, *body, r"\hline", r"\end{tabular}", ""])


def _latex_text(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "–": "--", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, "\\" + letter if letter in "&%$#_{}" else letter) for letter in text)


def _pairs(rows: Sequence[SweepRow]) -> str:
    return f"{rows[0].pairs} pairs"
