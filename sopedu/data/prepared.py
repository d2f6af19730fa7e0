"""Prepared real data on disk: an index CSV, and per clip a WAV file and a folder of JPEG frames.

A row is ``audio_path,frames_path,frame_count``, as the original code reads it. The paths begin in the folder of the CSV
or in one above it, and none leads out of that folder. An index is kept as a few blocks of memory instead of one object
per clip, so that a worker process receives hundreds of thousands of clips in milliseconds. Notebook: 13_train_full.
"""

from __future__ import annotations

import csv
import os
from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sopedu.data.index_paths import below_prefix, find_root, is_unusual, leads_out, plain_path
from sopedu.data.index_sounds import sound_part
from sopedu.errors import SopeduError
from sopedu.video.resizing import resize_frames, size_in_proportion

#: A recording whose samples never exceed this (−80 dB full scale) is silent.
SILENT = 1e-4
#: How the files of frames end.
FRAME_ENDINGS = (".jpg", ".png", ".jpeg")
_LOOKED_AT = 16  # clips whose files are looked for to find the folder in which the paths begin
_SHORTEST_SOUND = 0.1  # seconds; a clip with less sound is broken, not short
_LONGEST_SHAPE = 16  # a frame longer than this many times its shorter side is no picture


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
    """

    path: str
    root: str
    names: bytes
    ends: np.ndarray
    frame_counts: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.frame_counts)

    def __getitem__(self, row: int) -> IndexEntry:
        """Return the paths and the number of frames of a clip, counted from 0."""
        begin = self.ends[2 * row - 1] if row else 0
        middle, end = self.ends[2 * row], self.ends[2 * row + 1]
        audio, frames = self.names[begin:middle], self.names[middle:end]
        return IndexEntry(audio.decode(), frames.decode(), int(self.frame_counts[row]))

    def only(self, row: int) -> ClipIndex:
        """Return an index of one clip, small enough to be sent to another process.

        Args:
            row: of the clip, counted from 0.
        """
        begin = int(self.ends[2 * row - 1]) if row else 0
        ends = self.ends[2 * row : 2 * row + 2] - begin
        return replace(
            self, names=self.names[begin : begin + int(ends[1])], ends=ends,
            frame_counts=self.frame_counts[row : row + 1].copy(), labels=self.labels[row : row + 1].copy(),
        )  # fmt: skip

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

    def missing(self) -> list[tuple[int, str]]:
        """Return (row, name) of every sound file and every folder of frames that does not exist.

        Each folder that holds them is listed once; the frames themselves are not counted.
        """
        listings: dict[str, set[str]] = {}
        missing, begin = [], 0
        for place, end in enumerate(self.ends.tolist()):
            name = self.names[begin:end].decode()
            folder, _, base = name.rpartition("/")
            if folder not in listings:
                listings[folder] = _listing(self.located(folder))
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
            entry = self[row]
            there = _listing(self.located(entry.frames))
            wanted = ("000001", f"{entry.frame_count:06d}")
            if any(there.issuperset(f"{name}{ending}" for name in wanted) for ending in FRAME_ENDINGS):
                return ""
            names = sorted(there)
            found = f"{len(names)} files from {names[0]} to {names[-1]}" if names else "nothing"
            said = said or f"{entry.frames} holds {found}, expected {wanted[0]}.jpg to {wanted[1]}.jpg (or png)"
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
                if np.abs(self.sound(self[row], 0.0, samples, sample_rate)).max() > SILENT:
                    return True
            except SopeduError:
                return True  # training reports what is wrong with it
        return not rows

    def sound(self, entry: IndexEntry, start: float, samples: int, sample_rate: int) -> np.ndarray:
        """Read a part of a clip's sound.

        Args:
            entry: the clip.
            start: in seconds.
            samples: how many to read.
            sample_rate: of the result, in hertz.

        Returns:
            ``(n,)`` float32 with n = ``samples``, or fewer at the end of the file.

        Raises:
            SopeduError: the file cannot be read, or holds less than a tenth of a second from ``start`` on.
        """
        path = self.located(entry.audio)
        waveform = sound_part(path, start, samples, sample_rate)
        if len(waveform) < _SHORTEST_SOUND * sample_rate:
            held = len(waveform) / sample_rate
            raise SopeduError(f"{path}: holds {held:.2f} s of sound from {start:.2f} s on; prepare the clip again")
        return waveform

    def pictures(self, entry: IndexEntry, numbers: list[int], short_side: int) -> np.ndarray:
        """Read frames of a clip and resize them.

        Args:
            entry: the clip.
            numbers: S numbers of frames, counted from 1.
            short_side: pixels of the shorter side in the result.

        Returns:
            ``(S, h, w, 3)`` uint8.

        Raises:
            SopeduError: a frame cannot be read, or they differ in size.
        """
        first = os.path.join(self.root, entry.frames, f"{numbers[0]:06d}")
        ending = next((ending for ending in FRAME_ENDINGS if os.path.exists(first + ending)), FRAME_ENDINGS[0])
        paths = [self.located(f"{entry.frames}/{number:06d}{ending}") for number in numbers]
        sizes, pictures = zip(*(_picture(path, short_side) for path in paths), strict=True)
        if len(set(sizes)) > 1:
            raise SopeduError(
                f"{paths[0]}: frames of different sizes in this clip ({sizes[0]}, …); prepare the clip again"
            )
        # Resizing whole frames with torch's vector instructions is faster than resizing only the crop with Pillow.
        frames = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return resize_frames(frames, _resized(sizes[0], short_side)[::-1], "bicubic").permute(0, 2, 3, 1).numpy()


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
    names, ends, counts, labels, lines = bytearray(), array("q"), array("i"), array("i"), array("i")
    classes, odd = dict[str, int](), False
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            for row in rows:
                if not row or row[0].strip() == "audio_path":
                    continue
                try:
                    audio, frames, count = map(str.strip, row)
                    counts.append(_frame_count(count))
                except (ValueError, OverflowError):
                    what = f"expected audio_path,frames_path,frame_count, found {row!r:.200}"
                    raise SopeduError(f"{path}, line {rows.line_num}: {what}") from None
                audio, frames = audio.removeprefix("./"), frames.removeprefix("./")
                if is_unusual(audio) or is_unusual(frames):
                    audio, frames = (plain_path(name, f"{path}, line {rows.line_num}") for name in (audio, frames))
                    odd = odd or leads_out(audio) or leads_out(frames)
                names += audio.encode()
                ends.append(len(names))
                names += frames.encode()
                ends.append(len(names))
                lines.append(rows.line_num)
                folder = audio.rpartition("/")[0].rpartition("/")[2]
                labels.append(classes.setdefault(folder, len(classes)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SopeduError(
            f"{path}: the index cannot be read ({_why(error)}); give a CSV of audio_path,frames_path,frame_count"
        ) from error
    if not counts:
        raise SopeduError(f"{path}: the index holds no clip; a row is audio_path,frames_path,frame_count")
    found, names, ends = _below_root(path, root, names, ends, lines, odd)
    known = [name if name not in ("", "..") else os.path.basename(found) for name in classes]
    class_names = tuple(sorted(set(known)))
    order = np.array([class_names.index(name) for name in known])
    return ClipIndex(
        str(path), found, bytes(names), np.array(ends), np.array(counts), order[np.array(labels)], class_names
    )


def _below_root(
    path: str | Path, given: str | Path | None, names: bytearray, ends: array, lines: array, odd: bool
) -> tuple[str, bytearray, array]:
    """Find the root of an index; return it, and the paths below it with their ends. `odd`: some paths may lead out."""

    def name_at(place: int) -> str:
        return names[ends[place - 1] if place else 0 : ends[place]].decode()

    every = max(1, len(lines) // _LOOKED_AT)
    places = [2 * row + kind for row in range(0, len(lines), every)[:_LOOKED_AT] for kind in (0, 1)]
    root = find_root(path, [name_at(place) for place in places], given)
    if not any((root.prefix, *root.below, odd)):
        return root.folder, names, ends
    below, places_below = bytearray(), array("q")
    for place in range(len(ends)):
        name = below_prefix(name_at(place), root.prefix)
        if name is None:
            begin = f", which begins with {root.prefix}" if root.prefix else ""
            raise SopeduError(
                f"{path}, line {lines[place // 2]}: {name_at(place)[:200]!r} leads out of the folder of the other paths"
                f"{begin}; correct the line"
            )
        below += f"{root.below[place % 2]}{name}".encode()
        places_below.append(len(below))
    return root.folder, below, places_below


def _frame_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _listing(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _resized(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    return size_in_proportion(*size, short_side, _LONGEST_SHAPE)


def _picture(path: str, short_side: int) -> tuple[tuple[int, int], np.ndarray]:
    """Return the size of a JPEG as stored, and its pixels ``(h, w, 3)``, decoded at 1/2, 1/4 … if that is enough."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            size = image.size
            if max(size) > _LONGEST_SHAPE * min(size):
                raise ValueError(f"{size[0]} × {size[1]} pixels are too long for a picture")
            image.draft(None, _resized(size, short_side))
            return size, np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.isfile(os.path.dirname(path)):
            raise SopeduError(
                f"{os.path.dirname(path)}: is a file, not a folder of frames 000001.jpg …; cut it into frames first"
            ) from error
        there = sorted(_listing(os.path.dirname(path)))
        found = f"{len(there)} files from {there[0]} to {there[-1]} are there" if there else "the folder is empty"
        raise SopeduError(
            f"{path}: no such frame ({found}); frames are numbered from 000001.jpg to the index's frame_count"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SopeduError(f"{path}: this frame cannot be read ({_why(error)}); prepare the clip again") from error


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return " ".join((getattr(error, "strerror", None) or str(error)).split()).strip(" .")
