"""The ledger of a data set: one line per clip with its state, kept so that a killed run loses nothing.

While a run works, it appends lines to a log in ``DIR/.prepare``. A line that a killed run left unfinished does not
count. At the end, the logs of all shards become ``clips.csv``, sorted, written aside and renamed.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

from sopedu.datasets.disk import temporary_database
from sopedu.errors import SopeduError
from sopedu.files import writing, written_aside

#: The clip is there.
OK = "ok"
#: States that may be different next time: these clips are tried again.
AGAIN = frozenset({"missing", "crashed", "network", "bot-check"})
_OPEN_LOGS = 64  # that are read at the same time


@dataclass(frozen=True, slots=True)
class Row:
    """What is known about one clip.

    Attributes:
        id: name of the clip, as its files have it.
        label: name of the class, as its folders have it (``class`` in the file).
        state: ``ok``, ``missing``, ``damaged``, ``no-sound``, ``no-picture``, ``short``, ``too-large``, ``refused``,
            ``failed`` (it took too long) or ``crashed``; of a download also ``private``, ``removed``, ``age``,
            ``region``, ``bot-check``, ``network`` and ``format``.
        reason: why, in one line; empty if all is well.
        duration: of the film, in seconds.
        fps: pictures per second of the film.
        seconds: length of the prepared clip.
        hash: first 32 hexadecimal digits of the SHA-256 of its sound and its frames.
        frames: how many frames were written.
        start: second of the film at which the clip begins.
        video: identifier of the video; clips of one video never come into different splits.
        split: as the list says; empty if it does not.
        place: in the list.
    """

    id: str
    label: str
    state: str
    reason: str = ""
    duration: float | None = None
    fps: float | None = None
    seconds: float | None = None
    hash: str = ""
    frames: int = 0
    start: float | None = None
    video: str = ""
    split: str = ""
    place: int = 0

    @property
    def key(self) -> str:
        """Where its files are: class and name."""
        return f"{self.label}/{self.id}"


HEADER = tuple("class" if field.name == "label" else field.name for field in fields(Row))


class Log:
    """The log of a run: rows are appended, and count once their line is complete.

    Args:
        path: of the file; made if it does not exist. An unfinished last line is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab+")  # noqa: SIM115
            self._file.truncate(_complete_bytes(self._file))
            self._file.seek(0, os.SEEK_END)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Row, synced: bool = False) -> None:
        """Append a row.

        Args:
            row: of a clip; it replaces an earlier row of that clip.
            synced: wait until it is on the disk.
        """
        with writing(self.path):
            self._file.write(_line(row).encode())
            self._file.flush()
            if synced:
                os.fsync(self._file.fileno())


def read_log(path: Path) -> Iterator[Row]:
    """Yield the rows of a log or a ledger, without an unfinished last line.

    Args:
        path: of the file.

    Raises:
        SopeduError: a line is no row of a ledger.
    """
    for _, row in _placed_rows(path):
        yield row


def _placed_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a log, and where their lines begin."""
    with open(path, "rb") as file:
        begin, end = 0, _complete_bytes(file)
        file.seek(0)
        # A line at a time: a field holds no line break, because `_line` takes them out.
        for number, line in enumerate(file, 1):
            if begin + len(line) > end:
                return
            row = _row(line.decode("utf-8", "replace"))
            if row is None and number > 1:
                raise SopeduError(f"{path}, line {number}: is no line of a ledger; remove the line")
            if row is not None:
                yield begin, row
            begin += len(line)


class LoggedRows:
    """The newest row of each clip in some logs; one that is ``ok`` stays, whatever a later log says.

    Where each row is stands in a temporary database, so that a list may be long: going through the rows reads them
    again.

    Args:
        paths: of the logs, oldest first.

    Raises:
        SopeduError: a line is no row of a ledger.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)
        # Of a key only its hash is kept: 64 bits are enough for millions of keys.
        self._database = temporary_database(
            "CREATE TABLE clip (key INTEGER PRIMARY KEY, log, begin, state, place, label, id)"
        )
        self._database.executemany(
            "INSERT INTO clip VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in ("log", "begin", "state", "place"))
            + f" WHERE state != '{OK}'",
            (
                (hash(row.key), log, begin, row.state, row.place, row.label, row.id)
                for log, path in enumerate(self._paths)
                for begin, row in _placed_rows(path)
            ),
        )

    def __len__(self) -> int:
        """Return the number of clips."""
        return self._database.execute("SELECT count(*) FROM clip").fetchone()[0]

    def state(self, key: str) -> str | None:
        """Return the state of a clip; None if it has no row.

        Args:
            key: of the clip.
        """
        found = self._database.execute("SELECT state FROM clip WHERE key = ?", (hash(key),)).fetchone()
        return found and found[0]

    def ordered(self) -> Iterator[Row]:
        """Yield the rows, sorted by their place in the list, by class, by name."""
        return self._read(self._database.execute("SELECT log, begin FROM clip ORDER BY place, label, id"))

    def _read(self, places: Iterable[tuple[int, int]]) -> Iterator[Row]:
        with ExitStack() as stack:
            opened: dict[int, io.BufferedReader] = {}
            for log, begin in places:
                if log not in opened:
                    if len(opened) >= _OPEN_LOGS:
                        opened.pop(next(iter(opened))).close()
                    opened[log] = stack.enter_context(open(self._paths[log], "rb"))
                opened[log].seek(begin)
                yield _row(opened[log].readline().decode("utf-8", "replace"))


def write_ledger(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as ``clips.csv``, with a header; aside, then renamed.

    Args:
        path: of the file.
        rows: in order.
    """
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(HEADER) + "\n")
        file.writelines(map(_line, rows))


def _line(row: Row) -> str:
    values = [getattr(row, field.name) for field in fields(Row)]
    said = ["" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value) for value in values]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([" ".join(text.split()) for text in said])
    return buffer.getvalue().encode("utf-8", "replace").decode()  # a name of a file may be no text


def _row(line: str) -> Row | None:
    values = next(csv.reader([line]), [])
    if len(values) != len(HEADER) or tuple(values) == HEADER:
        return None
    for place in _REPEATED:  # one text in memory for all rows that have it
        values[place] = sys.intern(values[place])
    try:
        for place in _NUMBERS:
            values[place] = float(values[place]) if values[place] else None
        for place in _COUNTS:
            values[place] = int(values[place])
    except ValueError:
        return None
    return Row(*values)


_NUMBERS = tuple(HEADER.index(name) for name in ("duration", "fps", "seconds", "start"))
_COUNTS = tuple(HEADER.index(name) for name in ("frames", "place"))
_REPEATED = tuple(HEADER.index(name) for name in ("class", "state", "reason", "split"))


def _complete_bytes(file: io.BufferedIOBase) -> int:
    """Return the number of bytes up to the end of the last complete line."""
    size = file.seek(0, os.SEEK_END)
    while size:
        begin = max(0, size - 65536)
        file.seek(begin)
        found = file.read(size - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        size = begin
    return 0
