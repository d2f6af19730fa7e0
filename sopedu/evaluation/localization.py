"""Does the map of what sounds point at what sounds, and does a place sound like what stands there?

Judged on held-out scenes of the toy band, where every player's box and stem are known, beside guesses that need no
ears: the whole frame, a box in the middle, a box anywhere, and the model's own map of an unrelated sound. Explained in
notebook 10_localize. :mod:`sopedu.evaluation.vggss` has the published protocol for filmed clips.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.audio.metrics import bss_eval_rows
from sopedu.errors import SopeduError, whole_number
from sopedu.evaluation.separation import leak
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import WHOLE, Box, Point, cell_weights, centre, inside, map_on_picture
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.model.sound_of_pixels import REGION_POOLINGS
from sopedu.toyband.instruments import INSTRUMENTS
from sopedu.toyband.scenes import Scene, scene, solo

#: What is told of every map and every guess, in the order of the table.
MAP_SCORES = ("peak_in_player", "top5_in_player", "iou", "ciou_30", "ciou_50", "auc", "iou_same_area")
_PIXELS = 64  # maps and boxes are compared on a picture of so many pixels a side
_LOUD = 0.1  # of the loudest place's energy, −10 dB: heard as about half as loud
_HISS = 1e-3  # standard deviation of the noise in a room where nobody plays: −60 dB of full scale
_NAMES = {
    "model": "this map",
    "unrelated_audio": "… of an unrelated sound",
    "whole_frame": "the whole frame",
    "centre_box": "a box in the middle",
    "random_box": "a box anywhere",
    "ideal": "the true box, in cells",
}

# Peak in the box, share of the five loudest cells in it, overlap from the threshold on, overlap at the box's area.
Score = tuple[float, float, float, float]


def evaluate_localization(
    checkpoint: Checkpoint | str | Path,
    scenes: int = 200,
    seed: int = 0,
    kind: str = MAP_KINDS[0],
    duets: int = 60,
    pooling: str | None = None,
) -> dict[str, Any]:
    """Judge a model's maps where one of two drawn instruments plays, and its places where both play.

    Of every map are told: whether the loudest cell's centre lies in the player's box (``peak_in_player``); which share
    of the five loudest cells' centres does (``top5_in_player``); the overlap with the box, intersection over union, of
    all places that reach a tenth of the loudest one's value (``iou``), how often that is at least 0.3 and 0.5
    (``ciou_30``, ``ciou_50``), and the area under this rate over the 21 thresholds 0, 0.05 … 1 (``auc``); and the
    overlap of the loudest places that together have the box's area (``iou_same_area``), which knows no threshold and
    so can compare kinds of maps. ``table`` holds the same of the map when an instrument is heard that is not in the
    picture, of guesses, and of the true box drawn in cells, which tells what grid and threshold cost; ``map_kinds``
    holds them of every kind of map.

    Of every duet, with each one's own box against its own stem: ``sdr_box``, ``sdr_centre`` (the point in the middle),
    ``sdr_other_box``, ``sdr_mixture`` in dB; ``sdr_pooling`` is the first for every pooling.

    ``map_levels`` is the mean share of the heard energy that the loudest cell lets through, when somebody in the
    picture plays, when an instrument is heard that is not in it (``off_screen``), when an instrument is heard in an
    empty room, when players rest and faint noise is heard (``hiss``), and in digital silence. ``silent_map_level`` is
    the mean of ``off_screen`` and ``empty_room``: 0 is a dark map. ``off_screen_leak`` is what the resting players'
    boxes let through, in dB of the mixture.

    Args:
        checkpoint: the model to judge on the toy-band instruments it was trained on, on the device that shall do the
            work; or its folder or name, for the CPU.
        scenes: held-out scenes of two drawn instruments of which one plays, at least 1.
        seed: which scenes and duets.
        kind: which map, see :meth:`sopedu.PixelSounds.sound_map`.
        duets: scenes in which both play, all pairs of instruments in turn, at least 1.
        pooling: how the cells of a box answer together, see :meth:`sopedu.PixelSounds.mask`.

    Returns:
        the figures named above, ``peak_chance`` (mean area of the player's box), ``peak_by_instrument``, and
        ``protocol``; what cannot be measured with two instruments only is None.

    Raises:
        SopeduError: the checkpoint does not know two instruments of the toy band; an unknown kind or pooling.
    """
    checkpoint = as_checkpoint(checkpoint)
    scenes, seed, duets = (
        whole_number(scenes, "scenes", 1),
        whole_number(seed, "seed", 0),
        whole_number(duets, "duets", 1),
    )
    names = [name for name in checkpoint.class_names if name in INSTRUMENTS]
    if len(names) < 2:
        raise SopeduError(
            "localization is judged on scenes of two instruments of the toy band, and this checkpoint knows "
            f"{len(names)}: use one that was trained on it, or --vggss for filmed clips"
        )
    if scenes < 1 or duets < 1:
        raise SopeduError(f"{scenes} scenes and {duets} duets: at least one of each is needed")
    if kind not in MAP_KINDS:
        raise SopeduError(f"unknown sound map {kind!r}: choose {', '.join(MAP_KINDS)}")
    pooling = pooling or checkpoint.config.model.region_pooling
    if pooling not in REGION_POOLINGS:
        raise SopeduError(f"unknown pooling {pooling!r}: choose {', '.join(REGION_POOLINGS)}")
    return {
        **_one_plays(checkpoint, names, scenes, seed, kind),
        **_both_play(checkpoint, names, duets, seed, pooling),
        "scenes": scenes,
        "duets": duets,
        "seed": seed,
        "kind": kind,
        "pooling": pooling,
        "device": checkpoint.device,
        "protocol": (
            f"{scenes} held-out scenes of two drawn instruments of {len(names)}, one plays; the {kind} map at the "
            f"frame of its loudest cell, bilinear on {_PIXELS}×{_PIXELS} pixels, from a tenth of its maximum on, "
            f"against the player's box; five loudest cells; AUC over 21 thresholds; {duets} duets, {pooling} pooling, "
            "each one's own box (mean of the frames) and its middle against its own stem, BSS Eval v3 (512 taps) "
            "without permutation; silent map: mean share of the heard energy that the loudest cell lets through, over "
            "resting players with an instrument off screen and empty rooms"
        ),
    }


def _one_plays(checkpoint: Checkpoint, names: Sequence[str], scenes: int, seed: int, kind: str) -> dict[str, Any]:
    generator, noise = np.random.default_rng([seed, 29]), np.random.default_rng([seed, 31])
    how = _how(checkpoint)
    found: dict[str, list[Score]] = {name: [] for name in (*_NAMES, *MAP_KINDS)}
    levels: dict[str, list[float]] = {name: [] for name in ("playing", "off_screen", "empty_room", "hiss", "silence")}
    players, areas, leaks = [], [], []
    for index in range(scenes):
        chosen = generator.permutation(len(names))
        player = int(generator.integers(2))
        pair = [names[i] for i in chosen[:2]]
        number = seed * 1_000_000 + 500_000 + index
        shown = scene(pair, number, "validation", playing=[player], **how)
        apart = len(names) > 2
        unrelated = solo(number, "validation", names[chosen[2]] if apart else pair[1 - player], **how)
        pixels, elsewhere = _pixels(checkpoint, shown), _pixels(checkpoint, shown, unrelated.waveform())
        for name in MAP_KINDS:
            found[name].append(score_volume(pixels.sound_map(name), shown.boxes[player]))
        found["unrelated_audio"].append(score_volume(elsewhere.sound_map(kind), shown.boxes[player]))
        box = _mean_box(shown, player)
        for name, score in guesses(box, pixels.grid, noise).items():
            found[name].append(score)
        players.append(pair[player])
        areas.append((box[2] - box[0]) * (box[3] - box[1]))

        hiss = torch.from_numpy(noise.normal(0, _HISS, how["samples"]).astype(np.float32))
        room = scene(0, number, "validation", **how)
        levels["playing"].append(pixels.sound_map(kind).max())
        levels["empty_room"].append(_pixels(checkpoint, room, unrelated.waveform()).sound_map(kind).max())
        levels["hiss"].append(_pixels(checkpoint, shown, hiss).sound_map(kind).max())
        if index == 0:  # nothing differs between silences
            levels["silence"].append(_pixels(checkpoint, shown, torch.zeros_like(hiss)).sound_map(kind).max())
        if apart:
            levels["off_screen"].append(elsewhere.sound_map(kind).max())
            heard = elsewhere.separate_all([_mean_box(shown, who) for who in range(2)])
            leaks.append((heard, elsewhere.mixture().expand_as(heard)))
    found["model"] = found[kind]
    rates = {name: summary(scores) for name, scores in found.items()}
    level = {name: round(float(np.mean(values)), 4) if values else None for name, values in levels.items()}
    dark = [level[name] for name in ("off_screen", "empty_room") if level[name] is not None]
    peaks = np.array([score[0] for score in found[kind]])
    return {
        **rates["model"],
        "peak_in_player_unrelated_audio": rates["unrelated_audio"]["peak_in_player"],
        "peak_chance": round(float(np.mean(areas)), 3),
        "silent_map_level": round(float(np.mean(dark)), 4),
        "off_screen_leak": leak(*(torch.cat(part)[:, None] for part in zip(*leaks, strict=True))) if leaks else None,
        "map_levels": level,
        "table": {name: rates[name] for name in _NAMES},
        "map_kinds": {name: rates[name] for name in MAP_KINDS},
        "peak_by_instrument": {
            name: round(float(peaks[np.array(players) == name].mean()), 3) for name in names if name in players
        },
    }


def _both_play(checkpoint: Checkpoint, names: Sequence[str], duets: int, seed: int, pooling: str) -> dict[str, Any]:
    generator = np.random.default_rng([seed, 37])
    pairs = generator.permutation(list(itertools.combinations(range(len(names)), 2)))
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in ("centre", "mixture", *REGION_POOLINGS)}
    stems = []
    for index in range(duets):
        pair = [names[i] for i in generator.permutation(pairs[index % len(pairs)])]
        shown = scene(pair, seed * 1_000_000 + 700_000 + index, "validation", **_how(checkpoint))
        pixels, boxes = _pixels(checkpoint, shown), [_mean_box(shown, who) for who in range(2)]
        for name in REGION_POOLINGS:
            rows[name].append(pixels.separate_all(boxes, pooling=name))
        rows["centre"].append(pixels.separate_all([centre(box) for box in boxes]))
        rows["mixture"].append(pixels.mixture().expand(2, -1))
        stems.append(shown.stem_waveforms())
    estimates = {name: torch.stack(parts) for name, parts in rows.items()}
    estimates["other"] = estimates[pooling].flip(1)
    counted = checkpoint.config.spectrogram.counted_samples
    scores = bss_eval_rows(torch.stack(stems)[..., :counted], estimates)
    sdr = {name: round(float(np.nanmean(score.sdr)), 3) for name, score in scores.items()}
    return {
        "sdr_box": sdr[pooling],
        "sdr_centre": sdr["centre"],
        "sdr_other_box": sdr["other"],
        "sdr_mixture": sdr["mixture"],
        "sdr_pooling": {name: sdr[name] for name in REGION_POOLINGS},
        "counted_silent": scores[pooling].counted_silent,
    }


def score_volume(volume: np.ndarray, boxes: np.ndarray) -> Score:
    """Score of maps ``(S, h, w)`` against the boxes ``(S, 4)`` of their frames, at the frame of the loudest cell."""
    frame = int(volume.max(axis=(1, 2)).argmax())
    return score_map(volume[frame], tuple(boxes[frame]), loud_pixels(volume[frame]))


def score_map(cells: np.ndarray, box: Box, predicted: np.ndarray) -> Score:
    """Whether the peak of cells ``(h, w)`` lies in a box, which share of the five loudest does, and the overlaps.

    Args:
        cells: how much each sounds; a map without anything in it points nowhere and scores 0 everywhere.
        box: of the player.
        predicted: pixels ``(n, n)`` that are said to sound; their intersection with the box over their union.
    """
    if not cells.max() > 0:
        return 0.0, 0.0, 0.0, 0.0
    height, width = cells.shape
    loudest = np.argsort(-cells, axis=None, kind="stable")[:5]
    middles = [((place % width + 0.5) / width, (place // width + 0.5) / height) for place in loudest]
    hits = [inside(middle, box) for middle in middles]
    truth = pixels_of_box(box, len(predicted))
    ranked = np.argsort(-map_on_picture(cells, WHOLE, *truth.shape), axis=None, kind="stable")
    same_area = np.zeros(truth.shape, bool)
    same_area.flat[ranked[: truth.sum()]] = True
    return float(hits[0]), float(np.mean(hits)), overlap(predicted, truth), overlap(same_area, truth)


def loud_pixels(cells: np.ndarray, side: int = _PIXELS) -> np.ndarray:
    """Pixels ``(side, side)`` at which a map, interpolated between its cells, reaches a tenth of its maximum."""
    fine = map_on_picture(cells, WHOLE, side, side)
    return (fine >= _LOUD * fine.max()) & (fine > 0)


def pixels_of_box(box: Box, side: int = _PIXELS) -> np.ndarray:
    """Pixels ``(side, side)`` whose centres lie in a box."""
    middles = (np.arange(side) + 0.5) / side
    down, across = ((box[i] <= middles) & (middles <= box[i + 2]) for i in (1, 0))
    return down[:, None] & across[None]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two sets of pixels; 0 if both are empty."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def guesses(box: Box, grid: tuple[int, int], generator: np.random.Generator) -> dict[str, Score]:
    """Scores of what needs no ears: the whole frame, boxes of half its width and height, and the true box in cells.

    Among cells that are equally good a guess's loudest ones are drawn.
    """
    ties = 1e-9 * generator.random(grid)
    drawn = cell_weights(box, *grid)
    scores = {"whole_frame": score_map(1 + ties, box, pixels_of_box(WHOLE))}
    for name, middle in (("centre_box", (0.5, 0.5)), ("random_box", tuple(generator.uniform(0.25, 0.75, 2)))):
        scores[name] = score_map(_nearness(middle, grid) + ties, box, pixels_of_box(half_sized_box(middle)))
    return scores | {"ideal": score_map(drawn + ties, box, loud_pixels(drawn))}


def half_sized_box(middle: Point) -> Box:
    """The box of half the picture's width and height around a point."""
    x, y = middle
    return x - 0.25, y - 0.25, x + 0.25, y + 0.25


def _nearness(middle: Point, grid: tuple[int, int]) -> np.ndarray:
    rows, columns = ((np.arange(count) + 0.5) / count for count in grid)
    return 1 - np.maximum(np.abs(rows - middle[1])[:, None], np.abs(columns - middle[0])[None])


def success_area(overlaps: Sequence[float]) -> float:
    """Area under the share of overlaps that reach a threshold, over 21 thresholds from 0 to 1 (trapezoids)."""
    reached = np.array([np.mean(np.asarray(overlaps) >= 0.05 * step - 1e-9) for step in range(21)])
    return float((reached[:-1] + reached[1:]).mean() / 2)


def summary(scores: Sequence[Score]) -> dict[str, float]:
    """What is told of many maps, by the names of :data:`MAP_SCORES`."""
    peaks, fives, overlaps, same_area = np.array(scores).T
    values = (peaks, fives, overlaps, overlaps >= 0.3, overlaps >= 0.5, success_area(overlaps), same_area)
    return {name: round(float(np.mean(value)), 3) for name, value in zip(MAP_SCORES, values, strict=True)}


def map_table(table: Mapping[str, Mapping[str, float]]) -> str:
    """The table of maps and guesses as text; columns are those of its first row."""
    columns = list(next(iter(table.values())))
    titles = [name.removesuffix("_in_player").removeprefix("iou_").replace("_", " ") for name in columns]
    lines = [f"{'':26}" + "".join(f"{title:>10}" for title in titles)]
    for row, scores in table.items():
        lines.append(f"{_NAMES[row]:26}" + "".join(f"{scores[name]:10.3f}" for name in columns))
    return "\n".join(lines)


def localization_table(figures: Mapping[str, Any]) -> str:
    """All that :func:`evaluate_localization` found as text."""
    level = {name: "–" if value is None else f"{value:.3f}" for name, value in figures["map_levels"].items()}
    worst = min(figures["peak_by_instrument"].items(), key=lambda found: found[1])
    lines = [
        f"one of two drawn instruments plays, {figures['scenes']} scenes, {figures['kind']} map",
        map_table(figures["table"]),
        f"peak by chance {figures['peak_chance']:.3f}; worst instrument: {worst[0]}, {worst[1]:.3f}",
        "energy through the loudest cell: "
        f"somebody plays {level['playing']}, off screen {level['off_screen']}, empty room {level['empty_room']}, "
        f"faint noise {level['hiss']}, silence {level['silence']}",
        f"both play, {figures['duets']} duets, SDR in dB: own box {figures['sdr_box']:.2f}, its centre "
        f"{figures['sdr_centre']:.2f}, the other's box {figures['sdr_other_box']:.2f}, "
        f"mixture {figures['sdr_mixture']:.2f}",
    ]
    return "\n".join(lines)


def _how(checkpoint: Checkpoint) -> dict[str, Any]:
    sound, frames = checkpoint.config.spectrogram, checkpoint.config.frames
    return {"samples": sound.samples, "size": frames.size, "times": frames.times(sound.seconds / 2)}


def _pixels(checkpoint: Checkpoint, shown: Scene, heard: torch.Tensor | None = None) -> PixelSounds:
    heard = shown.waveform() if heard is None else heard
    return PixelSounds(checkpoint.model, heard, shown.frames_tensor())


def _mean_box(shown: Scene, who: int) -> Box:
    return tuple(np.clip(shown.boxes[who].mean(axis=0), 0, 1))
