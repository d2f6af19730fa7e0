"""Published lists of videos: MUSIC, MUSIC-21 and duets (JSON), VGGSound and AudioSet (CSV), read one row at a time."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sopedu.errors import SopeduError
from sopedu.files import require_file

CLIP_SECONDS = 10.0  # of VGGSound's and AudioSet's clips
_LARGEST_JSON = 64 * 1024**2  # bytes; the published ones have 33 kB
_NAMED_CLIP = re.compile(r"(?P<video>.+)_(?P<start>\d{1,6})(\.[A-Za-z0-9]{2,4})?")
_HEADERS = {"youtube_id", "ytid", "video", "video_id", "id", "filename", "file"}
_FORMS = (
    "a JSON of MUSIC ({'videos': {class: [ids]}}), a CSV of VGGSound (id,start,label,split or ID_SECOND.mp4,label), or "
    "one of AudioSet (YTID, start, end, labels)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One clip that a list asks for.

    Attributes:
        place: of the row in its list, from 0.
        video: identifier of the video, as the list has it.
        label: name of the class.
        start: second at which the clip begins; None: the whole video.
        seconds: length of the clip; None: the whole video.
        split: ``train``, ``val`` or ``test``; empty if the list does not say.
    """

    place: int
    video: str
    label: str
    start: float | None = None
    seconds: float | None = None
    split: str = ""

    @property
    def clip(self) -> str:
        """Name of the clip: that of the video, and the second at which it begins."""
        if self.start is None:
            return self.video
        whole = self.start == int(self.start)
        return f"{self.video}_{int(self.start):06d}" if whole else f"{self.video}_{round(self.start * 1000)}ms"


def read_list(path: str | Path) -> Iterator[Wanted]:
    """Yield the clips of a published list, in its order; memory does not grow with the length of a CSV.

    Args:
        path: a JSON of MUSIC, MUSIC-21 or the duets; or a CSV of VGGSound (the full list, or the one of its test clips)
            or AudioSet. Beside AudioSet's list, ``class_labels_indices.csv`` gives the names of the classes.

    Raises:
        SopeduError: the file is missing, or no such list (the line is named).
    """
    path = require_file(path)
    yield from _music(path) if path.suffix.lower() == ".json" else _rows(path)


def _music(path: Path) -> Iterator[Wanted]:
    if path.stat().st_size > _LARGEST_JSON:
        raise SopeduError(f"{path}: is larger than any list of videos; give {_FORMS}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SopeduError(f"{path}: is no JSON ({error}); give {_FORMS}") from None
    videos = content.get("videos", content) if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        raise SopeduError(f"{path}: has no classes of videos; give {_FORMS}")
    place = 0
    for label, names in videos.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SopeduError(f"{path}: class {label[:60]!r} is not a list of identifiers; give {_FORMS}")
        for name in names:
            yield Wanted(place, name.strip(), label.strip())
            place += 1


def _rows(path: Path) -> Iterator[Wanted]:
    names, audioset, place = {}, False, 0
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, skipinitialspace=True)
            first = next((row for row in rows if row), [])
            for row in chain([first], rows):
                if not row or row[0].strip().lower() in _HEADERS:
                    continue
                if row[0].startswith("#"):  # AudioSet's comments
                    audioset = True
                    continue
                if not place and (audioset or len(row) >= 4 and _seconds(row[2]) is not None):
                    audioset, names = True, _audioset_names(path)
                wanted = _audioset_row(row, names, place, path) if audioset else _vggsound_row(row, place)
                if wanted is None:
                    raise SopeduError(f"{path}, line {rows.line_num}: found {','.join(row)[:120]!r}; give {_FORMS}")
                yield wanted
                place += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SopeduError(f"{path}: the list cannot be read ({error}); give {_FORMS}") from error
    if not place:
        raise SopeduError(f"{path}: holds no clip; give {_FORMS}")


def _vggsound_row(row: list[str], place: int) -> Wanted | None:
    fields = [field.strip() for field in row]
    if len(fields) == 2 and (named := _NAMED_CLIP.fullmatch(fields[0])):
        return Wanted(place, named["video"], fields[1], float(named["start"]), CLIP_SECONDS, "test")
    if len(fields) in (3, 4) and fields[2] and (start := _seconds(fields[1])) is not None:
        split = fields[3].lower() if len(fields) == 4 else ""
        if split in ("", "train", "val", "test"):
            return Wanted(place, fields[0], fields[2], start, CLIP_SECONDS, split)
    return None


def _audioset_row(row: list[str], names: dict[str, str], place: int, path: Path) -> Wanted | None:
    fields = [field.strip().strip('"') for field in row]
    start, end = (_seconds(field) for field in fields[1:3]) if len(fields) >= 4 else (None, None)
    if start is None or end is None or not end > start:
        return None
    label = fields[3].split(",")[0].strip()  # a clip may have several classes; the first one counts
    split = "test" if "eval" in path.stem else ""
    return Wanted(place, fields[0], names.get(label, label), start, end - start, split)


def _audioset_names(path: Path) -> dict[str, str]:
    """Return AudioSet's names of classes by their codes, if the file with them is beside the list."""
    beside = path.with_name("class_labels_indices.csv")
    if not beside.is_file():
        return {}
    with open(beside, encoding="utf-8-sig", newline="") as file:
        return {row[1].strip(): row[2].strip() for row in csv.reader(file) if len(row) >= 3}


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e6 else None
