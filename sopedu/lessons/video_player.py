"""A video that plays in a notebook although its file is gone (notebook 12_objects_and_their_sounds).

    >>> VideoPlayer(folder / "tour.mp4", moments=(1, 7, 13), titles=("all", "saxophone", "xylophone"))

The widget holds the video's bytes. A saved notebook keeps some of its pictures instead, so that it stays small.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from sopedu.errors import SopeduError
from sopedu.plots import NotebookFigure, encode_figure
from sopedu.video.probing import probe
from sopedu.video.reading import read_frames

_LARGEST = 10_000_000  # bytes that a notebook passes to the browser at once
_POSTER_HEIGHT = 135  # pixels
_POSTER_COLOURS = 96  # fewer would drop the colours of a sound map over a grey picture


class VideoPlayer(widgets.Video):
    """A video with its controls; in a saved notebook, pictures of some moments.

    Args:
        path: an mp4 file, of 10 MB at most. It is read now and not needed later.
        moments: seconds of the pictures that a saved notebook shows.
        titles: of these pictures; by default their times.
        columns: pictures per row.
        width: of the player in pixels.

    Raises:
        SopeduError: the file cannot be read, or is too large; not as many titles as moments.

    Notebook: 12_objects_and_their_sounds.
    """

    def __init__(
        self,
        path: str | Path,
        moments: Sequence[float] = (0.0,),
        titles: Sequence[str] = (),
        columns: int = 4,
        width: int = 640,
    ) -> None:
        titles = list(titles) or [f"{moment:.1f} s" for moment in moments]
        if len(titles) != len(moments):
            raise SopeduError(f"{len(titles)} titles for {len(moments)} moments: give one for each")
        self.seconds, size = probe(path).duration, Path(path).stat().st_size
        if size > _LARGEST:
            raise SopeduError(
                f"{path}: {size / 1e6:.1f} MB are too much for a notebook; write a shorter or smaller video"
            )
        self._poster = _contact_sheet(path, moments, titles, columns)
        super().__init__(
            value=Path(path).read_bytes(),
            autoplay=False,
            loop=False,
            width=str(width),
            layout={"max_width": "100%"},
        )

    def __repr__(self) -> str:
        """Length and size."""
        return f"VideoPlayer({self.seconds:.1f} s, {len(self.value) / 1e3:.0f} kB)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and the pictures for saved notebooks."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        picture = b64encode(encode_figure(self._poster, "png", dpi=72, colours=_POSTER_COLOURS)).decode("ascii")
        return {**data, "text/plain": repr(self), "image/png": picture}, metadata


def _contact_sheet(path: str | Path, moments: Sequence[float], titles: Sequence[str], columns: int) -> NotebookFigure:
    info = probe(path)
    across = round(_POSTER_HEIGHT * float(info.width * info.pixel_aspect) / info.height)
    pictures = read_frames(path, moments, size=(_POSTER_HEIGHT, across))
    columns = min(columns, len(moments))
    rows = -(-len(moments) // columns)
    wide = min(3.3, 8.4 / columns)  # inches of one picture
    size = (wide * columns, (wide * _POSTER_HEIGHT / across + 0.25) * rows)
    figure = NotebookFigure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, picture, title in zip(grid, pictures, titles, strict=False):
        axes.imshow(picture)
        axes.set_title(title, fontsize=8, pad=2)
    return figure
