"""Batches of clips, and what is told of clips that could not be read (notebook 13_train_full)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import default_collate

from sopedu.data.prepared import SILENT
from sopedu.errors import SopeduError


class Clip(NamedTuple):
    """Waveform ``(L,)`` float32, frames ``(S, 3, H, W)`` uint8, label (index into class names, or −1 for nobody)."""

    waveform: torch.Tensor
    frames: torch.Tensor
    label: int


class Unread(NamedTuple):
    """A clip that could not be read, and why, in one line."""

    index: int
    message: str


class Batch(NamedTuple):
    """Waveforms ``(B, L)`` float32, frames ``(B, S, 3, H, W)`` uint8, labels ``(B,)`` int64, and what was wrong.

    Frames lie in memory with their colours together, as ``channels_last`` nets want them. Where something failed,
    another clip took its place; a batch without any clip says that nothing could be read. ``silent`` counts the clips
    that should sound and are silent: where the clips are loaded, because it takes time that a training step would wait.
    """

    waveforms: torch.Tensor
    frames: torch.Tensor
    labels: torch.Tensor
    failed: list[Unread]
    silent: int = 0


def collate(items: Sequence[Clip | Unread]) -> Batch:
    """Put the clips of a batch together: the ``collate_fn`` of a training's ``DataLoader``."""
    clips = [item for item in items if isinstance(item, Clip)]
    failed = [item for item in items if isinstance(item, Unread)]
    if not clips:
        nothing = torch.empty(0)
        return Batch(nothing, nothing, torch.empty(0, dtype=torch.long), failed)
    # default_collate writes into memory that processes share. Stacking pictures as they lie copies without transposing.
    pictures = default_collate([clip.frames.permute(0, 2, 3, 1) for clip in clips])
    waveforms = default_collate([clip.waveform for clip in clips])
    labels = torch.tensor([clip.label for clip in clips])
    playing = waveforms.numpy()[labels.numpy() >= 0]
    silent = int((np.abs(playing).max(-1, initial=0.0) <= SILENT).sum())
    return Batch(waveforms, pictures.permute(0, 1, 4, 2, 3), labels, failed, silent)


class Failures:
    """Counts the clips that could not be read in a training, and ends it when there are too many.

    >>> failures = Failures(len(clips))
    >>> for batch in loader:
    ...     for line in failures.new(batch):
    ...         print(line)

    Args:
        clips: how many the data set holds.
    """

    def __init__(self, clips: int) -> None:
        self.clips, self.messages, self.silence_told = clips, dict[int, str](), False

    def __len__(self) -> int:
        return len(self.messages)

    def new(self, batch: Batch) -> list[str]:
        """What has to be told of a batch: one line for each clip that fails for the first time, one for silence.

        Raises:
            SopeduError: if more clips than tolerated have failed, or nothing could be read for this batch.
        """
        news = {index: message for index, message in batch.failed if index not in self.messages}
        self.messages |= news
        if len(self) > tolerated(self.clips) or not len(batch.labels):
            first = next(iter(self.messages.values()), "the batch is empty")
            raise SopeduError(f"{len(self)} of {self.clips} clips could not be read, which is too many. First: {first}")
        lines = [f"{message} (skipped: another clip takes its place)" for message in news.values()]
        return lines + self._silence(batch)

    def _silence(self, batch: Batch) -> list[str]:
        """One line, once, if most recordings of a batch that should sound are silent."""
        playing, silent = int((batch.labels.numpy() >= 0).sum()), batch.silent
        if self.silence_told or not playing:
            return []
        self.silence_told = silent > playing / 2
        what = f"{silent} of {playing} recordings in a batch are silent (below −80 dB full scale)"
        return [f"{what}: little can be learned from them; listen to the audio files"] if self.silence_told else []


def tolerated(clips: int) -> int:
    """How many clips of a data set may be unreadable: one in a hundred, or ten, and never more than half of them."""
    return min(max(10, clips // 100), clips // 2)
