"""Training with several processes: connect them, and report a lost process in one clear line (docs/many_gpus.md)."""

from __future__ import annotations

import multiprocessing.context
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from sopedu.training.loop import Trainer

# How long a process waits for another whose connection is open but silent: long enough to render a data set.
_PATIENCE = timedelta(minutes=30)

# Words in the errors of gloo, NCCL and the store through which processes find each other when a connection has ended.
_SIGNS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe", "TCPStore")
# Words in torch's errors when a batch does not fit into the shared memory.
_SHARED_MEMORY_SIGNS = ("Bus error", "shared memory", "(shm)", "/torch_")


def join_processes() -> PartialState:
    """Connect this process with the others that a launcher started; a single process needs no connection.

    Without GPUs the processes are connected by gloo, whether or not the launcher was started for the CPU.

    Returns:
        this process's place among them.

    Raises:
        SopeduError: a launcher started more processes than there are GPUs, or one of them was lost meanwhile.
    """
    several, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or several > 1 and not torch.cuda.is_available()
    if several > 1 and not cpu and here > torch.cuda.device_count():
        gpus = torch.cuda.device_count()
        raise SopeduError(f"{here} processes were started on a machine with {gpus} GPUs: start one for each GPU")
    forked = getattr(multiprocessing.context, "ForkProcess", ())  # not every system has it
    if several > 1 and isinstance(multiprocessing.current_process(), forked):
        # A notebook launcher forks. OpenMP's threads do not survive a fork, and waiting for them would never end.
        torch.set_num_threads(1)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    with explain_lost_process():
        return PartialState(cpu=cpu, timeout=_PATIENCE)


@contextmanager
def explain_lost_process(step: Callable[[], int] | None = None) -> Iterator[None]:
    """Turn the errors of a lost process, of the training or of its loader, into one clear line.

    Args:
        step: returns the number of the step that is running; None: no step has begun.

    Raises:
        SopeduError: such a process has ended, or was silent for more than half an hour.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        if "DataLoader worker" in str(error) and any(sign in str(error) for sign in _SHARED_MEMORY_SIGNS):
            raise SopeduError(
                "a process that loads clips was lost, because the shared memory (/dev/shm) is too small for its "
                "batches: start the container with --shm-size=8g or --ipc=host, or load without further processes "
                "(--set training.workers=0), and go on with --resume"
            ) from error
        if "DataLoader worker" in str(error):
            what = f"a process that loads clips was lost ({' '.join(str(error).split()):.100})"
            raise SopeduError(f"{what}: take fewer (--set training.workers=…), and go on with --resume") from error
        processes = int(os.environ.get("WORLD_SIZE", 1))
        about_connection = isinstance(error, torch.distributed.DistError) or any(sign in str(error) for sign in _SIGNS)
        if processes == 1 or not about_connection:
            raise
        when, then = "before its first step", "see what that one says"
        if step is not None:
            when, then = f"at step {step()}", "go on with --resume"
        raise SopeduError(f"the training lost one of its {processes} processes {when}: {then}") from error


def agreed_to_stop(trainer: Trainer) -> bool:
    """Return whether to end after this step; several processes exchange this at records only, to save time.

    Args:
        trainer: after a step; its run gets the other processes' signals.
    """
    run = trainer.run
    if run.processes > 1:
        if run.step % trainer.record_every:
            return False
        wishes = torch.tensor([run.stop, run.terminated, run.interrupted], dtype=torch.int32, device=trainer.device)
        stop, terminated, interrupted = (wish > 0 for wish in trainer.accelerator.reduce(wishes, "sum").tolist())
        # A signal that arrives after this exchange has started is handled at the next one.
        run.stop, run.terminated = run.stop or stop, run.terminated or terminated
        run.interrupted = run.interrupted or interrupted
        return stop
    return run.stop
