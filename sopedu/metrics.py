"""How good is a separation? SDR, SIR, SAR (BSS Eval), SI-SDR (notebook 03_measuring_separation).

mir_eval is the reference; it is used through this module only, which decides what happens with silence: an estimate
without sound scores a floor and is counted, and a reference without sound has no score, which is NaN and counted too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Score in dB of an estimate that is silent or not a number though its reference is not.
FLOOR = -30.0
_SILENT = 1e-8  # mean power below which a signal counts as silent


@dataclass(frozen=True)
class Scores:
    """Scores in dB of N estimates, each ``(N,)``; NaN where the reference is silent."""

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray
    counted_silent: int


def bss_eval(references: np.ndarray, estimates: np.ndarray) -> Scores:
    """SDR, SIR and SAR of estimates whose order is known (BSS Eval v3, filters of 512 samples; Vincent et al. 2006).

    Args:
        references: true sources ``(N, L)``.
        estimates: ``(N, L)``, in the same order.

    Returns:
        scores in dB, within [-30, 100]. A silent or non-finite estimate scores :data:`FLOOR` and is counted; a silent
        reference gives NaN and its row takes no part in the others' interference.

    Raises:
        ValueError: if the shapes differ.
    """
    references, estimates = np.asarray(references, float), np.asarray(estimates, float)
    if references.shape != estimates.shape or references.ndim != 2:
        raise ValueError(f"references {references.shape} and estimates {estimates.shape} must both be (N, L)")
    sounding = np.mean(references**2, axis=1) > _SILENT
    usable = _usable(estimates)
    scores = np.full((3, len(references)), np.nan)
    scores[:, sounding & ~usable] = FLOOR
    if usable[sounding].any():
        # mir_eval refuses silence. An estimate's decomposition depends on the references and itself alone, so a
        # stand-in for an unusable one changes nobody else's score, and its own is overwritten by the floor.
        stand_ins = np.where(usable[:, None], estimates, references)[sounding]
        found = _bss_eval_sources()(references[sounding], stand_ins, compute_permutation=False)[:3]
        scores[:, sounding & usable] = np.stack(found)[:, usable[sounding]]
    return Scores(*np.clip(scores, FLOOR, 100), counted_silent=int((sounding & ~usable).sum()))


@lru_cache(maxsize=1)
def _bss_eval_sources() -> Callable[..., tuple[np.ndarray, ...]]:
    # It warns at every call that version 0.9 drops it; the dependencies keep mir_eval below that.
    warnings.filterwarnings("ignore", message=r"mir_eval\.separation", category=FutureWarning)
    from mir_eval.separation import bss_eval_sources

    return bss_eval_sources


def _usable(estimates: np.ndarray) -> np.ndarray:
    """Which estimates ``(…, L)`` are finite and not silent."""
    finite = np.isfinite(estimates).all(axis=-1)
    return finite & (np.mean(np.where(finite[..., None], estimates, 0) ** 2, axis=-1) > _SILENT * 1e-2)


def si_sdr(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Scale-invariant SDR in dB over the last axis (Le Roux et al. 2019); the same silence rules, shape ``(N,)``."""
    references, estimates = np.asarray(references, float), np.asarray(estimates, float)
    usable = _usable(estimates)
    estimates = np.where(usable[..., None], estimates, 0)
    energy = (references**2).sum(-1)
    safe = np.where(energy > 0, energy, 1)
    target = ((estimates * references).sum(-1) / safe)[..., None] * references
    noise = ((estimates - target) ** 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = 10 * np.log10((target**2).sum(-1) / noise)
    score = np.where(usable & ~np.isnan(score), score, FLOOR)
    return np.where(energy / references.shape[-1] > _SILENT, np.clip(score, FLOOR, 100), np.nan)


def level_below(part: np.ndarray, whole: np.ndarray) -> float:
    """Energy of ``part`` relative to ``whole`` in dB, not below −100; what leaks is measured with it."""
    ratio = float(np.sum(np.square(part, dtype=float)) / max(np.sum(np.square(whole, dtype=float)), 1e-12))
    return 10 * np.log10(max(ratio, 1e-10))
