"""Waveforms, spectrograms, masks and whole separations over seconds and hertz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sopedu.audio.resampling import as_waveform
from sopedu.audio.spectrogram import row_hertz, warp
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.plots.figures import BLUE, NotebookFigure, as_array, new_axes
from sopedu.plots.pictures import as_pictures, draw_picture

#: Frequencies that are labelled on axes.
TICKS_HERTZ = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def hertz_to_row(frequency: Any, config: SpectrogramConfig) -> np.ndarray:
    """Convert frequencies to fractional row numbers on the log-frequency axis.

    Args:
        frequency: in hertz, a number or an array.
        config: of the spectrogram.
    """
    return np.interp(frequency, row_hertz(config), np.arange(config.log_frequency_bins))


def plot_waveform(waveform: Any, sample_rate: int, axes: Axes | None = None, title: str = "") -> Figure:
    """Draw a waveform over seconds.

    Args:
        waveform: ``(L,)``.
        sample_rate: in hertz.
        axes: to draw into; by default those of a new figure.
        title: above them.

    Notebook: 01_sound_and_spectrograms.
    """
    samples = as_waveform(waveform)
    axes = new_axes(axes, (8, 2), title)
    axes.plot(np.arange(len(samples)) / sample_rate, samples, color=BLUE, linewidth=0.9)
    reach = 1.05 * max(float(np.abs(samples).max()), 1e-6)
    axes.set(xlim=(0, len(samples) / sample_rate), ylim=(-reach, reach), xlabel="time in s", ylabel="amplitude")
    return axes.figure


def plot_spectrogram(
    magnitude: Any, config: SpectrogramConfig, axes: Axes | None = None, title: str = "", log_frequency: bool = True,
    floor_db: float = -80, reference: float | None = None, colour_bar: bool = True,
) -> Figure:  # fmt: skip
    """Draw magnitudes in decibels over seconds and hertz.

    Args:
        magnitude: ``(Q, T)`` on log-frequency rows, or with ``log_frequency=False`` linear ``(F, T)``.
        config: of the spectrogram.
        axes: to draw into; by default those of a new figure.
        title: above them.
        log_frequency: whether the rows are log-frequency rows.
        floor_db: everything softer is drawn as this.
        reference: magnitude at 0 dB, by default the largest; use one for spectrograms to be compared.
        colour_bar: whether to draw one.

    Raises:
        SopeduError: the number of rows is not the configuration's.

    Notebook: 01_sound_and_spectrograms.
    """
    values = np.abs(as_array(magnitude))
    loudest = max(float(values.max() if reference is None else reference), 1e-12)
    decibels = 20 * np.log10(np.maximum(values / loudest, 10 ** (floor_db / 20)))
    axes, bar = new_axes(axes, (8, 3), title), "dB" if colour_bar else ""
    return _draw_cells(axes, decibels, config, log_frequency, bar, cmap="magma", vmin=floor_db, vmax=0)


def plot_spectrograms(
    magnitudes: Mapping[str, Any], config: SpectrogramConfig, floor_db: float = -45, reference: float | None = None
) -> Figure:
    """Draw spectrograms side by side, all with the same colours.

    Args:
        magnitudes: title → ``(Q, T)`` on log-frequency rows.
        config: of the spectrograms.
        floor_db: everything softer is drawn as this.
        reference: magnitude at 0 dB, by default the largest of all.

    Raises:
        SopeduError: the number of rows is not the configuration's.

    Notebook: 04_without_learning, 05_mix_and_separate.
    """
    loudest = max(float(np.abs(as_array(one)).max()) for one in magnitudes.values()) if reference is None else reference
    figure = NotebookFigure(figsize=(8.5, 2.5), layout="constrained")
    panels = figure.subplots(1, len(magnitudes), sharey=True, squeeze=False)[0]
    for axes, (title, magnitude) in zip(panels, magnitudes.items(), strict=True):
        last = axes is panels[-1]
        plot_spectrogram(magnitude, config, axes, title, floor_db=floor_db, reference=loudest, colour_bar=last)
        axes.label_outer()
    return figure


def plot_components(spectra: Any, activations: Any, config: SpectrogramConfig) -> Figure:
    """Draw the components of a factorised spectrogram: what each sounds like, and when.

    Args:
        spectra: ``(F, K)`` on linear frequencies; drawn as square roots, so that weak harmonics can be seen.
        activations: ``(K, T)``.
        config: of the spectrogram.

    Notebook: 04_without_learning.
    """
    columns, rows = as_array(warp(spectra, config)), as_array(activations)
    count = len(rows)
    figure = NotebookFigure(figsize=(9.5, 3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    settings = {"origin": "lower", "aspect": "auto", "cmap": "magma", "interpolation": "nearest"}
    place = (0.5, count + 0.5, -0.5, len(columns) - 0.5)
    left.imshow(np.sqrt(columns / np.maximum(columns.max(0), 1e-12)), extent=place, **settings)
    ticks = [hertz for hertz in TICKS_HERTZ if hertz <= row_hertz(config)[-1]]
    left.set_yticks(hertz_to_row(ticks, config), [str(hertz) for hertz in ticks])
    left.set(title=f"{count} spectra", xlabel="component k", ylabel="frequency in Hz")
    seconds = rows.shape[1] * config.hop_length / config.sample_rate
    shares = rows / np.maximum(rows.max(1, keepdims=True), 1e-12)
    picture = right.imshow(shares, extent=(0, seconds, 0.5, count + 0.5), **settings)
    right.set(title=f"{count} activations", xlabel="time in s", ylabel="component k")
    for axis in (left.xaxis, right.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    figure.colorbar(picture, label="share of its largest", pad=0.02)
    return figure


def plot_mask(
    mask: Any, config: SpectrogramConfig, axes: Axes | None = None, title: str = "", colour_bar: bool = True
) -> Figure:
    """Draw a mask: the share of every cell that is let through, over seconds and hertz.

    Args:
        mask: ``(Q, T)``; values above 1 are drawn as 1.
        config: of the spectrogram.
        axes: to draw into; by default those of a new figure.
        title: above them.
        colour_bar: whether to draw one.

    Raises:
        SopeduError: the number of rows is not the configuration's.

    Notebook: 01_sound_and_spectrograms.
    """
    axes, bar = new_axes(axes, (8, 3), title), "share let through" if colour_bar else ""
    return _draw_cells(axes, as_array(mask), config, True, bar, cmap="cividis", vmin=0, vmax=1)


def plot_masks(masks: Mapping[str, Any], config: SpectrogramConfig) -> Figure:
    """Draw masks side by side, with one colour bar.

    Args:
        masks: title → ``(Q, T)``; values above 1 are drawn as 1.
        config: of the spectrograms.

    Raises:
        SopeduError: the number of rows is not the configuration's.

    Notebook: 02_masks_by_hand.
    """
    figure = NotebookFigure(figsize=(8.5, 2.5), layout="constrained")
    panels = figure.subplots(1, len(masks), squeeze=False)[0]
    for axes, (title, mask) in zip(panels, masks.items(), strict=True):
        plot_mask(mask, config, axes, title, colour_bar=axes is panels[-1])
        axes.label_outer()
    return figure


def plot_separation(
    mixture: Any, sources: Any, estimates: Any, frames: Any, true_masks: Any, predicted_masks: Any,
    config: SpectrogramConfig, names: Sequence[str] = ("source 1", "source 2"),
) -> Figure:  # fmt: skip
    """Draw one separation: the mixture, and per source its picture, spectrograms and masks, true and predicted.

    Args:
        mixture: magnitude ``(Q, T)``; its largest value is 0 dB in all spectrograms.
        sources: magnitudes ``(N, Q, T)``.
        estimates: magnitudes ``(N, Q, T)``.
        frames: one picture per source, ``(N, 3, H, W)`` or ``(N, H, W, 3)`` uint8.
        true_masks: ``(N, Q, T)``.
        predicted_masks: ``(N, Q, T)``.
        config: of the spectrograms.
        names: of the sources.

    Notebook: 01_sound_and_spectrograms.
    """
    pictures = as_pictures(frames)
    figure = NotebookFigure(figsize=(10, 2.2 * len(pictures) + 2.3), layout="constrained")
    grid = figure.subplots(len(pictures) + 1, 5, width_ratios=(0.85, 1, 1, 1, 1))
    how = {"config": config, "reference": float(np.abs(as_array(mixture)).max()), "colour_bar": False}
    draw_picture(grid[0, 0], np.concatenate(pictures, axis=1))
    grid[0, 0].set_title("mixture", fontweight="bold")
    plot_spectrogram(mixture, axes=grid[0, 1], title="what is heard", **how)
    for row, (cells, picture, name) in enumerate(zip(grid[1:], pictures, names, strict=True)):
        draw_picture(cells[0], picture)
        cells[0].set_title(name, fontweight="bold", parse_math=False)
        plot_spectrogram(sources[row], axes=cells[1], title="reference", **how)
        plot_mask(true_masks[row], config, cells[2], "true mask", colour_bar=False)
        plot_mask(predicted_masks[row], config, cells[3], "predicted mask", colour_bar=False)
        plot_spectrogram(estimates[row], axes=cells[4], title="estimate", **how)
        for axes in cells[2:]:
            axes.set(ylabel="", yticklabels=[])
    for axes in grid[:, 1:].flat:
        axes.tick_params(labelsize=8)
    for axes in grid[:-1, 1:].flat:
        axes.set_xlabel("")
    # The cells beside the mixture are free: there the colour bars explain the columns below.
    for axes, below, label in zip(
        grid[0, 2:], grid[1, 2:], ("masks: share let through", "", "spectrograms: dB"), strict=True
    ):
        axes.set_axis_off()
        if label:
            place = axes.inset_axes((0, 0.4, 1, 0.1))
            figure.colorbar(below.images[0], cax=place, orientation="horizontal", label=label)
    return figure


def _draw_cells(
    axes: Axes, values: np.ndarray, config: SpectrogramConfig, log: bool, bar: str, **colours: Any
) -> Figure:
    """Draw ``(Q, T)`` or ``(F, T)`` over seconds and hertz, with each cell centred at its time and frequency."""
    rows, name = (config.log_frequency_bins, "Q") if log else (config.linear_bins, "F")
    if values.ndim != 2 or values.shape[0] != rows:
        raise SopeduError(
            f"expected the shape ({name} = {rows}, T), found {values.shape}: spectrogram.warp makes "
            "log-frequency rows, and plot_spectrogram draws linear ones with log_frequency=False"
        )
    hop, height = config.hop_length / config.sample_rate, 1 if log else config.sample_rate / config.n_fft
    extent = (-hop / 2, (values.shape[1] - 0.5) * hop, -height / 2, (rows - 0.5) * height)
    how = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", **colours}
    image = axes.imshow(values, extent=extent, **how)
    if log:
        ticks = [hertz for hertz in TICKS_HERTZ if hertz <= row_hertz(config)[-1]]
        axes.set_yticks(hertz_to_row(ticks, config), [str(hertz) for hertz in ticks])
    axes.set(xlabel="time in s", ylabel="frequency in Hz")
    if bar:
        axes.figure.colorbar(image, ax=axes, label=bar, pad=0.02)
    return axes.figure
