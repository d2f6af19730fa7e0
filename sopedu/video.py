"""Video files: what is in them, their sound and their pictures on one clock, and writing one.

Time zero of a file is its earliest timestamp (never below 0): all times here are seconds from it, for sound
and pictures alike. PyAV decodes and encodes; its wheels bring FFmpeg. A container left open would make forked
data loader workers hang, so every function opens the file anew and closes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import floor, inf
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError
from sopedu.sound import peak_limited, require_file, resample, written_aside

# Wanted pictures further apart than this are reached by a seek instead of by decoding all between them.
SEEK_BEYOND_SECONDS = 4.0
# Timestamps may be rounded to milliseconds: a picture that begins this little after a time is the one meant.
TIME_TOLERANCE_SECONDS = 0.001
# Sound decoders need some packets before they are right again after a seek (Opus: 80 ms).
SOUND_WARM_UP_SECONDS = 1.0
# Sound runs on without a gap unless its timestamps jump by more than this.
SOUND_GAP_SECONDS = 0.05
# Small rates in AAC are read by some players as another format (HE-AAC); this one plays everywhere.
WRITTEN_SAMPLE_RATE = 44100


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds; `width` and `height` are of the picture as it is shown, after `rotation`."""

    path: Path
    width: int
    height: int
    frame_rate: float | None  # pictures per second, the mean where it varies
    frame_count: int | None  # None where the file does not say
    duration: float  # seconds
    sample_rate: int | None  # hertz
    channels: int
    has_sound: bool
    has_picture: bool
    rotation: int  # degrees counter-clockwise that the stored picture is turned by: 0, 90, 180 or 270


def probe(path: str | Path) -> VideoInfo:
    """Say what a video file holds, decoding no more than one picture.

    Raises:
        SopeduError: the file is missing, empty, a folder, or neither sound nor video.
    """
    path = require_file(path)
    with _opened(path) as container:
        picture, sound = _picture_stream(container), _sound_stream(container)
        if picture is None and sound is None:
            raise SopeduError(f"{path}: holds neither pictures nor sound; give a video file (mp4, webm, mkv, mov)")
        width = height = rotation = 0
        if picture is not None:
            width, height = picture.width, picture.height
            first = next(container.decode(picture), None)
            rotation = _quarter_turns(first) * 90 if first is not None else 0
            if rotation in (90, 270):
                width, height = height, width
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            frame_rate=float(picture.average_rate or picture.guessed_rate) if picture is not None else None,
            frame_count=(picture.frames or None) if picture is not None else None,
            duration=_duration(path, container),
            sample_rate=sound.rate if sound is not None else None,
            channels=sound.channels if sound is not None else 0,
            has_sound=sound is not None,
            has_picture=picture is not None,
            rotation=rotation,
        )


def read_sound(
    path: str | Path, sample_rate: int = 11025, start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """Read the sound of a video as a mono waveform that starts at the video's own time.

    Channels are averaged. Where the sound stream begins later than `start`, or has a gap, there are zeros.

    Args:
        path: a video file, or a sound file that PyAV reads (m4a, opus, …).
        sample_rate: rate of the result in hertz.
        start: where to begin, in seconds.
        seconds: how much to read; None reads to the end. Where the sound ends earlier, less is returned.

    Returns:
        (L,) float32 with L = round(seconds · sample_rate), or fewer at the end of the sound.

    Raises:
        SopeduError: the file is missing, empty, a folder, not a video, has no sound, none from `start` on, is
            damaged, or its samples are not finite.
    """
    path = require_file(path)
    if start < 0 or (seconds is not None and seconds <= 0):
        raise SopeduError(f"{path}: cannot read {seconds} s from {start} s; start at 0 or later, ask for more than 0 s")
    end = _sound_end(path) if seconds is None else start + seconds
    # A tenth of a second around the part keeps the edges of the resampling filter out of it.
    begin = max(0, floor(start - 0.1))
    chunks: list[tuple[int, np.ndarray]] = []
    rate, position, length = 0, 0, 0
    with closing(_decoded(path, "audio", max(0.0, begin - SOUND_WARM_UP_SECONDS))) as decoded:
        for time, frame in decoded:
            if time >= end + 0.1:
                # Sound goes on later, so that what is missing in the part is a gap and not the end.
                rate, length = frame.sample_rate, round((end - begin) * frame.sample_rate)
                break
            if rate not in (0, frame.sample_rate):
                raise SopeduError(f"{path}: its sample rate changes at {time:.2f} s; convert it to one rate first")
            stamped = round((time - begin) * frame.sample_rate)
            if not chunks or abs(stamped - position) > SOUND_GAP_SECONDS * frame.sample_rate:
                position = stamped
            rate = frame.sample_rate
            chunks.append((position, _mono(frame)))
            position += frame.samples
    length = max([length] + [at + len(samples) for at, samples in chunks])
    if end <= start or length <= round((start - begin) * rate):
        raise SopeduError(f"{path}: has no sound from {start:.2f} s on; start earlier")
    waveform = np.zeros(length, dtype=np.float32)
    for at, samples in chunks:
        waveform[max(at, 0) : max(at + len(samples), 0)] = samples[max(-at, 0) :]
    if not np.isfinite(waveform).all():
        raise SopeduError(f"{path}: its sound holds samples that are not numbers; convert it again")
    part = resample(waveform, rate, sample_rate)[round((start - begin) * sample_rate) :]
    return np.ascontiguousarray(part if end == inf else part[: round((end - start) * sample_rate)])


def read_frames(path: str | Path, times: Sequence[float], size: tuple[int, int] | None = None) -> np.ndarray:
    """Read the pictures that are shown at the given times.

    The picture at a time is the last one that begins not later (within a millisecond); before the first
    picture it is the first, past the end the last. Times may come in any order and repeat.

    Args:
        path: the video file.
        times: seconds, S of them.
        size: (height, width) to scale to; None keeps the picture's own size.

    Returns:
        (S, H, W, 3) uint8, RGB, turned upright where the file says how.

    Raises:
        SopeduError: the file is missing, empty, a folder, not a video, has no pictures, or is damaged.
    """
    path = require_file(path)
    wanted = np.asarray(times, dtype=np.float64)
    if wanted.ndim != 1 or wanted.size == 0 or not np.isfinite(wanted).all():
        raise SopeduError(f"{path}: no times to read pictures at; give a list of seconds")
    pictures: list[Any] = [None] * len(wanted)
    decoded, upcoming, shown, picture = None, None, None, None
    try:
        for index in np.argsort(wanted, kind="stable"):
            time = wanted[index]
            if decoded is None or (upcoming is not None and time > upcoming[0] + SEEK_BEYOND_SECONDS):
                if decoded is not None:
                    decoded.close()
                decoded = _decoded(path, "video", max(0.0, time))
                upcoming, shown = next(decoded), None
            while upcoming is not None and (shown is None or upcoming[0] <= time + TIME_TOLERANCE_SECONDS):
                shown, picture = upcoming[1], None
                upcoming = next(decoded, None)
            if picture is None:
                picture = _rgb(shown, size)
                size = picture.shape[:2]
            pictures[index] = picture
    finally:
        if decoded is not None:
            decoded.close()
    return np.stack(pictures)


def iterate_frames(
    path: str | Path, start: float = 0.0, end: float | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield every picture that begins in [start, end), one at a time: memory does not grow with the length.

    The file stays open while the generator is in use: finish or close it before starting data loader workers.

    Args:
        path: the video file.
        start, end: seconds; None runs to the end.

    Yields:
        (time in seconds, (H, W, 3) uint8 RGB picture, upright).

    Raises:
        SopeduError: as for `read_frames`.
    """
    path = require_file(path)
    with closing(_decoded(path, "video", max(0.0, start))) as decoded:
        for time, frame in decoded:
            if end is not None and time >= end - TIME_TOLERANCE_SECONDS:
                return
            if time >= start - TIME_TOLERANCE_SECONDS:
                yield time, _rgb(frame, None)


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    frame_rate: float,
    waveform: Any = None,
    sample_rate: int | None = None,
    crf: int = 20,
) -> None:
    """Write pictures and sound as an mp4 (H.264 and AAC) that every browser plays.

    Pictures are taken one at a time, so a generator of any length will do. H.264 wants even sizes: an odd
    width or height gets its last column or row twice. Where sound and pictures differ in length both are
    written in full. The file appears under its name only when it is complete.

    Args:
        path: ends in .mp4; the folder must exist.
        frames: (H, W, 3) uint8 RGB pictures, all of one size.
        frame_rate: pictures per second.
        waveform: (L,) array or tensor in [-1, 1], or None for a silent video. A peak above 1 scales it down.
        sample_rate: of the waveform, in hertz.
        crf: quality, from 0 (lossless) over 20 (good) to 51 (poor).

    Raises:
        SopeduError: no pictures, pictures of different sizes or not uint8 RGB, a waveform without sample
            rate, a name that does not end in .mp4, or a folder that does not exist.
    """
    import av

    if Path(path).suffix.lower() != ".mp4":
        raise SopeduError(f"{path}: a video is written as mp4; end the name in .mp4")
    if waveform is not None and not sample_rate:
        raise SopeduError(f"{path}: a waveform needs its sample rate; pass sample_rate=…")
    samples = None
    if waveform is not None:
        samples = resample(peak_limited(waveform)[0], sample_rate, WRITTEN_SAMPLE_RATE)
    rate = Fraction(frame_rate).limit_denominator(1001)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise SopeduError(f"{path}: there are no pictures to write")
    shape = np.shape(first)
    _video_frame(path, first, shape, 0)

    with (
        written_aside(path) as unfinished,
        av.open(str(unfinished.absolute()), "w", container_options={"movflags": "+faststart"}) as container,
    ):
        picture_stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        picture_stream.pix_fmt = "yuv420p"
        picture_stream.height, picture_stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        picture_stream.time_base = 1 / rate
        sound_stream = None
        if samples is not None:
            sound_stream = container.add_stream("aac", rate=WRITTEN_SAMPLE_RATE, layout="mono")
            sound_stream.bit_rate = 128_000
        written = 0
        for count, picture in enumerate(chain([first], pictures)):
            container.mux(picture_stream.encode(_video_frame(path, picture, shape, count)))
            if sound_stream is not None:
                # In step with the pictures, so that the muxer need not hold one of the two in memory.
                until = round((count + 1) / rate * WRITTEN_SAMPLE_RATE)
                written = _encode_sound(container, sound_stream, samples, written, until)
        container.mux(picture_stream.encode(None))
        if sound_stream is not None:
            _encode_sound(container, sound_stream, samples, written, len(samples))
            container.mux(sound_stream.encode(None))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file with PyAV and turn its errors into one line that names the file."""
    import av

    try:
        with av.open(str(path.absolute()), metadata_errors="ignore") as container:
            # FFmpeg plays text files and still pictures as videos too.
            if container.format.name == "tty" or container.format.name.endswith(("_pipe", "image2")):
                raise SopeduError(f"{path}: is a text or picture file; give a video file (mp4, webm, mkv, mov)")
            yield container
    except av.FFmpegError as error:
        raise SopeduError(
            f"{path}: cannot be read as a video ({error.strerror}); if it plays elsewhere, convert it to mp4"
        ) from error


def _picture_stream(container: Any) -> Any:
    """The moving pictures; a sound file's cover is stored as a video stream too and is left out."""
    from av.stream import Disposition

    best = container.streams.best("video")
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return best if best in moving else next(iter(moving), None)


def _sound_stream(container: Any) -> Any:
    return container.streams.best("audio", related=container.streams.best("video"))


def _time_zero(container: Any) -> float:
    """Earliest timestamp in seconds; a negative one only marks samples that the decoder drops."""
    return max(0, container.start_time or 0) / 1_000_000


def _duration(path: Path, container: Any) -> float:
    """Seconds from time zero to the end; read from the last packet where the file does not say."""
    if container.duration is not None:
        return container.duration / 1_000_000
    with _opened(path) as again:
        ends = [
            float((packet.pts + (packet.duration or 0)) * packet.time_base)
            for packet in again.demux()
            if packet.pts is not None and packet.stream.type in ("audio", "video")
        ]
        return max(0.0, max(ends, default=0.0) - _time_zero(again))


def _sound_end(path: Path) -> float:
    """Seconds to the end of the sound as an mp4's exact tables state it, so that AAC's padding is left out.

    Infinite for other formats, which estimate it.
    """
    with _opened(path) as container:
        sound = _sound_stream(container)
        if sound is None or not sound.duration or "mp4" not in container.format.name:
            return inf
        return float(((sound.start_time or 0) + sound.duration) * sound.time_base) - _time_zero(container)


def _decoded(path: Path, kind: str, start: float) -> Iterator[tuple[float, Any]]:
    """Yield (time in seconds, decoded frame) of the "audio" or "video", from `start` or a little earlier.

    Some formats seek inexactly and would begin after `start`: then from further back, at last from the start.
    """
    import av

    for seek_to in (start, start - 2, start - 10, 0.0):
        from_beginning = seek_to <= 0
        with _opened(path) as container:
            stream = (_picture_stream if kind == "video" else _sound_stream)(container)
            if stream is None:
                has = {"video": "pictures", "audio": "sound"}
                other = [has[s.type] for s in container.streams if s.type in has and s.type != kind]
                found = f"it holds {other[0]} only" if other else "nothing that can be decoded was found"
                raise SopeduError(f"{path}: has no {has[kind]}, {found}; choose a video with {has[kind]}")
            stream.thread_type = "AUTO"
            zero = _time_zero(container)
            if not from_beginning:
                try:
                    container.seek(int((seek_to + zero) / stream.time_base), stream=stream)
                except av.FFmpegError:
                    continue
            begun, time = False, 0.0
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    if begun or from_beginning:
                        raise
                    continue  # a seek may land in the middle of a packet
                for frame in frames:
                    time = frame.time - zero if frame.time is not None else time
                    if not begun and not from_beginning and time > start + TIME_TOLERANCE_SECONDS:
                        break
                    begun = True
                    yield time, frame
                if frames and not begun:
                    break
            if begun:
                return
        if from_beginning:
            raise SopeduError(f"{path}: nothing in its {kind} stream can be decoded; convert it to mp4")


def _quarter_turns(frame: Any) -> int:
    """Quarter turns counter-clockwise, 0 to 3, that bring a decoded picture upright."""
    return round(frame.rotation / 90) % 4


def _rgb(frame: Any, size: tuple[int, int] | None) -> np.ndarray:
    """Decoded picture → (H, W, 3) uint8, upright, scaled to `size` (height, width) if given."""
    turns = _quarter_turns(frame)
    stored = size[::-1] if size is not None and turns % 2 else size
    height, width = stored or (frame.height, frame.width)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _mono(frame: Any) -> np.ndarray:
    """Decoded sound → (samples,) float32 in [-1, 1], the mean of its channels.

    The mean, and not FFmpeg's own mono, which makes float stereo louder by 3 dB.
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    mono = samples.mean(axis=0, dtype=np.float64)
    if samples.dtype == np.uint8:
        mono = (mono - 128) / 128
    elif np.issubdtype(samples.dtype, np.integer):
        mono = mono / -float(np.iinfo(samples.dtype).min)
    return mono.astype(np.float32)


def _video_frame(path: str | Path, picture: np.ndarray, shape: tuple[int, ...], count: int) -> Any:
    """(H, W, 3) uint8 → a frame stamped `count`, of even size by repeating the last row or column."""
    import av

    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.shape != shape:
        raise SopeduError(
            f"{path}: picture {count} is {picture.dtype} {picture.shape}; "
            "pass uint8 pictures (H, W, 3), all of one size"
        )
    picture = np.pad(picture, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = count
    return frame


def _encode_sound(container: Any, stream: Any, samples: np.ndarray, written: int, until: int) -> int:
    """Encode samples[written:until] in blocks; return how many samples are written then."""
    import av

    until = min(until, len(samples))
    while written < until:
        block = np.ascontiguousarray(samples[None, written : min(until, written + 8192)])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate = WRITTEN_SAMPLE_RATE
        frame.pts = written
        frame.time_base = Fraction(1, WRITTEN_SAMPLE_RATE)
        container.mux(stream.encode(frame))
        written += block.shape[1]
    return written
