"""VGG-SS: scores of sound maps on filmed clips (notebook 10_localize).

VGG-SS (Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021) drew boxes around what sounds in the middle
frame of 5158 clips of VGGSound's test set. ``vggss.json`` is a list of ``{"file": "ID_SECOND", "class": …, "bbox":
[[x0, y0, x1, y1], …]}``, in fractions of width and height. The clips are VGGSound's videos, ``ID_SECOND.mp4``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.errors import SopeduError, whole_number
from sopedu.evaluation.map_scores import half_sized_box, overlap, pixels_of_box, success_area
from sopedu.files import require_file
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import WHOLE, check_box, map_on_picture
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.video.reading import frames_tensor

_SIDE = 224  # pixels per side on which maps and boxes are compared
_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".avi"}
_NAMED = 20  # names in a note at most


@dataclass(frozen=True)
class BoxedClips:
    """The annotations.

    Attributes:
        boxes: file → boxes of what sounds, `(n, 4)` in fractions of the picture, n ≥ 1.
        broken: files with invalid boxes (no area, or far outside the picture), which were left out.
        without_box: files with no usable box, which are in `broken` too if they had any.
    """

    boxes: dict[str, np.ndarray]
    broken: tuple[str, ...]
    without_box: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What was left out, one line each."""
        left_out = {
            "entries hold broken boxes, which are left out": self.broken,
            "entries have no usable box and are left out": self.without_box,
        }
        return [f"{len(files)} {what}: {_listed(files)}" for what, files in left_out.items() if files]


def read_vggss(path: str | Path) -> BoxedClips:
    """Read `vggss.json`; boxes that are invalid, as some are, are counted and left out.

    Args:
        path: of the file.

    Raises:
        SopeduError: the file is missing, no JSON, or not a list of entries with `file` and `bbox`; no entry has a
            usable box.
    """
    path = require_file(path)
    try:
        entries = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SopeduError(f"{path}: is no JSON ({error}); give VGG-SS's vggss.json") from None
    if not isinstance(entries, list):
        raise SopeduError(f"{path}: holds no list of clips; give VGG-SS's vggss.json")
    boxes: dict[str, np.ndarray] = {}
    broken, without_box = [], []
    for number, entry in enumerate(entries, 1):
        name, drawn = (entry.get("file"), entry.get("bbox")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(drawn, list) or name in boxes:
            raise SopeduError(
                f"{path}, entry {number}: expected a file that was not there before and a list bbox, "
                f"found {entry!r:.100}"
            )
        usable = [box for box in drawn if _usable(box)]
        if len(usable) < len(drawn):
            broken.append(name)
        if usable:
            boxes[name] = np.array(usable, float)
        else:
            without_box.append(name)
    if not boxes:
        raise SopeduError(f"{path}: none of its {len(entries)} entries has a usable box; copy or download it again")
    return BoxedClips(boxes, tuple(broken), tuple(without_box))


def score_vggss(maps: Mapping[str, np.ndarray], annotations: BoxedClips, seed: int = 0) -> dict[str, Any]:
    """Score maps by the published protocol, beside guesses that use no sound.

    A map is interpolated to 224×224 pixels; the upper half of them by value is the prediction, the union of the
    clip's boxes the truth. `ciou_50` is the share of clips whose intersection over union is at least 0.5, `auc` the
    area under this rate over the 21 thresholds 0, 0.05 … 1. A map of one value predicts nothing and scores 0.

    Args:
        maps: file → `(h, w)`, any grid; clips without a map are counted as missing and not scored.
        annotations: what :func:`read_vggss` returned.
        seed: of the boxes at random places.

    Returns:
        `iou`, `ciou_50`, `auc`, `table` with the whole frame and boxes of half its width and height in the middle and
        at random, `clips`, `missing`, `broken`, `without_box`, `notes`, `protocol`.

    Raises:
        SopeduError: no map belongs to an annotated clip, or one is not a finite `(h, w)`.

    Source: Chen et al. 2021, section 5; AUC as in their evaluation.
    """
    scored = [name for name in annotations.boxes if name in maps]
    if not scored:
        raise SopeduError(f"none of {len(maps)} maps belongs to one of the {len(annotations.boxes)} annotated clips")
    generator = np.random.default_rng([seed, 41])
    everything, middle = np.ones((_SIDE, _SIDE), bool), pixels_of_box(half_sized_box((0.5, 0.5)), _SIDE)
    overlaps: dict[str, list[float]] = {name: [] for name in ("model", "whole_frame", "centre_box", "random_box")}
    for name in scored:
        values = np.asarray(maps[name], float)
        if values.ndim != 2 or not values.size or not np.isfinite(values).all():
            raise SopeduError(f"the map of {name} has shape {values.shape}: pass finite numbers (h, w)")
        truth = np.any([pixels_of_box(tuple(box), _SIDE) for box in annotations.boxes[name]], axis=0)
        anywhere = pixels_of_box(half_sized_box(tuple(generator.uniform(0.25, 0.75, 2))), _SIDE)
        predictions = (_upper_half(values), everything, middle, anywhere)
        for row, predicted in zip(overlaps.values(), predictions, strict=True):
            row.append(overlap(predicted, truth))
    table = {name: _rates(row) for name, row in overlaps.items()}
    return {
        **table["model"],
        "clips": len(scored),
        "missing": len(annotations.boxes) - len(scored),
        "broken": len(annotations.broken),
        "without_box": len(annotations.without_box),
        "seed": seed,
        "notes": annotations.notes,
        "protocol": (
            f"VGG-SS, {len(scored)} of {len(annotations.boxes)} clips; map bilinear on {_SIDE}×{_SIDE} pixels, the "
            "upper half of the pixels against the union of the boxes; cIoU: share with IoU of at least 0.5; AUC over "
            "21 thresholds"
        ),
        "table": table,
    }


def _rates(overlaps: list[float]) -> dict[str, float]:
    return {
        "iou": round(float(np.mean(overlaps)), 4),
        "ciou_50": round(float(np.mean(np.array(overlaps) >= 0.5)), 4),
        "auc": round(success_area(overlaps), 4),
    }


def _upper_half(values: np.ndarray, side: int = _SIDE) -> np.ndarray:
    """Pixels `(side, side)` above the median of a map, interpolated between its cells."""
    fine = map_on_picture(values, WHOLE, side, side)
    median = np.partition(fine, fine.size // 2, axis=None)[fine.size // 2]
    return fine > median + 1e-12 * np.abs(values).max()  # ignore rounding errors in a map of one value


def evaluate_vggss(
    checkpoint: Checkpoint | str | Path,
    annotations: str | Path,
    clips: str | Path,
    kind: str = MAP_KINDS[0],
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Evaluate a model's sound maps on those clips of VGG-SS that are there.

    The model gets one window of sound in the middle of a clip and the whole picture, in its proportions. The map of the
    middle one of its frames is scored.

    Args:
        checkpoint: the model, on the device that does the work; or its folder or name, for the CPU.
        annotations: path of `vggss.json`.
        clips: folder of videos `FILE.mp4` (or mkv, webm, mov, avi), named as in the annotations, at any depth.
        kind: of the map, see :meth:`sopedu.PixelSounds.sound_map`.
        seed: of the boxes at random places.
        progress: show a bar with the time left.

    Returns:
        what :func:`score_vggss` returns, and `device`; clips that cannot be used are missing, named in `notes`, and
        counted as `unusable` too.

    Raises:
        SopeduError: the annotations cannot be used; `clips` is not a folder, or has no annotated clip that can be
            used; unknown kind.

    Source: Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021.

    Notebook: 10_localize.
    """
    seed = whole_number(seed, "seed", 0)
    checkpoint, known, folder = as_checkpoint(checkpoint), read_vggss(annotations), Path(clips)
    if kind not in MAP_KINDS:
        raise SopeduError(f"unknown sound map {kind!r}: choose {', '.join(MAP_KINDS)}")
    maps, unusable = {}, []
    for name, path in tqdm(_clips_there(known, folder).items(), "VGG-SS", unit="clip", disable=not progress):
        try:
            maps[name] = _map_of_clip(checkpoint, path, kind)
        except SopeduError as error:
            unusable.append(str(error))
    if not maps:
        raise SopeduError(f"{folder}: none of {len(unusable)} clips can be used; the first: {unusable[0]}")
    figures = score_vggss(maps, known, seed) | {"unusable": len(unusable), "device": checkpoint.device}
    if unusable:
        figures["notes"] = [*figures["notes"], f"{len(unusable)} clips cannot be used: {_listed(unusable, '; ')}"]
    figures["protocol"] += f"; the {kind} map of the middle frame, heard in a window in the middle of the clip"
    return figures


def _clips_there(known: BoxedClips, folder: Path) -> dict[str, Path]:
    """Annotated clips whose videos lie in a folder or below it: file → path."""
    if not folder.is_dir():
        raise SopeduError(f"{folder}: is no folder; give the folder of VGGSound's clips, FILE.mp4")
    there = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _SUFFIXES}
    wanted = {name: there[name] for name in known.boxes if name in there}
    if not wanted:
        raise SopeduError(
            f"{folder}: none of the {len(known.boxes)} clips is there, such as {next(iter(known.boxes))}.mp4"
        )
    return wanted


def _map_of_clip(checkpoint: Checkpoint, path: Path, kind: str = MAP_KINDS[0]) -> np.ndarray:
    """Map `(h, w)` of the frame in the middle of a video, for the sound around it."""
    from sopedu.video.probing import probe
    from sopedu.video.reading import read_frames, read_sound
    from sopedu.video.resizing import frame_size

    config, sound, info = checkpoint.config, checkpoint.config.spectrogram, probe(path)
    if not (info.has_picture and info.has_sound):
        raise SopeduError(f"{path}: has no {'sound' if info.has_picture else 'picture'}")
    middle = info.duration / 2
    start = max(0.0, middle - sound.seconds / 2)
    heard = read_sound(path, sound.sample_rate, start, sound.samples / sound.sample_rate)[: sound.samples]
    if not np.any(heard):
        raise SopeduError(f"{path}: is silent in the middle")
    heard = np.pad(heard, (0, sound.samples - len(heard)))
    times = np.clip(config.frames.times(middle), 0, info.duration)
    pictures = read_frames(path, times, frame_size(info, config.frames.size))
    pixels = PixelSounds(checkpoint.model, torch.from_numpy(heard), frames_tensor(pictures))
    volume = pixels.sound_map(kind, noise=True)  # wind, rain and vacuum cleaners are among the classes
    return volume[len(volume) // 2]


def _usable(box: Any) -> bool:
    try:
        check_box([float(value) for value in box])
    except (SopeduError, TypeError, ValueError, OverflowError):
        return False
    return True


def _listed(names: list[str] | tuple[str, ...], between: str = ", ") -> str:
    return between.join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
