"""Prepare a data set for training from films: ``sopedu prepare``.

Out of a source (see :func:`sopedu.datasets.opening.open_source`) come, in the layout of the original code,
``audio/<class>/<id>.wav``, ``frames/<class>/<id>/000001.jpg`` …, the indexes ``train.csv``, ``val.csv`` and
``test.csv``, and the ledger ``clips.csv``. Each clip appears whole; a run that was stopped or killed anywhere goes on
when it is started again, and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from sopedu.datasets.converting import HUNG, WORK, ClipFormat, ClipJob, crashed_clip, prepare_clip
from sopedu.datasets.disk import require_space, spoken_size, temporary_database, temporary_space
from sopedu.datasets.finishing import SETTINGS, Prepared, finished, known_rows, log_path
from sopedu.datasets.ledger import AGAIN, OK, Log, Row
from sopedu.datasets.opening import open_source
from sopedu.datasets.sources import Item, Source
from sopedu.datasets.splits import PROTOCOLS
from sopedu.datasets.workers import Workers
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.files import write_json, writing

_BYTES_PER_SECOND = 230_000  # of a clip of 16:9 pictures full of detail, measured
_ON_A_CLUSTER = 256  # processes that an executor is taken to have if it does not say
_LOOKED_AT = 12  # films whose length is read to estimate the disk that is needed


@temporary_space()
def prepare(
    source: str | Path,
    out: str | Path,
    films: str | Path | None = None,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    shard: tuple[int, int] | None = None,
    delete_source: bool = False,
    again: bool = False,
    protocol: str | None = None,
    seed: int = 0,
    form: ClipFormat | None = None,
    time_limit: float | None = None,
    progress: bool = True,
    say: Callable[[str], object] = lambda line: None,
) -> Prepared:
    """Prepare clips for training; run it again to go on after a stop, or to add films.

    Args:
        source: a folder with one folder of films per class; a folder of tar parts, or one part; or a published list
            (MUSIC, MUSIC-21, duets: JSON; VGGSound, AudioSet: CSV).
        out: folder of the data set; made if it does not exist.
        films: for a list, the folder with its films or with tar parts. Names may be ``ID.mp4``, ``ID_000030.mp4``,
            ``ID_30.mp4`` or ``ID_30000_40000.mp4``.
        jobs: number of processes; None: one per core, or as many as `executor` has; 0 works in this process.
        executor: any ``concurrent.futures.Executor`` instead, such as dask's ``client.get_executor()``. Its processes
            must see the films and `out` under the same paths.
        shard: (i, n) prepares only the i-th of n parts, from 1; :func:`sopedu.datasets.merge_shards` follows the last.
        delete_source: remove each film once all its clips are on the disk.
        again: also try clips again that could not be used, such as damaged ones.
        protocol: how clips are split, see :data:`sopedu.datasets.splits.PROTOCOLS`; None: as is usual for the source.
        seed: of the split.
        form: how clips are written; None: 11 025 Hz, 8 frames per second, 256 pixels on the short side.
        time_limit: seconds that one clip may take before its state is ``failed``; None: ten times the length of its
            film, at least 300.
        progress: whether to show a bar.
        say: gets one line about the plan.

    Raises:
        SopeduError: the source cannot be used, the disk is too small, or `out` was prepared in another form.
    """
    opened = open_source(source, films)
    root, settings = _folder(Path(out)), form or ClipFormat()
    number, of = _checked_shard(shard)
    protocol = _checked_protocol(protocol or opened.protocol)
    time_limit = None if time_limit is None else real_number(time_limit, "time_limit", 1.0, 1e9)
    # A film that was to be deleted may be gone, although its process died before it said so.
    workers = Workers(
        prepare_clip, crashed_clip, _processes(jobs, executor), executor, lambda job: os.path.exists(job.film)
    )
    with _locked(root, number, of):
        _agree_on_settings(root, settings, protocol, whole_number(seed, "seed", 0))
        if of == 1:
            for leftover in ("clips", "films", HUNG):
                shutil.rmtree(root / WORK / leftover, ignore_errors=True)
        with writing(root):
            spool = root / WORK / "films"
            spool.mkdir(parents=True, exist_ok=True)
        run = _Run(opened, root, settings, (number, of), again, delete_source, time_limit)
        run.look_through(spool, say)
        with (
            Log(log_path(root, number, of)) as log,
            workers,
            tqdm(total=run.left, desc="preparing", unit="clip", disable=not progress) as bar,
        ):
            for row in run.rows(workers, spool):
                log.add(row, synced=delete_source)
                run.note(row)
                bar.update(1)
                bar.set_postfix(run.counts, refresh=False)
        if of > 1:
            log_path(root, number, of).with_suffix(".done").touch()
            return Prepared(root, dict(run.counts), seconds=run.seconds, notes=opened.notes)
        notes = opened.notes
        del opened, run  # the end takes memory itself
        return finished(root, notes)


class _Run:
    """One run over a source: what is known already, what is left, which films may be deleted."""

    def __init__(
        self, source: Source, root: Path, form: ClipFormat, shard: tuple[int, int], again: bool, delete: bool,
        time_limit: float | None,
    ) -> None:  # fmt: skip
        self.source, self.root, self.form, self.shard, self.delete = source, root, form, shard, delete
        self._known, self._again = known_rows(root), again
        self._time_limit = time_limit
        self.seconds = 0.0
        self.left: int | None = None
        self.counts: Counter[str] = Counter()
        self._films: dict[str, str] = {}  # clip → film, of those under way
        self._uses: Counter[str] = Counter()  # film → clips that still need it, where there are several
        self._kept: set[str] = set()  # films with a clip that could not be prepared

    def _fixed(self, row: Row) -> str | None:
        """Return the state of a clip that is not prepared now; None if it is."""
        state = self._known.state(row.key)
        return state if state == OK or not self._again and state not in AGAIN else None

    def _skip(self, row: Row) -> bool:
        return self._fixed(row) is not None

    def _mine(self, row: Row) -> bool:
        return self.shard[1] == 1 or _part_of(row.video, self.shard[1]) == self.shard[0]

    def items(self, spool: Path) -> Iterator[Item]:
        """Yield the clips of this shard, each once."""
        seen = temporary_database("CREATE TABLE seen (key INTEGER PRIMARY KEY)")  # hashes of keys
        for item in self.source.items(lambda row: self._skip(row) or not self._mine(row), spool):
            key = (hash(item.row.key),)
            if self._mine(item.row) and seen.execute("INSERT OR IGNORE INTO seen VALUES (?)", key).rowcount:
                yield item
            elif item.temporary:
                os.unlink(item.film)

    def look_through(self, spool: Path, say: Callable[[str], object]) -> None:
        """Count the clips, estimate the disk that they need, and say so.

        Raises:
            SopeduError: the disk is too small.
        """
        free = shutil.disk_usage(self.root).free
        if not self.source.counted:
            say(f"clips are counted while the tar parts are read; {spoken_size(free)} are free at {self.root}")
            return
        total, cut_seconds, whole, films = 0, 0.0, 0, list[str]()
        self.left = 0
        for item in self.items(spool):
            total += 1
            known = self._fixed(item.row)
            if self.delete and item.film:
                self._uses[item.film] += known is None
                if known not in (None, OK):
                    self._kept.add(item.film)
            if known is not None:
                continue
            self.left += 1
            if item.seconds:
                cut_seconds += item.seconds * bool(item.film)
            elif item.film:
                whole += 1
                if whole & (whole - 1) == 0 or len(films) < _LOOKED_AT:
                    films.append(item.film)
        for film, uses in list(self._uses.items()):
            if not uses:
                self._delete(film)
        seconds = cut_seconds + whole * _mean_seconds(films)
        needed = round(seconds * _BYTES_PER_SECOND)
        say(
            f"{self.left} of {total} clips to prepare, {seconds / 3600:.1f} h of film: about {spoken_size(needed)} of "
            f"disk, {spoken_size(free)} are free at {self.root}"
        )
        require_space(self.root, needed)

    def rows(self, workers: Workers, spool: Path) -> Iterator[Row]:
        """Yield the row of each clip that is left, as soon as it is known."""
        ready: list[Row] = []

        def jobs() -> Iterator[ClipJob]:
            for item in self.items(spool):
                if self._skip(item.row):
                    if item.temporary:
                        os.unlink(item.film)
                elif item.film:
                    if self.delete and not item.temporary:
                        self._films[item.row.key] = item.film
                    yield ClipJob(
                        item.film, str(self.root), item.row, item.seconds, item.cut, self.form, item.temporary,
                        self._time_limit,
                    )  # fmt: skip
                else:
                    ready.append(item.row)

        for row in workers.results(jobs()):
            yield from ready
            ready.clear()
            yield row
        yield from ready

    def note(self, row: Row) -> None:
        """Count a row, and delete its film if nothing else needs it."""
        self.counts[row.state] += 1
        self.seconds += row.seconds or 0.0
        film = self._films.pop(row.key, None)
        if film is not None:
            self._uses[film] -= 1
            if row.state != OK:
                self._kept.add(film)
            if self._uses[film] <= 0:
                self._delete(film)

    def _delete(self, film: str) -> None:
        del self._uses[film]
        if film not in self._kept:
            with suppress(OSError):
                os.unlink(film)
        self._kept.discard(film)


def _folder(out: Path) -> Path:
    try:
        (out / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SopeduError(
            f"{out!s:.200}: no folder can be made there ({error.strerror}); choose another --out"
        ) from error
    return out


def _agree_on_settings(root: Path, form: ClipFormat, protocol: str, seed: int) -> None:
    """Write how the data set is prepared, or compare it with what an earlier run has written.

    Raises:
        SopeduError: the clips that are there have another form.
    """
    path, wanted = root / SETTINGS, asdict(form)
    there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else wanted
    differing = [name for name in wanted if there.get(name) != wanted[name]]
    if differing:
        raise SopeduError(
            f"{root}: its clips have {', '.join(f'{name} {there.get(name)}' for name in differing)}; "
            "choose another --out, or the same settings"
        )
    write_json(path, {**wanted, "protocol": protocol, "seed": seed, "splits": PROTOCOLS[protocol]})


@contextmanager
def _locked(root: Path, number: int, of: int) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(log_path(root, number, of, ".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise SopeduError(f"{root}: another run is preparing this; wait for it") from error
    try:
        yield
    finally:
        lock.release()


def _processes(jobs: int | None, executor: Executor | None) -> int:
    if jobs is None and executor is not None:
        return getattr(executor, "_max_workers", 0) or _ON_A_CLUSTER
    if jobs is None:
        from sopedu.machine import usable_cores  # loads torch, which no process here needs

        return usable_cores()
    return whole_number(jobs, "jobs", 0, 1024)


def _checked_shard(shard: tuple[int, int] | None) -> tuple[int, int]:
    if shard is None:
        return 1, 1
    of = whole_number(shard[1], "number of shards", 1, 100_000)
    return whole_number(shard[0], "shard", 1, of), of


def _checked_protocol(protocol: str) -> str:
    if protocol not in PROTOCOLS:
        raise SopeduError(f"protocol={protocol!r:.40}: choose one of {', '.join(PROTOCOLS)}")
    return protocol


def _part_of(video: str, of: int) -> int:
    """Return the shard of a video, from 1: the same on every machine."""
    return int.from_bytes(hashlib.sha256(video.encode("utf-8", "replace")).digest()[:8], "big") % of + 1


def _mean_seconds(films: list[str]) -> float:
    """Return the mean length of some films; those that cannot be read do not count."""
    from sopedu.video.probing import probe

    lengths = []
    for film in films:
        with suppress(SopeduError):
            lengths.append(probe(film).duration)
    return sum(lengths) / len(lengths) if lengths else 0.0
