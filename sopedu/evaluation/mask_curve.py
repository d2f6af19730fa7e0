"""Masks judged at every threshold: which cells they let through, against the ideal binary mask.

A cell of a mixture's spectrogram is a source's own if the ideal binary mask gives it to this source. A mask gives each
cell a score, and a threshold makes it a decision. As usual for detectors, the curve over all thresholds (the receiver
operating characteristic) and the area under it are reported. Each cell counts by the mixture's energy in it. A mask
that prefers no cell has an area of ½, whatever its level. Notebook: 03_measuring_separation.
"""

from __future__ import annotations

import numpy as np
import torch

#: Thresholds at which masks become binary; their values lie between 0 and 1.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: What :func:`mask_curve` measures at each threshold.
CURVES = ("kept", "own", "others", "right")


def mask_curve(masks: torch.Tensor, own: torch.Tensor, energy: torch.Tensor) -> dict[str, np.ndarray]:
    """Measure masks that are made binary at each of :data:`THRESHOLDS`.

    Args:
        masks: at linear frequencies, ``(P, N, F, T)`` float, or complex, whose magnitude counts.
        own: cells that the ideal binary mask gives to each source, ``(P, N, F, T)`` bool.
        energy: of the mixtures in every cell, ``(P, 1, F, T)``.

    Returns:
        ``(P, N, thresholds)`` each: ``kept``, the share of the mixture's energy that is let through; ``own``, that of
        the energy in the source's own cells; ``others``, that in all other cells; ``right``, the share of the energy in
        cells that are let through or kept back rightly. NaN where there is no energy of this kind.
    """
    weight, found = energy.double().expand(masks.shape), {name: [] for name in CURVES}
    mine, rest = weight * own, weight * ~own
    whole, of_mine, of_rest = (part.sum((-2, -1)) for part in (weight, mine, rest))
    for at in THRESHOLDS:
        open_cells = masks.abs() > at
        through, wrong = (mine * open_cells).sum((-2, -1)), (rest * open_cells).sum((-2, -1))
        for name, part, of in (
            ("kept", through + wrong, whole),
            ("own", through, of_mine),
            ("others", wrong, of_rest),
            ("right", through + of_rest - wrong, whole),
        ):
            found[name].append(torch.where(of > 0, part / of.clamp_min(1e-30), torch.nan).numpy())
    return {name: np.stack(values, -1) for name, values in found.items()}


def mask_area(masks: torch.Tensor, own: torch.Tensor, energy: torch.Tensor) -> np.ndarray:
    """Compute the area under the curve over all thresholds.

    It is the probability that of two units of energy, one in a source's own cells and one in the others, the mask is
    higher at the first; where it is equal, one half counts.

    Args:
        masks: as for :func:`mask_curve`.
        own: as there.
        energy: as there.

    Returns:
        ``(P, N)``, 0 to 1; NaN where a source has no own cells or all.

    Source: Fawcett, An introduction to ROC analysis, 2006, with weights.
    """
    weight = energy.double().expand(masks.shape).flatten(2)
    found = np.full(masks.shape[:2], np.nan)
    for place in np.ndindex(found.shape):
        values, groups = np.unique(masks[place].abs().flatten().numpy(), return_inverse=True)
        mine = own[place].flatten().numpy()
        weights = weight[place].numpy()
        of_mine = np.bincount(groups, weights * mine, len(values))
        of_rest = np.bincount(groups, weights * ~mine, len(values))
        if of_mine.sum() > 0 and of_rest.sum() > 0:
            below = np.cumsum(of_rest) - of_rest / 2
            found[place] = (of_mine * below).sum() / (of_mine.sum() * of_rest.sum())
    return found
