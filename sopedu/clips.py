"""Clips to train on and to test with: the toy band, or real data in the layout of the original code.

A data set yields clips: a waveform, a few frames, a label. Which part of the clip and of the picture is taken in
training follows from (seed, epoch, position) alone, so that any batch of any run can be made again. Explained in
notebook 05_mix_and_separate.
"""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from sopedu.config import Config
from sopedu.errors import SopeduError
from sopedu.mixing import NOBODY
from sopedu.toyband.melody import INSTRUMENTS
from sopedu.toyband.rendered import SetDescription, rendered_set


class Visit(NamedTuple):
    """One visit of a clip in training: which clip, in which epoch, at which place of the epoch."""

    index: int
    epoch: int
    position: int


class Clip(NamedTuple):
    """Waveform ``(L,)`` float32, frames ``(S, 3, H, W)`` uint8, label (index into class names, or −1 for nobody)."""

    waveform: torch.Tensor
    frames: torch.Tensor
    label: int


class ClipDataset(Dataset):
    """What all clip data sets have: class names, the labels of all clips, and a configuration."""

    def __init__(self, config: Config, class_names: tuple[str, ...], labels: np.ndarray) -> None:
        self.config, self.class_names, self.labels = config, class_names, labels

    def __len__(self) -> int:
        return len(self.labels)

    def _generator(self, visit: Visit) -> np.random.Generator:
        return np.random.default_rng([self.config.training.seed, visit.epoch, visit.position, zlib.crc32(b"clip")])

    def _crop(self, frames: np.ndarray, generator: np.random.Generator | None) -> torch.Tensor:
        """Cut a square of the configured size from frames ``(S, H, W, 3)``: anywhere in training, else the middle."""
        size = self.config.frames.size
        spare = np.array(frames.shape[1:3]) - size
        top, left = spare // 2 if generator is None else generator.integers(0, spare + 1)
        square = frames[:, top : top + size, left : left + size]
        return torch.from_numpy(np.ascontiguousarray(square.transpose(0, 3, 1, 2)))


class ToyBandClips(ClipDataset):
    """Rendered solos of the configured instruments, and empty scenes for the silent share."""

    def __init__(
        self, config: Config, split: str = "train", solos: int | None = None, seed: int = 0, workers: int = 1
    ) -> None:
        names = config.toyband.instruments or INSTRUMENTS
        unknown = set(names) - set(INSTRUMENTS)
        if unknown:
            raise SopeduError(f"the toy band has no {', '.join(sorted(unknown))}: choose from {', '.join(INSTRUMENTS)}")
        training = split == "train"
        sound = config.spectrogram
        description = SetDescription(
            split=split,
            solos=config.toyband.solos if solos is None else solos,
            empty=config.toyband.empty_scenes if training else 0,
            samples=sound.samples,
            times=tuple(config.frames.times(sound.seconds / 2)),
            size=config.frames.resize if training else config.frames.size,
            instruments=tuple(names),
            sample_rate=sound.sample_rate,
            seed=seed,
        )
        self.rendered = rendered_set(description, workers)
        super().__init__(config, tuple(names), self.rendered.labels)

    def __getitem__(self, visit: Visit | int) -> Clip:
        index = visit.index if isinstance(visit, Visit) else visit
        generator = self._generator(visit) if isinstance(visit, Visit) else None
        waveform = torch.from_numpy(self.rendered.waveforms[index].astype(np.float32) / 32767)
        return Clip(waveform, self._crop(self.rendered.frames[index], generator), int(self.labels[index]))


@dataclass(frozen=True)
class IndexEntry:
    audio: Path
    frames: Path
    frame_count: int


class IndexClips(ClipDataset):
    """Prepared real data: a CSV of ``audio_path,frames_path,frame_count`` as the original code reads.

    Paths are relative to the CSV's folder and stay inside it; frames are ``000001.jpg`` and on; the class of a clip
    is the name of the folder its audio lies in.
    """

    def __init__(self, path: str | Path, config: Config, class_names: tuple[str, ...] | None = None) -> None:
        self.entries = read_index(path)
        classes = [entry.audio.parent.name for entry in self.entries]
        names = class_names or tuple(sorted(set(classes)))
        strange = set(classes) - set(names)
        if strange:
            raise SopeduError(f"{path}: classes {', '.join(sorted(strange))} are not among {', '.join(names)}")
        super().__init__(config, names, np.array([names.index(name) for name in classes]))

    def __getitem__(self, visit: Visit | int) -> Clip:
        from sopedu.sound import load_waveform

        training = isinstance(visit, Visit)
        index = visit.index if training else visit
        generator = self._generator(visit) if training else None
        entry, settings, sound = self.entries[index], self.config.frames, self.config.spectrogram
        duration = entry.frame_count / settings.frame_rate
        reach = settings.times(0.0)[-1]
        first, last = reach, max(reach, duration - reach - 1 / settings.frame_rate)
        centre = generator.uniform(first, last) if generator is not None else max(first, duration / 2)
        start = max(0.0, centre - sound.seconds / 2)
        waveform = load_waveform(entry.audio, sound.sample_rate, start, sound.seconds)[: sound.samples]
        waveform = np.pad(waveform, (0, sound.samples - len(waveform)))
        short_side = settings.resize if training else settings.size
        pictures = [self._picture(entry, time, short_side) for time in settings.times(centre)]
        return Clip(torch.from_numpy(waveform), self._crop(np.stack(pictures), generator), int(self.labels[index]))

    def _picture(self, entry: IndexEntry, time: float, short_side: int) -> np.ndarray:
        from PIL import Image

        number = min(max(round(time * self.config.frames.frame_rate), 0), entry.frame_count - 1) + 1
        path = entry.frames / f"{number:06d}.jpg"
        try:
            with Image.open(path) as image:
                scale = short_side / min(image.size)
                size = tuple(max(short_side, round(side * scale)) for side in image.size)
                return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        except OSError as error:
            raise SopeduError(f"{path}: this frame cannot be read ({error}): prepare the clip again") from error


def read_index(path: str | Path) -> list[IndexEntry]:
    """Read an index CSV; every row must have its three fields, and no path may leave the CSV's folder."""
    path = Path(path)
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise SopeduError(f"{path}: the index cannot be read ({error})") from error
    root = path.parent.resolve()
    entries = []
    for number, row in enumerate(rows, 1):
        if not row or row[0] == "audio_path":
            continue
        if len(row) != 3 or not row[2].strip().isdigit() or int(row[2]) < 1:
            raise SopeduError(f"{path}, line {number}: expected audio_path,frames_path,frame_count, found {row}")
        audio, frames = ((root / part.strip().removeprefix("./")).resolve() for part in row[:2])
        if not (audio.is_relative_to(root) and frames.is_relative_to(root)):
            raise SopeduError(f"{path}, line {number}: paths must stay inside {root}")
        entries.append(IndexEntry(audio, frames, int(row[2])))
    if not entries:
        raise SopeduError(f"{path}: the index holds no clip")
    return entries


def open_clips(
    data: str,
    config: Config,
    split: str = "train",
    solos: int | None = None,
    class_names: tuple[str, ...] | None = None,
) -> ClipDataset:
    """Open ``toyband`` or an index CSV. With ``split="validation"`` a ``val.csv`` beside the index is taken.

    ``class_names`` fixes the order of the labels, so that two indexes of one data set agree on them.
    """
    if data == "toyband":
        return ToyBandClips(config, split, solos, workers=os.cpu_count() or 1)
    path = Path(data)
    if split != "train" and (path.parent / "val.csv").exists():
        path = path.parent / "val.csv"
    return IndexClips(path, config, class_names)


class VisitSampler(Sampler[list[Visit]]):
    """Batches of visits: in every epoch all clips in a new order, a share of each batch silent scenes.

    The order of an epoch follows from (seed, epoch); ``first_step`` starts anywhere without drawing what came before.
    """

    def __init__(self, clips: ClipDataset, steps: int, first_step: int = 0) -> None:
        mixing, training = clips.config.mixing, clips.config.training
        solos_needed = training.batch_size * (1 if mixing.pairing == "in-batch" else mixing.sources)
        self.players = np.flatnonzero(clips.labels != NOBODY)
        self.silent = np.flatnonzero(clips.labels == NOBODY)
        self.silent_in_batch = round(mixing.silent_share * solos_needed) if len(self.silent) else 0
        self.playing_in_batch = solos_needed - self.silent_in_batch
        if len(self.players) == 0:
            raise SopeduError("there is no clip with sound to train on")
        self.seed, self.steps, self.first_step = training.seed, steps, first_step

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[Visit]]:
        size, count = self.playing_in_batch, len(self.players)
        order, known_epoch = np.empty(0), -1
        for step in range(self.first_step, self.steps):
            visits = []
            for place in range(step * size, (step + 1) * size):
                epoch, position = divmod(place, count)
                if epoch != known_epoch:
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.players)
                    known_epoch = epoch
                visits.append(Visit(int(order[position]), epoch, position))
            generator = np.random.default_rng([self.seed, step, zlib.crc32(b"silent")])
            for place in range(self.silent_in_batch):
                visits.append(Visit(int(generator.choice(self.silent)), step, count + place))
            yield visits
