"""Choose the clips of each training batch from the seed and the step."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from sopedu.data.clips import ClipDataset, SampleKey
from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError


class TrainingSampler(Sampler[list[SampleKey]]):
    """Yields the keys of each batch: in each epoch all clips in a new order, a share of each batch silent scenes.

    The order of an epoch follows from (seed, epoch), so any step can be started at without drawing the steps before it.

    Args:
        clips: to draw from.
        steps: of the training.
        first_step: to start at.
        process: number of this process; each takes its share of each batch.
        processes: how many train together.

    Raises:
        SopeduError: no clip has sound.
    """

    def __init__(
        self, clips: ClipDataset, steps: int, first_step: int = 0, process: int = 0, processes: int = 1
    ) -> None:
        mixing, training = clips.config.mixing, clips.config.training
        solos_needed = training.batch_size * (1 if mixing.pairing == "in-batch" else mixing.sources)
        self.players = np.flatnonzero(clips.labels != NOBODY)
        self.silent = np.flatnonzero(clips.labels == NOBODY)
        self.silent_in_batch = round(mixing.silent_share * solos_needed) if len(self.silent) else 0
        self.playing_in_batch = solos_needed - self.silent_in_batch
        if len(self.players) == 0:
            raise SopeduError("there is no clip with sound to train on")
        self.seed, self.steps, self.first_step = training.seed, steps, first_step
        self.share = slice(process, None, processes)

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """Yield the keys of one batch after the other."""
        size, count = self.playing_in_batch, len(self.players)
        order, known_epoch = self.players.copy(), -1
        for step in range(self.first_step, self.steps):
            keys = []
            for place in range(step * size, (step + 1) * size):
                epoch, position = divmod(place, count)
                if epoch != known_epoch:
                    np.copyto(order, self.players)
                    np.random.default_rng([self.seed, epoch]).shuffle(order)
                    known_epoch = epoch
                keys.append(SampleKey(int(order[position]), epoch, position))
            generator = np.random.default_rng([self.seed, step, zlib.crc32(b"silent")])
            for place in range(self.silent_in_batch):
                keys.append(SampleKey(int(generator.choice(self.silent)), step, count + place))
            yield keys[self.share]
