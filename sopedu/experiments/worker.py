"""A process that trains and scores runs of a sweep, in turn: ``python -m sopedu.experiments.worker OUT``.

Names of runs come in on standard input, one per line; for each, one line of JSON goes out on standard output. What the
training prints goes to ``logs/NAME.txt``. When the process that started this one is gone, also by ``kill -9``, standard
input ends, and the run ends after its step and can be resumed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from sopedu.errors import SopeduError
from sopedu.evaluation.pair_scores import pairs_for, scores_by_pair
from sopedu.experiments.plan import SweepPlan, SweepResult, read_plan, read_result, write_result
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training.resume import RESUME_STATUS
from sopedu.training.run_folder import train_run

_PATIENCE = 120.0  # seconds for the process of an earlier sweep, which has lost its parent, to write its state and end


def train_and_score(out: Path, plan: SweepPlan, name: str) -> bool:
    """Train a run, or resume it, and write its results; a finished one stays as it is.

    Args:
        out: folder of the sweep.
        plan: of the sweep.
        name: of the run.

    Returns:
        False if a signal ended the training before its last step.

    Raises:
        SopeduError: the training or the evaluation fails.
    """
    run, folder = plan.run(name), out / name
    if read_result(out, run) is not None:
        return True
    trained = train_run(
        folder, run.config, plan.data, plan.start_from, (folder / "run.json").is_file(), heads_of=plan.heads_of
    )
    if trained.stop:
        return False
    checkpoint = load_checkpoint(folder, "auto")
    sets = [pairs_for(checkpoint, plan.data, plan.pairs, seed) for seed in plan.evaluation_seeds]
    scored = [scores_by_pair(checkpoint.model, pairs) for pairs in sets]
    scores = {score: np.concatenate([one[score] for one in scored]) for score in scored[0]}
    write_result(out, SweepResult(run, scores, trained.step, trained.seconds))
    return True


def answer(out: Path, plan: SweepPlan, name: str) -> dict[str, str]:
    """Work on a run; say what became of it.

    Args:
        out: folder of the sweep.
        plan: of the sweep.
        name: of the run.

    Returns:
        ``run`` and ``state``: done, stopped or failed; with ``reason`` if it failed, in one line.
    """
    reason = "another process is working there; end it first"
    try:
        with FileLock(out / "logs" / f"{name}.lock", timeout=_PATIENCE):
            return {"run": name, "state": "done" if train_and_score(out, plan, name) else "stopped"}
    except Timeout:
        pass
    except SopeduError as error:
        reason = " ".join(str(error).split())
    except Exception as error:  # one run that fails in any way must not end the others
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    print(reason)
    return {"run": name, "state": "failed", "reason": reason}


def main() -> None:
    """Work until standard input ends or a signal comes."""
    out = Path(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all, and the parent decides
    names: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_names, args=(names,), daemon=True).start()
    torch.set_num_threads(1)
    plan = read_plan(out)
    parent = os.dup(1)
    _say(parent, {"state": "ready"})
    while True:
        name = names.get()
        with _printing_to(out / "logs" / f"{name}.txt"):
            said = answer(out, plan, name)
        _say(parent, said)
        if said["state"] == "stopped":
            sys.exit(RESUME_STATUS)


def _say(parent: int, said: dict[str, str]) -> None:
    with suppress(OSError):  # the parent is gone
        os.write(parent, f"{json.dumps(said)}\n".encode())


def _read_names(names: queue.Queue[str]) -> None:
    rest = b""
    while part := os.read(0, 4096):  # not sys.stdin, whose lock could not be released when the interpreter ends
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            names.put(line.decode())
    os.kill(os.getpid(), signal.SIGTERM)  # a training ends after its step, anything else at once


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Let everything that this process prints go to a file."""
    sys.stdout.flush()
    with path.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
