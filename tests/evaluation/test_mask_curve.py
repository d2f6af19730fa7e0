"""Curves of thresholds: counted cell by cell, and the area as a second implementation computes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sopedu.evaluation.mask_curve import THRESHOLDS, mask_area, mask_curve

SHAPE = (2, 2, 5, 7)


@pytest.fixture
def cells() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Masks with many equal values, own cells, energies."""
    generator = np.random.default_rng(0)
    masks = torch.from_numpy(generator.integers(0, 6, SHAPE) / 5)
    own = torch.from_numpy(generator.random(SHAPE) < 0.4)
    return masks, own, torch.from_numpy(generator.exponential(size=(2, 1, 5, 7)))


def test_areas_are_those_of_scikit_learn(cells):
    masks, own, energy = cells
    found = mask_area(masks, own, energy)
    for place in np.ndindex(2, 2):
        expected = roc_auc_score(own[place].ravel(), masks[place].ravel(), sample_weight=energy[place[0], 0].ravel())
        assert found[place] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(mask_area(torch.complex(masks, 0 * masks) * 1j, own, energy), found)


def test_a_mask_that_prefers_no_cell_has_half_the_area_and_the_ideal_one_all(cells):
    masks, own, energy = cells
    np.testing.assert_allclose(mask_area(torch.full_like(masks, 0.3), own, energy), 0.5)
    np.testing.assert_allclose(mask_area(own.double(), own, energy), 1)
    np.testing.assert_allclose(mask_area(1 - own.double(), own, energy), 0)
    np.testing.assert_allclose(mask_area(masks**3, own, energy), mask_area(masks, own, energy))  # only the order counts


def test_shares_are_counted_cell_by_cell(cells):
    masks, own, energy = cells
    found = mask_curve(masks, own, energy)
    for (p, n), (step, at) in ((place, one) for place in np.ndindex(2, 2) for one in enumerate(THRESHOLDS)):
        sums = dict.fromkeys(("all", "own", "others", "through", "right", "mine", "rest"), 0.0)
        for cell in np.ndindex(5, 7):
            weight, mine = float(energy[(p, 0, *cell)]), bool(own[(p, n, *cell)])
            passes = bool(masks[(p, n, *cell)] > at)
            sums["all"] += weight
            sums["mine" if mine else "rest"] += weight
            sums["through"] += weight * passes
            sums["own" if mine else "others"] += weight * passes
            sums["right"] += weight * (passes == mine)
        assert found["kept"][p, n, step] == pytest.approx(sums["through"] / sums["all"])
        assert found["own"][p, n, step] == pytest.approx(sums["own"] / sums["mine"])
        assert found["others"][p, n, step] == pytest.approx(sums["others"] / sums["rest"])
        assert found["right"][p, n, step] == pytest.approx(sums["right"] / sums["all"])


def test_where_a_source_has_all_cells_or_none_nothing_can_be_said(cells):
    masks, own, energy = cells
    own[0, 0], own[1, 1] = True, False
    found, area = mask_curve(masks, own, energy), mask_area(masks, own, energy)
    assert np.isnan(area).tolist() == [[True, False], [False, True]]
    assert np.isnan(found["others"][0, 0]).all() and np.isnan(found["own"][1, 1]).all()
    assert np.isfinite(found["right"]).all()
