"""Turn one film, or one part of it, into a clip that training reads: a WAV file and numbered frames on one clock.

:func:`prepare_clip` is a pure function of its job and the film: any process on any machine that sees the disk may call
it, twice if need be. A clip is written into a folder of its own and then moved to its place, frames first.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.audio.channels import EVERY_CHANNEL, ChannelLevels, Mix
from sopedu.audio.soundfiles import save_waveform_blocks
from sopedu.datasets.ledger import OK, Row
from sopedu.errors import SopeduError
from sopedu.files import move_into_place, writing
from sopedu.video.clock import Clock, clock_of
from sopedu.video.probing import VideoInfo, probe
from sopedu.video.reading import iterate_sound, jpegs_at
from sopedu.video.resizing import size_in_proportion
from sopedu.video.sound import sound_end
from sopedu.video.time_limit import OutOfTime, TimeLimit, limited

WORK = ".prepare"  # folder of logs and unfinished clips in a data set
HUNG = "hung"  # folder in it: marks of clips at which a decoder hung
_SHORTEST = 1.0  # seconds; a shorter clip teaches nothing
_LONGEST = 4 * 3600.0  # seconds of a film; a longer one is a stream that somebody recorded by mistake
_SHORTEST_LIMIT = 300.0  # seconds that any clip may take …
_SLOWEST = 10.0  # … and so many times the length of its film
_LARGEST = 32 * 1024**3  # bytes of a film
_MOST_STREAMS = 64
_MOST_DAMAGED = 2.0  # packets per second of a clip; with more it is not worth keeping
_LONGEST_END = 1.0  # seconds by which sound or pictures of a damaged film may end early
_ROUNDING = 0.05  # of a frame: so much of one may be missing at the end of a clip
_LONGEST_SHAPE = 16  # width over height, as `sopedu.data.prepared` reads it


@dataclass(frozen=True)
class ClipFormat:
    """How clips are written.

    Attributes:
        sample_rate: of the sound, in hertz.
        frame_rate: pictures per second.
        short_side: pixels of the shorter side of a frame; smaller pictures keep their size.
        quality: of the JPEG files.
    """

    sample_rate: int = 11025
    frame_rate: int = 8
    short_side: int = 256
    quality: int = 92


@dataclass(frozen=True)
class ClipJob:
    """One clip to prepare.

    Attributes:
        film: path of the film.
        out: folder of the data set.
        row: what is known of the clip; its state is replaced.
        seconds: length of the clip; None: the whole film.
        cut: whether the film holds only the wanted seconds; a film too short for them is taken to be cut too.
        form: how clips are written.
        temporary: remove the film afterwards (it was copied out of a tar part).
        time_limit: seconds that it may take; None: ten times the length of the film, at least 300.
    """

    film: str
    out: str
    row: Row
    seconds: float | None = None
    cut: bool = False
    form: ClipFormat = ClipFormat()
    temporary: bool = False
    time_limit: float | None = None


class _Unusable(Exception):
    """A film that cannot become a clip: the state and the reason."""


def prepare_clip(job: ClipJob) -> Row:
    """Prepare a clip; what is wrong with the film is said in the row.

    Args:
        job: what to prepare.

    Returns:
        the row for the ledger.

    Raises:
        SopeduError: the clip cannot be written (a full disk).
    """
    work = Path(job.out) / WORK / "clips" / secrets.token_hex(8)
    mark = Path(job.out) / WORK / HUNG / hashlib.sha256(job.row.key.encode("utf-8", "replace")).hexdigest()[:32]
    limit = TimeLimit(job.time_limit or _SHORTEST_LIMIT, mark.touch)
    try:
        if mark.exists():  # of the process that did this clip before
            mark.unlink()
            raise _Unusable("failed", f"its decoder hung for longer than {limit.seconds:.0f} s")
        with writing(work):
            (work / "frames").mkdir(parents=True)
            mark.parent.mkdir(exist_ok=True)
        with limited(limit):
            return _prepared(job, work, limit)
    except OutOfTime as error:
        return replace(job.row, state="failed", reason=str(error))
    except _Unusable as unusable:
        state, reason = unusable.args
        said = reason.replace(f"{job.film}: ", "").replace(job.film, job.row.id)
        return replace(job.row, state=state, reason=said[:300])
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if job.temporary:
            with suppress(OSError):
                os.unlink(job.film)


def _prepared(job: ClipJob, work: Path, limit: TimeLimit) -> Row:
    path, skipped, form = Path(job.film), list[float](), job.form
    with _readable():
        if path.stat().st_size > _LARGEST:
            raise _Unusable("too-large", f"has {path.stat().st_size / 1024**3:.0f} GB")
        info, clock = probe(path), clock_of(path)
    if job.time_limit is None:
        limit.seconds = max(_SHORTEST_LIMIT, _SLOWEST * info.duration)
    begin, seconds, note = _span(job, info, clock)
    count = max(1, ceil(seconds * form.frame_rate - _ROUNDING))
    marks = hashlib.sha256()
    with closing(_pictures(job, info, begin, count, skipped)) as pictures:
        held = _write_frames(pictures, work / "frames", marks)
    sound = work / "sound.wav"
    _write_sound(job, begin, seconds, skipped, sound)
    if len(skipped) > _MOST_DAMAGED * seconds or skipped and held > _LONGEST_END * form.frame_rate:
        raise _Unusable("damaged", f"{len(skipped)} packets in {seconds:.1f} s are damaged")
    with writing(sound), open(sound, "rb") as file:
        while block := file.read(1 << 20):
            marks.update(block)
    _move(job, work)
    if skipped:
        note = f"{len(skipped)} damaged packets were left out"
    return replace(
        job.row, state=OK, reason=note, duration=round(info.duration, 3), seconds=round(seconds, 3),
        fps=round(info.frame_rate, 3) if info.frame_rate else None, frames=count, start=round(begin, 3),
        hash=marks.hexdigest()[:32],
    )  # fmt: skip


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what goes wrong while a film is read into a state of its clip."""
    import av

    try:
        yield
    except FileNotFoundError as error:
        raise _Unusable("missing", "the film is gone") from error
    except (SopeduError, av.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise _Unusable("damaged", str(error) or type(error).__name__) from error


def _span(job: ClipJob, info: VideoInfo, clock: Clock) -> tuple[float, float, str]:
    """Return where the clip begins on the clock of the film, how long it is, and a note.

    Sound and pictures are both there from its beginning to its end: a stream that begins late or ends early would add
    silence or a still picture that nobody recorded.
    """
    if not info.has_sound or not info.has_picture:
        what = "pictures" if info.has_sound else "sound"
        raise _Unusable("no-picture" if info.has_sound else "no-sound", f"has no {what}")
    if len(info.streams) > _MOST_STREAMS or info.duration > _LONGEST:
        raise _Unusable("too-large", f"has {len(info.streams)} streams and lasts {info.duration:.0f} s")
    streams = (info.picture_stream, info.sound_stream)
    first = max(clock.starts.get(number, 0.0) for number in streams)
    last = min(clock.ends.get(number, clock.end) for number in streams)
    last = min(last, sound_end(info.path, info.sound_stream))
    begin, end, note, wanted = max(0.0, first), last, "", job.row.start
    if wanted is not None and job.seconds is not None:
        if not job.cut and info.duration >= wanted + job.seconds - 1:
            begin, end = max(begin, wanted), min(last, wanted + job.seconds)
        else:
            end = min(last, begin + job.seconds)
            note = (
                "" if job.cut or not wanted else "the film is too short for this time and was taken to be cut already"
            )
    if end - begin < _SHORTEST:
        raise _Unusable("short", f"sound and pictures are both there for {max(0.0, end - begin):.3f} s only")
    return begin, end - begin, note


def _pictures(job: ClipJob, info: VideoInfo, begin: float, count: int, skipped: list[float]) -> Iterator[bytes]:
    height, width = float(info.height), float(info.width * info.pixel_aspect)
    size = size_in_proportion(height, width, min(job.form.short_side, round(min(height, width))), _LONGEST_SHAPE)
    times = begin + np.arange(count) / job.form.frame_rate
    with _readable():
        yield from jpegs_at(info.path, times, size, job.form.quality, info.picture_stream, skipped)


def _write_sound(job: ClipJob, begin: float, seconds: float, skipped: list[float], path: Path) -> None:
    """Write the sound; it is decoded a second time only if the mean of all its channels is not what is wanted."""
    levels, damaged = ChannelLevels(), list[float]()
    with closing(_sound(job, begin, seconds, damaged, EVERY_CHANNEL, levels)) as blocks:
        save_waveform_blocks(path, blocks, job.form.sample_rate)
    skipped += damaged
    if not levels.mix().is_whole:
        with closing(_sound(job, begin, seconds, [], levels.mix(), None)) as blocks:
            save_waveform_blocks(path, blocks, job.form.sample_rate)


def _sound(
    job: ClipJob, begin: float, seconds: float, skipped: list[float], mix: Mix, levels: ChannelLevels | None
) -> Iterator[np.ndarray]:
    """Yield exactly the wanted samples: the end is filled with zeros where the sound is a little shorter."""
    rate, end = job.form.sample_rate, begin + seconds
    left = round(seconds * rate)
    with _readable():
        for block in iterate_sound(job.film, rate, begin, end, skipped=skipped, mix=mix, levels=levels):
            yield block[:left]
            left -= len(block[:left])
    if left > _LONGEST_END * rate:
        raise _Unusable("damaged", f"its sound ends {left / rate:.1f} s too early")
    if left > 0:
        yield np.zeros(left, np.float32)


def _write_frames(pictures: Iterator[bytes], folder: Path, marks: Any) -> int:
    """Write numbered JPEG files; return how often the last picture was repeated."""
    last, held = None, 0
    for number, picture in enumerate(pictures, 1):
        held = held + 1 if picture is last else 0
        last = picture
        path = folder / f"{number:06d}.jpg"
        with writing(path):
            path.write_bytes(picture)
        marks.update(picture)
    return held


def _move(job: ClipJob, work: Path) -> None:
    """Move a complete clip to its place; what an earlier run left there is replaced."""
    frames, sound = frames_place(job.out, job.row), sound_place(job.out, job.row)
    with writing(frames):
        frames.parent.mkdir(parents=True, exist_ok=True)
        sound.parent.mkdir(parents=True, exist_ok=True)
        if frames.exists():
            move_into_place(frames, work / "earlier")
        move_into_place(work / "frames", frames)
        move_into_place(work / "sound.wav", sound)


def frames_place(out: str | Path, row: Row) -> Path:
    """Return the folder of a clip's frames.

    Args:
        out: folder of the data set.
        row: of the clip.
    """
    return Path(out) / "frames" / row.label / row.id


def sound_place(out: str | Path, row: Row) -> Path:
    """Return the path of a clip's sound.

    Args:
        out: folder of the data set.
        row: of the clip.
    """
    return Path(out) / "audio" / row.label / f"{row.id}.wav"


def crashed_clip(job: ClipJob, reason: str) -> Row:
    """Return the row of a clip whose process died.

    Args:
        job: of the clip.
        reason: what is known about it.
    """
    return replace(job.row, state="crashed", reason=" ".join(reason.split())[:300])
