"""Write videos of regions with their sounds, and a tour of all regions (notebook 12_objects_and_their_sounds)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError
from sopedu.localization.overlays import draw_box
from sopedu.localization.places import Box
from sopedu.separation.parts import DiskWaveform, VideoPart
from sopedu.separation.regions import Region
from sopedu.video.writing import VideoWriter

# x264 on two cores, 720p of leaves in the wind: "superfast" at 18 keeps 40.6 dB at 60 pictures per second, "medium"
# at 20 keeps 40.4 dB at 22, in a file of half the size.
_QUALITY, _EFFORT = 18, "superfast"
_TOUR_QUALITY = 23  # a tour repeats the film for every object: coarser, it fits into a notebook
# A tour shows the whole video once for the mixture and once for every object; of a longer one, its loudest seconds.
_TOUR_WHOLE_SECONDS, _TOUR_SECONDS = 15.0, 10.0

_Draw = Callable[[float, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Film:
    """A video to write.

    Attributes:
        path: of the mp4 file.
        sound: its waveform in blocks.
        sample_rate: of the sound, in Hz.
        draw: makes a picture ``(H, W, 3)`` uint8 from a time in seconds and the picture of the original video.
    """

    path: Path
    sound: Iterator[np.ndarray]
    sample_rate: int
    draw: _Draw


def write_films(
    part: VideoPart, pictures: Iterable[tuple[float, np.ndarray]], films: Sequence[Film], seconds: float
) -> tuple[int, float]:
    """Write all videos in one walk over the pictures.

    Args:
        part: of the video.
        pictures: its (time, picture), see :meth:`VideoPart.pictures`.
        films: the videos.
        seconds: length of their sound.

    Returns:
        the number of pictures, and the time of the last one.

    Raises:
        SopeduError: there is no picture in this part.
    """
    last, time, count = None, 0.0, 0
    with ExitStack() as stack:
        writers = [stack.enter_context(_writer(part, film.path, film.sound, film.sample_rate)) for film in films]
        for time, picture in pictures:
            last, count = picture, count + 1
            for writer, film in zip(writers, films, strict=True):
                writer.add(time, film.draw(time, picture))
        if last is None:
            raise SopeduError(f"{part.info.path}: no picture is shown in this part; choose another --start and --end")
        held = _time_of_held_picture(seconds, part, time)
        if held is not None:
            for writer, film in zip(writers, films, strict=True):
                writer.add(held, film.draw(held, last))
    return count, time


def write_tour(
    path: Path,
    part: VideoPart,
    mixture: DiskWaveform,
    sounds: Sequence[tuple[Region, DiskWaveform]],
    sample_rate: int,
    gain: float,
    bar: Any,
) -> list[dict[str, Any]]:
    """Write one video that shows everything in turn: the whole sound first, then every region with its sound alone.

    Args:
        path: of the mp4 file.
        part: of the video.
        mixture: the whole sound.
        sounds: every region and its sound.
        sample_rate: of all sounds, in Hz.
        gain: all sounds are multiplied with it.
        bar: makes a progress bar, with the arguments of tqdm.

    Returns:
        the sections: name, when it begins in the tour, and the seconds of the video that it shows.
    """
    first, count = _loudest_samples(mixture, sample_rate)
    begin, length, rate = first / sample_rate, count / sample_rate, part.info.frame_rate or 25
    shown_part = VideoPart(part.info, part.start + begin, part.start + begin + length)
    sections: list[tuple[str, DiskWaveform, _Draw]] = [
        ("all together", mixture, _marking([r for r, _ in sounds], begin))
    ]
    sections += [(region.name, sound, highlighting(region, begin)) for region, sound in sounds]

    def samples() -> Iterator[np.ndarray]:
        for _, sound, _ in sections:  # each section has exactly `count` samples, so that pictures stay in step
            for start in range(first, first + count, 65536):
                yield np.float32(gain) * sound.read(start, min(65536, first + count - start))

    def pictures() -> Iterator[tuple[float, np.ndarray]]:
        for number, (name, _, draw) in enumerate(sections):
            for time, picture in shown_part.pictures([]):
                if time < length - 1e-3:  # a picture at the start of the next section belongs to that section
                    yield number * length + time, with_caption(draw(time, picture), name, (1.0, 0.0))

    total, end, last, picture = round(len(sections) * length * rate), len(sections) * length, -1.0, None
    with (
        bar(pictures(), desc="writing the tour", total=total, unit="picture") as drawn,
        _writer(part, path, samples(), sample_rate, _TOUR_QUALITY) as writer,
    ):
        for last, picture in drawn:
            writer.add(last, picture)
        held = _time_of_held_picture(end, part, last)
        if picture is not None and held is not None:
            writer.add(held, picture)
    return [
        {"name": name, "at": round(number * length, 3), "from": round(begin, 3), "seconds": round(length, 3)}
        for number, (name, _, _) in enumerate(sections)
    ]


def _time_of_held_picture(seconds: float, part: VideoPart, last: float) -> float | None:
    """Time to repeat the last picture if pictures end before the sound, because a player would show nothing."""
    held = seconds - 1 / (part.info.frame_rate or 25)
    return held if held > last + 1 else None


def highlighting(region: Region, begin: float = 0.0) -> _Draw:
    """Return a function that marks a region on a picture and darkens the rest.

    Args:
        region: what is marked.
        begin: seconds that are added to the times of pictures.
    """
    return lambda time, picture: highlight(picture, region.box_at(begin + time))


def highlight(frame: np.ndarray, box: Box | None) -> np.ndarray:
    """Mark a box on a frame; all else has half its brightness.

    Args:
        frame: ``(H, W, 3)`` uint8.
        box: None for an object that is not there: the whole frame is darkened.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    shown = frame >> 1
    if box is None:
        return shown
    height, width = frame.shape[:2]
    rows = slice(round(box[1] * height), max(round(box[3] * height), round(box[1] * height) + 1))
    columns = slice(round(box[0] * width), max(round(box[2] * width), round(box[0] * width) + 1))
    shown[rows, columns] = frame[rows, columns]
    return draw_box(shown, box)


def with_caption(frame: np.ndarray, text: str, point: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Write white words on black on a frame.

    Args:
        frame: ``(H, W, 3)`` uint8.
        text: the words.
        point: (x, y) of their left top, as fractions of width and height; they stay inside the frame.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    words = _words(text, max(14, min(frame.shape[:2]) // 16))
    height, width = frame.shape[:2]
    words = words[:height, :width]
    row = min(int(point[1] * height), height - words.shape[0])
    column = min(int(point[0] * width), width - words.shape[1])
    shown = frame.copy()
    shown[row : row + words.shape[0], column : column + words.shape[1]] = words
    return shown


@lru_cache(maxsize=64)
def _words(text: str, size: int) -> np.ndarray:
    """Words as a picture ``(h, w, 3)``, in a font of matplotlib that knows many scripts."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    left, top, right, bottom = font.getbbox(text)
    margin = size // 3
    picture = Image.new("RGB", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin))
    ImageDraw.Draw(picture).text((margin - left, margin - top), text, fill="white", font=font)
    return np.asarray(picture)


def _marking(regions: Sequence[Region], begin: float) -> _Draw:
    """A function that marks all regions with their names."""

    def draw(time: float, picture: np.ndarray) -> np.ndarray:
        for region in regions:
            box = region.box_at(begin + time)
            if box is not None:
                picture = with_caption(draw_box(picture, box), region.name, box[:2])
        return picture

    return draw


def _loudest_samples(mixture: DiskWaveform, sample_rate: int) -> tuple[int, int]:
    """First sample and number of samples that a tour plays."""
    if mixture.length <= _TOUR_WHOLE_SECONDS * sample_rate:
        return 0, mixture.length
    count, step = round(_TOUR_SECONDS * sample_rate), sample_rate // 2
    energies = np.array([np.square(block, dtype=np.float64).sum() for block in mixture.blocks(length=step)])
    sums = np.convolve(energies, np.ones(count // step), "valid")
    return min(int(sums.argmax()) * step, mixture.length - count), count


def _writer(
    part: VideoPart, path: Path, sound: Iterator[np.ndarray], sample_rate: int, quality: int = _QUALITY
) -> VideoWriter:
    return VideoWriter(path, part.info.frame_rate, sound, sample_rate, quality, _EFFORT, part.info.pixel_aspect)
