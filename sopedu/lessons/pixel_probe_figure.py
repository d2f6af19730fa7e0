"""The figure of a PixelProbe for saved notebooks, where no widget is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from sopedu.lessons.pixel_probe_page import warped_magnitude
from sopedu.lessons.place_answers import percent
from sopedu.localization.places import Box, Place, box_of_cell, cell_at
from sopedu.plots import NotebookFigure, plot_mask, plot_sound_map, plot_spectrogram

if TYPE_CHECKING:
    from sopedu.lessons.pixel_probe import PixelProbe

_CHOSEN = "#56B4E9"  # the sky blue of Okabe and Ito, as in pixel_probe.js


def plot_probe(probe: PixelProbe) -> NotebookFigure:
    """Draw the picture with its map and the chosen place, its sound and its mask.

    Before a place was chosen, the sound is the mixture.

    Args:
        probe: as it is shown.
    """
    clip, answer = probe.stretch, probe.answer
    picture, sound_map = clip.pictures[probe.moment], probe.maps[probe.moment]
    time = f"{clip.times[probe.moment]:.2f} s".replace("-", "−")
    figure = NotebookFigure(figsize=(11, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    plot_sound_map(picture, sound_map, list(probe.boxes.values()), left, f"the picture at {time}")
    heard, name = (clip.waveform, "the mixture") if answer is None else (answer.waveform, answer.name)
    magnitude = warped_magnitude(clip, heard)
    plot_spectrogram(magnitude, clip.sound, middle, f"heard: {name}", reference=probe.loudest)
    if answer is None:
        right.set_axis_off()
        right.text(0.5, 0.5, "listen to a place to see its mask", ha="center", va="center")
        return figure
    plot_mask(answer.mask, clip.sound, right, f"its mask: {percent(answer.share)} of the energy")
    size = np.array([picture.shape[1], picture.shape[0]])
    for box in _outlines(answer.place, clip.grid):
        corner, reach = np.array(box[:2]) * size - 0.5, (np.array(box[2:]) - box[:2]) * size
        for colour, width in (("black", 4.5), (_CHOSEN, 2.2)):
            left.add_patch(Rectangle(corner, *reach, fill=False, color=colour, linewidth=width))
    return figure


def _outlines(place: Place, grid: tuple[int, int]) -> list[Box]:
    """Boxes to draw around a place: of a point its cell, of painted cells each."""
    if isinstance(place, np.ndarray) and place.ndim == 2:
        return [box_of_cell(int(row), int(column), *grid) for row, column in np.argwhere(place > 0)]
    return [box_of_cell(*cell_at(place, *grid), *grid)] if len(place) == 2 else [tuple(place)]
