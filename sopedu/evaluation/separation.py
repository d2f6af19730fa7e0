"""Scores of separation beside their baselines: a score means nothing without them.

The rows are computed in :mod:`sopedu.evaluation.baselines` and :mod:`sopedu.evaluation.dictionaries`. Leakage is the
sound that remains for a picture in which nobody plays.

Notebook: 03_measuring_separation.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.audio.metrics import bss_eval_rows, si_sdr
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.evaluation.baselines import class_spectra, estimates_by_row, same_class_frames
from sopedu.evaluation.dictionaries import dictionary_rows
from sopedu.evaluation.held_out import indexed, mixtures_protocol, open_held_out
from sopedu.evaluation.pair_lists import save_pair_list
from sopedu.evaluation.pairs import TestPairs, held_out_pairs
from sopedu.evaluation.statistics import summarise
from sopedu.model.checkpoints import Checkpoint, as_checkpoint

#: Scores of every row of a table.
SCORES = ("sdr", "sir", "sar", "si_sdr")
_ROWS_OF_ONE_CLASS = ("mixture", "model", "ideal_binary_mask", "ideal_ratio_mask", "swapped")
_SCORED = "BSS Eval v3 (512 taps) without permutation, mean over sources"


def evaluate(
    checkpoint: Checkpoint | str | Path,
    data: str = "toyband",
    pairs: int | None = None,
    seed: int = 0,
    instruments: tuple[str, ...] = (),
    sounds: str | Path | None = None,
    sources: int = 2,
    same_class: bool = False,
    dictionaries: bool = True,
    root: str | Path | None = None,
    frame_rate: float | None = None,
    listed: str | Path | None = None,
    save_pairs: str | Path | None = None,
) -> dict[str, Any]:
    """Separate held-out pairs, and return the model's scores beside all baselines.

    Args:
        checkpoint: the model, on the device that should do the work; or its folder or name, for the CPU.
        data: ``toyband`` or an index CSV (a ``val.csv`` beside it is preferred).
        pairs: number of mixtures of solos of different classes; None: 64, or all of ``listed``.
        seed: chooses the pairs, and for the toy band the solos.
        instruments: of the toy band; empty: those that the checkpoint was trained on.
        sounds: a folder of sounds to use with the toy band's drawings instead of the toy band's own sounds, see
            :mod:`sopedu.data.recordings`; ``notes`` of the result list what was left out.
        sources: solos per mixture; each is divided by this number.
        same_class: also separate as many mixtures of solos of one class by different players. They have figures of
            their own, under ``same_class`` of the result.
        dictionaries: also separate by supervised NMF, see :mod:`sopedu.evaluation.dictionaries`. Its dictionaries are
            learnt once, in some minutes, and kept in the cache.
        root: the folder in which the paths of an index begin; None: it is found.
        frame_rate: frames per second of the data of an index; None: found from some clips.
        listed: a list of pairs of an index to take instead of drawing some, see :mod:`sopedu.evaluation.pair_lists`.
        save_pairs: a file that gets the list of the pairs of an index.

    Returns:
        figures by name, in dB; ``table`` holds the means of all scores of all rows, ``protocol`` describes how they
        were measured. ``intervals``, ``medians``, ``differences``, ``by_classes``, ``by_class`` and ``per_pair`` are
        those of :func:`sopedu.evaluation.statistics.summarise`.

    Raises:
        SopeduError: no such checkpoint or data, nothing sounds, or too few solos or classes for such mixtures.
    """
    return evaluate_with_examples(
        checkpoint, data, same_class=same_class, dictionaries=dictionaries, save_pairs=save_pairs, pairs=pairs,
        seed=seed, instruments=instruments, sounds=sounds, sources=sources, root=root, frame_rate=frame_rate,
        listed=listed,
    )[0]  # fmt: skip


def evaluate_with_examples(
    checkpoint: Checkpoint | str | Path,
    data: str = "toyband",
    *,
    same_class: bool = False,
    dictionaries: bool = True,
    save_pairs: str | Path | None = None,
    **mixtures: Any,
) -> tuple[dict[str, Any], TestPairs, dict[str, torch.Tensor]]:
    """Evaluate like :func:`evaluate`; also return pairs and estimates, to look at and listen to.

    Args:
        checkpoint: as for :func:`evaluate`.
        data: as there.
        same_class: as there.
        dictionaries: as there.
        save_pairs: as there.
        **mixtures: all other arguments of :func:`evaluate`, by their names.

    Returns:
        figures, pairs, and estimates by row.
    """
    checkpoint = as_checkpoint(checkpoint)
    if same_class and mixtures.get("sounds") is not None:
        raise SopeduError("mixtures of one class need different players: recordings in a folder do not name theirs")
    held = open_held_out(checkpoint, data, **mixtures)
    clips, known, test, sound = held.clips, held.known, held.pairs, checkpoint.config.spectrogram
    if save_pairs is not None:
        save_pair_list(save_pairs, indexed(clips), test.members)
    count, sources = test.labels.shape
    alike = held_out_pairs(clips, count, held.seed, sources, same_class=True) if same_class else None
    spectra = class_spectra(known)
    rows = estimates_by_row(checkpoint, test, spectra, same_class_frames(clips, test, held.seed))
    nmf, found = dictionary_rows(checkpoint, test, known) if dictionaries else ({}, {})
    rows |= nmf
    table, counts, summary = _scored(test, rows, sound)
    figures = _figures(test, rows, table) | counts | found
    figures["protocol"] = held.protocol(f"{_SCORED}; leak: mean energy relative to the mixture in dB", sound)
    figures |= {"seed": held.seed, "instruments": list(clips.class_names), "device": checkpoint.device, "table": table}
    figures |= summary
    if alike is not None:
        figures["same_class"] = _same_class(checkpoint, alike, spectra)
    return figures | ({} if held.notes is None else {"notes": held.notes}), test, rows


def _figures(pairs: TestPairs, rows: dict[str, torch.Tensor], table: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The figures that a reader looks for first, by name."""
    figures = _of_model(table) | {"sdr_same_class_picture": None}  # unless each class has two clips
    figures |= {f"sdr_{row}": scores["sdr"] for row, scores in table.items() if row != "model"}
    return figures | {
        "leak_blank": leak(rows["blank"], rows["mixture"]),
        "leak_absent": leak(rows["absent"], rows["mixture"]) if "absent" in rows else None,
        "pairs": len(pairs.mixture),
        "sources": pairs.sources.shape[1],
    }


def _of_model(table: dict[str, dict[str, float]]) -> dict[str, Any]:
    scores = {name: table["model"][name] for name in SCORES}
    return scores | {"sdr_improvement": table["model"]["sdr"] - table["mixture"]["sdr"]}


def _same_class(checkpoint: Checkpoint, pairs: TestPairs, spectra: np.ndarray) -> dict[str, Any]:
    """Figures of mixtures of one class: its name does not tell the players apart, only what the pictures show may."""
    sound, rows = checkpoint.config.spectrogram, estimates_by_row(checkpoint, pairs, spectra)
    table, counts, summary = _scored(pairs, {row: rows[row] for row in _ROWS_OF_ONE_CLASS}, sound)
    del summary["by_classes"]  # every mixture has one class
    notes = {"pairs": len(pairs.mixture), "table": table}
    notes["protocol"] = f"{mixtures_protocol(pairs, sound, same_class=True)}; {_SCORED}"
    return _of_model(table) | counts | notes | summary


def _scored(
    pairs: TestPairs, rows: dict[str, torch.Tensor], sound: SpectrogramConfig
) -> tuple[dict[str, dict[str, float]], dict[str, int], dict[str, Any]]:
    """Means and counts as in :func:`score_rows`, and what follows from the scores of single mixtures."""
    scores, counts = scores_by_row(pairs, rows, sound.counted_samples)
    classes = [[pairs.class_names[label] for label in labels] for labels in pairs.labels]
    return _means(scores), counts, summarise(scores, classes)


def score_rows(
    pairs: TestPairs, rows: dict[str, torch.Tensor], counted_samples: int
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Compute mean SDR, SIR, SAR and SI-SDR in dB of every row with one estimate per source.

    Args:
        pairs: with the true sources.
        rows: estimates ``(P, N, L)`` by name.
        counted_samples: of each waveform.

    Returns:
        means by row and score, over the sources that sound; and counts: ``silent_references`` of sources that do not
        sound, ``counted_silent`` of the model's estimates that are silent though their source sounds.

    Raises:
        SopeduError: no source sounds.
    """
    scores, counts = scores_by_row(pairs, rows, counted_samples)
    return _means(scores), counts


def _means(scores: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    return {
        row: {name: round(float(np.nanmean(values)), 3) for name, values in found.items()}
        for row, found in scores.items()
    }


def scores_by_row(
    pairs: TestPairs, rows: dict[str, torch.Tensor], counted_samples: int
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, int]]:
    """Compute the scores of every source of every mixture, as :func:`score_rows` computes their means.

    Args:
        pairs: as there.
        rows: as there; rows with another number of estimates, such as ``blank``, are left out.
        counted_samples: as there.

    Returns:
        row → score → ``(P, N)`` in dB, NaN where a source does not sound; and counts as there.

    Raises:
        SopeduError: no source sounds.
    """
    references = pairs.sources[..., :counted_samples]
    found = bss_eval_rows(references, {name: row for name, row in rows.items() if row.shape[1] == references.shape[1]})
    if all(score.silent_references == score.sdr.size for score in found.values()):
        raise SopeduError("evaluation needs sources to compare with, but all held-out clips are silent")
    scores = {
        row: dict(zip(SCORES, (got.sdr, got.sir, got.sar, si_sdr(references.numpy(), rows[row].numpy())), strict=True))
        for row, got in found.items()
    }
    silent = {name: score.counted_silent for name, score in found.items()}
    references_silent = next(iter(found.values())).silent_references
    return scores, {"counted_silent": silent.get("model", 0), "silent_references": references_silent}


def leak(estimate: torch.Tensor, mixture: torch.Tensor) -> float:
    """Compute the energy of what is separated for a picture without a sounding instrument, relative to the mixture.

    Args:
        estimate: ``(P, 1, L)``.
        mixture: ``(P, N, L)``, all rows the same.

    Returns:
        in dB.
    """
    ratio = (estimate[:, 0].square().sum(-1) / mixture[:, 0].square().sum(-1).clamp_min(1e-9)).mean().item()
    return round(10 * math.log10(max(ratio, 1e-10)), 3)
