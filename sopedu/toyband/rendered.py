"""Sets of rendered solos, kept on disk so that they are drawn and synthesized only once.

A set's file name holds a checksum of everything it depends on: every argument and the toy band's own source code.
Change a drawing, and a new set is rendered; nothing stale is ever read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from sopedu.toyband.melody import INSTRUMENTS
from sopedu.toyband.scenes import SAMPLE_RATE, scene


@dataclass(frozen=True)
class SetDescription:
    """Which solos a set holds: ``solos`` of the instruments in turn, then ``empty`` silent rooms.

    ``times`` are the seconds at which the frames of ``size`` × ``size`` pixels are drawn.
    """

    split: str
    solos: int
    empty: int
    samples: int
    times: tuple[float, ...]
    size: int
    instruments: tuple[str, ...] = INSTRUMENTS
    sample_rate: int = SAMPLE_RATE
    seed: int = 0


@dataclass(frozen=True)
class RenderedSet:
    """Arrays of a set: waveforms ``(n, L)`` int16, frames ``(n, S, H, W, 3)`` uint8, labels ``(n,)``, −1 for nobody."""

    waveforms: np.ndarray
    frames: np.ndarray
    labels: np.ndarray


def cache_folder() -> Path:
    """Where rendered sets are kept: ``$SOPEDU_CACHE``, or ``sopedu`` in the user's cache folder."""
    own = os.environ.get("SOPEDU_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sopedu"


def rendered_set(description: SetDescription, workers: int = 1, progress: bool = True) -> RenderedSet:
    """Load a set from the cache, or render and keep it.

    Args:
        description: what to render.
        workers: processes to render with. More than one starts fresh Python processes, so a script that asks for
            them needs the usual ``if __name__ == "__main__":`` guard.
        progress: show a bar with the time left.
    """
    path = cache_folder() / f"toyband-{description.split}-{_key(description)}.safetensors"
    with contextlib.suppress(FileNotFoundError, SafetensorError):  # not there yet, or damaged: render it
        return RenderedSet(**load_file(path))
    arrays = _render(description, workers, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        save_file(arrays, aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return RenderedSet(**arrays)


def _key(description: SetDescription) -> str:
    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    text = json.dumps(asdict(description), sort_keys=True).encode()
    return hashlib.sha256(text + source + np.__version__.encode()).hexdigest()[:16]


def _render(description: SetDescription, workers: int, progress: bool) -> dict[str, np.ndarray]:
    total = description.solos + description.empty
    many = {"waveforms": [], "frames": [], "labels": []}
    bar = tqdm(total=total, desc=f"rendering {description.split}", unit="clip", disable=not progress, leave=False)
    with bar:
        for part in _parts(description, total, workers):
            for name, value in zip(many, part, strict=True):
                many[name].append(value)
            bar.update(1)
    stacked = {name: np.stack(values) for name, values in many.items()}
    return stacked | {"labels": stacked["labels"].astype(np.int16)}


def _parts(description: SetDescription, total: int, workers: int):
    if workers <= 1:
        yield from map(_render_one, repeat(description), range(total))
        return
    spawn = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads may hang
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        yield from pool.map(_render_one, repeat(description), range(total), chunksize=32)


def _render_one(description: SetDescription, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    empty = index >= description.solos
    label = -1 if empty else index % len(description.instruments)
    performers: Sequence[str] = [] if empty else [description.instruments[label]]
    rendered = scene(
        performers,
        description.seed * 1_000_000 + index,
        description.split,
        samples=description.samples,
        sample_rate=description.sample_rate,
        size=description.size,
        times=description.times,
    )
    return rendered.mixture, rendered.frames, label
