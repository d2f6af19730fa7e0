"""Comparison of runs: differing settings only, figures that can be checked by hand, curves told apart by everybody."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from sopedu.config import preset, to_dict, with_values
from sopedu.errors import SopeduError
from sopedu.experiments.compare import _smoothed, compare_runs, comparison_table, plot_comparison
from sopedu.model.checkpoints import FORMAT_VERSION
from sopedu.plots import encode_figure, save_figure


def entry(step: int, loss: float, **more: float) -> dict:
    return {"step": step, "loss": loss, "seconds": step / 10, **more}


def write_run(folder, history, *values: str, data: str = "toyband", form: str = "jsonl"):
    """A run's folder as training leaves it, without weights."""
    (folder / "checkpoint").mkdir(parents=True)
    config = to_dict(with_values(preset("tiny"), values))
    notes = {"format_version": FORMAT_VERSION, "trained_on": {"data": data, "precision": "float32"}, "config": config}
    (folder / "checkpoint" / "config.json").write_text(json.dumps(notes))
    lines = json.dumps(history) if form == "json" else "".join(json.dumps(one) + "\n" for one in history)
    (folder / f"history.{form}").write_text(lines)
    return folder


LONG = [entry(step, 100 / step, mixtures_per_second=float(step % 30)) for step in range(10, 401, 10)]
LONG[19] |= {"validation_loss": 0.7, "validation_sdr": 5.0}
LONG[39] |= {"validation_loss": 0.6, "validation_sdr": 4.0}
SHORT = [entry(10, 3.0), entry(20, 1.0), entry(30, 2.0)]


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "k32", LONG)
    write_run(tmp_path / "k4", SHORT, "model.components=4", "toyband.instruments=tuba,flute", form="json")
    return [tmp_path / "k32", tmp_path / "k4"]


def test_a_row_holds_what_differs_and_figures_of_one_smoothing(runs):
    long, short = compare_runs(runs)
    assert long["settings"] == {"model.components": 32, "toyband.instruments": []}
    assert short["settings"] == {"model.components": 4, "toyband.instruments": ["tuba", "flute"]}
    # 400 / 20 = 20 steps: two records, for both runs.
    assert long["smoothing_steps"] == short["smoothing_steps"] == 20
    assert long["final_loss"] == pytest.approx((100 / 400 + 100 / 390) / 2) and long["best_loss_step"] == 400
    assert (short["final_loss"], short["best_loss"], short["best_loss_step"]) == (1.5, 1.5, 30)
    assert (long["steps"], long["seconds"], long["mixtures_per_second"]) == (400, 40.0, 10.0)
    assert (long["final_validation_sdr"], long["best_validation_sdr"], long["best_validation_sdr_step"]) == (4, 5, 200)
    assert (long["best_validation_loss"], long["best_validation_loss_step"]) == (0.6, 400)
    assert short["mixtures_per_second"] is short["best_validation_sdr"] is short["final_validation_loss"] is None
    assert json.loads(json.dumps([long, short], allow_nan=False))[0]["run"] == "k32"


def test_the_table_says_what_is_known(runs):
    table = comparison_table(compare_runs(runs))
    assert re.search(r"^k32 +400 +40 +10 +0\.2532 +0\.2532 +4\.00 +5\.00 +200$", table, re.M)
    assert re.search(r"^k4 +30 +3 +– +1\.5000 +1\.5000 +– +– +–$", table, re.M)
    assert re.search(r"^  toyband\.instruments +\(not set\) \| tuba,flute$", table, re.M)
    assert "mean over 20 steps" in table
    assert "learning_rate" not in table and "different losses" not in table
    assert "no setting is known to differ" in comparison_table(compare_runs(runs[:1]))


def test_smoothing_is_the_mean_of_the_records_within_the_last_steps():
    steps, values = np.array([10, 20, 30, 45, 50]), np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    by_hand = [np.mean([v for s, v in zip(steps, values, strict=True) if step - 20 < s <= step]) for step in steps]
    np.testing.assert_allclose(_smoothed(steps, values, 20), by_hand)
    np.testing.assert_allclose(_smoothed(steps, values, 1), values)


def test_a_run_may_be_a_folder_a_file_or_a_history_and_its_name_tells_it_from_others(runs, tmp_path):
    files = [runs[0] / "history.jsonl", runs[1] / "history.json"]
    assert compare_runs(files) == compare_runs(runs)
    rows = compare_runs({"mine": SHORT, "kept": runs[0]})
    assert [(row["run"], row["settings"]) for row in rows] == [("mine", None), ("kept", {})]
    twin = write_run(tmp_path / "other" / "k32", SHORT, "training.seed=1", data="music.csv")
    rows = compare_runs([runs[0], twin])
    assert [row["run"] for row in rows] == [f"{tmp_path.name}/k32", "other/k32"]
    assert rows[1]["settings"] == {"data": "music.csv", "training.seed": 1}


def test_a_run_without_a_model_yet_tells_what_was_asked_for(runs, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    (new / "history.jsonl").write_text(json.dumps(SHORT[0]))
    (new / "run.json").write_text(json.dumps({"data": "toyband", "config": to_dict(preset("tiny"))}))
    settings = [row["settings"] for row in compare_runs([new, runs[1]])]
    assert settings[0] == {"model.components": 32, "toyband.instruments": []}  # and nothing about the precision


def test_the_legend_names_settings_and_nobody_needs_colours(runs):
    figure = plot_comparison(runs)
    loss, over_time, sdr, _ = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "model.components=32, toyband.instruments=(not set)",
        "model.components=4, toyband.instruments=tuba,flute",
    ]
    curves = [line for line in loss.lines if line.get_linestyle() != "None"]
    assert len({line.get_linestyle() for line in curves}) == len({line.get_color() for line in curves}) == 2
    assert "mean over 20 steps" in loss.get_ylabel() and "held-out" in loss.get_ylabel()
    np.testing.assert_allclose(curves[1].get_ydata(), [3.0, 2.0, 1.5])
    np.testing.assert_allclose(over_time.lines[0].get_xdata(), [one["seconds"] for one in LONG])
    assert list(sdr.lines[0].get_xdata()) == [200, 400] and list(sdr.lines[0].get_ydata()) == [5.0, 4.0]
    assert encode_figure(figure, "png")[:4] == b"\x89PNG"


def test_different_losses_are_drawn_in_shares_of_their_first_value(tmp_path):
    write_run(tmp_path / "bce", SHORT)
    write_run(tmp_path / "l1", [entry(10, 300.0), entry(20, 150.0)], "loss.kind=l1")
    runs = [tmp_path / "bce", tmp_path / "l1"]
    loss = plot_comparison(runs).axes[0]
    assert "first value" in loss.get_ylabel()
    assert [line.get_ydata()[0] for line in loss.lines[::2]] == [1.0, 1.0] and loss.lines[2].get_ydata()[1] == 0.5
    assert "compare their SDR" in comparison_table(compare_runs(runs))


def test_equal_settings_are_told_apart_by_name_and_recorded_runs_need_no_clock(tmp_path):
    history = [{"step": 1, "loss": 1.0}]
    figure = plot_comparison({"a": history, "$b_1$": history})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "$b_1$"]
    assert len(figure.axes) == 1 and encode_figure(figure)
    many = plot_comparison({str(number): SHORT for number in range(9)}).axes[0].lines[::2]
    assert len({(line.get_color(), str(line.get_linestyle())) for line in many}) == 9


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda folder: [folder / "none"], "no such history"),
        (lambda folder: [], "no run to compare"),
        (lambda folder: "k32", "give a list"),
        (lambda folder: {"new": []}, "new: has no record yet"),
        (lambda folder: [folder / "k32", folder / "k32" / "history.jsonl"], "named twice"),
    ],
)
def test_mistakes_are_one_line(runs, tmp_path, found, said):
    with pytest.raises(SopeduError, match=said) as error:
        compare_runs(found(tmp_path))
    assert "\n" not in str(error.value)


def test_a_damaged_configuration_and_a_strange_picture_name_are_said(runs, tmp_path):
    (runs[0] / "checkpoint" / "config.json").write_text("[]")
    with pytest.raises(SopeduError, match="config.json: not readable as a configuration"):
        compare_runs(runs)
    with pytest.raises(SopeduError, match=r"as \.png or \.webp"):
        save_figure(tmp_path / "curves.xls", plot_comparison(runs[1:]))


def test_the_command_line_compares(runs, tmp_path, monkeypatch, capsys):
    from sopedu.cli import commands as cli

    plot, figures = tmp_path / "new" / "curves.png", tmp_path / "figures.json"
    words = ["sopedu", "compare", *map(str, runs), "--plot", str(plot), "--json", str(figures)]
    monkeypatch.setattr("sys.argv", words)
    cli.main()
    assert comparison_table(compare_runs(runs)) in capsys.readouterr().out
    assert json.loads(figures.read_text()) == {"runs": compare_runs(runs)} and plot.read_bytes()[:4] == b"\x89PNG"
