"""Precision of a training: choose float32 or bf16, and go back to float32 if bf16 fails.

Notebook: 13_train_full.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sopedu.config import Config
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.loss import mixture_loss

if TYPE_CHECKING:
    from sopedu.training.run import Run

_PROBED_MIXTURES = 16
# Some kernels fail only sometimes: oneDNN's for AMX may return NaN on narrow planes when threads share the work.
_PROBED_STEPS = 3
# bf16 has 8 significant bits. First losses of the presets differ from float32 by 0.3 % at most; more is an error.
_LARGEST_DIFFERENCE = 0.05
# Processors without instructions for bf16 imitate it: without AMX, a step of preset toyband takes twice as long.
_MUCH_SLOWER = 1.5


def choose_precision(model: SoundOfPixels, config: Config, device: torch.device) -> tuple[str, str]:
    """Choose the precision of a training.

    ``auto`` is float32 on the CPU, so that all machines compute the same numbers, and bf16 on GPUs that have it. Some
    steps are tried in bf16 before it is chosen.

    Args:
        model: on any device; it is not changed.
        config: precision that is asked for, and sizes of a step.
        device: where the training will run.

    Returns:
        ``float32`` or ``bf16``; and one line that says why bf16 was not chosen although it was asked for, or that it
        is much slower on this processor, or "".
    """
    wanted = config.training.precision
    if wanted == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        wanted = "bf16" if has_bf16 else "float32"
    fault, slower = _trial_of_bf16(model, config, device) if wanted == "bf16" else ("", 1.0)
    if fault:
        return "float32", f"bf16 {fault} on this machine: the training runs in float32"
    if slower > _MUCH_SLOWER and device.type == "cpu":
        return wanted, f"a step in bf16 takes {slower:.1f} times as long as in float32 on this processor"
    return wanted, ""


def _trial_of_bf16(model: SoundOfPixels, config: Config, device: torch.device) -> tuple[str, float]:
    """Compare steps in bf16 with steps in float32, on noise.

    Returns:
        What is wrong with them, or ""; and how many times as long they take. The time of a GPU is not measured.
    """
    mixtures, size = min(_PROBED_MIXTURES, config.training.batch_size), config.frames.size
    solos = mixtures * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    noise = torch.Generator().manual_seed(0)
    waveforms = 0.1 * torch.randn(solos, config.spectrogram.samples, generator=noise)
    shape = (solos, config.frames.count, 3, size, size)
    frames = torch.randint(0, 256, shape, generator=noise, dtype=torch.uint8)
    probe = copy.deepcopy(model).to(device, memory_format=torch.channels_last).train()

    def step(bf16: bool) -> tuple[float, bool, float]:
        generator, began = np.random.default_rng(0), perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss, _ = mixture_loss(probe, waveforms.to(device), frames.to(device), np.arange(solos), config, generator)
        probe.zero_grad()
        loss.backward()
        gradients = [value.grad.isfinite().all() for value in probe.parameters() if value.grad is not None]
        return loss.item(), bool(torch.stack([loss.isfinite(), *gradients]).all()), perf_counter() - began

    (exact, finite, first), (_, _, second) = (step(bf16=False) for _ in range(2))
    if not finite:
        return "", 1.0  # not caused by bf16: the training itself will report it
    tried = [step(bf16=True) for _ in range(_PROBED_STEPS)]
    for loss, finite, _ in tried:
        if not finite:
            return "gives numbers that are not finite", 1.0
        if abs(loss - exact) > _LARGEST_DIFFERENCE * abs(exact):
            return f"gives another loss than float32 ({loss:.4g} instead of {exact:.4g})", 1.0
    return "", min(seconds for *_, seconds in tried) / min(first, second)


@dataclass(frozen=True)
class FiniteState:
    """Copy of a training's state between two steps, to go back to if bf16 fails later.

    Attributes:
        run: values of the run, by name.
        weights: of the model, and of their moving average if there is one.
        optimizer: its state.
        records: number of entries in the history.
        generator: state of torch's random numbers.
    """

    run: dict[str, Any]
    weights: list[dict[str, torch.Tensor]]
    optimizer: dict[str, Any]
    records: int
    generator: torch.Tensor

    @classmethod
    def of(cls, run: Run, optimizer: torch.optim.Optimizer) -> FiniteState:
        """Copy the state of a training.

        Args:
            run: with model and history.
            optimizer: of the training.
        """
        return cls(
            {"step": run.step, "same_class_mixtures": run.same_class_mixtures, "best": dict(run.best)},
            [copy.deepcopy(model.state_dict()) for model in _models(run)],
            copy.deepcopy(optimizer.state_dict()),
            len(run.history),
            torch.get_rng_state(),
        )

    def restore(self, run: Run, optimizer: torch.optim.Optimizer) -> None:
        """Put a training back into this state, in float32, and note why.

        Args:
            run: with model and history.
            optimizer: of the training.
        """
        failed_at = run.step
        for model, weights in zip(_models(run), self.weights, strict=True):
            model.load_state_dict(weights)
        optimizer.load_state_dict(self.optimizer)
        optimizer.zero_grad(set_to_none=True)
        torch.set_rng_state(self.generator)
        for name, value in self.run.items():
            setattr(run, name, value)
        del run.history[self.records :]
        run.failed, run.precision = False, "float32"
        run.notes.append(
            f"the loss was no longer finite at step {failed_at} in bf16: going on from step {run.step} in float32"
        )


def weights_are_finite(model: SoundOfPixels) -> bool:
    """Return whether all weights are finite; the device is asked only once.

    Args:
        model: on any device.
    """
    return bool(torch.stack([value.isfinite().all() for value in model.parameters()]).all())


def _models(run: Run) -> list[SoundOfPixels]:
    return [run.model, *([run.average.model] if run.average else [])]
