"""Figures of the lab for saved notebooks: two runs side by side, and learning curves of any number of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from sopedu.lessons.lab_runs import LabRun
from sopedu.lessons.lab_view import LabPair, Separated, pictures_with_maps
from sopedu.plots import NotebookFigure, plot_mask, plot_spectrogram

# Okabe and Ito's colours, without yellow and black, which are hard to see on a light or on a dark page.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 2), (9, 2, 2, 2))
#: The range of an axis of SDR improvements in dB; what lies outside is drawn at its end, as an arrowhead.
SCORE_RANGE = (-5.0, 15.0)


def curve_style(number: int) -> tuple[str, tuple[float, ...]]:
    """Return the colour and the dashes of a curve, lengths of strokes and gaps in points; no two numbers share both.

    Args:
        number: of the curve, from 0.
    """
    again, place = divmod(number, len(_COLOURS) * len(_DASHES) // 2)  # 6 colours and 4 dashes: 12 meet only once
    dashes = _DASHES[place % len(_DASHES)]
    if again:
        dashes = (dashes or (14, 2)) + (1.5, 2) * again
    return _COLOURS[place % len(_COLOURS)], dashes


def relative_losses(run: LabRun) -> tuple[list[float], list[float]]:
    """Return the steps of a run and its losses divided by the first, because losses of different kinds differ in scale.

    Args:
        run: with a history.
    """
    losses = [entry["loss"] for entry in run.history]
    return [entry["step"] for entry in run.history], [loss / (losses[0] or 1.0) for loss in losses]


def plot_two_runs(
    sides: Sequence[tuple[str, LabRun | None, Separated | None]],
    pair: LabPair,
    source: int,
    alike: Sequence[Sequence[LabRun]],
) -> NotebookFigure:
    """Draw two runs, one per row: map, predicted and true mask, spectrogram, and scores of all seeds.

    Args:
        sides: letter, run and what it makes of the pair.
        pair: that is heard.
        source: number of the source that is drawn, 0 or 1.
        alike: for each side the runs with the same choices.
    """
    figure = NotebookFigure(figsize=(11, 5.6), layout="constrained")
    rows = figure.subfigures(len(sides), 1)
    for number, (row, (letter, run, seen)) in enumerate(zip(rows, sides, strict=True)):
        title = run.title if run else "no run has these choices"
        row.suptitle(f"{letter}: {title}", fontweight="bold", x=0.01, ha="left")
        panels = row.subplots(1, 5, width_ratios=(0.8, 1, 1, 1, 0.9))
        if run is None or seen is None:
            for axes in panels:
                axes.set_axis_off()
            continue
        sound, true = pair.config.spectrogram, pair.true_masks(run.values["target"])
        panels[0].imshow(pictures_with_maps(pair, seen)[source])
        panels[0].set_axis_off()
        panels[0].set_title(f"{pair.names[source]}: sound map", fontsize=10, parse_math=False)
        plot_mask(seen.masks[source], sound, panels[1], "predicted mask", colour_bar=False)
        plot_mask(true[source], sound, panels[2], "true mask", colour_bar=False)
        reference = float(pair.magnitude.max())
        plot_spectrogram(
            seen.magnitudes[source], sound, panels[3], "estimate", reference=reference, colour_bar=False
        )  # fmt: skip
        for axes in panels[1:4]:
            axes.title.set_fontsize(10)
            axes.tick_params(labelsize=8)
        for axes in panels[2:4]:
            axes.set(ylabel="", yticklabels=[])
        _plot_scores(panels[4], run, alike[number], _COLOURS[number], "os"[number % 2])
    figure.colours = 220
    return figure


def plot_curves(named: Sequence[tuple[str, LabRun, int]]) -> NotebookFigure:
    """Draw the learning curves of several runs, and what they improve on the lab's mixtures as they learn.

    Losses of different kinds have different scales: each curve is divided by its own first value, and only the panel
    to the right can be compared between losses.

    Args:
        named: names, runs, and numbers of their styles.
    """
    figure = NotebookFigure(figsize=(9, 2.9 + 0.22 * len(named)), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, run, number in named:
        colour, dashes = curve_style(number)
        style = {"color": colour, "linestyle": (0, dashes) if dashes else "-", "linewidth": 1.6}
        left.plot(*relative_losses(run), label=name, **style)
        looked = [(entry["step"], entry["improvement"]) for entry in run.history if "improvement" in entry]
        if looked:
            right.plot(*zip(*looked, strict=True), marker="o", markersize=3, **style)
    left.set(xlabel="step", ylabel="loss / its first value", title="Loss in training")
    right.set(xlabel="step", ylabel="SDR improvement in dB", title="On the lab's held-out mixtures (live runs)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.title.set_fontsize(10)
    legend = figure.legend(loc="outside lower center", frameon=False, handlelength=4, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _plot_scores(axes: Axes, run: LabRun, alike: Sequence[LabRun], colour: str, marker: str) -> None:
    known = [one for one in alike if math.isfinite(one.sdr_improvement)]
    low, high = SCORE_RANGE
    for number, one in enumerate(known):
        score = one.sdr_improvement
        shape = "<" if score < low else ">" if score > high else marker  # what lies outside is pointed at
        how = {"markerfacecolor": colour if one is run else "none", "markersize": 8, "clip_on": False}
        axes.plot(np.clip(score, low, high), (-0.25, 0.0, 0.25)[number % 3], shape, color=colour, **how)
    if known:
        mean = float(np.mean([one.sdr_improvement for one in known]))
        text = f"mean of {len(known)}: {mean:z.1f} dB" if len(known) > 1 else f"{mean:z.1f} dB, one run"
        if low <= mean <= high:
            axes.plot([mean] * 2, (-0.5, 0.5), color=colour, linewidth=2)
        axes.set_title(text.replace("-", "−"), fontsize=10)
    outside = any(not low <= one.sdr_improvement <= high for one in known)
    note = "filled: this run" + ("\narrowhead: off the axis" if outside else "")
    axes.set(xlim=SCORE_RANGE, ylim=(-1, 1), yticks=[], xlabel=f"SDR improvement in dB\n({note})")
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
