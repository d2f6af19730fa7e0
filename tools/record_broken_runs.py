"""Record the healthy run and the broken ones that notebook 09_train_live shows (``make recorded-runs``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from sopedu.cli import run_command
from sopedu.data.clips import ToyBandClips
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.files import write_json
from sopedu.lessons import judge_quickly
from sopedu.lessons.broken_runs import CAUSES, broken, lesson_config
from sopedu.training.callbacks import Progress
from sopedu.training.loop import train

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def record_runs(folder: str | Path, **values: object) -> None:
    """Train a healthy run and all broken ones, and write their histories and scores.

    Args:
        folder: gets `healthy.json`, `A.json`, `B.json` and `C.json`.
        **values: changes of the lesson's configuration, see :func:`sopedu.lessons.broken_runs.lesson_config`.
    """
    config = lesson_config(**values)
    clips, pairs = ToyBandClips(config), held_out_pairs(ToyBandClips(config, "validation", 48), 24)
    for name in ("healthy", *CAUSES):
        settings, data = (config, clips) if name == "healthy" else broken(name, config, clips)
        run = train(settings, data, callbacks=[Progress(name)])
        improvement, swapped, _ = judge_quickly(run.model, pairs)
        kept = [{key: float(f"{h[key]:.4g}") for key in ("step", "loss", "learning_rate")} for h in run.history]
        figures = {"sdr_improvement": round(improvement, 2), "sdr_improvement_swapped": round(swapped, 2)}
        write_json(Path(folder) / f"{name}.json", figures | {"history": kept})


@app.command()
def main(out: Annotated[Path, typer.Option(help="Folder for the four files.")] = Path("runs/recorded_runs")) -> None:
    """Train the healthy run and the broken ones (four minutes on one core)."""
    torch.set_num_threads(1)  # the same figures on every machine with one kind of CPU
    out.mkdir(parents=True, exist_ok=True)
    record_runs(out)
    typer.echo(str(out))


if __name__ == "__main__":
    run_command(app)
