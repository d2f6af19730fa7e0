"""Write one tar file of clips, as :mod:`sopedu.data.shards` reads it; other programs read it as WebDataset's.

A clip is the members ``000000012.json`` (its head), ``000000012.wav``, ``000000012.000001.jpg`` … The number is its
row: WebDataset splits names at the first dot, which the names of clips may hold. Nothing in a tar file depends on time,
user or machine, so the same clips give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from sopedu.data.prepared import ClipIndex
from sopedu.data.shards import CHECKED, checksum_of_head, end_of_member
from sopedu.errors import SopeduError
from sopedu.files import write_json, written_aside

_FORMAT = 1  # changes when other bytes are written
_SOUNDS = ("wav", "flac", "ogg", "mp3")  # a member with another ending is called .sound
_LARGEST = 8 * 1024**3  # bytes: what a tar file's header can say


@dataclass(frozen=True)
class PackJob:
    """A tar file to write.

    Attributes:
        index: of its clips only.
        first: row of the first of them in the whole index.
        path: of the tar file.
        note: path of a file that says what is in it, so that a run that was stopped can go on.
    """

    index: ClipIndex
    first: int
    path: str
    note: str


@dataclass(frozen=True)
class Packed:
    """What is in a tar file.

    Attributes:
        first: row of its first clip.
        name: of the file.
        size: in bytes.
        state: of the clips it was made of.
        heads: where each clip begins.
        checksums: of the heads, in hexadecimal digits.
        problem: why it could not be written; empty if it was.
    """

    first: int
    name: str
    size: int = 0
    state: str = ""
    heads: tuple[int, ...] = ()
    checksums: tuple[str, ...] = ()
    problem: str = ""


def packed(job: PackJob) -> Packed:
    """Write the tar file of a job, unless it is there already.

    Args:
        job: what to write.

    Raises:
        SopeduError: a sound or a frame cannot be read, or the tar file cannot be written.
    """
    state, path = _state(job), Path(job.path)
    there = _known(job, state)
    if there is not None:
        return there
    heads, checksums = [], []
    with written_aside(path, synced=True) as aside, open(aside, "wb") as file:
        for row in range(len(job.index)):
            heads.append(file.tell())
            checksums.append(_write_clip(file, job.index, row, f"{job.first + row:09d}"))
        file.write(bytes(-file.tell() % tarfile.RECORDSIZE or tarfile.RECORDSIZE))  # two empty blocks or more
        size = file.tell()
    done = Packed(job.first, path.name, size, state, tuple(heads), tuple(checksums))
    write_json(job.note, asdict(done))
    return done


def crashed_packing(job: PackJob, reason: str) -> Packed:
    """Return the result of a job whose process died.

    Args:
        job: of the tar file.
        reason: what is known about it.
    """
    return Packed(job.first, os.path.basename(job.path), problem=reason)


def _state(job: PackJob) -> str:
    """Return a checksum of what a tar file is made of: its clips, and when their sounds and frames were prepared."""
    index = job.index
    found = hashlib.sha256(json.dumps([_FORMAT, job.first, index.class_names]).encode())
    for row in range(len(index)):
        entry = index[row]
        with _readable(index.files.located(entry.frames)) as folder:
            changed = os.stat(folder).st_mtime_ns
        said = [*entry, int(index.labels[row]), index.files.state(row, entry), changed]
        found.update(json.dumps(said).encode())
    return found.hexdigest()


def _known(job: PackJob, state: str) -> Packed | None:
    """Return what is in the tar file, if an earlier run has written it of the same clips."""
    try:
        with open(job.note, encoding="utf-8") as file:
            values = json.load(file)
        known = Packed(**values | {name: tuple(values[name]) for name in ("heads", "checksums")})
        there = os.path.getsize(job.path) == known.size and known.state == state
        return known if there and len(known.heads) == len(known.checksums) == len(job.index) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_clip(file: BinaryIO, index: ClipIndex, row: int, key: str) -> str:
    """Write head, sound and frames of a clip; return the checksum of the head."""
    entry, files = index[row], index.files
    sound = files.sound(row, entry)
    ending = _dotted(sound)[1:]
    contents = {ending if ending in _SOUNDS else "sound": _content(sound)}
    for number, (_, path) in enumerate(files.frames(row, entry, list(range(1, entry.frame_count + 1))), 1):
        contents[f"{number:06d}{_dotted(path)}"] = _content(path)
    head = {
        "audio": entry.audio,
        "frames": entry.frames,
        "class": index.class_names[index.labels[row]],
        "members": [[ending, len(content), *_sums(content)] for ending, content in contents.items()],
    }
    written = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    for ending, content in {"json": written, **contents}.items():
        _write_member(file, f"{key}.{ending}", content)
    return f"{checksum_of_head(written):016x}"


def _sums(content: bytes) -> list[int]:
    view = memoryview(content)
    return [zlib.crc32(view[start : start + CHECKED]) for start in range(0, len(content), CHECKED)]


def _write_member(file: BinaryIO, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    file.write(member.tobuf(tarfile.USTAR_FORMAT))
    file.write(content)
    file.write(bytes(end_of_member(0, len(content)) - len(content)))


def _dotted(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _content(path: str) -> bytes:
    with _readable(path), open(path, "rb") as file:
        content = file.read()
    if not content or len(content) >= _LARGEST:
        raise SopeduError(f"{path}: is empty or too large; prepare the clip again")
    return content


@contextmanager
def _readable(path: str) -> Iterator[str]:
    try:
        yield path
    except OSError as error:
        raise SopeduError(
            f"{path}: cannot be read ({error.strerror}); prepare the clip again, or pack an index without it "
            "(sopedu health --fix)"
        ) from error
