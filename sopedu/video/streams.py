"""Open a video or a sound file, and choose and describe the streams of pictures and sound in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from sopedu.errors import SopeduError

#: What FFmpeg calls a kind of stream → what users call it.
KINDS = {"video": "picture", "audio": "sound"}
# No common encoder or browser handles larger pictures; one of this size takes 200 MB.
_LARGEST_SIDE = 8192


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file with PyAV and turn its errors into one line that names the file.

    Args:
        path: the file.

    Yields:
        PyAV's container, closed afterwards.

    Raises:
        SopeduError: the file is a text, a still picture, or cannot be read; also for errors of PyAV in the block.
    """
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


def moving_pictures(container: Any) -> list[Any]:
    """Return the streams of moving pictures; the cover of a sound file, stored as a video stream too, is left out.

    Args:
        container: PyAV's, opened.
    """
    from av.stream import Disposition

    return [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]


def sounds(container: Any) -> list[Any]:
    """Return the streams of sound whose codec FFmpeg knows.

    Args:
        container: PyAV's, opened.
    """
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a file.

    Attributes:
        number: of the stream in the file.
        kind: "picture" or "sound".
        description: codec and size, or codec, rate and channels, in words.
    """

    number: int
    kind: str
    description: str


def chosen_stream(path: Path, container: Any, kind: str, number: int | None) -> Any:
    """Return the stream of that number, or the one that players choose.

    Args:
        path: the file, for the error.
        container: PyAV's, opened.
        kind: "audio" or "video".
        number: of the stream; None takes the default one.

    Returns:
        PyAV's stream, or None if there is none of that kind.

    Raises:
        SopeduError: there is no stream of that number and kind.
    """
    choice = moving_pictures(container) if kind == "video" else sounds(container)
    if number is not None:
        for stream in choice:
            if stream.index == number:
                return stream
        there = "; ".join(f"{info.number} ({info.description})" for info in map(described, choice)) or "none"
        raise SopeduError(
            f"{path}: has no {KINDS[kind]} stream {number}; its {KINDS[kind]} streams: {there}; choose one of them"
        )
    best = container.streams.best(kind) if kind == "video" else _best_sound(container)
    return best if best in choice else next(iter(choice), None)


def _best_sound(container: Any) -> Any:
    return container.streams.best("audio", related=container.streams.best("video"))


def described(stream: Any) -> StreamInfo:
    """Describe a stream in words.

    Args:
        stream: PyAV's.
    """
    name = stream.codec_context.name
    if stream.type == "video":
        return StreamInfo(stream.index, "picture", f"{name}, {stream.width}×{stream.height} px")
    plural = "s" if stream.channels != 1 else ""
    return StreamInfo(stream.index, "sound", f"{name}, {stream.rate} Hz, {stream.channels} channel{plural}")


def frame_rate_of(stream: Any) -> float | None:
    """Return the pictures per second of a stream, or None if the file does not say.

    Args:
        stream: PyAV's.
    """
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def pixel_aspect_of(stream: Any) -> Fraction:
    """Return the width of a pixel over its height; a ratio beyond 1 : 4 or 4 : 1 is a damaged header and counts as 1.

    Args:
        stream: PyAV's, of pictures.
    """
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1)


def seconds_of(ticks: int, base: Fraction) -> float:
    """Return a timestamp in seconds, rounded once: the same as by `Fraction`, ten times as fast.

    Args:
        ticks: the timestamp.
        base: seconds per tick.
    """
    return ticks * base.numerator / base.denominator


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse pictures without an area, or too large to be handled.

    Args:
        path: the file, for the error.
        width: in pixels.
        height: in pixels.

    Raises:
        SopeduError: a side is below 1 px or above 8192 px.
    """
    if width < 1 or height < 1:
        raise SopeduError(f"{path}: its pictures are {width}×{height} px, there is nothing to see; convert it to mp4")
    if max(width, height) > _LARGEST_SIDE:
        raise SopeduError(
            f"{path}: its pictures are {width}×{height} px, more than the {_LARGEST_SIDE} px that can be handled; "
            "scale it down first"
        )


def first_picture(container: Any, stream: Any) -> Any:
    """Return the first picture that can be decoded in a hundred packets, or None.

    Args:
        container: PyAV's, just opened.
        stream: of pictures.
    """
    import av

    for tries, packet in enumerate(container.demux(stream)):
        try:
            for frame in packet.decode():
                return frame
        except av.FFmpegError:
            pass  # reported where the pictures are read; here only the size and rotation are wanted
        if tries > 100:
            break
    return None
