"""A training in a folder of its own: what ``sopedu train`` does, as one function.

The folder holds ``run.json`` (the request), ``checkpoint/`` (the newest model), ``best/`` (the model with the best
validation), ``history.jsonl``, and ``resume/`` (states to resume from). The same function serves one process, a
notebook's ``accelerate.notebook_launcher`` and each process that ``accelerate launch`` or ``torchrun`` starts.

Notebook: 13_train_full.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config, from_dict, preset, to_dict
from sopedu.data.clips import ClipDataset
from sopedu.data.opening import open_clips
from sopedu.errors import SopeduError, whole_number
from sopedu.files import write_json, writing
from sopedu.folders import folder_written_aside, require_new_folder, through_links
from sopedu.machine import device_name
from sopedu.model.checkpoints import load_checkpoint
from sopedu.model.heads import heads_config, new_heads
from sopedu.model.modes import untrained
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.model.widening import is_wider, widened
from sopedu.training.callbacks import JsonLinesHistory, KeepCheckpoint, Progress, TensorBoard
from sopedu.training.distributed import explain_lost_process, join_processes
from sopedu.training.loop import train
from sopedu.training.rate_range import RateRange, learning_rate_range
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
    heads_of: str | Path | None = None,
    root: str | Path | None = None,
    frame_rate: float | None = None,
) -> Run:
    """Train in a new folder, or resume the training of a folder.

    Args:
        out: folder of the run; a new one, or with ``resume`` the one to resume.
        config: of model and training; None: preset ``tiny``, or with ``heads_of`` what
            :func:`sopedu.model.heads.heads_config` makes; with ``resume`` that of the run, and another is refused.
        data: ``toyband``, ``toyband+FOLDER`` (half of its solos sound like recordings ``FOLDER/<class>/…``), or an
            index CSV; None: ``toyband``, with ``resume`` that of the run. Another is refused.
        start_from: folder or name of a checkpoint with the weights to begin with (fine-tuning), see also
            ``training.freeze``; None: new weights, with ``resume`` those of the run. Another is refused.
        resume: continue from the newest state in the folder.
        validation_pairs: held-out mixtures for the validation every ``training.validate_every`` steps; None: 32, with
            ``resume`` as many as before. Another number is refused, because the scores could not be compared.
        keep: number of states to resume from that stay on the disk; None: 2, with ``resume`` as many as before.
        tensorboard: whether to write ``tensorboard/``; None: no, with ``resume`` if it was written before.
        callbacks: in addition to progress, history and checkpoints.
        say: function that prints a line of text.
        heads_of: folder or name of a checkpoint whose trunk gets new heads, see :mod:`sopedu.model.heads`; instead of
            ``start_from``.
        root: the folder in which the paths of the index begin; None: it is found, with ``resume`` as before.
        frame_rate: frames per second of the prepared data; None: found from some clips, with ``resume`` as before.

    Returns:
        the finished run.

    Raises:
        SopeduError: the folder is in use, is not empty, or cannot be resumed; the errors of :func:`sopedu.train`.
    """
    out, place = through_links(out), join_processes()
    main = place.is_main_process
    say = say if main else lambda _: None
    start_from, heads_of = (None if origin is None else str(origin) for origin in (start_from, heads_of))
    request = _request(
        out, resume, config=config, data=data, start_from=start_from, keep=keep, validation_pairs=validation_pairs,
        tensorboard=tensorboard, heads_of=heads_of, root=None if root is None else str(root), frame_rate=frame_rate,
    )  # fmt: skip
    if main and not resume:
        require_new_run(out)
    with explain_lost_process(), locked(out) if main else nullcontext():
        from_state = resume and holds_state(out / "resume")  # before the main process writes one
        place.wait_for_everyone()
        if resume and not from_state:
            say(f"{out}: the run ended before its first state was written, so it begins at step 0")
        model = None if from_state else _first_model(request, say)
        with place.local_main_process_first():  # it renders or indexes the data, the others read the result
            clips, held_out = _open(request)
            validation = None
            if request.config.training.validate_every:
                validation = Validation(held_out, request.validation_pairs)
        say(f"{len(clips)} clips of {len(clips.class_names)} classes: {', '.join(clips.class_names)}")
        for note in clips.check_files() if main else ():
            say(f"note: {note}")
        watchers = [
            *([] if from_state else [_WriteRequest(out / "run.json", request)]),
            _Announce(out, say),
            Progress(),
            JsonLinesHistory(out / "history.jsonl"),
            KeepCheckpoint(out / "checkpoint", request.data),
            *([TensorBoard(out / "tensorboard", held_out)] if request.tensorboard and main else []),
            *callbacks,
        ]
        return train(
            request.config, clips, model, watchers,
            folder=out, resume=from_state, validation=validation, keep=request.keep,
        )  # fmt: skip


def find_rate(
    out: str | Path,
    config: Config | None = None,
    data: str | None = None,
    start_from: str | Path | None = None,
    say: Callable[[str], object] = print,
) -> RateRange:
    """Run a learning-rate range test and write what it finds: ``learning_rate.json`` and ``learning_rate.png``.

    Args:
        out: new folder.
        config: of the training; None: preset ``tiny``.
        data: ``toyband`` or an index CSV; None: ``toyband``.
        start_from: folder or name of a checkpoint with the weights to begin with; None: new weights.
        say: function that prints a line of text.

    Returns:
        the losses, and a suggestion.

    Raises:
        SopeduError: the folder is not empty; the errors of :func:`sopedu.training.learning_rate_range`.

    Notebook: 09_train_live.
    """
    from sopedu.plots import plot_rates, save_figure

    out = require_new_folder(out)
    request = Request(config or preset("tiny"), data or "toyband", None if start_from is None else str(start_from))
    clips = open_clips(request.data, request.config)
    for note in clips.check_files():
        say(f"note: {note}")
    model = None if request.start_from is None else _weights_of(request, say)
    found = learning_rate_range(request.config, clips, model)
    with folder_written_aside(out) as unfinished:
        figures = found.figures()
        write_json(unfinished / "learning_rate.json", figures)
        save_figure(unfinished / "learning_rate.png", plot_rates(figures))
    return found


@dataclass(frozen=True)
class Request:
    """What was asked for when a run was started, as its ``run.json`` holds it; see :func:`train_run`.

    Attributes:
        config: of model and training.
        data: ``toyband`` or an index CSV.
        start_from: checkpoint with the weights to begin with, or None.
        validation_pairs: number of held-out mixtures.
        keep: number of states that stay on the disk.
        tensorboard: whether to write files for TensorBoard.
        heads_of: checkpoint whose trunk gets new heads, or None.
    """

    config: Config
    data: str = "toyband"
    start_from: str | None = None
    validation_pairs: int = 32
    keep: int = 2
    tensorboard: bool = False
    heads_of: str | None = None
    root: str | None = None
    frame_rate: float | None = None

    def require_same(self, given: Mapping[str, Any], out: Path) -> None:
        """Check that a resumed run gets no argument that would change what is learned or compared.

        Args:
            given: by name of the attribute; None: as before. Another configuration is refused by the training itself.
            out: folder of the run.

        Raises:
            SopeduError: data, initial weights or validation pairs are different.
        """
        for name in ("data", "start_from", "heads_of", "validation_pairs", "root", "frame_rate"):
            before, now = getattr(self, name), given[name]
            if now is not None and now != before:
                raise SopeduError(
                    f"{out}: cannot resume with another {name}: it was {before!r}, is {now!r}; leave it out"
                )


def requested(out: str | Path) -> Request:
    """Read what was asked for when a run was started; what earlier versions did not write has its default.

    Args:
        out: folder of the run.

    Raises:
        SopeduError: there is no such run, or its ``run.json`` is damaged.
    """
    path = Path(out) / "run.json"
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        names = ("start_from", "validation_pairs", "keep", "tensorboard", "heads_of", "root", "frame_rate")
        known = {name: written[name] for name in names if name in written}
        return Request(from_dict(written["config"]), str(written["data"]), **known)
    except FileNotFoundError as error:
        raise SopeduError(f"{path}: no such file, so there is no run to resume; train without --resume") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SopeduError(f"{path}: not readable as what a run was asked for ({error}); start anew") from error


def require_new_run(out: Path) -> None:
    """Check that a folder is free for a new run; files of a run that was killed before it trained do not count.

    Args:
        out: folder of the run.

    Raises:
        SopeduError: it holds a run or something else.
    """
    if (out / "run.json").is_file():
        raise SopeduError(f"{out}: already exists and holds a run; go on with it by --resume, or choose another --out")
    left = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not left or any(name != ".lock" and not name.startswith(".run.") for name in left):
        require_new_folder(out)


def _request(out: Path, resume: bool, **given: Any) -> Request:
    """Fill in arguments that are None from the stored request, or from defaults."""
    for name in ("keep", "validation_pairs"):
        given[name] = None if given[name] is None else whole_number(given[name], name, 1)
    if resume:
        request = requested(out)
        request.require_same(given, out)
    else:
        if given["start_from"] and given["heads_of"]:
            raise SopeduError("a training begins with the weights of a checkpoint, or with its trunk: name only one")
        request = Request(heads_config(given["heads_of"]) if given["heads_of"] else preset("tiny"))
    return replace(request, **{name: value for name, value in given.items() if value is not None})


class _WriteRequest(Callback):
    """Writes the request when the training begins, so that a training that is refused leaves no folder behind."""

    def __init__(self, path: Path, request: Request) -> None:
        self.path, self.request = path, request

    def on_start(self, run: Run) -> None:
        write_json(self.path, vars(self.request) | {"config": to_dict(self.request.config)})


class _Announce(Callback):
    """Reports in one line where and how the training begins."""

    def __init__(self, out: Path, say: Callable[[str], object]) -> None:
        self.out, self.say = out, say

    def on_start(self, run: Run) -> None:
        several = f"{run.processes} × " if run.processes > 1 else ""
        loading = f"{run.workers} processes load clips" if run.workers else "clips are loaded between steps"
        compiled = "not compiled" if run.compile == "none" else f"compiled ({run.compile})"
        steps = f"steps {run.step + 1} to {run.steps}" if run.step else f"{run.steps} steps"
        where = device_name(torch.device(run.device))
        self.say(f"{several}{where}, {run.precision}, {loading}, {compiled}, {steps}, results in {self.out}")


def _open(request: Request) -> tuple[ClipDataset, ClipDataset | None]:
    """Open the clips to train on, and those that are held out if something needs them."""
    config, data = request.config, request.data
    layout = {"root": request.root, "frame_rate": request.frame_rate}
    clips = open_clips(data, config, **layout)
    if not (config.training.validate_every or request.tensorboard):
        return clips, None
    return clips, open_clips(data, config, "validation", 2 * request.validation_pairs, clips.class_names, **layout)


def _first_model(request: Request, say: Callable[[str], object]) -> SoundOfPixels | None:
    """Build the model to begin with; None for a new one."""
    if request.heads_of is not None:
        say(f"the trunk of {request.heads_of} with new heads")
        return new_heads(request.heads_of, request.config)
    return None if request.start_from is None else _weights_of(request, say)


def _weights_of(request: Request, say: Callable[[str], object]) -> SoundOfPixels:
    """Build a model with a checkpoint's weights where they fit; print which parts start anew."""
    config, start_from = request.config, request.start_from
    begin, model = load_checkpoint(start_from).model, untrained(config)
    if is_wider(begin.config, config):
        wide = replace(begin.config.model, audio_channels=config.model.audio_channels)
        begin = widened(begin, replace(begin.config, model=wide))
        say(f"the audio net of {start_from} gets more channels and still computes the same")
    given, wanted = begin.state_dict(), model.state_dict()
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
def locked(out: Path, work: str = "training") -> Iterator[None]:
    """Lock a folder against a second run or sweep; the lock ends with the process.

    Args:
        out: the folder; made if it is not there, removed if nothing was written to it.
        work: what the folder is of, for the message.

    Raises:
        SopeduError: another process holds the lock, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise SopeduError(f"{out}: another {work} is writing there; wait for it or choose another --out") from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
        if not any(out.iterdir()):
            out.rmdir()  # the work did not begin
