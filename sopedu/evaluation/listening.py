"""Does a model listen? What it keeps of sounds that belong to its picture, and of sounds that do not.

A score of separation does not say whether a model hears what it keeps: the typical spectra of two classes explain much
of it. So the same pictures are shown with other sounds: that of another clip, noise, silence, and a mixture to which a
third sound was added off screen. Measured is the share of a sound's energy that the masks let through. It should be
nearly all of a picture's own sound, and little of everything else. Beside the model stand the mixture as it is, a mask
of one half, a fixed mask per class, supervised NMF, and the ideal mask. A mask acts alike on all parts of a mixture, so
the share of each part is known exactly.

Notebook: 03_measuring_separation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.audio.masks import ideal_binary_mask, ideal_ratio_mask, threshold
from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.spectrogram import istft, stft, unwarp, warp
from sopedu.config import SpectrogramConfig
from sopedu.data.clips import ClipDataset
from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError
from sopedu.evaluation.baselines import class_spectra, static_masks
from sopedu.evaluation.dictionaries import Dictionaries, choose_dictionaries, solos_to_learn_from
from sopedu.evaluation.held_out import open_held_out
from sopedu.evaluation.mask_curve import CURVES, THRESHOLDS, mask_area, mask_curve
from sopedu.evaluation.pairs import TestPairs, predict_masks
from sopedu.evaluation.side_by_side import MAP_FIGURES, PLACES, map_of_solo, sounds_of_places
from sopedu.evaluation.statistics import means_with_intervals
from sopedu.model.checkpoints import Checkpoint, as_checkpoint

#: Shares of energy that masks let through, by what is heard and which part of it counts.
SHARES = ("own_alone", "swapped", "noise", "silence", "own", "others", "own_with_off_screen", "off_screen")
#: Columns of the table: the shares, the area under the curve of thresholds, SDR of mixtures in dB.
COLUMNS = (*SHARES, "mask_area", "sdr", "sdr_with_off_screen")
#: Rows of the table: the model, and what it is compared with.
ROWS = ("model", "nmf_by_class", "static_mask", "half_mask", "mixture", "ideal_ratio_mask")
_CURVED = ("model", "static_mask")  # rows whose thresholds mean something
_AT_ONCE = 8  # mixtures, to limit the memory
_SILENT = 1e-8  # mean power up to which a sound is silent
_SCORED = (
    "shares: energy after a mask over that before; silence: what masks predicted for it would let through of white "
    "noise; thresholds: of masks at linear frequencies, against the ideal binary mask, cells weighted by energy; "
    "SDR: BSS Eval v3 (512 taps) without permutation; places: pictures side by side"
)
_Measured = dict[tuple[str, ...], np.ndarray]


@dataclass(frozen=True)
class _Trial:
    """What is heard with the pictures of P mixtures.

    Attributes:
        heard: by each of N pictures, ``(P, N, L)``, or by all of them, ``(P, 1, L)``.
        own: the part of it that belongs to each picture, of a shape that broadcasts with ``(P, N, L)``.
        parts: sounds whose share is measured, by column, ``(P, N, L)`` or ``(P, 1, L)``.
        sdr: column of the SDR; empty if there is nothing to separate.
    """

    heard: torch.Tensor
    own: torch.Tensor
    parts: Mapping[str, torch.Tensor]
    sdr: str = ""


@dataclass(frozen=True)
class _Rivals:
    """Methods that know the classes of P mixtures.

    Attributes:
        static: fixed masks, ``(P, N, F, 1)``.
        dictionaries: of all classes; None: left out.
        labels: of the pictures, ``(P, N)``.
    """

    static: torch.Tensor
    dictionaries: Dictionaries | None
    labels: np.ndarray

    def masks(self, heard: torch.Tensor) -> dict[str, torch.Tensor]:
        """Their masks by row, for what is heard by each picture, ``(P, N, L)``, or by all, ``(P, 1, L)``."""
        rows = {"static_mask": self.static}
        if self.dictionaries is None:
            return rows
        by_sound = [self.dictionaries.masks(waves, self.labels) for waves in heard.unbind(1)]
        if len(by_sound) > 1:
            by_sound = [masks[:, n : n + 1] for n, masks in enumerate(by_sound)]
        return {"nmf_by_class": torch.cat(by_sound, 1)} | rows


def evaluate_listening(
    checkpoint: Checkpoint | str | Path,
    data: str = "toyband",
    pairs: int | None = None,
    seed: int = 0,
    instruments: tuple[str, ...] = (),
    sounds: str | Path | None = None,
    sources: int = 2,
    root: str | Path | None = None,
    frame_rate: float | None = None,
    listed: str | Path | None = None,
    dictionaries: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure what a model keeps of sounds that belong to its picture, and of sounds that do not.

    The mixtures are those of :func:`sopedu.evaluate` with the same arguments, and all shares of energy are numbers from
    0 to 1. ``table`` has a row for the model and for each baseline, with the columns

    - ``own_alone``: a solo heard with its own picture, ``swapped``: the sound of another clip heard with it,
      ``noise``: white noise as loud as the mixture, ``silence``: how open masks are that are predicted for silence;
    - ``own``, ``others``: parts of a mixture, ``own_with_off_screen``, ``off_screen``: parts of one to which the sound
      of a class that is not shown was added;
    - ``mask_area``: area under the curve of thresholds, see :func:`sopedu.evaluation.mask_curve.mask_area`: ½ for a
      mask that prefers no cell; ``sdr``, ``sdr_with_off_screen``: SDR of both kinds of mixtures, in dB.

    Args:
        checkpoint: the model, on the device that should do the work; or its folder or name, for the CPU.
        data: ``toyband`` or an index CSV, as for :func:`sopedu.evaluate`, like all that follows.
        pairs: number of mixtures.
        seed: chooses mixtures, off-screen sounds and noise.
        instruments: of the toy band.
        sounds: a folder of sounds to use with the toy band's drawings.
        sources: solos per mixture.
        root: the folder in which the paths of an index begin.
        frame_rate: frames per second of the data of an index.
        listed: a list of pairs of an index.
        dictionaries: also by supervised NMF at the model's STFT, which is told the classes of the pictures (row
            ``nmf_by_class``), see :mod:`sopedu.evaluation.dictionaries`.
        progress: show bars with the time left.

    Returns:
        figures by name, None where nothing can be measured, as without a class that is not shown:

        - ``table``: row → column → mean; ``intervals``: the same, lower and upper end of the 95 % bootstrap interval;
          ``differences``: row → column → mean, low and high of the model minus that row, on the same sounds;
        - ``by_class``: class → column → mean, low and high of the model, and ``sounds``, their number;
        - ``curve``: ``thresholds``, and row → ``kept``, ``own``, ``others``, ``right`` (see
          :func:`sopedu.evaluation.mask_curve.mask_curve`) and ``sdr`` at each of them;
        - ``places``: SDR of the places of :data:`sopedu.evaluation.side_by_side.PLACES`, and the map's figures with
          mean, low and high; ``map_curve`` over the same thresholds; ``chance``: the share that is right by chance;
        - the model's row by name, ``pairs``, ``sources``, ``seed``, ``device``, ``protocol``, and ``notes`` as there.

    Raises:
        SopeduError: as for :func:`sopedu.evaluate`; all held-out clips are silent.

    Notebook: 03_measuring_separation.
    """
    checkpoint = as_checkpoint(checkpoint)
    which = (data, pairs, seed, instruments, sounds, sources, root, frame_rate, listed)
    held = open_held_out(checkpoint, *which, progress)
    test, spectra = held.pairs, class_spectra(held.known)
    if not (test.sources.square().mean(-1) > _SILENT).any():
        raise SopeduError("a model can only listen to clips that sound, but all held-out clips are silent")
    away = _off_screen(held.clips, test, held.seed)
    learnt = choose_dictionaries(solos_to_learn_from(held.known, progress), progress)[0] if dictionaries else None
    found: list[_Measured] = []
    starts = range(0, len(test.mixture), _AT_ONCE)
    for start in tqdm(starts, "listening", unit="batch", disable=not progress):
        some = np.arange(start, min(start + _AT_ONCE, len(test.mixture)))
        rivals = _Rivals(static_masks(spectra, test.labels[some]), learnt, test.labels[some])
        trials = _trials(test.sources[some], None if away is None else away[some], held.seed, some)
        found.append(_judged(checkpoint, test.frames[some], trials, rivals) | _placed(checkpoint, test, some))
    measured = {key: np.concatenate([part[key] for part in found]) for key in found[0]}
    figures = _summarised(measured, test)
    return {
        **figures["table"]["model"],
        **figures,
        "pairs": len(test.mixture),
        "sources": test.sources.shape[1],
        "seed": held.seed,
        "device": checkpoint.device,
        "protocol": held.protocol(_SCORED, checkpoint.config.spectrogram),
    } | ({} if held.notes is None else {"notes": held.notes})


def _off_screen(clips: ClipDataset, pairs: TestPairs, seed: int) -> torch.Tensor | None:
    """A sound for each mixture of a class that is not in it, ``(P, L)``; None if a mixture holds all classes."""
    generator, found = np.random.default_rng([seed, 47]), []
    for labels in pairs.labels:
        others = np.flatnonzero(~np.isin(clips.labels, [NOBODY, *labels]))
        if not len(others):
            return None
        found.append(clips[int(generator.choice(others))].waveform / len(labels))
    return torch.stack(found)


def _trials(sources: torch.Tensor, away: torch.Tensor | None, seed: int, numbers: np.ndarray) -> list[_Trial]:
    """Everything that is heard with the pictures of some mixtures, whose sources are ``(P, N, L)``."""
    mixture, others = sources.sum(1, keepdim=True), sources.roll(1, 1)
    levels = mixture.square().mean(-1, keepdim=True).sqrt()
    drawn = [np.random.default_rng([seed, 53, int(number)]).normal(size=mixture.shape[1:]) for number in numbers]
    noise, silence = torch.from_numpy(np.stack(drawn)).to(mixture) * levels, torch.zeros_like(mixture)
    trials = [
        _Trial(sources, sources, {"own_alone": sources}),
        _Trial(others, silence, {"swapped": others}),
        _Trial(noise, silence, {"noise": noise}),
        _Trial(silence, silence, {"silence": noise}),
        _Trial(mixture, sources, {"own": sources, "others": mixture - sources}, "sdr"),
    ]
    if away is not None:
        away, parts = away[:, None], {"own_with_off_screen": sources, "off_screen": away[:, None]}
        trials.append(_Trial(mixture + away, sources, parts, "sdr_with_off_screen"))
    return trials


@torch.inference_mode()
def _judged(checkpoint: Checkpoint, frames: torch.Tensor, trials: list[_Trial], rivals: _Rivals) -> _Measured:
    """Everything about the masks of some mixtures by row and column, ``(P, N)``; curves are ``(P, N, thresholds)``."""
    sound, binary, shape = checkpoint.config.spectrogram, checkpoint.model.mask_kind.binary, rivals.labels.shape
    found = _Measured()
    for trial in trials:
        soft = unwarp(_predicted(checkpoint, trial.heard, frames), sound)
        own, whole = (warp(stft(part, sound).abs(), sound) for part in (trial.own, trial.heard))
        masks = {
            "model": threshold(soft) if binary else soft,
            **rivals.masks(trial.heard),
            "half_mask": torch.tensor(0.5),
            "mixture": torch.tensor(1.0),
            "ideal_ratio_mask": unwarp(ideal_ratio_mask(own, whole).clamp(max=1), sound),
        }
        for column, part in trial.parts.items():
            found |= {(row, column): _share(mask, part, sound).expand(shape).numpy() for row, mask in masks.items()}
        if trial.sdr:
            found |= {(row, trial.sdr): sdr for row, sdr in _sdr(trial, masks, sound, shape).items()}
        if trial.sdr == "sdr":
            found |= _curves(trial, masks | {"model": soft}, sound)
    return found


def _predicted(checkpoint: Checkpoint, heard: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The model's masks ``(P, N, Q, T)``."""
    if heard.shape[1] == 1:
        return predict_masks(checkpoint.model, heard[:, 0], frames)
    masks = predict_masks(checkpoint.model, heard.flatten(0, 1), frames.flatten(0, 1)[:, None])
    return masks.view(*frames.shape[:2], *masks.shape[2:])


def _share(mask: torch.Tensor, part: torch.Tensor, sound: SpectrogramConfig) -> torch.Tensor:
    """Share of a sound's energy that a mask at linear frequencies lets through; NaN for silence."""
    spectrogram = stft(part, sound)
    kept, whole = (istft(some, sound).double().square().mean(-1) for some in (mask * spectrogram, spectrogram))
    return torch.where(whole > _SILENT, kept / whole.clamp_min(_SILENT), torch.nan)


def _sdr(
    trial: _Trial, masks: Mapping[str, torch.Tensor], sound: SpectrogramConfig, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """SDR of the estimates by the name of their mask, ``(P, N)``."""
    heard, references = stft(trial.heard, sound), trial.own[..., : sound.counted_samples]
    estimates = {name: istft(mask * heard, sound).expand(*shape, -1) for name, mask in masks.items()}
    return {name: scores.sdr for name, scores in bss_eval_rows(references, estimates).items()}


def _curves(trial: _Trial, scores: Mapping[str, torch.Tensor], sound: SpectrogramConfig) -> _Measured:
    """Areas under the curves of masks that are not thresholded yet, and the curves of some."""
    heard, found = stft(trial.heard, sound).abs(), _Measured()
    own = ideal_binary_mask(stft(trial.own, sound).abs(), heard).bool()
    for row, mask in scores.items():
        values = mask.abs().expand(own.shape)
        found[row, "mask_area"] = mask_area(values, own, heard.square())
        if row not in _CURVED:
            continue
        found |= {(row, "curve", name): part for name, part in mask_curve(values, own, heard.square()).items()}
        binary = {str(at): threshold(values, at) for at in THRESHOLDS}
        sdr = _sdr(trial, binary, sound, own.shape[:2])
        found[row, "curve", "sdr"] = np.stack([sdr[str(at)] for at in THRESHOLDS], -1)
    return found


def _placed(checkpoint: Checkpoint, pairs: TestPairs, some: np.ndarray) -> _Measured:
    """Sounds of places and maps of some mixtures, whose pictures are set side by side."""
    model, sound, shape = checkpoint.model, checkpoint.config.spectrogram, pairs.labels[some].shape
    estimates = [sounds_of_places(model, pairs.mixture[i], pairs.frames[i]) for i in some]
    rows = {name: torch.stack([estimate[name] for estimate in estimates]) for name in PLACES}
    scores = bss_eval_rows(pairs.sources[some][..., : sound.counted_samples], rows)
    maps = [map_of_solo(model, solo, pairs.frames[i], n) for i in some for n, solo in enumerate(pairs.sources[i])]
    found = {("places", name): scores[name].sdr for name in PLACES}
    return found | {
        ("places", name): np.stack([one[name] for one in maps]).reshape(*shape, *maps[0][name].shape)
        for name in maps[0]
    }


def _summarised(measured: _Measured, pairs: TestPairs) -> dict[str, Any]:
    """Means and intervals of everything that was measured."""
    nothing = np.full(pairs.labels.shape, np.nan)  # as without a sound off screen
    rows = {
        row: np.stack([measured.get((row, column), nothing) for column in COLUMNS], -1)
        for row in ROWS
        if (row, "own") in measured
    }
    means = {row: dict(zip(COLUMNS, means_with_intervals(values), strict=True)) for row, values in rows.items()}
    by_class = {}
    for label in np.unique(pairs.labels):
        sounds = pairs.labels == label
        of_class = means_with_intervals(np.where(sounds[..., None], rows["model"], np.nan))
        by_class[pairs.class_names[label]] = {"sounds": int(sounds.sum())} | dict(zip(COLUMNS, of_class, strict=True))
    places = (*PLACES, *MAP_FIGURES)
    return {
        "table": {row: {column: one["mean"] for column, one in found.items()} for row, found in means.items()},
        "intervals": {
            row: {column: [one["low"], one["high"]] for column, one in found.items()} for row, found in means.items()
        },
        "differences": {
            row: dict(zip(COLUMNS, means_with_intervals(rows["model"] - values), strict=True))
            for row, values in rows.items()
            if row != "model"
        },
        "by_class": by_class,
        "curve": {"thresholds": list(THRESHOLDS)}
        | {row: {name: _over(measured[row, "curve", name]) for name in (*CURVES, "sdr")} for row in _CURVED},
        "places": dict(
            zip(places, means_with_intervals(np.stack([measured["places", name] for name in places], -1)), strict=True)
        )
        | {"chance": round(1 / pairs.labels.shape[1], 4)},
        "map_curve": {"thresholds": list(THRESHOLDS)}
        | {name: _over(measured["places", name]) for name in ("chosen", "right")},
    }


def _over(values: np.ndarray) -> list[float | None]:
    """Means over all sources at each threshold."""
    return [one["mean"] for one in means_with_intervals(values)]
