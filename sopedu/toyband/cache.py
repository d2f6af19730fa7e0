"""Sets of rendered solos, kept on disk so that they are drawn and synthesized only once.

A set's file name holds a checksum of everything it depends on: every argument and the toy band's source code. After a
change of a drawing a new set is rendered; old sets are not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tqdm.auto import tqdm

from sopedu.errors import SopeduError
from sopedu.files import write_tensors
from sopedu.processes import script_hidden
from sopedu.shipped import cache_folder
from sopedu.toyband.instruments import INSTRUMENTS
from sopedu.toyband.scenes import SAMPLE_RATE, scene
from sopedu.toyband.splits import generator_for


@dataclass(frozen=True)
class SetDescription:
    """Which solos a set holds.

    Attributes:
        split: ``train``, ``validation`` or ``test``.
        solos: number of solos, of the instruments in turn.
        empty: number of silent scenes without a player, after the solos.
        samples: length of each sound.
        times: of the frames, in seconds.
        size: height and width of the frames in pixels.
        instruments: names in :data:`sopedu.toyband.BAND`; a label is an index into them.
        sample_rate: in Hz.
        seed: chooses the solos.
        properties: of the sounds, see :func:`sopedu.toyband.scene`.
        plain_share: of the solos that have none of these properties.
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
    properties: tuple[str, ...] = ("all",)
    plain_share: float = 0.0


@dataclass(frozen=True)
class RenderedSet:
    """The arrays of a set of n scenes.

    Attributes:
        waveforms: ``(n, L)`` int16.
        frames: ``(n, S, H, W, 3)`` uint8.
        labels: ``(n,)`` int16, −1 for an empty scene.
    """

    waveforms: np.ndarray
    frames: np.ndarray
    labels: np.ndarray


_NOTED = set[str]()  # notes already printed in this process


def rendered_set(
    description: SetDescription,
    workers: int = 1,
    progress: bool = True,
    watch: Callable[[float], None] | None = None,
) -> RenderedSet:
    """Load a set from the cache, or render and keep it; print one note if it cannot be kept.

    Args:
        description: what to render.
        workers: processes to render with. More than one starts fresh Python processes, which do not import the
            script that asks for them: it needs no ``if __name__ == "__main__":`` guard.
        progress: show a bar with the time left.
        watch: is called with the share that is done, 0…1, before the first scene and after each; an exception that it
            raises ends the rendering, and nothing is kept.

    Returns:
        The arrays of the set.
    """
    name = f"toyband-{description.split}-{_key(description)}"
    watch = watch or (lambda _: None)
    return RenderedSet(
        **kept(name, RenderedSet.__annotations__, lambda: _render(description, workers, progress, watch))
    )


def kept(name: str, arrays: Iterable[str], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Load arrays from a file of the cache, or make and keep them; print one note if they cannot be kept.

    Args:
        name: of the file, without a suffix; it should hold a checksum of everything that the arrays depend on.
        arrays: their names. A file that holds others, or is damaged, is replaced.
        make: makes them.

    Returns:
        The arrays by name.
    """
    folder = cache_folder()
    path = folder and folder / f"{name}.safetensors"
    if path is not None:
        with contextlib.suppress(OSError, SafetensorError):  # not there yet, or damaged: make them
            found = load_file(path)
            if set(found) == set(arrays):
                return found
    made = make()
    if path is None:
        _note_without_cache("this user has no home folder")
    else:
        try:
            write_tensors(path, made)
        except SopeduError as error:
            reason = error.__cause__ or error
            _note_without_cache(f"{folder}: {getattr(reason, 'strerror', None) or reason}")
    return made


def _note_without_cache(why: str) -> None:
    """Print once per process that rendered sets are not kept."""
    why = " ".join(why.split())
    if why not in _NOTED:
        _NOTED.add(why)
        line = f"note: rendered solos cannot be kept for the next time ({why}); SOPEDU_CACHE=FOLDER names another place"
        tqdm.write(line, file=sys.stderr)


def _key(description: SetDescription) -> str:
    source = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    text = json.dumps(asdict(description), sort_keys=True).encode()
    return hashlib.sha256(text + source + np.__version__.encode()).hexdigest()[:16]


def _render(
    description: SetDescription, workers: int, progress: bool, watch: Callable[[float], None]
) -> dict[str, np.ndarray]:
    total = description.solos + description.empty
    many = {"waveforms": [], "frames": [], "labels": []}
    bar = tqdm(total=total, desc=f"rendering {description.split}", unit="clip", disable=not progress, leave=False)
    with bar:
        watch(0.0)
        for part in _parts(description, total, workers):
            for name, value in zip(many, part, strict=True):
                many[name].append(value)
            bar.update(1)
            watch(len(many["labels"]) / total)
    stacked = {name: np.stack(values) for name, values in many.items()}
    return stacked | {"labels": stacked["labels"].astype(np.int16)}


def _parts(description: SetDescription, total: int, workers: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    done = 0
    if workers > 1 and _may_start_processes():
        spawn = multiprocessing.get_context("spawn")  # forking a process that holds torch's threads may hang
        try:
            with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
                with script_hidden():  # all processes are started here
                    parts = pool.map(_render_one, repeat(description), range(total), chunksize=32)
                for part in parts:
                    yield part
                    done += 1
        except (BrokenProcessPool, OSError):  # a process was killed, or none could be started: this one renders alone
            pass
    yield from map(_render_one, repeat(description), range(done, total))


def _may_start_processes() -> bool:
    """Return False in a worker process, and in one that still imports the script of the process that started it."""
    here = multiprocessing.current_process()
    return not here.daemon and not getattr(here, "_inheriting", False)


def _render_one(description: SetDescription, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    empty = index >= description.solos
    label = -1 if empty else index % len(description.instruments)
    performers: Sequence[str] = [] if empty else [description.instruments[label]]
    plain = generator_for("plain", description.split, description.seed, index).random() < description.plain_share
    rendered = scene(
        performers,
        description.seed * 1_000_000 + index,
        description.split,
        samples=description.samples,
        sample_rate=description.sample_rate,
        size=description.size,
        times=description.times,
        properties=() if plain else description.properties,
    )
    return rendered.mixture, rendered.frames, label
