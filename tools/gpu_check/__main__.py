"""Check on one GPU, within ten minutes, what cannot be tried without one (``make gpu-check``, docs/many_gpus.md).

The checks are in ``correct.py`` and ``speed.py``; here they run one after the other, and their figures are written to a
JSON file. They need torch, torchvision, numpy, scipy, accelerate, safetensors and tqdm, and nothing else: the data are
rendered. ``python -m tools.gpu_check --device cpu`` runs what makes sense without a GPU, at the smallest sizes.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import sopedu
from sopedu.errors import SopeduError
from sopedu.files import require_place, write_json
from sopedu.machine import full_float32, usable_cores
from tools.gpu_check.check import Check, Place
from tools.gpu_check.correct import copies, losses, queries, resume, synchronisations
from tools.gpu_check.speed import compiled, speed


def card(check: Check, place: Place) -> str:
    """Report the card, and check that this torch computes on it."""
    known = torch.cuda.get_device_properties(place.device)
    check.figure("memory", known.total_memory / 2**30, "GiB")
    check.figure("compute_capability", f"{known.major}.{known.minor}", "version")
    check.figure("bf16_without_emulation", torch.cuda.is_bf16_supported(including_emulation=False), "yes or no")
    check.figure("tf32_convolutions", torch.backends.cudnn.allow_tf32, "yes or no")
    check.figure("tf32_matrix_products", torch.backends.cuda.matmul.allow_tf32, "yes or no")
    check.figure("cudnn_benchmark", torch.backends.cudnn.benchmark, "yes or no")
    if os.path.isdir("/dev/shm"):  # through which workers pass their batches; Docker gives 64 MiB
        check.figure("shared_memory", shutil.disk_usage("/dev/shm").total / 2**30, "GiB")
    ones = torch.ones(64, 64, device=place.device)
    check.require(float((ones @ ones).sum()) == 64.0**3, "a product of matrices is wrong")
    return f"{known.name}, {known.total_memory / 2**30:.0f} GiB"


@dataclass(frozen=True)
class Section:
    """A check and what it needs.

    Attributes:
        work: the check; returns one line.
        gpu_only: whether it needs a GPU.
    """

    work: Callable[[Check, Place], str]
    gpu_only: bool = False


#: In this order: quick and informative checks come first, compiling last.
SECTIONS: dict[str, Section] = {
    "card": Section(card, gpu_only=True),
    "losses": Section(losses),
    "synchronisations": Section(synchronisations),
    "copies": Section(copies, gpu_only=True),
    "resume": Section(resume),
    "queries": Section(queries),
    "speed": Section(speed),
    "compiled": Section(compiled, gpu_only=True),
}


class _TimeIsUp(BaseException):
    """The time is over. Not an ``Exception``, so that no handler in between catches it."""


def run_check(
    out: str | Path, device: str = "cuda", minutes: float = 10.0, say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Run all checks; one that fails does not stop the others.

    Args:
        out: JSON file, written again after each check; its folder is made if it is missing.
        device: ``cuda`` for the first GPU, or ``cpu`` for what makes sense without one.
        minutes: for all checks together. A check that is running when they are over is stopped; its figures are kept.
        say: function that prints a line of text.

    Returns:
        the content of the file: the machine, ``result`` (``ok``, ``failed``, ``out of time``; ``unfinished`` while it
        runs), and in ``sections`` each check's result, line, faults, seconds and figures with their units.

    Raises:
        SopeduError: torch finds no GPU, or the file cannot be written.
    """
    out, place_device = require_place(out), torch.device(device)
    if place_device.type == "cuda" and not torch.cuda.is_available():
        made_for = f"made for CUDA {torch.version.cuda}" if torch.version.cuda else "made without CUDA"
        raise SopeduError(
            f"torch {torch.__version__}, {made_for}, finds no GPU: compare with the driver that nvidia-smi names, "
            "or run what works without one: python -m tools.gpu_check --device cpu"
        )
    full_float32(place_device)  # as training does
    report: dict[str, Any] = {**_machine(place_device), "minutes": minutes, "result": "unfinished", "sections": {}}
    began, budget = time.perf_counter(), 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        place = Place(place_device, Path(folder))
        for name, section in SECTIONS.items():
            spent = time.perf_counter() - began
            say(f"[{_clock(spent)} of {_clock(budget)}, {_clock(max(0.0, budget - spent))} left] {name} …")
            check = Check()
            _run(section, check, place, budget - spent)
            check.seconds = round(time.perf_counter() - began - spent, 1)
            report["sections"][name] = asdict(check)
            for figure, measured in check.figures.items():
                say(f"    {figure:<36} {measured['value']} {measured['unit']}")
            say(f"  {name}: {check.result}: {check.line}")
            write_json(out, report)
    results = [found["result"] for found in report["sections"].values()]
    report["result"] = next((result for result in ("failed", "out of time") if result in results), "ok")
    report["seconds"] = round(time.perf_counter() - began, 1)
    write_json(out, report)
    say(f"{report['result']} after {_clock(report['seconds'])}; figures are in {out}")
    return report


def _run(section: Section, check: Check, place: Place, seconds: float) -> None:
    if section.gpu_only and not place.on_gpu:
        check.result, check.line = "skipped", "needs a GPU"
        return
    try:
        with check.part(), _stopped_after(seconds):
            check.line = section.work(check, place)
    except _TimeIsUp:
        check.result, check.line = "out of time", "stopped, because the time is over: give it more with --minutes"
    finally:
        place.free()
    if check.faults:
        check.result, check.line = "failed", "; ".join(check.faults)


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise :class:`_TimeIsUp` in the check when the time is over; before the check if there is none left."""
    if seconds <= 0:
        raise _TimeIsUp
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine that the figures belong to."""
    on_gpu = device.type == "cuda"
    return {
        "sopedu": sopedu.__version__,
        "commit": _first_line("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device.type,
        "card": torch.cuda.get_device_name(device) if on_gpu else None,
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if on_gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "python": platform.python_version(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
    }


def _first_line(*command: str) -> str | None:
    """Return the first line that a command prints; None if the command is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(printed.split("\n")), "").strip() or None


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks from a command line.

    Args:
        arguments: of the command line; None: those of the process.

    Returns:
        exit status: 0 if all checks passed, 1 if one failed or the time was over, 2 without a GPU.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all checks together (default: %(default)g)")
    parser.add_argument("--out", default="runs/gpu_check.json", help="JSON file to write (default: %(default)s)")
    asked = parser.parse_args(arguments)
    # Before cuBLAS starts: its products repeat bit for bit only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if asked.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # otherwise a training would use a GPU
    try:
        report = run_check(asked.out, asked.device, asked.minutes, lambda line: print(line, flush=True))
    except SopeduError as error:
        print(f"sopedu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sopedu: interrupted", file=sys.stderr)
        return 130
    return 0 if report["result"] == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
