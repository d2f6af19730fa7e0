"""All channels of a network's output as a grid of small maps (notebooks 06 and 07)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from sopedu.errors import SopeduError
from sopedu.plots.figures import NotebookFigure, as_array

_COLUMNS, _BAR = 8, 0.2  # maps per row, and the width of the colour bar in maps


def plot_channels(
    maps: Any, label: str, limits: tuple[float, float] = (0, 1), titles: Sequence[str] = (), title: str = "",
    upwards: bool = False,
) -> Figure:  # fmt: skip
    """Draw each channel of a feature map, or each component of a mixture, as a small map of its own.

    Args:
        maps: ``(K, H, W)``.
        label: of the colour bar.
        limits: values of the darkest and the brightest colour.
        titles: one per map; by default their numbers.
        title: above all of them.
        upwards: whether the first row is the lowest, as in a spectrogram.

    Raises:
        SopeduError: there is not one title per map.

    Notebook: 06_ears, 07_eyes.
    """
    values = as_array(maps)
    titles = list(titles) or [str(k) for k in range(len(values))]
    if len(titles) != len(values):
        raise SopeduError(f"{len(titles)} titles for {len(values)} maps: give one title per map, or none")
    rows = math.ceil(len(values) / _COLUMNS)
    figure = NotebookFigure(figsize=(8.5, 0.35 * bool(title) + 0.95 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS + 1, width_ratios=[1] * _COLUMNS + [_BAR], squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, cells, name in zip(panels[:, :_COLUMNS].flat, values, titles, strict=False):
        picture = axes.imshow(
            cells, cmap="cividis", vmin=limits[0], vmax=limits[1], origin="lower" if upwards else "upper",
            aspect="auto" if upwards else "equal", interpolation="nearest",
        )  # fmt: skip
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=8, pad=2)
    figure.colorbar(picture, ax=panels[:, _COLUMNS], fraction=1, label=label)
    figure.suptitle(title)
    return figure
