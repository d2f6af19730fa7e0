"""Examine prepared data: silence, clipping, stills, duplicates, wrong lengths (``sopedu health``).

    >>> report = examine(["data/train.csv", "data/val.csv"], checkpoint="toyband")
    >>> print(report.table())
    >>> write_cleaned(report)                       # data/train.clean.csv, data/val.clean.csv

The clips are measured one by one, in as many processes as wanted. What is known of them is kept on disk, in temporary
files. Nothing is ever changed in sounds or frames.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np

from sopedu.data import IndexClips
from sopedu.data.clips import SILENCE
from sopedu.data.index_files import write_index
from sopedu.data.index_sounds import find_frame_rate
from sopedu.data.prepared import ClipIndex, read_index
from sopedu.data.shards import SHARD_COLUMNS
from sopedu.datasets.belonging import PICTURE_LIMIT, SOUND_LIMIT, judge_belonging
from sopedu.datasets.clip_facts import LONGEST, STILL_SHARE, ClipFacts, MeasureJob, crashed_measurement, measured
from sopedu.datasets.disk import temporary_space
from sopedu.datasets.facts_table import FactsTable, Fault, Faults
from sopedu.datasets.twins import same_pictures, same_sounds
from sopedu.datasets.workers import Workers
from sopedu.errors import SopeduError
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
    "unrelated": "the picture or the sound is of another class, says the model",
}
_SILENT_SHARE = 0.9
_LATE, _BLACK_SHARE = 0.25, 0.1
_LENGTH = (0.5, 0.03)  # seconds and share by which sound and pictures may differ
_UNEVEN = 10  # times as many clips in the largest class as in the smallest
_TIMED = 5000  # clips of which the frame rate is read
_USUAL_RATE = 8.0  # pictures per second, of the original code


@dataclass
class HealthReport:
    """What an examination found.

    Attributes:
        indexes: of the data set, one per split.
        clips: measurements of every clip, index after index.
        faults: in the order of the clips.
        notes: about the data set as a whole, such as classes of very different size.
        frame_rate: pictures per second, given or read from the data.
        pictures: how well the picture of each clip suits its class, in dB, see
            :class:`sopedu.datasets.belonging.Belonging`; NaN where the model did not judge.
        sounds: how well its sound does, likewise.
        seen_as: name of the other class that the picture suits best, or "".
        heard_as: name of the other class that the sound suits best, or "".
    """

    indexes: list[ClipIndex]
    clips: FactsTable
    faults: Faults = field(default_factory=Faults)
    notes: list[str] = field(default_factory=list)
    frame_rate: float = float("nan")
    pictures: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sounds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    seen_as: list[str] = field(default_factory=list)
    heard_as: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """Paths of the indexes."""
        return [index.path for index in self.indexes]

    @property
    def faulty(self) -> Sequence[int]:
        """Numbers of the clips with a fault, in order."""
        return self.faults.clips()

    def table(self, most: int = 3) -> str:
        """Lay out the findings as text: how many clips per kind, and the first ones.

        Args:
            most: clips that are named per kind.
        """
        counts, first = Counter[str](), dict[str, list[Fault]]()
        for fault in self.faults:
            counts[fault.kind] += 1
            if counts[fault.kind] <= most:
                first.setdefault(fault.kind, []).append(fault)
        lines = [f"{len(self.clips)} clips, {len(self.faulty)} with a fault; {self.frame_rate:g} pictures per second"]
        for kind in (kind for kind in KINDS if counts[kind]):
            lines.append(f"{counts[kind]:6}  {kind}: {KINDS[kind]}")
            lines += [f"          {self.clips[one.clip].audio}: {one.detail}" for one in first.get(kind, [])]
            if counts[kind] > most:
                lines.append(f"          … and {counts[kind] - most} more")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def figures(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return self._figures([self._figures_of(fault) for fault in self.faults])

    def json(self) -> Iterator[str]:
        """Yield the figures as JSON, in pieces: of many faults one is in memory at a time."""
        head, tail = json.dumps(self._figures([]), indent=2, allow_nan=False).split('"faults": []', 1)
        yield f'{head}"faults": ['
        between = "\n"
        for fault in self.faults:
            yield between + indent(json.dumps(self._figures_of(fault), indent=2), 4 * " ")
            between = ",\n"
        yield ("\n  ]" if between != "\n" else "]") + tail

    def _figures(self, faults: list[dict[str, str]]) -> dict[str, Any]:
        return {
            "indexes": self.paths,
            "clips": len(self.clips),
            "faulty": len(self.faulty),
            "frame_rate": None if np.isnan(self.frame_rate) else self.frame_rate,
            "counts": dict(Counter(fault.kind for fault in self.faults)),
            "faults": faults,
            "notes": self.notes,
        }

    def _figures_of(self, fault: Fault) -> dict[str, str]:
        clip = self.clips[fault.clip]
        return {
            "index": clip.split, "audio": clip.audio, "frames": clip.frames, "kind": fault.kind, "detail": fault.detail,
        }  # fmt: skip


@temporary_space()
def examine(
    paths: Sequence[str | Path],
    checkpoint: Checkpoint | str | Path | None = None,
    frame_rate: float | None = None,
    root: str | Path | None = None,
    seconds: float = 6.0,
    jobs: int = 0,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> HealthReport:
    """Examine the clips of one data set.

    Args:
        paths: its indexes, one per split.
        checkpoint: whose model judges whether picture and sound belong together; None: this is left out.
        frame_rate: of the frames; None: read from the data, the number of frames against the length of the sound.
        root: the folder in which the paths of the indexes begin; None: it is found.
        seconds: shortest useful clip.
        jobs: number of processes that measure; 0 measures in this one.
        executor: that is used instead.
        progress: is told how many steps of how many are done; a clip is one step, or two if a model judges it too.

    Raises:
        SopeduError: an index cannot be read.
    """
    indexes = [read_index(path, root) for path in paths]
    total = sum(map(len, indexes))
    steps = total * (2 if checkpoint is not None else 1)
    with Workers(measured, crashed_measurement, jobs, executor) as workers:
        clips = _measured(indexes, workers, lambda done: progress(done, steps))
    report = HealthReport(indexes, clips)
    report.frame_rate = frame_rate or _frame_rate(clips)
    if np.isnan(report.frame_rate):
        report.notes.append("the numbers of frames and the lengths of the sounds agree on no frame rate; give it")
    report.pictures, report.sounds = np.full((2, len(clips)), np.nan)
    report.seen_as, report.heard_as = [""] * len(clips), [""] * len(clips)
    if checkpoint is not None:
        _judge(report, as_checkpoint(checkpoint), root, lambda done: progress(total + done, steps))
    report.faults = Faults(_all_faults(report, seconds))
    report.notes += list(_notes_on_classes(clips))
    return report


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
    kept, counted = np.ones(len(report.clips), bool), report.clips.column("counted")
    for fault in report.faults:
        kept[fault.clip] &= fault.kind in spared
    written = []
    for index, begin in zip(report.indexes, report.clips.begins.tolist(), strict=False):
        path = Path(index.path)
        rows = np.flatnonzero(kept[begin : begin + len(index)])
        if not len(rows):
            raise SopeduError(f"{path}: no clip is without a fault, so there is nothing to keep; see the report")
        goal = path.with_name(f"{path.stem}.clean.csv")
        columns = (index.columns(row, int(counted[begin + row])) for row in map(int, rows))
        write_index(goal, columns, SHARD_COLUMNS if index.shards else ())
        written.append(goal)
    return written


def _measured(
    indexes: Sequence[ClipIndex], workers: Workers[MeasureJob, ClipFacts], progress: Callable[[int], None]
) -> FactsTable:
    """Return the facts of all clips."""
    table, done = FactsTable(indexes), 0
    for place, index in enumerate(indexes):
        for one in workers.results(MeasureJob(index.only(row), row) for row in range(len(index))):
            table.add(int(table.begins[place]) + one.row, one)
            done += 1
            progress(done)
    return table


def _frame_rate(clips: FactsTable) -> float:
    """Return the rate on which most clips agree; NaN if there is none."""
    counted, seconds = clips.column("counted"), clips.column("seconds")
    known = np.flatnonzero((counted > 0) & (seconds > 0))
    known = known[:: max(1, len(known) // _TIMED)]
    found = find_frame_rate(counted[known], seconds[known], _USUAL_RATE) if len(known) else None
    return float("nan") if found is None else found


def _all_faults(report: HealthReport, seconds: float) -> Iterator[tuple[int, str, str]]:
    """Yield clip, kind and detail of everything that is wrong."""
    clips = report.clips
    for number, facts in enumerate(clips):
        for kind, said in _faults_of(facts, report.frame_rate, seconds):
            yield number, kind, said
    for number, other in same_sounds(clips.sounds):
        yield other, "same sound", f"that of {_named(clips[number])}"
    for number, other in same_pictures(clips.pictures, clips.parts()):
        yield other, "same picture", f"those of {_named(clips[number])}"
    for number in np.flatnonzero((report.pictures < PICTURE_LIMIT) | (report.sounds < SOUND_LIMIT)).tolist():
        yield number, "unrelated", "; ".join(_suits_another(report, number))


def _suits_another(report: HealthReport, number: int) -> Iterator[str]:
    picture, sound = -report.pictures[number], -report.sounds[number]
    if picture > -PICTURE_LIMIT:
        yield f"its picture suits sounds of {report.seen_as[number]} better, by {picture:.1f} dB"
    if sound > -SOUND_LIMIT:
        yield f"its sound suits pictures of {report.heard_as[number]} better, by {sound:.1f} dB"


def _judge(
    report: HealthReport, checkpoint: Checkpoint, root: str | Path | None, progress: Callable[[int], None]
) -> None:
    names = tuple(sorted({name for index in report.indexes for name in index.class_names} - {SILENCE}))
    rate = None if np.isnan(report.frame_rate) else report.frame_rate
    splits = [
        (IndexClips(index.path, checkpoint.config, names, root, rate), report.clips.readable(place))
        for place, index in enumerate(report.indexes)
    ]
    found = judge_belonging(checkpoint, splits, progress=progress)
    judged = np.concatenate([report.clips.begins[place] + rows for place, (_, rows) in enumerate(splits)])
    report.pictures[judged], report.sounds[judged] = found.picture, found.sound
    for number, seen, heard in zip(judged.tolist(), found.seen_as.tolist(), found.heard_as.tolist(), strict=True):
        report.seen_as[number], report.heard_as[number] = (names[one] if one >= 0 else "" for one in (seen, heard))
    report.notes += found.notes(names)


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
    elif facts.still_share >= STILL_SHARE:
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


def _notes_on_classes(clips: FactsTable) -> Iterator[str]:
    by_split = clips.classes()
    counts = sum(map(Counter, by_split.values()), Counter())
    (most, many), *_, (least, few) = [*counts.most_common(), counts.most_common()[-1]]
    if many > _UNEVEN * few:
        yield f"classes are uneven: {many} clips of {most}, {few} of {least}; a training draws all clips equally"
    for split in sorted(by_split):
        missing = counts.keys() - by_split[split].keys()
        if missing:
            yield f"{split} lacks {', '.join(sorted(missing))}"


def _named(clip: ClipFacts) -> str:
    return f"{clip.split}: {clip.audio}"
