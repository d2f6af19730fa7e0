"""Record the healthy run and the broken ones that notebook 09_train_live shows: `make recorded-runs`.

python -m tools.record_broken_runs [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from sopedu.data.clips import ToyBandClips
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.files import write_json
from sopedu.lessons.broken_runs import CAUSES, RECORDED, broken, lesson_config
from sopedu.lessons.loss_lab import judge_quickly
from sopedu.training.callbacks import Progress
from sopedu.training.loop import train


def record_runs(folder: str | Path = RECORDED) -> None:
    """Train a healthy run and all broken ones, and write their histories and scores (four minutes on one core).

    Args:
        folder: where `healthy.json`, `A.json`, `B.json` and `C.json` are written.
    """
    config = lesson_config()
    clips, pairs = ToyBandClips(config), held_out_pairs(ToyBandClips(config, "validation", 48), 24)
    for name in ("healthy", *CAUSES):
        run = train(
            *((config, clips) if name == "healthy" else broken(name, config, clips)), callbacks=[Progress(name)]
        )
        improvement, swapped, _ = judge_quickly(run.model, pairs)
        kept = [{key: float(f"{h[key]:.4g}") for key in ("step", "loss", "learning_rate")} for h in run.history]
        figures = {"sdr_improvement": round(improvement, 2), "sdr_improvement_swapped": round(swapped, 2)}
        write_json(Path(folder) / f"{name}.json", figures | {"history": kept})


if __name__ == "__main__":
    torch.set_num_threads(1)  # the same figures on every machine with one kind of CPU
    record_runs(*sys.argv[1:])
