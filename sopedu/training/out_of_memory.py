"""When a GPU's memory is too small: find the batch size that fits."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np
import torch

from sopedu.training.loss import mixture_loss

if TYPE_CHECKING:
    from sopedu.training.loop import Trainer


def advice(trainer: Trainer) -> str:
    """Try smaller batches until one fits, and return one line that says so.

    Args:
        trainer: whose step did not fit into memory.
    """
    config, run, trainer.losses = trainer.config, trainer.run, []
    when, batch = f"out of memory at step {run.step + 1}", config.training.batch_size // run.processes
    while batch // 2 >= config.mixing.sources:
        batch //= 2
        if _fits(trainer, batch):
            fits = batch * run.processes
            return f"{when}: a batch of {fits} fits (--set training.batch_size={fits})"
    return f"{when}, and no smaller batch fits: choose a smaller model"


def _fits(trainer: Trainer, batch: int) -> bool:
    """Return whether loss and gradients of a batch fit into memory, and free the memory again."""
    config, size, device = trainer.config, trainer.config.frames.size, trainer.device
    trainer.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    solos = batch * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    waveforms = torch.zeros(solos, config.spectrogram.samples, device=device)
    pictures = torch.zeros(solos, config.frames.count, 3, size, size, dtype=torch.uint8, device=device)
    generator = np.random.default_rng(0)
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.run.precision == "bf16"):
            loss, _ = mixture_loss(trainer.run.model, waveforms, pictures, np.arange(solos), config, generator)
        loss.backward()
    except torch.OutOfMemoryError:
        return False
    return True
