"""Clips for training and testing: a waveform, a few frames, a label.

The random crops of a training clip, in time and in the picture, depend on (seed, epoch, position)
only, so any batch of any run can be reproduced.

Notebook: 05_mix_and_separate.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from sopedu.config import Config
from sopedu.data.batches import Clip
from sopedu.data.checks import check_classes
from sopedu.errors import SopeduError
from sopedu.toyband.cache import SetDescription, rendered_set
from sopedu.toyband.instruments import BAND, INSTRUMENTS
from sopedu.toyband.scenes import from_int16

#: Class folder of scenes in which nobody plays.
SILENCE = "silence"


class SampleKey(NamedTuple):
    """A clip drawn in training: its index, the epoch, and the position in the epoch."""

    index: int
    epoch: int
    position: int


class ClipDataset(Dataset):
    """Base class of clip data sets.

    ``clips[index]`` is a test clip; ``clips[SampleKey(…)]`` is a training clip, cropped at random.

    Args:
        config: of spectrograms and frames.
        class_names: a label is an index into them.
        labels: ``(n,)`` int, of all clips; ``NOBODY`` for silent scenes.
    """

    def __init__(self, config: Config, class_names: tuple[str, ...], labels: np.ndarray) -> None:
        self.config, self.class_names, self.labels = config, class_names, labels

    def __len__(self) -> int:
        return len(self.labels)

    def check_files(self) -> list[str]:
        """Check the data set before a training starts.

        Returns:
            one line per note for the user.

        Raises:
            SopeduError: it cannot be trained on.
        """
        return check_classes(self)

    def _generator(self, key: SampleKey, purpose: bytes = b"clip") -> np.random.Generator:
        return np.random.default_rng([self.config.training.seed, key.epoch, key.position, zlib.crc32(purpose)])

    def _crop(self, frames: np.ndarray, generator: np.random.Generator | None) -> torch.Tensor:
        """Crop frames ``(S, H, W, 3)`` to the configured size: at random in training, else in the middle."""
        size = self.config.frames.size
        spare = np.array(frames.shape[1:3]) - size
        top, left = spare // 2 if generator is None else generator.integers(0, spare + 1)
        square = np.ascontiguousarray(frames[:, top : top + size, left : left + size])
        return torch.from_numpy(square).permute(0, 3, 1, 2)


class ToyBandClips(ClipDataset):
    """Rendered solos of the toy band, and in training empty scenes for the silent share.

    Args:
        config: its ``toyband.instruments`` are the classes.
        split: ``train``, ``validation`` or ``test``; they share no melody, no individual instrument, no background.
        solos: number of solos; None: ``toyband.solos``.
        seed: chooses the solos.
        workers: number of processes that render; rendered solos are kept in a cache.
        watch: is told how much is rendered, and can end it; see :func:`sopedu.toyband.cache.rendered_set`.
        progress: show a bar while solos are rendered.

    Raises:
        SopeduError: an unknown instrument.
    """

    def __init__(
        self, config: Config, split: str = "train", solos: int | None = None, seed: int = 0, workers: int = 1,
        watch: Callable[[float], None] | None = None, progress: bool = True,
    ) -> None:  # fmt: skip
        names = config.toyband.instruments or INSTRUMENTS
        if unknown := set(names) - set(BAND):
            raise SopeduError(f"the toy band has no {', '.join(sorted(unknown))}: choose from {', '.join(BAND)}")
        training, sound = split == "train", config.spectrogram
        description = SetDescription(
            split=split,
            solos=config.toyband.solos if solos is None else solos,
            empty=config.toyband.empty_scenes if training else 0,
            samples=sound.samples,
            times=tuple(config.frames.times(sound.seconds / 2)),
            size=config.frames.resize if training else config.frames.size,
            instruments=tuple(names),
            sample_rate=sound.sample_rate,
            seed=seed,
            properties=config.toyband.properties,
            plain_share=config.toyband.plain_share if training else 0.0,
        )
        self.rendered = rendered_set(description, workers, progress, watch)
        super().__init__(config, tuple(names), self.rendered.labels)

    def __getitem__(self, key: SampleKey | int) -> Clip:
        """Return a test clip, or for a :class:`SampleKey` a training clip."""
        index = key.index if isinstance(key, SampleKey) else key
        generator = self._generator(key) if isinstance(key, SampleKey) else None
        waveform = from_int16(self.rendered.waveforms[index])
        return Clip(waveform, self._crop(self.rendered.frames[index], generator), int(self.labels[index]))
