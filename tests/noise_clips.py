"""Clips of noise with pictures of one colour, to test evaluations with: quick, and nothing in them can be guessed."""

from __future__ import annotations

import numpy as np
import torch

from sopedu.config import preset, with_values
from sopedu.data.batches import Clip
from sopedu.data.clips import ClipDataset
from sopedu.model.sound_of_pixels import SoundOfPixels

BAND = ("tuba", "xylophone", "violin")
VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
spectrogram.samples=8191 toyband.instruments=tuba,xylophone,violin"""
CONFIG = with_values(preset("tiny"), VALUES.split())


def untrained() -> SoundOfPixels:
    """A small model with the same random weights each time."""
    torch.manual_seed(0)
    return SoundOfPixels(CONFIG).eval()


class Noise(ClipDataset):
    """Clips of noise with the given labels; the picture of clip n is of colour n."""

    def __init__(self, labels: list[int]) -> None:
        super().__init__(CONFIG, BAND, np.array(labels))

    def __getitem__(self, index: int) -> Clip:
        waveform = 0.1 * torch.randn(8191, generator=torch.Generator().manual_seed(index))
        return Clip(waveform, torch.full((1, 3, 64, 64), index, dtype=torch.uint8), int(self.labels[index]))
