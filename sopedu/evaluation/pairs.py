"""Evaluation that cannot be fooled: the model between what needs no learning and what no mask can beat.

A separation score means little alone. Beside the model's stand the unseparated mixture, a fixed mask that knows only
the class (``static_mask``), the ideal masks, the model with the pictures exchanged (it must fail), and how much sound
leaks to a picture in which nobody plays. Explained in notebook 03_measuring_separation.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.audio.loudness import hearing_gain
from sopedu.audio.masks import apply_mask, ideal_binary_mask, ideal_ratio_mask
from sopedu.audio.metrics import bss_eval_rows, si_sdr
from sopedu.audio.spectrogram import istft, log_magnitude, stft, unwarp, warp
from sopedu.data.clips import Clip, ClipDataset, ToyBandClips, open_clips
from sopedu.data.mixing import NOBODY, choose_absent
from sopedu.data.recordings import SoundFolderClips
from sopedu.errors import SopeduError, whole_number
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels, evaluating, normalise_frames
from sopedu.toyband.scenes import scene

_SOLOS_PER_CLASS = 24  # for the mean spectra of the static mask


@dataclass(frozen=True)
class TestPairs:
    """Held-out mixtures of two solos of different classes, with everything needed to judge a separation.

    Attributes:
        sources: ``(P, 2, L)`` each solo divided by two; mixture: their sum ``(P, L)``.
        frames: ``(P, 2, S, 3, H, W)`` uint8; labels: ``(P, 2)``.
        absent: ``(P, S, 3, H, W)`` of a class that is not in the mixture, or None with fewer than three classes.
        blank: ``(P, S, 3, H, W)`` a picture in which nobody plays.
    """

    __test__ = False  # the name begins with "Test", but pytest has no business here

    sources: torch.Tensor
    mixture: torch.Tensor
    frames: torch.Tensor
    labels: np.ndarray
    absent: torch.Tensor | None
    blank: torch.Tensor
    class_names: tuple[str, ...]


def held_out_pairs(clips: ClipDataset, pairs: int = 64, seed: int = 0) -> TestPairs:
    """Draw pairs of clips of different classes: all combinations of classes in turn, in a shuffled order.

    A clip serves again only when its class has no other left.

    Raises:
        SopeduError: if the clips are all of one class.
    """
    generator = np.random.default_rng([seed, 17])
    classes = np.unique(clips.labels[clips.labels != NOBODY])
    if len(classes) < 2:
        raise SopeduError("evaluation mixes different classes, but the held-out clips are all of one")
    combinations = generator.permutation(list(itertools.combinations(classes, 2)))
    queues = {label: itertools.cycle(generator.permutation(np.flatnonzero(clips.labels == label))) for label in classes}
    chosen = [next(queues[label]) for i in range(pairs) for label in combinations[i % len(combinations)]]
    labels, members = clips.labels[chosen], np.arange(2 * pairs).reshape(pairs, 2)
    loaded: list[Clip] = [clips[int(index)] for index in chosen]
    absent = choose_absent(members, labels, 1, generator)[:, 0]
    sources = torch.stack([torch.stack([loaded[i].waveform / 2 for i in pair]) for pair in members])
    frames = torch.stack([torch.stack([loaded[i].frames for i in pair]) for pair in members])
    return TestPairs(
        sources,
        sources.sum(1),
        frames,
        labels[members],
        torch.stack([loaded[i].frames for i in absent]) if (absent >= 0).all() else None,
        _blank_frames(clips, pairs, frames),
        clips.class_names,
    )


def _blank_frames(clips: ClipDataset, count: int, frames: torch.Tensor) -> torch.Tensor:
    if not isinstance(clips, ToyBandClips | SoundFolderClips):
        return torch.full_like(frames[:, 0], 127)
    settings, seconds = clips.config.frames, clips.config.spectrogram.seconds
    times = settings.times(seconds / 2)
    rooms = [scene(0, 10**6 + i, "validation", samples=1, size=settings.size, times=times).frames for i in range(count)]
    return torch.from_numpy(np.stack(rooms)).permute(0, 1, 4, 2, 3).contiguous()


@torch.inference_mode()
def predict_masks(
    model: SoundOfPixels, mixture: torch.Tensor, frames: torch.Tensor, as_is: bool = False
) -> torch.Tensor:
    """Masks of the sources seen in ``frames``, for waveforms of mixtures.

    Args:
        model: in any mode; it answers in evaluation mode.
        mixture: ``(B, L)`` float.
        frames: ``(B, N, S, 3, H, W)`` uint8.
        as_is: hear the mixtures at their own level, as the training's loss does; else each is brought to the level
            that the model was trained at, see :func:`sopedu.audio.loudness.hearing_gain`.

    Returns:
        ``(B, N, Q, T)`` in 0…1 on the log-frequency axis, on the CPU.
    """
    device, sound = next(model.parameters()).device, model.config.spectrogram
    gains, masks = hearing_gain(mixture, sound, None if as_is else model.level_db), []
    with evaluating(model):
        for heard, gain, seen in zip(mixture.split(16), gains.split(16), frames.split(16), strict=True):
            magnitude = warp(stft(heard.to(device), sound).abs(), sound)[:, None]
            magnitude, seen = magnitude * gain.to(device)[:, None, None, None], normalise_frames(seen.to(device))
            if model.config.model.region_pooling == "features":
                masks.append(torch.sigmoid(model(log_magnitude(magnitude, sound), seen).float()).cpu())
                continue
            components = model.components(log_magnitude(magnitude, sound))
            cells = model.feature_map(seen.flatten(0, 1)).float().flatten(2)
            cells = cells.unflatten(0, seen.shape[:2])  # (B, N, K, C)
            for some, pictures, loud in zip(components.split(1), cells, magnitude[:, 0], strict=True):
                masks.append(torch.stack([model.region_mask(one, some, loud) for one in pictures])[None].cpu())
    return torch.cat(masks)


def class_spectra(clips: ClipDataset) -> np.ndarray:
    """Mean power of every linear bin for every class of a training set, ``(classes, F)``: all a label can tell."""
    sound = clips.config.spectrogram
    spectra = np.zeros((len(clips.class_names), sound.linear_bins))
    for label in range(len(clips.class_names)):
        waveforms = torch.stack(
            [clips[int(i)].waveform for i in np.flatnonzero(clips.labels == label)[:_SOLOS_PER_CLASS]]
        )
        spectra[label] = stft(waveforms, sound).abs().square().mean(dim=(0, 2)).numpy()
    return spectra


def static_masks(spectra: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    """Fixed Wiener masks ``(P, 2, F, 1)``: the class's mean power over the sum of both classes' mean powers."""
    power = spectra[labels]
    return torch.from_numpy(power / power.sum(axis=1, keepdims=True)).float()[..., None]


def estimates_by_row(checkpoint: Checkpoint, pairs: TestPairs, spectra: np.ndarray) -> dict[str, torch.Tensor]:
    """Waveforms ``(P, 2, (T − 1)·hop)`` of every row of the table, and of what leaks ``(P, 1, …)``."""
    model, sound = checkpoint.model, checkpoint.config.spectrogram
    binary = checkpoint.config.loss.target == "binary"
    complex_mixture = stft(pairs.mixture, sound)[:, None]
    source = warp(stft(pairs.sources, sound).abs(), sound)
    mixture = warp(complex_mixture.abs(), sound)

    def heard_with(frames: torch.Tensor) -> torch.Tensor:
        return apply_mask(predict_masks(model, pairs.mixture, frames), complex_mixture, sound, binary)

    rows = {
        "mixture": istft(complex_mixture, sound).expand(-1, 2, -1),
        "static_mask": istft(static_masks(spectra, pairs.labels) * complex_mixture, sound),
        "model": heard_with(pairs.frames),
        "ideal_binary_mask": apply_mask(ideal_binary_mask(source, mixture), complex_mixture, sound, True),
        "ideal_ratio_mask": istft(
            unwarp(ideal_ratio_mask(source, mixture).clamp(max=1), sound) * complex_mixture, sound
        ),
        "swapped": heard_with(pairs.frames.flip(1)),
        "blank": heard_with(pairs.blank[:, None]),
    }
    if pairs.absent is not None:
        rows["absent"] = heard_with(pairs.absent[:, None])
    return rows


def evaluate(
    checkpoint: Checkpoint | str | Path,
    data: str = "toyband",
    pairs: int = 64,
    seed: int = 0,
    instruments: tuple[str, ...] = (),
    sounds: str | Path | None = None,
) -> dict[str, Any]:
    """Separate held-out pairs and return every figure that belongs beside the model's (see the module's text).

    Args:
        checkpoint: the model to judge, on the device that shall do the work; or its folder or name, for the CPU.
        data: ``toyband`` or an index CSV (a ``val.csv`` beside it is preferred).
        pairs: mixtures of two solos of different classes.
        seed: which pairs; for the toy band also which solos are rendered.
        instruments: restrict the toy band to these; by default those the checkpoint was trained on.
        sounds: a folder of sounds to judge on, with the toy band's drawings, in place of the toy band's own sounds;
            ``notes`` of the result then say what was left out. See :mod:`sopedu.data.recordings`.
    """
    return evaluate_with_examples(checkpoint, data, pairs, seed, instruments, sounds)[0]


def evaluate_with_examples(
    checkpoint: Checkpoint | str | Path,
    data: str = "toyband",
    pairs: int = 64,
    seed: int = 0,
    instruments: tuple[str, ...] = (),
    sounds: str | Path | None = None,
) -> tuple[dict[str, Any], TestPairs, dict[str, torch.Tensor]]:
    """Do what :func:`evaluate` does, and also return the pairs and the estimates of every row, to see and hear."""
    checkpoint = as_checkpoint(checkpoint)
    config, pairs, seed = checkpoint.config, whole_number(pairs, "pairs", 1), whole_number(seed, "seed", 0)
    instruments = (instruments,) if isinstance(instruments, str) else instruments
    names = tuple(dict.fromkeys(instruments)) or tuple(checkpoint.class_names)
    if sounds is not None:
        if data != "toyband":
            raise SopeduError(
                f"a folder of sounds is shown with the toy band's drawings: {data} cannot be used with it"
            )
        clips: ClipDataset = SoundFolderClips(sounds, config, names, 2 * pairs, seed)
        names = clips.class_names
    if data == "toyband":
        config = replace(config, toyband=replace(config.toyband, instruments=tuple(names), empty_scenes=0))
        if sounds is None:
            clips = ToyBandClips(config, "validation", 2 * pairs, seed=seed)
        known = ToyBandClips(config, "train", _SOLOS_PER_CLASS * len(names), seed=900)
    else:
        known = open_clips(data, config)
        clips = open_clips(data, config, "validation", class_names=known.class_names)
    test = held_out_pairs(clips, pairs, seed)
    rows = estimates_by_row(checkpoint, test, class_spectra(known))
    table, counts = score_rows(test, rows, config.spectrogram.counted_samples)
    figures = {name: table["model"][name] for name in ("sdr", "sir", "sar", "si_sdr")}
    figures |= {
        "sdr_mixture": table["mixture"]["sdr"],
        "sdr_improvement": table["model"]["sdr"] - table["mixture"]["sdr"],
        "sdr_static_mask": table["static_mask"]["sdr"],
        "sdr_ideal_binary_mask": table["ideal_binary_mask"]["sdr"],
        "sdr_ideal_ratio_mask": table["ideal_ratio_mask"]["sdr"],
        "sdr_swapped": table["swapped"]["sdr"],
        "leak_blank": leak(rows["blank"], rows["mixture"]),
        "leak_absent": leak(rows["absent"], rows["mixture"]) if "absent" in rows else None,
        "pairs": len(test.mixture),
        **counts,
        "seed": seed,
        "instruments": list(clips.class_names),
        "device": checkpoint.device,
        "protocol": (
            f"{len(test.mixture)} held-out mixtures of 2 solos, all pairs of {len(clips.class_names)} classes in turn, "
            f"each solo halved; {config.spectrogram.counted_samples / config.spectrogram.sample_rate:.2f} s at "
            f"{config.spectrogram.sample_rate} Hz; BSS Eval v3 (512 taps) without permutation, mean over sources; "
            "leak: mean energy relative to the mixture in dB"
        ),
        "table": table,
    }
    if isinstance(clips, SoundFolderClips):
        figures["protocol"] += f"; {clips.protocol}"
        figures["notes"] = clips.notes
    return figures, test, rows


def score_rows(
    pairs: TestPairs, rows: dict[str, torch.Tensor], counted_samples: int
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Mean SDR, SIR, SAR and SI-SDR of every row with two estimates a pair, and what was silent.

    Means are over the sources that sound; ``silent_references`` counts the others, ``counted_silent`` the estimates
    of the model that are silent though their source sounds.

    Raises:
        SopeduError: if no source sounds.
    """
    references = pairs.sources[..., :counted_samples]
    scores = bss_eval_rows(references, {name: row for name, row in rows.items() if row.shape[1] == 2})
    table, counts = {}, {"counted_silent": 0, "silent_references": 0}
    for name, found in scores.items():
        if found.silent_references == found.sdr.size:
            raise SopeduError("evaluation needs sources to compare with, but all held-out clips are silent")
        scored = found.sdr, found.sir, found.sar, si_sdr(references.numpy(), rows[name].numpy())
        means = (round(float(np.nanmean(values)), 3) for values in scored)
        table[name] = dict(zip(("sdr", "sir", "sar", "si_sdr"), means, strict=True))
        counts["silent_references"] = found.silent_references
        if name == "model":
            counts["counted_silent"] = found.counted_silent
    return table, counts


def leak(estimate: torch.Tensor, mixture: torch.Tensor) -> float:
    """Energy of what a picture without the sounding instrument lets through, relative to the mixture, in dB."""
    ratio = (estimate[:, 0].square().sum(-1) / mixture[:, 0].square().sum(-1).clamp_min(1e-9)).mean().item()
    return round(10 * math.log10(max(ratio, 1e-10)), 3)
