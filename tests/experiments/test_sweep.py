"""Sweeps: every combination once, the same after kill -9, failures and budgets said, tables that can be checked."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import queue
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.evaluation.separation import evaluate
from sopedu.experiments import pool as sweep_pool
from sopedu.experiments.grid import axes_of, combined, parse_axis, runs_of
from sopedu.experiments.plan import read_plan, read_result, read_results, write_plan
from sopedu.experiments.pool import SweepPool, estimated_seconds, spoken
from sopedu.experiments.sweep import plan_sweep, prepare_data, resume_sweep, run_sweep
from sopedu.experiments.worker import answer, train_and_score
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training.resume import newest_step

VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
toyband.solos=12 toyband.empty_scenes=2 toyband.instruments=violin,tuba,xylophone training.steps=30
training.batch_size=4 training.precision=float32 training.save_every=3"""
TINY = with_values(preset("tiny"), VALUES.split())
GRID = ["model.components=2,4"]
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["sopedu.experiments.worker", "sopedu.experiments.sweep"])


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_an_own_cache(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOPEDU_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("sopedu.machine.os.sched_getaffinity", lambda _: {0}, raising=False)  # clips are rendered here
        yield
    torch.set_num_threads(threads)


def the_plan(grid=GRID, seeds=(0, 1)):
    return plan_sweep(TINY, grid, seeds, pairs=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A sweep that was never interrupted, worked on in this process."""
    out, plan = tmp_path_factory.mktemp("sweeps") / "whole", the_plan()
    write_plan(out, plan)
    (out / "logs").mkdir()
    prepare_data(plan, plan.runs)
    for run in plan.runs:
        assert answer(out, plan, run.name) == {"run": run.name, "state": "done"}
    return out


def test_an_axis_varies_a_field_or_fields_that_belong_together():
    assert parse_axis("model.components=4,16") == [{"model.components": "4"}, {"model.components": "16"}]
    linked = parse_axis("loss.target=binary+loss.kind=bce,loss.target=ratio+loss.kind=l1")
    assert linked == [{"loss.target": "binary", "loss.kind": "bce"}, {"loss.target": "ratio", "loss.kind": "l1"}]
    lists = parse_axis("model.audio_channels=[8,16,32],[12,24,48]")
    assert lists == [{"model.audio_channels": "8,16,32"}, {"model.audio_channels": "12,24,48"}]
    assert with_values(TINY, ["model.audio_channels=8,16,32"]).model.audio_channels == (8, 16, 32)
    assert parse_axis("training.weight_decay=1e+0,2e-1") == [
        {"training.weight_decay": "1e+0"},
        {"training.weight_decay": "2e-1"},
    ]


@pytest.mark.parametrize("text", ["", "4,8", "model.components", "model.components=", "a.b=1+c.d=2,3", "a.b=1,,2"])
def test_what_is_no_axis_is_refused_in_one_line(text):
    with pytest.raises(SopeduError, match="--grid .*write field=value"):
        parse_axis(text)


def test_a_grid_is_every_combination_and_a_part_of_a_sweep_has_every_setting():
    axes = axes_of({"model.components": (2, 4), "loss.weighted": (True, False)})
    assert axes == axes_of(["model.components=2,4", [{"loss.weighted": True}, {"loss.weighted": "false"}]])
    runs = runs_of(TINY, combined(axes), (0, 3))
    assert [run.name for run in runs[:4]] == [
        "components-2_weighted-true_seed-0",
        "components-2_weighted-false_seed-0",
        "components-4_weighted-true_seed-0",
        "components-4_weighted-false_seed-0",
    ]
    assert len(runs) == 8 and {run.seed for run in runs[4:]} == {3}
    for run in runs:
        values = [f"{field}={value}" for field, value in run.values.items()]
        assert run.config == with_values(TINY, [*values, f"training.seed={run.seed}"])


def test_fields_of_one_name_are_told_apart_and_lists_make_readable_names():
    axes = axes_of(["spectrogram.samples=32767,16383", "model.audio_channels=[8,16,32],[4,4,4]"])
    assert runs_of(TINY, combined(axes), (0,))[0].name == "samples-32767_audio-channels-8-16-32_seed-0"
    both = runs_of(TINY, [{"training.learning_rate": "0.1", "model.pooling": "max"}], (1,))
    assert both[0].name == "learning-rate-0.1_pooling-max_seed-1"


@pytest.mark.parametrize(
    ("grid", "seeds", "message"),
    [
        (["model.components=2,2"], (0,), "would train components-2_seed-0 twice"),
        (["model.components=2", "model.components=4"], (0,), "varies model.components on two axes"),
        (["training.seed=1,2"], (0,), "give seeds by --seeds"),
        (["model.nothing=1"], (0,), "cannot set 'model.nothing=1'"),
        (["loss.kind=l3"], (0,), "loss.kind must be one of"),
        (GRID, (), "at least one seed"),
        (GRID, (1, 1), "each only once"),
        ({"model.components": ()}, (0,), "an axis without values"),
        ("model.components=2", (0,), "a grid is a list of axes"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_is_written(tmp_path, grid, seeds, message):
    with pytest.raises(SopeduError, match=message):
        run_sweep(tmp_path / "sweep", TINY, grid, seeds)
    assert not (tmp_path / "sweep").exists()


def test_the_mean_over_the_pairs_is_what_evaluate_finds(whole):
    for result in read_results(whole)[:2]:
        figures = evaluate(whole / result.run.name, pairs=3, dictionaries=False)
        assert result.mean("sdr") == pytest.approx(figures["sdr"], abs=1e-3)
        assert result.mean("sdr_swapped") == pytest.approx(figures["sdr_swapped"], abs=1e-3)
        assert result.mean("sdr_mixture") == pytest.approx(figures["sdr_mixture"], abs=1e-3)
        for leak in ("leak_blank", "leak_absent"):
            assert result.mean(leak) == pytest.approx(figures[leak], abs=1e-3)
        written = json.loads((whole / result.run.name / "results.json").read_text())
        assert written["figures"]["sdr"] == pytest.approx(result.mean("sdr"), abs=1e-3)
        assert (written["seed"], written["steps"], written["values"]) == (0, 30, result.run.values)


def sweep_elsewhere(out: Path, cache: str) -> None:
    """What a process does that will be killed together with its workers."""
    os.setpgid(0, 0)
    os.environ["SOPEDU_CACHE"] = cache
    run_sweep(out, plan=the_plan(), processes=1, say=lambda _: None)


def test_a_sweep_that_is_killed_in_a_run_gives_the_same_results_as_one_that_never_was(tmp_path, whole):
    out, deadline = tmp_path / "sweep", time.monotonic() + 120
    child = processes.Process(target=sweep_elsewhere, args=(out, os.environ["SOPEDU_CACHE"]), daemon=False)
    child.start()
    second = out / the_plan().runs[1].name / "resume"
    while newest_step(second) < 6:  # the first run is finished, the second is under way
        assert child.is_alive() and time.monotonic() < deadline
        child.join(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.join()
    first = out / the_plan().runs[0].name / "results.json"
    written = first.stat().st_mtime_ns
    said = []
    swept = resume_sweep(out, processes=1, say=said.append)
    assert (swept.failed, swept.left, swept.interrupted) == ({}, [], False)
    assert first.stat().st_mtime_ns == written  # a finished run is not repeated
    assert "of 4 runs to train" in said[0] and not said[0].startswith("4 ")
    for ours, theirs in zip(swept.results, read_results(whole), strict=True):
        assert ours.run == theirs.run
        for score, values in theirs.scores.items():
            np.testing.assert_array_equal(ours.scores[score], values)
        models = (load_checkpoint(place / ours.run.name).model.state_dict() for place in (out, whole))
        ours_weights, weights = models
        assert all(torch.equal(ours_weights[name], value) for name, value in weights.items())


def test_a_finished_sweep_has_nothing_to_do_and_may_get_more_seeds(whole):
    said = []
    swept = run_sweep(whole, TINY, GRID, (0, 1), pairs=3, say=said.append)
    assert said == ["all 4 runs are finished"] and len(swept.results) == 4
    more = the_plan(seeds=(0, 1, 2))
    write_plan(whole, more)
    assert [run.name for run in read_plan(whole).runs if read_result(whole, run) is None] == [
        "components-2_seed-2",
        "components-4_seed-2",
    ]
    with pytest.raises(SopeduError, match="holds a sweep with a run components-2_seed-2; keep it in the grid"):
        write_plan(whole, the_plan())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": 4}, "holds a sweep with pairs 3, not 4"),
        ({"evaluation_seeds": (0, 1)}, "holds a sweep with evaluation_seeds"),
        ({"config": with_values(TINY, ["training.steps=31"])}, "components-2_seed-0 had other settings"),
    ],
)
def test_another_sweep_does_not_get_into_the_same_folder(whole, changes, message):
    asked = {"config": TINY, "grid": GRID, "seeds": (0, 1, 2), "pairs": 3} | changes
    with pytest.raises(SopeduError, match=message):
        run_sweep(whole, **asked)


def test_a_folder_of_something_else_stays_as_it_is(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SopeduError, match="already exists and is not an empty folder"):
        run_sweep(tmp_path, TINY, GRID)
    with pytest.raises(SopeduError, match="there is no sweep; begin one with --grid"):
        resume_sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_damaged_result_is_named(tmp_path):
    write_plan(tmp_path, the_plan())
    run = the_plan().runs[0]
    (tmp_path / run.name).mkdir()
    (tmp_path / run.name / "results.json").write_text("{")
    with pytest.raises(SopeduError, match=f"{run.name}/results.json: not readable as results"):
        read_results(tmp_path)


def test_a_run_that_fails_says_why_and_the_others_go_on(tmp_path):
    plan = the_plan(["training.learning_rate=1e9,0.001"], (0,))
    write_plan(tmp_path, plan)
    (tmp_path / "logs").mkdir()
    bad, good = (run.name for run in plan.runs)
    failed = answer(tmp_path, plan, bad)
    assert failed["state"] == "failed" and "the loss was no longer finite at step" in failed["reason"]
    assert "\n" not in failed["reason"]
    assert answer(tmp_path, plan, good)["state"] == "done"
    assert [result.run.name for result in read_results(tmp_path)] == [good]
    assert train_and_score(tmp_path, plan, good)  # it stays as it is


class FakeWorker:
    """A worker whose answers come at once: done, failed, or the end of its process."""

    fates: dict[str, str] = {}
    made: list[FakeWorker] = []

    def __init__(self, out, answers: queue.Queue) -> None:
        self.out, self.answers, self.run, self.began = out, answers, None, time.monotonic()
        self.process = self
        self.returncode, self.ended = -9, False
        FakeWorker.made.append(self)

    def begin(self, run) -> None:
        self.run, self.began = run, time.monotonic()
        fate = self.fates.get(run.name, "done")
        if fate == "interrupt":
            raise KeyboardInterrupt
        self.answers.put((self, {"state": "ready"}))
        states = {"done": {"state": "done"}, "failed": {"state": "failed", "reason": "no clips"}}
        self.answers.put((self, states.get(fate)))

    def end(self, deadline: float) -> None:
        self.ended = True

    def terminate(self) -> None:
        self.returncode = -15


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """A pool with fake workers whose runs have results of 5 dB, and what it says."""
    monkeypatch.setattr(sweep_pool, "_Worker", FakeWorker)
    monkeypatch.setattr(sweep_pool, "estimated_seconds", lambda plan, runs: {run.name: 10.0 for run in runs})
    result = type("Result", (), {"mean": lambda self, score: 5.0})()
    monkeypatch.setattr(sweep_pool, "read_result", lambda out, run: result)
    FakeWorker.fates, FakeWorker.made = {}, []
    plan, said = the_plan(), []

    def make(budget=None, processes=2, **fates) -> SweepPool:
        FakeWorker.fates = {plan.runs[int(number[1:])].name: fate for number, fate in fates.items()}
        return SweepPool(tmp_path, plan, plan.runs, processes, budget, said.append)

    return make, plan, said


def test_failures_are_listed_and_a_dead_process_is_replaced(pool):
    make, plan, said = pool
    swept = make(r0="failed", r1="dead")
    swept.announce()
    swept.work()
    names = [run.name for run in plan.runs]
    assert set(swept.failed) == set(names[:2]) and swept.failed[names[0]].startswith("no clips (")
    assert swept.failed[names[1]] == "its process was ended by signal 9, perhaps for want of memory"
    assert said[0].startswith("4 of 4 runs to train, about 10 s each on one core, 2 at a time: about 26 s")
    assert sum(line.startswith("failed: ") for line in said) == 2
    assert [line for line in said if "SDR 5.00 dB" in line][-1].endswith("that was the last")
    assert len(FakeWorker.made) == 3 and all(worker.ended for worker in FakeWorker.made)


def test_no_run_begins_that_would_end_after_the_budget(pool, monkeypatch):
    make, plan, said = pool
    swept = make(budget=25.0, processes=1)
    swept.announce()
    assert "the budget of 25 s is too short for all" in said[1]
    clock = itertools.count(0.0, 4.0)
    swept.began = 0.0
    monkeypatch.setattr(sweep_pool.time, "monotonic", lambda: next(clock))
    swept.work()
    # The fake clock moves on by 4 s with every look at it, so not all four runs fit.
    assert 1 <= swept.finished < 4 and len(swept.waiting) == 4 - swept.finished
    with pytest.raises(SopeduError, match="the budget of 5 s is too short for one run, which takes about 16 s"):
        make(budget=5.0).announce()


def test_ctrl_c_ends_all_processes_and_keeps_what_is_finished(pool):
    make, plan, _ = pool
    swept = make(processes=1, r2="interrupt")
    swept.work()
    assert swept.interrupted and swept.finished == 2 and all(worker.ended for worker in FakeWorker.made)


def test_an_estimate_grows_with_steps_and_pairs():
    plan = plan_sweep(TINY, ["training.steps=10,1000"], pairs=2)
    few, many = estimated_seconds(plan, plan.runs).values()
    assert many > few > 0
    assert [spoken(seconds) for seconds in (3, 600, 7200, 200_000)] == ["3 s", "10 min", "2.0 h", "2 days"]
