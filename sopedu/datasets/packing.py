"""Pack prepared clips into tar files of about a gigabyte: ``sopedu pack``, and ``sopedu prepare … --pack 1GB``.

File systems of clusters are slow with millions of small files. Trainings from the tar files are the same as from the
folders, bit for bit, see :mod:`sopedu.data.shards`. Sounds and frames stay as they are. A run that was stopped or
killed goes on when it is started again. An index appears only after all of its tar files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from sopedu.data.index_files import write_index
from sopedu.data.index_sounds import VIDEO_SOUNDS
from sopedu.data.prepared import ClipIndex, read_index
from sopedu.data.shards import BLOCK, SHARD_COLUMNS
from sopedu.datasets.disk import bytes_of, require_space, spoken_size
from sopedu.datasets.opening import index_files
from sopedu.datasets.tar_members import Packed, PackJob, crashed_packing, packed
from sopedu.datasets.workers import Workers
from sopedu.errors import SopeduError, whole_number
from sopedu.files import writing

#: Folder of the tar files in that of the data set, if no other is named.
PACKED = "packed"
_NOTES = ".pack"
_LOOKED_AT = 64  # clips of an index whose sizes are read to plan the tar files
_NAMED = re.compile(r"(?P<index>.+)-\d{6}\.json")


@dataclass(frozen=True)
class Packing:
    """What was packed.

    Attributes:
        out: folder of the tar files and the indexes.
        indexes: their paths.
        tars: number of tar files.
        clips: number of clips.
        size: bytes of all tar files.
    """

    out: Path
    indexes: list[Path]
    tars: int
    clips: int
    size: int


def pack(
    data: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    size: str | int = "1GB",
    *,
    root: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = True,
    say: Callable[[str], object] = lambda line: None,
) -> Packing:
    """Pack the clips of a data set into tar files; run it again to go on after a stop.

    Args:
        data: folder of a data set, or its index files.
        out: folder for tar files and indexes; None: ``packed`` in the folder of the data set.
        size: of a tar file, about; such as ``1GB``.
        root: the folder in which the paths of the indexes begin; None: it is found.
        jobs: number of processes; None: one per core; 0 works in this process.
        progress: whether to show a bar.
        say: gets one line about the plan.

    Raises:
        SopeduError: files of a clip are missing or cannot be read; the clips are in tar files already; the disk is too
            small.
    """
    from sopedu.machine import usable_cores

    places = [data] if isinstance(data, (str, Path)) else list(data)
    indexes = [_checked(read_index(path, root)) for path in index_files([Path(place) for place in places])]
    goal = Path(out) if out is not None else Path(indexes[0].path).parent / PACKED
    goals = [goal / os.path.basename(index.path) for index in indexes]
    if len(set(goals)) < len(goals) or {path.resolve() for path in goals} & {Path(i.path).resolve() for i in indexes}:
        raise SopeduError(f"{goal}: would hold two indexes of one name; name another --out, or pack them one by one")
    plans = [_plan(index, bytes_of(size, "size")) for index in indexes]
    needed = sum(expected for expected, _ in plans)
    with writing(goal):
        (goal / _NOTES).mkdir(parents=True, exist_ok=True)
    count = sum(len(ends) for _, ends in plans)
    say(f"{sum(map(len, indexes))} clips, about {spoken_size(needed)}, into {count} tar files in {goal}")
    with _locked(goal):
        require_space(goal, needed - _there(goal))
        for path in goals:
            with writing(path):
                path.unlink(missing_ok=True)  # an index never names tar files that are being replaced
        processes = usable_cores() if jobs is None else whole_number(jobs, "jobs", 0, 1024)
        found = list[list[Packed]]()
        with (
            Workers(packed, crashed_packing, min(processes, count), None) as workers,
            tqdm(total=sum(map(len, indexes)), desc="packing", unit="clip", disable=not progress) as bar,
        ):
            for index, (_, ends) in zip(indexes, plans, strict=True):
                done = []
                for one in workers.results(_jobs(index, ends, goal)):
                    if one.problem:
                        raise SopeduError(f"{one.name}: {one.problem}; run this again, with fewer --jobs")
                    done.append(one)
                    bar.update(len(one.heads))
                found.append(sorted(done, key=lambda one: one.first))
        for path, index, tars in zip(goals, indexes, found, strict=True):
            write_index(path, _rows(index, tars), SHARD_COLUMNS)
            _remove_others(goal, path.stem, {one.name for one in tars})
    return Packing(goal, goals, count, sum(map(len, indexes)), sum(one.size for tars in found for one in tars))


def _checked(index: ClipIndex) -> ClipIndex:
    """Return an index whose clips can be packed.

    Raises:
        SopeduError: they cannot.
    """
    if index.shards:
        raise SopeduError(f"{index.path}: its clips are in tar files already; pack the index of the folders")
    if missing := index.missing():
        names = ", ".join(name for _, name in missing[:5])
        raise SopeduError(
            f"{index.path}: {len(missing)} files or folders are missing, such as {names}; prepare these clips again, "
            "or pack an index without them (sopedu health --fix)"
        )
    for audio in (index[row].audio for row in range(len(index))):
        if audio.lower().endswith(VIDEO_SOUNDS) or "/" not in audio:
            what = "is in no folder that names its class" if "/" not in audio else "is a film"
            raise SopeduError(f"{index.path}: {audio} {what}; prepare the films first (sopedu prepare)")
    return index


def _plan(index: ClipIndex, size: int) -> tuple[int, list[int]]:
    """Return the bytes that the clips of an index need, about, and the row after the last of each tar file.

    The sizes of some clips are read; the others are taken to have as many bytes per frame.
    """
    rows = np.unique(np.linspace(0, len(index) - 1, _LOOKED_AT).astype(int)).tolist()
    per_frame = sum(_size_of(index, row) for row in rows) / int(index.frame_counts[rows].sum())
    sizes = np.cumsum(index.frame_counts) * per_frame
    tar = ((sizes - sizes[0]) / size).astype(int)
    return round(float(sizes[-1])), [*(np.flatnonzero(np.diff(tar)) + 1).tolist(), len(index)]


def _size_of(index: ClipIndex, row: int) -> int:
    """Return the bytes that a clip takes in a tar file, about."""
    entry = index[row]
    folder, sound = index.files.located(entry.frames), index.files.sound(row, entry)
    try:
        with os.scandir(folder) as files:
            sizes = [os.path.getsize(sound), *(file.stat().st_size for file in files)]
    except OSError as error:
        raise SopeduError(f"{folder}: cannot be read ({error.strerror}); prepare the clip again") from error
    return sum(sizes) + (len(sizes) + 1) * BLOCK * 3 // 2


def _jobs(index: ClipIndex, ends: Sequence[int], out: Path) -> Iterator[PackJob]:
    stem = os.path.splitext(os.path.basename(index.path))[0]
    for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        name = f"{stem}-{number:06d}"
        yield PackJob(index.part(begin, end), begin, str(out / f"{name}.tar"), str(out / _NOTES / f"{name}.json"))


def _rows(index: ClipIndex, tars: Sequence[Packed]) -> Iterator[tuple[str | int, ...]]:
    for tar in tars:
        for place, (head, checksum) in enumerate(zip(tar.heads, tar.checksums, strict=True)):
            yield (*index.columns(tar.first + place), tar.name, head, checksum)


def _there(out: Path) -> int:
    """Return the bytes of the tar files that earlier runs have written."""
    return sum(path.stat().st_size for path in out.glob("*.tar") if (out / _NOTES / f"{path.stem}.json").exists())


def _remove_others(out: Path, stem: str, names: set[str]) -> None:
    """Remove tar files that an earlier packing of this index has written and this one has not."""
    for note in (out / _NOTES).iterdir():
        found = _NAMED.fullmatch(note.name)
        if found and found["index"] == stem and f"{note.stem}.tar" not in names:
            with suppress(OSError):
                (out / f"{note.stem}.tar").unlink(missing_ok=True)
                note.unlink()


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(out / _NOTES / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise SopeduError(f"{out}: another run is packing there; wait for it") from error
    try:
        yield
    finally:
        lock.release()
