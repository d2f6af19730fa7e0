"""Figures of a sweep: what each varied field does to the score and to the leak, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes

from sopedu.experiments.table import TITLES, SweepRow, varying_fields
from sopedu.plots import INK, NotebookFigure, save_figure

# Okabe and Ito's colours without yellow, which is faint on white, and grey instead of black; the marker
# changes with the colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", INK, "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_EXPLANATION = "small: one seed; large: mean of the seeds;\nbar: 95 % interval over held-out pairs"
_OTHERS = "all other settings"


def plot_sweep(rows: Sequence[SweepRow], fields: Sequence[str], scores: Sequence[str] = ()) -> NotebookFigure:
    """Draw scores over the values of a varied field, or of fields that vary together.

    Each combination of the other fields is a series of its own; if there are more than seven, all are drawn as one,
    without intervals.

    Args:
        rows: from :func:`sopedu.experiments.table.summarise_sweep`.
        fields: on the horizontal axis.
        scores: one panel each, names of :data:`sopedu.experiments.table.TITLES`; empty: SDR and the leak for a
            picture of an absent instrument, or for an empty room where none is absent.
    """
    if not scores:
        absent = any(math.isfinite(row.mean("leak_absent")) for row in rows)
        scores = ("sdr", "leak_absent" if absent else "leak_blank")
    places = list(dict.fromkeys(_label(row, fields) for row in rows))
    others = [field for field in varying_fields(rows) if field not in fields]
    series: dict[str, list[SweepRow]] = {}
    for row in rows:
        series.setdefault(_label(row, others), []).append(row)
    apart = len(series) <= len(_COLOURS)
    series = series if apart else {_OTHERS: list(rows)}
    width = max(5.5, 1.5 + 0.35 * len(places) * max(2, len(series)))
    figure = NotebookFigure(figsize=(width, 2.8 * len(scores) + 0.7), layout="constrained")
    panels = figure.subplots(len(scores), 1, sharex=True, squeeze=False)[:, 0]
    for axes, score in zip(panels, scores, strict=True):
        for number, (name, members) in enumerate(series.items()):
            shift = 0.6 * ((number + 0.5) / len(series) - 0.5) if len(series) > 1 else 0.0
            _draw(axes, members, fields, places, score, number, shift, name, apart)
        axes.set_ylabel(TITLES[score].replace(", in dB", "\nin dB").replace("leak, ", "leak,\n"))
        axes.grid(axis="y", alpha=0.3)
    panels[-1].set_xticks(range(len(places)), places, parse_math=False)
    panels[-1].set_xlim(-0.6, len(places) - 0.4)
    if sum(map(len, places)) > 9 * width:
        panels[-1].tick_params(axis="x", rotation=30)
        for text in panels[-1].get_xticklabels():
            text.set_horizontalalignment("right")
    panels[-1].set_xlabel(_named(fields, width) or "all settings are the same", parse_math=False)
    panels[0].set_title(_EXPLANATION, fontsize=9)
    if len(series) > 1 or not apart:
        handles, labels = panels[0].get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside lower center", frameon=False, title=_named(others, width))
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def plot_trade_off(rows: Sequence[SweepRow], leak: str = "leak_absent") -> NotebookFigure:
    """Draw SDR against leak, one point per variant: better is to the left and up.

    Args:
        rows: from :func:`sopedu.experiments.table.summarise_sweep`.
        leak: ``leak_absent`` or ``leak_blank``.
    """
    width = 7
    figure = NotebookFigure(figsize=(width, 4.2 + 0.14 * len(rows)), layout="constrained")
    axes, fields = figure.subplots(), varying_fields(rows)
    for number, row in enumerate(rows):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[(number + number // 7) % len(_MARKERS)]
        x, y = row.mean(leak), row.mean("sdr")
        ends = np.abs(np.array([row.intervals[leak], row.intervals["sdr"]]) - np.array([[x], [y]]))
        axes.errorbar(
            x, y, xerr=ends[:1].T, yerr=ends[1:].T, color=colour, marker=marker, markersize=8, linestyle="none",
            elinewidth=1, alpha=0.9, label=_label(row, fields) or row.variant or "as configured",
        )  # fmt: skip
    axes.set(xlabel=f"{TITLES[leak]} (less is better)", ylabel="SDR in dB (more is better)")
    axes.set_title("What silence costs; bars: 95 % intervals over pairs", fontsize=9)
    axes.grid(alpha=0.3)
    title = _named(fields, width)
    legend = figure.legend(loc="outside lower center", frameon=False, ncols=2, title=title, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def write_plots(out: str | Path, rows: Sequence[SweepRow], axes: Sequence[Sequence[str]]) -> list[Path]:
    """Write one figure per axis of the grid that has more than one value among the rows.

    Args:
        out: folder of the sweep.
        rows: from :func:`sopedu.experiments.table.summarise_sweep`.
        axes: of the grid: the fields of each.

    Returns:
        the paths, such as ``figure_components.png``.
    """
    varied = [fields for fields in axes if len({_label(row, fields) for row in rows}) > 1]
    names = ["-".join(field.partition(".")[2] for field in fields) for fields in varied]
    return [
        save_figure(Path(out) / f"figure_{name.replace('_', '-')[:80]}.png", plot_sweep(rows, fields))
        for name, fields in zip(names, varied, strict=True)
    ]


def _draw(
    axes: Axes, rows: Sequence[SweepRow], fields: Sequence[str], places: Sequence[str], score: str, number: int,
    shift: float, name: str, apart: bool,
) -> None:  # fmt: skip
    colour, marker = _COLOURS[number], _MARKERS[number]
    grouped = [[row for row in rows if _label(row, fields) == place] for place in places]
    found = [(x + shift, members) for x, members in enumerate(grouped) if members]
    means = [float(np.mean([row.mean(score) for row in members])) for _, members in found]
    for x, members in found:
        values = [value for row in members for value in row.means[score]]
        # Seeds lie a little apart, so that equal ones can be seen.
        spread = np.linspace(-0.06, 0.06, len(values)) if len(values) > 1 else [0.0]
        axes.plot(x + np.array(spread), values, marker, color=colour, markerfacecolor="white", markersize=4, alpha=0.8)
    ends = np.full((2, len(found)), np.nan)
    if apart:
        low, high = np.array([members[0].intervals[score] for _, members in found]).T
        ends = np.array([np.subtract(means, low), np.subtract(high, means)]).clip(min=0)
    axes.errorbar(
        [x for x, _ in found], means, yerr=ends, color=colour, marker=marker, markersize=7, linestyle="none",
        elinewidth=1.5, capsize=3, label=name or "all runs",
    )  # fmt: skip


def _named(fields: Sequence[str], width: float) -> str:
    """The names of fields, in lines that fit into a figure of some inches."""
    return fill(" and ".join(fields), round(9 * width), break_long_words=False)


def _label(row: SweepRow, fields: Sequence[str]) -> str:
    """The values of some fields, as an axis or a legend shows them."""
    return ", ".join(row.values[field] for field in fields if field in row.values)
