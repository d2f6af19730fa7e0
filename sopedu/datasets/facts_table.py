"""What was measured on all clips of a data set, in a few blocks of memory: about 0.4 kB per clip with fingerprints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from sopedu.data.prepared import ClipIndex
from sopedu.datasets.clip_facts import ClipFacts
from sopedu.datasets.fingerprints import Prints

_NUMBERS = {
    "seconds": np.float64, "peak": np.float64, "silent_share": np.float64, "clipped_share": np.float64,
    "late": np.float64, "black_share": np.float64, "still_share": np.float64, "counted": np.int32, "jumps": np.int16,
}  # fmt: skip


class FactsTable:
    """Facts of clips, which are numbered index after index.

    Args:
        indexes: of the data set.
    """

    def __init__(self, indexes: Sequence[ClipIndex]) -> None:
        self.indexes = list(indexes)
        self.begins = np.cumsum([0, *map(len, indexes)])
        self._numbers = {name: np.zeros(len(self), kind) for name, kind in _NUMBERS.items()}
        self.problems: dict[int, str] = {}
        self.sounds, self.pictures = Prints(len(self), "I"), Prints(len(self), "Q")

    def __len__(self) -> int:
        """Return the number of clips."""
        return int(self.begins[-1])

    def __getitem__(self, clip: int) -> ClipFacts:
        """Return the facts of a clip, without its fingerprints."""
        place = self.index_of(clip)
        index, row = self.indexes[place], clip - int(self.begins[place])
        entry = index[row]
        numbers = {name: column[clip].item() for name, column in self._numbers.items()}
        return ClipFacts(
            entry.audio, entry.frames, index.class_names[index.labels[row]], self.split(place), row,
            frame_count=entry.frame_count, problem=self.problems.get(clip, ""), **numbers,
        )  # fmt: skip

    def __iter__(self) -> Iterator[ClipFacts]:
        return (self[clip] for clip in range(len(self)))

    def add(self, clip: int, facts: ClipFacts) -> None:
        """Keep the facts of a clip; clips may come in any order.

        Args:
            clip: its number.
            facts: what was measured.
        """
        for name, column in self._numbers.items():
            column[clip] = getattr(facts, name)
        if facts.problem:
            self.problems[clip] = facts.problem
        self.sounds.add(clip, facts.sound)
        self.pictures.add(clip, facts.pictures)

    def column(self, name: str) -> np.ndarray:
        """Return one number of all clips.

        Args:
            name: of an attribute of :class:`ClipFacts`.
        """
        return self._numbers[name]

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
