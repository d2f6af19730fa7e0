"""Loudness level of a training's mixtures, which is kept with the model; see :mod:`sopedu.audio.loudness`."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import DataLoader

from sopedu.audio.loudness import BROADCAST_LEVEL, level_of
from sopedu.data.batches import collate
from sopedu.data.clips import ClipDataset
from sopedu.data.mixing import mix
from sopedu.data.sampling import TrainingSampler

_MEASURED = 64  # number of mixtures; their levels vary by 2.5 dB on the toy band, so the median is good to 0.4 dB


def training_level(clips: ClipDataset) -> float:
    """Measure the median level of the first mixtures of a training.

    The training's random numbers are not used, so measuring does not change it.

    Args:
        clips: to train on.

    Returns:
        level in dB full scale, rounded to 0.1; that of broadcasting if all mixtures are silent.
    """
    config = clips.config
    sampler = TrainingSampler(clips, -(-_MEASURED // config.training.batch_size))
    generator, levels = np.random.default_rng(0), [torch.empty(0)]
    # Collated as in training, so that an unreadable clip is replaced by the same clip.
    for batch in DataLoader(clips, batch_sampler=sampler, collate_fn=collate, generator=torch.Generator()):
        if len(batch.labels) >= config.mixing.sources:
            mixtures = mix(batch.waveforms, batch.labels.numpy(), config.mixing, generator)
            levels.append(level_of(mixtures.mixture, config.spectrogram))
    heard = torch.cat(levels)
    heard = heard[heard.isfinite()]
    return round(float(heard.median()), 1) if len(heard) else BROADCAST_LEVEL
