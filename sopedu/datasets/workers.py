"""Work on the clips of a data set in other processes, and survive the death of one of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from typing import Generic, TypeVar

from sopedu.errors import SopeduError
from sopedu.processes import script_hidden
from sopedu.video.time_limit import TimeLimit, hanging

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOOK_SECONDS = 1.0  # between two looks at whether a decoder hangs
_AHEAD = 4  # clips per process that wait for their turn: memory does not grow with the number of clips


class _Here(Executor):
    """Works in this process, at once."""

    def submit(self, function, /, *args, **named):
        """Call the function; see `concurrent.futures.Executor`."""
        future: Future = Future()
        try:
            future.set_result(function(*args, **named))
        except Exception as error:
            future.set_exception(error)
        return future


class Workers(Generic[Job, Result]):
    """Does something with each clip, in processes of this machine or through any executor.

    Args:
        work: what is done with a job; any process may do it, and twice.
        crashed: makes the result of a job whose process died, from the job and why.
        jobs: number of processes; 0 works in this one.
        executor: that is used instead; it stays open afterwards.
        can_repeat: whether a job whose process died can be done again.
    """

    def __init__(
        self,
        work: Callable[[Job], Result],
        crashed: Callable[[Job, str], Result],
        jobs: int,
        executor: Executor | None = None,
        can_repeat: Callable[[Job], bool] = lambda job: True,
    ) -> None:
        self.jobs, self._given = jobs, executor
        self._executor = executor
        self._work, self._crashed, self._can_repeat = work, crashed, can_repeat

    def __enter__(self) -> Workers[Job, Result]:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._given is None:
            self._stop()

    def _start(self) -> None:
        if self._given is None:
            context = multiprocessing.get_context("spawn")  # forked threads of torch or FFmpeg would hang
            self._executor = ProcessPoolExecutor(self.jobs, context, _begin_worker) if self.jobs else _Here()

    def _stop(self) -> None:
        processes = list((getattr(self._executor, "_processes", None) or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()  # after an error or Ctrl-C; an idle one has nothing to lose
            process.join()

    def results(self, jobs: Iterator[Job]) -> Iterator[Result]:
        """Yield the results of all jobs, in the order in which they are ready.

        Args:
            jobs: read only as far as there are free processes.

        Raises:
            SopeduError: clips cannot be written, or the executor that was given has ended.
        """
        waiting: dict[Future[Result], Job] = {}
        ahead, more = _AHEAD * max(1, self.jobs), True
        while more or waiting:
            while more and len(waiting) < ahead:
                job = next(jobs, None)
                more = job is not None
                if more:
                    waiting[self._submitted(job)] = job
                    if self.jobs == 0 and self._given is None:
                        break
            if not waiting:
                return
            lost = []
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                job = waiting.pop(future)
                result = self._result(job, future)
                if result is None:
                    lost.append(job)
                else:
                    yield result
            if lost:
                # One clip has ended its process, and with it all that were under way: find it by doing them singly.
                lost += waiting.values()
                waiting.clear()
                for job in lost:
                    yield self._alone(job)

    def _submitted(self, job: Job) -> Future[Result]:
        try:
            if self._given is not None:
                return self._given.submit(self._work, job)
            with script_hidden():  # a new process may be started here
                return self._executor.submit(self._work, job)
        except BrokenExecutor as error:
            if self._given is not None:
                raise SopeduError("the executor has ended; start it again and run this again") from error
            broken: Future = Future()
            broken.set_exception(error)
            return broken
        except RuntimeError as error:
            raise SopeduError(f"the executor takes no work ({error}); start it again and run this again") from error

    def _result(self, job: Job, future: Future[Result]) -> Result | None:
        """Return the result of a job, or None if its process has died with others under way."""
        try:
            return future.result()
        except SopeduError:
            raise
        except BrokenExecutor as error:
            if self._given is not None:
                raise SopeduError("the executor has lost its processes; start it again and run this again") from error
            return None
        except CancelledError as error:
            raise SopeduError("the executor has cancelled the work; start it again and run this again") from error
        except Exception as error:  # of a cluster: the workers that tried this clip have died
            return self._crashed(job, f"{type(error).__name__}: {error}")

    def _alone(self, job: Job) -> Result:
        """Do a job with nothing else under way, in new processes."""
        self._stop()
        self._start()
        result = self._result(job, self._submitted(job)) if self._can_repeat(job) else None
        return result if result is not None else self._crashed(job, "its process died twice")


def _begin_worker() -> None:
    """Let the parent handle Ctrl-C, and end with it even if it is killed, or if a decoder hangs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        late: list[TimeLimit] = []
        while parent.is_alive() and not late:
            parent.join(_LOOK_SECONDS)
            late = hanging()
        for limit in late:
            limit.hanging()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
