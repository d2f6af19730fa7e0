"""Bars of an ablation: what is left of some scores when a part of a method is left out (notebook 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from sopedu.errors import SopeduError
from sopedu.plots.figures import BLUE, GREY, INK, VERMILION, NotebookFigure


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
