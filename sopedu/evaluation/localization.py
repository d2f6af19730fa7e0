"""Scores of sound maps and of places: does the map find the player, and does a place give its player's sound?

Measured on held-out scenes of the toy band, where every player's box and stem are known, beside guesses that use no
sound and the model's own map of an unrelated sound. :mod:`sopedu.evaluation.vggss` follows the published protocol for
filmed clips. Notebook: 14_limits_of_localization.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.audio.metrics import bss_eval_rows
from sopedu.errors import SopeduError, whole_number
from sopedu.evaluation.map_scores import PIXELS, Score, guesses, score_volume, summary
from sopedu.evaluation.separation import leak
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import Box, centre
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.model.sound_of_pixels import REGION_POOLINGS
from sopedu.toyband.instruments import INSTRUMENTS
from sopedu.toyband.scenes import Scene, scene, solo

_HISS = 1e-3  # standard deviation of the noise when nobody plays: −60 dB of full scale
_NAMES = {
    "model": "this map",
    "unrelated_audio": "… of an unrelated sound",
    "whole_frame": "the whole frame",
    "centre_box": "a box in the middle",
    "random_box": "a box anywhere",
    "ideal": "the true box, in cells",
}


def evaluate_localization(
    checkpoint: Checkpoint | str | Path,
    scenes: int = 200,
    seed: int = 0,
    kind: str = MAP_KINDS[0],
    duets: int = 60,
    pooling: str | None = None,
) -> dict[str, Any]:
    """Evaluate a model's maps where one of two drawn instruments plays, and its places where both play.

    Scores of a map: `peak_in_player` (the loudest cell's centre lies in the player's box), `top5_in_player` (share of
    the five loudest cells whose centres do), `iou` (intersection over union of the box and all places that reach a
    tenth of the loudest one's value), `ciou_30` and `ciou_50` (how often that is at least 0.3 and 0.5), `auc` (area
    under this rate over the thresholds 0, 0.05 … 1), and `iou_same_area` (the same overlap of the loudest places that
    together have the box's area: without a threshold, it can compare kinds of maps).

    `table` has these scores of the model's map, of its map of an instrument that is not in the picture, of guesses, and
    of the true box drawn in cells, which shows what grid and threshold cost; `map_kinds` has them of every kind of map.

    Of duets, in dB, with each player's box against its own stem: `sdr_box`, `sdr_centre` (the point in the middle),
    `sdr_other_box`, `sdr_mixture`; `sdr_pooling` is the first for every pooling.

    `map_levels` is the mean share of the energy that the loudest cell lets through: when somebody in the picture plays,
    when the sound is of an instrument that is not in it (`off_screen`), the same in an empty room, when players rest
    and the sound is faint noise (`hiss`; `hiss_as_sound` if the map did not darken for noise), and in digital silence.
    `silent_map_level` is the mean of `off_screen` and `empty_room`: 0 is a dark map. `off_screen_leak` is what the
    resting players' boxes let through, in dB of the mixture.

    Args:
        checkpoint: the model, trained on toy-band instruments; it works on its device. Or its folder or name, for the
            CPU.
        scenes: number of held-out scenes in which one of two drawn instruments plays, at least 1.
        seed: of scenes and duets.
        kind: of the map, see :meth:`sopedu.PixelSounds.sound_map`.
        duets: number of scenes in which both play, all pairs of instruments in turn, at least 1.
        pooling: how the masks of a box's cells are joined, see :meth:`sopedu.PixelSounds.mask`; None for the
            model's own.

    Returns:
        the figures named above, `peak_chance` (mean area of the player's box), `peak_by_instrument`, and `protocol`;
        what cannot be measured with only two instruments is None.

    Raises:
        SopeduError: the checkpoint does not know two instruments of the toy band; unknown kind or pooling; a number
            that is too small.

    Notebook: 14_limits_of_localization.
    """
    checkpoint, seed = as_checkpoint(checkpoint), whole_number(seed, "seed", 0)
    scenes, duets = whole_number(scenes, "scenes", 1), whole_number(duets, "duets", 1)
    names = [name for name in checkpoint.class_names if name in INSTRUMENTS]
    if len(names) < 2:
        raise SopeduError(
            "localization is scored on scenes of two instruments of the toy band, and this checkpoint knows "
            f"{len(names)}: use one that was trained on it, or --vggss for filmed clips"
        )
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
            f"frame of its loudest cell, bilinear on {PIXELS}×{PIXELS} pixels, from a tenth of its maximum on, "
            f"against the player's box; five loudest cells; AUC over 21 thresholds; {duets} duets, {pooling} pooling, "
            "each one's own box (mean of the frames) and its middle against its own stem, BSS Eval v3 (512 taps) "
            "without permutation; silent map: mean share of the heard energy that the loudest cell lets through, over "
            "resting players with an instrument off screen and empty rooms"
        ),
    }


@dataclass
class _OnePlays:
    """What was measured on the scenes in which one of two players plays."""

    scores: dict[str, list[Score]] = field(default_factory=lambda: {name: [] for name in (*_NAMES, *MAP_KINDS)})
    levels: dict[str, list[float]] = field(
        default_factory=lambda: {
            name: [] for name in ("playing", "off_screen", "empty_room", "hiss", "silence", "hiss_as_sound")
        }
    )
    players: list[str] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    leaks: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)


def _one_plays(checkpoint: Checkpoint, names: Sequence[str], scenes: int, seed: int, kind: str) -> dict[str, Any]:
    generator, noise = np.random.default_rng([seed, 29]), np.random.default_rng([seed, 31])
    drawing, apart, found = _drawing(checkpoint), len(names) > 2, _OnePlays()
    for number in range(seed * 1_000_000 + 500_000, seed * 1_000_000 + 500_000 + scenes):
        chosen = generator.permutation(len(names))
        player = int(generator.integers(2))
        pair = [names[i] for i in chosen[:2]]
        shown = scene(pair, number, "validation", playing=[player], **drawing)
        other = solo(number, "validation", names[chosen[2]] if apart else pair[1 - player], **drawing).waveform()
        pixels, unrelated = _pixels(checkpoint, shown), _pixels(checkpoint, shown, other)
        box = _mean_box(shown, player)

        for name in MAP_KINDS:
            found.scores[name].append(score_volume(pixels.sound_map(name), shown.boxes[player]))
        found.scores["unrelated_audio"].append(score_volume(unrelated.sound_map(kind), shown.boxes[player]))
        for name, score in guesses(box, pixels.grid, noise).items():
            found.scores[name].append(score)
        found.players.append(pair[player])
        found.areas.append((box[2] - box[0]) * (box[3] - box[1]))

        hiss = torch.from_numpy(noise.normal(0, _HISS, drawing["samples"]).astype(np.float32))
        heard = {
            "playing": pixels,
            "empty_room": _pixels(checkpoint, scene(0, number, "validation", **drawing), other),
            "hiss": _pixels(checkpoint, shown, hiss),
        }
        if not found.levels["silence"]:  # the same in every scene
            heard["silence"] = _pixels(checkpoint, shown, torch.zeros_like(hiss))
        if apart:
            heard["off_screen"] = unrelated
            resting = unrelated.separate_all([_mean_box(shown, who) for who in range(2)])
            found.leaks.append((resting, unrelated.mixture().expand_as(resting)))
        for name, sounds in heard.items():
            found.levels[name].append(sounds.sound_map(kind).max())
        found.levels["hiss_as_sound"].append(heard["hiss"].sound_map(kind, noise=True).max())
    return _figures_of_one(found, names, kind)


def _figures_of_one(found: _OnePlays, names: Sequence[str], kind: str) -> dict[str, Any]:
    rates = {name: summary(scores) for name, scores in (found.scores | {"model": found.scores[kind]}).items()}
    level = {name: round(float(np.mean(values)), 4) if values else None for name, values in found.levels.items()}
    dark = [level[name] for name in ("off_screen", "empty_room") if level[name] is not None]
    peaks, players = np.array([score[0] for score in found.scores[kind]]), np.array(found.players)
    leaks = [torch.cat(part)[:, None] for part in zip(*found.leaks, strict=True)]
    return {
        **rates["model"],
        "peak_in_player_unrelated_audio": rates["unrelated_audio"]["peak_in_player"],
        "peak_chance": round(float(np.mean(found.areas)), 3),
        "silent_map_level": round(float(np.mean(dark)), 4),
        "off_screen_leak": leak(*leaks) if leaks else None,
        "map_levels": level,
        "table": {name: rates[name] for name in _NAMES},
        "map_kinds": {name: rates[name] for name in MAP_KINDS},
        "peak_by_instrument": {
            name: round(float(peaks[players == name].mean()), 3) for name in names if name in found.players
        },
    }


def _both_play(checkpoint: Checkpoint, names: Sequence[str], duets: int, seed: int, pooling: str) -> dict[str, Any]:
    generator = np.random.default_rng([seed, 37])
    pairs = generator.permutation(list(itertools.combinations(range(len(names)), 2)))
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in ("centre", "mixture", *REGION_POOLINGS)}
    stems = []
    for index in range(duets):
        pair = [names[i] for i in generator.permutation(pairs[index % len(pairs)])]
        shown = scene(pair, seed * 1_000_000 + 700_000 + index, "validation", **_drawing(checkpoint))
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


def map_table(table: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out the scores of maps and guesses as text.

    Args:
        table: row → scores by name; the columns are those of the first row.
    """
    columns = list(next(iter(table.values())))
    titles = [name.removesuffix("_in_player").removeprefix("iou_").replace("_", " ") for name in columns]
    lines = [f"{'':26}" + "".join(f"{title:>10}" for title in titles)]
    for row, scores in table.items():
        lines.append(f"{_NAMES[row]:26}" + "".join(f"{scores[name]:10.3f}" for name in columns))
    return "\n".join(lines)


def localization_table(figures: Mapping[str, Any]) -> str:
    """Lay out everything that :func:`evaluate_localization` returned as text."""
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


def _drawing(checkpoint: Checkpoint) -> dict[str, Any]:
    sound, frames = checkpoint.config.spectrogram, checkpoint.config.frames
    drawing = {"samples": sound.samples, "size": frames.size, "times": frames.times(sound.seconds / 2)}
    return drawing | {"properties": checkpoint.config.toyband.properties}


def _pixels(checkpoint: Checkpoint, shown: Scene, heard: torch.Tensor | None = None) -> PixelSounds:
    heard = shown.waveform() if heard is None else heard
    return PixelSounds(checkpoint.model, heard, shown.frames_tensor())


def _mean_box(shown: Scene, who: int) -> Box:
    return tuple(np.clip(shown.boxes[who].mean(axis=0), 0, 1))
