"""Prepared real data on disk: an index CSV, and per clip a WAV file and a folder of JPEG frames, or all in tar files.

A row is ``audio_path,frames_path,frame_count``, as the original code reads it. The paths begin in the folder of the CSV
or in one above it, and none leads out of that folder. An index of clips in tar files has three columns more, see
:mod:`sopedu.data.shards`. An index is kept as a few blocks of memory instead of one object per clip, so that a worker
process receives hundreds of thousands of clips in milliseconds. Notebook: 13_train_full.
"""

from __future__ import annotations

import csv
import os
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sopedu.data.index_files import HEADER, FolderFiles, IndexEntry
from sopedu.data.index_paths import Root, below_prefix, find_root, is_unusual, leads_out, plain_path
from sopedu.data.index_pictures import listing, read_pictures, reason
from sopedu.data.index_sounds import sound_part, sound_seconds
from sopedu.data.shards import SHARD_COLUMNS, ShardColumns, Shards
from sopedu.errors import SopeduError

#: A recording whose samples never exceed this (−80 dB full scale) is silent.
SILENT = 1e-4
_LOOKED_AT = 16  # clips whose files are looked for to find the folder in which the paths begin
_SHORTEST_SOUND = 0.1  # seconds; a clip with less sound is broken, not short


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """The rows of an index.

    Attributes:
        path: the CSV.
        root: the folder in which the paths begin, with links resolved.
        names: all paths in UTF-8, joined: audio and frames of the first clip, of the second, and so on.
        ends: ``(2n,)`` where each path ends in ``names``.
        frame_counts: ``(n,)`` number of frames per clip.
        labels: ``(n,)`` index into ``class_names`` per clip.
        class_names: sorted.
        shards: where the clips are, if they are in tar files.
    """

    path: str
    root: str
    names: bytes
    ends: np.ndarray
    frame_counts: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    shards: Shards | None = None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.frame_counts)

    def __getitem__(self, row: int) -> IndexEntry:
        """Return the paths and the number of frames of a clip, counted from 0."""
        begin = self.ends[2 * row - 1] if row else 0
        middle, end = self.ends[2 * row], self.ends[2 * row + 1]
        audio, frames = self.names[begin:middle], self.names[middle:end]
        return IndexEntry(audio.decode(), frames.decode(), int(self.frame_counts[row]))

    @property
    def files(self) -> FolderFiles | Shards:
        """Where sounds and frames are read."""
        return self.shards or FolderFiles(self.root)

    def part(self, begin: int, end: int) -> ClipIndex:
        """Return an index of some clips, small enough to be sent to another process.

        Args:
            begin: first row, counted from 0.
            end: row after the last.
        """
        first = int(self.ends[2 * begin - 1]) if begin else 0
        ends = self.ends[2 * begin : 2 * end] - first
        return replace(
            self, names=self.names[first : first + int(ends[-1])], ends=ends,
            frame_counts=self.frame_counts[begin:end].copy(), labels=self.labels[begin:end].copy(),
            shards=self.shards and self.shards.part(begin, end),
        )  # fmt: skip

    def only(self, row: int) -> ClipIndex:
        """Return an index of one clip.

        Args:
            row: of the clip, counted from 0.
        """
        return self.part(row, row + 1)

    def columns(self, row: int, frame_count: int | None = None) -> tuple[str | int, ...]:
        """Return the row of a clip as an index file has it, see :func:`sopedu.data.index_files.write_index`.

        Args:
            row: of the clip.
            frame_count: instead of the index's.
        """
        entry = self[row]
        return (*entry[:2], frame_count or entry.frame_count, *(self.shards.columns(row) if self.shards else ()))

    def missing(self) -> list[tuple[int, str]]:
        """Return (row, name) of every sound file and every folder of frames that does not exist, or of the tar file.

        Each folder that holds them is listed once; the frames themselves are not counted.
        """
        if self.shards:
            return self.shards.missing()
        listings: dict[str, set[str]] = {}
        missing, begin = [], 0
        for place, end in enumerate(self.ends.tolist()):
            name = self.names[begin:end].decode()
            folder, _, base = name.rpartition("/")
            if folder not in listings:
                listings[folder] = listing(self.files.located(folder))
            if base not in listings[folder]:
                missing.append((place // 2, name))
            begin = end
        return missing

    def frames_numbered_otherwise(self, rows: list[int]) -> str:
        """Check that the first and the last frame exist in at least one of some clips.

        Args:
            rows: rows of the index whose folders of frames exist.

        Returns:
            What is wrong, in one line; empty if a clip has both.
        """
        said = ""
        for row in rows:
            found = self.files.numbered_otherwise(row, self[row])
            if not found:
                return ""
            said = said or found
        return said

    def heard(self, rows: list[int], samples: int, sample_rate: int) -> bool:
        """Return whether the beginning of at least one clip is not silent; an unreadable clip counts as not silent.

        Args:
            rows: rows of the index; without any, the result is True.
            samples: how many samples of each clip to check.
            sample_rate: in hertz.
        """
        for row in rows:
            try:
                if np.abs(self.sound(row, 0.0, samples, sample_rate)).max() > SILENT:
                    return True
            except SopeduError:
                return True  # training reports what is wrong with it
        return not rows

    def sound(self, row: int, start: float, samples: int, sample_rate: int) -> np.ndarray:
        """Read a part of a clip's sound.

        Args:
            row: of the clip.
            start: in seconds.
            samples: how many to read.
            sample_rate: of the result, in hertz.

        Returns:
            ``(n,)`` float32 with n = ``samples``, or fewer at the end of the file.

        Raises:
            SopeduError: the file cannot be read, or holds less than a tenth of a second from ``start`` on.
        """
        source = self.files.sound(row, self[row])
        waveform = sound_part(source, start, samples, sample_rate)
        if len(waveform) < _SHORTEST_SOUND * sample_rate:
            held = len(waveform) / sample_rate
            raise SopeduError(f"{source}: holds {held:.2f} s of sound from {start:.2f} s on; prepare the clip again")
        return waveform

    def seconds(self, row: int) -> float:
        """Return how long a clip's sound lasts, in seconds.

        Args:
            row: of the clip.

        Raises:
            SopeduError: it cannot be read.
        """
        return sound_seconds(self.files.sound(row, self[row]))

    def pictures(self, row: int, numbers: list[int], short_side: int) -> np.ndarray:
        """Read frames of a clip and resize them.

        Args:
            row: of the clip.
            numbers: S numbers of frames, counted from 1.
            short_side: pixels of the shorter side in the result.

        Returns:
            ``(S, h, w, 3)`` uint8.

        Raises:
            SopeduError: a frame cannot be read, or they differ in size.
        """
        return read_pictures(self.files.frames(row, self[row], numbers), short_side)

    def frames_held(self, row: int) -> int:
        """Return how many frames a clip has, whatever the index says.

        Args:
            row: of the clip.

        Raises:
            SopeduError: they cannot be listed.
        """
        return self.files.frames_held(row, self[row])


class _Rows:
    """Collects the rows of an index while it is read."""

    def __init__(self) -> None:
        self.names, self.ends, self.lines = bytearray(), array("q"), array("i")
        self.counts, self.labels, self.classes = array("i"), array("i"), dict[str, int]()
        self.odd = False  # whether a path may lead out of the root
        self.shards: ShardColumns | None = None

    def add(self, row: list[str], path: str | Path, line: int) -> None:
        """Add a row, or take note of a header."""
        if not row or row[0].strip() == HEADER[0]:
            if row[3:] == list(SHARD_COLUMNS) and not self.lines:
                self.shards = ShardColumns()
            return
        try:
            if self.shards:
                self.shards.add(*row[3:])
                row = row[:3]
            audio, frames, count = map(str.strip, row)
            self.counts.append(_frame_count(count))
        except (ValueError, OverflowError, TypeError):
            columns = ",".join((*HEADER, *SHARD_COLUMNS) if self.shards else HEADER)
            raise SopeduError(f"{path}, line {line}: expected {columns}, found {row!r:.200}") from None
        audio, frames = audio.removeprefix("./"), frames.removeprefix("./")
        if is_unusual(audio) or is_unusual(frames):
            audio, frames = (plain_path(name, f"{path}, line {line}") for name in (audio, frames))
            self.odd = self.odd or leads_out(audio) or leads_out(frames)
        for name in (audio, frames):
            self.names += name.encode()
            self.ends.append(len(self.names))
        self.lines.append(line)
        folder = audio.rpartition("/")[0].rpartition("/")[2]
        self.labels.append(self.classes.setdefault(folder, len(self.classes)))

    def name_at(self, place: int) -> str:
        """Return a path: sound and frames of the first clip, of the second, and so on."""
        return self.names[self.ends[place - 1] if place else 0 : self.ends[place]].decode()


def read_index(path: str | Path, root: str | Path | None = None) -> ClipIndex:
    """Read an index CSV; the class of a clip is the name of the folder that holds its audio.

    Args:
        path: the CSV, with rows of ``audio_path,frames_path,frame_count``; a header is optional. Lists that were
            written in another folder, or on Windows, are read too, see :mod:`sopedu.data.index_paths`.
        root: the folder in which the paths begin; None: it is found.

    Raises:
        SopeduError: the file cannot be read or holds no clip; a row does not have three fields, or a path leads out of
            the folder of the others (the line is named); most paths lead out of every folder that was tried.
    """
    found = _Rows()
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            for row in rows:
                found.add(row, path, rows.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SopeduError(
            f"{path}: the index cannot be read ({reason(error)}); give a CSV of {','.join(HEADER)}"
        ) from error
    if not found.lines:
        raise SopeduError(f"{path}: the index holds no clip; a row is {','.join(HEADER)}")
    folder, names, ends = _below_root(path, root, found)
    known = [name if name not in ("", "..") else os.path.basename(folder) for name in found.classes]
    class_names = tuple(sorted(set(known)))
    order = np.array([class_names.index(name) for name in known])
    return ClipIndex(
        str(path), folder, bytes(names), np.array(ends), np.array(found.counts), order[np.array(found.labels)],
        class_names, found.shards.shards(folder) if found.shards else None,
    )  # fmt: skip


def _below_root(path: str | Path, given: str | Path | None, found: _Rows) -> tuple[str, bytearray, array]:
    """Find the root of an index; return it, and the paths below it with their ends."""
    if found.shards:  # paths are names only; the tar files are in the folder of the index
        root = Root(os.path.realpath(given or Path(path).parent))
    else:
        every = max(1, len(found.lines) // _LOOKED_AT)
        some = range(0, len(found.lines), every)[:_LOOKED_AT]
        root = find_root(path, [found.name_at(2 * row + kind) for row in some for kind in (0, 1)], given)
    if not any((root.prefix, *root.below, found.odd)):
        return root.folder, found.names, found.ends
    below, places_below = bytearray(), array("q")
    for place in range(len(found.ends)):
        name = below_prefix(found.name_at(place), root.prefix)
        if name is None:
            begin = f", which begins with {root.prefix}" if root.prefix else ""
            raise SopeduError(
                f"{path}, line {found.lines[place // 2]}: {found.name_at(place)[:200]!r} leads out of the folder of "
                f"the other paths{begin}; correct the line"
            )
        below += f"{root.below[place % 2]}{name}".encode()
        places_below.append(len(below))
    return root.folder, below, places_below


def _frame_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count
