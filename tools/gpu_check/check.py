"""What the checks share: where they run, what they report, and a training step whose losses can be compared."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.batches import collate
from sopedu.data.clips import ClipDataset
from sopedu.training.benchmark import Step

#: bf16 and compiled steps against float32, relative, over ten steps. Training itself falls back to float32 from 5 % on.
NEAR_LOSS = 0.02

# On the CPU. Not AdamW: it reads its step count back there, which fused optimizers on a GPU do not.
_TINY = """model.audio_channels=8,8,8 model.frame_width=8 model.components=4 frames.size=32 frames.resize=35
spectrogram.samples=8191 training.batch_size=4 training.optimizer=sgd toyband.solos=9"""
# What depends on the machine is fixed here; checks that are about it change it.
_FIXED = """model.frame_weights=none training.compile=none training.workers=0
toyband.instruments=violin,tuba,xylophone toyband.empty_scenes=4"""


@dataclass
class Check:
    """The result of one check: its figures and its faults.

    Attributes:
        result: ``ok``, ``failed``, ``skipped`` or ``out of time``.
        line: one line that says what holds or what is wrong.
        seconds: that the check took.
        figures: name → value and unit.
        faults: one line each.
        traceback: of errors in the check.
    """

    result: str = "ok"
    line: str = ""
    seconds: float = 0.0
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    traceback: str = ""

    def figure(self, name: str, value: Any, unit: str) -> Any:
        """Keep a figure for the JSON file, rounded to four digits.

        Args:
            name: of the figure.
            value: number, text or list of them.
            unit: of the value.

        Returns:
            the value as it was.
        """

        def kept(one: Any) -> Any:
            if not isinstance(one, float):
                return one
            return float(f"{one:.4g}") if math.isfinite(one) else str(one)

        self.figures[name] = {"value": [*map(kept, value)] if isinstance(value, list) else kept(value), "unit": unit}
        return value

    def require(self, holds: bool, fault: str) -> None:
        """Note a fault unless a condition holds.

        Args:
            holds: the condition.
            fault: one line that says what is wrong otherwise.
        """
        if not holds:
            self.faults.append(fault)

    @contextmanager
    def part(self, name: str = "") -> Iterator[None]:
        """Turn an error into a fault, so that what comes after this part is still checked.

        Args:
            name: of the part.
        """
        try:
            yield
        except Exception as error:
            line = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
            self.faults.append(f"{name}: {line}" if name else line)
            self.traceback += traceback.format_exc(limit=-20)


@dataclass(frozen=True)
class Place:
    """Where checks run.

    Attributes:
        device: to compute on.
        folder: for files.
    """

    device: torch.device
    folder: Path

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def presets(self) -> tuple[str, ...]:
        """Names of the presets to check, the largest last."""
        return ("tiny", "paper") if self.on_gpu else ("tiny",)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions to check."""
        return ("float32", "bf16") if self.on_gpu else ("float32",)

    @property
    def turns(self) -> int:
        """Number of turns of a measurement; on a GPU each is that of ten steps."""
        return 4 if self.on_gpu else 1

    def config(self, name: str, *changes: str) -> Config:
        """Return a preset with few solos and, on the CPU, small nets.

        Args:
            name: of the preset.
            *changes: further ones, such as ``training.steps=10``.
        """
        small = [] if self.on_gpu else _TINY.split()
        solos = ["toyband.solos=24", "training.batch_size=8"] if self.on_gpu else []
        return with_values(preset(name), [*_FIXED.split(), *solos, *small, *changes])

    def free(self) -> None:
        """Free unused GPU memory and reset the peak."""
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def rendered_step(config: Config, clips: ClipDataset, device: torch.device, precision: str = "float32") -> Step:
    """Build a step on rendered clips; weights, clips and mixtures are the same each time and on every device.

    Args:
        config: of the training.
        clips: to take the batch from.
        device: where to compute.
        precision: ``float32`` or ``bf16``.
    """
    torch.manual_seed(0)  # weights are drawn on the CPU, before anything else
    step = Step(config, device, precision)
    batch = collate([clips[place % len(clips)] for place in range(len(step.batch.labels))])
    step.batch = batch._replace(waveforms=batch.waveforms.to(device), frames=batch.frames.to(device))
    return step


def losses_of(step: Step, count: int) -> list[float]:
    """Do some steps and return their losses.

    Args:
        step: to repeat.
        count: number of steps.
    """
    return torch.stack([step() for _ in range(count)]).tolist()


def apart(losses: list[float], others: list[float]) -> float:
    """Return the largest relative difference between two lists of losses; infinity where one is not finite.

    Args:
        losses: of some steps.
        others: of the same steps.
    """
    differences = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(losses, others, strict=True)]
    return max(differences) if all(map(math.isfinite, differences)) else math.inf


def require_near(check: Check, name: str, losses: list[float], others: list[float]) -> None:
    """Note a fault if losses are not finite or not near those of float32.

    Args:
        check: to write figures and faults into.
        name: of the losses.
        losses: to check.
        others: of the same steps in float32.
    """
    check.figure(f"{name}_losses", losses, "loss")
    check.require(all(map(math.isfinite, losses)), f"{name}: a loss is not finite")
    percent = check.figure(f"{name}_from_float32", 100 * apart(losses, others), "percent")
    check.require(percent <= 100 * NEAR_LOSS, f"{name}: losses differ from float32's by {percent:.3g} %")
