"""Evaluate a model on films of two players without references: read the films, ask the model, summarise.

What the figures mean is explained in :mod:`sopedu.evaluation.duets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.data.opening import is_toyband, open_clips
from sopedu.datasets.duet_films import Duet, instruments_named, open_duets
from sopedu.errors import SopeduError, whole_number
from sopedu.evaluation.duets import (
    FLOOR,
    DuetWindow,
    duet_figures,
    not_told_apart,
    picture_features,
    summarise_duets,
    window_products,
)
from sopedu.evaluation.statistics import LEVEL, RESAMPLES
from sopedu.localization.long_clips import Window, walk_windows, window_centres
from sopedu.localization.maps import loudest_regions
from sopedu.localization.places import Box, centre
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.objects.box_file import BoxFile
from sopedu.objects.detection import Detector
from sopedu.objects.registry import named_detector
from sopedu.objects.tracks import find_tracks
from sopedu.separation.domain_shift import DomainShift
from sopedu.separation.notes import domain_hint
from sopedu.separation.parts import DiskWaveform
from sopedu.separation.regions import Region, regions_of_objects

#: Where the players are, without a detector.
REGIONS = ("halves", "places")
_HALVES: tuple[Box, Box] = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
_GREY = 127
_PICTURES = 2  # of each class, to show as absent


def evaluate_duets(
    checkpoint: Checkpoint | str | Path,
    place: str | Path,
    regions: str = REGIONS[0],
    data: str = "toyband",
    seed: int = 0,
    root: str | Path | None = None,
    frame_rate: float | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Evaluate a model on natural duets, without references, beside ways to cheat.

    Args:
        checkpoint: the model, on the device that should do the work; or its folder or name, for the CPU.
        place: a folder of films of two players, or an index CSV of prepared clips.
        regions: where the players are: ``halves`` of the picture, the two loudest ``places`` of the sound map, or the
            name of a detector (:func:`sopedu.named_detector`), whose two best objects are taken.
        data: solos whose pictures show absent instruments: ``toyband``, or an index CSV. Which instruments play is
            read from the folder and the name of each film.
        seed: of random masks and of the bootstrap.
        root: the folder in which the paths of an index of duets begin; None: it is found.
        frame_rate: frames per second of an index of duets; None: found from some clips.
        progress: show a bar with the time left.

    Returns:
        ``table``, ``intervals`` and ``counts``, see :func:`sopedu.evaluation.duets.summarise_duets`; ``per_film``: its
        name and the model's figures; ``left_out``: one line per film that cannot be used; ``notes``; ``films``: how
        many are used; ``regions``, ``seed``, ``device``, ``protocol``.

    Raises:
        SopeduError: no such films, regions or data, or no film can be used.
    """
    checkpoint, seed = as_checkpoint(checkpoint), whole_number(seed, "seed", 0)
    duets, detector = open_duets(place, checkpoint.config, root, frame_rate), detector_of(regions)
    absent = _pictures_by_class(checkpoint, data)
    films, left_out, unfamiliar = [], [], 0
    for number, duet in enumerate(tqdm(duets, desc="duets", unit="film", disable=not progress)):
        try:
            shown = _Shown(_picture_of_another(duets, number, checkpoint), _absent_from(duet, absent))
            generator = torch.Generator().manual_seed(seed)
            found, strange = _products(duet, checkpoint, regions, detector, shown, generator)
        except SopeduError as error:
            left_out.append(str(error))
            continue
        films.append((duet.name, {row: duet_figures(products) for row, products in found.items()}))
        unfamiliar += strange
    if not films:
        raise SopeduError(f"{place}: none of {len(duets)} films can be used; the first: {left_out[0]}")
    figures = summarise_duets([rows for _, rows in films], seed)
    return figures | {
        "per_film": [{"film": name} | _without_nan(rows["model"]) for name, rows in films],
        "films": len(films),
        "regions": regions,
        "seed": seed,
        "device": checkpoint.device,
        "left_out": left_out,
        "notes": _notes(checkpoint, figures, len(films), len(left_out), unfamiliar),
        "protocol": _protocol(checkpoint, len(films), regions, data),
    }


def detector_of(regions: str) -> Detector | BoxFile | None:
    """Return the detector that finds the players, if there is one.

    Args:
        regions: see :func:`evaluate_duets`.
    """
    return None if regions in REGIONS else named_detector(regions)


@dataclass(frozen=True)
class _Shown:
    """Features of pictures that a model is shown with every window of a film."""

    other: torch.Tensor | None
    absent: Sequence[torch.Tensor]


def _pictures_by_class(checkpoint: Checkpoint, data: str) -> dict[str, list[torch.Tensor]]:
    """Features of some pictures of solos of each class; none if a model of films would be shown drawings."""
    config = checkpoint.config
    if data == "toyband":
        if not is_toyband(str(checkpoint.trained_on.get("data"))):
            return {}
        names = tuple(checkpoint.class_names)
        config = replace(config, toyband=replace(config.toyband, instruments=names, empty_scenes=0))
    solos = _PICTURES * len(checkpoint.class_names) if data == "toyband" else None
    clips, found = open_clips(data, config, "validation", solos=solos), {}
    for label, name in enumerate(clips.class_names):
        rows = np.flatnonzero(clips.labels == label)[:_PICTURES]
        found[name] = [picture_features(checkpoint.model, clips[int(row)].frames) for row in rows]
    return found


def _absent_from(duet: Duet, pictures: dict[str, list[torch.Tensor]]) -> list[torch.Tensor]:
    """Pictures of the instruments that do not play; none if its name does not say which play."""
    playing = instruments_named(duet.name, list(pictures))
    return [one for name, some in pictures.items() if name not in playing for one in some] if playing else []


def _picture_of_another(duets: Sequence[Duet], number: int, checkpoint: Checkpoint) -> torch.Tensor | None:
    """Features of the middle of the next film that can be read."""
    for other in (*duets[number + 1 :], *duets[:number]):
        try:
            frames = next(other.frames(checkpoint.config.frames, [other.seconds / 2]))
        except SopeduError:
            continue  # is reported in its own turn
        return picture_features(checkpoint.model, frames)
    return None


def _products(
    duet: Duet,
    checkpoint: Checkpoint,
    regions: str,
    detector: Detector | BoxFile | None,
    shown: _Shown,
    generator: torch.Generator,
) -> tuple[dict[str, np.ndarray], bool]:
    """Inner products of every row, added up over the windows; and whether the film is unlike the training data."""
    total: dict[str, np.ndarray] = {}
    with TemporaryDirectory() as folder:
        mixture = duet.read_sound(checkpoint.config.spectrogram.sample_rate, Path(folder) / "mixture")
        players = find_players(duet, checkpoint, mixture, regions, detector)
        shift = DomainShift(checkpoint.model)
        for number, (time, window, frames) in enumerate(_windows(duet, checkpoint, mixture, shift)):
            boxes = boxes_at(players, time)
            if boxes is None:
                continue  # one of them is not there
            pictures = DuetWindow(
                own=window.pixels,
                shape=tuple(frames.shape[-2:]),
                mirrored=picture_features(checkpoint.model, frames.flip(-1)),
                grey=picture_features(checkpoint.model, torch.full_like(frames, _GREY)),
                other=shown.other,
                absent=shown.absent[number % len(shown.absent)] if shown.absent else None,
            )
            for row, products in window_products(pictures, boxes, generator).items():
                total[row] = total.get(row, 0.0) + products
    if not total:
        raise SopeduError(f"{duet.name}: its two players are never there at the same time")
    return total, bool(shift.notes())


def _windows(
    duet: Duet, checkpoint: Checkpoint, mixture: DiskWaveform, shift: DomainShift | None = None
) -> Iterator[tuple[float, Window, torch.Tensor]]:
    """Middle in seconds, window and frames of all windows, one after the other without overlap."""
    sound = checkpoint.config.spectrogram
    step = sound.counted_samples
    starts = range(0, max(1, mixture.length - step // 2), step)
    centres = [min(time, duet.seconds) for time in window_centres(starts, sound)]
    seen, again = tee(duet.frames(checkpoint.config.frames, centres))
    windows = walk_windows(checkpoint, starts, mixture.read, seen, mixture.level(sound))
    for time in centres:
        if shift is None:
            window = next(windows)
        else:
            with shift:
                window = next(windows)
        yield time, window, next(again)


def find_players(
    duet: Duet, checkpoint: Checkpoint, mixture: DiskWaveform, regions: str, detector: Detector | BoxFile | None
) -> Sequence[Box] | Sequence[Region]:
    """Find the two players of a film, from left to right.

    Args:
        duet: the film.
        checkpoint: the model, whose sound map shows the loudest places.
        mixture: the film's sound.
        regions: ``halves`` or ``places``, if there is no detector.
        detector: finds objects.

    Raises:
        SopeduError: there are not two.
    """
    if detector is not None:
        return _objects(duet, detector)
    return _HALVES if regions == "halves" else _places(duet, checkpoint, mixture)


def _places(duet: Duet, checkpoint: Checkpoint, mixture: DiskWaveform) -> tuple[Box, Box]:
    """Find the two loudest places of the film's sound map."""
    total, weights = 0.0, 1e-12
    for _, window, _ in _windows(duet, checkpoint, mixture):
        weight = float(window.pixels.magnitude.square().sum())
        total, weights = total + weight * window.pixels.sound_map().mean(0), weights + weight
    boxes = loudest_regions(total / weights)
    if len(boxes) < 2:
        raise SopeduError(f"{duet.name}: its sound map has no two places that lie apart; use --regions halves")
    return tuple(sorted(boxes, key=centre))


def _objects(duet: Duet, detector: Detector | BoxFile) -> tuple[Region, Region]:
    """Find the two objects that are seen best and longest."""
    tracks = find_tracks(detector, duet.pictures())
    best = sorted(tracks, key=lambda track: -track.score * len(track.times))[:2]
    if len(best) < 2:
        found = "one object" if best else "no object"
        raise SopeduError(f"{duet.name}: the detector finds {found}, not two players; use --regions halves")
    return tuple(sorted(regions_of_objects(best), key=lambda region: centre(region.box)))


def boxes_at(players: Sequence[Box] | Sequence[Region], time: float) -> tuple[Box, Box] | None:
    """Return where both players are at a time; None if one of them is not there.

    Args:
        players: what :func:`find_players` returns.
        time: in seconds.
    """
    boxes = [player.box_at(time) if isinstance(player, Region) else player for player in players]
    return None if None in boxes else tuple(boxes)


def _without_nan(figures: dict[str, float]) -> dict[str, float | None]:
    return {name: round(value, 3) if np.isfinite(value) else None for name, value in figures.items()}


def _notes(checkpoint: Checkpoint, figures: dict[str, Any], films: int, left_out: int, unfamiliar: int) -> list[str]:
    notes = [f"{left_out} of {films + left_out} films are left out"] if left_out else []
    if unfamiliar:
        notes.append(f"{unfamiliar} of {films} films are unlike the training data: {domain_hint(checkpoint)}")
    if missing := films - figures["counts"]["absent"]:
        notes.append(
            f"no absent instrument for {missing} of {films} films: their folders or names must say which instruments "
            "play, and --data must hold solos of others"
        )
    return [*notes, *not_told_apart(figures)]


def _protocol(checkpoint: Checkpoint, films: int, regions: str, data: str) -> str:
    sound = checkpoint.config.spectrogram
    return (
        f"{films} films of two players, no references; players: {regions}; windows of "
        f"{sound.counted_samples / sound.sample_rate:.2f} s at {sound.sample_rate} Hz, one after the other; absent "
        f"instruments from {data}; means over films, levels relative to the mixture and not below {FLOOR:g} dB; "
        f"intervals: {LEVEL} %, {RESAMPLES} bootstrap draws of the films"
    )
