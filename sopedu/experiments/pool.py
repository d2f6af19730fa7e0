"""The processes of a sweep: given runs in turn, watched, and ended together; how long all will take."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from sopedu.errors import SopeduError
from sopedu.experiments.grid import SweepRun
from sopedu.experiments.plan import SweepPlan, read_result
from sopedu.files import writing
from sopedu.training.estimate import seconds_per_mixture, spoken
from sopedu.training.resume import RESUME_STATUS

_START = 6.0  # seconds until a process has loaded what it needs
_OPENING = 1.0  # seconds to read the clips of a run and to write its files
_SCORING = 0.15  # seconds per held-out mixture
_MEASURED_STEPS = 3  # of which the median counts: a busy machine makes single ones slow
_LOOK = 1.0  # seconds between two looks at the steps of the running trainings
_PATIENCE = 60.0  # seconds for the processes to write their states when the sweep is stopped


def estimated_seconds(plan: SweepPlan, runs: Iterable[SweepRun]) -> dict[str, float]:
    """Estimate how long runs take, each on one core, from one training step per size of model.

    Args:
        plan: of the sweep.
        runs: some of its runs.

    Returns:
        seconds by name; they may be wrong by a factor of two.
    """
    steps: dict[str, float] = {}
    threads, seconds = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    try:
        for run in runs:
            config, settings = run.config, run.config.training
            # What the time of a step depends on; of a loss it hardly does.
            sizes = (config.model, config.spectrogram, config.frames, config.mixing.absent, settings.freeze)
            key = repr((sizes, settings.optimizer, settings.average_decay > 0, config.mixing.pasted_share))
            if key not in steps:
                steps[key] = seconds_per_mixture(config, _MEASURED_STEPS)
            scoring = _SCORING * plan.pairs * len(plan.evaluation_seeds)
            seconds[run.name] = _OPENING + steps[key] * settings.batch_size * settings.steps + scoring
    finally:
        torch.set_num_threads(threads)
    return seconds


class _Worker:
    """A process, and the run that it works on.

    Args:
        out: folder of the sweep.
        answers: gets what the process says, and None when it has ended, each with this worker.
    """

    def __init__(self, out: Path, answers: queue.Queue[tuple[_Worker, dict[str, str] | None]]) -> None:
        self.run: SweepRun | None = None
        self.began = 0.0
        package = str(Path(__file__).parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with writing(out / "logs"), (out / "logs" / "processes.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sopedu.experiments.worker", str(out)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(paths), "TQDM_MININTERVAL": "10"},
            )  # fmt: skip
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def begin(self, run: SweepRun) -> None:
        """Give the process a run."""
        self.run, self.began = run, time.monotonic()
        with contextlib.suppress(OSError):  # it has died; its answer None says so
            self.process.stdin.write(f"{run.name}\n".encode())
            self.process.stdin.flush()

    def _listen(self, answers: queue.Queue[tuple[_Worker, dict[str, str] | None]]) -> None:
        with self.process.stdout as said:
            for line in said:
                answers.put((self, json.loads(line)))
        self.process.wait()
        answers.put((self, None))

    def end(self, deadline: float) -> None:
        """Let the process write its state and end; kill it if it does not by a time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.1, deadline - time.monotonic()))
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()


class SweepPool:
    """Works on the runs of a sweep that have no result yet.

    Args:
        out: folder of the sweep.
        plan: of the sweep.
        todo: runs without a result.
        processes: that train at the same time.
        budget: seconds, or None.
        say: function that prints a line of text.

    Attributes:
        failed: name of a run → why it failed, in one line.
        interrupted: ended by Ctrl-C.
    """

    def __init__(
        self, out: Path, plan: SweepPlan, todo: Sequence[SweepRun], processes: int, budget: float | None,
        say: Callable[[str], object],
    ) -> None:  # fmt: skip
        self.out, self.plan, self.budget, self.say = out, plan, budget, say
        self.waiting, self.workers = deque(todo), list[_Worker]()
        self.processes = max(1, min(processes, len(todo)))
        self.answers: queue.Queue[tuple[_Worker, dict[str, str] | None]] = queue.Queue()
        self.estimates = estimated_seconds(plan, todo)
        self.spent, self.expected = 0.0, 0.0  # seconds of finished runs: measured, estimated
        self.finished, self.began = len(plan.runs) - len(todo), time.monotonic()
        self.failed: dict[str, str] = {}
        self.interrupted = False

    @property
    def busy(self) -> list[_Worker]:
        """Processes that work on a run."""
        return [worker for worker in self.workers if worker.run is not None]

    @property
    def pace(self) -> float:
        """How long the finished runs took, as a multiple of the estimate."""
        return self.spent / self.expected if self.expected else 1.0

    def seconds_left(self) -> float:
        """Estimate the seconds until all runs have ended."""
        now, longest = time.monotonic(), 0.0
        total = sum(self.estimates[run.name] for run in self.waiting) * self.pace
        for worker in self.busy:
            left = max(0.0, self.estimates[worker.run.name] * self.pace - (now - worker.began))
            total, longest = total + left, max(longest, left)
        longest = max([longest, *(self.estimates[run.name] * self.pace for run in self.waiting)])
        return max(total / self.processes, longest)

    def announce(self) -> None:
        """Say how many runs are left and how long they will take.

        Raises:
            SopeduError: not even one run fits the budget.
        """
        each = sorted(self.estimates.values())
        if not each:
            self.say(f"all {len(self.plan.runs)} runs are finished")
            return
        span = f"{each[0]:.0f}" if each[-1] - each[0] < 1 else f"{each[0]:.0f} to {each[-1]:.0f}"
        whole = _START + self.seconds_left()
        self.say(
            f"{len(each)} of {len(self.plan.runs)} runs to train, about {span} s each on one core, {self.processes} at "
            f"a time: about {spoken(whole)} in all"
        )
        if self.budget is not None and _START + each[0] > self.budget:
            raise SopeduError(
                f"the budget of {spoken(self.budget)} is too short for one run, which takes about "
                f"{spoken(_START + each[0])}; give more, or train fewer steps"
            )
        if self.budget is not None and whole > self.budget:
            self.say(f"the budget of {spoken(self.budget)} is too short for all: no run begins that would end later")

    def work(self) -> None:
        """Work until all runs have ended, the budget is spent, or Ctrl-C."""
        total = sum(run.config.training.steps for run in self.plan.runs)
        with tqdm(total=total, initial=total - self._steps_ahead(), desc="sweep", unit="step") as self.bar:
            try:
                while self._give_runs() or self.busy:
                    try:
                        worker, said = self.answers.get(timeout=_LOOK)
                    except queue.Empty:
                        pass
                    else:
                        self._note(worker, said)
                    self.bar.update(total - self._steps_ahead() - self.bar.n)
            except KeyboardInterrupt:
                self.interrupted = True
            finally:
                self._end_all()

    def _give_runs(self) -> bool:
        """Give runs to idle processes, and start as many as are wanted; return whether a run was given."""
        given = False
        while self.waiting and len(self.busy) < self.processes and self._in_time(self.waiting[0]):
            idle = [worker for worker in self.workers if worker.run is None]
            if not idle:
                self.workers.append(_Worker(self.out, self.answers))
                idle = self.workers[-1:]
            idle[0].begin(self.waiting.popleft())
            given = True
        return given

    def _in_time(self, run: SweepRun) -> bool:
        used = time.monotonic() - self.began
        return self.budget is None or used + self.estimates[run.name] * self.pace <= self.budget

    def _note(self, worker: _Worker, said: dict[str, str] | None) -> None:
        """Note what a process said about its run, or that it has ended, and print a line."""
        run, seconds = worker.run, time.monotonic() - worker.began
        if said == {"state": "ready"}:
            worker.began = time.monotonic()
            return
        worker.run = None
        if said is None:
            self.workers.remove(worker)
            worker.end(0.0)
            if run is not None and worker.process.returncode != RESUME_STATUS:
                self._fail(run, self._ending(worker.process.returncode))
        elif said["state"] == "failed":
            self._fail(run, f"{said['reason']} ({self.out / 'logs' / run.name}.txt)")
        elif said["state"] == "done":
            self.finished, self.spent = self.finished + 1, self.spent + seconds
            self.expected += self.estimates[run.name]
            sdr = read_result(self.out, run).mean("sdr")
            left = f"about {spoken(self.seconds_left())} left" if self.waiting or self.busy else "that was the last"
            self._say(
                f"{self.finished} of {len(self.plan.runs)}: {run.name}: SDR {sdr:.2f} dB, {seconds:.0f} s; {left}"
            )

    def _fail(self, run: SweepRun, reason: str) -> None:
        self.failed[run.name] = reason
        self._say(f"failed: {run.name}: {reason}")

    def _ending(self, status: int) -> str:
        if status < 0:
            return f"its process was ended by signal {-status}" + (
                ", perhaps for want of memory" if status == -9 else ""
            )
        return f"its process ended with status {status} (see {self.out / 'logs' / 'processes.txt'})"

    def _say(self, line: str) -> None:
        self.bar.clear()
        self.say(line)
        self.bar.refresh()

    def _end_all(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for worker in self.workers:
            worker.end(deadline)

    def _steps_ahead(self) -> int:
        runs = [*self.waiting, *(worker.run for worker in self.busy)]
        return sum(run.config.training.steps - _steps_done(self.out, run) for run in runs)


def _steps_done(out: Path, run: SweepRun) -> int:
    """Read the step of a run's last record; 0 if there is none yet."""
    with (
        contextlib.suppress(OSError, ValueError, KeyError, IndexError),
        (out / run.name / "history.jsonl").open("rb") as file,
    ):
        file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
        entry: dict[str, Any] = json.loads(file.read().splitlines()[-1])
        return int(entry["step"])
    return 0
