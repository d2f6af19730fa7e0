"""Figures that a notebook shows and a page holds; axes, colours and numbers that all plots share."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from sopedu.errors import SopeduError
from sopedu.files import written_aside

# Okabe and Ito's blue and vermilion: distinct in every kind of colour blindness, and in lightness.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#9A9A9A"
_COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7")
_DASHES = ("-", "--", ":", "-.")


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook displays without pyplot."""

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
    """Write a figure as a picture file, which appears only when it is complete; its folder is made if it is missing.

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


def new_axes(axes: Axes | None, size: tuple[float, float], title: str) -> Axes:
    """Return the caller's axes, or those of a new figure.

    Args:
        axes: the caller's; None for new ones.
        size: width and height of a new figure, in inches.
        title: above the axes; ``$`` in it is a dollar, not a formula.
    """
    axes = NotebookFigure(figsize=size, layout="constrained").subplots() if axes is None else axes
    axes.set_title(title, parse_math=False)
    return axes


def line_style(number: int) -> tuple[str, str]:
    """Return dashes and colour of the line of a number; they repeat after 16 lines."""
    return _DASHES[number // len(_COLOURS) % len(_DASHES)], _COLOURS[number % len(_COLOURS)]


def as_array(values: Any) -> np.ndarray:
    """Return a tensor or anything like an array as an array, on the CPU."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def two_digits(value: float) -> str:
    """Write a number with two digits after the point and a real minus sign; a dash if it is not finite."""
    return f"{value:z.2f}".replace("-", "−") if math.isfinite(value) else "–"
