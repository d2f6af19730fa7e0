"""Metrics: mir_eval and least squares agree, noise scores its level, and silence scores what was decided for it."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.audio import metrics
from sopedu.audio.metrics import (
    FLOOR,
    Scores,
    batched_bss_eval,
    bss_eval,
    bss_eval_rows,
    si_sdr,
)
from sopedu.audio.resampling import resample
from sopedu.errors import SopeduError
from sopedu.toyband.scenes import solo

NAMES = ("sdr", "sir", "sar")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, shape)


def batch_of_one(references: np.ndarray, estimates: np.ndarray) -> Scores:
    """One mixture through the function for many."""
    found = batched_bss_eval(torch.from_numpy(references[None]), torch.from_numpy(estimates[None]))
    return Scores(*(getattr(found, name)[0] for name in NAMES), found.counted_silent, found.silent_references)


both = pytest.mark.parametrize("score", [bss_eval, batch_of_one], ids=["mir_eval", "batched"])


def assert_same(found: Scores, expected: Scores, atol: float) -> None:
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol, err_msg=name)
    assert (found.counted_silent, found.silent_references) == (expected.counted_silent, expected.silent_references)


@pytest.mark.parametrize("sources", [2, 3])
def test_bss_eval_is_mir_evals(sources):
    references = noise(sources, 4000)
    leaking = references + 0.3 * references[::-1] + 0.05 * noise(sources, 4000, seed=1)
    expected = mir_eval.separation.bss_eval_sources(references, leaking, compute_permutation=False)
    assert_same(bss_eval(references, leaking), Scores(*expected[:3], 0, 0), 1e-9)


def band_and_noise(count: int, length: int = 5000) -> np.ndarray:
    """Four mixtures: two of instruments, one of noise recorded at 8 kHz, one of tones that start and stop."""
    instruments = [
        solo(seed, "validation", samples=length + 9000, size=32, times=np.zeros(1)).waveform().numpy()[9000:]
        for seed in range(2 * count)
    ]
    narrow = [resample(noise(length, seed=seed), 8000, 11025)[:length] for seed in range(count)]
    tones = [0.1 * np.sin(0.2 * (1 + 0.7 * i) * np.arange(length)) for i in range(count)]
    return np.stack([*np.split(np.stack(instruments), 2), narrow, tones])


@pytest.mark.parametrize(("sources", "mixtures"), [(2, slice(4)), (3, slice(0, 4, 3)), (4, slice(2, 3))])
def test_the_batched_scores_are_mir_evals_for_bad_and_for_very_good_estimates(sources, mixtures):
    references = band_and_noise(sources)[mixtures]  # not all: mir_eval takes its time
    for level in (1.0, 1e-4):
        power = np.sqrt(np.mean(references**2, axis=-1, keepdims=True))
        estimates = references + level * (references[:, ::-1] + 5 * power * noise(*references.shape, seed=2))
        found = batched_bss_eval(torch.from_numpy(references), torch.from_numpy(estimates))
        pairs = [bss_eval(*pair) for pair in zip(references, estimates, strict=True)]
        assert_same(found, Scores(*(np.stack([getattr(pair, name) for pair in pairs]) for name in NAMES), 0, 0), 0.001)


def by_least_squares(references: np.ndarray, estimates: np.ndarray, taps: int) -> Scores:
    """The definition: project on the references and their delays, each written out as a column."""
    count, length = references.shape
    columns = np.zeros((length + taps - 1, count, taps))
    for delay in range(taps):
        columns[delay : delay + length, :, delay] = references.T
    scores = np.zeros((3, count))
    for i, estimate in enumerate(np.pad(estimates, ((0, 0), (0, taps - 1)))):
        own, every = (x @ np.linalg.lstsq(x, estimate)[0] for x in (columns[:, i], columns.reshape(len(columns), -1)))
        wanted, unwanted = (own, own, every), (estimate - own, every - own, estimate - every)
        for row in range(3):
            scores[row, i] = 10 * np.log10(np.sum(wanted[row] ** 2) / max(np.sum(unwanted[row] ** 2), 1e-30))
    return Scores(*np.clip(scores, FLOOR, 100), 0, 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 70), st.integers(300, 2000), st.floats(1e-4, 10), st.integers(0, 10**6))
def test_the_batched_scores_are_the_projections_of_the_definition(sources, taps, length, level, seed):
    references = noise(sources, length, seed=seed)
    estimates = references + level * noise(sources, length, seed=seed + 1)
    found = batched_bss_eval(torch.from_numpy(references[None]), torch.from_numpy(estimates[None]), taps)
    expected = by_least_squares(references, estimates, taps)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name)[0], getattr(expected, name), atol=1e-4, err_msg=name)


def test_a_filter_of_up_to_512_taps_is_no_distortion_and_a_longer_delay_is():
    references = noise(2, 4000)
    references[:, -600:] = 0  # so that nothing is lost at the end
    filtered = np.stack([np.convolve(source, noise(200, seed=5))[:4000] for source in references])
    for estimates in (references, filtered, -3 * np.roll(references, 511, axis=1)):
        found = batch_of_one(references, estimates)
        assert min(found.sdr.min(), found.sir.min(), found.sar.min()) > 90
    assert batch_of_one(references, np.roll(references, 512, axis=1)).sdr.max() < 0


def fading(length: int) -> np.ndarray:
    """Two tones that fade in and out: nothing but rounding errors at other frequencies."""
    return 0.3 * np.sin(np.outer([0.25, 0.41], np.arange(length))) * np.hanning(length)


def brick_wall(length: int) -> np.ndarray:
    spectra = np.fft.rfft(noise(2, length))
    spectra[:, length // 3 :] = 0
    return np.fft.irfft(spectra, length)


DEGENERATE = {
    "fading tones": fading(6000),
    "band-limited": brick_wall(6000),
    "one source twice": noise(1, 6000) * [[1.0], [-0.5]],
    "constant": np.full((2, 6000), 0.1),
    "one click twice": np.tile(60.0 * (np.arange(6000) == 9), (2, 1)),  # exactly singular; mir_eval 0.8 breaks off
}


@pytest.mark.parametrize("references", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize("level", [-20.0, -80.0])
def test_references_that_rounding_makes_dependent_still_score_the_noise_of_their_estimates(references, level):
    power = np.sqrt(np.mean(references**2, axis=1, keepdims=True))
    added = power * noise(2, 6000, seed=1) * 10 * 10 ** (level / 20)
    found = batch_of_one(references, references + added)
    # 512 taps catch up to 512 of 6000 degrees of freedom of the noise for SDR (0.4 dB), twice as many for SAR.
    for score, tolerance in ((found.sdr, 0.6), (found.sar, 1.2)):
        assert (np.abs(score + level) < tolerance).all(), score
    assert (found.sir > -level + 5).all()
    assert np.isfinite(batch_of_one(references, noise(2, 6000)).sdr).all()  # estimates that have nothing to do with it


def test_more_taps_than_samples_explain_everything():
    found = batch_of_one(noise(2, 300), noise(2, 300, seed=1))
    assert (found.sar > 60).all() and np.isfinite([found.sdr, found.sir]).all()


def test_mixtures_of_a_batch_do_not_know_each_other():
    references, estimates = noise(4, 3, 3000), noise(4, 3, 3000, seed=1)
    estimates += references
    references[1, 2], estimates[2, 0], estimates[3] = 0, np.nan, 0
    references[3, 1, 5] = np.inf
    found = batched_bss_eval(torch.from_numpy(references), torch.from_numpy(estimates))
    singles = [batch_of_one(*pair) for pair in zip(references, estimates, strict=True)]
    stacked = (np.stack([getattr(single, name) for single in singles]) for name in NAMES)
    assert_same(found, Scores(*stacked, 3, 2), 1e-12)
    two = bss_eval(references[1, :2], estimates[1, :2])  # as if the silent source did not exist
    np.testing.assert_allclose(found.sir[1, :2], two.sir, atol=1e-9)


def test_one_ill_conditioned_mixture_does_not_change_its_neighbours():
    # As on a GPU, where several go together; on the CPU the public function takes one at a time.
    references = torch.from_numpy(np.stack([noise(2, 6000), fading(6000), noise(2, 6000, seed=3)]))
    estimates = (references + 0.1 * torch.from_numpy(noise(3, 2, 6000, seed=4)))[:, None]
    together = metrics._score(references, estimates, 512)[0]
    alone = torch.cat([metrics._score(references[i : i + 1], estimates[i : i + 1], 512)[0] for i in range(3)])
    torch.testing.assert_close(together[::2], alone[::2], atol=1e-9, rtol=0)
    torch.testing.assert_close(together[1], alone[1], atol=0.1, rtol=0)


def test_rows_scored_together_score_what_they_score_alone():
    references = torch.from_numpy(noise(2, 2, 3000))
    rows = {"good": references + 0.01 * torch.from_numpy(noise(2, 2, 3000, seed=1)), "none": torch.zeros(2, 2, 3000)}
    found = bss_eval_rows(references, rows)
    assert list(found) == ["good", "none"]
    for name, estimates in rows.items():
        assert_same(found[name], batched_bss_eval(references, estimates), 1e-9)
    assert (found["good"].counted_silent, found["none"].counted_silent) == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_float_type_is_computed_in_float64(dtype):
    references, estimates = (torch.from_numpy(noise(1, 2, 2000, seed=seed)).to(dtype) for seed in (0, 1))
    found = batched_bss_eval(references, references + estimates)
    expected = batched_bss_eval(references.double(), (references + estimates).double())
    assert_same(found, expected, 0)
    assert found.sdr.dtype == np.float64 and found.sdr.shape == (1, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_the_same():
    references = torch.from_numpy(np.concatenate([noise(20, 2, 6000), fading(6000)[None]]))
    estimates = references + 0.1 * torch.from_numpy(noise(21, 2, 6000, seed=1))
    on_gpu, on_cpu = batched_bss_eval(references.cuda(), estimates.cuda()), batched_bss_eval(references, estimates)
    np.testing.assert_allclose(on_gpu.sdr[:-1], on_cpu.sdr[:-1], atol=1e-6)
    np.testing.assert_allclose(on_gpu.sdr[-1], on_cpu.sdr[-1], atol=0.5)


@both
def test_bss_eval_keeps_the_order_it_is_given(score):
    references = noise(2, 4000)
    assert (score(references, references[::-1].copy()).sdr < 0).all()
    assert (score(references, references).sdr > 90).all()


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


@both
def test_bss_eval_does_not_depend_on_loudness(score):
    references = noise(2, 3000)
    estimates = references + 0.5 * noise(2, 3000, seed=1)
    assert_same(score([[300.0], [0.01]] * references, 0.1 * estimates), score(references, estimates), 1e-6)


def test_si_sdr_takes_batches_of_any_shape():
    references, estimates = noise(2, 3, 500), noise(2, 3, 500, seed=1)
    references[1, 0], estimates[0, 2] = 0, 0
    found = si_sdr(references, estimates)
    assert found.shape == (2, 3) and si_sdr(references[0, 0], estimates[0, 0]).shape == ()
    for mixture in range(2):
        np.testing.assert_array_equal(found[mixture], si_sdr(references[mixture], estimates[mixture]))


@pytest.mark.parametrize("bad", [0.0, 1e-9, np.nan, np.inf], ids=["zeros", "almost zeros", "nan", "inf"])
@both
def test_an_unusable_estimate_scores_the_floor_is_counted_and_harms_no_other(score, bad):
    references = noise(2, 3000)
    estimates = references + 0.3 * references[::-1]
    good = score(references, estimates)
    estimates[0] = bad
    scores = score(references, estimates)
    assert scores.sdr[0] == scores.sir[0] == scores.sar[0] == FLOOR == -30.0
    assert scores.counted_silent == 1
    for name in NAMES:
        assert getattr(scores, name)[1] == pytest.approx(getattr(good, name)[1], abs=1e-9)
    nothing = score(references, np.zeros_like(references))
    assert nothing.sdr.tolist() == [FLOOR, FLOOR]
    assert nothing.counted_silent == 2


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


@pytest.mark.parametrize("bad", [0.0, 1e-5, np.nan, np.inf])
@both
def test_a_silent_reference_has_no_score(score, bad):
    references = noise(2, 3000)
    references[1] = bad
    estimates = noise(2, 3000, seed=1)
    scores = score(references, estimates)
    assert np.isnan([scores.sdr[1], scores.sir[1], scores.sar[1]]).all()
    assert np.isfinite([scores.sdr[0], scores.sar[0]]).all()
    assert scores.sir[0] == 100  # nobody is left to interfere
    assert (scores.counted_silent, scores.silent_references) == (0, 1)
    assert np.isnan(si_sdr(references, estimates)).tolist() == [False, True]
    # Silence for silence is no achievement either.
    nothing = score(np.zeros((2, 3000)), np.zeros((2, 3000)))
    assert np.isnan(nothing.sdr).all() and nothing.silent_references == 2


@both
def test_scores_stay_within_their_range(score):
    references = noise(2, 3000)
    perfect = score(references, references)
    hopeless = si_sdr(references, 1e-4 * references + noise(2, 3000, seed=1))
    assert max(perfect.sdr.max(), perfect.sir.max(), perfect.sar.max()) <= 100
    assert (hopeless >= FLOOR).all()
    assert si_sdr(references, references).tolist() == [100, 100]


@pytest.mark.parametrize("score", [bss_eval, batched_bss_eval, batch_of_one])
@pytest.mark.parametrize("shapes", [((2, 100), (2, 99)), ((2, 100), (3, 100)), ((100,), (100,))], ids=repr)
def test_shapes_that_differ_are_refused(score, shapes):
    with pytest.raises(ValueError, match="must both be"):
        score(np.ones(shapes[0]), np.ones(shapes[1]))


def test_a_filter_needs_a_tap():
    with pytest.raises(ValueError, match="0 taps"):
        batched_bss_eval(torch.ones(1, 1, 9), torch.ones(1, 1, 9), 0)


@pytest.mark.parametrize("score", [bss_eval, batched_bss_eval, batch_of_one, si_sdr])
def test_time_that_is_not_the_last_axis_is_refused(score):
    tall = noise(300)[:, None] if score is not batched_bss_eval else noise(300)[None, :, None]
    with pytest.raises(SopeduError, match="time last"):
        score(tall, tall)


@pytest.mark.parametrize("shapes", [((100,), (99,)), ((2, 100), (1, 100)), ((2, 100), (100,)), ((), ())], ids=repr)
def test_si_sdr_of_signals_that_differ_in_shape_is_refused(shapes):
    with pytest.raises(SopeduError, match="must both be"):
        si_sdr(np.ones(shapes[0]), np.ones(shapes[1]))


@both
def test_an_estimate_that_is_half_silent_does_not_change_its_neighbour_s_score(score):
    references = noise(2, 4000)
    estimates = references + 0.3 * references[::-1] + 0.1 * noise(2, 4000, seed=1)
    before = score(references, estimates)
    estimates[1, 2000:] = 0
    after = score(references, estimates)
    for name in NAMES:
        assert getattr(after, name)[0] == pytest.approx(getattr(before, name)[0], abs=1e-9)
    assert after.sdr[1] < before.sdr[1] and after.counted_silent == 0


@both
def test_one_source_alone_has_no_interference(score):
    # White noise 10 dB below: the filter of 512 taps takes its share of 4000 samples, 0.6 dB, out of the error.
    reference = noise(1, 4000)
    found = score(reference, reference + 10 ** (-10 / 20) * noise(1, 4000, seed=1))
    assert found.sir[0] == 100 and found.sdr[0] == pytest.approx(found.sar[0], abs=1e-6)
    assert found.sdr[0] == pytest.approx(10, abs=1.5) and found.silent_references == 0
