"""The files of an index that lie in folders: one sound per clip, and a folder of numbered frames."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sopedu.data.index_pictures import listing
from sopedu.errors import SopeduError
from sopedu.files import written_aside

#: Columns of an index.
HEADER = ("audio_path", "frames_path", "frame_count")
#: How the files of frames end.
FRAME_ENDINGS = (".jpg", ".png", ".jpeg")


class IndexEntry(NamedTuple):
    """One row of an index.

    Attributes:
        audio: path of the sound file, relative to the root of the index.
        frames: path of the folder of frames, likewise.
        frame_count: how many frames it holds.
    """

    audio: str
    frames: str
    frame_count: int


@dataclass(frozen=True)
class FolderFiles:
    """The files below the root of an index; :class:`sopedu.data.shards.Shards` does the same with tar files.

    Args:
        root: the folder in which the paths begin, with links resolved.
    """

    root: str

    def located(self, name: str) -> str:
        """Return the full path of a file or folder of the data set.

        Args:
            name: relative to the root.

        Raises:
            SopeduError: a symbolic link leads out of the root.
        """
        path = os.path.join(self.root, name)
        if not os.path.join(os.path.realpath(path), "").startswith(os.path.join(self.root, "")):
            raise SopeduError(
                f"{path}: a link leads out of {self.root}; move the data there, or the index to the data, or name the "
                "folder of both by --root"
            )
        return path

    def sound(self, row: int, entry: IndexEntry) -> str:
        """Return the path of a clip's sound.

        Args:
            row: of the clip.
            entry: of the clip.

        Raises:
            SopeduError: a symbolic link leads out of the root.
        """
        return self.located(entry.audio)

    def frames(self, row: int, entry: IndexEntry, numbers: list[int]) -> list[tuple[str, str]]:
        """Return frames of a clip: of each the name for errors, and the path, which is the same.

        Args:
            row: of the clip.
            entry: of the clip.
            numbers: of the frames, from 1.

        Raises:
            SopeduError: a symbolic link leads out of the root.
        """
        first = os.path.join(self.root, entry.frames, f"{numbers[0]:06d}")
        ending = next((ending for ending in FRAME_ENDINGS if os.path.exists(first + ending)), FRAME_ENDINGS[0])
        paths = [self.located(f"{entry.frames}/{number:06d}{ending}") for number in numbers]
        return [(path, path) for path in paths]

    def frames_held(self, row: int, entry: IndexEntry) -> int:
        """Return how many frames a clip has.

        Args:
            row: of the clip.
            entry: of the clip.

        Raises:
            SopeduError: its folder of frames cannot be listed.
        """
        try:
            with os.scandir(self.located(entry.frames)) as entries:
                return sum(found.name.endswith(FRAME_ENDINGS) for found in entries)
        except OSError as error:
            raise SopeduError(f"{entry.frames}: the frames cannot be listed ({error.strerror})") from error

    def numbered_otherwise(self, row: int, entry: IndexEntry) -> str:
        """Return what is wrong with the names of a clip's frames, in one line; empty if first and last are there.

        Args:
            row: of the clip.
            entry: of the clip.
        """
        there = listing(self.located(entry.frames))
        wanted = ("000001", f"{entry.frame_count:06d}")
        if any(there.issuperset(f"{name}{ending}" for name in wanted) for ending in FRAME_ENDINGS):
            return ""
        names = sorted(there)
        found = f"{len(names)} files from {names[0]} to {names[-1]}" if names else "nothing"
        return f"{entry.frames} holds {found}, expected {wanted[0]}.jpg to {wanted[1]}.jpg (or png)"

    def state(self, row: int, entry: IndexEntry) -> str:
        """Return size and time of a clip's sound, which change when it is prepared again.

        Args:
            row: of the clip.
            entry: of the clip.

        Raises:
            SopeduError: there is no such file.
        """
        path = self.located(entry.audio)
        try:
            state = os.stat(path)
        except OSError as error:
            raise SopeduError(f"{path}: cannot be read ({error.strerror}); take its row out of the index") from error
        return f"{state.st_size}, {state.st_mtime_ns}"


def write_index(path: Path, rows: Iterable[tuple[str | int, ...]], more: tuple[str, ...] = ()) -> None:
    """Write an index file; aside, then renamed.

    Args:
        path: of the CSV.
        rows: of :meth:`sopedu.data.prepared.ClipIndex.columns`.
        more: names of the columns behind the usual three; with any, there is a header.

    Raises:
        SopeduError: it cannot be written.
    """
    with written_aside(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if more:
            table.writerow((*HEADER, *more))
        table.writerows(rows)
