"""Two processes on the CPU, connected by gloo, train as one would; a lost one ends the run, which then goes on."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sopedu.cli import commands as cli
from sopedu.config import Config, preset, to_dict, with_values
from sopedu.data import mixing
from sopedu.data.clips import ToyBandClips
from sopedu.data.opening import open_clips
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training import loop as training
from sopedu.training import setup
from sopedu.training.callbacks import read_history
from sopedu.training.distributed import explain_lost_process
from sopedu.training.loop import train
from sopedu.training.resume import RESUME_STATUS
from sopedu.training.run_folder import train_run
from sopedu.training.validation import Validation

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0.25
mixing.pasted_share=0.5 training.average_decay=0.9 training.steps=30 training.batch_size=4
training.precision=float32 training.save_every=7 training.validate_every=15"""
TINY = with_values(preset("tiny"), VALUES.split())
PLAIN = """mixing.pairing=independent mixing.gain_low=1 mixing.gain_high=1 mixing.absent=0 mixing.silent_share=0
mixing.pasted_share=0 mixing.flip=false mixing.colour_jitter=0 training.optimizer=sgd training.learning_rate=0.1
training.frame_learning_rate=0.1 training.clip_gradient=0 training.average_decay=0 training.batch_size=8
training.steps=3 training.validate_every=1"""
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["sopedu.training.run_folder", "sopedu.cli.commands", "pytest"])


@pytest.fixture(scope="module", autouse=True)
def rendered(one_thread, own_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        ToyBandClips(TINY), ToyBandClips(TINY, "validation", 10)  # rendered here, without starting processes for it
        yield


def one_of_two(rank: int, environment: dict[str, str], said: Path, work: Callable, args: tuple) -> None:
    """What a launcher makes of a child process: one rank of two, whose standard error goes to a file."""
    os.environ.update(environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
    multiprocessing.set_start_method("fork", force=True)  # of what loads clips: else this process's own, which is slow
    os.dup2(os.open(f"{said}-{rank}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
    torch.set_num_threads(1)
    work(rank, *args)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def in_two_processes(folder: Path, work: Callable, *args) -> tuple[list[int], list[str]]:
    """Do work in two connected processes; return their exit statuses and what they said."""
    environment = {name: os.environ[name] for name in ("SOPEDU_CACHE", "ACCELERATE_USE_CPU")}
    environment |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    said = folder / "said"
    pair = [
        processes.Process(target=one_of_two, args=(rank, environment, said, work, args), daemon=False)
        for rank in range(2)
    ]
    for process in pair:
        process.start()
    for process in pair:
        process.join(60)
        if process.is_alive():
            process.kill()
            pytest.fail("a process did not end")
    lines = [Path(f"{said}-{rank}").read_text(errors="replace") for rank in range(2)]
    return [process.exitcode for process in pair], lines


def neighbours(labels: np.ndarray, config, generator) -> tuple[np.ndarray, int]:
    """Pairs (0, 1), (2, 3) … of a process's share."""
    return np.arange(len(labels)).reshape(-1, 2), 0


def neighbours_of_two_shares(labels: np.ndarray, config, generator) -> tuple[np.ndarray, int]:
    """The same pairs where one process has everything: (0, 2), (1, 3), (4, 6), (5, 7) …"""
    return np.arange(len(labels)).reshape(-1, 2, 2).transpose(0, 2, 1).reshape(-1, 2), 0


def gradients_of(pairs: Callable, config: Config) -> tuple[list[dict[str, torch.Tensor]], list[dict]]:
    """Train with fixed pairs and batch normalisation in evaluation mode; the gradients of every step, the history."""
    gradients: list[dict[str, torch.Tensor]] = []
    make = setup.make_optimizer

    def watched(model, settings):
        optimizer = make(model, settings)
        optimizer.register_step_pre_hook(
            lambda *_: gradients.append({name: value.grad.clone() for name, value in model.named_parameters()})
        )
        return optimizer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixing, "choose_partners", pairs)
        patch.setattr(setup, "make_optimizer", watched)
        patch.setattr(training, "training_mode", lambda model, frozen: model.eval())
        judge = Validation(open_clips("toyband", config, "validation", 10), 5)
        run = train(config, open_clips("toyband", config), record_every=1, validation=judge)
    return gradients, run.history


def save_gradients(rank: int, config: Config, folder: Path) -> None:
    refused = []
    for change in ("training.sync_batchnorm=true", "training.batch_size=3", "mixing.pairing=in-batch"):
        batch = [] if change.startswith("training") else ["training.batch_size=2"]
        try:
            train(with_values(config, [change, *batch]), open_clips("toyband", config))
        except SopeduError as error:
            refused.append(str(error))
    gradients, history = gradients_of(neighbours, config)
    torch.save(gradients, folder / f"gradients-{rank}.pt")
    (folder / f"figures-{rank}.json").write_text(json.dumps({"history": history, "refused": refused}))


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[Path, Config]:
    folder = tmp_path_factory.mktemp("together")
    config = with_values(TINY, PLAIN.split())
    statuses, said = in_two_processes(folder, save_gradients, config, folder)
    assert statuses == [0, 0], said
    return folder, config


def test_gradients_and_validation_of_two_processes_are_those_of_one(together):
    folder, config = together
    alone, history = gradients_of(neighbours_of_two_shares, config)
    largest = 0.0
    for rank in range(2):
        averaged = torch.load(folder / f"gradients-{rank}.pt", weights_only=True)
        assert len(averaged) == len(alone) == 3
        for ours, theirs in zip(averaged, alone, strict=True):
            assert ours.keys() == theirs.keys()
            largest = max(largest, *(float((ours[name] - theirs[name]).abs().max()) for name in theirs))
            assert all(torch.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5) for name in theirs)
        found = json.loads((folder / f"figures-{rank}.json").read_text())["history"]
        for key in ("loss", "validation_loss", "validation_sdr"):
            assert [entry[key] for entry in found] == pytest.approx([entry[key] for entry in history], abs=1e-4)
    assert largest < 1e-5
    assert max(float(value.abs().max()) for value in alone[0].values()) > 1e-2  # not equal because all are nothing


def test_what_several_processes_cannot_do_is_refused_in_one_line(together):
    refused = json.loads((together[0] / "figures-1.json").read_text())["refused"]
    assert refused == [
        "training.sync_batchnorm works on GPUs only: leave it out on the CPU",
        "training.batch_size=3 cannot be shared by 2 processes: take a multiple of 2, at least 2",
        "training.batch_size=2 cannot be shared by 2 processes: take a multiple of 2, at least 4",
    ]


def test_pairs_that_cannot_be_shared_evenly_are_all_judged_once():
    clips = open_clips("toyband", TINY, "validation", 10)
    judge, model = Validation(clips, 5), setup.new_model(TINY).eval()
    shares = [judge.scores(model, process, 3) for process in range(3)]
    assert {len(share) for share in shares} == {2}
    whole = judge.scores(model)
    assert torch.allclose(torch.stack(shares, 1).flatten(0, 1)[:5], whole, atol=1e-4)
    assert shares[2][1].isnan().all()


def command(rank: int, folder: Path, *options: str, at: tuple[int, int] | None = None) -> None:
    """``sopedu train``, whose second process gets a signal ``at`` a step."""
    set_rates = training.set_rates

    def interrupted(optimizer, step, settings):
        if at and rank == 1 and step + 1 == at[1]:
            os.kill(os.getpid(), at[0])
        return set_rates(optimizer, step, settings)

    training.set_rates = interrupted
    sys.argv = ["sopedu", "train", "--out", str(folder), "--validation-pairs", "5", *options]
    cli.main()


def with_signal(rank: int, folder: Path, number: int, step: int, *options: str) -> None:
    command(rank, folder, *options, at=(number, step))


NEW = ["--preset", "tiny", *(part for value in VALUES.split() for part in ("--set", value))]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert in_two_processes(folder.parent, command, folder, *NEW)[0] == [0, 0]
    return folder


def figures(folder: Path) -> list[tuple]:
    return [tuple(entry.get(key) for key in ("step", "loss", "validation_sdr")) for entry in read_history(folder)]


def test_only_one_process_writes_and_what_it_keeps_is_what_was_judged(uninterrupted):
    names = {path.name for path in uninterrupted.iterdir()}
    assert names == {"run.json", "history.jsonl", "checkpoint", "best", "resume"}
    lines = (uninterrupted / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30]
    model = load_checkpoint(uninterrupted / "checkpoint").model.eval()
    judge = Validation(open_clips("toyband", TINY, "validation", 10), 5)
    loss, sdr = judge.scores(model).nanmean(0).tolist()
    last = json.loads(lines[-1])
    assert (last["validation_loss"], last["validation_sdr"]) == pytest.approx((loss, sdr), abs=1e-4)


def test_a_run_that_lost_a_process_says_so_and_goes_on(tmp_path, uninterrupted):
    folder = tmp_path / "run"
    statuses, said = in_two_processes(tmp_path, with_signal, folder, signal.SIGKILL, 12, *NEW)
    assert statuses == [2, -signal.SIGKILL]
    line = "sopedu: the training lost one of its 2 processes at step 12: go on with --resume"
    assert line in said[0] and "Traceback" not in said[0]
    assert (folder / "resume" / "latest").read_text() == "000000007"

    with pytest.raises(SopeduError, match="cannot resume with other settings: data.processes was 2, is 1"):
        train_run(folder, resume=True, validation_pairs=5, say=lambda _: None)

    # SIGTERM reaches one process, and both stop at the next record.
    statuses, said = in_two_processes(tmp_path, with_signal, folder, signal.SIGTERM, 17, "--resume")
    assert statuses == [RESUME_STATUS, RESUME_STATUS], said
    assert (folder / "resume" / "latest").read_text() == "000000020"
    assert not any("Traceback" in lines for lines in said)

    statuses, said = in_two_processes(tmp_path, command, folder, "--resume", "--set", "training.workers=1")
    assert statuses == [0, 0], said
    assert figures(folder) == figures(uninterrupted)
    ours, theirs = (load_checkpoint(place / "checkpoint").model.state_dict() for place in (folder, uninterrupted))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_folder_that_is_taken_is_named_once(tmp_path, uninterrupted):
    statuses, said = in_two_processes(tmp_path, command, uninterrupted, *NEW)
    assert statuses == [2, 2]
    assert said[0].strip().startswith(f"sopedu: {uninterrupted}: already exists")
    assert "before its first step: see what that one says" in said[1] and "Traceback" not in said[1]


def from_a_notebook(config: Config, folder: Path, cache: str, port: str) -> None:
    os.environ["SOPEDU_CACHE"] = cache
    from accelerate import notebook_launcher

    torch.set_num_threads(2)
    torch.randn(512, 512) @ torch.randn(512, 512)  # threads that do not survive the fork
    notebook_launcher(train_run, (folder, config, "toyband", None, False, 5), num_processes=2, use_port=port)


def test_a_notebook_launches_two_processes(tmp_path):
    config = with_values(TINY, ["training.steps=2", "training.validate_every=2"])
    notebook = processes.Process(
        target=from_a_notebook, args=(config, tmp_path / "run", os.environ["SOPEDU_CACHE"], free_port()), daemon=False
    )
    notebook.start()
    notebook.join(60)
    assert notebook.exitcode == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"] == json.loads(json.dumps(to_dict(config)))
    state = json.loads((tmp_path / "run" / "resume" / "000000002" / "state.json").read_text())
    assert json.loads(state["values"])["made_of"]["processes"] == 2


def test_other_errors_are_not_taken_for_a_lost_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="shapes"), explain_lost_process(lambda: 1):
        raise RuntimeError("shapes cannot be multiplied")
    with pytest.raises(SopeduError, match=r"loads clips was lost .*take fewer .--set tr"), explain_lost_process():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
