"""Collate clips into a batch; report unreadable ones (notebook 13_train_full)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import default_collate

from sopedu.data.prepared import SILENT
from sopedu.errors import SopeduError


class Clip(NamedTuple):
    """One recording with its pictures.

    Attributes:
        waveform: ``(L,)`` float32.
        frames: ``(S, 3, H, W)`` uint8.
        label: index into the class names, or −1 for a silent scene.
    """

    waveform: torch.Tensor
    frames: torch.Tensor
    label: int


class Unread(NamedTuple):
    """A clip that could not be read.

    Attributes:
        index: of the clip in its data set.
        message: the reason, in one line.
    """

    index: int
    message: str


class Batch(NamedTuple):
    """A batch of clips; each unreadable clip is replaced by another one.

    Attributes:
        waveforms: ``(B, L)`` float32; empty if nothing could be read.
        frames: ``(B, S, 3, H, W)`` uint8, in the ``channels_last`` memory layout.
        labels: ``(B,)`` int64.
        failed: clips that could not be read.
        silent: how many clips with a performer are silent; counted in the loading process to save time in the step.
    """

    waveforms: torch.Tensor
    frames: torch.Tensor
    labels: torch.Tensor
    failed: list[Unread]
    silent: int = 0


def collate(items: Sequence[Clip | Unread]) -> Batch:
    """Put the clips of a batch together: the ``collate_fn`` of a ``DataLoader``.

    Args:
        items: what the data set returned per clip.
    """
    clips = [item for item in items if isinstance(item, Clip)]
    failed = [item for item in items if isinstance(item, Unread)]
    if not clips:
        nothing = torch.empty(0)
        return Batch(nothing, nothing, torch.empty(0, dtype=torch.long), failed)
    # default_collate writes into shared memory. In this order of axes, pictures are copied without transposing.
    pictures = default_collate([clip.frames.permute(0, 2, 3, 1) for clip in clips])
    waveforms = default_collate([clip.waveform for clip in clips])
    labels = torch.tensor([clip.label for clip in clips])
    playing = waveforms.numpy()[labels.numpy() >= 0]
    silent = int((np.abs(playing).max(-1, initial=0.0) <= SILENT).sum())
    return Batch(waveforms, pictures.permute(0, 1, 4, 2, 3), labels, failed, silent)


class Failures:
    """Counts the clips of a training that could not be read, and ends the training if there are too many.

    >>> failures = Failures(len(clips))
    >>> for batch in loader:
    ...     for line in failures.new(batch):
    ...         print(line)

    Args:
        clips: number of clips in the data set.
    """

    def __init__(self, clips: int) -> None:
        self.clips, self.messages, self.silence_told = clips, dict[int, str](), False

    def __len__(self) -> int:
        """Return how many clips could not be read so far."""
        return len(self.messages)

    def new(self, batch: Batch) -> list[str]:
        """Return the lines to print for a batch: one per clip that fails for the first time, and one about silence.

        Args:
            batch: the next one.

        Raises:
            SopeduError: more clips than tolerated have failed, or nothing in this batch could be read.
        """
        news = {index: message for index, message in batch.failed if index not in self.messages}
        self.messages |= news
        if len(self) > tolerated(self.clips) or not len(batch.labels):
            first = next(iter(self.messages.values()), "the batch is empty")
            raise SopeduError(f"{len(self)} of {self.clips} clips could not be read, which is too many. First: {first}")
        lines = [f"{message} (skipped: another clip replaces it)" for message in news.values()]
        return lines + self._silence(batch)

    def _silence(self, batch: Batch) -> list[str]:
        """Return one line, once, if most recordings of a batch are silent but should not be."""
        playing, silent = int((batch.labels.numpy() >= 0).sum()), batch.silent
        if self.silence_told or not playing:
            return []
        self.silence_told = silent > playing / 2
        what = f"{silent} of {playing} recordings in a batch are silent (below −80 dB full scale)"
        return [f"{what}: little can be learned from them; listen to the audio files"] if self.silence_told else []


def tolerated(clips: int) -> int:
    """Return how many clips of a data set may be unreadable: 1 % or ten, and at most half of them.

    Args:
        clips: number of clips in the data set.
    """
    return min(max(10, clips // 100), clips // 2)
