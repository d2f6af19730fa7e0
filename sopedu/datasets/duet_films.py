"""Films of two players: a folder of them, or the clips of an index, read in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from sopedu.config import Config, FramesConfig
from sopedu.data.index_clips import IndexClips
from sopedu.datasets.films import is_film, require_folder
from sopedu.errors import SopeduError
from sopedu.separation.parts import DiskWaveform, VideoPart
from sopedu.separation.windows import frames_of_windows
from sopedu.video.probing import probe
from sopedu.video.resizing import frame_size

_SILENCE = 1e-5  # peak
_DETECTED_SIZE = 480  # shorter side, in pixels, of the pictures for a detector
_DETECTED_SECONDS = 0.5  # between two of these pictures


class Duet(Protocol):
    """A film of two players, or a prepared clip.

    Attributes:
        name: path in its folder or index; it may say which instruments play.
    """

    name: str

    @property
    def seconds(self) -> float:
        """Its length."""

    def read_sound(self, sample_rate: int, path: Path) -> DiskWaveform:
        """Write its sound to a file, to be read in parts.

        Args:
            sample_rate: of the result, in hertz.
            path: of the file.

        Raises:
            SopeduError: it cannot be read, or is silent.
        """

    def frames(self, config: FramesConfig, centres: Sequence[float]) -> Iterator[torch.Tensor]:
        """Yield the frames ``(S, 3, H, W)`` uint8 of windows.

        Args:
            config: which frames a window has, and their size.
            centres: times in seconds of the middles of the windows, ascending.
        """

    def pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield times in seconds and pictures ``(H, W, 3)`` uint8 for a detector."""


@dataclass(frozen=True)
class FilmDuet:
    """A video file.

    Attributes:
        path: of the file.
        name: its path in the folder.
    """

    path: Path
    name: str

    @cached_property
    def _part(self) -> VideoPart:
        info = probe(self.path)
        if not info.has_picture or not info.has_sound:
            raise SopeduError(f"{self.path}: has no {'sound' if info.has_picture else 'picture'}; give films with both")
        return VideoPart(info)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self._part.seconds

    def read_sound(self, sample_rate: int, path: Path) -> DiskWaveform:
        """Write its sound to a file, see :class:`Duet`."""
        waveform = DiskWaveform(path)
        for block in self._part.sound(sample_rate, []):
            waveform.append(block)
        return _heard(self.name, waveform)

    def frames(self, config: FramesConfig, centres: Sequence[float]) -> Iterator[torch.Tensor]:
        """Yield the frames of windows, see :class:`Duet`."""
        return frames_of_windows(self._part, config, centres)

    def pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield pictures for a detector, see :class:`Duet`."""
        info, times = self._part.info, _seldom(self.seconds)
        size = frame_size(info, min(_DETECTED_SIZE, info.width, info.height))
        return zip(times, self._part.frames_at(times, size), strict=True)


@dataclass(frozen=True)
class ClipDuet:
    """A clip of an index.

    Attributes:
        clips: all of the index.
        row: which one it is.
    """

    clips: IndexClips
    row: int

    @property
    def name(self) -> str:
        """Path of its sound in the index."""
        return self.clips.index[self.row].audio

    @cached_property
    def seconds(self) -> float:
        """Its length."""
        return self.clips.index.seconds(self.row)

    def read_sound(self, sample_rate: int, path: Path) -> DiskWaveform:
        """Write its sound to a file, see :class:`Duet`."""
        waveform = DiskWaveform(path)
        waveform.append(self.clips.index.sound(self.row, 0.0, round(self.seconds * sample_rate), sample_rate))
        return _heard(self.name, waveform)

    def frames(self, config: FramesConfig, centres: Sequence[float]) -> Iterator[torch.Tensor]:
        """Yield the frames of windows, see :class:`Duet`."""
        for centre in centres:
            yield torch.from_numpy(self._read(config.times(centre), config.size)).permute(0, 3, 1, 2)

    def pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield pictures for a detector, see :class:`Duet`."""
        for time in _seldom(self.seconds):
            yield time, self._read([time], _DETECTED_SIZE)[0]

    def _read(self, times: Sequence[float], size: int) -> np.ndarray:
        last = self.clips.index[self.row].frame_count - 1
        numbers = [min(max(round(time * self.clips.frame_rate), 0), last) + 1 for time in times]
        return self.clips.index.pictures(self.row, numbers, size)


def _heard(name: str, waveform: DiskWaveform) -> DiskWaveform:
    if waveform.peak <= _SILENCE:
        raise SopeduError(f"{name}: its sound is digital silence, so there is nothing to separate")
    return waveform


def _seldom(seconds: float) -> list[float]:
    return [float(time) for time in np.arange(0.0, max(seconds, 1e-3), _DETECTED_SECONDS)]


def open_duets(
    place: str | Path, config: Config, root: str | Path | None = None, frame_rate: float | None = None
) -> list[Duet]:
    """Open films of two players.

    Args:
        place: a folder of films, at any depth; one film; or an index CSV of prepared clips.
        config: of spectrograms and frames.
        root: the folder in which the paths of an index begin; None: it is found.
        frame_rate: frames per second of an index; None: found from some clips.

    Returns:
        The films, sorted by their paths, or the clips in the order of the index; they are not read yet.

    Raises:
        SopeduError: there is no such folder, film or index, or the folder holds no film.
    """
    place = Path(place)
    if place.suffix.lower() == ".csv":
        clips = IndexClips(place, config, root=root, frame_rate=frame_rate)
        return [ClipDuet(clips, row) for row in range(len(clips))]
    if place.is_file():
        return [FilmDuet(place, place.name)]
    folder = require_folder(place, "films")
    films = sorted(path for path in folder.rglob("*") if is_film(path.name) and path.is_file())
    if not films:
        raise SopeduError(f"{place}: holds no film; give a folder of films of two players, or an index CSV")
    return [FilmDuet(path, str(path.relative_to(folder))) for path in films]


def total_seconds(duets: Sequence[Duet]) -> float:
    """Return the length in seconds of those films that can be read.

    Args:
        duets: the films.
    """
    total = 0.0
    for duet in duets:
        with suppress(SopeduError):  # reading the film reports it
            total += duet.seconds
    return total


def instruments_named(name: str, class_names: Sequence[str]) -> list[str]:
    """Return the classes that the name of a film names, such as both in ``cello acoustic_guitar/x.mp4``.

    Args:
        name: path of the film in its folder.
        class_names: to look for; ``_``, ``-`` and blanks are the same.
    """
    text = f" {_words(name)} "
    return [known for known in class_names if f" {_words(known)} " in text]


def _words(text: str) -> str:
    return " ".join(re.split(r"[\W_]+", text.lower())).strip()
