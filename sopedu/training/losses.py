"""What a predicted mask is compared with, and how far it is away (notebook 05_mix_and_separate)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sopedu.audio.masks import ideal_binary_mask, ideal_ratio_mask
from sopedu.config import LossConfig


def mask_targets(source: torch.Tensor, mixture: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """The masks to learn: binary, or ratio clamped to [0, 5]. Shapes ``(B, N, Q, T)`` and ``(B, 1, Q, T)``."""
    return (ideal_binary_mask if config.target == "binary" else ideal_ratio_mask)(source, mixture)


def loss_weight(mixture: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Weight of every cell: log(1 + magnitude of the mixture), within [1e-3, 10]; or ones."""
    return torch.log1p(mixture).clamp(1e-3, 10.0) if config.weighted else torch.ones_like(mixture)


def mask_loss(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Mean over all cells of weight × distance between the predicted and the true mask, a scalar float32.

    Args:
        logits: ``(B, N, Q, T)``; the mask is their sigmoid.
        target: ``(B, N, Q, T)``.
        weight: ``(B, 1, Q, T)``.

    The binary cross entropy takes the logits themselves, because mixed precision forbids it on probabilities.
    """
    logits = logits.float()
    if config.kind == "bce":
        distance = F.binary_cross_entropy_with_logits(logits, target.clamp(0, 1), reduction="none")
    elif config.kind == "l1":
        distance = (torch.sigmoid(logits) - target).abs()
    else:
        distance = (torch.sigmoid(logits) - target).square()
    return (weight * distance).mean()
