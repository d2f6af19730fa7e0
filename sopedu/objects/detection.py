"""What a detector is and what it returns (notebook 12_objects_and_their_sounds).

A detector is any callable that takes pictures ``(S, H, W, 3)`` uint8 and returns a :class:`Detections` for each:

    >>> detections = sopedu.named_detector("toyband")(frames)
    >>> detections[0].labels, detections[0].boxes

Boxes are x0, y0, x1, y1 in fractions of width and height. The detectors themselves are listed in ``registry.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import batched_nms, nms

from sopedu.errors import SopeduError

_OVERHANG = 0.5  # a box may reach this far beyond the picture; one that reaches further is probably in pixels


@dataclass(frozen=True)
class Detections:
    """The objects found in one picture, n of them.

    Attributes:
        boxes: ``(n, 4)`` float, x0, y0, x1, y1 in fractions of width and height.
        labels: n names, one per box.
        scores: ``(n,)`` float, confidence of the detector, 0…1.
    """

    boxes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.labels)

    def only(self, which: Sequence[int] | np.ndarray) -> Detections:
        """Return a selection of the objects.

        Args:
            which: positions to keep, in the order wanted.

        Returns:
            The detections at these positions.
        """
        which = np.asarray(which, int)
        return Detections(self.boxes[which], tuple(self.labels[i] for i in which), self.scores[which])


#: From pictures ``(S, H, W, 3)`` uint8 to one :class:`Detections` per picture.
Detector = Callable[[np.ndarray], list[Detections]]


def make_detections(
    boxes: Sequence | np.ndarray, labels: Sequence[str], scores: Sequence[float] | np.ndarray
) -> Detections:
    """Build :class:`Detections` from lists or arrays.

    Args:
        boxes: ``(n, 4)`` x0, y0, x1, y1 in fractions of width and height; may be empty.
        labels: n names.
        scores: ``(n,)`` confidences, 0…1.

    Returns:
        The detections, with float64 arrays.
    """
    return Detections(np.asarray(boxes, float).reshape(-1, 4), tuple(labels), np.asarray(scores, float).reshape(-1))


def suppress_overlaps(detections: Detections, overlap: float = 0.5, across_labels: bool = False) -> Detections:
    """Keep only the most confident of boxes that overlap (non-maximum suppression).

    Args:
        detections: of one picture.
        overlap: a box is removed if its intersection over union with a more confident one is larger.
        across_labels: whether boxes of different labels suppress each other too.

    Returns:
        The remaining detections, the most confident first.
    """
    boxes, scores = torch.from_numpy(detections.boxes).float(), torch.from_numpy(detections.scores).float()
    if across_labels:
        return detections.only(nms(boxes, scores, overlap).numpy())
    names = sorted(set(detections.labels))
    classes = torch.tensor([names.index(label) for label in detections.labels], dtype=torch.int64)
    return detections.only(batched_nms(boxes, scores, classes, overlap).numpy())


def validate_detector(detector: Detector, name: str = "") -> Detector:
    """Wrap a detector so that wrong input or output raises a one-line error; boxes are clipped to the picture.

    Args:
        detector: any callable from ``(S, H, W, 3)`` uint8 to S :class:`Detections`.
        name: its name in error messages; by default the callable's own.

    Returns:
        A detector with the same results, checked. It raises a SopeduError for pictures of another shape or type, and
        for results that are not valid :class:`Detections`.

    Raises:
        SopeduError: if ``detector`` is not callable.
    """
    name = name or getattr(detector, "__name__", type(detector).__name__)
    if not callable(detector):
        raise SopeduError(f"detector {name}: is not a function; pass one, or a name such as toyband, as text")

    def detect(frames: np.ndarray) -> list[Detections]:
        frames = np.asarray(frames)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape[1:]:
            raise SopeduError(
                f"detector {name}: got {frames.dtype} {frames.shape}; pass pictures (S, H, W, 3) of uint8"
            )
        results = detector(frames)
        if not isinstance(results, list | tuple) or len(results) != len(frames):
            raise SopeduError(f"detector {name}: has to return a list of {len(frames)} Detections, one per picture")
        return [_checked_detections(one, f"detector {name}, picture {number}") for number, one in enumerate(results, 1)]

    detect.__name__ = name
    return detect


def _checked_detections(result: Detections, where: str) -> Detections:
    if not isinstance(result, Detections):
        raise SopeduError(f"{where}: returned {type(result).__name__}; return sopedu.objects.Detections")
    try:
        boxes, scores = np.asarray(result.boxes, float), np.asarray(result.scores, float)
        labels = tuple(result.labels)
    except (TypeError, ValueError, RuntimeError) as error:  # the last: tensors that carry gradients
        raise SopeduError(
            f"{where}: boxes and scores must be arrays of numbers and labels a list; tensors: .detach().cpu()"
        ) from error
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes) == len(labels) == scores.size:
        raise SopeduError(
            f"{where}: boxes {boxes.shape}, {len(labels)} labels, scores {scores.shape}; "
            "return as many labels and scores as boxes (n, 4)"
        )
    if not all(isinstance(label, str) and label.strip() for label in labels):
        raise SopeduError(f"{where}: labels must be names; return text that is not empty")
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
