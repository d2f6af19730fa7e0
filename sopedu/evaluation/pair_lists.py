"""Which clips are mixed in an evaluation: drawn from a seed, or named in a list, so that figures can be compared.

Published lists name two sounds per line, such as ``/flute/a.wav, /cello/b.wav``, or two identifiers. A list that is
saved here names them as the index does. The usual protocol of MUSIC mixes the second video of each class: 550 pairs are
ten of each of its 55 combinations of two classes.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sopedu.data.clips import ClipDataset
from sopedu.data.index_clips import IndexClips
from sopedu.data.index_sounds import VIDEO_SOUNDS
from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError
from sopedu.files import require_file, written_aside

_NAMED = 5
_SOUNDS = (".wav", ".mp3", ".flac", ".ogg", *VIDEO_SOUNDS)


@dataclass(frozen=True)
class PairList:
    """The clips of each mixture.

    Attributes:
        members: ``(P, N)`` rows of the index.
        protocol: how the list came about, for the text beside the figures.
        notes: one line on pairs that cannot be mixed here, and one on pairs of one class.
    """

    members: np.ndarray
    protocol: str
    notes: tuple[str, ...] = ()


def draw_members(
    clips: ClipDataset, pairs: int, generator: np.random.Generator, sources: int = 2, same_class: bool = False
) -> np.ndarray:
    """Draw the clips of mixtures: all combinations of classes in turn, in a shuffled order.

    Args:
        clips: held-out clips; one is used again only after all clips of its class were used.
        pairs: how many mixtures.
        generator: chooses them.
        sources: per mixture.
        same_class: mix different clips of one class instead.

    Returns:
        ``(pairs, sources)`` indices of clips.

    Raises:
        SopeduError: there are too few classes, or with ``same_class`` too few clips of each.
    """
    classes, counts = np.unique(clips.labels[clips.labels != NOBODY], return_counts=True)
    alike = [(label,) * sources for label in classes[counts >= sources]]
    kinds = alike if same_class else list(itertools.combinations(classes, sources))
    if not kinds:
        wanted = f"{sources} clips of one class: draw more pairs" if same_class else f"{sources} different classes"
        raise SopeduError(f"mixtures of {sources} need {wanted}; the held-out clips are {len(clips)} of {len(classes)}")
    combinations = generator.permutation(kinds)
    queues = {label: itertools.cycle(generator.permutation(np.flatnonzero(clips.labels == label))) for label in classes}
    chosen = [next(queues[label]) for i in range(pairs) for label in combinations[i % len(combinations)]]
    return np.array(chosen).reshape(pairs, sources)


def read_pair_list(path: str | Path, clips: IndexClips, most: int | None = None) -> PairList:
    """Read a list of pairs, published or saved here.

    Args:
        path: a text file; each line names the sounds of one mixture, with commas, tabs or blanks between them: paths as
            in an index, ends of paths (``/flute/a.wav``), or names without a folder and an ending. A header that begins
            with ``audio`` is left out.
        clips: the index in which they are looked for.
        most: how many pairs are taken; None: all.

    Returns:
        The pairs of which all clips are in the index.

    Raises:
        SopeduError: the file cannot be read, its lines name different numbers of sounds, or no pair is in the index.
    """
    path = require_file(path)
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SopeduError(
            f"{path}: is no list of pairs; give a text file with the sounds of a mixture per line"
        ) from error
    named = [_names(line) for line in lines]
    named = named[1:] if named and named[0][0].lower().startswith("audio") and "." not in named[0][0] else named
    if not named or len({len(names) for names in named}) > 1 or len(named[0]) < 2:
        raise SopeduError(f"{path}: a line names the sounds of one mixture, two or more, and all lines equally many")
    known = _by_name(clips)
    rows = [[_row(known, name) for name in names] for names in named[:most]]
    members = np.array([row for row in rows if min(row) >= 0], int)
    absent = sorted(
        {name for names, row in zip(named, rows, strict=False) for name, n in zip(names, row, strict=True) if n < 0}
    )
    if not len(members):
        raise SopeduError(
            f"{path}: none of its pairs is in {clips.index.path}, such as {absent[0]}; name the right --data"
        )
    notes = []
    if absent:
        some = ", ".join(absent[:_NAMED]) + (", …" if len(absent) > _NAMED else "")
        notes.append(f"{len(rows) - len(members)} of {len(rows)} pairs name clips that are not in the index: {some}")
    labels = np.sort(clips.labels[members], axis=1)
    if alike := int((labels[:, 1:] == labels[:, :-1]).any(axis=1).sum()):
        notes.append(f"{alike} of {len(members)} pairs mix one class with itself, which is harder")
    held = f"{len(members)} of the {len(rows)}" if absent else f"all {len(rows)}"
    return PairList(members, f"pairs: {held} in the list {path.name}", tuple(notes))


def save_pair_list(path: str | Path, clips: IndexClips, members: np.ndarray) -> str:
    """Write the clips of each mixture, one mixture per line, as :func:`read_pair_list` reads them.

    Args:
        path: the file.
        clips: the index that they are rows of.
        members: ``(P, N)`` rows of the index.

    Returns:
        The first digits of the list's hash, as they stand beside the figures.
    """
    header = [f"audio_{number}" for number in range(1, members.shape[1] + 1)]
    with written_aside(path, parents=True) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *_sounds(clips, members)])
    return _digest(clips, members)


def data_protocol(clips: IndexClips, members: np.ndarray, how: str) -> str:
    """Describe the data and the pairs, for the text beside the figures.

    Args:
        clips: the index that they are rows of.
        members: ``(P, N)`` rows of the index.
        how: the pairs came about.
    """
    path = Path(clips.index.path)
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    split = f"data: {len(clips)} clips of {path} (SHA-256 {content}), {clips.frame_rate:g} frames per second"
    with suppress(OSError, ValueError, KeyError, TypeError):  # what sopedu prepare wrote beside it
        settings = json.loads((path.parent / "prepare.json").read_text(encoding="utf-8"))
        split += f"; split: {settings['splits']}"
        split += f" (seed {settings['seed']})" if settings["protocol"] != "music" else ""
    return f"{split}; {how} (SHA-256 of the pairs {_digest(clips, members)})"


def _sounds(clips: IndexClips, members: np.ndarray) -> list[list[str]]:
    return [[clips.index[int(row)].audio for row in mixture] for mixture in members]


def _digest(clips: IndexClips, members: np.ndarray) -> str:
    """First digits of the hash of what is mixed with what, whatever file says it."""
    text = "\n".join(",".join(mixture) for mixture in _sounds(clips, members))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _names(line: str) -> list[str]:
    """Names of a line; commas separate them, else tabs, else blanks."""
    if "," in line:
        return [name.strip() for name in next(csv.reader([line], skipinitialspace=True)) if name.strip()]
    return [name.strip() for name in line.split("\t" if "\t" in line else None) if name.strip()]


def _tails(name: str) -> list[str]:
    """Ends of a path without the ending of the file, the longest first: ``audio/flute/a``, ``flute/a``, ``a``."""
    stem = Path(name.replace("\\", "/"))
    parts = [
        part for part in (*stem.parts[:-1], stem.stem if stem.suffix.lower() in _SOUNDS else stem.name) if part != "/"
    ]
    return ["/".join(parts[place:]) for place in range(len(parts))]


def _by_name(clips: IndexClips) -> dict[str, int]:
    """Rows by every end of their path; an end that several clips have names none."""
    tails = [_tails(clips.index[row].audio) for row in range(len(clips))]
    counts = Counter(tail for some in tails for tail in some)
    return {tail: row for row, some in enumerate(tails) for tail in some if counts[tail] == 1}


def _row(known: dict[str, int], name: str) -> int:
    """The row of the clip that a list names, perhaps from another folder; −1 if there is none."""
    return next((known[tail] for tail in _tails(name) if tail in known), -1)
