"""Figures that a notebook shows and a page holds; axes, colours and numbers that all plots share."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from PIL import Image

from sopedu.errors import SopeduError
from sopedu.files import written_aside

# Okabe and Ito's blue and vermilion: distinct in every kind of colour blindness, and in lightness.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#9A9A9A"
#: Of text and axes: figures have no ground of their own, and this grey can be read on a white and on a black page.
INK = "#7A7A7A"
_COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7")
_DASHES = ("-", "--", ":", "-.")
#: Pixels per inch of figures in a notebook.
NOTEBOOK_DPI = 90


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook displays without pyplot."""

    colours = 64  # of the palette that keeps a saved notebook small; a sound map over a picture needs more

    def _repr_png_(self) -> bytes:
        return encode_figure(self, "png", dpi=NOTEBOOK_DPI, colours=self.colours)


def encode_figure(
    figure: Figure, format: str = "webp", dpi: int = 110, colours: int = 256, ground: str = "none"
) -> bytes:
    """Draw a figure as the bytes of a picture file; what is black outside pictures becomes the grey `INK`.

    Args:
        figure: to draw.
        format: ``webp``, or ``png`` reduced to a palette, which is larger.
        dpi: pixels per inch.
        colours: of a PNG's palette, at most; those of half transparent pixels come on top.
        ground: colour behind the figure; by default the page shows through.
    """
    _draw_in_ink(figure)
    encoded = io.BytesIO()
    with warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes; the page or the caption has it in full.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        settings = {"quality": 85} if format == "webp" else {"compress_level": 1}
        figure.savefig(encoded, format=format, dpi=dpi, transparent=True, facecolor=ground, pil_kwargs=settings)
    if format == "png":  # what notebooks keep; a palette makes it three times smaller
        return _with_palette(Image.open(encoded).convert("RGBA"), colours)
    return encoded.getvalue()


def figure_width(figure: Figure) -> int:
    """Return how wide a notebook shows a figure, in CSS pixels."""
    return round(figure.get_figwidth() * NOTEBOOK_DPI)


def save_figure(path: str | Path, figure: Figure) -> Path:
    """Write a figure as a picture file on white, which appears only when it is complete, as does its folder.

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
    encoded = encode_figure(figure, path.suffix.lower()[1:], ground="white")
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


def _draw_in_ink(figure: Figure) -> None:
    """Colour black text, axes and lines in `INK`, except those on pictures and spectrograms, which have a ground."""
    on_pictures = {
        id(part)
        for axes in figure.findobj(Axes)
        if axes.images
        for artist in (*axes.texts, *axes.lines, *axes.patches, *axes.collections)
        for part in artist.findobj()
    }
    for axis in figure.findobj(Axis):  # ticks that are made while drawing, too
        axis.set_tick_params(
            which="both", **({"color": INK, "labelcolor": INK, "grid_color": INK} | axis.get_tick_params())
        )
    for artist in figure.findobj(lambda one: id(one) not in on_pictures):
        for name in ("color", "edgecolor", "facecolor"):
            _replace_black(artist, name)
        if isinstance(artist, Legend):
            artist.get_frame().set(facecolor="none", edgecolor="none")


def _replace_black(artist: Artist, name: str) -> None:
    read, write = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
    colour = read() if read and write else None
    if colour is not None and len(colour) and not isinstance(colour, np.ndarray | list) and same_color(colour, "black"):
        write(INK)


def _with_palette(picture: Image.Image, colours: int) -> bytes:
    """Encode a picture as a PNG with a palette, which may be transparent.

    Opaque pixels get the colours of a palette; the others, the edges of letters and lines, eight steps of opacity.
    """
    pixels = np.array(picture).reshape(-1, 4)
    opaque = pixels[:, 3] == 255
    edges = ~opaque & (pixels[:, 3] >= 32)
    reduced = np.zeros_like(pixels)
    reduced[edges, :3], reduced[edges, 3] = _fewer_colours(pixels[edges, :3], 7), pixels[edges, 3] // 32 * 32
    left = 256 - len(np.unique(reduced.view(np.uint32)))
    reduced[opaque, :3], reduced[opaque, 3] = _fewer_colours(pixels[opaque, :3], min(colours, left)), 255
    palette, numbers = np.unique(reduced.view(np.uint32).ravel(), return_inverse=True)
    palette = palette.view(np.uint8).reshape(-1, 4)
    image, encoded = Image.fromarray(numbers.astype(np.uint8).reshape(picture.size[::-1]), "P"), io.BytesIO()
    image.putpalette(palette[:, :3].tobytes())
    image.save(encoded, "png", optimize=True, **({} if opaque.all() else {"transparency": palette[:, 3].tobytes()}))
    return encoded.getvalue()


def _fewer_colours(pixels: np.ndarray, count: int) -> np.ndarray:
    """Return RGB pixels ``(n, 3)`` in at most ``count`` different colours."""
    if not len(pixels):
        return pixels
    strip = Image.fromarray(pixels[None]).quantize(count, dither=Image.Dither.NONE)
    return np.asarray(strip.convert("RGB"))[0]
