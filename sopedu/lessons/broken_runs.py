"""Three trainings that go wrong in ways that happen, to be told from their curves (notebook 09_train_live).

    >>> config, clips = broken("A", config, clips)
    >>> train(config, clips)

What A, B and C are is said by :data:`CAUSES`: look there last. ``make recorded-runs`` makes the
longer runs that the notebook shows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.batches import Clip
from sopedu.data.clips import ClipDataset, SampleKey, ToyBandClips
from sopedu.errors import SopeduError
from sopedu.files import write_json
from sopedu.shipped import shipped_path
from sopedu.toyband import DEMO_INSTRUMENTS

CAUSES = {
    "A": "the learning rate is a hundred times too high",
    "B": "waveforms were divided by 32768 twice: training listens to almost nothing",
    "C": "every clip shows the pictures of another one: eyes tell nothing, and both masks become the mixture's",
}
#: Where the recorded runs lie.
RECORDED = shipped_path("data_samples/recorded_runs")


class Disturbed(ClipDataset):
    """Clips that go through a fault before anybody trains on them."""

    def __init__(self, clips: ClipDataset, disturb: Callable[[Clip, Clip], Clip]) -> None:
        super().__init__(clips.config, clips.class_names, clips.labels)
        self.clips, self.disturb = clips, disturb
        self.others = np.random.default_rng(0).permutation(len(clips))

    def __getitem__(self, visit: SampleKey | int) -> Clip:
        index = visit.index if isinstance(visit, SampleKey) else visit
        other = int(self.others[index])
        also = visit._replace(index=other) if isinstance(visit, SampleKey) else other
        return self.disturb(self.clips[visit], self.clips[also])


def broken(name: str, config: Config, clips: ClipDataset) -> tuple[Config, ClipDataset]:
    """Break a training in way ``A``, ``B`` or ``C``; what is given stays whole.

    Raises:
        SopeduError: there is no such way.
    """
    if name == "A":
        rate = 100 * config.training.learning_rate
        return replace(config, training=replace(config.training, learning_rate=rate, clip_gradient=0.0)), clips
    if name == "B":
        return config, Disturbed(clips, lambda clip, _: clip._replace(waveform=clip.waveform / 32768))
    if name == "C":
        return config, Disturbed(clips, lambda clip, other: clip._replace(frames=other.frames))
    raise SopeduError(f"no fault is called {name!r}: choose one of {', '.join(CAUSES)}")


def recorded_run(name: str) -> dict[str, Any]:
    """A recorded run: ``healthy``, ``A``, ``B`` or ``C``.

    Returns:
        ``history`` as ``Run.history`` holds it, and ``sdr_improvement`` and ``sdr_improvement_swapped`` in dB.

    Raises:
        SopeduError: there is none of that name.
    """
    path = RECORDED / f"{name}.json"
    if name not in ("healthy", *CAUSES) or not path.exists():
        raise SopeduError(f"{path}: no such recorded run; make it with `make recorded-runs`")
    return json.loads(path.read_text(encoding="utf-8"))


def lesson_config(**values: Any) -> Config:
    """The configuration of notebook 09: preset ``tiny`` on four instruments and a few hundred solos."""
    changes = {"toyband.solos": 400, "toyband.empty_scenes": 32, "training.steps": 300, "training.precision": "float32"}
    changes |= {"toyband.instruments": ",".join(DEMO_INSTRUMENTS)} | {
        k.replace("__", "."): v for k, v in values.items()
    }
    return with_values(preset("tiny"), [f"{name}={value}" for name, value in changes.items()])


def record_runs(folder: str | Path = RECORDED) -> None:
    """Train a healthy run and all faults, and write what became of them (about four minutes on one core)."""
    from sopedu.evaluation.pairs import held_out_pairs
    from sopedu.lessons.loss_lab import judge_quickly
    from sopedu.training.callbacks import Progress
    from sopedu.training.loop import train

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
