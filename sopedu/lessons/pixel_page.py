"""A page that plays the sound of any place of a picture, without Python (notebook 11_listen_to_pixels)."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from sopedu.audio.player import encode_mp3, mp3_rate
from sopedu.errors import SopeduError
from sopedu.lessons.moving_maps import FLOOR_DB, moving_maps
from sopedu.lessons.page_bytes import colour_bytes, share_bytes
from sopedu.localization.long_clips import LongClip
from sopedu.localization.places import Box, box_of_cell
from sopedu.model.checkpoints import Checkpoint
from sopedu.pages import write_page

_LARGEST_PAGE = 8_000_000  # bytes
_PAGE_ITSELF = 60_000  # bytes; more than template, style and texts take
_PICTURES_PER_SECOND = 12  # at most
_SIDES = (480, 360, 240)  # pixels of a picture's longer side: smaller ones if the pictures take too much of the page
_FOR_PICTURES = 0.3  # of the page's bytes at most
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
    path: str | Path,
    stretch: LongClip,
    title: str = "Hear any pixel",
    largest: int = _LARGEST_PAGE,
    boxes: Mapping[str, Box] | None = None,
) -> Path:
    """Write the page of :func:`export_html` for a long clip that exists already.

    Args:
        path: of the page; its folder must exist.
        stretch: sound and pictures.
        title: heading of the page.
        largest: size of the page in bytes at most.
        boxes: named sources, each shown in a colour of its own.

    Returns:
        the path.

    Raises:
        SopeduError: the sound is too long for such a page; the page cannot be written.
    """
    rate = mp3_rate(stretch.sound.sample_rate)
    moments, numbers = _moments(stretch, _FOR_PICTURES * largest)
    maps, loudest = _maps(stretch, numbers, boxes or {})
    data = maps | {
        "rate": rate,
        "seconds": stretch.seconds,
        "colours": _text(colour_bytes("magma")),
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


def _moments(stretch: LongClip, room: float) -> tuple[list[dict[str, Any]], list[int]]:
    """Pictures with their times, and their numbers: fewer and smaller ones if they do not fit in ``room`` bytes."""
    numbers = [0]
    for number, time in enumerate(stretch.times):
        if time - stretch.times[numbers[-1]] >= 1 / _PICTURES_PER_SECOND - 1e-3:
            numbers.append(number)
    while True:
        for side in _SIDES:
            pictures = [_text(_webp(stretch.pictures[number], side)) for number in numbers]
            if sum(map(len, pictures)) <= room or (len(numbers) == 1 and side == _SIDES[-1]):
                times = [round(max(0.0, float(stretch.times[number])), 3) for number in numbers]
                source = "data:image/webp;base64,"
                return [
                    {"time": t, "picture": source + coded} for t, coded in zip(times, pictures, strict=True)
                ], numbers
        numbers = numbers[::2]


def _maps(stretch: LongClip, numbers: list[int], boxes: Mapping[str, Box]) -> tuple[dict[str, Any], float]:
    """Maps of the pictures, a byte per value, and the share of the energy that 255 stands for in those of the clip."""
    maps, moving = stretch.maps()[numbers], moving_maps(stretch, list(boxes.values()))
    loudest = max(float(maps.max()), _DARK)
    values = {"maps": maps / loudest} | {name: values[numbers] for name, values in moving.on_page().items()}
    coded = {name: _text(share_bytes(v)) for name, v in values.items()}
    named = [{"name": name, "box": [round(float(side), 4) for side in box]} for name, box in boxes.items()]
    return coded | {"boxes": named, "quietest": FLOOR_DB}, loudest


def _webp(picture: np.ndarray, side: int) -> bytes:
    from PIL import Image

    image, encoded = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((side, side))
    image.save(encoded, "webp", quality=75)
    return encoded.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _json(values: Any) -> str:
    """JSON with ``<`` escaped, so that it cannot end its script element."""
    return json.dumps(values, allow_nan=False).replace("<", "\\u003c")
