"""Losses: every kind against numbers worked out by hand, and nothing infinite in silence."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.audio.masks import ideal_binary_mask, ideal_ratio_mask
from sopedu.config import LossConfig
from sopedu.training.loss import loss_weight, mask_loss

# 2 × 2 cells of one source. Logits 0, ln 3, −ln 3 give the masks 1/2, 3/4, 1/4, 1/2.
LOGITS = torch.tensor([[[[0.0, math.log(3)], [-math.log(3), 0.0]]]])
TARGET = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
# The mixture's magnitudes: their log(1 + m) are 1, 2, 3 and, below the clamp, 0.001.
MIXTURE = torch.tensor([[[[math.e - 1, math.e**2 - 1], [math.e**3 - 1, 0.0]]]])
WEIGHTS = [1.0, 2.0, 3.0, 0.001]
DISTANCES = {
    "bce": [math.log(2), math.log(4 / 3), math.log(4 / 3), math.log(2)],
    "l1": [1 / 2, 1 / 4, 1 / 4, 1 / 2],
    "l2": [1 / 4, 1 / 16, 1 / 16, 1 / 4],
}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("kind", DISTANCES)
def test_loss_of_four_cells_by_hand(kind, weighted):
    config = LossConfig(kind=kind, weighted=weighted)
    weights = WEIGHTS if weighted else [1.0] * 4
    expected = sum(w * d for w, d in zip(weights, DISTANCES[kind], strict=True)) / 4
    loss = mask_loss(LOGITS, TARGET, loss_weight(MIXTURE, config), config)
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@settings(deadline=None)
@given(logit=st.floats(-15, 15, width=32), target=st.floats(0, 1, width=32))
def test_cross_entropy_of_logits_is_the_formula_of_probabilities(logit, target):
    probability = 1 / (1 + math.exp(-logit))
    expected = -target * math.log(probability) - (1 - target) * math.log(1 - probability)
    found = mask_loss(
        torch.full((1, 1, 1, 1), logit),
        torch.full((1, 1, 1, 1), target),
        torch.ones(1, 1, 1, 1),
        LossConfig(kind="bce"),
    )
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("logit", [100.0, -100.0])
def test_cross_entropy_stays_finite_where_a_probability_would_be_zero(logit):
    # −log(sigmoid(−100)) is 100; through float32 probabilities it would be infinite.
    target = torch.full((1, 1, 1, 1), float(logit < 0))
    logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    loss = mask_loss(logits, target, torch.ones(1, 1, 1, 1), LossConfig(kind="bce"))
    loss.backward()
    assert loss.item() == pytest.approx(100.0)
    assert abs(logits.grad.item()) == pytest.approx(1.0)


def test_weight_is_the_log_of_the_magnitude_between_its_limits():
    magnitudes = torch.tensor([0.0, 1e-4, math.e - 1, math.e**9 - 1, 1e9])
    weight = loss_weight(magnitudes, LossConfig(weighted=True))
    assert weight.tolist() == pytest.approx([1e-3, 1e-3, 1.0, 9.0, 10.0], rel=1e-5)
    assert loss_weight(magnitudes, LossConfig(weighted=False)).tolist() == [1.0] * 5


def test_targets_are_the_papers_masks():
    source = torch.tensor([[[[0.6, 0.4]], [[0.4, 9.0]]]])  # two sources, one row, two frames
    mixture = torch.tensor([[[[1.0, 1.0]]]])
    assert ideal_binary_mask(source, mixture).tolist() == [[[[1, 0]], [[0, 1]]]]
    ratio = ideal_ratio_mask(source, mixture)
    assert ratio.flatten().tolist() == pytest.approx([0.6, 0.4, 0.4, 5.0])


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("target", ["binary", "ratio"])
@pytest.mark.parametrize("weighted", [True, False])
def test_silence_gives_a_finite_loss_and_finite_gradients(kind, target, weighted):
    config = LossConfig(target=target, kind=kind, weighted=weighted)
    silence = torch.zeros(2, 2, 4, 4)
    targets = (ideal_binary_mask if target == "binary" else ideal_ratio_mask)(silence, silence[:, :1])
    assert not targets.any()  # nobody owns silence
    logits = torch.linspace(-3, 3, 64).view(2, 2, 4, 4).requires_grad_()
    loss = mask_loss(logits, targets, loss_weight(silence[:, :1], config), config)
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad > 0).all()  # every mask is pulled towards zero


def test_the_weight_of_a_mixture_counts_for_all_its_sources():
    config = LossConfig(kind="l1")
    logits, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 0.5]], [[0.5, 0.0]]]])
    weight = torch.tensor([[[[2.0, 4.0]]]])
    # |½ − target| is (½, 0) and (0, ½): (2·½ + 4·½) / 4 cells.
    assert mask_loss(logits, target, weight, config).item() == pytest.approx(0.75)


def test_half_precision_logits_are_compared_in_float32():
    config = LossConfig(kind="bce")
    half = mask_loss(LOGITS.bfloat16(), TARGET, torch.ones_like(TARGET), config)
    exact = mask_loss(LOGITS.bfloat16().float(), TARGET, torch.ones_like(TARGET), config)
    assert half.dtype == torch.float32
    assert half.item() == exact.item()
