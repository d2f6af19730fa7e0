"""Link the detections of single pictures into tracks (notebook 12_objects_and_their_sounds).

>>> tracks = find_tracks(named_detector("toyband"), zip(scene.times, scene.frames))
>>> dict(zip(track_names(tracks), tracks))["violin"].box_at(1.5)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from scipy.optimize import linear_sum_assignment

from sopedu.errors import SopeduError
from sopedu.localization.places import Box, centre, intersection_over_union
from sopedu.objects.box_file import BoxFile
from sopedu.objects.detection import Detections, Detector, suppress_overlaps, validate_detector

_BATCH = 8  # pictures that a detector gets at once


@dataclass(frozen=True)
class Track:
    """One object through time.

    Attributes:
        label: its class.
        times: ``(n,)`` ascending seconds at which it was detected.
        boxes: ``(n, 4)`` its boxes at these times, in fractions of width and height.
        score: mean confidence of the detector, 0…1.
    """

    label: str
    times: np.ndarray
    boxes: np.ndarray
    score: float

    def box_at(self, time: float) -> Box:
        """Return its box at a time, interpolated linearly; constant before the first and after the last detection.

        Args:
            time: in seconds.

        Returns:
            x0, y0, x1, y1 in fractions of width and height.
        """
        return tuple(float(np.interp(time, self.times, side)) for side in self.boxes.T)

    @property
    def mean_box(self) -> Box:
        """Its mean box, x0, y0, x1, y1."""
        return tuple(self.boxes.mean(axis=0).tolist())


@dataclass
class _OpenTrack:
    """A track that has not ended yet."""

    label: str
    times: list[float] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, time: float, box: np.ndarray, score: float) -> None:
        self.times.append(time)
        self.boxes.append(box)
        self.scores.append(score)


def link_detections(
    detections: Sequence[Detections],
    times: Sequence[float],
    overlap: float = 0.3,
    longest_gap: float = 1.0,
    least: int = 2,
) -> list[Track]:
    """Link the detections of successive pictures into tracks.

    Each picture's detections are assigned to the tracks of their label so that the sum of overlaps is largest
    (the Hungarian method); a detection without a track starts a new one.

    Args:
        detections: one per picture, in the order of time.
        times: ascending seconds, one per picture.
        overlap: least intersection over union with a track's last box.
        longest_gap: seconds after which an undetected track ends, unless it was in the picture just before. An object
            that returns later counts as a new one.
        least: tracks with fewer detections are dropped as false alarms; one is enough if there is only one picture.

    Returns:
        The tracks, from left to right.

    Raises:
        SopeduError: if times and detections differ in number, or times do not ascend.
    """
    times = [float(time) for time in times]
    if len(times) != len(detections):
        raise SopeduError(f"{len(detections)} pictures, but {len(times)} times; pass one time per picture")
    if any(not before < after for before, after in zip(times, times[1:], strict=False)):
        raise SopeduError("times of the pictures must ascend; sort the pictures by time, each once")
    known: list[_OpenTrack] = []
    before = -math.inf
    for time, seen in zip(times, detections, strict=True):
        going_on = [track for track in known if track.times[-1] >= min(before, time - longest_gap)]
        for label in dict.fromkeys(seen.labels):
            here = [i for i, name in enumerate(seen.labels) if name == label]
            ours = [track for track in going_on if track.label == label]
            followed = _assigned(ours, seen.boxes[here], overlap)
            for place, i in enumerate(here):
                if place not in followed:
                    known.append(_OpenTrack(label))
                (ours[followed[place]] if place in followed else known[-1]).add(time, seen.boxes[i], seen.scores[i])
        before = time
    kept = [track for track in known if len(track.times) >= (least if len(times) > 1 else 1)]
    tracks = [Track(t.label, np.array(t.times), np.array(t.boxes), float(np.mean(t.scores))) for t in kept]
    return sorted(tracks, key=lambda track: (*centre(track.mean_box), track.times[0], track.label))


def _assigned(tracks: Sequence[_OpenTrack], boxes: np.ndarray, overlap: float) -> dict[int, int]:
    """Return which box continues which track: index of the box → index of the track."""
    if not tracks:
        return {}
    last = np.array([track.boxes[-1] for track in tracks])
    shared = intersection_over_union(boxes, last)
    # Without any overlap (boxes of a file, far apart in time), the nearest box is the most likely.
    middles = [(some[:, :2] + some[:, 2:]) / 2 for some in (boxes, last)]
    distance = np.linalg.norm(middles[0][:, None] - middles[1][None], axis=-1)
    worth = np.where(shared >= overlap, shared + 1 - 1e-3 * distance, 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if worth[row, column] > 0}


def find_tracks(
    detector: Detector | BoxFile,
    pictures: Iterable[tuple[float, np.ndarray]],
    *,
    overlap: float = 0.3,
    longest_gap: float = 1.0,
    least: int = 2,
    suppress: float = 0.5,
    start: float = 0.0,
) -> list[Track]:
    """Detect objects in pictures and link them into tracks; only a few pictures are in memory at a time.

    Args:
        detector: a detector, or a box file. The boxes of a box file are linked by label, for any gap and overlap;
            one box is enough, and the pictures are not used.
        pictures: pairs of seconds and a picture ``(H, W, 3)`` uint8, in the order of time; a few per second are enough.
        overlap: see :func:`link_detections`.
        longest_gap: see :func:`link_detections`.
        least: see :func:`link_detections`.
        suppress: overlap above which the less confident of two boxes of a label is removed, see
            :func:`sopedu.objects.detection.suppress_overlaps`.
        start: second of the video at which the pictures' time is 0; a box file counts from the start of the video.

    Returns:
        The tracks, from left to right; an empty list if nothing is found.

    Raises:
        SopeduError: if the detector fails or returns something invalid, the pictures differ in size, or their times do
            not ascend.
    """
    if isinstance(detector, BoxFile):
        times = [time - start for time in detector.times]
        return link_detections(detector.detections, times, overlap=0.0, longest_gap=math.inf, least=1)
    detect, times, detections = validate_detector(detector), [], []
    pictures = iter(pictures)
    while some := list(islice(pictures, _BATCH)):
        if len({np.shape(shown) for _, shown in some}) > 1:
            raise SopeduError("pictures for tracking must have one size; resize them first")
        times += [time for time, _ in some]
        detections += [suppress_overlaps(one, suppress) for one in detect(np.stack([shown for _, shown in some]))]
    return link_detections(detections, times, overlap, longest_gap, least)


def track_names(tracks: Sequence[Track]) -> list[str]:
    """Name every track, unique and valid as a file name: ``violin``, ``violin-2``, ``acoustic_guitar``.

    Args:
        tracks: to name.

    Returns:
        One name per track.
    """
    names: list[str] = []
    taken: set[str] = set()
    for track in tracks:
        plain = re.sub(r"[^\w]+", "-", track.label).strip("-_")[:32].rstrip("-_") or "object"
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
