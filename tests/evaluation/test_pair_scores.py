"""Scores per pair: properties that hold for every model, and the pairs of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.evaluation.pair_scores import pairs_for, scores_by_pair
from sopedu.evaluation.separation import evaluate_with_examples, leak
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.modes import untrained

SMALL = """model.audio_channels=4,4,4 model.frame_width=4 model.components=4 model.frame_weights=none
model.visual_activation=none"""


@pytest.fixture(scope="module")
def checkpoint(own_cache):
    torch.manual_seed(3)
    return Checkpoint(untrained(with_values(preset("tiny"), SMALL.split())), ("violin", "tuba", "xylophone"))


def test_the_pairs_and_their_scores_are_those_of_an_evaluation(checkpoint):
    figures, examples, rows = evaluate_with_examples(checkpoint, pairs=4, seed=5, dictionaries=False)
    pairs = pairs_for(checkpoint, pairs=4, seed=5)
    assert torch.equal(pairs.mixture, examples.mixture) and torch.equal(pairs.frames, examples.frames)
    scores = scores_by_pair(checkpoint.model, pairs)
    for name in ("sdr", "sir", "sar", "sdr_mixture", "sdr_swapped"):
        assert scores[name].shape == (4,) and scores[name].mean() == pytest.approx(figures[name], abs=1e-3)
    for name in ("blank", "absent"):
        assert 10 * np.log10(scores[f"leak_{name}"].mean()) == pytest.approx(
            leak(rows[name], rows["mixture"]), abs=0.01
        )
    by_hand = [np.corrcoef(estimates)[0, 1] for estimates in rows["model"].numpy()]
    np.testing.assert_allclose(scores["correlation"], by_hand, atol=1e-5)


def test_with_equal_pictures_both_estimates_are_the_same_and_so_is_the_swap(checkpoint):
    pairs = pairs_for(checkpoint, pairs=2)
    alike = replace(pairs, frames=pairs.frames[:, :1].expand_as(pairs.frames), absent=None)
    scores = scores_by_pair(checkpoint.model, alike)
    np.testing.assert_allclose(scores["correlation"], 1, atol=1e-6)
    np.testing.assert_allclose(scores["sdr"], scores["sdr_swapped"], atol=1e-6)
    assert np.isnan(scores["leak_absent"]).all() and np.isfinite(scores["leak_blank"]).all()
