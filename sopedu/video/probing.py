"""What a video file holds: its streams, sizes, rates and length, without decoding more than one picture."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from sopedu.errors import SopeduError
from sopedu.files import require_file
from sopedu.video.clock import clock_of
from sopedu.video.pictures import upright
from sopedu.video.streams import (
    StreamInfo,
    check_size,
    chosen_stream,
    described,
    first_picture,
    frame_rate_of,
    moving_pictures,
    opened,
    pixel_aspect_of,
    sounds,
)


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        path: the file.
        width: in pixels, of the picture as it is shown, after ``rotation``.
        height: in pixels, likewise.
        frame_rate: pictures per second, the mean where it varies; None if the file does not say.
        frame_count: how many pictures; None if the file does not say.
        duration: seconds to the end of the last picture or sound.
        sample_rate: of the sound, in hertz; None without sound.
        channels: of the sound.
        has_sound: whether there is a stream of sound.
        has_picture: whether there is a stream of pictures.
        rotation: degrees counter-clockwise by which the stored picture is turned: 0, 90, 180 or 270.
        pixel_aspect: width of a pixel over its height; 1 except in old formats.
        picture_stream: number of the stream that is read for pictures.
        sound_stream: number of the stream that is read for sound.
        streams: all streams of pictures and sound.
        mirrored: whether the stored picture is mirrored left to right before it is turned.
        announced: seconds that the header states if that is longer than the file; otherwise ``duration``.
        jumps: (time, seconds) of the jumps of the timestamps that were closed.
    """

    path: Path
    width: int
    height: int
    frame_rate: float | None
    frame_count: int | None
    duration: float
    sample_rate: int | None
    channels: int
    has_sound: bool
    has_picture: bool
    rotation: int
    pixel_aspect: Fraction = Fraction(1)
    picture_stream: int | None = None
    sound_stream: int | None = None
    streams: tuple[StreamInfo, ...] = ()
    mirrored: bool = False
    announced: float = 0.0
    jumps: tuple[tuple[float, float], ...] = ()


def probe(path: str | Path, picture_stream: int | None = None, sound_stream: int | None = None) -> VideoInfo:
    """Return what a video file holds, decoding no more than one picture.

    Args:
        path: the video file.
        picture_stream: number of the stream of pictures to use, as `streams` lists them; None takes the default one.
        sound_stream: number of the stream of sound, likewise.

    Raises:
        SopeduError: the file is missing, empty, a folder, neither sound nor video, has no such stream, or its
            pictures have no size or more than 8192 px on a side.
    """
    path = require_file(path)
    clock = clock_of(path)
    with opened(path) as container:
        picture = chosen_stream(path, container, "video", picture_stream)
        sound = chosen_stream(path, container, "audio", sound_stream)
        if picture is None and sound is None:
            raise SopeduError(f"{path}: holds neither pictures nor sound; give a video file (mp4, webm, mkv, mov)")
        width = height = rotation = 0
        aspect, mirrored = Fraction(1), False
        if picture is not None:
            check_size(path, picture.width, picture.height)
            width, height = picture.width, picture.height
            first = first_picture(container, picture)
            if first is not None:
                check_size(path, first.width, first.height)
                width, height = first.width, first.height
                mirrored, turns = upright(first)
                rotation = turns * 90
            aspect = pixel_aspect_of(picture)
            if rotation in (90, 270):
                width, height, aspect = height, width, 1 / aspect
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            frame_rate=frame_rate_of(picture) if picture is not None else None,
            frame_count=(picture.frames or None) if picture is not None else None,
            duration=clock.end,
            sample_rate=sound.rate if sound is not None else None,
            channels=sound.channels if sound is not None else 0,
            has_sound=sound is not None,
            has_picture=picture is not None,
            rotation=rotation,
            pixel_aspect=aspect,
            picture_stream=picture.index if picture is not None else None,
            sound_stream=sound.index if sound is not None else None,
            streams=tuple(described(stream) for stream in (*moving_pictures(container), *sounds(container))),
            mirrored=mirrored,
            announced=clock.announced,
            jumps=clock.jumps,
        )
