"""Separation without learning: a second implementation, properties of masks, and patterns that must be found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.lessons.classical import component_masks, nmf, oracle_owners

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, shape)).float()


def divergence(magnitude: torch.Tensor, model: torch.Tensor) -> float:
    cells, model = magnitude.double() + 1e-9, model.double() + 1e-12
    return float((cells * (cells / model).log() - cells + model).sum())


def test_two_rank_one_patterns_are_recovered():
    # Each has bins and moments of its own, which makes the factorisation unique but for order and scale.
    spectra = torch.tensor([[3.0, 0], [1, 1], [0, 2], [2, 0], [0, 0], [0, 4]])
    activations = torch.tensor([[1.0, 1, 0, 0, 2, 0, 1, 0], [0, 2, 1, 0, 0, 3, 1, 1]])
    found, when = nmf(spectra @ activations, 2, iterations=500)
    assert found.shape == (6, 2)
    assert when.shape == (2, 8)
    torch.testing.assert_close(found @ when, spectra @ activations, atol=1e-3, rtol=0)
    order = [0, 1] if found[0, 0] > found[0, 1] else [1, 0]
    torch.testing.assert_close(found[:, order], spectra / spectra.sum(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(when[order], activations * spectra.sum(0)[:, None], atol=2e-3, rtol=0)


@settings(deadline=None, max_examples=30)
@given(SIZES, st.integers(1, 6), st.integers(0, 100))
def test_more_iterations_never_fit_worse(size, components, seed):
    magnitude = noise(size, seed)
    fits = [divergence(magnitude, torch.matmul(*nmf(magnitude, components, n, seed))) for n in (1, 2, 5, 20)]
    assert all(later <= earlier + 1e-5 for earlier, later in zip(fits, fits[1:], strict=False))


def test_the_seed_alone_decides_and_spectra_add_up_to_one():
    magnitude = noise((20, 30))
    first, again, other = (nmf(magnitude, 4, 10, seed) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    torch.testing.assert_close(first[0].sum(0), torch.ones(4))


@pytest.mark.parametrize("magnitude", [torch.zeros(8, 6), torch.eye(8)[:, :6]], ids=["silence", "sparse"])
def test_masks_of_components_add_up_to_one_even_where_nothing_sounds(magnitude):
    masks = component_masks(*nmf(magnitude, 10))
    assert masks.shape == (10, 8, 6)
    assert masks.min() >= 0
    torch.testing.assert_close(masks.sum(0), torch.ones(8, 6))


def test_the_oracle_knows_the_owner():
    sources = torch.zeros(2, 4, 3)
    sources[0, :2], sources[1, 2:] = 1, 1
    masks = torch.zeros(3, 4, 3)
    masks[0, 3], masks[1, :2], masks[2, 2] = 1, 1, 1
    assert oracle_owners(masks, sources).tolist() == [1, 0, 1]


@pytest.mark.parametrize("magnitude", [torch.zeros(3), torch.zeros(1, 2, 3), -torch.ones(2, 2)])
def test_what_is_no_magnitude_is_refused(magnitude):
    with pytest.raises(ValueError, match="shape"):
        nmf(magnitude, 2)


def test_the_number_of_components_is_checked():
    with pytest.raises(ValueError, match="at least one"):
        nmf(noise((4, 4)), 0)
