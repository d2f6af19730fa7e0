"""The training loop: a training step is :meth:`Trainer.step`.

It runs on the CPU, on one GPU, and under ``accelerate launch`` on many. All randomness follows from (seed, step), so a
killed run resumes bit for bit. What only long trainings need is in the other modules of this room.

Notebook: 09_train_live, 13_train_full.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.config import Config, from_dict, to_dict
from sopedu.data.batches import Batch, Failures
from sopedu.data.clips import ClipDataset
from sopedu.errors import SopeduError, whole_number
from sopedu.machine import fastest_convolutions
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training import out_of_memory, snapshot
from sopedu.training.distributed import agreed_to_stop, explain_lost_process
from sopedu.training.loading import BatchLoader
from sopedu.training.loss import mixture_loss
from sopedu.training.optimizer import set_rates, training_mode
from sopedu.training.pasted_loss import pasted_scene_loss
from sopedu.training.precision import FiniteState, weights_are_finite
from sopedu.training.resume import StateWriter
from sopedu.training.run import Callback, Run, Validator, as_callback
from sopedu.training.setup import Prepared, prepare, prepare_net
from sopedu.training.signals import gentle_signals
from sopedu.training.validation import validate


class Trainer:
    """One training in one process: what :func:`train` prepares, repeats and ends.

    Args:
        prepared: nets, optimizer and device.
        clips: solos.
        validation: scores the model at intervals, or None.
        record_every: steps per entry of the history.
        keep: number of states to keep.
    """

    def __init__(
        self, prepared: Prepared, clips: ClipDataset, validation: Validator | None, record_every: int, keep: int
    ) -> None:
        self.run, self.optimizer, self.frozen = prepared.run, prepared.optimizer, prepared.frozen
        self.accelerator, self.device, self.config = prepared.accelerator, prepared.device, prepared.run.config
        self.clips, self.validation, self.record_every = clips, validation, record_every
        self.writer = StateWriter((self.run.folder or Path()) / "resume", keep)
        self.net: torch.nn.Module | None = None  # the model, perhaps compiled or wrapped for several GPUs
        self.last_finite: FiniteState | None = None  # the state to return to if bf16 fails
        self.losses: list[torch.Tensor] = []  # of the steps since the last record
        self.seconds_before, self.began = 0.0, None

    def run_steps(self, callbacks: Sequence[Callback]) -> None:
        """Train until all steps are done or the run is stopped.

        Args:
            callbacks: called at each record.
        """
        run, settings, failures = self.run, self.config.training, Failures(len(self.clips))
        self.net = prepare_net(run, self.accelerator) if self.net is None else self.net
        if run.precision == "bf16":
            self.last_finite = FiniteState.of(run, self.optimizer)
        training_mode(run.model, self.frozen)
        self.batches = BatchLoader(self.clips, run, self.device, self.accelerator.process_index)
        self.began = self.recorded = time.perf_counter()
        for batch in self.batches:
            run.notes += failures.new(batch)
            run.unreadable_clips = len(failures)
            rate = set_rates(self.optimizer, run.step, settings)
            self.step(batch)
            if run.step % self.record_every == 0 or run.step == run.steps:
                if not self.record(rate):
                    break
                for callback in callbacks:
                    callback.on_record(run)
                training_mode(run.model, self.frozen)  # callbacks may have changed it
            if run.folder and run.step % settings.save_every == 0:
                snapshot.save(self)
            if agreed_to_stop(self):
                break

    def step(self, batch: Batch) -> None:
        """Do one training step: loss, gradients, update.

        Args:
            batch: of clips, on the CPU.
        """
        run, settings, step = self.run, self.config.training, self.run.step
        generator = np.random.default_rng([settings.seed, step, self.accelerator.process_index])
        waveforms, frames = self.batches.to_device(batch.waveforms, batch.frames)
        share = self.config.mixing.pasted_share  # these steps are spread evenly over the training
        pasted = pasted_scene_loss if int((step + 1) * share) > int(step * share) else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=run.precision == "bf16"):
            loss, mixtures = mixture_loss(
                self.net, waveforms, frames, batch.labels.numpy(), self.config, generator, pasted
            )
        loss.backward()
        if settings.clip_gradient:
            torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if run.average:
            run.average.update(run.model, step)
        self.losses.append(loss.detach())
        run.step, run.same_class_mixtures = step + 1, run.same_class_mixtures + mixtures.same_class

    def record(self, rate: float) -> bool:
        """Add an entry to the history; return False if a loss or a weight is no longer finite.

        Args:
            rate: learning rate of the last step.
        """
        run, bf16 = self.run, self.run.precision == "bf16"
        recorded = self.accelerator.reduce(torch.stack(self.losses), "mean")
        self.losses.clear()
        if not self._all_finite(recorded):
            return False
        if bf16 and not weights_are_finite(run.model):
            run.failed = True
            return False
        now = time.perf_counter()  # after the losses are read, because reading waits for all queued steps of a GPU
        run.seconds = self.seconds_before + now - self.began
        speed = len(recorded) * self.config.training.batch_size / (now - self.recorded)
        entry = {"step": run.step, "loss": recorded.mean().item(), "learning_rate": rate, "seconds": run.seconds}
        waiting = min(1.0, self.batches.waited / (now - self.recorded))
        run.history.append(entry | {"mixtures_per_second": round(speed, 2), "waiting": round(waiting, 3)})
        every = self.config.training.validate_every
        if self.validation and every and (run.step % every < self.record_every or run.step == run.steps):
            validate(self)
        if bf16:
            self.last_finite = FiniteState.of(run, self.optimizer)
        self.recorded, self.batches.waited = time.perf_counter(), 0.0
        return True

    def back_to_float32(self) -> bool:
        """After a failure in bf16, go back to the last finite state; return False if there is none."""
        if self.last_finite is None:
            return False
        self.last_finite.restore(self.run, self.optimizer)
        self.losses.clear()
        self.last_finite, self.seconds_before = None, self.run.seconds
        return True

    def finish(self, between_steps: bool) -> None:
        """Note the time, write a last state (if no step was interrupted), put the model into evaluation mode."""
        run = self.run
        if self.losses and not run.failed:
            self._all_finite(torch.stack(self.losses))
        if self.began is not None:
            run.seconds = self.seconds_before + time.perf_counter() - self.began
            if run.folder and between_steps and not run.failed and run.step % self.config.training.save_every:
                snapshot.save(self)
        self.writer.wait()
        run.model.eval()

    def _all_finite(self, losses: torch.Tensor) -> bool:
        """Mark the run as failed at the first step whose loss is not finite."""
        finite, run = torch.isfinite(losses).cpu(), self.run
        if not bool(finite.all()):
            run.failed = True
            run.step += 1 - len(losses) + int((~finite).nonzero()[0])
        return not run.failed


def train(
    config: Config,
    clips: ClipDataset,
    model: SoundOfPixels | None = None,
    callbacks: Sequence[Callback | Any] = (),
    record_every: int = 10,
    folder: str | Path | None = None,
    resume: bool = False,
    validation: Validator | None = None,
    keep: int = 2,
) -> Run:
    """Train a model on solos.

    Args:
        config: of model and training; the number of steps is ``config.training.steps``.
        clips: solos, see :mod:`sopedu.data.clips`.
        model: to continue with; None: a new one with its starting weights.
        callbacks: progress, history, live plot, checkpoints: see :mod:`sopedu.training.callbacks`; any object with some
            of the methods of :class:`sopedu.training.run.Callback`.
        record_every: steps per entry of the history; the loss recorded is their mean.
        folder: of the run; states to resume from are kept in its ``resume/``. SIGTERM and the first Ctrl-C then end the
            run after the current step, and write a state.
        resume: continue from the newest state in ``folder``; the settings must be the same as at its start.
        validation: scores the model every ``config.training.validate_every`` steps.
        keep: number of states to keep.

    Returns:
        the finished run; ``run.result`` is the model.

    Raises:
        SopeduError: the loss is not finite (with the step); there is nothing to resume from, or the settings differ;
            the GPU's memory does not suffice (with the batch size that fits); another process of the training is lost.
    """
    config = from_dict(to_dict(config))  # check values that were put together in Python
    record_every, keep = whole_number(record_every, "record_every", 1), whole_number(keep, "keep", 1)
    callbacks = [as_callback(watcher) for watcher in callbacks]
    folder = None if folder is None else Path(folder)
    trainer = Trainer(prepare(config, clips, model, folder, resume), clips, validation, record_every, keep)
    if resume:
        snapshot.restore(trainer)
    run, watchers = trainer.run, callbacks if trainer.accelerator.is_main_process else []
    for callback in watchers:
        callback.on_start(run)
    with ExitStack() as at_the_end:
        at_the_end.enter_context(explain_lost_process(lambda: run.step + 1))
        # Until all is written: a launcher sends SIGTERM when another process has ended before this one.
        at_the_end.enter_context(gentle_signals(run) if folder is not None else nullcontext())
        at_the_end.enter_context(fastest_convolutions(trainer.device))
        at_the_end.callback(trainer.writer.close)
        for callback in watchers:
            at_the_end.callback(callback.close)
        between_steps, memory_suffices = True, True
        try:
            trainer.run_steps(watchers)
            if run.failed and trainer.back_to_float32():
                trainer.run_steps(watchers)
        except KeyboardInterrupt:
            run.interrupted, between_steps = True, False
        except torch.OutOfMemoryError:
            memory_suffices = False  # leave this block first: the traceback keeps the tensors of the step in memory
        if not memory_suffices:
            raise SopeduError(out_of_memory.advice(trainer))
        trainer.finish(between_steps)
        for callback in watchers:
            callback.on_end(run)
    if run.failed:
        raise SopeduError(
            f"the loss was no longer finite at step {run.step}: lower the learning rate, or train in float32 "
            "(--set training.precision=float32)"
        )
    return run
