"""Read boxes from a file, drawn by hand or written by another program (notebook 12_objects_and_their_sounds).

JSON holds a list of entries, CSV one line per box below a header; ``score`` may be left out::

    [{"time": 0.0, "label": "violin", "box": [0.1, 0.2, 0.4, 0.9], "score": 0.8}, …]

    time,label,x0,y0,x1,y1,score
    0.0,violin,0.1,0.2,0.4,0.9,0.8
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sopedu.errors import SopeduError
from sopedu.files import require_file
from sopedu.localization.places import check_box
from sopedu.objects.detection import Detections, make_detections

_SIDES = ("x0", "y0", "x1", "y1")
_LARGEST = 1e300


@dataclass(frozen=True)
class BoxFile:
    """Boxes read from a file; used like a detector, but without pictures.

    Attributes:
        path: the file.
        times: seconds of the video at which there are boxes, ascending.
        detections: the boxes at each of these times.
    """

    path: Path
    times: tuple[float, ...]
    detections: tuple[Detections, ...]


def read_boxes(path: str | Path) -> BoxFile:
    """Read boxes from a ``.json`` or ``.csv`` file, times in seconds, sides in fractions of width and height.

    Args:
        path: the file; the format follows from its ending, CSV unless it is ``.json``.

    Returns:
        The boxes, grouped by time.

    Raises:
        SopeduError: if the file is missing or malformed; names file, entry or line, and field.
    """
    path = require_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SopeduError(f"{path}: is no text in UTF-8; write boxes as JSON or CSV") from error
    entries = _json_entries(path, text) if path.suffix.lower() == ".json" else _csv_entries(path, text)
    moments: dict[float, list[tuple]] = {}
    for where, entry in entries:
        time, label, box, score = _checked_entry(where, entry)
        moments.setdefault(time, []).append((box, label, score))
    if not moments:
        raise SopeduError(f"{path}: holds no boxes; write at least one, with time, label and box")
    times = tuple(sorted(moments))
    return BoxFile(path, times, tuple(make_detections(*zip(*moments[time], strict=True)) for time in times))


def _json_entries(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SopeduError(f"{path}{line}: is no JSON; write a list of {{time, label, box}}") from error
    if not isinstance(entries, list):
        raise SopeduError(f"{path}: holds {type(entries).__name__}; write a list of {{time, label, box}}")
    for number, entry in enumerate(entries, 1):
        where = f"{path}, entry {number}"
        if not isinstance(entry, dict):
            raise SopeduError(f"{where}: is {entry!r:.40}; write {{time, label, box}}")
        yield where, entry


def _csv_entries(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        named = [name.strip() for name in rows.fieldnames or []]
    except csv.Error as error:
        raise SopeduError(f"{path}, line 1: is no CSV ({error})") from error
    missing = [name for name in ("time", "label", *_SIDES) if name not in named]
    if missing:
        raise SopeduError(f"{path}, line 1: lacks {', '.join(missing)}; begin with time,label,x0,y0,x1,y1[,score]")
    rows.fieldnames = named
    try:
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if None in row or None in row.values():
                raise SopeduError(f"{where}: has not as many fields as the header, {len(named)}")
            numbers = {name: _number(where, name, row[name]) for name in ("time", *_SIDES)}
            entry = {"time": numbers["time"], "label": row["label"], "box": [numbers[side] for side in _SIDES]}
            if row.get("score", "").strip():
                entry["score"] = _number(where, "score", row["score"])
            yield where, entry
    except csv.Error as error:
        raise SopeduError(f"{path}, line {rows.line_num}: is no CSV ({error})") from error


def _number(where: str, field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SopeduError(f"{where}, {field}: {text!r:.40} is no number") from error


def _checked_entry(where: str, entry: dict[str, Any]) -> tuple[float, str, tuple[float, ...], float]:
    for field in ("time", "label", "box"):
        if field not in entry:
            raise SopeduError(f"{where}: lacks {field}; write {{time, label, box}}")
    time, label, box, score = entry["time"], entry["label"], entry["box"], entry.get("score", 1.0)
    if not _is_number(time) or time < 0:
        raise SopeduError(f"{where}, time: {time!r:.40} is no time in seconds, 0 or more")
    if not isinstance(label, str) or not label.strip():
        raise SopeduError(f"{where}, label: {label!r:.40} is no name")
    if not isinstance(box, list) or not all(_is_number(side) for side in box):
        raise SopeduError(f"{where}, box: {box!r:.60} is not [x0, y0, x1, y1] in numbers")
    if not _is_number(score) or not 0 <= score <= 1:
        raise SopeduError(f"{where}, score: {score!r:.40} is no number from 0 to 1")
    try:
        return float(time), label.strip(), check_box(tuple(map(float, box))), float(score)
    except SopeduError as error:
        raise SopeduError(f"{where}, {error}") from None


def _is_number(value: Any) -> bool:
    # Compared instead of isfinite, because an integer may be too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
