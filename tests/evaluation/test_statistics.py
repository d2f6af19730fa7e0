"""Statistics: intervals are SciPy's, cover as often as they promise, and every mean is that of the scores."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from sopedu.errors import SopeduError
from sopedu.evaluation.statistics import (
    bootstrap_interval,
    class_matrix,
    class_table,
    pairs_csv,
    score_markdown,
    summarise,
)

ROWS = ("mixture", "static_mask", "model")
CLASSES = [["cello", "tuba"], ["tuba", "violin"], ["violin", "cello"], ["cello", "tuba"], ["tuba", "violin"]]


def drawn(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(8, 4, shape)


@pytest.fixture
def scores() -> dict[str, dict[str, np.ndarray]]:
    return {
        row: {name: drawn((5, 2), 10 * i + j) for j, name in enumerate(("sdr", "sir", "sar", "si_sdr"))}
        for i, row in enumerate(ROWS)
    }


def scipy_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """SciPy's percentile interval of the mean over the values that are there, pairs drawn as wholes."""

    def mean(pairs: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.nanmean(values[pairs], axis=(axis - 1, -1)) if axis == -1 else np.nanmean(values[pairs])

    generator = np.random.default_rng(seed)
    found = bootstrap(
        (np.arange(len(values)),), mean, n_resamples=resamples, method="percentile", random_state=generator
    ).confidence_interval
    return found.low, found.high


@pytest.mark.parametrize("silent", [0, 9])
@pytest.mark.parametrize("shape", [(30, 2), (12, 3)])
def test_intervals_are_those_of_scipy(shape, silent):
    values = drawn(shape)
    values.ravel()[np.random.default_rng(1).permutation(values.size)[:silent]] = np.nan
    assert bootstrap_interval(values, 500, 7) == pytest.approx(scipy_interval(values, 500, 7), abs=1e-9)


def test_scores_of_one_call_have_the_same_draws():
    values = drawn((20, 2, 3, 4))
    values[3, 1] = np.nan
    together = bootstrap_interval(values, 300)
    assert together.shape == (2, 3, 4)
    np.testing.assert_allclose(together[:, 1, 2], bootstrap_interval(values[..., 1, 2], 300), rtol=1e-12)


def test_of_many_normal_values_the_interval_is_that_of_theory():
    # Mean ± 1.96 standard errors; 20 000 draws place the ends to about 0.02 standard errors.
    values = drawn((400, 1))
    error = values.std() / np.sqrt(len(values))
    low, high = bootstrap_interval(values, 20_000)
    reach = norm.ppf(0.975) * error
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.15 * error)


def test_the_true_mean_lies_inside_as_often_as_promised():
    # 300 experiments of 40 pairs: 95 % ± 1.3 % of them; percentile intervals of 40 values cover about 93.5 %.
    inside = 0
    for seed in range(300):
        low, high = bootstrap_interval(drawn((40, 2), seed), 400)
        inside += low <= 8 <= high
    assert 0.90 <= inside / 300 <= 0.98


def test_the_two_sources_of_a_mixture_are_no_independent_evidence():
    one = drawn((30, 1))
    twice = np.repeat(one, 2, axis=1)  # the same again says nothing new
    np.testing.assert_allclose(bootstrap_interval(twice), bootstrap_interval(one))


def test_a_constant_difference_is_certain_though_the_scores_spread(scores):
    scores["static_mask"]["sdr"] = scores["model"]["sdr"] - 3
    found = summarise(scores, CLASSES)
    assert found["differences"]["static_mask"] == {"mean": 3.0, "low": 3.0, "high": 3.0}
    low, high = found["intervals"]["model"]["sdr"]
    assert high - low > 1


@pytest.mark.parametrize("values", [drawn((1, 2)), np.where(np.arange(8).reshape(4, 2) < 2, 1.0, np.nan)])
def test_one_mixture_alone_has_no_interval(values):
    assert np.isnan(bootstrap_interval(values)).all()


def test_bad_input_is_one_line():
    with pytest.raises(SopeduError, match="axis of mixtures"):
        bootstrap_interval([1.0, 2.0])
    with pytest.raises(SopeduError, match="resamples"):
        bootstrap_interval(drawn((4, 2)), 0)


def test_every_row_and_score_has_its_median_and_interval(scores):
    found = summarise(scores, CLASSES)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for row in ROWS:
        for name, values in scores[row].items():
            assert found["medians"][row][name] == pytest.approx(np.median(values), abs=1e-3)
            low, high = found["intervals"][row][name]
            assert low < values.mean() < high
    assert set(found["differences"]) == {"mixture", "static_mask"}
    for row, apart in found["differences"].items():
        difference = scores["model"]["sdr"] - scores[row]["sdr"]
        assert apart["mean"] == pytest.approx(difference.mean(), abs=1e-3)
        assert (apart["low"], apart["high"]) == pytest.approx(bootstrap_interval(difference), abs=1e-3)
    assert summarise(scores, CLASSES) == found != summarise(scores, CLASSES, seed=1)


def test_pairs_of_classes_have_the_mean_of_their_own_sources(scores):
    found = summarise(scores, CLASSES)
    gains = scores["model"]["sdr"] - scores["mixture"]["sdr"]
    expected = {
        ("cello", "tuba"): [gains[0, 0], gains[3, 0]], ("tuba", "cello"): [gains[0, 1], gains[3, 1]],
        ("tuba", "violin"): [gains[1, 0], gains[4, 0]], ("violin", "tuba"): [gains[1, 1], gains[4, 1]],
        ("violin", "cello"): [gains[2, 0]], ("cello", "violin"): [gains[2, 1]],
    }  # fmt: skip
    cells = {(name, other): value for name, row in found["by_classes"].items() for other, value in row.items()}
    assert cells == {pair: pytest.approx(np.mean(values), abs=1e-3) for pair, values in expected.items()}
    assert found["by_class"]["violin"] == pytest.approx(np.mean([gains[1, 1], gains[2, 0], gains[4, 1]]), abs=1e-3)
    names, matrix = class_matrix(found["by_classes"])
    assert names == ["cello", "tuba", "violin"] and np.isnan(np.diag(matrix)).all()
    assert matrix[0, 1] == found["by_classes"]["cello"]["tuba"]


def test_in_mixtures_of_three_a_source_counts_beside_both_others():
    scores = {row: {"sdr": np.array([[1.0, 2.0, 3.0]]) * i} for i, row in enumerate(ROWS, 1)}
    found = summarise(scores, [["a", "b", "c"]])
    assert found["by_classes"] == {"a": {"b": 2, "c": 2}, "b": {"a": 4, "c": 4}, "c": {"a": 6, "b": 6}}
    assert found["intervals"]["model"]["sdr"] == [None, None]


def test_silent_sources_are_left_out_and_never_zeros(scores):
    for found in scores.values():
        for values in found.values():
            values[2] = np.nan
            values[0, 1] = np.nan
    found = summarise(scores, CLASSES)
    assert found["by_classes"]["violin"]["cello"] is None
    assert found["per_pair"][2]["sdr"] == dict.fromkeys(ROWS)
    assert found["per_pair"][0]["sdr"]["model"] == pytest.approx(scores["model"]["sdr"][0, 0], abs=0.01)
    assert found["medians"]["model"]["sdr"] == pytest.approx(np.nanmedian(scores["model"]["sdr"]), abs=1e-3)
    table = class_table(found["by_classes"], found["by_class"])
    assert [line.count("–") for line in table.splitlines()] == [0, 2, 1, 2]


def test_the_table_of_classes_is_small_enough_for_eleven(scores):
    names = [f"instrument{i:02d}" for i in range(11)]
    by_classes = {name: {other: -12.34 for other in names if other != name} for name in names}
    lines = class_table(by_classes, dict.fromkeys(names, 1.26)).splitlines()
    assert len(lines) == 12 and {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) <= 100
    assert lines[1].split() == ["instrument00", "1.3", "–", *["-12.3"] * 10]


def test_a_table_in_markdown_has_the_interval_and_every_score(scores):
    table = {row: {name: float(values.mean()) for name, values in found.items()} for row, found in scores.items()}
    intervals = summarise(scores, CLASSES)["intervals"] | {"mixture": {"sdr": [None, None]}}
    lines = score_markdown({"table": table, "intervals": intervals}).splitlines()
    assert len(lines) == 2 + len(ROWS) and {line.count("|") for line in lines} == {7}
    low, high = intervals["model"]["sdr"]
    cells = f"{table['model']['sdr']:.2f}**", f"{low:.2f} … {high:.2f}**", f"{table['model']['si_sdr']:.2f}**"
    assert lines[-1].startswith("| **model** | **") and all(cell in lines[-1] for cell in cells)
    assert lines[2].split("|")[3] == " – "


def test_a_line_of_csv_per_mixture(scores):
    found = summarise(scores, CLASSES)
    head, *lines = csv.reader(pairs_csv(found["per_pair"]).splitlines())
    assert head == ["pair", "classes", *ROWS] and len(lines) == 5
    assert lines[1][:2] == ["2", "tuba + violin"]
    assert [float(value) for value in lines[1][2:]] == [
        pytest.approx(scores[row]["sdr"][1].mean(), abs=0.01) for row in ROWS
    ]
