"""Batches for a training: loaded by worker processes, copied to the device."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from sopedu.data.batches import Batch, collate
from sopedu.data.clips import ClipDataset
from sopedu.data.sampling import TrainingSampler
from sopedu.training.run import Run
from sopedu.training.signals import leave_signals_to_the_parent


class BatchLoader:
    """Loads the batches of a run, from its current step, and measures how long the training waits for them.

    Args:
        clips: solos.
        run: where the training is, how many workers it has.
        device: of the training.
        process: number of this process among those that train together; each gets its share of each batch.

    Attributes:
        waited: seconds that the training waited for batches; the reader may reset it.
    """

    def __init__(self, clips: ClipDataset, run: Run, device: torch.device, process: int) -> None:
        self.device, on_gpu, workers = device, device.type == "cuda", run.workers
        self.waited = 0.0
        self._copies = torch.cuda.Stream(device) if on_gpu else None
        self._loader = DataLoader(
            clips,
            batch_sampler=TrainingSampler(clips, run.steps, run.step, process, run.processes),
            num_workers=workers,
            pin_memory=on_gpu,
            collate_fn=collate,
            worker_init_fn=leave_signals_to_the_parent,
            multiprocessing_context="fork" if workers and run.config.training.workers == "auto" else None,
        )

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches on the CPU."""
        source = iter(self._loader)
        while True:
            began = time.perf_counter()
            batch = next(source, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def to_device(self, *parts: torch.Tensor) -> list[torch.Tensor]:
        """Copy tensors to the device; to a GPU in a stream of their own, while the step before is still computed.

        Args:
            *parts: any tensors on the CPU.
        """
        if self._copies is None:
            return [part.to(self.device, non_blocking=True) for part in parts]
        work = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            copied = [part.to(self.device, non_blocking=True) for part in parts]
        work.wait_stream(self._copies)
        for part in copied:
            part.record_stream(work)  # keeps its memory from being reused while the step needs it
        return copied
