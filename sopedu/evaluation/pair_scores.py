"""Scores of a model for each held-out pair, without the baselines of :func:`sopedu.evaluate`: to compare many models.

The pairs are those of :func:`sopedu.evaluate` with the same seed and number, so the means agree.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.spectrogram import istft, stft
from sopedu.data.clips import ToyBandClips
from sopedu.data.opening import is_toyband, open_clips
from sopedu.evaluation.pairs import TestPairs, held_out_pairs, separate_pairs
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels


def pairs_for(checkpoint: Checkpoint, data: str = "toyband", pairs: int = 64, seed: int = 0) -> TestPairs:
    """Draw the held-out pairs that :func:`sopedu.evaluate` scores a checkpoint on.

    Args:
        checkpoint: with the classes and the sizes of sounds and frames.
        data: ``toyband`` or an index CSV.
        pairs: number of mixtures of two solos.
        seed: chooses them.
    """
    config, names = checkpoint.config, tuple(checkpoint.class_names)
    if not is_toyband(data):
        return held_out_pairs(open_clips(data, config, "validation", class_names=names), pairs, seed)
    config = replace(config, toyband=replace(config.toyband, instruments=names, empty_scenes=0))
    return held_out_pairs(ToyBandClips(config, "validation", 2 * pairs, seed=seed), pairs, seed)


def scores_by_pair(model: SoundOfPixels, pairs: TestPairs) -> dict[str, np.ndarray]:
    """Score the separation of each pair.

    Args:
        model: in any mode.
        pairs: held-out mixtures.

    Returns:
        by name, each ``(P,)``, NaN where there is none: ``sdr``, ``sir``, ``sar`` of the model, ``sdr_mixture``,
        ``sdr_swapped`` with the two pictures exchanged, means over both sources in dB; ``leak_blank`` and
        ``leak_absent``, energy that is separated for an empty room and for a picture of an absent instrument, as a
        share of the mixture's; ``correlation`` of the two estimates: 1 where both sound the same.
    """
    sound, count = model.config.spectrogram, len(pairs.mixture)
    nobody = [pairs.blank] if pairs.absent is None else [pairs.blank, pairs.absent]
    shown = torch.cat([pairs.frames, pairs.frames.flip(1), *(frames[:, None] for frames in nobody)], dim=1)
    estimates = separate_pairs(model, pairs.mixture, shown)
    right, swapped, silent = estimates[:, :2], estimates[:, 2:4], estimates[:, 4:]
    references = pairs.sources[..., : sound.counted_samples]
    mixture = istft(stft(pairs.mixture, sound), sound)[:, None].expand_as(references)
    found = bss_eval_rows(references, {"model": right, "mixture": mixture, "swapped": swapped})
    scores = {name: getattr(found["model"], name) for name in ("sdr", "sir", "sar")}
    scores |= {f"sdr_{name}": found[name].sdr for name in ("mixture", "swapped")}
    energy = mixture[:, 0].square().sum(-1).clamp_min(1e-9)
    leaks = (silent.square().sum(-1) / energy[:, None]).double().numpy()
    return {name: _mean_of_sources(values) for name, values in scores.items()} | {
        "leak_blank": leaks[:, 0],
        "leak_absent": leaks[:, 1] if pairs.absent is not None else np.full(count, np.nan),
        "correlation": _correlations(right.double().numpy()),
    }


def _mean_of_sources(values: np.ndarray) -> np.ndarray:
    """Mean ``(P,)`` over the sources ``(P, 2)`` that have a value."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(1) / known.sum(1)


def _correlations(estimates: np.ndarray) -> np.ndarray:
    """Correlation ``(P,)`` of the two estimates ``(P, 2, L)``; NaN where one is silent."""
    first, second = (estimates - estimates.mean(-1, keepdims=True)).swapaxes(0, 1)
    lengths = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 1e-12, (first * second).sum(-1) / lengths, np.nan)
