"""Optimizer, learning rate schedules, moving average of the weights, frozen parts.

Notebook: 09_train_live, 13_train_full.
"""

from __future__ import annotations

import copy
import math

import torch

from sopedu.config import TrainingConfig
from sopedu.errors import SopeduError
from sopedu.model.sound_of_pixels import SoundOfPixels


def make_optimizer(model: SoundOfPixels, settings: TrainingConfig) -> torch.optim.Optimizer:
    """Build AdamW or SGD for all parameters that are not frozen.

    The pre-trained body of the frame net has its own learning rate. Each group keeps its rate as ``initial_lr``. On a
    GPU all parameters are updated by one fused kernel.

    Args:
        model: on the device where it will be trained.
        settings: optimizer, learning rates, momentum or betas, weight decay.
    """
    body = {id(parameter) for parameter in model.frame_net.body.parameters()}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if (id(p) in body) == own], "lr": rate, "initial_lr": rate}
        for own, rate in ((False, settings.learning_rate), (True, settings.frame_learning_rate))
    ]
    groups = [group for group in groups if group["params"]]
    fused = learning[0].is_cuda
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=fused)
    return torch.optim.AdamW(groups, betas=settings.betas, weight_decay=settings.weight_decay, fused=fused)


def set_rates(optimizer: torch.optim.Optimizer, step: int, settings: TrainingConfig) -> float:
    """Set the learning rate of each group for a step.

    Args:
        optimizer: from :func:`make_optimizer`.
        step: steps done so far.
        settings: with the schedule.

    Returns:
        learning rate of the first group.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate_factor(step, settings)
    return optimizer.param_groups[0]["lr"]


def rate_factor(step: int, settings: TrainingConfig) -> float:
    """Compute the factor of the learning rates at a step: warm-up, then cosine to zero, or × 0.1 at 40 % and 80 %.

    Args:
        step: steps done so far.
        settings: schedule, its warm-up as a share of the steps, and the number of steps.
    """
    warmup = settings.warmup_share * settings.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, settings.steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return 0.1 ** sum(step >= share * settings.steps for share in (0.4, 0.8))


def freeze(model: SoundOfPixels, beginnings: tuple[str, ...]) -> list[torch.nn.Module]:
    """Exclude all parameters from training whose names begin with one of these.

    A frozen batch normalisation must not adapt its running statistics either, so :func:`training_mode` keeps the
    returned modules in evaluation mode.

    Args:
        model: whose parameters to freeze.
        beginnings: of names, such as ``frame_net.body``; empty: everything is trained.

    Returns:
        modules of which all parameters are frozen.

    Raises:
        SopeduError: no parameter begins so, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            parts = sorted({".".join(name.split(".")[:2]) for name in names})
            raise SopeduError(f"training.freeze: no parameter begins with {beginning!r}; e.g. {', '.join(parts)}")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(beginnings)))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SopeduError("training.freeze leaves nothing to learn: freeze less")
    return [
        module
        for module in model.modules()
        if (own := list(module.parameters())) and not any(parameter.requires_grad for parameter in own)
    ]


def training_mode(model: SoundOfPixels, frozen: list[torch.nn.Module]) -> None:
    """Put a model into training mode, its frozen modules into evaluation mode.

    Args:
        model: to train.
        frozen: modules that :func:`freeze` returned.
    """
    model.train()
    for module in frozen:
        module.eval()


class MovingAverage:
    """A moving average of the weights: average ← d · average + (1 − d) · weights.

    It is a mean over the last steps, which is better and steadier than the weights of the last step. At the beginning d
    is (1 + step) / (10 + step), so that the random start is soon forgotten. Buffers (running statistics) are averaged
    in the same way.

    Args:
        model: that is trained.
        decay: d, 0 … 1.

    Attributes:
        model: copy of the model with the averaged weights.

    Source: Polyak & Juditsky 1992; the warm-up is that of TensorFlow's exponential average.
    """

    def __init__(self, model: SoundOfPixels, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: SoundOfPixels, step: int) -> None:
        """Move the average towards the weights.

        Args:
            model: that is trained.
            step: steps done before the last one.
        """
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        average, current = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in average.items() if value.is_floating_point()]
        torch._foreach_lerp_([average[name] for name in floating], [current[name] for name in floating], weight)
        for name in average.keys() - set(floating):
            average[name].copy_(current[name])
