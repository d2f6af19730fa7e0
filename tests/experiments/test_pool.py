"""The processes of a sweep: failures, budgets and Ctrl-C, with workers that answer at once."""

from __future__ import annotations

import itertools
import queue
import time

import pytest
from sweeping import TINY, the_plan

from sopedu.errors import SopeduError
from sopedu.experiments import pool as sweep_pool
from sopedu.experiments.pool import SweepPool, estimated_seconds
from sopedu.experiments.sweep import plan_sweep


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
