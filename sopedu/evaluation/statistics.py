"""How sure a mean over held-out mixtures is."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Share of the draws that an interval holds, in percent.
LEVEL = 95


def bootstrap_interval(values: Any, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """Compute the percentile bootstrap interval of a mean; whole mixtures are drawn again, with replacement.

    Args:
        values: ``(P, N)`` of P mixtures; NaN where there is none.
        resamples: how often P mixtures are drawn.
        seed: of the draws.

    Returns:
        lower and upper end, ``(2,)``; NaN if fewer than two mixtures have a value.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    values = np.asarray(values, float)
    sums, counts = np.nansum(values, 1), (~np.isnan(values)).sum(1)
    if (counts > 0).sum() < 2:
        return np.full(2, np.nan)
    drawn = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    with np.errstate(invalid="ignore"):
        means = sums[drawn].sum(1) / counts[drawn].sum(1)
    tail = (100 - LEVEL) / 2
    return np.nanpercentile(means, (tail, 100 - tail))
