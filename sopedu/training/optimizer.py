"""How the weights move: optimizer, learning rates, moving average, frozen parts (notebook 13_train_full)."""

from __future__ import annotations

import copy
import math

import torch

from sopedu.config import TrainingConfig
from sopedu.errors import SopeduError
from sopedu.model.sound_of_pixels import SoundOfPixels


def make_optimizer(model: SoundOfPixels, settings: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over what is not frozen; the pre-trained body of the frame net learns at its own rate.

    Each group remembers its rate as ``initial_lr``. On a GPU all parameters are updated by one fused kernel.
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
    """Give every group the learning rate of a step; return that of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate_factor(step, settings)
    return optimizer.param_groups[0]["lr"]


def rate_factor(step: int, settings: TrainingConfig) -> float:
    """What the learning rates are multiplied with at a step: warm-up, then cosine to zero, or ×0.1 at 40 and 80 %."""
    warmup = settings.warmup_share * settings.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, settings.steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return 0.1 ** sum(step >= share * settings.steps for share in (0.4, 0.8))


def freeze(model: SoundOfPixels, beginnings: tuple[str, ...]) -> list[torch.nn.Module]:
    """Keep all parameters from learning whose names begin with one of these; return the modules that stay as they are.

    A frozen batch normalisation must not go on adapting its running statistics either, so :func:`training_mode` keeps
    the returned modules in evaluation mode.

    Raises:
        SopeduError: if a beginning fits no parameter, or nothing is left to learn.
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
    """Put the model in training mode, its frozen modules in evaluation mode."""
    model.train()
    for module in frozen:
        module.eval()


class MovingAverage:
    """A second set of weights that follows the trained ones slowly: average ← d · average + (1 − d) · weights.

    The result of a training is then the mean over its last steps, which is better and steadier than the last one.
    Early on d is (1 + step) / (10 + step), so that the random start is soon forgotten; buffers (running statistics)
    are averaged in the same way. Source: Polyak & Juditsky 1992; the warm-up as in TensorFlow's exponential average.
    """

    def __init__(self, model: SoundOfPixels, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: SoundOfPixels, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        follow, lead = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in follow.items() if value.is_floating_point()]
        torch._foreach_lerp_([follow[name] for name in floating], [lead[name] for name in floating], weight)
        for name in follow.keys() - set(floating):
            follow[name].copy_(lead[name])
