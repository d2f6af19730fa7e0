"""A tiny sweep, and a worker without a process: shared by tests of several rooms."""

from __future__ import annotations

import queue
import time
from pathlib import Path

from sopedu.config import preset, with_values
from sopedu.experiments.grid import SweepRun
from sopedu.experiments.plan import SweepPlan, read_plan
from sopedu.experiments.sweep import plan_sweep
from sopedu.experiments.worker import answer

VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
toyband.solos=12 toyband.empty_scenes=2 toyband.instruments=violin,tuba,xylophone training.steps=30
training.batch_size=4 training.precision=float32 training.save_every=3"""
TINY = with_values(preset("tiny"), VALUES.split())
GRID = ["model.components=2,4"]


def the_plan(grid=GRID, seeds=(0, 1)) -> SweepPlan:
    """Two variants with two seeds, scored on three pairs."""
    return plan_sweep(TINY, grid, seeds, pairs=3)


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
