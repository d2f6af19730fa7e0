"""Clips in tar files, which slow disks read faster than millions of small files; `sopedu.datasets.packing` writes them.

Each clip begins with a *head*, a member of JSON that lists the sound and the frames which follow it: endings, sizes,
checksums of every 256 kB. The index says in which tar file a head is, where it begins, and its checksum. So any clip is
read by jumping to it, only what is needed is read, and nothing that is damaged or exchanged passes. The names of the
members are for other programs (WebDataset); they are never read here.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zlib
from array import array
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from sopedu.data.index_files import IndexEntry
from sopedu.errors import SopeduError

#: Columns that an index of clips in tar files has behind the usual three.
SHARD_COLUMNS = ("tar", "head", "checksum")
#: Bytes of a sound or a frame that have one checksum.
CHECKED = 1 << 18
#: Bytes of a block of a tar file.
BLOCK = tarfile.BLOCKSIZE
_SIZE = slice(124, 135)  # of a member's header: the size of its content, in octal digits
_LONGEST_HEAD = 1 << 24  # bytes; a clip of four hours has 4 MB
_AGAIN = "copy this file again, or pack the clips again"


def checksum_of_head(head: bytes) -> int:
    """Return the first 64 bits of the SHA-256 of a head.

    Args:
        head: its JSON.
    """
    return int.from_bytes(hashlib.sha256(head).digest()[:8], "big")


def end_of_member(begin: int, size: int) -> int:
    """Return where the next member of a tar file begins.

    Args:
        begin: of the content of a member, a multiple of 512.
        size: of the content, in bytes.
    """
    return begin + -(-size // BLOCK) * BLOCK


@dataclass(frozen=True)
class TarMember:
    """A sound or a frame in a tar file.

    Attributes:
        name: for errors.
        begin: of its content in the tar file.
        size: in bytes.
        sums: CRC-32 of each 256 kB.
    """

    name: str
    begin: int
    size: int
    sums: tuple[int, ...]

    def read(self, file: BinaryIO, first: int = 0, last: int | None = None) -> bytes:
        """Read pieces of 256 kB and compare their checksums.

        Args:
            file: the tar file.
            first: piece to read.
            last: the piece after those to read; None: to the end.

        Raises:
            SopeduError: the file ends early, or the member is damaged.
        """
        begin = first * CHECKED
        wanted = (self.size if last is None else min(self.size, last * CHECKED)) - begin
        file.seek(self.begin + begin)
        content = file.read(wanted)
        if len(content) < wanted:
            raise SopeduError(f"{self.name}: the tar file ends within it; {_AGAIN}")
        for place, start in enumerate(range(0, wanted, CHECKED), first):
            if zlib.crc32(content[start : start + CHECKED]) != self.sums[place]:
                raise SopeduError(f"{self.name}: is damaged; {_AGAIN}")
        return content


class SoundInTar(io.RawIOBase):
    """A sound in a tar file, to be read like a file of its own; only the pieces that are needed are read.

    Args:
        tar: path of the tar file.
        member: the sound.
    """

    def __init__(self, tar: str, member: TarMember) -> None:
        self._tar, self._member = tar, member
        self._place, self._piece, self._content = 0, -1, b""

    def __str__(self) -> str:
        return self._member.name

    def readable(self) -> bool:
        """Return True, see :class:`io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """Return True, see :class:`io.RawIOBase`."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, see :class:`io.RawIOBase`."""
        self._place = max(0, offset + (0, self._place, self._member.size)[whence])
        return self._place

    def readinto(self, buffer: memoryview) -> int:
        """Read a part, see :class:`io.RawIOBase`."""
        left = max(0, min(len(buffer), self._member.size - self._place))
        if not left:
            return 0
        first, last = self._place // CHECKED, -(-(self._place + left) // CHECKED)
        if (first, last) != (self._piece, self._piece + 1):
            with _opened(self._tar) as file:
                content = self._member.read(file, first, last)
            self._piece, self._content = (last - 1, content[(last - 1 - first) * CHECKED :])
        else:
            content = self._content
        begin = self._place - first * CHECKED
        buffer[:left] = content[begin : begin + left]
        self._place += left
        return left

    def readall(self) -> bytes:
        """Read all that is left, see :class:`io.RawIOBase`."""
        return self.read(max(0, self._member.size - self._place)) or b""


@dataclass(frozen=True, eq=False)
class Shards:
    """Where the clips of an index are in tar files.

    Attributes:
        folder: of the tar files.
        names: of the tar files.
        numbers: ``(n,)`` of the tar file of each clip.
        heads: ``(n,)`` where the head of each clip begins.
        checksums: ``(n,)`` uint64, of the heads.
    """

    folder: str
    names: tuple[str, ...]
    numbers: np.ndarray
    heads: np.ndarray
    checksums: np.ndarray

    def part(self, begin: int, end: int) -> Shards:
        """Return the places of some clips.

        Args:
            begin: first row.
            end: row after the last.
        """
        used, numbers = np.unique(self.numbers[begin:end], return_inverse=True)
        names = tuple(self.names[number] for number in used)
        return Shards(self.folder, names, numbers, self.heads[begin:end].copy(), self.checksums[begin:end].copy())

    def columns(self, row: int) -> tuple[str, str, str]:
        """Return tar file, place and checksum of a clip as the index has them.

        Args:
            row: of the clip.
        """
        return self.names[self.numbers[row]], str(self.heads[row]), f"{int(self.checksums[row]):016x}"

    def sound(self, row: int, entry: IndexEntry) -> SoundInTar:
        """Return the sound of a clip, open for reading; see :meth:`sopedu.data.index_files.FolderFiles.sound`."""
        with _opened(self._path(row)) as file:
            return SoundInTar(file.name, self._clip(file, row, entry).member(0))

    def frames(self, row: int, entry: IndexEntry, numbers: list[int]) -> list[tuple[str, io.BytesIO]]:
        """Return name and content of frames; see :meth:`sopedu.data.index_files.FolderFiles.frames`."""
        with _opened(self._path(row)) as file:
            clip = self._clip(file, row, entry)
            if max(numbers) > len(clip):
                raise SopeduError(
                    f"{file.name}: {entry.frames} has {len(clip)} frames, the index says {entry.frame_count}; "
                    "correct the index"
                )
            members = map(clip.member, numbers)
            return [(member.name, io.BytesIO(member.read(file))) for member in members]

    def frames_held(self, row: int, entry: IndexEntry) -> int:
        """Return how many frames a clip has; see :meth:`sopedu.data.index_files.FolderFiles.frames_held`."""
        with _opened(self._path(row)) as file:
            return len(self._clip(file, row, entry))

    def numbered_otherwise(self, row: int, entry: IndexEntry) -> str:
        """Return what is wrong with the number of frames; see the same of :class:`FolderFiles`."""
        held = self.frames_held(row, entry)
        return "" if held >= entry.frame_count else f"{entry.frames} holds {held} frames, expected {entry.frame_count}"

    def state(self, row: int, entry: IndexEntry) -> str:
        """Return what changes when the clip changes: the checksum of its head."""
        return self.columns(row)[2]

    def missing(self) -> list[tuple[int, str]]:
        """Return (row, tar file) of every clip whose tar file does not exist, or ends before the clip."""
        sizes = []
        for name in self.names:
            try:
                sizes.append(os.stat(os.path.join(self.folder, name)).st_size)
            except OSError:
                sizes.append(0)
        rows = np.flatnonzero(self.heads + BLOCK > np.array(sizes)[self.numbers])
        return [(int(row), self.names[self.numbers[row]]) for row in rows]

    def _path(self, row: int) -> str:
        path = os.path.join(self.folder, self.names[self.numbers[row]])
        if os.path.dirname(os.path.realpath(path)) != self.folder:
            raise SopeduError(f"{path}: a link leads out of {self.folder}; move the tar files there")
        return path

    def _clip(self, file: BinaryIO, row: int, entry: IndexEntry) -> _Clip:
        """Read the head of a clip.

        Raises:
            SopeduError: the tar file ends early, is damaged, or is another one than that of the index.
        """
        path, place = file.name, int(self.heads[row])
        file.seek(place)
        try:
            size = int(file.read(BLOCK)[_SIZE] or b"0", 8)
        except ValueError:
            size = 0
        head = file.read(min(size, _LONGEST_HEAD))
        if file.tell() < place + BLOCK + min(size, _LONGEST_HEAD):
            raise SopeduError(f"{path}: ends within {entry.audio}; {_AGAIN}")
        if checksum_of_head(head) != int(self.checksums[row]):
            raise SopeduError(f"{path}: is damaged at {entry.audio}, or not the file that the index names; {_AGAIN}")
        try:
            listed = json.loads(head)
            if (listed["audio"], listed["frames"]) != (entry.audio, entry.frames):
                raise ValueError(f"it is that of {listed['audio']!r:.80}")
            return _Clip(f"{path}, {entry.audio}", end_of_member(place + BLOCK, size) + BLOCK, listed["members"])
        except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
            raise SopeduError(
                f"{path}: the head of {entry.audio} cannot be used ({error}); pack the clips again"
            ) from error


class _Clip:
    """What the head of a clip lists: the sound, then the frames.

    Args:
        name: for errors.
        begin: of the content of the first member.
        members: (ending, size, checksums …) of each.

    Raises:
        TypeError, IndexError, ValueError: it lists something else.
    """

    def __init__(self, name: str, begin: int, members: list[list]) -> None:
        self._name, self._members, self._begins = name, members, [begin]
        for _, size, *sums in members:
            if type(size) is not int or size < 0 or len(sums) != -(-size // CHECKED):
                raise ValueError("its sizes do not fit")
            self._begins.append(end_of_member(self._begins[-1], size) + BLOCK)
        if not members:
            raise ValueError("it lists nothing")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._members) - 1

    def member(self, number: int) -> TarMember:
        """Return the sound (0) or a frame (from 1)."""
        ending, size, *sums = self._members[number]
        return TarMember(f"{self._name}, {ending}", self._begins[number], size, tuple(sums))


class ShardColumns:
    """Collects the columns of an index that say where its clips are."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._numbers, self._heads, self._checksums = array("i"), array("q"), array("Q")

    def add(self, tar: str, head: str, checksum: str) -> None:
        """Add the columns of a row.

        Args:
            tar: name of the tar file, without a folder.
            head: where the clip begins.
            checksum: of its head, in hexadecimal digits.

        Raises:
            ValueError: they cannot be that.
        """
        if tar not in self._names:
            if not tar.endswith(".tar") or tar.startswith(".") or not set(tar).isdisjoint("/\\:\0"):
                raise ValueError(tar)
            self._names[tar] = len(self._names)
        place = int(head)
        if place < 0 or place % BLOCK:
            raise ValueError(head)
        self._numbers.append(self._names[tar])
        self._heads.append(place)
        self._checksums.append(int(checksum, 16))

    def shards(self, folder: str) -> Shards:
        """Return what was collected.

        Args:
            folder: of the tar files, with links resolved.
        """
        return Shards(
            folder, tuple(self._names), np.array(self._numbers), np.array(self._heads), np.array(self._checksums)
        )


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise SopeduError(f"{path}: cannot be opened ({error.strerror}); copy it beside the index") from error
