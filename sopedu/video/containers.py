"""Open a video or a sound file, and list the streams of pictures and sound in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sopedu.errors import SopeduError


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
