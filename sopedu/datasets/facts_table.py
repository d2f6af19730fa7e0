"""What was measured on all clips of a data set, with fingerprints, and what is wrong with them: both on disk."""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sopedu.data.prepared import ClipIndex
from sopedu.datasets.clip_facts import ClipFacts
from sopedu.datasets.disk import temporary_database

_NUMBERS = {
    "seconds": float, "peak": float, "silent_share": float, "clipped_share": float, "late": float,
    "black_share": float, "still_share": float, "counted": int, "jumps": int,
}  # fmt: skip
_PRINTS = {"sound": np.uint32, "pictures": np.uint64}


class FactsTable:
    """Facts of clips, which are numbered index after index.

    Args:
        indexes: of the data set.

    Attributes:
        sounds: fingerprints of each clip's sound.
        pictures: of each clip's frames.
    """

    def __init__(self, indexes: Sequence[ClipIndex]) -> None:
        self.indexes = list(indexes)
        self.begins = np.cumsum([0, *map(len, indexes)])
        self._names = ", ".join((*_NUMBERS, "problem"))
        self._database = temporary_database(
            f"CREATE TABLE facts (clip INTEGER PRIMARY KEY, {self._names}, {', '.join(_PRINTS)})"
        )
        self._added = f"INSERT INTO facts VALUES ({', '.join('?' * (len(_NUMBERS) + len(_PRINTS) + 2))})"
        self.sounds, self.pictures = (_Prints(self._database, name, len(self)) for name in _PRINTS)

    def __len__(self) -> int:
        """Return the number of clips."""
        return int(self.begins[-1])

    def __getitem__(self, clip: int) -> ClipFacts:
        """Return the facts of a clip, without its fingerprints."""
        row = self._database.execute(f"SELECT {self._names} FROM facts WHERE clip = ?", (int(clip),)).fetchone()
        return self._facts(int(clip), row)

    def __iter__(self) -> Iterator[ClipFacts]:
        rows = self._database.execute(f"SELECT clip, {self._names} FROM facts ORDER BY clip")
        return (self._facts(clip, row) for clip, *row in rows)

    def _facts(self, clip: int, row: Sequence) -> ClipFacts:
        place = self.index_of(clip)
        index, number = self.indexes[place], clip - int(self.begins[place])
        entry, label = index[number], index.class_names[index.labels[number]]
        *values, problem = row
        return ClipFacts(
            entry.audio, entry.frames, label, self.split(place), number, frame_count=entry.frame_count,
            problem=problem, **dict(zip(_NUMBERS, values, strict=True)),
        )  # fmt: skip

    def add(self, clip: int, facts: ClipFacts) -> None:
        """Keep the facts of a clip; clips may come in any order.

        Args:
            clip: its number.
            facts: what was measured.
        """
        numbers = (kind(getattr(facts, name)) for name, kind in _NUMBERS.items())
        prints = (np.asarray(getattr(facts, name), kind).tobytes() for name, kind in _PRINTS.items())
        self._database.execute(self._added, (clip, *numbers, _text(facts.problem), *prints))

    def column(self, name: str) -> np.ndarray:
        """Return one number of all clips.

        Args:
            name: of an attribute of :class:`ClipFacts`.
        """
        rows = self._database.execute(f"SELECT {name} FROM facts ORDER BY clip")
        return np.fromiter((value for (value,) in rows), _NUMBERS[name], len(self))

    def readable(self, place: int) -> np.ndarray:
        """Return the rows of an index whose clips could be read.

        Args:
            place: which index.
        """
        begin, end = self.begins[place : place + 2].tolist()
        rows = self._database.execute(
            "SELECT clip FROM facts WHERE problem = '' AND clip >= ? AND clip < ? ORDER BY clip", (begin, end)
        )
        return np.fromiter((clip - begin for (clip,) in rows), int)

    def index_of(self, clip: int) -> int:
        """Return which index a clip belongs to.

        Args:
            clip: its number.
        """
        return int(np.searchsorted(self.begins, clip, "right")) - 1

    def split(self, place: int) -> str:
        """Return the name of an index.

        Args:
            place: which one.
        """
        return os.path.splitext(os.path.basename(self.indexes[place].path))[0]

    def parts(self) -> np.ndarray:
        """Return the index of each clip, ``(n,)``."""
        return np.repeat(np.arange(len(self.indexes), dtype=np.int8), np.diff(self.begins))

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of clips per index and class."""
        found: dict[str, dict[str, int]] = {}
        for place, index in enumerate(self.indexes):
            counts = np.bincount(index.labels, minlength=len(index.class_names)).tolist()
            found[self.split(place)] = dict(zip(index.class_names, counts, strict=True))
        return found


class _Prints(Sequence[np.ndarray]):
    """The fingerprints of each clip, one kind of them."""

    def __init__(self, database: sqlite3.Connection, name: str, clips: int) -> None:
        self._database, self._name, self._clips = database, name, clips

    def __len__(self) -> int:
        return self._clips

    def __getitem__(self, clip: int) -> np.ndarray:
        row = self._database.execute(f"SELECT {self._name} FROM facts WHERE clip = ?", (clip,)).fetchone()
        return np.frombuffer(row[0], _PRINTS[self._name])

    def __iter__(self) -> Iterator[np.ndarray]:
        rows = self._database.execute(f"SELECT {self._name} FROM facts ORDER BY clip")
        return (np.frombuffer(row[0], _PRINTS[self._name]) for row in rows)


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a clip.

    Attributes:
        clip: its number in the report.
        kind: a key of :data:`sopedu.datasets.health.KINDS`.
        detail: with figures.
    """

    clip: int
    kind: str
    detail: str


class Faults(Sequence[Fault]):
    """Faults, in the order of their clips.

    Args:
        found: clip, kind and detail of each, in any order; of one kind each clip keeps the first.
    """

    def __init__(self, found: Iterable[tuple[int, str, str]] = ()) -> None:
        self._database = temporary_database(
            "CREATE TABLE fault (number INTEGER PRIMARY KEY, clip, kind, detail, UNIQUE (clip, kind))"
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO fault (clip, kind, detail) VALUES (?, ?, ?)",
            ((clip, kind, _text(detail)) for clip, kind, detail in found),
        )

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM fault").fetchone()[0]

    def __iter__(self) -> Iterator[Fault]:
        rows = self._database.execute("SELECT clip, kind, detail FROM fault ORDER BY clip, number DESC")
        return (Fault(*row) for row in rows)

    def __getitem__(self, place: int) -> Fault:
        return next(islice(self, range(len(self))[place], None))

    def clips(self) -> Sequence[int]:
        """Return the numbers of the clips that have a fault, in order."""
        return array("q", (clip for (clip,) in self._database.execute("SELECT DISTINCT clip FROM fault ORDER BY clip")))


def _text(text: str) -> str:
    """Return text that a database takes: a name of a file may be none."""
    return text.encode("utf-8", "replace").decode()
