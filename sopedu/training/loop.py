"""The training loop: mixtures in, masks out, compare, improve (notebooks 09_train_live and 13_train_full).

Runs on the CPU, on one GPU, and under ``accelerate launch`` on many. Whatever is random follows from (seed, step), so
that a run which was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import base64
import gc
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list
from torch.utils.data import DataLoader

from sopedu.config import Config, from_dict, to_dict
from sopedu.data.batches import Batch, Failures, collate
from sopedu.data.clips import ClipDataset, TrainingSampler
from sopedu.errors import SopeduError, whole_number
from sopedu.machine import (
    CompiledNet,
    compile_mode,
    fastest_convolutions,
    full_float32,
    loading_processes,
    unused_gpu,
)
from sopedu.model.sound_of_pixels import SoundOfPixels, untrained
from sopedu.training.distributed import join_processes, lost_process_told
from sopedu.training.level import training_level
from sopedu.training.objective import mixture_loss
from sopedu.training.optimizer import MovingAverage, freeze, make_optimizer, set_rates, training_mode
from sopedu.training.precision import FiniteState, choose_precision, weights_are_finite
from sopedu.training.resume import (
    State,
    StateWriter,
    different_settings,
    load_state,
    optimizer_tensors,
    restore_optimizer,
)


@dataclass
class Run:
    """What callbacks see of a running training, and how they stop it (``run.stop = True``)."""

    config: Config
    model: SoundOfPixels
    class_names: tuple[str, ...]
    steps: int
    step: int = 0
    seconds: float = 0.0
    precision: str = "float32"
    device: str = "cpu"
    processes: int = 1
    workers: int = 0  # processes that load clips, for each of the above
    compile: str = "none"  # as chosen
    folder: Path | None = None
    same_class_mixtures: int = 0
    unreadable_clips: int = 0
    stop: bool = False
    failed: bool = False  # the loss was not finite: what the model has become is worth nothing
    interrupted: bool = False
    terminated: bool = False  # told to end by SIGTERM; it can be resumed
    best: dict[str, float] = field(default_factory=dict)  # step and validation_sdr of the best validation so far
    history: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    average: MovingAverage | None = None

    @property
    def result(self) -> SoundOfPixels:
        """The model to keep: the moving average of the weights where there is one."""
        return self.average.model if self.average else self.model

    def __getstate__(self) -> dict[str, Any]:
        """Without the nets: what a notebook launched hands this back, and weights on its GPU would end with it."""
        return self.__dict__ | {"model": None, "average": None}


class Callback:
    """Override what you need; every callback gets the :class:`Run`, in the main process only."""

    def on_start(self, run: Run) -> None: ...

    def on_record(self, run: Run) -> None:
        """Called whenever a new entry (step, loss, learning_rate, seconds …) stands in ``run.history``."""

    def on_end(self, run: Run) -> None: ...

    def close(self) -> None:
        """Called last of all, also when the training ended with an error."""


def _as_callback(watcher: Any) -> Callback:
    """Complete an object that has some of a callback's methods with those that do nothing."""
    if isinstance(watcher, Callback):
        return watcher
    names = ("on_start", "on_record", "on_end", "close")
    given = {name: getattr(watcher, name) for name in names if callable(getattr(watcher, name, None))}
    if not given or isinstance(watcher, type):
        raise SopeduError(f"{watcher!r:.80}: is no callback; give an object with some of {', '.join(names)}")
    completed = Callback()
    vars(completed).update(given)
    return completed


class Judge(Protocol):
    """Something that scores a model on held-out pairs, such as :class:`sopedu.training.validation.Validation`."""

    def scores(self, model: SoundOfPixels, process: int = 0, processes: int = 1) -> torch.Tensor:
        """Loss and SDR ``(n, 2)`` of the pairs that fall to a process, NaN where there is nothing."""


def train(
    config: Config,
    clips: ClipDataset,
    model: SoundOfPixels | None = None,
    callbacks: Sequence[Callback] = (),
    record_every: int = 10,
    folder: str | Path | None = None,
    resume: bool = False,
    validation: Judge | None = None,
    keep: int = 2,
) -> Run:
    """Train a model on solos and return the finished run.

    Args:
        config: everything that can be turned; the budget is ``config.training.steps``.
        clips: solos, see :mod:`sopedu.data.clips`.
        model: continue with this one; by default a new one with its starting weights.
        callbacks: progress, history, live plot, checkpoints: see :mod:`sopedu.training.callbacks`; any object with
            some of the methods of :class:`Callback` will do.
        record_every: steps between two entries of the history; the loss recorded is the mean since the last.
        folder: of the run; states to resume from are kept in its ``resume/``. Then SIGTERM and the first Ctrl-C end
            the run after the step it is in, and write a state.
        resume: go on from the newest state in ``folder``; settings must be those it began with.
        validation: judges the model every ``config.training.validate_every`` steps.
        keep: how many states stay.

    Raises:
        SopeduError: if the loss is not finite, with the step at which it happened; if there is nothing to resume
            from, or the settings differ; if the GPU's memory does not suffice, with the batch size that fits; if
            another process of the training is lost.
    """
    config = from_dict(to_dict(config))  # one that was put together in Python is checked as one from a file is
    record_every, keep = whole_number(record_every, "record_every", 1), whole_number(keep, "keep", 1)
    callbacks = [_as_callback(watcher) for watcher in callbacks]
    folder = None if folder is None else Path(folder)
    loop = _Loop(config, clips, model, folder, validation, record_every, keep, resume)
    if resume:
        loop.restore()
    run, told, between_steps = loop.run, callbacks if loop.accelerator.is_main_process else (), True
    for callback in told:
        callback.on_start(run)
    # Signals stay gentle until all is written: a launcher sends SIGTERM when another process has ended before this one.
    gently = _gentle_signals(run) if folder is not None else nullcontext()
    with ExitStack() as at_the_end:
        at_the_end.enter_context(lost_process_told(lambda: run.step + 1))
        at_the_end.enter_context(gently)
        at_the_end.enter_context(fastest_convolutions(loop.device))
        at_the_end.callback(loop.writer.close)
        for callback in told:
            at_the_end.callback(callback.close)
        out_of_memory = False
        try:
            loop.go(told)
            if run.failed and loop.back_to_float32():
                loop.go(told)
        except KeyboardInterrupt:
            run.interrupted, between_steps = True, False
        except torch.OutOfMemoryError:
            out_of_memory = True  # the error's traceback holds what the step had computed: first let go of it
        if out_of_memory:
            raise SopeduError(_advice_on_memory(loop))
        loop.finish(between_steps)
        for callback in told:
            callback.on_end(run)
    if run.failed:
        raise SopeduError(
            f"the loss was no longer finite at step {run.step}: lower the learning rate, or train in float32 "
            "(--set training.precision=float32)"
        )
    return run


class _Loop:
    """One training on one process: what it needs between two steps, and how that is kept and brought back."""

    def __init__(
        self,
        config: Config,
        clips: ClipDataset,
        model: SoundOfPixels | None,
        folder: Path | None,
        validation: Judge | None,
        record_every: int,
        keep: int,
        resume: bool = False,
    ) -> None:
        settings = config.training
        torch.manual_seed(settings.seed)
        place = join_processes()
        if model is None and resume:  # the state brings all weights, so none are fetched first
            model = untrained(config)
            model.config = config
        elif model is None:
            with place.local_main_process_first():  # what one process of a machine downloads, the others find
                model = new_model(config)
        model.level_db = training_level(clips)
        # Accelerate fixes its own mixed precision for a whole process, but a notebook trains many models in one:
        # so autocast is entered here, and Accelerate is told to leave precision alone.
        self.accelerator = Accelerator(mixed_precision="no")
        self.device, processes = self.accelerator.device, self.accelerator.num_processes
        if self.device.type == "cpu":
            self.device = torch.device("cpu")  # without the number of a process, which safetensors does not understand
        least = 1 if config.mixing.pairing == "independent" else config.mixing.sources  # mixtures of a process
        if settings.batch_size % processes or settings.batch_size < least * processes:
            raise SopeduError(
                f"training.batch_size={settings.batch_size} cannot be shared by {processes} processes: "
                f"take a multiple of {processes}, at least {least * processes}"
            )
        # Processes may differ in what they find about bf16: the first one's choice holds.
        precision, note = broadcast_object_list([*choose_precision(model, config, self.device)])
        if settings.sync_batchnorm and processes > 1:
            if self.device.type == "cpu":
                raise SopeduError("training.sync_batchnorm works on GPUs only: leave it out on the CPU")
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)  # other modules, so before some are frozen
        self.frozen = freeze(model, settings.freeze) if settings.freeze else []
        full_float32(self.device)
        model.to(self.device, memory_format=torch.channels_last)
        self.config, self.clips, self.folder, self.validation = config, clips, folder, validation
        self.record_every = record_every
        self.writer = StateWriter((folder or Path()) / "resume", keep)
        self.optimizer = make_optimizer(model, settings)
        average = MovingAverage(model, settings.average_decay) if settings.average_decay else None
        self.run = Run(
            config, model, clips.class_names, settings.steps, precision=precision, device=str(self.device),
            processes=processes, folder=folder, average=average, notes=[note] if note else [],
        )  # fmt: skip
        self.net: torch.nn.Module | CompiledNet | None = None
        self.last_finite: FiniteState | None = None
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        self.run.workers, few = loading_processes(config, self.device, here)
        self.run.compile, uncompiled = compile_mode(config, self.device, processes)
        self.run.notes += [note for note in (unused_gpu(), few, uncompiled) if note]
        self.losses: list[torch.Tensor] = []  # of the steps since the last record
        self.seconds_before = 0.0
        self.settings_note = {"processes": processes, "clips": len(clips), "class_names": list(clips.class_names)}

    def go(self, callbacks: Sequence[Callback]) -> None:
        run, settings, rank = self.run, self.config.training, self.accelerator.process_index
        if self.net is None:
            self.net = self.accelerator.prepare_model(run.model, device_placement=False)
            if run.compile != "none":
                self.net = CompiledNet(self.net, run.compile, run.notes.append if settings.compile == "auto" else None)
        net = self.net
        if run.precision == "bf16":
            self.last_finite = FiniteState.of(run, self.optimizer)
        sampler = TrainingSampler(self.clips, run.steps, run.step, rank, run.processes)
        on_gpu = self.device.type == "cuda"
        loader = DataLoader(
            self.clips,
            batch_sampler=sampler,
            num_workers=run.workers,
            pin_memory=on_gpu,
            collate_fn=collate,
            worker_init_fn=_leave_signals_to_the_parent,
            multiprocessing_context="fork" if run.workers and settings.workers == "auto" else None,
        )
        copies = torch.cuda.Stream(self.device) if on_gpu else None
        training_mode(run.model, self.frozen)
        self.began = self.recorded = time.perf_counter()
        self.waited = 0.0
        failures = Failures(len(self.clips))
        for batch in self.timed(loader):
            run.notes += failures.new(batch)
            run.unreadable_clips, (waveforms, frames, labels) = len(failures), batch[:3]
            step, chance = run.step, np.random.default_rng([settings.seed, run.step, rank])
            rate = set_rates(self.optimizer, step, settings)
            pasted = int((step + 1) * self.config.mixing.pasted_share) > int(step * self.config.mixing.pasted_share)
            waveforms, frames = _on_device((waveforms, frames), self.device, copies)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=run.precision == "bf16"):
                loss, mixtures = mixture_loss(net, waveforms, frames, labels.numpy(), self.config, chance, pasted)
            loss.backward()
            if settings.clip_gradient:
                torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_gradient)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if run.average:
                run.average.update(run.model, step)
            self.losses.append(loss.detach())
            run.step, run.same_class_mixtures = step + 1, run.same_class_mixtures + mixtures.same_class
            if run.step % self.record_every == 0 or run.step == run.steps:
                if not self.record(rate):
                    break
                for callback in callbacks:
                    callback.on_record(run)
                training_mode(run.model, self.frozen)  # whatever a callback left it in
            if self.folder and run.step % settings.save_every == 0:
                self.save()
            if self.agreed_to_stop():
                break

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches as they come; ``self.waited`` counts the seconds until they are there."""
        source = iter(batches)
        while True:
            began = time.perf_counter()
            batch = next(source, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def record(self, rate: float) -> bool:
        """Write an entry of the history; False if the loss is not finite any more."""
        run = self.run
        recorded = self.accelerator.reduce(torch.stack(self.losses), "mean")
        self.losses.clear()
        if not _all_finite(run, recorded):
            return False
        if run.precision == "bf16" and not weights_are_finite(run.model):
            run.failed = True
            return False
        now = time.perf_counter()  # only now: to know the losses was to wait for all steps that a GPU had queued
        run.seconds = self.seconds_before + now - self.began
        speed = len(recorded) * self.config.training.batch_size / (now - self.recorded)
        entry = {"step": run.step, "loss": recorded.mean().item(), "learning_rate": rate, "seconds": run.seconds}
        waiting = min(1.0, self.waited / (now - self.recorded))
        run.history.append(entry | {"mixtures_per_second": round(speed, 2), "waiting": round(waiting, 3)})
        every = self.config.training.validate_every
        if self.validation and every and (run.step % every < self.record_every or run.step == run.steps):
            self.validate()
        if run.precision == "bf16":
            self.last_finite = FiniteState.of(run, self.optimizer)
        self.recorded, self.waited = time.perf_counter(), 0.0
        return True

    def back_to_float32(self) -> bool:
        """After a failure in bf16: go back to the last finite state, in float32; False where there is no such way."""
        if self.last_finite is None:
            return False
        self.last_finite.give_back(self.run, self.optimizer)
        self.losses.clear()
        self.last_finite = None
        self.seconds_before = self.run.seconds  # the clock of the loop begins anew
        return True

    def validate(self) -> None:
        run = self.run
        run.result.eval()
        for buffer in run.result.buffers():  # running statistics of the process whose model is kept
            broadcast(buffer)
        rank = self.accelerator.process_index
        scores = self.validation.scores(run.result, rank, run.processes).to(self.device)
        sums = torch.stack([scores.nansum(0), (~scores.isnan()).sum(0).float()])
        total, count = self.accelerator.reduce(sums, "sum")
        loss, sdr = (total / count).tolist()
        if run.result is run.model:
            training_mode(run.model, self.frozen)
        run.history[-1] |= {"validation_loss": loss, "validation_sdr": sdr}
        if not run.best or sdr > run.best["validation_sdr"]:
            run.best = {"step": run.step, "validation_sdr": sdr}

    def agreed_to_stop(self) -> bool:
        """Whether to end after this step; several processes ask each other, at records only, for asking takes time."""
        run = self.run
        if run.processes > 1:
            if run.step % self.record_every:
                return False
            wishes = torch.tensor([run.stop, run.terminated, run.interrupted], dtype=torch.int32, device=self.device)
            stop, terminated, interrupted = (wish > 0 for wish in self.accelerator.reduce(wishes, "sum").tolist())
            # A signal that came since the question was asked is no part of the answer, and waits for the next one.
            run.stop, run.terminated = run.stop or stop, run.terminated or terminated
            run.interrupted = run.interrupted or interrupted
            return stop
        return run.stop

    def save(self) -> None:
        run = self.run
        losses = self.accelerator.reduce(torch.stack(self.losses), "mean").tolist() if self.losses else []
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model.{name}": value for name, value in run.model.state_dict().items()}
        finite = torch.stack([torch.isfinite(value).all() for value in tensors.values()]).all()
        if not np.isfinite(losses).all() or not bool(finite):
            return  # the next record tells of it; the states that are there are what can still be resumed from
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
        if run.average:
            tensors |= {f"average.{name}": value for name, value in run.average.model.state_dict().items()}
        values = {
            "config": to_dict(self.config),
            "made_of": self.settings_note,
            "precision": run.precision,
            "seconds": self.seconds_before + time.perf_counter() - self.began,
            "same_class_mixtures": run.same_class_mixtures,
            "best": dict(run.best),
            "history": [dict(entry) for entry in run.history],  # which go on growing while this is written
            "losses_since": losses,
            "torch_generator": base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode(),
        }
        self.writer.write(State(run.step, tensors, values))

    def restore(self) -> None:
        """Become what the newest state says."""
        if self.folder is None:
            raise SopeduError("to resume, name the folder of the run")
        run = self.run
        state, damaged = load_state(self.folder / "resume", self.device)
        run.notes += damaged
        values, given = state.values, to_dict(self.config)
        differences = different_settings(values["config"], given)
        differences += different_settings({"data": values["made_of"]}, {"data": self.settings_note})
        # How often something is written changes nothing that is learned.
        harmless = ("training.save_every", "training.validate_every", "training.workers")
        differences = [text for text in differences if not text.startswith(harmless)]
        if differences:
            raise SopeduError(f"{self.folder}: cannot resume with other settings: {'; '.join(differences)}")
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
        for name, value in state.tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        run.model.load_state_dict(parts["model"])
        restore_optimizer(self.optimizer, parts["optimizer"])
        if run.average:
            run.average.model.load_state_dict(parts["average"])
        run.step, run.precision, run.best, run.history[:] = (
            state.step, values["precision"], values["best"], values["history"],
        )  # fmt: skip
        run.same_class_mixtures, self.seconds_before = values["same_class_mixtures"], values["seconds"]
        run.seconds = self.seconds_before
        self.losses = [torch.tensor(loss, device=self.device) for loss in values["losses_since"]]
        generator = np.frombuffer(base64.b64decode(values["torch_generator"]), np.uint8).copy()
        torch.set_rng_state(torch.from_numpy(generator))

    def finish(self, between_steps: bool) -> None:
        run = self.run
        if self.losses and not run.failed:
            _all_finite(run, torch.stack(self.losses))
        began = getattr(self, "began", None)
        if began is not None:
            run.seconds = self.seconds_before + time.perf_counter() - began
            if self.folder and between_steps and not run.failed and run.step % self.config.training.save_every:
                self.save()
        self.writer.wait()
        run.model.eval()


def new_model(config: Config) -> SoundOfPixels:
    """Build a model with the starting weights its configuration names."""
    model = SoundOfPixels(config)
    if config.model.frame_weights == "procedural":
        from sopedu.model.warm_start import load_warm_start

        load_warm_start(model.frame_net)
    return model


@contextmanager
def _gentle_signals(run: Run) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and the first Ctrl-C end the run after its step; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        run.stop = True
        if number != signal.SIGINT:
            run.terminated = True
        else:
            run.interrupted = True
            if run.processes == 1:  # a launcher tells its processes of a Ctrl-C that they have seen themselves
                signal.signal(signal.SIGINT, signal.default_int_handler)

    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)  # which Windows lacks, and which nohup ignores
    numbers = {signal.SIGTERM, signal.SIGINT, *([hangup] if signal.getsignal(hangup) != signal.SIG_IGN else [])}
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_signals_to_the_parent(_: int) -> None:
    """A terminal's Ctrl-C and a launcher's SIGTERM go to a whole process group: the parent decides what they mean."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)


def _on_device(
    parts: tuple[torch.Tensor, ...], device: torch.device, copies: torch.cuda.Stream | None
) -> list[torch.Tensor]:
    """Copy a batch to the device; with a stream of their own for copies, while the step before is still computed."""
    if copies is None:
        return [part.to(device, non_blocking=True) for part in parts]
    work = torch.cuda.current_stream(device)
    with torch.cuda.stream(copies):
        there = [part.to(device, non_blocking=True) for part in parts]
    work.wait_stream(copies)
    for part in there:
        part.record_stream(work)  # so that its memory is not given away while the step still needs it
    return there


def _advice_on_memory(loop: _Loop) -> str:
    """Try smaller batches until one fits, and say so."""
    config, loop.losses, when = loop.config, [], f"out of memory at step {loop.run.step + 1}"
    batch = config.training.batch_size // loop.run.processes
    while batch // 2 >= config.mixing.sources:
        batch //= 2
        if _fits(loop, batch):
            fits = batch * loop.run.processes
            return f"{when}: a batch of {fits} fits (--set training.batch_size={fits})"
    return f"{when}, and no smaller batch fits: choose a smaller model"


def _fits(loop: _Loop, batch: int) -> bool:
    """Whether memory suffices for loss and gradients of a batch; what it took is free when this returns."""
    config, size = loop.config, loop.config.frames.size
    loop.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    if loop.device.type == "cuda":
        torch.cuda.empty_cache()
    solos = batch * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    waveforms = torch.zeros(solos, config.spectrogram.samples, device=loop.device)
    pictures = torch.zeros(solos, config.frames.count, 3, size, size, dtype=torch.uint8, device=loop.device)
    try:
        with torch.autocast(loop.device.type, torch.bfloat16, enabled=loop.run.precision == "bf16"):
            loss, _ = mixture_loss(
                loop.run.model, waveforms, pictures, np.arange(solos), config, np.random.default_rng(0)
            )
        loss.backward()
    except torch.OutOfMemoryError:
        return False
    return True


def _all_finite(run: Run, losses: torch.Tensor) -> bool:
    """Mark the run as failed, at the first step whose loss was not finite."""
    finite = torch.isfinite(losses).cpu()
    if not bool(finite.all()):
        run.failed = True
        run.step += 1 - len(losses) + int((~finite).nonzero()[0])
    return not run.failed
