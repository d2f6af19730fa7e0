"""Resuming: a killed run goes on bit for bit, and no crash while saving costs more than the newest state."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from sopedu import files, folders
from sopedu.config import preset, to_dict, with_values
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training import resume as resuming
from sopedu.training.callbacks import read_history
from sopedu.training.resume import State, load_state, save_state
from sopedu.training.run import Callback
from sopedu.training.run_folder import requested, train_run

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0.25
mixing.pasted_share=0.5 training.average_decay=0.9 training.steps=40 training.batch_size=4
training.precision=float32 training.save_every=3 training.validate_every=20"""
TINY = with_values(preset("tiny"), VALUES.split())
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["sopedu.training.run_folder"])


@pytest.fixture(scope="module", autouse=True)
def one_thread_in_all_processes(one_thread, own_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # with more threads sums are added in an order that may change
        yield


def work(folder: Path, resume: bool, workers: int, cache: str) -> None:
    """What a child process does; ``resume`` only if there is something to resume from."""
    os.environ["SOPEDU_CACHE"] = cache
    multiprocessing.set_start_method("fork", force=True)  # of the loader's workers, not another server
    torch.set_num_threads(1)
    config = with_values(TINY, [f"training.workers={workers}"])
    train_run(folder, config, resume=resume, validation_pairs=4, say=lambda _: None)


def losses(folder: Path) -> list[tuple]:
    return [tuple(entry.get(key) for key in ("step", "loss", "validation_sdr")) for entry in read_history(folder)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    work(folder, False, 0, os.environ["SOPEDU_CACHE"])
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_killed_again_and_again_is_the_same_run_bit_for_bit(tmp_path, uninterrupted, workers):
    folder, generator, killed = tmp_path / "run", np.random.default_rng(workers), 0
    states = folder / "resume"
    while True:
        before = int(newest(states))
        child = processes.Process(
            target=work, args=(folder, states.exists(), workers, os.environ["SOPEDU_CACHE"]), daemon=False
        )
        child.start()
        wait = float(generator.uniform(0, 0.3))
        while killed < 3 and child.is_alive():  # at a random moment after one more state was written
            child.join(0.005)
            if int(newest(states)) > before:
                child.join(wait)
                child.kill()
                killed += 1
                break
        child.join(120)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert killed == 3
    assert losses(folder) == losses(uninterrupted)
    ours, theirs = (load_checkpoint(place / "checkpoint").model.state_dict() for place in (folder, uninterrupted))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    whole = load_checkpoint(uninterrupted / "best").trained_on
    assert load_checkpoint(folder / "best").trained_on["steps"] == whole["steps"]


def newest(states: Path) -> str:
    return (states / "latest").read_text() if (states / "latest").exists() else "0"


def a_state(step: int) -> State:
    return State(step, {"weight": torch.full((3,), float(step))}, {"note": f"step {step}"})


def test_a_state_comes_back_as_it_was(tmp_path):
    tensors = {"a": torch.randn(4, 5).to(memory_format=torch.contiguous_format), "b": torch.tensor(3)}
    values = {"losses": [0.1 + 0.2, 1e-30], "history": [{"step": 1, "loss": 1 / 3}]}
    save_state(tmp_path, State(7, tensors, values))
    state, notes = load_state(tmp_path)
    assert (state.step, notes) == (7, [])
    assert {name: state.values[name] for name in values} == values
    assert all(torch.equal(state.tensors[name], tensors[name]) for name in tensors)


def test_only_the_newest_stay(tmp_path):
    for step in (3, 6, 9, 12):
        save_state(tmp_path, a_state(step), keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000006", "000000009", "000000012", "latest"]


class Crash(BaseException):
    """The power fails."""


@pytest.mark.parametrize("moment", range(14))
def test_whenever_the_power_fails_the_state_before_is_whole(tmp_path, monkeypatch, moment):
    save_state(tmp_path, a_state(3))
    calls = iter(range(100))

    def failing(work):
        def wrapped(*arguments, **others):
            if next(calls) == moment:
                raise Crash
            return work(*arguments, **others)

        return wrapped

    # A crash sweeps nothing up: what tidies after errors must not help.
    monkeypatch.setattr(folders.shutil, "rmtree", failing(lambda *a, **o: None))
    for owner, name in ((resuming, "write_tensors"), (folders, "sync"), (files.os, "replace"), (Path, "rename")):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
    try:
        save_state(tmp_path, a_state(6))
        finished = True
    except Crash:
        finished = False
    monkeypatch.undo()
    state, _ = load_state(tmp_path)
    assert state.step in (3, 6) and state.values["note"] == f"step {state.step}"
    assert state.step == 6 or not finished
    save_state(tmp_path, a_state(9))  # what the crash left is no obstacle
    assert load_state(tmp_path)[0].step == 9


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("how", ["cut", "one bit", "gone"])
def test_a_damaged_state_is_noticed_and_the_one_before_is_used(tmp_path, name, how):
    for step in (3, 6):
        save_state(tmp_path, a_state(step))
    file = tmp_path / "000000006" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(bytes(content if how == "one bit" else content[: len(content) // 2]))
    state, notes = load_state(tmp_path)
    assert state.step == 3
    assert len(notes) == 1 and "000000006: damaged (" in notes[0]
    shutil.rmtree(tmp_path / "000000003")
    with pytest.raises(SopeduError, match=r"all 1 states are damaged; start anew"):
        load_state(tmp_path)


def test_a_full_disk_is_an_error_that_leaves_the_state_before(tmp_path, monkeypatch):
    save_state(tmp_path, a_state(3))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resuming, "write_tensors", full)
    with pytest.raises(SopeduError, match="cannot be written .No space left on device.; free some space"):
        save_state(tmp_path, a_state(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000003", "latest"]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("training.learning_rate=0.5", "training.learning_rate was 0.003, is 0.5"),
        ("model.components=4", "model.components was 8, is 4"),
        ("toyband.solos=27", "toyband.solos was 24, is 27"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, uninterrupted, change, difference):
    shutil.copytree(uninterrupted, tmp_path / "run")
    with pytest.raises(SopeduError, match=f"cannot resume with other settings: .*{difference}"):
        train_run(tmp_path / "run", with_values(TINY, [change]), resume=True, say=lambda _: None)


def test_a_finished_run_resumes_to_nothing_more_to_do(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted, tmp_path / "run")
    run = train_run(tmp_path / "run", resume=True, say=lambda _: None)
    assert run.step == run.steps == 40
    assert losses(tmp_path / "run") == losses(uninterrupted)


class Tell(Callback):
    """Sends the process a signal at a step, as an operator or a cluster's scheduler would."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_record(self, run):
        if run.step == 10:
            os.kill(os.getpid(), self.number)


class StopAt(Callback):
    """Ends a run after a step, as a user does in a notebook."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_record(self, run):
        run.stop = run.step >= self.step


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_and_it_can_go_on(tmp_path, uninterrupted, number):
    before = signal.getsignal(number)
    run = train_run(
        tmp_path / "run", with_values(TINY, ["training.save_every=1000"]), validation_pairs=4,
        callbacks=[Tell(number)], say=lambda _: None,
    )  # fmt: skip
    assert (run.step, run.stop, run.terminated) == (10, True, number == signal.SIGTERM)
    assert signal.getsignal(number) is before
    assert newest(tmp_path / "run" / "resume") == "000000010"
    train_run(tmp_path / "run", resume=True, validation_pairs=4, say=lambda _: None)
    assert losses(tmp_path / "run") == losses(uninterrupted)


def test_two_runs_in_one_folder_are_refused(tmp_path):
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(SopeduError, match="another training is writing there"):
        (tmp_path / "run" / "run.json").write_text(json.dumps({"config": to_dict(TINY), "data": "toyband"}))
        train_run(tmp_path / "run", TINY, resume=True)


def test_fine_tuning_begins_with_the_weights_of_a_checkpoint(tmp_path, uninterrupted):
    config = with_values(TINY, ["training.steps=1", "training.learning_rate=0", "training.frame_learning_rate=0",
                                "training.average_decay=0", "training.weight_decay=0"])  # fmt: skip
    run = train_run(tmp_path / "tuned", config, start_from=uninterrupted / "checkpoint", say=lambda _: None)
    start = dict(load_checkpoint(uninterrupted / "checkpoint").model.named_parameters())
    assert all(torch.equal(value.cpu(), start[name]) for name, value in run.model.named_parameters())
    with pytest.raises(SopeduError, match="most of its weights do not fit this model .*take its preset and sizes"):
        other = with_values(config, ["model.audio_channels=4,4,4", "model.frame_width=4"])
        train_run(tmp_path / "other", other, start_from=uninterrupted / "checkpoint")
    with pytest.raises(SopeduError, match="no parameter begins with 'ears'"):
        train_run(tmp_path / "other", with_values(config, ["training.freeze=ears"]), say=lambda _: None)
    assert not (tmp_path / "other").exists()


def test_memory_that_does_not_suffice_names_the_batch_that_fits(tmp_path, monkeypatch):
    from sopedu.training import loop as training

    whole = training.mixture_loss

    def hungry(net, waveforms, *others):
        if len(waveforms) > 1:
            raise torch.OutOfMemoryError("too much")
        return whole(net, waveforms, *others)

    def hungry_above_two(net, waveforms, *others):
        if len(waveforms) > 2:
            raise torch.OutOfMemoryError("too much")
        return whole(net, waveforms, *others)

    for module in (training, training.out_of_memory):
        monkeypatch.setattr(module, "mixture_loss", hungry_above_two)
    with pytest.raises(SopeduError, match=r"out of memory at step 1: a batch of 2 fits .--set training.batch_size=2."):
        train_run(tmp_path / "run", TINY, say=lambda _: None)
    for module in (training, training.out_of_memory):
        monkeypatch.setattr(module, "mixture_loss", hungry)
    with pytest.raises(SopeduError, match="no smaller batch fits"):
        train_run(tmp_path / "again", TINY, say=lambda _: None)


def test_a_loss_that_is_not_a_number_spoils_no_state(tmp_path, monkeypatch):
    from sopedu.training import loop as training

    whole, steps = training.mixture_loss, iter(range(100))

    def broken(*arguments):
        loss, mixtures = whole(*arguments)
        return loss * (torch.nan if next(steps) == 4 else 1), mixtures

    monkeypatch.setattr(training, "mixture_loss", broken)
    with pytest.raises(SopeduError, match="the loss was no longer finite at step 5"):
        train_run(tmp_path / "run", with_values(TINY, ["training.validate_every=0"]), say=lambda _: None)
    assert load_state(tmp_path / "run" / "resume")[0].step == 3  # states of steps 6 and 9 were due before the record


def test_a_run_killed_before_its_first_state_begins_anew_when_it_is_resumed(tmp_path, uninterrupted):
    (tmp_path / "run").mkdir()
    shutil.copy(uninterrupted / "run.json", tmp_path / "run")
    (tmp_path / "run" / "resume").mkdir()  # killed while the first state was written
    (tmp_path / "run" / "resume" / ".000000003.unfinished").mkdir()
    with pytest.raises(SopeduError, match="already exists and holds a run; go on with it by --resume"):
        train_run(tmp_path / "run", TINY, say=lambda _: None)
    said = list[str]()
    assert train_run(tmp_path / "run", resume=True, say=said.append).step == 40
    assert losses(tmp_path / "run") == losses(uninterrupted)
    assert any("ended before its first state was written, so it begins at step 0" in line for line in said)


def test_what_a_run_leaves_that_was_killed_before_it_began_is_no_obstacle(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", ".run.0123abcd.json"):
        (tmp_path / "run" / name).touch()
    config = with_values(TINY, ["training.steps=1", "training.validate_every=0"])
    assert train_run(tmp_path / "run", config, say=lambda _: None).step == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(SopeduError, match="already exists and is not an empty folder"):
        train_run(tmp_path / "other", config)


def test_what_was_asked_for_holds_when_a_run_is_resumed(tmp_path):
    config = with_values(TINY, ["training.steps=20", "training.validate_every=10"])
    begun = train_run(tmp_path / "run", config, validation_pairs=5, keep=1, say=lambda _: None, callbacks=[StopAt(10)])
    assert begun.step == 10
    with pytest.raises(SopeduError, match="cannot resume with another validation_pairs: it was 5, is 4; leave it out"):
        train_run(tmp_path / "run", resume=True, validation_pairs=4)
    with pytest.raises(SopeduError, match="cannot resume with another data: it was 'toyband', is 'x.csv'"):
        train_run(tmp_path / "run", resume=True, data="x.csv")
    train_run(tmp_path / "run", resume=True, say=lambda _: None)
    train_run(tmp_path / "whole", config, validation_pairs=5, say=lambda _: None)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "run" / "resume").iterdir()) == ["000000020", "latest"]
    asked = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (asked["validation_pairs"], asked["keep"], asked["tensorboard"]) == (5, 1, False)
    for name in ("validation_pairs", "keep", "tensorboard"):  # as earlier versions wrote it
        del asked[name]
    (tmp_path / "run" / "run.json").write_text(json.dumps(asked))
    assert (requested(tmp_path / "run").validation_pairs, requested(tmp_path / "run").keep) == (32, 2)


@pytest.mark.parametrize("target", ["empty", "missing"])
def test_a_run_may_lie_behind_a_link(tmp_path, target):
    if target == "empty":
        (tmp_path / target).mkdir()
    (tmp_path / "link").symlink_to(target)
    config = with_values(TINY, ["training.steps=1", "training.validate_every=0"])
    train_run(tmp_path / "link", config, say=lambda _: None)
    assert (tmp_path / target / "checkpoint" / "config.json").is_file() and (tmp_path / "link").is_symlink()


def test_where_the_data_lie_is_kept_with_a_run_and_cannot_change(tmp_path):
    written = {"config": to_dict(preset("tiny")), "data": "far/train.csv", "root": "data", "frame_rate": 25.0}
    files.write_json(tmp_path / "run.json", written)
    request = requested(tmp_path)
    assert (request.root, request.frame_rate) == ("data", 25.0)
    given = dict.fromkeys(("data", "start_from", "heads_of", "validation_pairs", "root", "frame_rate"))
    request.require_same(given | {"root": "data"}, tmp_path)
    for change in ({"root": "."}, {"frame_rate": 8.0}):
        with pytest.raises(SopeduError, match=f"cannot resume with another {next(iter(change))}: it was"):
            request.require_same(given | change, tmp_path)
