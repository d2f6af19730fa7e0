"""Which lines of a training read values back from the device, or wait for a copy (part of ``make gpu-check``).

The main thread of a training should only queue work for a GPU: reading a value back takes as long as everything queued
before it. :func:`per_step` counts such reads and copies in each step of the real training loop, by line of code.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sopedu

_READS = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2", "unique_dim"}
_PACKAGE = Path(sopedu.__file__).parent


class Copied(NamedTuple):
    """A copy to the device.

    Attributes:
        line: of code that caused it.
        waits: whether the main thread waits for it.
        pinned: whether it comes from pinned memory.
        size: in bytes.
    """

    line: str
    waits: bool
    pinned: bool
    size: int


@dataclass
class Seen:
    """The reads, copies and waits of a training.

    Attributes:
        reads: values read back, by line of code.
        copies: to the device.
        waits: number of CUDA's own warnings that it waited.
    """

    reads: Counter[str]
    copies: Counter[Copied]
    waits: int = 0

    def __sub__(self, other: Seen) -> Seen:
        """Return the events of this training that the other one does not have."""
        return Seen(self.reads - other.reads, self.copies - other.copies, self.waits - other.waits)


def per_step(work: Callable[[int], object], device: torch.device, few: int = 4, many: int = 12) -> tuple[int, Seen]:
    """Count what ``many - few`` steps of a training read back and copy; what happens once does not count.

    Args:
        work: trains for the number of steps that it gets. A training of two steps comes first and is not counted,
            because the first one in a process builds tables that are kept.
        device: where it trains.
        few: steps of the shorter training.
        many: steps of the longer one.

    Returns:
        the number of steps in the difference, and what the longer training did in addition.
    """
    work(2)
    shorter, longer = (_watched(work, steps, device) for steps in (few, many))
    return many - few, longer - shorter


def _watched(work: Callable[[int], object], steps: int, device: torch.device) -> Seen:
    on_gpu, watch = device.type == "cuda", _Watch(device)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if on_gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            with watch:
                work(steps)
        finally:
            if on_gpu:
                torch.cuda.set_sync_debug_mode("default")
    watch.seen.waits = sum("synchronizing CUDA operation" in str(one.message) for one in warned)
    return watch.seen


class _Watch(TorchDispatchMode):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.kind, self.seen = device.type, Seen(Counter(), Counter())

    def __torch_dispatch__(self, function: Any, types: Any, arguments: tuple = (), named: dict | None = None) -> Any:
        name, named = function.overloadpacket.__name__, named or {}
        given = [value for value in arguments if isinstance(value, torch.Tensor)]
        if name in _READS and any(value.device.type == self.kind for value in given):
            self.seen.reads[f"{name} at {_line()}"] += 1
        result = function(*arguments, **named)
        if name in ("_to_copy", "copy_") and given[-1].device.type != result.device.type:
            source, waits = given[-1], not (named.get("non_blocking") or True in arguments[2:])
            if source.device.type == self.kind:
                self.seen.reads[f"copied to the CPU at {_line()}"] += 1
            else:
                self.seen.copies[Copied(_line(), waits, source.is_pinned(), source.nbytes)] += 1
        return result


def _line() -> str:
    """Return the innermost line of ``sopedu`` that is running; the backward pass has none of its own."""
    own = [one for one in traceback.extract_stack() if _PACKAGE in Path(one.filename).parents]
    backward = not own or "backward" in (own[-1].line or "")
    return "the backward pass" if backward else f"{Path(own[-1].filename).name}:{own[-1].lineno}"
