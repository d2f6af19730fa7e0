"""The command sweep: from a grid to tables and figures, a failure among the runs, and the way to go on."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from command import sopedu
from PIL import Image
from sweeping import WorkerHere

from sopedu.cli.sweep import parse_duration
from sopedu.errors import SopeduError
from sopedu.experiments import pool as sweep_pool

TRAINING = """model.audio_channels=4,4,4 model.frame_width=4 model.components=4 model.frame_weights=none
training.batch_size=4 training.precision=float32 training.steps=3 toyband.solos=12 toyband.empty_scenes=2
toyband.instruments=violin,tuba,xylophone"""


@pytest.fixture(autouse=True)
def work(tmp_path_factory, monkeypatch):
    """An empty folder, a cache that the tests share, workers in this process, one thread."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    monkeypatch.setenv("SOPEDU_CACHE", str(cache))
    monkeypatch.setattr("sopedu.machine.os.sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(sweep_pool, "_Worker", WorkerHere)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_sweep_ends_in_tables_and_figures_and_lists_the_run_that_failed():
    command = "sweep --out runs/sweep --pairs 2 --evaluation-seeds 0,1 --seeds 0,1 --grid model.components=2,4"
    linked = "--grid training.learning_rate=0.001+loss.kind=l1,training.learning_rate=1e9+loss.kind=l2"
    status, said, err = sopedu(f"{command} {linked} --json rows.json", TRAINING)
    assert status == 1, said + err  # some runs failed
    plan, announced = said.splitlines()[:2]
    assert plan.startswith("plan: train 8 runs on toyband and score each on 4 held-out mixtures, at most 3 steps each")
    assert re.match(
        r"8 of 8 runs to train, about \d+ (to \d+ )?s each on one core, 1 at a time: about \d+ s", announced
    )
    failed = re.findall(r"^failed: (\S+): the loss was no longer finite", said, re.M)
    assert set(failed) == {f"components-{k}_learning-rate-1e9_kind-l2_seed-{s}" for k in (2, 4) for s in (0, 1)}
    assert said.rstrip().splitlines()[-2] == "go on with: sopedu sweep --out runs/sweep --resume"
    rows = list(csv.DictReader(Path("runs/sweep/table.csv").read_text().splitlines()))
    assert [(row["model.components"], row["loss.kind"], row["seeds"], row["pairs"]) for row in rows] == [
        ("2", "l1", "2", "4"),
        ("4", "l1", "2", "4"),
    ]
    figures = json.loads(Path("rows.json").read_text())
    assert set(figures["failed"]) == set(failed) and figures["left"] == []
    for row, figure in zip(rows, figures["rows"], strict=True):
        assert float(row["sdr_mean"]) == pytest.approx(figure["scores"]["sdr"]["mean"], abs=1e-3)
        assert float(row["sdr_low"]) <= float(row["sdr_mean"]) <= float(row["sdr_high"])
    assert "| 2 |" in Path("runs/sweep/table.md").read_text()
    assert r"\begin{tabular}" in Path("runs/sweep/table.tex").read_text()
    with Image.open("runs/sweep/figure_components.png") as picture:
        assert min(picture.size) > 300
    status, again, _ = sopedu("sweep --out runs/sweep --resume")
    assert status == 1 and "4 of 8 runs to train" in again  # what failed is tried again, what is finished stays


def test_a_budget_that_is_too_short_says_what_was_not_run(monkeypatch):
    monkeypatch.setattr(sweep_pool, "estimated_seconds", lambda plan, runs: {run.name: 3600.0 for run in runs})
    command = "sweep --out sweep --grid model.components=2,4 --pairs 2"
    status, _, err = sopedu(f"{command} --budget 30m", TRAINING)
    assert status == 2 and "the budget of 30 min is too short for one run, which takes about 60 min" in err
    status, said, _ = sopedu(f"{command} --budget 61m --processes 1", TRAINING)
    # The first run took less than was estimated, so by its pace there is time for the second.
    assert status == 0 and "too short for all: no run begins that would end later" in said


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("45", 45)]
)
def test_a_duration_may_be_written_in_several_ways(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-3s", "3 weeks", "m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SopeduError, match="write hours, minutes or seconds"):
        parse_duration(text)
