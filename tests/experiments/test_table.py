"""Tables and figures of sweeps, from results whose means, spreads and intervals are known."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from sopedu.config import preset
from sopedu.errors import SopeduError
from sopedu.experiments.grid import combined, parse_axis, runs_of
from sopedu.experiments.plan import SweepResult
from sopedu.experiments.plots import plot_sweep, plot_trade_off, write_plots
from sopedu.experiments.table import TITLES, format_sweep, row_figures, summarise_sweep, write_tables
from sopedu.plots import encode_figure

PAIRS, SEEDS = 40, (0, 1, 2)


def results_of(*axes: str, seeds=SEEDS) -> list[SweepResult]:
    """Results whose SDR is 10 per variant's number + the seed + noise over the pairs, which all runs share."""
    noise = np.random.default_rng(0).normal(0, 2, PAIRS)
    noise -= noise.mean()
    runs = runs_of(preset("tiny"), combined([parse_axis(axis) for axis in axes]), seeds)
    variants = list(dict.fromkeys(run.variant for run in runs))
    found = []
    for run in runs:
        sdr = 10.0 * variants.index(run.variant) + run.seed + noise
        scores = {"sdr": sdr, "sdr_mixture": np.full(PAIRS, 0.5), "sdr_swapped": -sdr, "correlation": sdr * 0 + 0.25}
        leak = np.where(np.arange(PAIRS) % 2, 0.02, 0.0)  # 0.01 in the mean: −20 dB
        found.append(SweepResult(run, scores | {"leak_blank": leak, "leak_absent": leak * np.nan}, 100, 12.0))
    return found


@pytest.fixture(scope="module")
def rows():
    return summarise_sweep(results_of("model.components=4,16"))


def test_a_row_holds_mean_spread_and_interval_as_computed_by_hand(rows):
    first, second = rows
    assert (first.variant, first.values, first.seeds) == ("components-4", {"model.components": "4"}, SEEDS)
    assert first.means["sdr"] == pytest.approx([0, 1, 2]) and second.mean("sdr") == pytest.approx(11)
    assert first.spread("sdr") == pytest.approx(1.0)  # of 0, 1, 2
    assert second.mean("sdr_improvement") == pytest.approx(10.5)
    # The mean over the seeds has the noise of one run; its standard error by theory, and 1.96 of it on both sides.
    values = results_of("model.components=4")[0].scores["sdr"]
    error = values.std() / np.sqrt(PAIRS)
    assert second.intervals["sdr"] == pytest.approx((11 - 1.96 * error, 11 + 1.96 * error), abs=0.15)
    assert first.mean("leak_blank") == pytest.approx(-20) and first.spread("leak_blank") == pytest.approx(0)
    low, high = first.intervals["leak_blank"]
    assert low < -20 < high < -17
    assert np.isnan(first.mean("leak_absent")) and np.isnan(first.intervals["leak_absent"]).all()


def test_one_seed_has_no_spread_and_no_result_no_table():
    (row,) = summarise_sweep(results_of("model.components=4", seeds=(3,)))
    assert np.isnan(row.spread("sdr")) and "±" not in format_sweep([row]).splitlines()[1]
    with pytest.raises(SopeduError, match="no result yet"):
        summarise_sweep([])
    with pytest.raises(SopeduError, match="no table in the form 'html'"):
        format_sweep([row], "html")


def test_all_forms_of_the_table_hold_the_same_figures(rows, tmp_path):
    paths = write_tables(tmp_path, rows, {"components-8_seed-0": "why"})
    assert [path.name for path in paths] == ["table.csv", "table.md", "table.tex", "table.json"]
    first, second = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    assert (first["model.components"], first["seeds"], first["pairs"], first["seconds"]) == ("4", "3", "40", "12.0")
    assert float(second["sdr_mean"]) == pytest.approx(11, abs=1e-3) and first["leak_absent_mean"] == ""
    written = json.loads((tmp_path / "table.json").read_text())
    assert written == {"rows": [row_figures(row) for row in rows], "failed": {"components-8_seed-0": "why"}}
    assert written["rows"][0]["scores"]["sdr"]["by_seed"] == [0, 1, 2]
    assert written["rows"][0]["scores"]["leak_absent"]["interval"] == [None, None]
    cells = [line.strip("| ").split(" | ") for line in (tmp_path / "table.md").read_text().splitlines()[:4]]
    assert {len(line) for line in cells} == {1 + len(TITLES) + 2} and cells[3][0] == "16"
    assert cells[3][1].startswith("11.00 ± 1.00 [1") and cells[2][4] == "–"
    assert "standard deviation over the seeds" in (tmp_path / "table.md").read_text()
    latex = (tmp_path / "table.tex").read_text()
    assert rf"\begin{{tabular}}{{l{'r' * (len(TITLES) + 2)}}}" in latex and r"$11.00 \pm 1.00 [1" in latex
    lines = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in lines} == {len(TITLES) + 2} and len(lines) == 3


def test_only_what_varies_is_in_the_table():
    rows = summarise_sweep(results_of("model.components=4,16", "model.pooling=max"))
    assert format_sweep(rows).splitlines()[0].split()[:2] == ["components", "SDR"]
    assert "leak" in format_sweep(rows) and "leak" not in format_sweep(rows, scores=("sdr",))


def test_the_mean_of_a_leak_over_the_seeds_lies_in_its_interval():
    """One seed with little leak must not pull the mean in dB below what its own energies say."""
    results = results_of("model.components=4", seeds=(0, 1))
    for result, leak in zip(results, (1e-9, 1e-2), strict=True):
        result.scores["leak_blank"] = leak * np.linspace(0.5, 1.5, PAIRS)
    row = summarise_sweep(results)[0]
    low, high = row.intervals["leak_blank"]
    assert row.mean("leak_blank") == pytest.approx(10 * np.log10(0.5e-2), abs=0.01)
    assert low < row.mean("leak_blank") < high


def test_each_axis_gets_a_figure_with_a_dot_per_seed_and_the_interval(tmp_path):
    linked = "loss.target=binary+loss.kind=bce,loss.target=ratio+loss.kind=bce,loss.target=ratio+loss.kind=l1"
    rows = summarise_sweep(results_of("model.components=4,16", linked))
    axes = (("model.components",), ("loss.target", "loss.kind"))
    paths = write_plots(tmp_path, rows, (*axes, ("model.pooling",)))  # what has one value gets no figure
    assert [path.name for path in paths] == ["figure_components.png", "figure_target-kind.png"]
    figure = plot_sweep(rows, ("loss.target", "loss.kind"))
    above, below = figure.axes
    assert [text.get_text() for text in below.get_xticklabels()] == ["binary, bce", "ratio, bce", "ratio, l1"]
    assert above.get_ylabel() == "SDR in dB" and "empty room" in below.get_ylabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["4", "16"]
    dots = sorted(value for line in above.lines for value in line.get_ydata() if line.get_markersize() == 4)
    assert dots == pytest.approx(sorted(value for row in rows for value in row.means["sdr"]))
    ends = sorted(
        end for bar in above.containers for (_, low), (_, high) in bar[2][0].get_segments() for end in (low, high)
    )
    assert ends == pytest.approx(sorted(end for row in rows for end in row.intervals["sdr"]))
    colours = {line.get_color() for line in above.lines}
    assert len(colours) == 2


def test_names_of_many_fields_fit_into_the_figure():
    fields = ("loss.target", "loss.kind", "mixing.silent_share", "mixing.absent")
    values = ("ratio", "l1", "0", "0"), ("binary", "bce", "0.08", "1")
    axis = ",".join("+".join(f"{field}={value}" for field, value in zip(fields, one, strict=True)) for one in values)
    rows = summarise_sweep(results_of(axis))
    figure = plot_sweep(rows, fields)
    encode_figure(figure, "png")
    label, inside = figure.axes[-1].xaxis.label.get_window_extent(), figure.bbox
    assert inside.x0 <= label.x0 and label.x1 <= inside.x1


def test_many_series_are_drawn_as_one_without_intervals():
    rows = summarise_sweep(results_of("model.components=4,16", "model.frame_width=1,2,3,4,5,6,7,8"))
    figure = plot_sweep(rows, ("model.components",))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["all other settings"]
    bars = [np.ravel(line) for bar in figure.axes[0].containers for line in bar[2][0].get_segments()]
    assert not np.isfinite(np.concatenate([[np.nan], *bars])).any()


def test_the_trade_off_shows_one_point_per_variant():
    rows = summarise_sweep(results_of("mixing.silent_share=0,0.1", "mixing.absent=0,1"))
    figure = plot_trade_off(rows, "leak_blank")
    assert len(figure.axes[0].containers) == len(rows) == 4
    assert figure.axes[0].get_xlabel() == "leak, empty room, in dB (less is better)"
    assert len(encode_figure(figure, "png")) > 1000
