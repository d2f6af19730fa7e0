"""A training in a folder of its own: what ``sopedu train`` does, as one function (notebook 13_train_full).

The folder holds ``run.json`` (what was asked for), ``checkpoint/`` (the model as it is), ``best/`` (as it was at the
best validation), ``history.jsonl``, and ``resume/`` (states to go on from). The same function serves one process, a
notebook's ``accelerate.notebook_launcher`` and every process that ``accelerate launch`` or ``torchrun`` starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config, from_dict, preset, to_dict
from sopedu.data.clips import open_clips
from sopedu.errors import SopeduError, whole_number
from sopedu.files import require_new_folder, through_links, write_json, writing
from sopedu.machine import device_name
from sopedu.model.checkpoints import load_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels, untrained
from sopedu.training.callbacks import JsonLinesHistory, KeepCheckpoint, Progress, TensorBoard
from sopedu.training.distributed import join_processes, lost_process_told
from sopedu.training.loop import train
from sopedu.training.resume import holds_state
from sopedu.training.run import Callback, Run
from sopedu.training.validation import Validation


def train_run(
    out: str | Path,
    config: Config | None = None,
    data: str | None = None,
    start_from: str | Path | None = None,
    resume: bool = False,
    validation_pairs: int | None = None,
    keep: int | None = None,
    tensorboard: bool | None = None,
    callbacks: Sequence[Callback] = (),
    say: Callable[[str], object] = print,
) -> Run:
    """Train in a new folder, or go on with the training in a folder.

    Args:
        out: the run's folder; new, or with ``resume`` the one to go on with.
        config: by default preset ``tiny``; with ``resume`` that of the run, and another is refused.
        data: ``toyband`` (the default) or an index CSV; with ``resume`` that of the run, and another is refused.
        start_from: folder or name of a checkpoint whose weights to begin with (fine-tuning); see also
            ``training.freeze``. With ``resume`` that of the run, and another is refused.
        validation_pairs: held-out mixtures to validate on every ``training.validate_every`` steps, 32 by default; with
            ``resume`` as many as before, and another number is refused, for scores would not compare.
        keep: how many states to resume from stay on disk; by default 2, with ``resume`` as many as before.
        tensorboard: also write ``tensorboard/``; with ``resume`` by default if it was written before.
        callbacks: further ones, beside progress, history and checkpoints.
        say: what to do with lines of text.

    Raises:
        SopeduError: the folder is in use, holds something or nothing; what :func:`sopedu.train` raises.
    """
    out, place = through_links(out), join_processes()
    main = place.is_main_process
    say = say if main else lambda _: None
    given = {
        "data": data, "start_from": None if start_from is None else str(start_from), "keep": keep,
        "validation_pairs": validation_pairs, "tensorboard": tensorboard,
    }  # fmt: skip
    for name in ("keep", "validation_pairs"):
        given[name] = None if given[name] is None else whole_number(given[name], name, 1)
    if resume:
        request = requested(out)
        config, request = config or request.config, request.compared(given, out)
    else:
        config = config or preset("tiny")
        request = Request(config).completed(given)
        if main:
            require_new_run(out)
    data = request.data
    with lost_process_told(), _locked(out) if main else nullcontext():
        goes_on = resume and holds_state(out / "resume")  # asked before anybody writes one
        place.wait_for_everyone()
        if resume and not goes_on:
            say(f"{out}: the run ended before its first state was written, so it begins at step 0")
        with place.local_main_process_first():  # what is rendered or indexed by one is read by the others
            clips = open_clips(data, config)
            validation, held_out = None, None
            if config.training.validate_every or request.tensorboard:
                held_out = open_clips(data, config, "validation", 2 * request.validation_pairs, clips.class_names)
            if config.training.validate_every:
                validation = Validation(held_out, request.validation_pairs)
        say(f"{len(clips)} clips of {len(clips.class_names)} classes: {', '.join(clips.class_names)}")
        for note in clips.check_files() if main else ():
            say(f"note: {note}")
        model = None if request.start_from is None or goes_on else _weights_of(request.start_from, config, say)
        watching = [] if goes_on else [_WriteRequest(out / "run.json", replace(request, config=config))]
        watching += [_Told(out, say), Progress()]
        watching += [JsonLinesHistory(out / "history.jsonl"), KeepCheckpoint(out / "checkpoint", data)]
        watching += [TensorBoard(out / "tensorboard", held_out)] if request.tensorboard and main else []
        return train(
            config, clips, model, [*watching, *callbacks],
            folder=out, resume=goes_on, validation=validation, keep=request.keep,
        )  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a run was asked for, as its ``run.json`` holds it."""

    config: Config
    data: str = "toyband"
    start_from: str | None = None
    validation_pairs: int = 32
    keep: int = 2
    tensorboard: bool = False

    def completed(self, given: dict[str, Any]) -> Request:
        """The request with what is given now; None stands for what was asked for before."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def compared(self, given: dict[str, Any], out: Path) -> Request:
        """The request of a run that goes on.

        Raises:
            SopeduError: something is given that decides what is learned or compared, and it was different before.
        """
        for name in ("data", "start_from", "validation_pairs"):
            before, now = getattr(self, name), given[name]
            if now is not None and now != before:
                raise SopeduError(
                    f"{out}: cannot resume with another {name}: it was {before!r}, is {now!r}; leave it out"
                )
        return self.completed(given)


class _WriteRequest(Callback):
    """Writes what was asked for when the training begins: one that is refused before leaves no folder behind."""

    def __init__(self, path: Path, request: Request) -> None:
        self.path, self.request = path, request

    def on_start(self, run: Run) -> None:
        values = {name: value for name, value in vars(self.request).items() if name != "config"}
        write_json(self.path, values | {"config": to_dict(self.request.config)})


def require_new_run(out: Path) -> None:
    """Refuse a folder that holds something; what a training leaves that was killed while it rendered is nothing."""
    if (out / "run.json").is_file():
        raise SopeduError(f"{out}: already exists and holds a run; go on with it by --resume, or choose another --out")
    left = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not left or any(name != ".lock" and not name.startswith(".run.") for name in left):
        require_new_folder(out)


class _Told(Callback):
    """Says in one line what begins, when it is known."""

    def __init__(self, out: Path, say: Callable[[str], object]) -> None:
        self.out, self.say = out, say

    def on_start(self, run: Run) -> None:
        several = f"{run.processes} × " if run.processes > 1 else ""
        loading = f"{run.workers} processes load clips" if run.workers else "clips are loaded between steps"
        compiled = "not compiled" if run.compile == "none" else f"compiled ({run.compile})"
        steps = f"steps {run.step + 1} to {run.steps}" if run.step else f"{run.steps} steps"
        where = device_name(torch.device(run.device))
        self.say(f"{several}{where}, {run.precision}, {loading}, {compiled}, {steps}, results in {self.out}")


def requested(out: str | Path) -> Request:
    """What a run was asked for, from its ``run.json``; what earlier versions did not write has its default.

    Raises:
        SopeduError: there is no such run, or the file is damaged.
    """
    path = Path(out) / "run.json"
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
        known = {
            name: asked[name] for name in ("start_from", "validation_pairs", "keep", "tensorboard") if name in asked
        }
        return Request(from_dict(asked["config"]), str(asked["data"]), **known)
    except FileNotFoundError as error:
        raise SopeduError(f"{path}: no such file, so there is no run to resume; train without --resume") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SopeduError(f"{path}: not readable as what a run was asked for ({error}); start anew") from error


def _weights_of(start_from: str | Path, config: Config, say: Callable[[str], object]) -> SoundOfPixels:
    """A model of this configuration with a checkpoint's weights wherever they fit; what begins anew is said."""
    model = untrained(config)
    given, wanted = load_checkpoint(start_from).model.state_dict(), model.state_dict()
    fitting = {name for name, value in wanted.items() if name in given and given[name].shape == value.shape}
    anew = sorted({".".join(name.split(".")[:2]) for name in wanted.keys() - fitting})
    if len(fitting) < len(wanted) / 2:
        raise SopeduError(
            f"{start_from}: most of its weights do not fit this model ({', '.join(anew[:3])} …); "
            "take its preset and sizes (--set model…)"
        )
    model.load_state_dict(wanted | {name: given[name] for name in fitting})
    model.config = config
    say(f"weights of {start_from}" + (f"; what does not fit begins anew: {', '.join(anew)}" if anew else ""))
    return model


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second run away from the folder; the lock ends with its process."""
    from filelock import FileLock, Timeout

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise SopeduError(
                f"{out}: another training is writing there; wait for it or choose another --out"
            ) from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
        if not any(out.iterdir()):
            out.rmdir()  # nothing came of it
