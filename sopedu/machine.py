"""The machine's resources for training: cores, shared memory, and a GPU with its settings (docs/many_gpus.md)."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config

_SHARED_MEMORY = Path("/dev/shm")
_MOST_WORKERS = 12  # per GPU; more do not make the training faster
_COMPILE_FROM = 20_000  # steps; in a shorter training, compiling takes as long as it saves


def usable_cores() -> int:
    """Return how many processor cores this process may use, which is often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def loading_processes(config: Config, device: torch.device, processes_here: int = 1) -> tuple[int, str]:
    """Resolve ``training.workers``: how many processes load clips.

    ``auto`` is 0 on the CPU, where training itself needs the cores. On a GPU it is all usable cores except two, divided
    among the trainings on this machine, at least 1 and at most 12; fewer if their batches exceed the shared memory.

    Args:
        config: of the training.
        device: where it runs.
        processes_here: trainings on this machine, one per GPU.

    Returns:
        The number of processes, and a note if the shared memory limits it, otherwise an empty one.
    """
    asked = config.training.workers
    if asked != "auto":
        return int(asked), ""
    if device.type != "cuda" or "fork" not in multiprocessing.get_all_start_methods():
        return 0, ""
    wanted = max(1, min(_MOST_WORKERS, (usable_cores() - 2) // processes_here))
    room = _shared_memory_room()
    if room is None:
        return wanted, ""
    # Every worker prepares two batches ahead, and one more is on its way.
    fitting = (room // processes_here // batch_bytes(config, processes_here) - 1) // 2
    if fitting >= wanted:
        return wanted, ""
    return max(0, fitting), (
        f"shared memory ({_SHARED_MEMORY}) has {room / 2**20:.0f} MB free, so {max(0, fitting)} instead of {wanted} "
        "processes load clips: start the container with --shm-size=8g or --ipc=host"
    )


def batch_bytes(config: Config, processes: int = 1) -> int:
    """Return the bytes of one process's batch of clips: float32 waveforms and uint8 frames.

    Args:
        config: of the training.
        processes: how many share a batch.
    """
    settings, frames = config.training, config.frames
    solos = settings.batch_size * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    return solos // processes * (4 * config.spectrogram.samples + 3 * frames.count * frames.size**2)


def _shared_memory_room() -> int | None:
    """Return the free bytes of the shared memory through which workers pass batches; None if unknown."""
    try:
        free = os.statvfs(_SHARED_MEMORY)
    except (OSError, AttributeError):
        return None
    return free.f_bavail * free.f_frsize


def compile_mode(config: Config, device: torch.device, processes: int = 1) -> tuple[str, str]:
    """Resolve ``training.compile``.

    ``auto`` compiles on one GPU if the training is long enough to make up for the time of compiling.

    Args:
        config: of the training.
        device: where it runs.
        processes: how many train together.

    Returns:
        The mode of ``torch.compile`` or ``none``, and a note if something is missing, otherwise an empty one.
    """
    settings = config.training
    if settings.compile != "auto":
        return settings.compile, ""
    if device.type != "cuda" or processes > 1 or settings.steps < _COMPILE_FROM:
        return "none", ""
    missing = missing_for_compiling()
    return ("none", f"not compiled, because {missing} is missing here") if missing else ("default", "")


def missing_for_compiling() -> str:
    """Return what ``torch.compile`` needs for a GPU and cannot find; empty if nothing is missing."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return "the package triton"
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    return "" if any(name and shutil.which(name) for name in compilers) else "a C compiler"


def device_name(device: torch.device) -> str:
    """Return ``cpu``, or ``cuda:0 (NVIDIA H100)`` with the name of the card.

    Args:
        device: of torch.
    """
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def unused_gpu() -> str:
    """Return a note if the machine seems to have an NVIDIA GPU that this build of torch cannot use; else empty."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    cpu_asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    if torch.version.cuda is None or hidden or cpu_asked or torch.cuda.is_available():
        return ""
    if not Path("/dev/nvidia0").exists() and not shutil.which("nvidia-smi"):
        return ""
    return (
        f"there seems to be an NVIDIA GPU, but torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use it, so "
        "the CPU trains: nvidia-smi shows the driver, which may be too old for this torch"
    )


def full_float32(device: torch.device) -> None:
    """Turn off TF32 in matrix products and convolutions, so that float32 is as exact on a GPU as on the CPU.

    This holds for the whole process. Use bf16 for speed.

    Args:
        device: nothing changes unless it is a GPU.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


@contextmanager
def fastest_convolutions(device: torch.device) -> Iterator[None]:
    """Let cuDNN measure which of its algorithms is the fastest, for inputs whose sizes stay the same.

    Args:
        device: nothing changes unless it is a GPU.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class CompiledNet:
    """A net compiled by ``torch.compile``, with the plain net as a fallback.

    Args:
        net: the net.
        mode: of ``torch.compile``.
        on_failure: called once with a note if compiling fails, and the plain net is used; None: the error is raised.
    """

    def __init__(self, net: torch.nn.Module, mode: str, on_failure: Callable[[str], object] | None = None) -> None:
        self.module: torch.nn.Module = getattr(net, "module", net)  # as a distributed wrapper has it
        self._plain, self._on_failure = net, on_failure
        self._net = torch.compile(net, mode=mode, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the net."""
        if self._on_failure is None:
            return self._net(*args, **kwargs)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self._net(*args, **kwargs)
        except TorchDynamoException as error:
            self._net, told, self._on_failure = self._plain, self._on_failure, None
            told(f"not compiled, because torch.compile failed ({' '.join(str(error).split()):.80})")
        return self._net(*args, **kwargs)
