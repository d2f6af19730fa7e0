"""Detectors by name: adding one is one entry in :data:`DETECTORS` (notebook 12_objects_and_their_sounds)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sopedu.errors import SopeduError
from sopedu.objects.box_file import BoxFile, read_boxes
from sopedu.objects.detection import Detector, validate_detector
from sopedu.objects.pretrained import FasterRCNN, OpenVocabulary
from sopedu.objects.toyband_detector import load_toyband_detector
from sopedu.toyband.instruments import INSTRUMENTS


@dataclass(frozen=True)
class NamedDetector:
    """How a detector is made.

    Attributes:
        make: returns the detector; called when it is selected by name.
        takes_words: whether ``NAME:violin,piano`` is allowed. ``make`` then gets the list of words, empty for ``NAME``.
    """

    make: Callable[..., Detector]
    takes_words: bool = False


#: Every detector that :func:`named_detector` knows.
DETECTORS: dict[str, NamedDetector] = {
    "toyband": NamedDetector(load_toyband_detector),
    "faster-rcnn": NamedDetector(FasterRCNN.pretrained),
    "owlv2": NamedDetector(lambda words: OpenVocabulary.pretrained(words or INSTRUMENTS), takes_words=True),
}


def named_detector(name: str) -> Detector | BoxFile:
    """Make the detector of a name, wrapped by :func:`sopedu.objects.detection.validate_detector`.

    Args:
        name: ``toyband`` (our own: the eleven drawn instruments; shipped), ``faster-rcnn`` (the 80 classes of COCO),
            ``owlv2:violin,piano`` (the words that you give; ``owlv2`` alone: the eleven instruments; needs
            ``sopedu[detect]``), or the path of a box file, ``.json`` or ``.csv``
            (see :func:`sopedu.objects.box_file.read_boxes`).

    Returns:
        A detector, or the :class:`~sopedu.objects.box_file.BoxFile`; :func:`sopedu.find_tracks` takes both.

    Raises:
        SopeduError: if no detector has that name, its weights are not in the cache and cannot be downloaded, a library
            is missing, or the box file is malformed.
    """
    if name.lower().endswith((".json", ".csv")):
        return read_boxes(name)
    kind, colon, text = name.partition(":")
    entry = DETECTORS.get(kind)
    if entry is None or (colon and not entry.takes_words):
        raise SopeduError(
            f"no detector is called {name!r:.60}: choose {', '.join(DETECTORS)}, owlv2:violin,piano (your own words), "
            "or a box file NAME.json or NAME.csv"
        )
    words = [word.strip() for word in text.split(",") if word.strip()]
    return validate_detector(entry.make(words) if entry.takes_words else entry.make(), kind)
