"""Scores of a separation: SDR, SIR, SAR (BSS Eval) and SI-SDR (notebook 03_measuring_separation).

:func:`bss_eval` uses mir_eval, the reference, for one mixture at a time; :func:`batched_bss_eval` computes the same
scores for many mixtures, also on a GPU. Both treat silence alike: a silent estimate scores a floor value and is
counted; a silent reference has no score (NaN) and is counted too.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from sopedu.errors import SopeduError

#: Score in dB of an estimate that is silent or not a number though its reference is not.
FLOOR = -30.0
_SILENT = 1e-8  # mean power up to which a reference is silent
_SILENT_ESTIMATE = 1e-10  # the same of an estimate


@dataclass(frozen=True)
class Scores:
    """Scores in dB of estimates, each ``(N,)`` float64, or ``(B, N)`` for a batch; NaN where the reference is silent.

    Attributes:
        sdr: source to distortion ratio.
        sir: source to interference ratio.
        sar: source to artifacts ratio.
        counted_silent: how many estimates are silent or not finite though their reference sounds.
        silent_references: how many references are silent or not finite.
    """

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray
    counted_silent: int
    silent_references: int


def bss_eval(references: np.ndarray, estimates: np.ndarray) -> Scores:
    """Compute SDR, SIR and SAR of estimates whose order is known (BSS Eval v3, filters of 512 samples).

    Args:
        references: true sources ``(N, L)``.
        estimates: ``(N, L)``, in the same order.

    Returns:
        Scores in dB, within [-30, 100]. A silent or non-finite estimate scores :data:`FLOOR` and is counted; a silent
        reference scores NaN and is left out of the others' interference.

    Raises:
        SopeduError: the shapes differ, or L is less than N.

    Source: Vincent, Gribonval, Févotte, Performance measurement in blind audio source separation, 2006.
    Notebook: 03_measuring_separation.
    """
    references, estimates = np.asarray(references, float), np.asarray(estimates, float)
    _check_shapes(references, estimates, 2)
    sounding, usable = _usable(references, _SILENT), _usable(estimates)
    scores = np.full((3, len(references)), np.nan)
    scores[:, sounding & ~usable] = FLOOR
    if usable[sounding].any():
        # mir_eval does not accept silence. The scores of an estimate depend on the references and on itself only, so a
        # stand-in for an unusable one changes no other score, and its own score becomes the floor.
        stand_ins = np.where(usable[:, None], estimates, references)[sounding]
        found = _bss_eval_sources()(references[sounding], stand_ins, compute_permutation=False)[:3]
        scores[:, sounding & usable] = np.stack(found)[:, usable[sounding]]
    return Scores(*np.clip(scores, FLOOR, 100), int((sounding & ~usable).sum()), int((~sounding).sum()))


def _check_shapes(references: np.ndarray | torch.Tensor, estimates: np.ndarray | torch.Tensor, axes: int = 0) -> None:
    """Refuse signals of unequal shapes, or whose last axis is not time; `axes` 0 is any number of axes."""
    wanted, shape = {2: "(N, L)", 3: "(B, N, L)"}.get(axes, "(…, L)"), tuple(references.shape)
    shapes = f"references {shape} and estimates {tuple(estimates.shape)}"
    if shape != tuple(estimates.shape) or not shape or (axes and len(shape) != axes):
        raise SopeduError(f"{shapes} must both be {wanted}: cut both to one length")
    if len(shape) > 1 and shape[-1] < shape[-2]:
        raise SopeduError(f"{shapes} must both be {wanted}, time last, and the axis before is longer: transpose them")


@lru_cache(maxsize=1)
def _bss_eval_sources() -> Callable[..., tuple[np.ndarray, ...]]:
    # mir_eval warns at every call that 0.9 will remove this function; our dependencies require mir_eval < 0.9.
    warnings.filterwarnings("ignore", message=r"mir_eval\.separation", category=FutureWarning)
    from mir_eval.separation import bss_eval_sources

    return bss_eval_sources


def batched_bss_eval(references: torch.Tensor, estimates: torch.Tensor, filter_length: int = 512) -> Scores:
    """Compute SDR, SIR and SAR of many mixtures at once: the scores of :func:`bss_eval`, several times faster.

    An estimate is projected twice: on its own reference, delayed by 0 … 511 samples (the best match by a filter of
    512 taps), and on all references of the mixture, delayed in the same way. The first projection is the
    target, the second minus the first is interference, and the rest is artifacts::

        SDR = target / (interference + artifacts)    SIR = target / interference
        SAR = (target + interference) / artifacts

    The result equals mir_eval's to 0.001 dB, unless some frequencies of a reference are over 130 dB weaker than others
    (as in a fading tone computed in float64). Then the projection is lost in rounding: compared with least squares on
    the delayed references themselves, scores above 0 dB from mir_eval were up to 20 dB wrong, and these 0.5 dB.

    Args:
        references: true sources ``(B, N, L)``, any float type, on any device with float64.
        estimates: ``(B, N, L)``, in the same order.
        filter_length: taps of the filters.

    Returns:
        Scores ``(B, N)`` in dB within [-30, 100]; silence is treated as by :func:`bss_eval`, per mixture.

    Raises:
        SopeduError: the shapes differ, L is less than N, or the filter length is below 1.

    Source: Vincent, Gribonval, Févotte, Performance measurement in blind audio source separation, 2006.
    Notebook: 03_measuring_separation.
    """
    return bss_eval_rows(references, {"": estimates}, filter_length)[""]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: more gain little on matrices of this size, and are ten times slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
@_one_thread()
def bss_eval_rows(
    references: torch.Tensor, rows: Mapping[str, torch.Tensor], filter_length: int = 512
) -> dict[str, Scores]:
    """Score several separations of the same mixtures; the expensive part depends on the references only and is shared.

    Args:
        references: true sources ``(B, N, L)``.
        rows: name → estimates ``(B, N, L)``.
        filter_length: taps of the filters.

    Returns:
        Name → scores as :func:`batched_bss_eval` returns them.

    Raises:
        SopeduError: as for :func:`batched_bss_eval`.

    Notebook: 03_measuring_separation.
    """
    references = torch.as_tensor(references)
    rows = {name: torch.as_tensor(estimates) for name, estimates in rows.items()}
    for estimates in rows.values():
        _check_shapes(references, estimates, 3)
    if filter_length < 1:
        raise SopeduError(f"a filter of {filter_length} taps: it needs at least 1")
    # Few mixtures at a time limit the memory. The CPU takes one: batches of large matrices are no faster there.
    size = 1 if references.device.type == "cpu" else 16
    chunks = zip(*(signals.to(references.device).split(size) for signals in (references, *rows.values())), strict=True)
    found = [_score(first.double(), torch.stack(others, 1).double(), filter_length) for first, *others in chunks]
    scores, floored, silent = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return {
        name: Scores(*scores[:, row].swapaxes(0, 1), int(floored[:, row].sum()), int(silent.sum()))
        for row, name in enumerate(rows)
    }


def _score(references: torch.Tensor, estimates: torch.Tensor, taps: int) -> tuple[torch.Tensor, ...]:
    """References ``(b, N, L)``, estimates ``(b, R, N, L)`` → scores ``(b, R, 3, N)``, floored, silent ``(b, N)``."""
    references, sounding = _of_unit_energy(references, _SILENT)
    estimates, usable = _of_unit_energy(estimates, _SILENT_ESTIMATE)
    products = _delayed_products(references, torch.cat([references, estimates.flatten(1, 2)], 1), taps)
    # A silent reference has only zeros in the Gram matrix; a one on the diagonal removes its influence. Where rounding
    # makes a Gram matrix indefinite, the smallest power of ten that repairs it is added: −150 dB, −140 dB …
    silent = 1 - sounding.double()
    loading = silent
    for exponent in range(-15, -5):
        own, every = _projected_energies(products, loading, taps)
        failed = ~(own + every).flatten(1).isfinite().all(1)
        if not failed.any():
            break
        loading = torch.where(failed[:, None], silent + 10.0**exponent, loading)
    # The estimate has energy 1 and the parts are orthogonal (Pythagoras), so three energies are enough. Differences of
    # float64 are exact to about 1e-15, and the largest ratio that counts is 100 dB = 1e10.
    wanted, unwanted = torch.stack([own, own, every], 2), torch.stack([1 - own, every - own, 1 - every], 2)
    scores = (10 * torch.log10(wanted.clamp_min(1e-15) / unwanted.clamp_min(1e-15))).clamp(FLOOR, 100)
    scores = torch.where(usable[:, :, None], scores, FLOOR).where(sounding[:, None, None], torch.nan)
    return scores, ~usable & sounding[:, None], ~sounding


def _of_unit_energy(signals: torch.Tensor, silent: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return signals ``(…, L)`` scaled to energy 1, silent and non-finite ones to 0; and which are neither, ``(…)``."""
    norm = torch.linalg.vector_norm(signals, dim=-1)
    sounding = norm.isfinite() & (norm.square() > silent * signals.shape[-1])
    return (signals / norm[..., None]).masked_fill_(~sounding[..., None], 0), sounding


def _delayed_products(first: torch.Tensor, second: torch.Tensor, taps: int) -> torch.Tensor:
    """Return inner products at all delays, ``(b, N, L)``, ``(b, M, L)`` → ``(b, N, M, 2·taps − 1)``.

    Σ over t of first[n, t] · second[m, t + lag], lag from 1 − taps to taps − 1. For so few lags, no FFT of the whole
    signals is needed: the first is cut into blocks, the second into windows with taps − 1 more samples on both sides.
    """
    size = 16 * taps
    hop = size - 2 * taps + 2
    rest = -first.shape[-1] % hop
    blocks = torch.nn.functional.pad(first, (0, rest)).unfold(-1, hop, hop)
    windows = torch.nn.functional.pad(second, (taps - 1, rest + taps - 1)).unfold(-1, size, hop)
    spectra = torch.fft.rfft(blocks, size).conj(), torch.fft.rfft(windows)
    return torch.fft.irfft(torch.einsum("bnkf,bmkf->bnmf", *spectra), size)[..., : 2 * taps - 1]


def _projected_energies(products: torch.Tensor, loading: torch.Tensor, taps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return energies ``(b, R, N)`` of the projections on the own and on all references; NaN if indefinite.

    With X the delayed references as columns, G = XᵀX and d = Xᵀe, the projection of e has energy dᵀG⁻¹d = ‖L⁻¹d‖² where
    G = LLᵀ. G consists of Toeplitz blocks: ⟨s_i delayed by k, s_j delayed by l⟩ depends on k − l only.
    """
    count = products.shape[1]
    gram = products.new_empty(len(products), count, taps, count, taps)
    for i, j in itertools.combinations_with_replacement(range(count), 2):
        gram[:, j, :, i] = products[:, j, i].unfold(-1, taps, 1).flip(-1)  # on and below the diagonal
    gram = gram.flatten(3).flatten(1, 2)
    gram.diagonal(dim1=1, dim2=2).add_(loading.repeat_interleave(taps, 1))
    seen = products[:, :, count:, taps - 1 :].transpose(2, 3).flatten(1, 2)
    places = [slice(source * taps, (source + 1) * taps) for source in range(count)]
    alone = [_cholesky(gram[:, place, place].clone()) for place in places[1:]]
    factor = _cholesky(gram)  # its leading block is the factor of the first block of G
    alone = [factor[:, places[0], places[0]], *alone]
    own = [_energy_kept(alone[source], seen[:, place, source::count]) for source, place in enumerate(places)]
    return torch.stack(own, 2), _energy_kept(factor, seen).unflatten(1, (-1, count))


def _energy_kept(factor: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    return torch.linalg.solve_triangular(factor, seen, upper=False).square().sum(1)


def _cholesky(matrix: torch.Tensor, width: int = 64) -> torch.Tensor:
    """Replace symmetric ``(b, n, n)`` by their lower factors; NaN where one is not positive definite.

    The part above the diagonal is neither read nor cleared. Columns are done in blocks, so that nearly all the work is
    matrix products: on a CPU core this takes 0.6 of the time of torch.linalg.cholesky, and it avoids batches of large
    matrices, which may hang.
    """
    for start in range(0, matrix.shape[-1], width):
        stop, done = start + width, matrix[:, start:, :start]
        panel = torch.baddbmm(matrix[:, start:, start:stop], done, done[:, :width].mT, alpha=-1)
        corner, info = torch.linalg.cholesky_ex(panel[:, :width])
        corner = corner.masked_fill(info[:, None, None] > 0, torch.nan)
        matrix[:, start:stop, start:stop] = corner
        below = torch.linalg.solve_triangular(corner.mT, panel[:, width:], upper=True, left=False)
        matrix[:, stop:, start:stop] = below
    return matrix


def _usable(signals: np.ndarray, silent: float = _SILENT_ESTIMATE) -> np.ndarray:
    """Return which signals ``(…, L)`` are finite and not silent."""
    finite = np.isfinite(signals).all(axis=-1)
    return finite & (np.mean(np.where(finite[..., None], signals, 0) ** 2, axis=-1) > silent)


def si_sdr(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Compute the scale-invariant SDR; silence is treated as by :func:`bss_eval`.

    Args:
        references: true sources ``(…, L)``.
        estimates: ``(…, L)``, in the same order.

    Returns:
        ``(…)`` float64, in dB within [-30, 100]; NaN where the reference is silent.

    Raises:
        SopeduError: the shapes differ, or the last axis is shorter than the one before, as for ``(L, 1)``.

    Source: Le Roux, Wisdom, Erdogan, Hershey, SDR – half-baked or well done?, 2019.
    Notebook: 03_measuring_separation.
    """
    references, estimates = np.asarray(references, float), np.asarray(estimates, float)
    _check_shapes(references, estimates)
    sounding, usable = _usable(references, _SILENT), _usable(estimates)
    references, estimates = np.where(sounding[..., None], references, 0), np.where(usable[..., None], estimates, 0)
    energy = (references**2).sum(-1)
    target = ((estimates * references).sum(-1) / np.where(sounding, energy, 1))[..., None] * references
    noise = ((estimates - target) ** 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = 10 * np.log10((target**2).sum(-1) / noise)
    score = np.where(usable & ~np.isnan(score), score, FLOOR)
    return np.where(sounding, np.clip(score, FLOOR, 100), np.nan)
