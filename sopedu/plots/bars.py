"""Bars of means, with what they are means of: methods compared, and parts of a method left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sopedu.errors import SopeduError
from sopedu.plots.figures import BLUE, GREY, INK, VERMILION, NotebookFigure, new_axes


def plot_ablation(
    runs: Mapping[str, Mapping[str, Sequence[float]]], names: Mapping[str, str], measures: Mapping[str, str]
) -> Figure:
    """Draw the mean of every variant for some measures, with its lowest and highest seed.

    The first variant is the whole method; a dashed line carries its mean to the others.

    Args:
        runs: variant → measure → one score per seed.
        names: of the variants to draw, from top to bottom: variant → name.
        measures: to draw side by side, at most four: measure → title with its unit.

    Raises:
        SopeduError: a variant or a measure is not in the runs.

    Notebook: 14_limits_of_localization.
    """
    missing = [f"{variant} {key}" for variant in names for key in measures if key not in runs.get(variant, {})]
    if missing:
        raise SopeduError(f"no scores of {', '.join(missing)}: choose variants and measures that the runs have")
    figure = NotebookFigure(figsize=(9.5, 1.1 + 0.34 * len(names)), layout="constrained")
    places, variants = np.arange(len(names)), list(names)
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, (key, title) in zip(panels, measures.items(), strict=True):
        scores = [np.asarray(runs[variant][key], float) for variant in variants]
        means = [score.mean() for score in scores]
        axes.barh(places, means, 0.62, color=[BLUE, *[GREY] * (len(variants) - 1)])
        for place, score in zip(places, scores, strict=True):
            axes.plot((score.min(), score.max()), (place, place), "|-", color=VERMILION, linewidth=1.6, markersize=8)
        axes.axvline(means[0], color=BLUE, linestyle="--", linewidth=1)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_title(title, fontsize=10)
        axes.set_yticks(places, [names[variant] for variant in variants])
        axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()  # shared: the whole method on top
    return figure


def plot_means(
    values: Mapping[str, Sequence[float]], label: str, title: str = "", colours: Mapping[str, str] | None = None
) -> Figure:
    """Draw the mean of each name as a bar, and every single value as a dot.

    Args:
        values: name → values.
        label: of the axis, with its unit.
        title: above the axes.
        colours: name → colour; those that are missing are grey.

    Notebook: 04_without_learning.
    """
    axes = new_axes(None, (8, 0.9 + 0.36 * len(values)), title)
    for place, (name, each) in enumerate(values.items()):
        axes.barh(place, np.mean(each), 0.62, color=(colours or {}).get(name, GREY), alpha=0.6)
        axes.plot(each, np.full(len(each), place), ".", color=INK, markersize=5)
    return _finished(axes, list(values), label)


def plot_bar_pairs(values: Mapping[str, Sequence[float]], names: Sequence[str], label: str, title: str = "") -> Figure:
    """Draw two bars, one below the other, for each of some names.

    Args:
        values: for the legend: two things that are compared → one value per name.
        names: of the pairs, from top to bottom.
        label: of the axis, with its unit.
        title: above the axes.

    Notebook: 04_without_learning.
    """
    axes = new_axes(None, (8.5, 1.1 + 0.32 * len(names)), title)
    for (name, each), shift, colour in zip(values.items(), (-0.2, 0.2), (BLUE, VERMILION), strict=True):
        axes.barh(np.arange(len(names)) + shift, each, 0.38, color=colour, label=name)
    axes.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return _finished(axes, names, label)


def _finished(axes: Axes, names: Sequence[str], label: str) -> Figure:
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel(label)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()  # the first on top
    return axes.figure
