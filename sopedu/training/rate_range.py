"""Learning-rate range test: train for some steps with a rate that rises, and see at which rates the loss falls.

Notebook: 09_train_live.
"""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.config import Config, from_dict, to_dict
from sopedu.data.clips import ClipDataset
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.machine import fastest_convolutions
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training import out_of_memory
from sopedu.training.loading import BatchLoader
from sopedu.training.loop import Trainer
from sopedu.training.optimizer import training_mode
from sopedu.training.setup import prepare, prepare_net

_WINDOW = 0.15  # decades: standard deviation of the Gaussian that smooths the losses
_TOO_HIGH = 4.0  # times the smallest mean loss: the test ends there
_RISEN = 1.1  # times the smallest smoothed loss: training is unstable from there on; mixtures alone make it vary by 5 %
_BELOW = 10.0  # the suggestion lies this many times below the rate at which training becomes unstable
_FLAT = 1.02  # times the smallest smoothed loss: nearer to it, chance decides which loss is the smaller one


@dataclass(frozen=True)
class RateRange:
    """What a range test found.

    Attributes:
        rates: ``training.learning_rate`` of each step, rising.
        losses: of each step; the last may be infinite or NaN if training broke down there.
        smooth: the finite losses, averaged with their neighbours.
        configured: ``training.learning_rate`` of the configuration.
        unstable: the first rate after the smallest smoothed loss at which it is 10 % higher, or the last one before
            training broke down; None if the loss rises nowhere.
        suggestion: a tenth of ``unstable``, or of the last rate where that is None; but at most the lowest rate whose
            smoothed loss is within 2 % of the smallest.
        ratio: ``training.frame_learning_rate`` as a multiple of ``training.learning_rate``; the test keeps it.
    """

    rates: list[float]
    losses: list[float]
    smooth: list[float]
    configured: float
    unstable: float | None
    suggestion: float
    ratio: float

    def figures(self) -> dict[str, Any]:
        """Return the attributes for a JSON file; a loss that is not finite is None."""
        return vars(self) | {"losses": [loss if math.isfinite(loss) else None for loss in self.losses]}

    def describe(self) -> str:
        """Return one line: where training becomes unstable, the configured rate, and the suggestion."""
        until = f"the loss did not rise by {100 * (_RISEN - 1):.0f} % up to the last rate, {self.rates[-1]:.1e}"
        start = until if self.unstable is None else f"unstable from {self.unstable:.1e} on"
        return f"{start}; configured {self.configured:.1e}, suggestion {self.suggestion:.1e}"


def learning_rate_range(
    config: Config,
    clips: ClipDataset,
    model: SoundOfPixels | None = None,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 100,
    progress: bool = True,
) -> RateRange:
    """Train for some steps while the learning rate rises exponentially.

    The steps are those of the training, on the same batches and from the same initial weights, but without its
    schedule. All learning rates are scaled together. The test ends early when the smoothed loss is four times its
    smallest value, or not finite. What was trained is thrown away: the model that is passed and random numbers
    drawn afterwards are the same as without the test. Two calls return the same numbers.

    Args:
        config: of the training.
        clips: solos.
        model: to start with; None: a new one.
        lowest: first value of ``training.learning_rate``.
        highest: value in the last step.
        steps: how many, at least 10.
        progress: show a progress bar.

    Returns:
        rates, losses and a suggestion.

    Raises:
        SopeduError: rates that do not rise, too few steps, several processes, a loss that is never finite,
            a batch that does not fit into memory (with the size that fits).

    Source: Smith, *Cyclical learning rates for training neural networks* (arXiv 1506.01186), section 3.3: a useful
        rate lies between the one from which the loss falls and the one from which it becomes ragged or rises. A tenth
        of the latter is a rule of thumb; it depends less on chance than the rate of the steepest descent.

    Notebook: 09_train_live.
    """
    steps = whole_number(steps, "steps", 10)
    lowest, highest = real_number(lowest, "lowest"), real_number(highest, "highest")
    configured = config.training.learning_rate
    if not 0 < lowest < highest:
        raise SopeduError(
            f"learning rates from {lowest:g} to {highest:g}: the first must be above 0 and below the last"
        )
    if configured <= 0:
        raise SopeduError(f"training.learning_rate={configured:g}: must be above 0, because the test scales it")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SopeduError("the range test runs in one process: start it without accelerate launch")
    config = from_dict(to_dict(replace(config, training=replace(config.training, steps=steps))))
    rates = np.geomspace(lowest, highest, steps).tolist()
    with torch.random.fork_rng():  # also of all GPUs
        trainer = Trainer(prepare(config, clips, copy.deepcopy(model), None, False), clips, None, 1, 1)
        try:
            losses = _losses(trainer, rates, progress)
        except torch.OutOfMemoryError:
            losses = None  # leave this block first: the traceback keeps the tensors of the step in memory
        if losses is None:
            raise SopeduError(out_of_memory.advice(trainer))
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        raise SopeduError(f"the loss is not finite at a learning rate of {lowest:g}: begin lower, or look at the data")
    smooth = smoothed(np.array(finite), _WINDOW * (steps - 1) / math.log10(highest / lowest))
    unstable, suggestion = unstable_and_suggested(rates, smooth)
    return RateRange(
        rates[: len(losses)], losses, smooth.tolist(), configured, unstable, suggestion,
        config.training.frame_learning_rate / configured,
    )  # fmt: skip


def _losses(trainer: Trainer, rates: list[float], progress: bool) -> list[float]:
    """Train with these rates, and return the losses until they explode."""
    run, losses, mean, smallest = trainer.run, list[float](), 0.0, math.inf
    trainer.net = prepare_net(run, trainer.accelerator)
    training_mode(run.model, trainer.frozen)
    trainer.batches = BatchLoader(trainer.clips, run, trainer.device, 0)
    groups = trainer.optimizer.param_groups
    scales = [group["initial_lr"] / trainer.config.training.learning_rate for group in groups]
    steps = tqdm(rates, "learning rates", unit="step", disable=not progress, leave=False)
    with fastest_convolutions(trainer.device), steps:
        for rate, batch in zip(steps, trainer.batches, strict=True):
            for group, scale in zip(groups, scales, strict=True):
                group["lr"] = rate * scale
            trainer.step(batch)
            losses.append(trainer.losses.pop().item())
            mean = losses[-1] if len(losses) == 1 else 0.8 * mean + 0.2 * losses[-1]
            smallest = min(smallest, mean)
            if not math.isfinite(mean) or mean > _TOO_HIGH * smallest:
                break
    return losses


def smoothed(losses: np.ndarray, width: float) -> np.ndarray:
    """Average losses with their neighbours, weighted by a Gaussian; unlike a running mean, this shifts no edge.

    Args:
        losses: ``(n,)`` float.
        width: standard deviation of the Gaussian, in steps.
    """
    distance = np.arange(len(losses))[:, None] - np.arange(len(losses))
    weights = np.exp(-0.5 * (distance / width) ** 2)
    return weights @ losses / weights.sum(1)


def first_risen(smooth: np.ndarray) -> int | None:
    """Return the first step after the smallest loss at which it is 10 % higher; None if there is none.

    Args:
        smooth: ``(n,)`` float.
    """
    least = int(smooth.argmin())
    risen = np.flatnonzero(smooth[least:] > _RISEN * smooth[least])
    return least + int(risen[0]) if len(risen) else None


def unstable_and_suggested(rates: list[float], smooth: np.ndarray) -> tuple[float | None, float]:
    """Return the rate from which training is unstable and the suggested one, as :class:`RateRange` has them.

    Args:
        rates: of all steps.
        smooth: ``(n,)`` smoothed losses; fewer than there are rates if the loss exploded.
    """
    first = first_risen(smooth)
    if first is None and len(smooth) < len(rates):
        first = len(smooth) - 1
    end = rates[-1 if first is None else first] / _BELOW
    # Useless weights can have a loss that is hardly higher than that of good ones. Then the rise comes late, or never.
    floor = rates[int(np.argmax(smooth <= _FLAT * smooth.min()))]
    return None if first is None else rates[first], min(floor, end)
