"""Train a run of the lab in the background: it can be watched and stopped, and only one runs at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.spectrogram import istft, stft
from sopedu.config import Config
from sopedu.data.clips import ClipDataset
from sopedu.evaluation.pair_scores import pairs_for
from sopedu.evaluation.pairs import TestPairs, separate_pairs
from sopedu.lessons.lab_runs import LabRun
from sopedu.lessons.lab_view import LabPair, sdr_improvement
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.heads import new_heads
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.loop import train
from sopedu.training.run import Callback, Run

#: Steps between two looks at a run in training.
LOOK_EVERY = 20
_RECORD_EVERY = 10
# Trainings in one process share torch's random numbers and the cores, so one waits for the other.
_ONE_AT_A_TIME = threading.Lock()
_working: list[LiveTraining] = []


class Watcher(Protocol):
    """What is told about a training, from the thread that trains."""

    def said(self, text: str, done: float, alert: bool = False) -> None:
        """Say what happens, and the share that is done."""

    def looked(self, run: LabRun, model: SoundOfPixels) -> None:
        """See the model in training."""

    def ended(self, run: LabRun | None) -> None:
        """Get the finished run; None if there is none."""


@dataclass
class Order:
    """What to train.

    Attributes:
        run: to fill with its history and its score; its ``load`` is replaced.
        config: of the training.
        clips: makes the solos; called in the background, because they may have to be rendered, with a function that
            it calls with the share that is done.
        trunk: checkpoint for new heads; None: from scratch.
        pairs: held-out pairs for the curve.
        judged: number of held-out mixtures for the score.
    """

    run: LabRun
    config: Config
    clips: Callable[[Callable[[float], None]], ClipDataset]
    trunk: Checkpoint | None
    pairs: Sequence[LabPair]
    judged: int


class LiveTraining:
    """A training in a thread of its own, which ends with the kernel.

    Args:
        order: what to train.
        watcher: is told about it.
    """

    def __init__(self, order: Order, watcher: Watcher) -> None:
        self.order, self.watcher = order, watcher
        self._stop = threading.Event()
        self._trained: Run | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        for earlier in list(_working):  # of a lab that was shown before: nobody could stop it any more
            earlier.stop()
        _working.append(self)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it after its current step, or the solo that is being rendered."""
        self._stop.set()
        if self._trained is not None:
            self._trained.stop = True

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended.

        Args:
            timeout: seconds to wait at most; None for no limit.
        """
        self._thread.join(timeout)

    def _work(self) -> None:
        run, finished = self.order.run, None
        try:
            self.watcher.said(f"{run.name}: starting", 0.0)
            with _ONE_AT_A_TIME:
                finished = self._train()
        except _Stopped:
            self.watcher.said(f"{run.name}: stopped before its first step", 0.0)
        except Exception as error:  # errors raised in a thread are not displayed
            self.watcher.said(f"{run.name}: {error}", 0.0, alert=True)
        finally:
            _working.remove(self)
            self.watcher.ended(finished)

    def _train(self) -> LabRun | None:
        order, run = self.order, self.order.run
        self._preparing(0.0)
        clips = order.clips(self._preparing)
        model = None if order.trunk is None else new_heads(order.trunk, order.config)
        trained = train(order.config, clips, model, [_Watch(self)], record_every=_RECORD_EVERY)
        if trained.step < min(LOOK_EVERY, trained.steps):
            self.watcher.said(f"{run.name}: stopped at step {trained.step}, too early to keep it", 0.0)
            return None
        self.watcher.said(f"{run.name}: scoring it on {order.judged} held-out mixtures", 1.0)
        checkpoint = Checkpoint(trained.result.eval(), trained.class_names, {"data": "toyband", "steps": trained.step})
        pairs = pairs_for(checkpoint, pairs=order.judged)  # those of the finished runs
        run.sdr_improvement = sdr_improvement(checkpoint.model, pairs.mixture, pairs.sources, pairs.frames)
        run.load = lambda: checkpoint
        ended = "done" if trained.step == trained.steps else "stopped"
        if trained.step < trained.steps:
            run.name += f", stopped at step {trained.step}"
        run.steps = trained.step
        gained = f"{run.sdr_improvement:.1f}".replace("-", "−")
        self.watcher.said(f"{run.name}: {ended} after {trained.step} steps, SDR improvement {gained} dB", 1.0)
        return run

    def _preparing(self, share: float) -> None:
        """Say how far the solos are, or end their rendering."""
        if self._stop.is_set():
            raise _Stopped
        text = f"{self.order.run.name}: preparing solos to train on, once: {10 * int(10 * share)} %"
        self.watcher.said(text, 0.0)


class _Stopped(Exception):
    """Somebody pressed Stop before the first step."""


@dataclass
class _Watch(Callback):
    """Passes on what happens in a training, and stops it when it is told to."""

    training: LiveTraining
    looked_at: int = field(default=-1)

    def on_start(self, run: Run) -> None:
        self.training._trained = run
        run.stop = self.training._stop.is_set()
        self.look(run)

    def on_record(self, run: Run) -> None:
        kept, watcher = self.training.order.run, self.training.watcher
        left = math.ceil(run.seconds / run.step * (run.steps - run.step))
        text = f"{kept.name}: step {run.step} of {run.steps}, about {left} s left"
        watcher.said(text, run.step / run.steps)
        kept.history.append({"step": run.step, "loss": run.history[-1]["loss"]})
        if run.step - self.looked_at >= LOOK_EVERY or run.step == run.steps:
            self.look(run)

    def look(self, run: Run) -> None:
        order, self.looked_at = self.training.order, run.step
        if order.run.history:
            names = ("mixture", "sources", "frames")
            parts = (torch.stack([getattr(pair, name) for pair in order.pairs]) for name in names)
            order.run.history[-1]["improvement"] = sdr_improvement(run.model, *parts)
        self.training.watcher.looked(order.run, run.model)


def judge_quickly(model: SoundOfPixels, pairs: TestPairs) -> tuple[float, float, np.ndarray]:
    """Evaluate a model on a few held-out mixtures, without the baselines of :func:`sopedu.evaluate`.

    Args:
        model: in any mode.
        pairs: see :func:`sopedu.evaluation.pairs.held_out_pairs`.

    Returns:
        mean SDR improvement in dB, the same with the two pictures exchanged, and the estimates of the first pair,
        ``(2, L)``.

    Notebook: 09_train_live.
    """
    sound = model.config.spectrogram
    both_orders = torch.cat([pairs.frames, pairs.frames.flip(1)], dim=1)
    right, swapped = separate_pairs(model, pairs.mixture, both_orders).split(2, dim=1)
    references = pairs.sources[..., : sound.counted_samples]
    mixture = istft(stft(pairs.mixture, sound), sound)[:, None].expand_as(references)
    scores = bss_eval_rows(references, {"mixture": mixture, "right": right, "swapped": swapped})
    gained, lost = (float(np.nanmean(scores[row].sdr - scores["mixture"].sdr)) for row in ("right", "swapped"))
    return gained, lost, right[0].numpy()
