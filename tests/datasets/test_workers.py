"""Processes that die: nothing is lost and nothing is done twice."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from threading import Event

import pytest
from filming import contents, write_clapper

from sopedu.datasets import converting, workers
from sopedu.datasets.converting import ClipJob, crashed_clip
from sopedu.datasets.ledger import Row, read_log
from sopedu.datasets.preparing import prepare
from sopedu.datasets.workers import Workers
from sopedu.errors import SopeduError
from sopedu.video import time_limit


def jobs(count: int, out="unused"):
    return (ClipJob(__file__, out, Row(str(number), "flute", ""), seconds=float(number)) for number in range(count))


def deadly(job: ClipJob) -> Row:
    """Stands for the converter: clip 3 kills the process that works on it, as a decoder with a fault may."""
    if job.row.id == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    return Row(job.row.id, "flute", "ok")


def quick(job: ClipJob) -> Row:
    return Row(job.row.id, "flute", "ok")


def test_a_clip_that_kills_its_process_is_told_and_all_others_are_done_once():
    with Workers(deadly, crashed_clip, 2) as pool:
        rows = list(pool.results(jobs(9)))
    assert sorted((row.id, row.state) for row in rows) == [
        (str(number), "crashed" if number == 3 else "ok") for number in range(9)
    ]


def hanging(job: ClipJob) -> Row:
    """Stands for a decoder that never comes back from one film."""
    time_limit._GRACE_SECONDS, workers._LOOK_SECONDS = 0.0, 0.01
    if job.row.id == "3":
        converting.probe = lambda path: Event().wait()
        job = replace(job, time_limit=0.01)
    return converting.prepare_clip(job)


def test_a_decoder_that_hangs_ends_with_its_process_and_its_clip_fails(tmp_path):
    with Workers(hanging, crashed_clip, 2) as pool:
        rows = {row.id: row for row in pool.results(jobs(5, str(tmp_path)))}
    assert {key: row.state for key, row in rows.items()} == dict.fromkeys("0124", "damaged") | {"3": "failed"}
    assert "hung" in rows["3"].reason and contents(tmp_path) == {}


def test_only_some_clips_are_under_way_at_a_time():
    asked = []
    with ThreadPoolExecutor(2) as executor, Workers(quick, crashed_clip, 2, executor) as pool:
        for number, _ in enumerate(pool.results(asked.append(job) or job for job in jobs(100))):
            assert len(asked) <= number + 1 + 4 * 2 + 2
    assert len(asked) == 100


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_gives_the_same_bytes(tmp_path, kind):
    for name in "abc":
        (tmp_path / "films" / "flute").mkdir(parents=True, exist_ok=True)
        write_clapper(tmp_path / "films" / "flute" / f"{name}.mp4", 1.2)
    prepare(tmp_path / "films", tmp_path / "here", jobs=0, progress=False)
    how = {"mp_context": __import__("multiprocessing").get_context("spawn")} if kind is ProcessPoolExecutor else {}
    with kind(1, **how) as executor:
        prepare(tmp_path / "films", tmp_path / "there", executor=executor, progress=False)
        assert executor.submit(int, 3).result() == 3  # it stays open
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


class Failing(Executor):
    """An executor whose work ends in an error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def submit(self, function, /, *arguments, **named):
        future: Future = Future()
        future.set_exception(self.error)
        return future


def test_a_broken_executor_is_said_and_what_a_cluster_gave_up_is_a_state(tmp_path):
    with (
        Workers(deadly, crashed_clip, 1, Failing(BrokenProcessPool("gone"))) as pool,
        pytest.raises(SopeduError, match="lost its processes"),
    ):
        list(pool.results(jobs(2)))
    with Workers(deadly, crashed_clip, 1, Failing(RuntimeError("tried on 4 workers, all died"))) as pool:
        assert [row.state for row in pool.results(jobs(2))] == ["crashed", "crashed"]
    with (
        Workers(deadly, crashed_clip, 1, Failing(SopeduError("disk full"))) as pool,
        pytest.raises(SopeduError, match="disk full"),
    ):
        list(pool.results(jobs(2)))


def test_a_cluster_that_loses_a_worker_loses_no_clip_and_does_none_twice(tmp_path):
    """Dask's own cluster of two workers; one is killed while it works."""
    from distributed import Client, LocalCluster

    (tmp_path / "films" / "flute").mkdir(parents=True)
    for number in range(8):
        write_clapper(tmp_path / "films" / "flute" / f"{number}.mp4", 1.2)
    prepare(tmp_path / "films", tmp_path / "here", jobs=0, progress=False)
    with (
        LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        client.get_executor() as executor,
    ):
        first = cluster.workers[0].pid
        # The first worker kills itself as soon as its turn comes; clips that it holds go to the other one.
        client.submit(os.kill, first, signal.SIGKILL, workers=[cluster.workers[0].worker_address], pure=False)
        done = prepare(tmp_path / "films", tmp_path / "there", executor=executor, progress=False)
    assert done.states == {"ok": 8}
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    assert len(list(read_log(tmp_path / "there" / "clips.csv"))) == 8
