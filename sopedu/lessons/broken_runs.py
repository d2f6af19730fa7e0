"""Trainings that go wrong in typical ways: three to diagnose from their curves (notebook 09_train_live), one in 08.

    >>> config, clips = broken("A", config, clips)
    >>> train(config, clips)

:data:`CAUSES` gives the solution: read it last. The longer runs that the notebook shows were recorded
with `tools/record_broken_runs.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.batches import Clip
from sopedu.data.clips import ClipDataset, SampleKey
from sopedu.errors import SopeduError
from sopedu.shipped import shipped_path
from sopedu.toyband import DEMO_INSTRUMENTS

#: What is wrong with each run.
CAUSES = {
    "A": "the learning rate is a hundred times too high",
    "B": "waveforms were divided by 32768 twice: the input is almost silent",
    "C": "every clip has the pictures of another one: they carry no information, and both masks become the mixture's",
}
#: Folder of the recorded runs.
RECORDED = shipped_path("data_samples/recorded_runs")


class _Disturbed(ClipDataset):
    """Clips changed by a fault; `disturb` gets each clip and an unrelated one."""

    def __init__(self, clips: ClipDataset, disturb: Callable[[Clip, Clip], Clip]) -> None:
        super().__init__(clips.config, clips.class_names, clips.labels)
        self.clips, self.disturb = clips, disturb
        self.others = np.random.default_rng(0).permutation(len(clips))

    def __getitem__(self, key: SampleKey | int) -> Clip:
        index = key.index if isinstance(key, SampleKey) else key
        other = int(self.others[index])
        other_key = key._replace(index=other) if isinstance(key, SampleKey) else other
        return self.disturb(self.clips[key], self.clips[other_key])


def broken(name: str, config: Config, clips: ClipDataset) -> tuple[Config, ClipDataset]:
    """Break a training.

    Args:
        name: of the fault, `A`, `B` or `C`.
        config: of the healthy training.
        clips: that it trains on.

    Returns:
        configuration and clips to train with; those given are not changed.

    Raises:
        SopeduError: there is no such fault.

    Notebook: 09_train_live.
    """
    if name == "A":
        rate = 100 * config.training.learning_rate
        return replace(config, training=replace(config.training, learning_rate=rate, clip_gradient=0.0)), clips
    if name == "B":
        return config, _Disturbed(clips, lambda clip, _: clip._replace(waveform=clip.waveform / 32768))
    if name == "C":
        return config, _Disturbed(clips, lambda clip, other: clip._replace(frames=other.frames))
    raise SopeduError(f"no fault is called {name!r}: choose one of {', '.join(CAUSES)}")


def recorded_run(name: str) -> dict[str, Any]:
    """Read a recorded run.

    Args:
        name: `healthy`, `A`, `B` or `C`.

    Returns:
        `history` as in `Run.history`, and `sdr_improvement` and `sdr_improvement_swapped` in dB.

    Raises:
        SopeduError: there is none of that name.

    Notebook: 09_train_live.
    """
    path = RECORDED / f"{name}.json"
    if name not in ("healthy", *CAUSES) or not path.exists():
        raise SopeduError(f"{path}: no such recorded run; make it with `make recorded-runs`")
    return json.loads(path.read_text(encoding="utf-8"))


def lesson_config(**values: Any) -> Config:
    """Make the configuration of notebook 09: preset `tiny`, four instruments, a few hundred plain solos.

    Args:
        values: changes, with `__` for the point: `training__steps=30`.

    Raises:
        SopeduError: a name or a value is unknown.
    """
    changes = {"toyband.solos": 400, "toyband.empty_scenes": 32, "training.steps": 300, "training.precision": "float32"}
    changes |= {"toyband.instruments": ",".join(DEMO_INSTRUMENTS), "toyband.properties": ""}
    changes |= {name.replace("__", "."): value for name, value in values.items()}
    return with_values(preset("tiny"), [f"{name}={value}" for name, value in changes.items()])


def prepare_pictures(pictures: torch.Tensor) -> torch.Tensor:
    """Prepare pictures as a careless program does; notebook 08_synthesizer finds out what is wrong with it.

    Args:
        pictures: uint8, 0 to 255, of any shape.

    Returns:
        uint8, of the same shape.
    """
    return (pictures / 255).to(torch.uint8)
