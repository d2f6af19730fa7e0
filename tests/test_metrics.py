"""Metrics: mir_eval agrees, noise scores its level, and silence scores what was decided for it."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.metrics import FLOOR, bss_eval, level_below, si_sdr


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, shape)


@pytest.mark.parametrize("sources", [2, 3])
def test_bss_eval_is_mir_evals(sources):
    references = noise(sources, 4000)
    leaking = references + 0.3 * references[::-1] + 0.05 * noise(sources, 4000, seed=1)
    expected = mir_eval.separation.bss_eval_sources(references, leaking, compute_permutation=False)
    found = bss_eval(references, leaking)
    for score, theirs in zip((found.sdr, found.sir, found.sar), expected, strict=False):
        np.testing.assert_allclose(score, theirs, atol=1e-9)
    assert found.counted_silent == 0


def test_bss_eval_keeps_the_order_it_is_given():
    references = noise(2, 4000)
    assert (bss_eval(references, references[::-1]).sdr < 0).all()
    assert (bss_eval(references, references).sdr > 90).all()


@pytest.mark.parametrize("level", [-10.0, 0.0, 10.0, 30.0])
def test_si_sdr_of_noise_is_its_level(level):
    references = noise(3, 200_000)
    added = noise(3, 200_000, seed=1) * 10 ** (-level / 20)
    # Both are white with the same power; 200 000 samples are orthogonal to about 1/√200 000.
    np.testing.assert_allclose(si_sdr(references, references + added), level, atol=0.1)


def test_si_sdr_of_orthogonal_signals_by_hand():
    # Estimate (3, 1) of reference (1, 0): target (3, 0), noise (0, 1): 10·log10(9 / 1) = 9.54 dB.
    assert si_sdr(np.array([[1.0, 0.0]]), np.array([[3.0, 1.0]]))[0] == pytest.approx(9.5424, abs=1e-4)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-1, 1e3))
def test_si_sdr_does_not_depend_on_loudness(estimate_gain, reference_gain):
    references = noise(2, 500)
    estimates = references + 0.5 * noise(2, 500, seed=1)
    expected = si_sdr(references, estimates)
    np.testing.assert_allclose(si_sdr(reference_gain * references, -estimate_gain * estimates), expected, atol=1e-6)


def test_bss_eval_does_not_depend_on_loudness():
    references = noise(2, 3000)
    estimates = references + 0.5 * noise(2, 3000, seed=1)
    np.testing.assert_allclose(
        bss_eval(references, 0.1 * estimates).sdr, bss_eval(references, estimates).sdr, atol=1e-6
    )


@pytest.mark.parametrize("bad", [0.0, 1e-9, np.nan, np.inf], ids=["zeros", "almost zeros", "nan", "inf"])
def test_an_unusable_estimate_scores_the_floor_is_counted_and_harms_no_other(bad):
    references = noise(2, 3000)
    estimates = references + 0.3 * references[::-1]
    good = bss_eval(references, estimates)
    estimates[0] = bad
    scores = bss_eval(references, estimates)
    assert scores.sdr[0] == scores.sir[0] == scores.sar[0] == FLOOR == -30.0
    assert scores.counted_silent == 1
    for name in ("sdr", "sir", "sar"):
        assert getattr(scores, name)[1] == pytest.approx(getattr(good, name)[1], abs=1e-9)
    both = bss_eval(references, np.zeros_like(references))
    assert both.sdr.tolist() == [FLOOR, FLOOR]
    assert both.counted_silent == 2


@pytest.mark.parametrize("place", ["one sample", "all samples"])
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_si_sdr_keeps_the_same_rules(bad, place):
    references, estimates = noise(2, 300), noise(2, 300)
    estimates[0, : 1 if place == "one sample" else 300] = bad
    found = si_sdr(references, estimates)
    assert found[1] == 100
    if bad == 0.0 and place == "one sample":
        assert 0 < found[0] < 100
    else:
        assert found[0] == FLOOR


def test_a_silent_reference_has_no_score():
    references = noise(2, 3000)
    references[1] = 0
    estimates = noise(2, 3000, seed=1)
    scores = bss_eval(references, estimates)
    assert np.isnan([scores.sdr[1], scores.sir[1], scores.sar[1]]).all()
    assert np.isfinite(scores.sdr[0])
    assert scores.counted_silent == 0
    assert np.isnan(si_sdr(references, estimates)[1])
    # Silence for silence is no achievement either.
    assert np.isnan(bss_eval(np.zeros((2, 3000)), np.zeros((2, 3000))).sdr).all()


def test_scores_stay_within_their_range():
    references = noise(2, 3000)
    perfect = bss_eval(references, references)
    hopeless = si_sdr(references, 1e-4 * references + noise(2, 3000, seed=1))
    assert max(perfect.sdr.max(), perfect.sir.max(), perfect.sar.max()) <= 100
    assert (hopeless >= FLOOR).all()
    assert si_sdr(references, references).tolist() == [100, 100]


@pytest.mark.parametrize("shapes", [((2, 100), (2, 99)), ((2, 100), (3, 100)), ((100,), (100,))], ids=repr)
def test_shapes_that_differ_are_refused(shapes):
    with pytest.raises(ValueError, match="must both be"):
        bss_eval(np.ones(shapes[0]), np.ones(shapes[1]))


def test_level_below_is_an_energy_ratio_in_decibels():
    whole = noise(1000)
    assert level_below(0.1 * whole, whole) == pytest.approx(-20.0)
    assert level_below(whole, whole) == pytest.approx(0.0)
    assert level_below(0 * whole, whole) == pytest.approx(-100.0)
    assert np.isfinite(level_below(whole, 0 * whole))
