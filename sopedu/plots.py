"""Figures of sounds, spectrograms, masks, sound maps and scores, for notebooks, the report and live curves.

Every function draws into the ``axes`` it is given, or into a new figure, and returns the figure. Pyplot does not know a
figure made here, so there is nothing to close, and a notebook shows it once.

    >>> plot_spectrogram(warp(stft(waveform, config).abs(), config), config, title="a flute")
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from sopedu.audio.soundfiles import as_waveform
from sopedu.audio.spectrogram import row_hertz
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.files import written_aside
from sopedu.localization.overlays import overlay_map
from sopedu.localization.places import Box, check_box

#: Rows of an evaluation's table in the order shown: key → name for people.
ROW_NAMES = {
    "mixture": "mixture",
    "static_mask": "static mask",
    "model": "model",
    "ideal_binary_mask": "ideal binary mask",
    "ideal_ratio_mask": "ideal ratio mask",
    "swapped": "swapped pictures",
}
#: Frequencies that are labelled on axes.
TICKS_HERTZ = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)
# Okabe and Ito's blue and vermilion: told apart in every kind of colour blindness, and by their lightness.
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#9A9A9A"
_COLOURS = (_BLUE, _VERMILION, "#009E73", "#CC79A7")
_DASHES = ("-", "--", ":", "-.")


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows although pyplot does not know it."""

    colours = 64  # of the palette that keeps a saved notebook small; a sound map over a picture needs more

    def _repr_png_(self) -> bytes:
        return encode_figure(self, "png", dpi=90, colours=self.colours)


def encode_figure(figure: Figure, format: str = "webp", dpi: int = 110, colours: int = 256) -> bytes:
    """Draw a figure as the bytes of a picture file.

    Args:
        figure: to draw.
        format: ``webp``, or ``png`` reduced to a palette, which is larger.
        dpi: pixels per inch.
        colours: of a PNG's palette, at most.
    """
    encoded = io.BytesIO()
    with warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes; the page or the caption has it in full.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(encoded, format=format, dpi=dpi, pil_kwargs={"quality": 85} if format == "webp" else {})
    if format == "png":  # what notebooks keep; a palette makes it three times smaller
        picture, encoded = Image.open(encoded).convert("RGB"), io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(encoded, "png", optimize=True)
    return encoded.getvalue()


def save_figure(path: str | Path, figure: Figure) -> Path:
    """Write a figure as a picture file, which appears only when it is complete; its folder is made if need be.

    Args:
        path: ends in ``.png`` or ``.webp``.
        figure: to write.

    Returns:
        the path.

    Raises:
        SopeduError: the name ends in something else, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".webp"):
        raise SopeduError(f"{path}: a figure is written as .png or .webp; choose another name")
    encoded = encode_figure(figure, path.suffix.lower()[1:])
    with written_aside(path, parents=True) as unfinished:
        unfinished.write_bytes(encoded)
    return path


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
    axes = _axes(axes, (8, 2), title)
    axes.plot(np.arange(len(samples)) / sample_rate, samples, color=_BLUE, linewidth=0.6)
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
    values = np.abs(_array(magnitude))
    loudest = max(float(values.max() if reference is None else reference), 1e-12)
    decibels = 20 * np.log10(np.maximum(values / loudest, 10 ** (floor_db / 20)))
    axes, bar = _axes(axes, (8, 3), title), "dB" if colour_bar else ""
    return _draw_cells(axes, decibels, config, log_frequency, bar, cmap="magma", vmin=floor_db, vmax=0)


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
    axes, bar = _axes(axes, (8, 3), title), "share let through" if colour_bar else ""
    return _draw_cells(axes, _array(mask), config, True, bar, cmap="cividis", vmin=0, vmax=1)


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
        below.plot(steps, rates, color="black", linewidth=1, marker=marker)
        below.set(xlabel="step", ylabel="learning\nrate", ylim=(0, 1.1 * np.nanmax([1e-12, *rates])))
        below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        below.grid(alpha=0.3)
    else:
        axes.set_xlabel("step")
    axes.plot(steps, losses, color=_BLUE, alpha=0.45, linewidth=0.8, marker=marker, label="as recorded")
    if window > 1:
        means = np.convolve(losses, np.ones(window) / window, "valid")  # of the window that ends at each step
        axes.plot(steps[window - 1 :], means, color=_VERMILION, label=f"mean of the last {window} records")
    if judged:
        axes.plot(
            *zip(*judged, strict=True), "o--", color="black", markersize=4, linewidth=1, label="held-out mixtures"
        )
    axes.set(title=f"Learning curve: loss {losses[-1]:.2g} at step {steps[-1]:g}{sdr.replace('-', '−')}", ylabel="loss")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    return axes.figure


def plot_runs(histories: Mapping[str, Sequence[Mapping[str, float]]], improvements: Mapping[str, float]) -> Figure:
    """Draw learning curves of several runs, and how much each improves the SDR.

    Losses of different kinds have different scales: each curve is divided by its own first value, and only the bars
    to the right can be compared between losses.

    Args:
        histories: name of a run → its records with ``step`` and ``loss``.
        improvements: name of a run → SDR improvement in dB on held-out mixtures; NaN while unknown.

    Notebook: 09_train_live.
    """
    names = list(histories)
    figure = NotebookFigure(figsize=(9, 2.4 + 0.25 * len(names)), layout="constrained")
    curves, bars = figure.subplots(1, 2, width_ratios=(3, 2))
    for number, name in enumerate(names):
        losses = np.array([entry["loss"] for entry in histories[name]])
        style, colour = _style(number)
        if len(losses):
            steps = [entry["step"] for entry in histories[name]]
            curves.plot(steps, losses / losses[0], style, color=colour, marker="." if len(steps) < 40 else None)
        gained = improvements.get(name, math.nan)
        bars.barh(number, 0 if math.isnan(gained) else gained, color=colour)
        end = max(0.0, 0.0 if math.isnan(gained) else gained)  # right of the bar also where the bar points left
        bars.annotate(f" {two_digits(gained)}", (end, number), va="center")
    curves.set(xlabel="step", ylabel="loss / its first value", title="Learning curves")
    curves.grid(alpha=0.3)
    bars.set(yticks=range(len(names)), yticklabels=names, xlabel="SDR improvement in dB", title="On held-out mixtures")
    bars.margins(x=0.25)
    bars.xaxis.set_major_locator(MaxNLocator(4))
    bars.invert_yaxis()
    return figure


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
    pictures = _pictures(frames)
    figure = NotebookFigure(figsize=(min(10, 2.6 * len(pictures)), 2.9), layout="constrained")
    for index, axes in enumerate(figure.subplots(1, len(pictures), squeeze=False)[0]):
        axes.set_title("" if titles is None else titles[index], parse_math=False)
        _draw_picture(axes, pictures[index], () if boxes is None else boxes[index])
    return figure


def plot_sound_map(
    frame: Any, sound_map: Any, boxes: Sequence[Box] | None = None, axes: Axes | None = None, title: str = "",
    label: str = "share of the mixture's energy",
) -> Figure:  # fmt: skip
    """Lay a sound map over its frame: bright cells let most of the mixture through.

    Args:
        frame: ``(H, W, 3)`` or ``(3, H, W)`` uint8.
        sound_map: ``(h, w)``, not negative; its largest value gets the brightest colour.
        boxes: drawn with their numbers, from 1.
        axes: to draw into; by default those of a new figure.
        title: above them.
        label: of the colours.

    Notebook: 10_localize.
    """
    values = _array(sound_map)
    axes = _axes(axes, (5, 4), title)
    glow = _draw_glow(axes, _pictures(_array(frame)[None])[0], values, float(values.max()), boxes)
    axes.figure.colorbar(glow, ax=axes, label=label, format=PercentFormatter(1), pad=0.03)
    axes.figure.colours = 256
    return axes.figure


def plot_sound_maps(
    frames: Any, sound_maps: Any, boxes: Sequence[Sequence[Box]] | None = None, titles: Sequence[str] | None = None,
    label: str = "share of the mixture's energy", columns: int = 6,
) -> Figure:  # fmt: skip
    """Lay several sound maps over their frames, all with the same colours.

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
    pictures, values = _pictures(frames), _array(sound_maps)
    if len(pictures) not in (1, len(values)):
        raise SopeduError(f"{len(pictures)} frames for {len(values)} maps: pass one frame, or one for each map")
    columns = min(columns, len(values))
    rows = math.ceil(len(values) / columns)
    lines = max((title.count("\n") for title in titles or ()), default=0)
    figure = NotebookFigure(figsize=(1.55 * columns + 1, (1.75 + 0.2 * lines) * rows + 0.2), layout="constrained")
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


def plot_sound_colours(
    frame: Any, colours: Any, boxes: Sequence[Box] | None = None, axes: Axes | None = None, title: str = ""
) -> Figure:
    """Lay the colours of sounds over their frame, with a legend: cells of one colour have one sound.

    Args:
        frame: ``(H, W, 3)`` or ``(3, H, W)`` uint8.
        colours: ``(h, w, 3)`` in 0…1, from :func:`sopedu.localization.maps.sound_colours`; black cells are quiet.
        boxes: drawn with their numbers, from 1.
        axes: to draw into; by default those of a new figure.
        title: above them.

    Notebook: 10_localize.
    """
    picture = _pictures(_array(frame)[None])[0]
    cells = np.rint(_array(colours) * 255).astype(np.uint8)
    tint = np.array(Image.fromarray(cells).resize(picture.shape[1::-1], Image.Resampling.BILINEAR)) / 255
    seen = np.clip(tint.max(-1, keepdims=True) / 0.7, 0, 1)  # 0.7 is the brightest channel of the blue
    axes = _axes(axes, (5, 4), title)
    _draw_picture(axes, np.clip(0.6 * picture * (1 - 0.8 * seen) + 204 * tint, 0, 255).astype(np.uint8), boxes or ())
    names = {_BLUE: "one sound", _VERMILION: "another", "#F0F0F0": "between"}
    patches = [Patch(facecolor=colour, edgecolor="black", label=name) for colour, name in names.items()]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    axes.figure.colours = 256
    return axes.figure


def plot_levels(levels: Any, seconds: float, names: Sequence[str], axes: Axes | None = None) -> Figure:
    """Draw the loudness of sounds over time, the first of them in grey behind the others.

    Args:
        levels: ``(N, n)`` in dB, N sounds at n times evenly spread over ``seconds``.
        seconds: length of the sounds.
        names: of the N sounds.
        axes: to draw into; by default those of a new figure.
    """
    values = _array(levels)
    axes = _axes(axes, (9, 3), "")
    times = (np.arange(values.shape[1]) + 0.5) * seconds / values.shape[1]
    axes.fill_between(times, -60, values[0], color=_GREY, alpha=0.5, linewidth=0, label=names[0])
    for number, (line, name) in enumerate(zip(values[1:], names[1:], strict=True)):
        style, colour = _style(number)
        axes.plot(times, line, style, color=colour, linewidth=1.4, label=name)
    axes.set(xlim=(0, seconds), ylim=(-60, 3), xlabel="time in s", ylabel="level in dB")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return axes.figure


def two_digits(value: float) -> str:
    """Write a number with two digits after the point and a real minus sign; a dash if it is not finite."""
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "–"


def plot_scores(table: Mapping[str, Mapping[str, float]], axes: Axes | None = None) -> Figure:
    """Draw the mean SDR of every row of an evaluation's table.

    Args:
        table: row → scores by name, as :func:`sopedu.evaluate` returns it.
        axes: to draw into; by default those of a new figure.

    Notebook: 03_measuring_separation.
    """
    names = [name for name in ROW_NAMES if name in table]
    axes = _axes(axes, (8, 0.42 * len(names) + 1), "Signal-to-distortion ratio, mean over all sources")
    colours = [_VERMILION if name == "model" else _GREY for name in names]
    labels, values = [ROW_NAMES[name] for name in names], [table[name]["sdr"] for name in names]
    # Matplotlib's own numbers have a real minus sign on the axis, so the labels get one too.
    axes.bar_label(axes.barh(labels, values, color=colours), [two_digits(value) for value in values], padding=4)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()  # the first row on top, as in the table
    axes.margins(x=0.14)
    axes.set_xlabel("SDR in dB")
    axes.spines[["top", "right"]].set_visible(False)
    return axes.figure


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
    pictures = _pictures(frames)
    figure = NotebookFigure(figsize=(10, 2.2 * len(pictures) + 2.3), layout="constrained")
    grid = figure.subplots(len(pictures) + 1, 5, width_ratios=(0.85, 1, 1, 1, 1))
    how = {"config": config, "reference": float(np.abs(_array(mixture)).max()), "colour_bar": False}
    _draw_picture(grid[0, 0], np.concatenate(pictures, axis=1))
    grid[0, 0].set_title("mixture", fontweight="bold")
    plot_spectrogram(mixture, axes=grid[0, 1], title="what is heard", **how)
    for row, (cells, picture, name) in enumerate(zip(grid[1:], pictures, names, strict=True)):
        _draw_picture(cells[0], picture)
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


def _axes(axes: Axes | None, size: tuple[float, float], title: str) -> Axes:
    """The caller's axes or new ones of a size in inches; ``$`` in a title is a dollar, not a formula."""
    axes = NotebookFigure(figsize=size, layout="constrained").subplots() if axes is None else axes
    axes.set_title(title, parse_math=False)
    return axes


def _style(number: int) -> tuple[str, str]:
    """Dashes and colour of the line of a number; they repeat after 16 lines."""
    return _DASHES[number // len(_COLOURS) % len(_DASHES)], _COLOURS[number % len(_COLOURS)]


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _pictures(frames: Any) -> np.ndarray:
    """Frames with channels first or last → ``(S, H, W, 3)``."""
    pictures = _array(frames)
    if pictures.ndim != 4 or 3 not in (pictures.shape[1], pictures.shape[3]):
        raise SopeduError(f"frames have the shape (S, 3, H, W) or (S, H, W, 3), these have {pictures.shape}")
    return pictures if pictures.shape[3] == 3 else pictures.transpose(0, 2, 3, 1)


def _draw_glow(
    axes: Axes, picture: np.ndarray, values: np.ndarray, highest: float, boxes: Sequence[Box] | None
) -> ScalarMappable:
    """Lay a map over a picture; return what explains its colours, from 0 to ``highest``."""
    highest = max(highest, 1e-9)
    _draw_picture(axes, overlay_map(picture, values / highest), () if boxes is None else boxes)
    return ScalarMappable(Normalize(0, highest), "magma")


def _draw_picture(axes: Axes, picture: np.ndarray, boxes: Sequence[Box] = ()) -> None:
    axes.imshow(picture)
    axes.set_axis_off()
    scale = np.array([picture.shape[1], picture.shape[0]])
    for number, box in enumerate(boxes, 1):
        check_box(tuple(float(value) for value in box))
        corner, size = np.array(box[:2]) * scale - 0.5, (np.array(box[2:]) - box[:2]) * scale
        for colour, width in (("black", 4), ("white", 1.8)):  # white on black is seen on any ground
            axes.add_patch(Rectangle(corner, *size, fill=False, color=colour, linewidth=width))
        ground = {"facecolor": "black", "pad": 1.5, "linewidth": 0}
        how = {"textcoords": "offset points", "va": "top", "color": "white", "bbox": ground}
        axes.annotate(str(number), corner, (4, -4), **how)


def _draw_cells(
    axes: Axes, values: np.ndarray, config: SpectrogramConfig, log: bool, bar: str, **colours: Any
) -> Figure:
    """Draw ``(Q, T)`` or ``(F, T)`` over seconds and hertz, every cell around the place it stands for."""
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
