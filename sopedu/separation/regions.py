"""Which parts of a picture are listened to: boxes, loud places, objects (notebook 12_objects_and_their_sounds)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sopedu.errors import SopeduError
from sopedu.localization.maps import loudest_regions
from sopedu.localization.places import Box, box_of_cell, check_box
from sopedu.objects.tracks import Track, track_names

MOST_REGIONS = 16
# Names of other results; Windows takes the last four for devices.
_TAKEN = ("mixture", "sound_map", "result", "report", "tour", "con", "prn", "aux", "nul")
_CELL = "cell_row"  # so begin the names of single cells
_UNSEEN_SECONDS = 1.0  # an object is listened to for so long before it is first and after it is last seen


@dataclass(frozen=True)
class Region:
    """A part of the picture that is listened to; its results are named after it.

    Attributes:
        box: where it lies; of an object that moves, its mean.
        chosen: "asked for", "loudest", "cell" or "object".
        filmed: whether it gets a video, not a sound file alone.
        track: where an object is at which time.
    """

    name: str
    box: Box
    chosen: str
    filmed: bool = True
    track: Track | None = None

    def box_at(self, time: float) -> Box | None:
        """Where it lies at a time in seconds; None if it is an object that is not there then."""
        if self.track is None or len(self.track.times) == 1:  # one box of a file holds throughout
            return self.box
        return clipped(self.track.box_at(time)) if is_there(self.track, time, time) else None


def is_there(track: Track, begin: float, end: float) -> bool:
    """Whether an object is listened to at some time from `begin` to `end`, in seconds."""
    first, last = float(track.times[0]) - _UNSEEN_SECONDS, float(track.times[-1]) + _UNSEEN_SECONDS
    return len(track.times) == 1 or (first <= end and begin <= last)


def clipped(box: Sequence[float]) -> Box:
    """A detector's box cut at the picture's border; one of no width gets a little."""
    x0, y0, x1, y1 = (min(max(float(value), 0.0), 1.0) for value in box)
    x0, y0 = min(x0, 0.999), min(y0, 0.999)
    return check_box((x0, y0, max(x1, x0 + 1e-3), max(y1, y0 + 1e-3)))


def regions_asked_for(boxes: Sequence[Box] | Mapping[str, Box]) -> list[Region]:
    """Check what a user wants to listen to; boxes without names are called region1, region2 and so on.

    Raises:
        SopeduError: too many boxes, one that is none, or a name that is no file name or taken.
    """
    if not isinstance(boxes, Mapping | Sequence | np.ndarray):
        raise SopeduError(f"boxes came as {type(boxes).__name__}: pass a list of (x0, y0, x1, y1), or name: box")
    if not isinstance(boxes, Mapping):
        boxes = {f"region{number}": box for number, box in enumerate(boxes, 1)}
    if len(boxes) > MOST_REGIONS:
        raise SopeduError(f"{len(boxes)} boxes: at most {MOST_REGIONS} regions can be written in one run")
    for name in boxes:
        # Names become file names: nothing that leaves the folder, nothing that one of its files is called.
        if not isinstance(name, str) or not re.fullmatch(r"[^\W_][\w-]{0,39}", name) or _is_taken(name):
            raise SopeduError(f"region {name!r:.60}: call it by letters, digits, - and _, and not like another result")
    if len({name.casefold() for name in boxes}) < len(boxes):
        raise SopeduError(f"regions {', '.join(boxes)}: two of these names are the same file on some systems")
    return [Region(name, check_box(box), "asked for") for name, box in boxes.items()]


def regions_of_objects(tracks: Sequence[Track]) -> list[Region]:
    """Regions of the objects that were followed, from left to right; of very many the ones most certain and longest."""
    kept = sorted(tracks, key=lambda track: -track.score * len(track.times))[:MOST_REGIONS]
    kept = [track for track in tracks if any(track is one for one in kept)]
    names = track_names(kept)
    for place, name in enumerate(names):
        others = {other.casefold() for other in names[:place] + names[place + 1 :]}
        while _is_taken(name) or name.casefold() in others:
            name = f"object-{name}" if name.casefold().startswith(_CELL) else f"{name}-object"
        names[place] = name
    return [
        Region(name, clipped(track.mean_box), "object", track=track) for name, track in zip(names, kept, strict=True)
    ]


def _is_taken(name: str) -> bool:
    return name.casefold() in _TAKEN or name.casefold().startswith(_CELL)


def loudest_places(sound_map: np.ndarray) -> list[Region]:
    """Regions around the two loudest cells of a map that lie well apart."""
    boxes = loudest_regions(sound_map)
    return [Region(f"region{number}", box, "loudest") for number, box in enumerate(boxes, 1)]


def loudest_cells(sound_map: np.ndarray, count: int) -> list[Region]:
    """The loudest cells of a map, each for itself, to hear but not to film."""
    rows, columns = np.unravel_index(np.argsort(-sound_map, axis=None, kind="stable")[:count], sound_map.shape)
    return [
        Region(f"{_CELL}{row + 1}_column{column + 1}", box_of_cell(row, column, *sound_map.shape), "cell", False)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
