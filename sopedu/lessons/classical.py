"""Separation without learning: non-negative matrix factorisation (notebook 04_without_learning).

It uses one magnitude spectrogram and knows no instrument. It finds cells that belong together, but not their source:
:func:`oracle_owners` looks that up in the true sources, because there is no picture.
"""

from __future__ import annotations

import numpy as np
import torch


def nmf(
    magnitude: torch.Tensor, components: int, iterations: int = 100, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factorise a magnitude into non-negative spectra W and activations H, W @ H ≈ magnitude.

    Multiplicative updates, which never make the Kullback-Leibler divergence larger, from a random start.

    Args:
        magnitude: ``(F, T)``, not negative.
        components: K, the number of spectra.
        iterations: number of updates of both.
        seed: of the random start, on which the result depends.

    Returns:
        spectra ``(F, K)``, each adding up to one, and activations ``(K, T)``, float32.

    Raises:
        ValueError: the magnitude is not ``(F, T)`` or negative somewhere, or there is no component.

    Source: Lee and Seung, Nature 401, 1999 (DOI 10.1038/44565).

    Notebook: 04_without_learning.
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
        activations.clamp_min_(1e-12)  # avoids 0 / 0 for a silent component
    return spectra.float(), activations.float()


def component_masks(spectra: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """Compute the share that each component has in every cell.

    Args:
        spectra: ``(F, K)``, not negative.
        activations: ``(K, T)``, not negative.

    Returns:
        masks ``(K, F, T)`` float32 that add up to one.

    Notebook: 04_without_learning.
    """
    return _shares(spectra.T[:, :, None] * activations[:, None, :])


def oracle_owners(masks: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Find the source of each component from the true sources, which a real program does not have.

    Args:
        masks: of the components ``(K, F, T)``.
        sources: true magnitudes ``(N, F, T)``.

    Returns:
        ``(K,)`` index of the source with the largest magnitude under the component's mask.

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
