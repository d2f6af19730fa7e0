"""Write videos of what is heard: regions, and a tour of all of them (notebook 12_objects_and_their_sounds)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from sopedu.errors import SopeduError
from sopedu.localization.overlays import draw_box
from sopedu.localization.places import Box
from sopedu.localization.windows import DiskWaveform, VideoPart
from sopedu.separation.regions import Region
from sopedu.video.writing import VideoWriter

# x264 on two cores, 720p of leaves in the wind: "superfast" at 18 keeps 40.6 dB at 60 pictures a second, "medium" at
# 20 40.4 dB at 22, in a file of half the size.
_QUALITY, _EFFORT = 18, "superfast"
# A tour shows the whole video once for the mixture and once for every object; of a longer one, its loudest stretch.
_TOUR_WHOLE_SECONDS, _TOUR_SECONDS = 15.0, 10.0

Draw = Callable[[float, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Film:
    """A video to write: its sound, and what is drawn on every picture, given its time."""

    path: Path
    sound: Iterator[np.ndarray]
    sample_rate: int
    draw: Draw


def write_films(
    part: VideoPart,
    films: Sequence[Film],
    seconds: float,
    damaged: list[float],
    left_out: list[float],
    progress: bool,
) -> tuple[int, float]:
    """Write all videos in one walk over the pictures; return how many there were, and the time of the last.

    The lists take the times of damaged packets, and of pictures that have no time of their own.

    Raises:
        SopeduError: no picture is shown in this part.
    """
    rate = part.info.frame_rate
    total = round(part.seconds * rate) if rate else None
    bar = progress_bar(part.pictures(damaged, left_out), f"writing {len(films)} videos", progress, total, "picture")
    last, time, shown = None, 0.0, 0
    with bar as pictures, ExitStack() as stack:
        writers = [stack.enter_context(_writer(part, f.path, f.sound, f.sample_rate)) for f in films]
        for time, picture in pictures:
            last, shown = picture, shown + 1
            for writer, film in zip(writers, films, strict=True):
                writer.add(time, film.draw(time, picture))
        if last is None:
            raise SopeduError(f"{part.info.path}: no picture is shown in this part; choose another --start and --end")
        held = seconds - 1 / (rate or 25)
        if held > time + 1:  # a player shows nothing where pictures have ended before the sound
            for writer, film in zip(writers, films, strict=True):
                writer.add(held, film.draw(held, last))
    return shown, time


def write_tour(
    path: Path,
    part: VideoPart,
    mixture: DiskWaveform,
    regions: Sequence[Region],
    estimates: Sequence[DiskWaveform],
    sample_rate: int,
    gain: float,
    progress: bool,
) -> list[dict[str, Any]]:
    """Write one video that shows everything in turn: the whole sound first, then every region with its sound alone.

    Args:
        path: the mp4.
        part: of the video that is shown.
        mixture, estimates: the whole sound and that of every region.
        gain: that all sounds are multiplied with.

    Returns:
        the sections: name, when it begins in the tour, and the stretch of the video that it shows, in seconds.
    """
    first, count = _loudest_stretch(mixture, sample_rate)
    begin, length = first / sample_rate, count / sample_rate
    stretch = VideoPart(part.info, part.start + begin, part.start + begin + length)
    sections: list[tuple[str, DiskWaveform, Draw]] = [("all together", mixture, _all_marked(regions, begin))]
    sections += [(r.name, e, highlighting(r, begin)) for r, e in zip(regions, estimates, strict=True)]

    def sound() -> Iterator[np.ndarray]:
        for _, spool, _ in sections:  # each section has exactly `count` samples, so that pictures stay in step
            for start in range(first, first + count, 65536):
                block = spool.read(start, min(65536, first + count - start))
                yield np.float32(gain) * block

    total = round(len(sections) * length * (part.info.frame_rate or 25))
    writer = _writer(part, path, sound(), sample_rate)
    with progress_bar(None, "writing the tour", progress, total, "picture") as bar, writer:
        last, shown = -1.0, None
        for number, (name, _, draw) in enumerate(sections):
            for time, picture in stretch.pictures([]):
                if time < length - 1e-3:  # what begins with the next section belongs to it
                    last, shown = number * length + time, with_caption(draw(time, picture), name, (1.0, 0.0))
                    writer.add(last, shown)
                    bar.update()
        held = len(sections) * length - 1 / (part.info.frame_rate or 25)
        if shown is not None and held > last + 1:  # as in write_films: pictures have ended before the sound
            writer.add(held, shown)
    return [
        {"name": name, "at": round(number * length, 3), "from": round(begin, 3), "seconds": round(length, 3)}
        for number, (name, _, _) in enumerate(sections)
    ]


def highlighting(region: Region, begin: float = 0.0) -> Draw:
    """A function that marks a region on a picture and darkens the rest; times count from `begin`."""
    return lambda time, picture: highlight(picture, region.box_at(begin + time))


def highlight(frame: np.ndarray, box: Box | None) -> np.ndarray:
    """A frame ``(H, W, 3)`` uint8 with a box marked and all else at half its brightness; without a box, dark."""
    shown = frame >> 1
    if box is None:
        return shown
    height, width = frame.shape[:2]
    rows = slice(round(box[1] * height), max(round(box[3] * height), round(box[1] * height) + 1))
    columns = slice(round(box[0] * width), max(round(box[2] * width), round(box[0] * width) + 1))
    shown[rows, columns] = frame[rows, columns]
    return draw_box(shown, box)


def with_caption(frame: np.ndarray, text: str, point: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A frame ``(H, W, 3)`` uint8 with white words on black, their left top at a point."""
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
    """Words as a picture ``(h, w, 3)``, in a font that matplotlib brings and that knows many scripts."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    left, top, right, bottom = font.getbbox(text)
    margin = size // 3
    picture = Image.new("RGB", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin))
    ImageDraw.Draw(picture).text((margin - left, margin - top), text, fill="white", font=font)
    return np.asarray(picture)


def _all_marked(regions: Sequence[Region], begin: float) -> Draw:
    def draw(time: float, picture: np.ndarray) -> np.ndarray:
        boxes = {region.name: region.box_at(begin + time) for region in regions}
        for name, box in boxes.items():
            if box is not None:
                picture = with_caption(draw_box(picture, box), name, box[:2])
        return picture

    return draw


def _loudest_stretch(mixture: DiskWaveform, sample_rate: int) -> tuple[int, int]:
    """First sample and number of samples that a tour plays."""
    if mixture.length <= _TOUR_WHOLE_SECONDS * sample_rate:
        return 0, mixture.length
    count, step = round(_TOUR_SECONDS * sample_rate), sample_rate // 2
    energies = np.array([np.square(block, dtype=np.float64).sum() for block in mixture.blocks(length=step)])
    sums = np.convolve(energies, np.ones(count // step), "valid")
    return min(int(sums.argmax()) * step, mixture.length - count), count


def _writer(part: VideoPart, path: Path, sound: Iterator[np.ndarray], sample_rate: int) -> VideoWriter:
    return VideoWriter(path, part.info.frame_rate, sound, sample_rate, _QUALITY, _EFFORT, part.info.pixel_aspect)


def progress_bar(things: Iterator[Any] | None, title: str, progress: bool, total: float | None, unit: str) -> Any:
    """A progress bar with the time left around an iterator; in a ``with`` it ends before an error is told."""
    total = None if total is None else int(np.ceil(total))
    return tqdm(things, desc=title, total=total, disable=not progress, unit=unit)
