"""Sweeps: the same after kill -9 as without, results as evaluate finds them, nothing overwritten, failures named."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sweeping import GRID, TINY, the_plan

from sopedu.config import with_values
from sopedu.errors import SopeduError
from sopedu.evaluation.separation import evaluate
from sopedu.experiments.plan import read_plan, read_result, read_results, write_plan
from sopedu.experiments.sweep import prepare_data, resume_sweep, run_sweep
from sopedu.experiments.worker import answer, train_and_score
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training.resume import newest_step

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["sopedu.experiments.worker", "sopedu.experiments.sweep"])


@pytest.fixture(scope="module", autouse=True)
def clips_are_rendered_here(one_thread, own_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sopedu.machine.os.sched_getaffinity", lambda _: {0}, raising=False)
        yield


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
