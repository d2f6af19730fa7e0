"""Examine prepared data: silence, clipping, stills, duplicates, wrong lengths (``sopedu health``).

    >>> report = examine(["data/train.csv", "data/val.csv"], checkpoint="toyband")
    >>> print(report.table())
    >>> write_cleaned(report)                       # data/train.clean.csv, data/val.clean.csv

The clips are measured one by one, in as many processes as wanted; only some hundred bytes per clip are kept. Nothing is
ever changed in sounds or frames.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.data.prepared import ClipIndex, read_index
from sopedu.datasets.belonging import judge_belonging
from sopedu.datasets.clip_facts import LONGEST, ClipFacts, measure_clip
from sopedu.datasets.fingerprints import same_pictures, same_sounds
from sopedu.errors import SopeduError
from sopedu.files import written_aside
from sopedu.model.checkpoints import Checkpoint, as_checkpoint

#: What is looked for: kind → what it means.
KINDS = {
    "unreadable": "sound or frames are missing or damaged",
    "silent": "the sound is silent, or nearly all of it",
    "clipped": "the sound is cut off at full scale",
    "late": "the sound begins with digital silence: it may be late",
    "black": "black frames",
    "still": "the picture does not move",
    "slides": "stills that change from time to time",
    "frames": "another number of frames than the index says",
    "length": "sound and pictures differ in length",
    "short": "shorter than what a model hears",
    "same sound": "the sound of another clip",
    "same picture": "the pictures of a clip of another split",
    "unrelated": "the sound does not belong to the picture, says the model",
}
_SILENT_SHARE = 0.9
_LATE, _BLACK_SHARE, _STILL_SHARE = 0.25, 0.1, 0.9
_LENGTH = (0.5, 0.03)  # seconds and share by which sound and pictures may differ
_GAP = -4.0  # dB; of 80 clips with their own picture none was below −2.4, of 80 with a picture of another class 3 in 4
_UNEVEN = 10  # times as many clips in the largest class as in the smallest
_RATES = (1, 2, 4, 5, 6, 8, 10, 12, 12.5, 15, 16, 20, 24, 25, 29.97, 30, 48, 50, 59.94, 60)


@dataclass
class Fault:
    """Something that is wrong with a clip.

    Attributes:
        clip: its number in the report.
        kind: a key of :data:`KINDS`.
        detail: with figures.
    """

    clip: int
    kind: str
    detail: str


@dataclass
class HealthReport:
    """What an examination found.

    Attributes:
        paths: of the indexes.
        clips: measurements of every clip, index after index.
        faults: in the order of the clips.
        notes: about the data set as a whole, such as classes of very different size.
        frame_rate: pictures per second, given or read from the data.
        gaps: swap gap of each clip in dB; NaN where there is none.
    """

    paths: list[str]
    clips: list[ClipFacts]
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    frame_rate: float = float("nan")
    gaps: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def faulty(self) -> set[int]:
        """Numbers of the clips with a fault."""
        return {fault.clip for fault in self.faults}

    def table(self, most: int = 3) -> str:
        """Lay out the findings as text: how many clips per kind, and the first ones.

        Args:
            most: clips that are named per kind.
        """
        counts = Counter(fault.kind for fault in self.faults)
        lines = [f"{len(self.clips)} clips, {len(self.faulty)} with a fault; {self.frame_rate:g} pictures per second"]
        for kind in (kind for kind in KINDS if counts[kind]):
            lines.append(f"{counts[kind]:6}  {kind}: {KINDS[kind]}")
            of_kind = [fault for fault in self.faults if fault.kind == kind]
            lines += [f"          {self.clips[one.clip].audio}: {one.detail}" for one in of_kind[:most]]
            if len(of_kind) > most:
                lines.append(f"          … and {len(of_kind) - most} more")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def figures(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "indexes": self.paths,
            "clips": len(self.clips),
            "faulty": len(self.faulty),
            "frame_rate": self.frame_rate,
            "counts": dict(Counter(fault.kind for fault in self.faults)),
            "faults": [
                {
                    "index": self.clips[fault.clip].split,
                    "audio": self.clips[fault.clip].audio,
                    "frames": self.clips[fault.clip].frames,
                    "kind": fault.kind,
                    "detail": fault.detail,
                }
                for fault in self.faults
            ],
            "notes": self.notes,
        }


def examine(
    paths: Sequence[str | Path],
    checkpoint: Checkpoint | str | Path | None = None,
    frame_rate: float | None = None,
    seconds: float = 6.0,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> HealthReport:
    """Examine the clips of one data set.

    Args:
        paths: its indexes, one per split.
        checkpoint: whose model judges whether picture and sound belong together; None: this is left out.
        frame_rate: of the frames; None: read from the data, the number of frames against the length of the sound.
        seconds: shortest useful clip.
        executor: processes that measure; None: here.
        progress: is told how many clips of how many are measured.

    Raises:
        SopeduError: an index cannot be read.
    """
    indexes = [read_index(path) for path in paths]
    clips = list(_measured(indexes, executor, progress))
    report = HealthReport([str(path) for path in paths], clips)
    report.frame_rate = frame_rate or frame_rate_of(clips)
    report.gaps = np.full(len(clips), np.nan)
    if checkpoint is not None:
        _judge(report, indexes, as_checkpoint(checkpoint))
    by_clip = [list(_faults_of(facts, report.frame_rate, seconds)) for facts in clips]
    for number, other in same_sounds([clip.sound for clip in clips]):
        by_clip[other].append(("same sound", f"that of {_named(clips[number])}"))
    for number, other in _same_pictures_of_splits(clips):
        by_clip[other].append(("same picture", f"those of {_named(clips[number])}"))
    for number, gap in enumerate(report.gaps):
        if gap < _GAP:
            by_clip[number].append(("unrelated", f"swap gap {gap:.1f} dB".replace("-", "−")))
    report.faults = [Fault(n, kind, detail) for n, found in enumerate(by_clip) for kind, detail in _once(found)]
    report.notes += list(_notes_on_classes(clips))
    return report


def frame_rate_of(clips: Sequence[ClipFacts]) -> float:
    """Read the frame rate from the number of frames and the length of the sound: the median, as a usual rate.

    Args:
        clips: measured.

    Returns:
        pictures per second; NaN if no clip has both.
    """
    rates = [clip.counted / clip.seconds for clip in clips if clip.counted and clip.seconds > 0.5]
    if not rates:
        return float("nan")
    rate = float(np.median(rates))
    nearest = min(_RATES, key=lambda usual: abs(np.log(usual / rate)))
    return float(nearest) if abs(nearest / rate - 1) < 0.08 else round(rate, 2)


def write_cleaned(report: HealthReport, keep: Sequence[str] = ()) -> list[Path]:
    """Write, beside each index, a copy without the faulty clips: ``train.clean.csv`` for ``train.csv``.

    A wrong number of frames is corrected instead. Sounds and frames are not touched.

    Args:
        report: of an examination.
        keep: kinds of faults that do not count.

    Returns:
        the paths of the copies.

    Raises:
        SopeduError: an unknown kind; no clip is left; or the copy cannot be written.
    """
    if unknown := sorted(set(keep) - KINDS.keys()):
        raise SopeduError(f"no kind of fault is called {', '.join(unknown)}: choose of {', '.join(KINDS)}")
    spared = {"frames", *keep}
    dropped = {fault.clip for fault in report.faults if fault.kind not in spared}
    written, number = [], 0
    for path in map(Path, report.paths):
        index = read_index(path)
        rows = range(number, number + len(index))
        number += len(index)
        kept = [report.clips[row] for row in rows if row not in dropped]
        if not kept:
            raise SopeduError(f"{path}: no clip is without a fault, so there is nothing to keep; see the report")
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerows((clip.audio, clip.frames, clip.counted or clip.frame_count) for clip in kept)
        goal = path.with_name(f"{path.stem}.clean.csv")
        with written_aside(goal) as unfinished:
            unfinished.write_text(text.getvalue(), encoding="utf-8")
        written.append(goal)
    return written


def _measured(
    indexes: Sequence[ClipIndex], executor: Executor | None, progress: Callable[[int, int], None]
) -> Iterator[ClipFacts]:
    total, done = sum(map(len, indexes)), 0
    for index in indexes:
        measure = partial(measure_clip, index)
        rows = range(len(index))
        found = map(measure, rows) if executor is None else executor.map(measure, rows, chunksize=8)
        for facts in found:
            done += 1
            progress(done, total)
            yield facts


def _judge(report: HealthReport, indexes: Sequence[ClipIndex], checkpoint: Checkpoint) -> None:
    begin = 0
    for index, path in zip(indexes, report.paths, strict=True):
        rows = [row for row in range(len(index)) if not report.clips[begin + row].problem]
        found = judge_belonging(checkpoint, path, rows)
        if found.can_judge:
            report.gaps[[begin + row for row in rows]] = found.gap
        else:
            report.notes.append(
                f"{path}: the model does not know these sounds and pictures, so it cannot say whether they belong "
                "together; give a checkpoint that was trained on such data"
            )
        begin += len(index)


def _faults_of(facts: ClipFacts, frame_rate: float, shortest: float) -> Iterator[tuple[str, str]]:
    if facts.problem:
        yield "unreadable", facts.problem
        return
    percent = "{:.0%}".format
    if facts.silent_share >= _SILENT_SHARE:
        yield "silent", f"{percent(facts.silent_share)} of the time below −60 dB"
    elif facts.late >= _LATE:
        yield "late", f"{facts.late:.2f} s of digital silence at the start"
    if facts.clipped_share:
        yield "clipped", f"{facts.clipped_share:.2%} of the samples at or near full scale"
    if facts.black_share >= _BLACK_SHARE:
        yield "black", f"{percent(facts.black_share)} of the frames"
    elif facts.still_share >= _STILL_SHARE:
        kind = "slides" if facts.jumps else "still"
        yield (
            kind,
            f"{percent(facts.still_share)} of the frames are as the one before"
            + (f", {facts.jumps} changes seen" if facts.jumps else ""),
        )
    if facts.counted != facts.frame_count:
        yield "frames", f"{facts.counted} in the folder, {facts.frame_count} in the index"
    lasting = facts.counted / frame_rate
    if facts.seconds >= LONGEST:
        return  # only its beginning was read
    if abs(lasting - facts.seconds) > max(_LENGTH[0], _LENGTH[1] * facts.seconds):
        yield "length", f"{facts.seconds:.2f} s of sound, {facts.counted} frames are {lasting:.2f} s"
    if min(lasting, facts.seconds) < shortest - 0.25:
        yield "short", f"{min(lasting, facts.seconds):.2f} s"


def _same_pictures_of_splits(clips: Sequence[ClipFacts]) -> Iterator[tuple[int, int]]:
    if len({clip.split for clip in clips}) > 1:
        shown = [clip.pictures if clip.still_share < _STILL_SHARE else clip.pictures[:0] for clip in clips]
        for first, second in same_pictures(shown):
            if clips[first].split != clips[second].split:
                yield first, second


def _once(found: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each kind once: of several twins the first is named."""
    return iter(dict(reversed(found)).items()) if len(found) > 1 else iter(found)


def _notes_on_classes(clips: Sequence[ClipFacts]) -> Iterator[str]:
    counts = Counter(clip.label for clip in clips)
    (most, many), *_, (least, few) = [*counts.most_common(), counts.most_common()[-1]]
    if many > _UNEVEN * few:
        yield f"classes are uneven: {many} clips of {most}, {few} of {least}; a training draws all clips equally"
    splits = {clip.split for clip in clips}
    for split in sorted(splits):
        missing = counts.keys() - {clip.label for clip in clips if clip.split == split}
        if len(splits) > 1 and missing:
            yield f"{split} lacks {', '.join(sorted(missing))}"


def _named(clip: ClipFacts) -> str:
    return f"{clip.split}: {clip.audio}"
