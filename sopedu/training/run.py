"""The state of a running training, and the interfaces of callbacks and validations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from sopedu.config import Config
from sopedu.errors import SopeduError
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.optimizer import MovingAverage


@dataclass
class Run:
    """The state of a running training, for callbacks, which can stop it with ``run.stop = True``.

    Attributes:
        config: of the training.
        model: that is trained.
        class_names: of the clips; a label is an index into them.
        steps: budget; step: steps done.
        seconds: time taken so far.
        precision: ``float32`` or ``bf16``; device: ``cpu``, ``cuda:0`` …
        processes: of the training; workers: processes that load clips, for each of them.
        compile: as chosen, see ``training.compile``.
        folder: of the run, or None.
        same_class_mixtures: number of mixtures that had to pair a class with itself.
        unreadable_clips: number of clips that could not be read.
        failed: the loss was not finite; the model is unusable.
        interrupted: ended by Ctrl-C; terminated: ended by SIGTERM. Both can be resumed.
        best: step and validation_sdr of the best validation so far.
        history: entries with step, loss, learning_rate, seconds …
        notes: one line each on what a user should know.
        average: moving average of the weights, if there is one.
    """

    config: Config
    model: SoundOfPixels
    class_names: tuple[str, ...]
    steps: int
    step: int = 0
    seconds: float = 0.0
    precision: str = "float32"
    device: str = "cpu"
    processes: int = 1
    workers: int = 0
    compile: str = "none"
    folder: Path | None = None
    same_class_mixtures: int = 0
    unreadable_clips: int = 0
    stop: bool = False
    failed: bool = False
    interrupted: bool = False
    terminated: bool = False
    best: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    average: MovingAverage | None = None

    @property
    def result(self) -> SoundOfPixels:
        """The model to keep: the moving average of the weights if there is one."""
        return self.average.model if self.average else self.model

    def __getstate__(self) -> dict[str, Any]:
        """Leave the nets out: a process launched by a notebook returns this, after its GPU memory is freed."""
        return self.__dict__ | {"model": None, "average": None}


class Callback:
    """Base class of callbacks: override what you need. Callbacks are called in the main process only."""

    def on_start(self, run: Run) -> None:
        """Run before the first step."""

    def on_record(self, run: Run) -> None:
        """Run whenever ``run.history`` has a new entry."""

    def on_end(self, run: Run) -> None:
        """Run after the last step."""

    def close(self) -> None:
        """Run last of all, also after an error."""


def as_callback(watcher: Any) -> Callback:
    """Complete an object that has some of a callback's methods with methods that do nothing.

    Args:
        watcher: a :class:`Callback` or any other object.

    Raises:
        SopeduError: it has none of a callback's methods.
    """
    if isinstance(watcher, Callback):
        return watcher
    names = ("on_start", "on_record", "on_end", "close")
    given = {name: getattr(watcher, name) for name in names if callable(getattr(watcher, name, None))}
    if not given or isinstance(watcher, type):
        raise SopeduError(f"{watcher!r:.80}: is no callback; give an object with some of {', '.join(names)}")
    completed = Callback()
    vars(completed).update(given)
    return completed


class Validator(Protocol):
    """Scores a model on held-out pairs, such as :class:`sopedu.training.validation.Validation`."""

    def scores(self, model: SoundOfPixels, process: int = 0, processes: int = 1) -> torch.Tensor:
        """Return loss and SDR ``(n, 2)`` of the pairs of one process; NaN where there is none."""
