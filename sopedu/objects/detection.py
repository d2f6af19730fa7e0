"""Detectors: what stands where in pictures (notebook 12_objects_and_their_sounds).

A detector is any callable that takes pictures ``(S, H, W, 3)`` uint8 and returns a :class:`Detections` for each:

    >>> found = named_detector("toyband")(frames)
    >>> found[0].labels, found[0].boxes

Boxes are x0, y0, x1, y1 in fractions of width and height, as everywhere (``geometry.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision.ops import batched_nms, nms

from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from sopedu.objects.box_file import BoxFile

_OVERHANG = 0.5  # a detector's box may reach so far beyond the picture; further out it is probably in pixels


@dataclass(frozen=True)
class Detections:
    """What a detector found in one picture: n things, none if n is 0.

    Attributes:
        boxes: ``(n, 4)`` x0, y0, x1, y1 in fractions of width and height.
        labels: the name of each.
        scores: ``(n,)`` how sure the detector is, 0…1.
    """

    boxes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, which: Sequence[int] | np.ndarray) -> Detections:
        """Those at the given positions, in that order."""
        which = np.asarray(which, int)
        return Detections(self.boxes[which], tuple(self.labels[i] for i in which), self.scores[which])


Detector = Callable[[np.ndarray], list[Detections]]


def make_detections(
    boxes: Sequence | np.ndarray, labels: Sequence[str], scores: Sequence[float] | np.ndarray
) -> Detections:
    """Detections from lists or arrays of boxes, labels and scores; empty ones are fine."""
    return Detections(np.asarray(boxes, float).reshape(-1, 4), tuple(labels), np.asarray(scores, float).reshape(-1))


def suppress_overlaps(detections: Detections, overlap: float = 0.5, across_labels: bool = False) -> Detections:
    """Keep the surest of boxes that show the same thing (non-maximum suppression, ``torchvision.ops``).

    Args:
        detections: of one picture.
        overlap: a box goes if its intersection over union with a surer one is larger.
        across_labels: whether boxes of different labels suppress each other too.

    Returns:
        what is left, the surest first.
    """
    boxes, scores = torch.from_numpy(detections.boxes).float(), torch.from_numpy(detections.scores).float()
    if across_labels:
        return detections.only(nms(boxes, scores, overlap).numpy())
    names = sorted(set(detections.labels))
    classes = torch.tensor([names.index(label) for label in detections.labels], dtype=torch.int64)
    return detections.only(batched_nms(boxes, scores, classes, overlap).numpy())


def validate_detector(detector: Detector, name: str = "") -> Detector:
    """Wrap a detector so that wrong pictures and wrong answers are told in one line; boxes are cut at the border.

    Args:
        detector: any callable as above, one of your own for example.
        name: what errors call it.
    """
    name = name or getattr(detector, "__name__", type(detector).__name__)
    if not callable(detector):
        raise SopeduError(f"detector {name}: is no function; pass one, or a name such as toyband, as text")

    def detect(frames: np.ndarray) -> list[Detections]:
        frames = np.asarray(frames)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape[1:]:
            raise SopeduError(
                f"detector {name}: got {frames.dtype} {frames.shape}; pass pictures (S, H, W, 3) of uint8"
            )
        answers = detector(frames)
        if not isinstance(answers, list | tuple) or len(answers) != len(frames):
            raise SopeduError(f"detector {name}: has to return a list of {len(frames)} Detections, one a picture")
        return [_checked_answer(one, f"detector {name}, picture {number}") for number, one in enumerate(answers, 1)]

    detect.__name__ = name
    return detect


def _checked_answer(answer: Detections, where: str) -> Detections:
    if not isinstance(answer, Detections):
        raise SopeduError(f"{where}: returned {type(answer).__name__}; return sopedu.objects.detection.Detections")
    try:
        boxes, scores = np.asarray(answer.boxes, float), np.asarray(answer.scores, float)
        labels = tuple(answer.labels)
    except (TypeError, ValueError, RuntimeError) as error:  # the last: tensors that carry gradients
        raise SopeduError(
            f"{where}: its boxes and scores are no arrays of numbers, or its labels no list; tensors: .detach().cpu()"
        ) from error
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) == len(labels) == scores.size:
        raise SopeduError(
            f"{where}: boxes {boxes.shape}, {len(labels)} labels, scores {scores.shape}; "
            "return as many labels and scores as boxes (n, 4)"
        )
    if not all(isinstance(label, str) and label.strip() for label in labels):
        raise SopeduError(f"{where}: its labels are not all names; return text that is not empty")
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        raise SopeduError(f"{where}: a box or a score is not a number")
    if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
        raise SopeduError(f"{where}: scores from {scores.min():g} to {scores.max():g}; return 0 to 1")
    clipped = boxes.clip(0, 1)
    for box, cut in zip(boxes, clipped, strict=True):
        far = box.min() < -_OVERHANG or box.max() > 1 + _OVERHANG
        if far or cut[0] >= cut[2] or cut[1] >= cut[3]:
            raise SopeduError(
                f"{where}: box {','.join(f'{value:g}' for value in box)}: return x0, y0, x1, y1 as fractions of width "
                "and height (not pixels), with x0 < x1 and y0 < y1"
            )
    return make_detections(clipped, labels, scores)


def named_detector(name: str) -> Detector | BoxFile:
    """The detector of that name, checked and ready.

    Args:
        name: ``toyband`` (ours: the eleven instruments, drawn; comes with the samples), ``faster-rcnn`` (the 80 things
            of COCO), ``owlv2:violin,piano`` (whatever you name; ``owlv2`` alone: the eleven instruments; needs
            ``sopedu[detect]``), or the path of a box file, ``.json`` or ``.csv``
            (see :func:`sopedu.objects.box_file.read_boxes`).

    Returns:
        a detector, or the :class:`~sopedu.objects.box_file.BoxFile`; :func:`sopedu.find_tracks` takes both.

    Raises:
        SopeduError: there is no detector of that name, its weights are neither here nor to be downloaded, a library is
            missing, or the box file is malformed.
    """
    kind, _, wanted = name.partition(":")
    if name.lower().endswith((".json", ".csv")):
        from sopedu.objects.box_file import read_boxes

        return read_boxes(name)
    if name == "toyband":
        from sopedu.objects.toyband_detector import load_toyband_detector

        return validate_detector(load_toyband_detector(), name)
    if name == "faster-rcnn":
        from sopedu.objects.pretrained import FasterRCNN

        return validate_detector(FasterRCNN.pretrained(), name)
    if kind == "owlv2":
        from sopedu.objects.pretrained import OpenVocabulary
        from sopedu.toyband.melody import INSTRUMENTS

        words = [word.strip() for word in wanted.split(",") if word.strip()]
        return validate_detector(OpenVocabulary.pretrained(words or INSTRUMENTS), "owlv2")
    raise SopeduError(
        f"no detector is called {name!r:.60}: choose toyband, faster-rcnn, owlv2, owlv2:violin,piano (your own words), "
        "or a box file NAME.json or NAME.csv"
    )
