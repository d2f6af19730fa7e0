"""What watches a training: progress bar, live plot, checkpoints. Notebooks and the command line share them."""

from __future__ import annotations

from pathlib import Path

from tqdm.auto import tqdm

from sopedu.checkpoints import Checkpoint, save_checkpoint
from sopedu.files import write_json
from sopedu.training import Callback, Run


class Progress(Callback):
    """A bar with the loss and the time left."""

    def __init__(self, description: str = "training") -> None:
        self.description = description

    def on_start(self, run: Run) -> None:
        self.bar = tqdm(total=run.steps, desc=self.description, unit="step")

    def on_record(self, run: Run) -> None:
        self.bar.set_postfix(loss=f"{run.history[-1]['loss']:.4f}", refresh=False)
        self.bar.update(run.step - self.bar.n)

    def on_end(self, run: Run) -> None:
        self.bar.close()


class KeepCheckpoint(Callback):
    """Save the model every so many steps and at the end, also when the run is interrupted.

    Writes the checkpoint to ``folder`` and the history beside it as ``history.json``.
    """

    def __init__(self, folder: str | Path, data: str, every: int = 500) -> None:
        self.folder, self.data, self.every = Path(folder), data, every
        self.saved_at = 0

    def on_record(self, run: Run) -> None:
        if run.step - self.saved_at >= self.every:
            self.save(run)

    def on_end(self, run: Run) -> None:
        self.save(run)

    def save(self, run: Run) -> None:
        if run.failed:
            return  # the last good checkpoint stays
        self.saved_at = run.step
        notes = {
            "data": self.data,
            "steps": run.step,
            "planned_steps": run.steps,
            "seed": run.config.training.seed,
            "precision": run.precision,
            "device": run.device,
            "seconds": round(run.seconds, 1),
            "mixtures_of_one_class": run.same_class_mixtures,
        }
        save_checkpoint(self.folder, Checkpoint(run.model, run.class_names, notes))
        write_json(self.folder.with_name("history.json"), run.history)


class LivePlot(Callback):
    """Draw the learning curve in a notebook while it grows; one figure, replaced in place."""

    def __init__(self, every: int = 50) -> None:
        self.every, self.drawn_at = every, 0

    def on_start(self, run: Run) -> None:
        from IPython.display import display

        self.handle = display(display_id=True)

    def on_record(self, run: Run) -> None:
        if run.step - self.drawn_at >= self.every or run.step == run.steps:
            from sopedu.plots import plot_history

            self.drawn_at = run.step
            self.handle.update(plot_history(run.history))
