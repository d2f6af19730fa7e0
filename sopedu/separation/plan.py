"""The plan for separating a video: which part, which regions, which model; all arguments checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.model.checkpoints import Checkpoint
from sopedu.objects.detection import Detector
from sopedu.separation.parts import VideoPart
from sopedu.separation.regions import Region
from sopedu.video.probing import probe

_MOST_CELLS = 16


@dataclass(frozen=True)
class Plan:
    """The checked arguments.

    Attributes:
        part: of the video.
        checkpoint: the model.
        asked: the boxes that were asked for.
        detector: finds objects; None: none are looked for.
        cells: how many of the loudest cells are written too.
        pooling: how the cells of a region are joined.
        normalise: masks are divided by the sum of those of all regions.
        keep_rate: WAV files have the video's own sample rate.
        bar: makes progress bars.
    """

    part: VideoPart
    checkpoint: Checkpoint
    asked: list[Region]
    detector: Detector | None
    cells: int
    pooling: str
    normalise: bool
    keep_rate: bool
    bar: Any

    @property
    def sound(self) -> SpectrogramConfig:
        """Settings of the model's spectrogram."""
        return self.checkpoint.config.spectrogram

    @property
    def wav_rate(self) -> int:
        """Sample rate of the WAV files in hertz."""
        return self.part.info.sample_rate if self.keep_rate else self.sound.sample_rate


def checked_cells(cells: int) -> int:
    """Return how many single cells are written, if that is possible.

    Args:
        cells: asked for.

    Raises:
        SopeduError: it is no number, or more than 16.
    """
    cells = whole_number(cells, "cells")
    if not 0 <= cells <= _MOST_CELLS:
        raise SopeduError(f"{cells} cells: between 0 and {_MOST_CELLS} can be written")
    return cells


def part_of_video(
    path: Path, start: float, end: float | None, picture_stream: int | None, sound_stream: int | None
) -> VideoPart:
    """Return the part of a video that is separated.

    Args:
        path: of the video.
        start: of the part, in seconds.
        end: of the part; None or infinity: the end of the video.
        picture_stream: number of the picture stream; None: the usual one.
        sound_stream: number of the sound stream; None: the usual one.

    Raises:
        SopeduError: it cannot be read, or lacks picture or sound; a number is none.
    """
    start, end = real_number(start, "start"), None if end in (None, float("inf")) else real_number(end, "end")
    picture_stream, sound_stream = (
        None if number is None else whole_number(number, f"{kind}_stream", 0)
        for kind, number in (("picture", picture_stream), ("sound", sound_stream))
    )
    info = probe(path, picture_stream, sound_stream)
    if not info.has_picture:
        raise SopeduError(
            f"{path}: has no picture stream, so there are no regions to separate; choose a video with pictures"
        )
    if not info.has_sound:
        raise SopeduError(f"{path}: has no sound, so there is nothing to separate; choose a video with sound")
    return VideoPart(info, start, end)
