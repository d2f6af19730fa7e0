"""A page that plays the sound of any place of a picture, without Python (notebook 11_listen_to_pixels)."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from sopedu.audio.player import encode_mp3, mp3_rate
from sopedu.errors import SopeduError
from sopedu.localization.long_clips import LongClip
from sopedu.localization.places import box_of_cell
from sopedu.model.checkpoints import Checkpoint
from sopedu.pages import write_page

_LARGEST_PAGE = 8_000_000  # bytes
_PAGE_ITSELF = 60_000  # bytes; more than template, style and texts take
_MOMENTS = 8  # number of pictures on the time slider
_PICTURE_SIDE = 640  # pixels of a picture's longer side at most
_LOUDEST_GAIN = 30.0  # quiet cells are stored louder, or MP3 would drop most of them as inaudible
_DARK = 0.1  # a map whose loudest cell lets less than this share through does not reach the brightest colour


def export_html(
    path: str | Path,
    checkpoint: Checkpoint | str | Path,
    waveform: np.ndarray,
    pictures: np.ndarray,
    times: Sequence[float],
    title: str = "Hear any pixel",
    largest: int = _LARGEST_PAGE,
) -> Path:
    """Write a page with the sound of every cell: click, drag a box, touch or use the keyboard, and it plays.

    The page is one file that needs neither Python nor a network. If the sounds of all cells of the feature map do not
    fit in it, it has fewer, larger cells, with a note.

    Args:
        path: of the page; its folder must exist.
        checkpoint: the model, or its folder or name.
        waveform: mono ``(L,)`` at the model's sample rate, of any length.
        pictures: ``(n, H, W, 3)`` uint8, in the order of their times.
        times: seconds from the start of the sound at which each picture begins to show.
        title: heading of the page.
        largest: size of the page in bytes at most.

    Returns:
        the path.

    Raises:
        SopeduError: as for LongClip; the sound is too long for such a page; the page cannot be written.

    Example:
        >>> export_html("duet.html", checkpoint, scene.mixture, scene.frames, scene.times)

    Notebook: 11_listen_to_pixels.
    """
    return export_stretch(path, LongClip(checkpoint, waveform, pictures, times), title, largest)


def export_stretch(
    path: str | Path, stretch: LongClip, title: str = "Hear any pixel", largest: int = _LARGEST_PAGE
) -> Path:
    """Write the page of :func:`export_html` for a long clip that exists already.

    Args:
        path: of the page; its folder must exist.
        stretch: sound and pictures.
        title: heading of the page.
        largest: size of the page in bytes at most.

    Returns:
        the path.

    Raises:
        SopeduError: the sound is too long for such a page; the page cannot be written.
    """
    rate = mp3_rate(stretch.sound.sample_rate)
    moments, loudest = _moments(stretch)
    data = {
        "rate": rate,
        "seconds": stretch.seconds,
        "colours": _text(_magma()),
        "map_rows": stretch.grid[0],
        "map_columns": stretch.grid[1],
        "moments": moments,
        "whole": _stored(stretch.waveform, stretch.sound.sample_rate),
    }
    room = largest - _PAGE_ITSELF - len(_json(data))
    rows, columns, cells = _cells_that_fit(stretch, room, largest)
    data |= {"rows": rows, "columns": columns, "cells": cells}
    return write_page(
        path,
        "pixel_page.html",
        title=title,
        clip=stretch,
        moments=moments,
        loudest=loudest,
        grid=(rows, columns),
        megabytes=largest / 1e6,
        data=Markup(_json(data)),
    )


def _cells_that_fit(stretch: LongClip, room: int, largest: int) -> tuple[int, int, list[dict[str, Any]]]:
    """The finest grid whose sounds fit in ``room`` bytes, from that of the feature map downwards, and the sounds."""
    height, width = stretch.grid
    quiet = 0.3 * len(_stored(stretch.waveform, stretch.sound.sample_rate)["mp3"])  # few cells take less room
    for rows in range(height, min(height, 2) - 1, -1):
        columns = max(1, round(width * rows / height))
        if rows * columns * quiet > room and rows > 2:
            continue
        cells, used = [], 0
        for cell in _cells(stretch, rows, columns):
            used += len(_json(cell)) + 2
            if used > room:
                break
            cells.append(cell)
        else:
            return rows, columns, cells
    raise SopeduError(
        f"{stretch.seconds:.1f} s of sound do not fit in a page of {largest / 1e6:g} MB even with {rows} × {columns} "
        "cells: export a shorter stretch"
    )


def _cells(stretch: LongClip, rows: int, columns: int) -> Iterator[dict[str, Any]]:
    """Sound of every cell of a grid and its share of the energy, row by row."""
    whole = max(float(np.square(stretch.waveform, dtype=np.float64).sum()), 1e-12)
    for row in range(rows):
        boxes = [box_of_cell(row, column, rows, columns) for column in range(columns)]
        sounds = stretch.heard(lambda clip, boxes=boxes: torch.stack([clip.mask(box, "area") for box in boxes]))
        for sound in sounds:
            share = float(np.square(sound, dtype=np.float64).sum()) / whole
            yield _stored(sound, stretch.sound.sample_rate) | {"share": float(f"{share:.4g}")}


def _stored(sound: np.ndarray, sample_rate: int) -> dict[str, Any]:
    gain = float(f"{min(_LOUDEST_GAIN, 0.9 / max(float(np.abs(sound).max()), 1e-9)):.4g}")
    return {"mp3": _text(encode_mp3(np.float32(gain) * sound, sample_rate)), "gain": gain}


def _moments(stretch: LongClip) -> tuple[list[dict[str, Any]], float]:
    """Pictures with time and map, and what the brightest colour stands for; maps are in 255ths of that."""
    count = min(len(stretch.pictures), _MOMENTS)
    chosen = np.unique(np.linspace(0, len(stretch.pictures) - 1, count).round().astype(int))
    maps = stretch.maps()[chosen]
    loudest = max(float(maps.max()), _DARK)
    return [
        {
            "time": round(max(0.0, float(stretch.times[number])), 3),
            "picture": f"data:image/webp;base64,{_text(_webp(stretch.pictures[number]))}",
            "map": np.rint(255 * values / loudest).astype(int).ravel().tolist(),
        }
        for number, values in zip(chosen, maps, strict=True)
    ], loudest


def _webp(picture: np.ndarray) -> bytes:
    from PIL import Image

    image, encoded = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    image.save(encoded, "webp", quality=80)
    return encoded.getvalue()


def _magma() -> bytes:
    from matplotlib import colormaps

    return np.rint(colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _json(values: Any) -> str:
    """JSON with ``<`` escaped, so that it cannot end its script element."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c")
