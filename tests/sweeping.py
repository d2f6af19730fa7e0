"""A sweep's worker without a process: shared by tests of several rooms."""

from __future__ import annotations

import queue
import time
from pathlib import Path

from sopedu.experiments.grid import SweepRun
from sopedu.experiments.plan import read_plan
from sopedu.experiments.worker import answer


class WorkerHere:
    """Takes the place of ``sopedu.experiments.pool._Worker``, and works in the test's process."""

    def __init__(self, out: Path, answers: queue.Queue) -> None:
        self.out, self.answers, self.run, self.began = out, answers, None, 0.0
        self.process = self

    def begin(self, run: SweepRun) -> None:
        self.run, self.began = run, time.monotonic()
        self.answers.put((self, answer(self.out, read_plan(self.out), run.name)))

    def end(self, deadline: float) -> None:
        pass

    def terminate(self) -> None:
        pass
