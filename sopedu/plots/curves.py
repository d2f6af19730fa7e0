"""Learning curves, levels over time, and scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sopedu.errors import SopeduError
from sopedu.plots.figures import BLUE, GREY, INK, VERMILION, NotebookFigure, as_array, line_style, new_axes, two_digits

#: Rows of an evaluation's table in the order shown: key → name for people.
ROW_NAMES = {
    "mixture": "mixture",
    "static_mask": "static mask",
    "nmf_by_class": "NMF, classes told",
    "nmf_seen": "NMF, classes seen",
    "nmf_by_class_best": "NMF at its best, told",
    "nmf_seen_best": "NMF at its best, seen",
    "model": "model",
    "model_normalised": "model, masks normalised",
    "same_class_picture": "other players' pictures",
    "ideal_binary_mask": "ideal binary mask",
    "ideal_ratio_mask": "ideal ratio mask",
    "swapped": "swapped pictures",
}


def plot_history(history: Sequence[Mapping[str, float]], axes: Axes | None = None) -> Figure:
    """Draw the loss as recorded and smoothed, the loss on held-out mixtures, and the learning rate.

    Args:
        history: records as in ``Run.history``, with ``step`` and ``loss``, and where known ``learning_rate``,
            ``validation_loss`` and ``validation_sdr`` (shown in the title).
        axes: to draw the losses alone into; by default a new figure has both.

    Raises:
        SopeduError: the history is empty.

    Notebook: 09_train_live.
    """
    if not history:
        raise SopeduError("the history is empty: there is no learning curve before the first recorded step")
    steps, losses = ([entry[key] for entry in history] for key in ("step", "loss"))
    judged = [(entry["step"], entry["validation_loss"]) for entry in history if "validation_loss" in entry]
    sdr = next((f", validation SDR {e['validation_sdr']:.1f} dB" for e in history[::-1] if "validation_sdr" in e), "")
    window, marker = max(1, len(losses) // 20), "." if len(losses) < 40 else None
    if axes is None:
        figure = NotebookFigure(figsize=(8, 4), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        rates = [entry.get("learning_rate", math.nan) for entry in history]
        below.plot(steps, rates, color=INK, linewidth=1, marker=marker)
        below.set(xlabel="step", ylabel="learning\nrate", ylim=(0, 1.1 * np.nanmax([1e-12, *rates])))
        below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        below.grid(alpha=0.3)
    else:
        axes.set_xlabel("step")
    axes.plot(steps, losses, color=BLUE, alpha=0.7, linewidth=0.8, marker=marker, label="as recorded")
    if window > 1:
        means = np.convolve(losses, np.ones(window) / window, "valid")  # of the window that ends at each step
        axes.plot(steps[window - 1 :], means, color=VERMILION, label=f"mean of the last {window} records")
    if judged:
        axes.plot(*zip(*judged, strict=True), "o--", color=INK, markersize=4, linewidth=1, label="held-out mixtures")
    axes.set(title=f"Learning curve: loss {losses[-1]:.2g} at step {steps[-1]:g}{sdr.replace('-', '−')}", ylabel="loss")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return axes.figure


def plot_rates(found: Mapping[str, Any], axes: Axes | None = None) -> Figure:
    """Draw the losses of a learning-rate range test over the rates, with its suggestion and the configured rate.

    Args:
        found: ``rates``, ``losses``, ``smooth``, ``configured``, ``unstable`` and ``suggestion``, as
            :class:`sopedu.training.RateRange` has them; a loss that is not finite is None. Without an unstable rate
            the title says so.
        axes: to draw into; by default those of a new figure.

    Notebook: 09_train_live.
    """
    rates, smooth = found["rates"], np.array(found["smooth"])
    losses = np.array([math.nan if loss is None else loss for loss in found["losses"]])
    ending = ": the loss does not rise by 10 %" if found["unstable"] is None else ""
    axes = new_axes(axes, (8, 3.6), f"Learning-rate range test{ending}")
    axes.plot(rates, losses, ".", color=GREY, markersize=5, label="loss of one step")
    axes.plot(rates[: len(smooth)], smooth, color=BLUE, label="averaged with its neighbours")
    for name, style, colour in (("configured", "-", INK), ("suggestion", "--", VERMILION), ("unstable", ":", GREY)):
        if found[name] is not None:
            axes.axvline(found[name], linestyle=style, color=colour, linewidth=1.2, label=f"{name} {found[name]:.1e}")
    low, high = smooth.min(), np.quantile(smooth, 0.95)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.3 * (high - low), high + (high - low)))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.grid(alpha=0.3)
    return axes.figure


def plot_levels(levels: Any, seconds: float, names: Sequence[str], axes: Axes | None = None) -> Figure:
    """Draw the loudness of sounds over time, the first of them in grey behind the others.

    Args:
        levels: ``(N, n)`` in dB, N sounds at n times evenly spread over ``seconds``.
        seconds: length of the sounds.
        names: of the N sounds.
        axes: to draw into; by default those of a new figure.
    """
    values = as_array(levels)
    axes = new_axes(axes, (9, 3), "")
    times = (np.arange(values.shape[1]) + 0.5) * seconds / values.shape[1]
    axes.fill_between(times, -60, values[0], color=GREY, alpha=0.5, linewidth=0, label=names[0])
    for number, (line, name) in enumerate(zip(values[1:], names[1:], strict=True)):
        style, colour = line_style(number)
        axes.plot(times, line, style, color=colour, linewidth=1.4, label=name)
    axes.set(xlim=(0, seconds), ylim=(-60, 3), xlabel="time in s", ylabel="level in dB")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return axes.figure


def plot_scores(
    table: Mapping[str, Mapping[str, float]],
    axes: Axes | None = None,
    intervals: Mapping[str, Mapping[str, Sequence[float | None]]] | None = None,
) -> Figure:
    """Draw the mean SDR of every row of an evaluation's table.

    Args:
        table: row → scores by name, as :func:`sopedu.evaluate` returns it.
        axes: to draw into; by default those of a new figure.
        intervals: row → ends of the interval of each score, as there; drawn as lines on the bars.

    Notebook: 03_measuring_separation.
    """
    names = [name for name in ROW_NAMES if name in table]
    axes = new_axes(axes, (8, 0.42 * len(names) + 1), "Signal-to-distortion ratio, mean over all sources")
    colours = [VERMILION if name in ("model", "model_normalised") else GREY for name in names]
    labels, values = [ROW_NAMES[name] for name in names], [table[name]["sdr"] for name in names]
    # Matplotlib's own numbers have a real minus sign on the axis, so the labels get one too.
    bars, ends = axes.barh(labels, values, color=colours, alpha=0.55), list(values)  # intervals show on them
    for number, name in enumerate(names):
        interval = [end for end in (intervals or {}).get(name, {}).get("sdr", ()) if end is not None]
        if len(interval) == 2:
            axes.plot(interval, [number, number], "|-", color=INK, linewidth=1.6, markersize=7)
            ends[number] = max(interval) if values[number] > 0 else min(interval)
    for value, end, bar in zip(values, ends, bars, strict=True):
        side, place = ("left", 4) if value >= 0 else ("right", -4)
        middle = bar.get_y() + bar.get_height() / 2
        how = {"textcoords": "offset points", "va": "center", "ha": side}
        axes.annotate(two_digits(value), (end, middle), (place, 0), **how)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.invert_yaxis()  # the first row on top, as in the table
    axes.margins(x=0.14)
    axes.set_xlabel("SDR in dB")
    axes.spines[["top", "right"]].set_visible(False)
    return axes.figure


def plot_thresholds(curve: Mapping[str, Any]) -> Figure:
    """Draw what masks let through at every threshold, and the SDR of these binary masks.

    Args:
        curve: ``thresholds``, and for ``model`` and ``static_mask`` the shares ``own`` and ``others`` and the ``sdr``
            at each of them, as :func:`sopedu.evaluation.evaluate_listening` returns it.

    Notebook: 03_measuring_separation.
    """
    figure, thresholds = NotebookFigure(figsize=(8, 3.4), layout="constrained"), curve["thresholds"]
    shares, scores = figure.subplots(1, 2)
    shares.plot([0, 100], [0, 100], ":", color=INK, linewidth=1, label="prefers no cell")
    for row, marker, colour in (("model", "o", VERMILION), ("static_mask", "s", GREY)):
        found = {name: np.array(curve[row][name], float) for name in ("own", "others", "sdr")}  # None becomes NaN
        line = {"color": colour, "marker": marker, "markersize": 4, "label": ROW_NAMES[row]}
        # Above a threshold of 0 everything passes, above 1 nothing.
        shares.plot(*(100 * np.concatenate([[1], found[name], [0]]) for name in ("others", "own")), **line)
        scores.plot(thresholds, found["sdr"], **line)
    for place in (0, len(thresholds) // 2, len(thresholds) - 1):
        own, others = curve["model"]["own"][place], curve["model"]["others"][place]
        if own is not None and others is not None:
            shares.annotate(f"{thresholds[place]:g}", (100 * others, 100 * own), (6, -9), textcoords="offset points")
    shares.set(xlabel="energy of other cells let through in %", ylabel="energy of own cells let through in %")
    shares.set_title("Thresholds from 0 to 1", fontsize=10)
    scores.set(xlabel="threshold of the mask", ylabel="SDR in dB")
    scores.set_title("SDR of the binary masks", fontsize=10)
    for axes in (shares, scores):
        axes.grid(alpha=0.3)
    shares.legend(frameon=False, loc="lower right")
    return figure


def plot_over_components(
    numbers: Sequence[int], gains: Mapping[str, Any], ideals: Mapping[str, float], title: str = ""
) -> Figure:
    """Draw what a factorisation gains for growing numbers of components, from several random starts.

    Args:
        numbers: of components, in rising order.
        gains: name of a mixture → improvement in dB, one row per number and one column per start; at most four.
        ideals: name of a mixture → improvement by its ideal mask in dB.
        title: above the axes.

    Notebook: 04_without_learning.
    """
    axes = new_axes(None, (7.5, 3.2), title)
    for number, ((name, each), marker) in enumerate(zip(gains.items(), "os^D", strict=False)):
        (_, colour), starts = line_style(number), as_array(each)
        axes.plot(numbers, starts.mean(axis=1), color=colour)
        axes.plot(numbers, starts, marker, color=colour, markersize=5)
        axes.plot([], [], color=colour, marker=marker, label=name)  # line and mark in one entry of the legend
        axes.axhline(ideals[name], linestyle=":", color=colour, linewidth=1.2)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9}
        axes.annotate(f"{name}:\nideal mask", (1, ideals[name]), (5, 0), va="center", color=colour, **place)
    axes.set(xscale="log", xlabel="components K", ylabel="improvement in dB")
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.minorticks_off()
    axes.figure.legend(loc="outside lower center", ncols=len(gains), frameon=False)
    return axes.figure


def plot_classes(
    names: Sequence[str], values: Any, means: Mapping[str, float | None], axes: Axes | None = None
) -> Figure:
    """Draw the SDR improvement of every pair of classes, and its mean for every class.

    Args:
        names: of the C classes.
        values: ``(C, C)`` in dB: for sounds of the row's class in mixtures with the column's; NaN where there is none.
        means: class → mean over all its sounds in dB; None where there is none.
        axes: to draw into; by default those of a new figure.

    Notebook: 03_measuring_separation.
    """
    cells, count = as_array(values).astype(float), len(names)
    axes = new_axes(axes, (max(6.0, 2.8 + 0.56 * count), 2.2 + 0.42 * count), "SDR improvement of the model, in dB")
    known = cells[np.isfinite(cells)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    colours = colormaps["cividis"].with_extremes(bad="none")
    image = axes.imshow(cells, cmap=colours, vmin=min(low, 0.0), vmax=max(high, 1.0), aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            colour = "black" if image.norm(value) > 0.45 else "white"  # the colours get brighter
            axes.text(column, row, _one_digit(value), ha="center", va="center", fontsize=8, color=colour)
    shown = [name.replace("_", " ") for name in names]
    labels = [f"{text}   {_one_digit(means[name])}" for text, name in zip(shown, names, strict=True)]
    for axis, texts in ((axes.xaxis, shown), (axes.yaxis, labels)):
        axis.set_ticks(range(count), texts, parse_math=False)
    axes.tick_params(axis="x", rotation=45)
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axes.set(xlabel="mixed with", ylabel="sound of … and its mean")
    axes.figure.colorbar(image, ax=axes, label="dB", pad=0.02)
    return axes.figure


def _one_digit(value: float | None) -> str:
    return "–" if value is None else f"{value:z.1f}".replace("-", "−")
