"""What watches a training: progress bar, history, live plot, TensorBoard, checkpoints (notebook 13_train_full).

Notebooks and the command line share them. A callback looks on: it draws no random number and leaves the model as it
found it, so a watched run is the same run, bit for bit. All of them go on where a resumed run goes on.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from sopedu.data.clips import ClipDataset
from sopedu.errors import SopeduError
from sopedu.files import writing, written_aside
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.training.run import Callback, Run

if TYPE_CHECKING:
    from sopedu.evaluation.pairs import TestPairs
    from sopedu.training.validation_preview import ValidationPreview

_MUCH_WAITING = 1 / 3  # of a training's time: from here on the bar says so


class Progress(Callback):
    """A bar with the time left, mixtures a second, the last loss and the last validation.

    Where more than a third of the time goes by waiting for clips, it says that too.
    """

    def __init__(self, description: str = "training") -> None:
        self.description = description

    def on_start(self, run: Run) -> None:
        # Steps of an earlier part of the run are done, but this part's clock knows nothing of them: hence ``initial``.
        self.bar = tqdm(total=run.steps, initial=run.step, desc=self.description, unit="step")
        self.told = 0
        self._say(run)

    def on_record(self, run: Run) -> None:
        self._say(run)
        self.bar.update(run.step - self.bar.n)

    def on_end(self, run: Run) -> None:
        self.bar.update(run.step - self.bar.n)
        self.bar.close()

    def close(self) -> None:  # a line about an error shall not land behind the bar
        self.bar.close()

    def _say(self, run: Run) -> None:
        for note in run.notes[self.told :]:  # clips that could not be read, states that were damaged
            self.bar.write(f"note: {note}")
        self.told, said = len(run.notes), {}
        for name, key, form in (
            ("loss", "loss", "{:.4f}"),
            ("mixtures/s", "mixtures_per_second", "{:.3g}"),
            ("validation_loss", "validation_loss", "{:.4f}"),
            ("validation_SDR", "validation_sdr", "{:.1f} dB"),
        ):
            value = next((entry[key] for entry in reversed(run.history) if key in entry), None)
            if value is not None:
                said[name] = form.format(value)
        waiting = run.history[-1].get("waiting", 0.0) if run.history else 0.0
        if waiting > _MUCH_WAITING:
            said["waiting_for_data"] = f"{waiting:.0%}, raise training.workers"
        self.bar.set_postfix(said, refresh=False)


class JsonLinesHistory(Callback):
    """Append every record to a file of JSON lines at once, so that a killed run leaves all but a torn last line.

    A resumed run cuts what the file holds beyond the step it resumes at; a new one begins a new file. A figure that
    is not finite is left out. :func:`read_history` reads the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_start(self, run: Run) -> None:
        kept = {}
        if run.step and self.path.exists():
            kept = {entry["step"]: entry for entry in read_history(self.path) if entry["step"] <= run.step}
        kept |= {entry["step"]: entry for entry in run.history}  # what a checkpoint restored counts more than the file
        self.written = max(kept, default=-1)
        with written_aside(self.path, parents=True) as unfinished:
            unfinished.write_text("".join(_json_line(kept[step]) for step in sorted(kept)), encoding="utf-8")

    def on_record(self, run: Run) -> None:
        new = [entry for entry in run.history if entry["step"] > self.written]
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write("".join(map(_json_line, new)))
        self.written = run.history[-1]["step"]


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Read the records of a run: its folder, its ``history.jsonl``, or the ``history.json`` of earlier versions.

    Returns:
        entries with ``step``, ``loss`` and what else was recorded. A last line that a killed run left torn is left out.

    Raises:
        SopeduError: there is no such file, or it holds something else than records.
    """
    path = Path(path)
    if path.is_dir():
        names = [name for name in ("history.jsonl", "history.json") if (path / name).is_file()]
        if not names:
            raise SopeduError(f"{path}: holds no history.jsonl; name the folder of a run (what train --out was given)")
        path = path / names[0]
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines() if path.suffix == ".jsonl" else [json.dumps(entry) for entry in json.loads(text)]
    except FileNotFoundError as error:
        raise SopeduError(f"{path}: no such history; name a run's folder or its history.jsonl") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise SopeduError(f"{path}: not readable as a history ({error}); name a run's history.jsonl") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if not all(isinstance(entry[key], (int, float)) for key in ("step", "loss")):
                raise TypeError
            entries.append(entry)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
            if number < len(lines) or path.suffix != ".jsonl":
                raise SopeduError(
                    f"{path}: record {number} has no step and loss: {line:.40}; remove that line"
                ) from error
    return entries


def _json_line(entry: dict[str, float]) -> str:
    return json.dumps({key: value for key, value in entry.items() if math.isfinite(value)}) + "\n"


class KeepCheckpoint(Callback):
    """Save the model every so many steps and at the end, also when the run is interrupted.

    Writes the checkpoint to ``folder``, and beside it as ``best`` the one with the best validation so far.
    """

    def __init__(self, folder: str | Path, data: str, every: int = 500) -> None:
        self.folder, self.data, self.every = Path(folder), data, every
        self.saved_at = 0

    def on_start(self, run: Run) -> None:
        self.saved_at = run.step

    def on_record(self, run: Run) -> None:
        if run.best.get("step") == run.step:
            self._save(run, self.folder.with_name("best"))
        if run.step - self.saved_at >= self.every:
            self._save(run, self.folder)

    def on_end(self, run: Run) -> None:
        self._save(run, self.folder)

    def _save(self, run: Run, folder: Path) -> None:
        if run.failed:
            return  # the last good checkpoint stays
        if folder == self.folder:
            self.saved_at = run.step
        notes = {
            "data": self.data,
            "steps": run.step,
            "planned_steps": run.steps,
            "seed": run.config.training.seed,
            "precision": run.precision,
            "device": run.device,
            "processes": run.processes,
            "seconds": round(run.seconds, 1),
            "mixtures_of_one_class": run.same_class_mixtures,
        }
        save_checkpoint(folder, Checkpoint(run.result, run.class_names, notes))


class LivePlot(Callback):
    """Draw the learning curve in a notebook while it grows; one figure, replaced in place.

    Args:
        every: steps between two drawings.
        clips: held-out clips; then the masks that the model predicts for one fixed pair of them are drawn below.
    """

    def __init__(self, every: int = 50, clips: ClipDataset | TestPairs | None = None) -> None:
        self.every, self.pair = every, _watched(clips)

    def on_start(self, run: Run) -> None:
        try:
            from IPython.display import display
        except ImportError as error:
            raise SopeduError("LivePlot draws in a notebook: pip install ipython, or take Progress instead") from error
        self.handle, self.drawn_at = display(display_id=True), run.step
        if run.history:
            self._draw(run)

    def on_record(self, run: Run) -> None:
        if run.step // self.every > self.drawn_at // self.every or run.step == run.steps:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        from sopedu.plots import NotebookFigure, plot_history

        self.drawn_at = run.step
        if self.pair is None:
            figure = plot_history(run.history)
        else:
            figure = NotebookFigure(figsize=(10, 5.2), layout="constrained")
            figure.colours = 256
            above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
            plot_history(run.history, above.subplots())
            self.pair.draw_masks(run.result, below)
        self.handle.update(figure)


class TensorBoard(Callback):
    """Write what TensorBoard shows: scalars, and of one fixed pair spectrograms, masks and players.

    ``tensorboard --logdir FOLDER`` shows it. Events of steps that a resumed run makes again are purged.

    Args:
        folder: where the event files go; runs beside each other in one folder are shown together.
        clips: held-out clips, of which one pair is drawn and heard; None for scalars alone.
        every: steps between two drawings; scalars are written at every record.

    Raises:
        SopeduError: the package tensorboard is missing; or, while it runs, that the disk is full.
    """

    _TAGS = {
        "loss": "loss/training",
        "validation_loss": "loss/validation",
        "validation_sdr": "validation SDR in dB",
        "learning_rate": "learning rate",
        "mixtures_per_second": "mixtures per second",
    }

    def __init__(self, folder: str | Path, clips: ClipDataset | TestPairs | None = None, every: int = 500) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SopeduError("TensorBoard: the package is missing; pip install tensorboard") from error
        self.folder, self.every, self._open = Path(folder), every, SummaryWriter
        self.pair = _watched(clips)

    def on_start(self, run: Run) -> None:
        with writing(self.folder):
            self.writer = self._open(str(self.folder), purge_step=run.step + 1 if run.step else 0)
            if self.pair is not None:
                self._play(run, "mixture", self.pair.mixture[0])
                for name, source in zip(self.pair.names, self.pair.sources[0], strict=True):
                    self._play(run, f"{name}, alone", source)
        self.drawn_at = -1
        if not run.step:
            self._draw(run)
        self.drawn_at = run.step

    def on_record(self, run: Run) -> None:
        with writing(self.folder):
            for key, tag in self._TAGS.items():
                if key in run.history[-1]:
                    self.writer.add_scalar(tag, run.history[-1][key], run.step)
            if run.step // self.every > self.drawn_at // self.every:
                self._draw(run)
            self.writer.flush()  # a killed run keeps what it has shown

    def on_end(self, run: Run) -> None:
        with writing(self.folder):
            if not run.failed:
                self._draw(run)

    def close(self) -> None:
        with writing(self.folder):
            self.writer.close()

    def _draw(self, run: Run) -> None:
        if self.pair is None or self.drawn_at == run.step:
            return
        import numpy as np
        from PIL import Image

        from sopedu.plots import encode_figure

        self.drawn_at = run.step
        figure, estimates = self.pair.draw_separation(run.result)
        drawn = Image.open(io.BytesIO(encode_figure(figure, "png", dpi=90)))
        self.writer.add_image("one held-out pair", np.asarray(drawn.convert("RGB")), run.step, dataformats="HWC")
        for name, estimate in zip(self.pair.names, estimates, strict=True):
            self._play(run, f"{name}, estimated", estimate)

    def _play(self, run: Run, tag: str, waveform: torch.Tensor) -> None:
        rate = run.config.spectrogram.sample_rate
        self.writer.add_audio(f"players/{tag}", waveform.clamp(-1, 1)[None], run.step, rate)


def _watched(clips: ClipDataset | TestPairs | None) -> ValidationPreview | None:
    if clips is None:
        return None
    from sopedu.training.validation_preview import (
        ValidationPreview,  # draws and evaluates, which a run without it shall not have to load
    )

    return ValidationPreview(clips)
