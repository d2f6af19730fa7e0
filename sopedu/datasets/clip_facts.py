"""What is measured on one clip of prepared data: level, silence, clipping, brightness, movement, fingerprints.

:func:`measure_clip` is a pure function of the files of one clip, so that many processes can work at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np

from sopedu.data.prepared import ClipIndex
from sopedu.datasets.fingerprints import frame_print, sound_prints
from sopedu.errors import SopeduError

RATE = 11025  # hertz, at which sounds are measured
_BLOCK = RATE // 10  # samples: 0.1 s
_SILENT = 1e-3  # RMS of a silent block: −60 dB full scale
_ZERO = 1e-4  # peak of digital silence: −80 dB
_FULL = 0.98  # peak from which repeated extremes are clipping
_FLAT = 5e-4  # share of the samples, in runs of three equal extremes
_EXTREMES, _NEAR = 5, 2e-3  # samples at the peak, and share of those within a tenth of it
_PAIRS = 40  # pairs of neighbouring frames that are looked at
_PRINTS = 12  # frames with a fingerprint
_SIDE = 36  # cells along the shorter side to which a frame is resized
_STILL, _JUMP = 2.0, 12.0  # of 255: by which the most different cell, and the mean cell, of two frames differ
STILL_SHARE = 0.9  # of the pairs: from here on a clip is a still
_BLACK = 16  # of 255: a frame whose brightest cell is darker is black
LONGEST = 900.0  # seconds of a clip that are read


@dataclass(slots=True)
class ClipFacts:
    """Measurements of a clip.

    Attributes:
        audio: path of its sound in the index.
        frames: path of its folder of frames.
        label: name of its class.
        split: name of its index.
        row: in its index, from 0.
        problem: why it cannot be read; empty if it can.
        seconds: length of the sound.
        peak: of the sound, 1 is full scale.
        silent_share: of the 0.1 s blocks, those below −60 dB.
        clipped_share: of the samples, those at full scale, if there are more than a recording should have.
        late: seconds of digital silence at the start of a sound that is not silent.
        frame_count: that the index gives.
        counted: frames in the folder.
        black_share: of the frames looked at.
        still_share: of the pairs of neighbouring frames, those that do not differ.
        jumps: frames looked at that differ by far from the one looked at before.
        sound: see :func:`sopedu.datasets.fingerprints.sound_prints`.
        pictures: ``(n,)`` uint64, see :func:`sopedu.datasets.fingerprints.frame_print`; of stills there are none.
    """

    audio: str
    frames: str
    label: str
    split: str
    row: int
    problem: str = ""
    seconds: float = 0.0
    peak: float = 0.0
    silent_share: float = 0.0
    clipped_share: float = 0.0
    late: float = 0.0
    frame_count: int = 0
    counted: int = 0
    black_share: float = 0.0
    still_share: float = 0.0
    jumps: int = 0
    sound: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))
    pictures: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))


def measure_clip(index: ClipIndex, row: int) -> ClipFacts:
    """Measure one clip; what cannot be read is told in ``problem``.

    Args:
        index: of the data set.
        row: of the clip, from 0.
    """
    facts = _named_facts(index, row)
    try:
        facts.counted = index.frames_held(row)
        _measure_sound(facts, index.sound(row, 0.0, round(LONGEST * RATE), RATE))
        if facts.counted:
            _measure_frames(facts, index)
    except SopeduError as error:
        facts.problem = str(error)
    if not facts.problem and not facts.counted:
        facts.problem = f"{facts.frames}: there is no frame"
    return facts


@dataclass(frozen=True)
class MeasureJob:
    """A clip to measure: an index of it alone, and its row in the whole one."""

    index: ClipIndex
    row: int


def measured(job: MeasureJob) -> ClipFacts:
    """Measure the clip of a job.

    Args:
        job: from :meth:`sopedu.data.prepared.ClipIndex.only`.
    """
    facts = measure_clip(job.index, 0)
    facts.row = job.row
    return facts


def crashed_measurement(job: MeasureJob, reason: str) -> ClipFacts:
    """Return the facts of a clip whose process died.

    Args:
        job: of the clip.
        reason: what is known about it.
    """
    facts = _named_facts(job.index, 0)
    facts.row, facts.problem = job.row, f"{facts.audio}: cannot be measured ({reason})"
    return facts


def _named_facts(index: ClipIndex, row: int) -> ClipFacts:
    entry, label = index[row], index.class_names[index.labels[row]]
    split = os.path.splitext(os.path.basename(index.path))[0]
    return ClipFacts(entry.audio, entry.frames, label, split, row, frame_count=entry.frame_count)


def _measure_sound(facts: ClipFacts, waveform: np.ndarray) -> None:
    facts.seconds = len(waveform) / RATE
    loudness = np.abs(waveform)
    facts.peak = float(loudness.max(initial=0.0))
    whole = waveform[: len(waveform) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    silent = np.sqrt((whole**2).mean(1)) < _SILENT
    facts.silent_share = float(silent.mean()) if len(whole) else 1.0
    facts.clipped_share = _clipped_share(loudness, facts.peak)
    if facts.silent_share < 1:
        facts.late = int(np.argmax(loudness > _ZERO)) / RATE
    facts.sound = sound_prints(waveform, RATE)


def _clipped_share(loudness: np.ndarray, peak: float) -> float:
    """Return the share of samples that are cut off, 0 if there are hardly any."""
    if peak < _FULL:
        return 0.0
    extreme = loudness >= peak * 0.999
    flat = float((extreme[2:] & extreme[1:-1] & extreme[:-2]).mean())
    if flat >= _FLAT:
        return flat
    # Compression turns flat tops into ripples: many samples near full scale, and some beyond it, which are cut again.
    near = float((loudness >= 0.9 * peak).mean())
    return near if extreme.sum() >= _EXTREMES and near >= _NEAR else 0.0


def _measure_frames(facts: ClipFacts, index: ClipIndex) -> None:
    last = min(facts.counted, facts.frame_count)
    firsts = np.unique(np.linspace(1, max(1, last - 1), _PAIRS).astype(int)).tolist()
    numbers = sorted({number for first in firsts for number in (first, first + 1) if number <= last})
    pictures = index.pictures(facts.row, numbers, _SIDE).astype(np.float32).mean(-1)
    seen = dict(zip(numbers, pictures, strict=True))
    facts.black_share = float(np.mean([cells.max() < _BLACK for cells in seen.values()]))
    pairs = [(seen[first], seen[first + 1]) for first in firsts if first + 1 in seen]
    differences = [float(np.abs(after - before).max()) for before, after in pairs]
    facts.still_share = float(np.mean([difference < _STILL for difference in differences])) if pairs else 0.0
    facts.jumps = int((np.abs(np.diff(pictures, axis=0)).mean((1, 2)) > _JUMP).sum())
    if facts.still_share >= STILL_SHARE:
        return  # a still picture is that of many clips
    chosen = np.unique(np.linspace(0, len(numbers) - 1, _PRINTS).astype(int))
    facts.pictures = np.array([frame_print(pictures[place]) for place in chosen], np.uint64)
