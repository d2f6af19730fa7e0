"""Frames, and sound maps laid over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import PercentFormatter
from PIL import Image

from sopedu.errors import SopeduError
from sopedu.localization.overlays import in_grey, overlay_map
from sopedu.localization.places import Box, check_box
from sopedu.plots.figures import BLUE, VERMILION, NotebookFigure, as_array, new_axes


def plot_frames(
    frames: Any, boxes: Sequence[Sequence[Box]] | None = None, titles: Sequence[str] | None = None
) -> Figure:
    """Draw frames side by side.

    Args:
        frames: ``(S, 3, H, W)`` or ``(S, H, W, 3)`` uint8.
        boxes: for every frame its boxes; of a scene, ``scene.boxes.swapaxes(0, 1)``.
        titles: one per frame.

    Notebook: 00_start_here.
    """
    pictures = as_pictures(frames)
    figure = NotebookFigure(figsize=(min(10, 2.6 * len(pictures)), 2.9), layout="constrained")
    for index, axes in enumerate(figure.subplots(1, len(pictures), squeeze=False)[0]):
        axes.set_title("" if titles is None else titles[index], parse_math=False)
        draw_picture(axes, pictures[index], () if boxes is None else boxes[index])
    return figure


def plot_sound_map(
    frame: Any, sound_map: Any, boxes: Sequence[Box] | None = None, axes: Axes | None = None, title: str = "",
    label: str = "share of the mixture's energy",
) -> Figure:  # fmt: skip
    """Lay a sound map over its frame in grey: bright cells let most of the mixture through.

    Args:
        frame: ``(H, W, 3)`` or ``(3, H, W)`` uint8.
        sound_map: ``(h, w)``, not negative; its largest value gets the brightest colour.
        boxes: drawn with their numbers, from 1.
        axes: to draw into; by default those of a new figure.
        title: above them.
        label: of the colours.

    Notebook: 10_localize.
    """
    values = as_array(sound_map)
    axes = new_axes(axes, (5, 4), title)
    glow = _draw_glow(axes, as_pictures(as_array(frame)[None])[0], values, float(values.max()), boxes)
    axes.figure.colorbar(glow, ax=axes, label=label, format=PercentFormatter(1), pad=0.03)
    axes.figure.colours = 256
    return axes.figure


def plot_sound_maps(
    frames: Any, sound_maps: Any, boxes: Sequence[Sequence[Box]] | None = None, titles: Sequence[str] | None = None,
    label: str = "share of the mixture's energy", columns: int = 6,
) -> Figure:  # fmt: skip
    """Lay several sound maps over their frames in grey, all with the same colours.

    Args:
        frames: ``(n, H, W, 3)`` or ``(n, 3, H, W)`` uint8; one frame alone stands for all moments.
        sound_maps: ``(n, h, w)``, not negative; the largest value of all gets the brightest colour.
        boxes: for every map its boxes.
        titles: one per map.
        label: of the colours.
        columns: number of maps side by side, at most.

    Raises:
        SopeduError: neither one frame nor as many as there are maps.

    Notebook: 10_localize.
    """
    pictures, values = as_pictures(frames), as_array(sound_maps)
    if len(pictures) not in (1, len(values)):
        raise SopeduError(f"{len(pictures)} frames for {len(values)} maps: pass one frame, or one for each map")
    columns = min(columns, len(values))
    rows = math.ceil(len(values) / columns)
    lines = max((title.count("\n") for title in titles or ()), default=0)
    across = min(3.0, 8.5 / columns)  # inches of one map
    down = across * min(pictures.shape[1] / pictures.shape[2], 1.5) + 0.25 + 0.2 * lines
    figure = NotebookFigure(figsize=(across * columns + 1, down * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(panels.flat):
        axes.set_axis_off()
        if number < len(values):
            axes.set_title("" if titles is None else titles[number], parse_math=False, fontsize=9)
            marked = None if boxes is None else boxes[number]
            picture = pictures[number % len(pictures)]
            glow = _draw_glow(axes, picture, values[number], float(values.max()), marked)
    label = fill(label, 20 * rows)  # as long as the bar is high
    figure.colorbar(glow, ax=panels, label=label, format=PercentFormatter(1, decimals=0), pad=0.02)
    figure.colours = 256
    return figure


def plot_cell_masks(frame: Any, masks: Any) -> Figure:
    """Draw a frame cut into cells, and beside it the mask of every cell, as a picture made of small masks.

    Args:
        frame: ``(H, W, 3)`` or ``(3, H, W)`` uint8.
        masks: ``(h, w, Q, T)`` in 0…1; each is drawn with low frequencies at the bottom.

    Notebook: 10_localize.
    """
    picture, values = as_pictures(as_array(frame)[None])[0], as_array(masks)
    rows, columns, high, wide = values.shape
    figure = NotebookFigure(figsize=(8.5, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    left.imshow(picture)
    mosaic = values[:, :, ::-1].transpose(0, 2, 1, 3).reshape(rows * high, columns * wide)
    drawn = right.imshow(mosaic, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for axes, (down, across) in ((left, picture.shape[:2]), (right, mosaic.shape)):
        axes.set_xticks((np.arange(columns) + 0.5) * across / columns - 0.5, range(columns))
        axes.set_yticks((np.arange(rows) + 0.5) * down / rows - 0.5, range(rows))
        axes.set_xticks(np.arange(1, columns) * across / columns - 0.5, minor=True)
        axes.set_yticks(np.arange(1, rows) * down / rows - 0.5, minor=True)
        axes.set(xlabel="column", ylabel="row")
        axes.tick_params(which="both", length=0)
        axes.grid(which="minor", color="white", linewidth=0.7)
    left.set_title("the frame, cut into cells")
    right.set_title("the mask of each cell")
    figure.colorbar(drawn, ax=right, label="share let through", pad=0.02)
    return figure


def plot_sound_colours(
    frame: Any, colours: Any, boxes: Sequence[Box] | None = None, axes: Axes | None = None, title: str = ""
) -> Figure:
    """Lay the colours of sounds over their frame in grey, with a legend: cells of one colour have one sound.

    Args:
        frame: ``(H, W, 3)`` or ``(3, H, W)`` uint8.
        colours: ``(h, w, 3)`` in 0…1, from :func:`sopedu.localization.maps.sound_colours`; black cells are quiet.
        boxes: drawn with their numbers, from 1.
        axes: to draw into; by default those of a new figure.
        title: above them.

    Notebook: 10_localize.
    """
    picture = in_grey(as_pictures(as_array(frame)[None])[0])
    cells = np.rint(as_array(colours) * 255).astype(np.uint8)
    tint = np.array(Image.fromarray(cells).resize(picture.shape[1::-1], Image.Resampling.BILINEAR)) / 255
    seen = np.clip(tint.max(-1, keepdims=True) / 0.7, 0, 1)  # 0.7 is the brightest channel of the blue
    axes = new_axes(axes, (5, 4), title)
    draw_picture(axes, np.clip(0.6 * picture * (1 - 0.8 * seen) + 204 * tint, 0, 255).astype(np.uint8), boxes or ())
    names = {BLUE: "one sound", VERMILION: "another", "#F0F0F0": "between"}
    patches = [Patch(facecolor=colour, edgecolor="black", label=name) for colour, name in names.items()]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.figure.colours = 256
    return axes.figure


def as_pictures(frames: Any) -> np.ndarray:
    """Return frames with channels first or last as ``(S, H, W, 3)``.

    Raises:
        SopeduError: they have neither shape.
    """
    pictures = as_array(frames)
    if pictures.ndim != 4 or 3 not in (pictures.shape[1], pictures.shape[3]):
        raise SopeduError(f"frames have the shape (S, 3, H, W) or (S, H, W, 3), these have {pictures.shape}")
    return pictures if pictures.shape[3] == 3 else pictures.transpose(0, 2, 3, 1)


def draw_picture(axes: Axes, picture: np.ndarray, boxes: Sequence[Box] = ()) -> None:
    """Draw a picture without ticks.

    Args:
        axes: to draw into.
        picture: ``(H, W, 3)``.
        boxes: drawn with their numbers, from 1.

    Raises:
        SopeduError: a box lies outside the picture.
    """
    axes.imshow(picture)
    axes.set_axis_off()
    scale = np.array([picture.shape[1], picture.shape[0]])
    for number, box in enumerate(boxes, 1):
        check_box(tuple(float(value) for value in box))
        corner, size = np.array(box[:2]) * scale - 0.5, (np.array(box[2:]) - box[:2]) * scale
        for colour, width in (("black", 4), ("white", 1.8)):  # white on black is visible on any background
            axes.add_patch(Rectangle(corner, *size, fill=False, color=colour, linewidth=width))
        ground = {"facecolor": "black", "pad": 1.5, "linewidth": 0}
        how = {"textcoords": "offset points", "va": "top", "color": "white", "bbox": ground}
        axes.annotate(str(number), corner, (4, -4), **how)


def _draw_glow(
    axes: Axes, picture: np.ndarray, values: np.ndarray, highest: float, boxes: Sequence[Box] | None
) -> ScalarMappable:
    """Lay a map over a picture; return the colour scale, from 0 to ``highest``, for a colour bar."""
    highest = max(highest, 1e-9)
    draw_picture(axes, overlay_map(picture, values / highest), () if boxes is None else boxes)
    return ScalarMappable(Normalize(0, highest), "magma")
