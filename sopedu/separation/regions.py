"""Regions of a picture: boxes, loud places, objects (notebook 12_objects_and_their_sounds)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sopedu.errors import SopeduError
from sopedu.localization.maps import loudest_regions
from sopedu.localization.places import Box, box_of_cell, check_box
from sopedu.objects.tracks import Track, track_names
from sopedu.separation.parts import VideoPart

_MOST_REGIONS = 16
# Names of other results; the last four are reserved for devices on Windows.
_TAKEN = ("mixture", "sound_map", "result", "report", "tour", "con", "prn", "aux", "nul")
_CELL = "cell_row"  # prefix of the names of single cells
_UNSEEN_SECONDS = 1.0  # seconds; an object's sound is kept this long before its first and after its last detection


@dataclass(frozen=True)
class Region:
    """A part of the picture that is separated.

    Attributes:
        name: of the region and its files.
        box: where it lies; of an object that moves, its mean.
        chosen: "asked for", "loudest", "cell" or "object".
        filmed: whether a video is written in addition to its sound file.
        track: where an object is at which time; None for a region that is not an object.
    """

    name: str
    box: Box
    chosen: str
    filmed: bool = True
    track: Track | None = None

    def box_at(self, time: float) -> Box | None:
        """Return where it lies at a time; None if it is an object that is not there then.

        Args:
            time: in seconds from the start of the part.
        """
        if self.track is None or len(self.track.times) == 1:  # one box of a file holds throughout
            return self.box
        return _clipped(self.track.box_at(time)) if _is_there(self.track, time, time) else None


def _is_there(track: Track, begin: float, end: float) -> bool:
    """Whether an object's sound is kept at some time from `begin` to `end`, in seconds."""
    first, last = float(track.times[0]) - _UNSEEN_SECONDS, float(track.times[-1]) + _UNSEEN_SECONDS
    return len(track.times) == 1 or (first <= end and begin <= last)


def _clipped(box: Sequence[float]) -> Box:
    """A detector's box, cut at the picture's border; an empty box gets a small width and height."""
    x0, y0, x1, y1 = (min(max(float(value), 0.0), 1.0) for value in box)
    x0, y0 = min(x0, 0.999), min(y0, 0.999)
    return check_box((x0, y0, max(x1, x0 + 1e-3), max(y1, y0 + 1e-3)))


def regions_asked_for(boxes: Sequence[Box] | Mapping[str, Box]) -> list[Region]:
    """Make regions of the boxes that a user asks for.

    Args:
        boxes: fractions of width and height; those without names are called region1, region2 and so on.

    Raises:
        SopeduError: too many boxes, one outside the picture or empty, or a name that is taken or no file name.
    """
    if not isinstance(boxes, Mapping | Sequence | np.ndarray):
        raise SopeduError(f"boxes came as {type(boxes).__name__}: pass a list of (x0, y0, x1, y1), or name: box")
    if not isinstance(boxes, Mapping):
        boxes = {f"region{number}": box for number, box in enumerate(boxes, 1)}
    if len(boxes) > _MOST_REGIONS:
        raise SopeduError(f"{len(boxes)} boxes: at most {_MOST_REGIONS} regions can be written in one run")
    for name in boxes:
        # Names become file names: nothing that leaves the folder, nothing that one of its files is called.
        if not isinstance(name, str) or not re.fullmatch(r"[^\W_][\w-]{0,39}", name) or _is_taken(name):
            raise SopeduError(f"region {name!r:.60}: call it by letters, digits, - and _, and not like another result")
    if len({name.casefold() for name in boxes}) < len(boxes):
        raise SopeduError(f"regions {', '.join(boxes)}: two of these names are the same file on some systems")
    return [Region(name, check_box(box), "asked for") for name, box in boxes.items()]


def regions_of_objects(tracks: Sequence[Track]) -> list[Region]:
    """Make regions of objects, in their order; of very many, only the most certain and longest.

    Args:
        tracks: the objects.
    """
    kept = sorted(tracks, key=lambda track: -track.score * len(track.times))[:_MOST_REGIONS]
    kept = [track for track in tracks if any(track is one for one in kept)]
    names = track_names(kept)
    for place, name in enumerate(names):
        others = {other.casefold() for other in names[:place] + names[place + 1 :]}
        while _is_taken(name) or name.casefold() in others:
            name = f"object-{name}" if name.casefold().startswith(_CELL) else f"{name}-object"
        names[place] = name
    return [
        Region(name, _clipped(track.mean_box), "object", track=track) for name, track in zip(names, kept, strict=True)
    ]


def join_objects(
    asked: list[Region], tracks: Sequence[Track], part: VideoPart, seconds: float
) -> tuple[list[Region], list[str]]:
    """Join boxes asked for and objects found.

    Boxes come first and keep their names; an object with the name of a box is left out.

    Args:
        asked: regions of the boxes.
        tracks: objects of the video.
        part: that is separated.
        seconds: its length.

    Returns:
        all regions, and a line about every kind of object that is left out.

    Raises:
        SopeduError: all objects (of a box file, for example) are before or after this part of the video.
    """
    if not tracks:
        instead = "only the boxes are written" if asked else "the loudest places of the map are written instead"
        return asked, [f"the detector found no object: {instead}"]
    here = [track for track in tracks if _is_there(track, 0.0, seconds)]
    if not here:
        first, last = (part.start + which(float(t) for track in tracks for t in track.times) for which in (min, max))
        raise SopeduError(
            f"{part.info.path}: all objects are there from {first:.2f} to {last:.2f} s, but this part goes from "
            f"{part.start:.2f} to {part.start + seconds:.2f} s; write times in seconds of the video"
        )
    taken = {region.name.casefold() for region in asked}
    objects = regions_of_objects(here)
    others = [region for region in objects if region.name.casefold() not in taken]
    regions = [*asked, *others][:_MOST_REGIONS]
    too_many = len(here) - len(objects) + len(asked) + len(others) - len(regions)
    left_out = {
        "are not there in this part of the video": len(tracks) - len(here),
        "have the name of a box, which is written instead": len(objects) - len(others),
        f"are too many, {_MOST_REGIONS} regions can be written": too_many,
    }
    return regions, [f"{n} of {len(tracks)} objects {why}: left out" for why, n in left_out.items() if n]


def _is_taken(name: str) -> bool:
    return name.casefold() in _TAKEN or name.casefold().startswith(_CELL)


def loudest_places(sound_map: np.ndarray) -> list[Region]:
    """Make regions around the two loudest cells of a map that lie well apart.

    Args:
        sound_map: ``(h, w)``.
    """
    boxes = loudest_regions(sound_map)
    return [Region(f"region{number}", box, "loudest") for number, box in enumerate(boxes, 1)]


def loudest_cells(sound_map: np.ndarray, count: int) -> list[Region]:
    """Make a region of each of the loudest cells of a map; they get sound files but no videos.

    Args:
        sound_map: ``(h, w)``.
        count: how many.
    """
    rows, columns = np.unravel_index(np.argsort(-sound_map, axis=None, kind="stable")[:count], sound_map.shape)
    return [
        Region(f"{_CELL}{row + 1}_column{column + 1}", box_of_cell(row, column, *sound_map.shape), "cell", False)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
