"""Separation without learning: median filters and non-negative matrix factorisation (notebook 04_without_learning).

Both see one magnitude spectrogram and know no instrument. They say which cells belong together, not to whom:
:func:`oracle_owners` answers that with the truth, for want of eyes.
"""

from __future__ import annotations

import numpy as np
import torch


def harmonic_percussive(magnitude: torch.Tensor, time_span: int = 31, frequency_span: int = 31) -> torch.Tensor:
    """Masks of what lasts and of what strikes: horizontal and vertical lines of a spectrogram.

    A median over time wipes out clicks and keeps lasting lines, H; one over frequency does the opposite, P. The masks
    are H² / (H² + P²) and P² / (H² + P²); where both medians are zero, one half.

    Args:
        magnitude: ``(F, T)``, on linear frequencies.
        time_span, frequency_span: cells of the medians, odd numbers.

    Returns:
        masks ``(2, F, T)`` float32, harmonic first; they add up to one.

    Raises:
        ValueError: if the magnitude is no ``(F, T)`` or negative somewhere, or a span is even or below 1.

    Source: Fitzgerald, Harmonic/percussive separation using median filtering, DAFx-10. Notebook: 04_without_learning.
    """
    from scipy.ndimage import median_filter

    if min(time_span, frequency_span) < 1 or time_span % 2 == 0 or frequency_span % 2 == 0:
        raise ValueError(f"spans of {time_span} × {frequency_span} cells: a median has a middle, so give odd numbers")
    cells = _checked(magnitude)
    power = np.stack([median_filter(cells, size) for size in ((1, time_span), (frequency_span, 1))]) ** 2
    return _shares(torch.from_numpy(power)).to(magnitude.device)


def nmf(
    magnitude: torch.Tensor, components: int, iterations: int = 100, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Non-negative matrix factorisation: find spectra W and activations H with W @ H ≈ magnitude.

    Multiplicative updates, which never make the Kullback-Leibler divergence larger, from a random start.

    Args:
        magnitude: ``(F, T)``.
        components: K, the number of spectra.
        seed: of the random start, on which the outcome depends.

    Returns:
        spectra ``(F, K)``, each adding up to one, and activations ``(K, T)``, float32.

    Raises:
        ValueError: if the magnitude is no ``(F, T)`` or negative somewhere, or there is not even one component.

    Source: Lee and Seung, Nature 401, 1999 (DOI 10.1038/44565). Notebook: 04_without_learning.
    """
    if components < 1:
        raise ValueError(f"{components} components: there must be at least one")
    cells = torch.from_numpy(_checked(magnitude) + 1e-9).to(magnitude.device)
    generator = np.random.default_rng(seed)
    spectra, activations = (
        torch.from_numpy(generator.uniform(0.5, 1.5, shape)).to(cells)
        for shape in ((len(cells), components), (components, cells.shape[1]))
    )
    for _ in range(iterations):
        spectra *= (cells / (spectra @ activations)) @ activations.T / activations.sum(1)
        spectra /= spectra.sum(0)
        activations *= spectra.T @ (cells / (spectra @ activations))
        activations.clamp_min_(1e-12)  # a component that falls silent must not become 0 / 0
    return spectra.float(), activations.float()


def component_masks(spectra: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """What share of every cell each component makes: ``(F, K)`` and ``(K, T)`` → masks ``(K, F, T)`` that add to one.

    Notebook: 04_without_learning.
    """
    return _shares(spectra.T[:, :, None] * activations[:, None, :])


def oracle_owners(masks: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """To which source each component belongs, found by looking at the truth, as no real program can.

    Args:
        masks: of the components ``(K, F, T)``.
        sources: true magnitudes ``(N, F, T)``.

    Returns:
        ``(K,)`` the source of which a component lets the most through.

    Notebook: 04_without_learning.
    """
    return torch.einsum("kft,nft->kn", masks, sources).argmax(dim=1)


def _shares(parts: torch.Tensor) -> torch.Tensor:
    """Non-negative ``(K, F, T)`` → float32 shares that add up to one over K, equal ones where all are zero."""
    tiny = torch.finfo(parts.dtype).tiny
    whole = parts.sum(0)
    return torch.where(whole > tiny, parts / whole.clamp_min(tiny), 1 / len(parts)).float()


def _checked(magnitude: torch.Tensor) -> np.ndarray:
    cells = magnitude.detach().cpu().double().numpy()
    if cells.ndim != 2 or not (cells >= 0).all():
        raise ValueError(f"a magnitude has the shape (F, T) and is nowhere negative; this has {tuple(cells.shape)}")
    return cells
