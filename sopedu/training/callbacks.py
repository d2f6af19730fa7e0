"""Callbacks that watch a training: progress bar, history, checkpoints, live plot, TensorBoard.

Notebooks and the command line share them. They draw no random numbers and leave the model as it is, so a run with
callbacks equals one without them, bit by bit. In a resumed run they continue where the run continues.

Notebook: 13_train_full.
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

_MUCH_WAITING = 1 / 3  # of a training's time; from here on the bar reports it


class Progress(Callback):
    """A bar with the time left, mixtures per second, the last loss and the last validation.

    If the training waits for clips for more than a third of its time, the bar reports that too.

    Args:
        description: text before the bar.
    """

    #: Title in the bar → key in the history, format.
    _FIGURES = {
        "loss": ("loss", "{:.4f}"),
        "mixtures/s": ("mixtures_per_second", "{:.3g}"),
        "validation_loss": ("validation_loss", "{:.4f}"),
        "validation_SDR": ("validation_sdr", "{:.1f} dB"),
    }

    def __init__(self, description: str = "training") -> None:
        self.description = description

    def on_start(self, run: Run) -> None:
        """Show the bar."""
        # The clock starts now, so steps of an earlier part of the run do not count: hence ``initial``.
        self.bar = tqdm(total=run.steps, initial=run.step, desc=self.description, unit="step")
        self._notes = 0
        self._update(run)

    def on_record(self, run: Run) -> None:
        """Move the bar and show the last figures."""
        self._update(run)
        self.bar.update(run.step - self.bar.n)

    def on_end(self, run: Run) -> None:
        """Move the bar to the last step and close it."""
        self.bar.update(run.step - self.bar.n)
        self.bar.close()

    def close(self) -> None:
        """Close the bar, so that an error message does not appear in its line."""
        self.bar.close()

    def _update(self, run: Run) -> None:
        for note in run.notes[self._notes :]:  # unreadable clips, damaged states
            self.bar.write(f"note: {note}")
        self._notes, shown = len(run.notes), {}
        for title, (key, form) in self._FIGURES.items():
            value = next((entry[key] for entry in reversed(run.history) if key in entry), None)
            if value is not None:
                shown[title] = form.format(value)
        waiting = run.history[-1].get("waiting", 0.0) if run.history else 0.0
        if waiting > _MUCH_WAITING:
            shown["waiting_for_data"] = f"{waiting:.0%}, raise training.workers"
        self.bar.set_postfix(shown, refresh=False)


class JsonLinesHistory(Callback):
    """Append each record to a file of JSON lines at once, so that a killed run loses its last line at most.

    A resumed run removes records after the step where it resumes; a new run begins a new file. Figures that are not
    finite are left out. :func:`read_history` reads the file.

    Args:
        path: of the file; its folder is made if it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_start(self, run: Run) -> None:
        """Write the records up to the first step of this run."""
        kept = {}
        if run.step and self.path.exists():
            kept = {entry["step"]: entry for entry in read_history(self.path) if entry["step"] <= run.step}
        kept |= {entry["step"]: entry for entry in run.history}  # a restored state takes precedence over the file
        self._written = max(kept, default=-1)
        with written_aside(self.path, parents=True) as unfinished:
            unfinished.write_text("".join(_json_line(kept[step]) for step in sorted(kept)), encoding="utf-8")

    def on_record(self, run: Run) -> None:
        """Append new records."""
        new = [entry for entry in run.history if entry["step"] > self._written]
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write("".join(map(_json_line, new)))
        self._written = run.history[-1]["step"]


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Read the records of a run.

    Args:
        path: of the run's folder, of its ``history.jsonl``, or of the ``history.json`` of earlier versions.

    Returns:
        entries with ``step``, ``loss`` and whatever else was recorded; without a last line that is incomplete because
        the run was killed.

    Raises:
        SopeduError: there is no such file, or it does not contain records.
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
    """Save the model every ``every`` steps and at the end, also when the run is interrupted.

    The model with the best validation so far is kept in the folder ``best`` beside it.

    Args:
        folder: of the checkpoint.
        data: name of the data, to note in the checkpoint.
        every: steps between two checkpoints.
    """

    def __init__(self, folder: str | Path, data: str, every: int = 500) -> None:
        self.folder, self.data, self.every = Path(folder), data, every

    def on_start(self, run: Run) -> None:
        """Note the first step of this run."""
        self._saved_at = run.step

    def on_record(self, run: Run) -> None:
        """Save the model if it is due, and if it is the best so far."""
        if run.best.get("step") == run.step:
            self._save(run, self.folder.with_name("best"))
        if run.step - self._saved_at >= self.every:
            self._save(run, self.folder)

    def on_end(self, run: Run) -> None:
        """Save the model."""
        self._save(run, self.folder)

    def _save(self, run: Run, folder: Path) -> None:
        if run.failed:
            return  # the last good checkpoint stays
        if folder == self.folder:
            self._saved_at = run.step
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
    """Draw the learning curve in a notebook during the training, in one figure that is replaced.

    Args:
        every: steps between two drawings.
        clips: held-out clips or pairs; below the curve the predicted masks of one pair are drawn. None: only the curve.
    """

    def __init__(self, every: int = 50, clips: ClipDataset | TestPairs | None = None) -> None:
        self.every, self._pair = every, _preview(clips)

    def on_start(self, run: Run) -> None:
        """Reserve a place for the figure; draw the history of a resumed run."""
        try:
            from IPython.display import display
        except ImportError as error:
            raise SopeduError("LivePlot draws in a notebook: pip install ipython, or take Progress instead") from error
        self._handle, self._drawn_at = display(display_id=True), run.step
        if run.history:
            self._draw(run)

    def on_record(self, run: Run) -> None:
        """Draw if it is due."""
        if run.step // self.every > self._drawn_at // self.every or run.step == run.steps:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        from sopedu.plots import NotebookFigure, plot_history

        self._drawn_at = run.step
        if self._pair is None:
            figure = plot_history(run.history)
        else:
            figure = NotebookFigure(figsize=(10, 5.2), layout="constrained")
            figure.colours = 256
            above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
            plot_history(run.history, above.subplots())
            self._pair.draw_masks(run.result, below)
        self._handle.update(figure)


class TensorBoard(Callback):
    """Write files for TensorBoard: scalars, and spectrograms, masks and players of one held-out pair.

    ``tensorboard --logdir FOLDER`` shows them. A resumed run purges events of the steps that it repeats.

    Args:
        folder: for the event files; TensorBoard shows runs in one folder together.
        clips: held-out clips or pairs, of which one pair is drawn and played; None: only scalars.
        every: steps between two drawings; scalars are written at each record.

    Raises:
        SopeduError: the package tensorboard is missing; during the training: the disk is full.
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
        self._pair = _preview(clips)

    def on_start(self, run: Run) -> None:
        """Open the files; write the pair's sounds, and the estimates of the untrained model."""
        with writing(self.folder):
            self.writer = self._open(str(self.folder), purge_step=run.step + 1 if run.step else 0)
            if self._pair is not None:
                self._play(run, "mixture", self._pair.mixture[0])
                for name, source in zip(self._pair.names, self._pair.sources[0], strict=True):
                    self._play(run, f"{name}, alone", source)
        self._drawn_at = -1
        if not run.step:
            self._draw(run)
        self._drawn_at = run.step

    def on_record(self, run: Run) -> None:
        """Write scalars, and draw if it is due."""
        with writing(self.folder):
            for key, tag in self._TAGS.items():
                if key in run.history[-1]:
                    self.writer.add_scalar(tag, run.history[-1][key], run.step)
            if run.step // self.every > self._drawn_at // self.every:
                self._draw(run)
            self.writer.flush()  # flush, so that a killed run loses nothing

    def on_end(self, run: Run) -> None:
        """Draw a last time."""
        with writing(self.folder):
            if not run.failed:
                self._draw(run)

    def close(self) -> None:
        """Close the files."""
        with writing(self.folder):
            self.writer.close()

    def _draw(self, run: Run) -> None:
        if self._pair is None or self._drawn_at == run.step:
            return
        import numpy as np
        from PIL import Image

        from sopedu.plots import encode_figure

        self._drawn_at = run.step
        figure, estimates = self._pair.draw_separation(run.result)
        drawn = Image.open(io.BytesIO(encode_figure(figure, "png", dpi=90, ground="white")))
        self.writer.add_image("one held-out pair", np.asarray(drawn.convert("RGB")), run.step, dataformats="HWC")
        for name, estimate in zip(self._pair.names, estimates, strict=True):
            self._play(run, f"{name}, estimated", estimate)

    def _play(self, run: Run, tag: str, waveform: torch.Tensor) -> None:
        rate = run.config.spectrogram.sample_rate
        self.writer.add_audio(f"players/{tag}", waveform.clamp(-1, 1)[None], run.step, rate)


def _preview(clips: ClipDataset | TestPairs | None) -> ValidationPreview | None:
    if clips is None:
        return None
    from sopedu.training.validation_preview import ValidationPreview  # imports plots and evaluation

    return ValidationPreview(clips)
