"""The circle in which the solos of a batch meet (notebook 05)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sopedu.plots.figures import BLUE, INK, NotebookFigure


def plot_partners(members: Any, names: Sequence[str]) -> Figure:
    """Draw the solos of a batch on a circle, with an arrow from each one to the one it is mixed with.

    Args:
        members: ``(B, 2)``, the solos of every mixture, as ``choose_partners`` returns them: the first column is the
            order on the circle.
        names: of the B solos.

    Notebook: 05_mix_and_separate.
    """
    pairs = np.asarray(members)
    turns = 2 * np.pi * np.arange(len(pairs)) / len(pairs)
    places = dict(zip(pairs[:, 0].tolist(), np.stack([np.cos(turns), np.sin(turns)], axis=1), strict=True))
    figure = NotebookFigure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for solo, partner in pairs.tolist():
        (x, y), arrow = places[solo], {"arrowstyle": "-|>", "color": BLUE, "shrinkA": 7, "shrinkB": 7}
        axes.annotate("", places[partner], (x, y), arrowprops=arrow)
        side = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        axes.text(1.12 * x, 1.14 * y, names[solo], ha=side, va="center")
    axes.plot(*np.stack(list(places.values())).T, "o", color=INK)
    axes.set(xlim=(-2, 2), ylim=(-1.3, 1.3), aspect="equal", title="Who meets whom")
    axes.set_axis_off()
    return figure
