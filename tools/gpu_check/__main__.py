"""Check on one GPU, within ten minutes, what cannot be tried without one (``make gpu-check``, docs/many_gpus.md).

The checks are in ``correct`` and ``speed`` beside this file; here they run one after the other, and their
figures go into a JSON file. Needed are torch, torchvision, numpy, scipy, accelerate, safetensors and tqdm, and nothing
else: the data are rendered.
``python -m tools.gpu_check --device cpu`` runs what makes sense without a GPU, at the smallest sizes.
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
from tools.gpu_check.correct import Check, Place, copies, losses, queries, resume, synchronisations
from tools.gpu_check.speed import compiled, roofline, throughput


def card(check: Check, place: Place) -> str:
    """What the card is, and that this torch computes on it."""
    known = torch.cuda.get_device_properties(place.device)
    check.figure("memory", known.total_memory / 2**30, "GiB")
    check.figure("compute_capability", f"{known.major}.{known.minor}", "version")
    check.figure("bf16_without_emulation", torch.cuda.is_bf16_supported(including_emulation=False), "yes or no")
    check.figure("tf32_convolutions", torch.backends.cudnn.allow_tf32, "yes or no")
    check.figure("tf32_matrix_products", torch.backends.cuda.matmul.allow_tf32, "yes or no")
    check.figure("cudnn_benchmark", torch.backends.cudnn.benchmark, "yes or no")
    if os.path.isdir("/dev/shm"):  # what processes that load clips hand batches over through; Docker gives 64 MiB
        check.figure("shared_memory", shutil.disk_usage("/dev/shm").total / 2**30, "GiB")
    ones = torch.ones(64, 64, device=place.device)
    check.require(float((ones @ ones).sum()) == 64.0**3, "a product of matrices is wrong")
    return f"{known.name}, {known.total_memory / 2**30:.0f} GiB"


@dataclass(frozen=True)
class Section:
    """A check and what it needs."""

    work: Callable[[Check, Place], str]
    gpu_only: bool = False


#: In this order: what is quick and tells most comes first, what compiles last.
SECTIONS: dict[str, Section] = {
    "card": Section(card, gpu_only=True),
    "losses": Section(losses),
    "synchronisations": Section(synchronisations),
    "copies": Section(copies, gpu_only=True),
    "resume": Section(resume),
    "queries": Section(queries),
    "throughput": Section(throughput),
    "roofline": Section(roofline),
    "compiled": Section(compiled, gpu_only=True),
}


class TimeIsUp(BaseException):
    """The whole time is spent. No ``except Exception`` on the way may keep it."""


def run_check(
    out: str | Path, device: str = "cuda", minutes: float = 10.0, say: Callable[[str], object] = print
) -> dict[str, Any]:
    """Run all checks; one that fails does not stop the others.

    Args:
        out: JSON file, written anew after each check; its folder is made if need be.
        device: ``cuda`` for the first GPU, or ``cpu`` for what makes sense without one.
        minutes: for all checks together. What runs when they are over is stopped, and its figures so far are kept.
        say: what to do with lines of text.

    Returns:
        what the file holds: the machine, ``result`` (``ok``, ``failed``, ``out of time``; ``unfinished`` while it
        runs), and in ``sections`` the result, one line, faults, seconds and figures with their units of each check.

    Raises:
        SopeduError: torch finds no GPU, or the file cannot be written.
    """
    out, place_device = require_place(out), torch.device(device)
    if place_device.type == "cuda" and not torch.cuda.is_available():
        made_for = f"made for CUDA {torch.version.cuda}" if torch.version.cuda else "made without CUDA"
        raise SopeduError(
            f"torch {torch.__version__}, {made_for}, finds no GPU: compare with the driver that nvidia-smi names, "
            "or try what works without one: python -m tools.gpu_check --device cpu"
        )
    full_float32(place_device)  # as training does
    began, budget = time.perf_counter(), 60 * minutes
    report: dict[str, Any] = {**_machine(place_device), "minutes": minutes, "result": "unfinished", "sections": {}}
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
    except TimeIsUp:
        check.result, check.line = "out of time", "stopped, because the time is over: give it more with --minutes"
    finally:
        place.free()
    if check.faults:
        check.result, check.line = "failed", "; ".join(check.faults)


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeIsUp` where a check is when the time is over; before it where there is no time at all."""
    if seconds <= 0:
        raise TimeIsUp
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _machine(device: torch.device) -> dict[str, Any]:
    """What the figures belong to."""
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
    """What a command says, or None where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(said.split("\n")), "").strip() or None


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a command line; 0 if all is well, 1 if a check failed or the time was over, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all checks together (default: %(default)g)")
    parser.add_argument("--out", default="runs/gpu_check.json", help="JSON file to write (default: %(default)s)")
    asked = parser.parse_args(arguments)
    # Before cuBLAS starts: only with a fixed workspace do its products repeat bit for bit.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if asked.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"  # or a training would still take a GPU that is there
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
