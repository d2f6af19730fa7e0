"""Clips to train on and to test with: the toy band, or real data in the layout of the original code.

A data set yields clips: a waveform, a few frames, a label. Which part of the clip and of the picture is taken in
training follows from (seed, epoch, position) alone, so that any batch of any run can be made again. Explained in
notebook 05_mix_and_separate.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from sopedu.config import Config
from sopedu.data.batches import Clip, Unread, tolerated
from sopedu.data.mixing import NOBODY
from sopedu.data.prepared import read_index
from sopedu.errors import SopeduError
from sopedu.machine import usable_cores
from sopedu.toyband.melody import INSTRUMENTS
from sopedu.toyband.rendered import SetDescription, rendered_set
from sopedu.toyband.scenes import from_int16

#: Class folder of scenes in which nobody plays.
SILENCE = "silence"
_LOOKED_AT = 16  # clips whose frames and sound are looked at before a training starts


class SampleKey(NamedTuple):
    """One visit of a clip in training: which clip, in which epoch, at which place of the epoch."""

    index: int
    epoch: int
    position: int


class ClipDataset(Dataset):
    """What all clip data sets have: class names, the labels of all clips, and a configuration."""

    def __init__(self, config: Config, class_names: tuple[str, ...], labels: np.ndarray) -> None:
        self.config, self.class_names, self.labels = config, class_names, labels

    def __len__(self) -> int:
        return len(self.labels)

    def check_files(self) -> list[str]:
        """What a user should know before a training starts, in one line each: missing files, silence, lone classes.

        Raises:
            SopeduError: if more files are missing than a training tolerates (the first ten are named), frames are not
                numbered from 000001.jpg, or silent scenes are asked for and there are none.
        """
        if self.config.mixing.silent_share and not (self.labels == NOBODY).any():
            raise SopeduError(
                f"mixing.silent_share={self.config.mixing.silent_share:g} asks for silent scenes, but there are none: "
                f"put some into a class folder called {SILENCE}, or --set mixing.silent_share=0"
            )
        labels, counts = np.unique(self.labels[self.labels != NOBODY], return_counts=True)
        alone = [self.class_names[label] for label in labels[counts == 1]]
        notes = []
        if len(labels) == 1:
            notes.append(
                f"all clips are of one class, {self.class_names[labels[0]]}: every mixture is of that class with "
                "itself, and a model needs two classes or more to learn what looks and sounds different"
            )
        if not alone:
            return notes
        named = ", ".join(alone[:10]) + (", …" if len(alone) > 10 else "")
        return [
            *notes,
            f"{len(alone)} of {len(labels)} classes have a single clip and will be learned by heart: {named}",
        ]

    def _generator(self, visit: SampleKey, purpose: bytes = b"clip") -> np.random.Generator:
        return np.random.default_rng([self.config.training.seed, visit.epoch, visit.position, zlib.crc32(purpose)])

    def _crop(self, frames: np.ndarray, generator: np.random.Generator | None) -> torch.Tensor:
        """Cut a square of the configured size from frames ``(S, H, W, 3)``: anywhere in training, else the middle."""
        size = self.config.frames.size
        spare = np.array(frames.shape[1:3]) - size
        top, left = spare // 2 if generator is None else generator.integers(0, spare + 1)
        square = np.ascontiguousarray(frames[:, top : top + size, left : left + size])
        return torch.from_numpy(square).permute(0, 3, 1, 2)


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

    def __getitem__(self, visit: SampleKey | int) -> Clip:
        index = visit.index if isinstance(visit, SampleKey) else visit
        generator = self._generator(visit) if isinstance(visit, SampleKey) else None
        waveform = from_int16(self.rendered.waveforms[index])
        return Clip(waveform, self._crop(self.rendered.frames[index], generator), int(self.labels[index]))


class IndexClips(ClipDataset):
    """Prepared real data: a CSV of ``audio_path,frames_path,frame_count`` as the original code reads.

    Paths are relative to the CSV's folder and stay inside it; frames are ``000001.jpg`` and on; the class of a clip
    is the name of the folder its audio lies in. Clips of the class ``silence`` show scenes in which nobody plays: their
    sound is taken to be silent, and they serve as the ``mixing.silent_share`` of the solos.

    Reading is fastest from mono 16-bit WAV at the model's sample rate and small frames: with preset ``paper``, in one
    second of a busy core's time, 296 drawn clips of 224×224 pixels and 168 photographed ones of 455×256, 98 of
    640×360, 68 of 1280×720. The network gets no more than 256 pixels hold.
    """

    def __init__(self, path: str | Path, config: Config, class_names: tuple[str, ...] | None = None) -> None:
        self.index = read_index(path)
        found = [name for name in self.index.class_names if name != SILENCE]
        names = class_names or tuple(found)
        strange = [name for name in found if name not in names]
        if strange:
            raise SopeduError(f"{path}: classes {', '.join(strange)} are not among {', '.join(names)}")
        order = np.array([NOBODY if name == SILENCE else names.index(name) for name in self.index.class_names])
        super().__init__(config, names, order[self.index.labels])

    def __getitem__(self, visit: SampleKey | int) -> Clip:
        training = isinstance(visit, SampleKey)
        generator = self._generator(visit) if training else None
        return self._read(visit.index if training else visit, generator)

    def __getitems__(self, visits: list[SampleKey] | list[int]) -> list[Clip | Unread]:
        """The clips of a batch; in training another clip in place of one that cannot be read, and what that was.

        If there is no clip to take its place, the whole batch is given up.
        """
        clips, unread = list[Clip](), list[Unread]()
        if not isinstance(visits[0], SampleKey):
            return [self[index] for index in visits]
        for visit in visits:
            before = len(clips)
            for index in self._candidates(visit):
                try:
                    clips.append(self._read(index, self._generator(visit)))
                    break
                except SopeduError as error:
                    unread.append(Unread(index, str(error)))
            if len(clips) == before:
                return list(unread)
        return [*clips, *unread]

    def check_files(self) -> list[str]:
        missing = self.index.missing()
        rows = {row for row, _ in missing}
        notes = super().check_files()
        whole = [int(row) for row in np.flatnonzero(self.labels != NOBODY) if row not in rows]
        some = whole[:: max(1, len(whole) // _LOOKED_AT)][:_LOOKED_AT]
        if otherwise := self.index.frames_numbered_otherwise(some):
            raise SopeduError(
                f"{self.index.path}: {otherwise}; number the frames from 000001.jpg and correct the counts"
            )
        sound = self.config.spectrogram
        if not self.index.heard(some, sound.samples, sound.sample_rate):
            notes.append(
                f"{self.index.path}: all of {len(some)} recordings looked at are silent at their beginning (below "
                "−80 dB full scale): a training on silence learns nothing; listen to the audio files"
            )
        if missing:
            named = ", ".join(name for _, name in missing[:10]) + (", …" if len(missing) > 10 else "")
            what = f"{self.index.path}: {len(missing)} files or folders of {len(rows)} clips are missing: {named}"
            if len(rows) > tolerated(len(self)):
                raise SopeduError(f"{what}; prepare these clips again or take their rows out of the index")
            notes.append(f"{what}; other clips of their class take their places")
        return notes

    def _candidates(self, visit: SampleKey) -> Iterator[int]:
        """The clip to read, then those that may take its place: some of its class, then some of others."""
        yield visit.index
        same = self.labels == self.labels[visit.index]
        generator = self._generator(visit, b"replacement")
        for others in (np.flatnonzero(same), np.flatnonzero(~same)):
            for index in generator.choice(others, min(len(others), 8), replace=False):
                if index != visit.index:
                    yield int(index)

    def _read(self, index: int, generator: np.random.Generator | None) -> Clip:
        entry, settings, sound = self.index[index], self.config.frames, self.config.spectrogram
        duration = entry.frame_count / settings.frame_rate
        # Where a clip is long enough, its sound is cut from inside it, and so are its frames if there is room for both.
        reach, half, long_enough = settings.times(0.0)[-1], sound.seconds / 2, duration >= sound.seconds
        earliest, latest = (half, duration - half) if long_enough else (0.0, float("inf"))
        first = min(max(reach, earliest), latest)
        last = max(first, min(duration - reach - 1 / settings.frame_rate, latest))
        centre = generator.uniform(first, last) if generator is not None else min(max(first, duration / 2), latest)
        start = max(0.0, (centre if long_enough else reach) - half)
        waveform = np.zeros(0, np.float32)
        if self.labels[index] != NOBODY:
            waveform = self.index.sound(entry, start, sound.samples, sound.sample_rate)
            missing = sound.samples - len(waveform)
            # Where the sound ends before the frames do, take what lies just before its end.
            if missing and start > 0 and long_enough:
                earlier = max(0, round(start * sound.sample_rate) - missing) / sound.sample_rate
                centre, start = centre + earlier - start, earlier
                waveform = self.index.sound(entry, start, sound.samples, sound.sample_rate)
        if len(waveform) < sound.samples:
            waveform = np.pad(waveform, (0, sound.samples - len(waveform)))
        places = (round(time * settings.frame_rate) for time in settings.times(centre))
        numbers = [min(max(place, 0), entry.frame_count - 1) + 1 for place in places]
        pictures = self.index.pictures(entry, numbers, settings.size if generator is None else settings.resize)
        return Clip(torch.from_numpy(waveform), self._crop(pictures, generator), int(self.labels[index]))


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
        return ToyBandClips(config, split, solos, workers=usable_cores())
    path = Path(data)
    if split != "train" and (path.parent / "val.csv").exists():
        path = path.parent / "val.csv"
    return IndexClips(path, config, class_names)


class TrainingSampler(Sampler[list[SampleKey]]):
    """Batches of visits: in every epoch all clips in a new order, a share of each batch silent scenes.

    The order of an epoch follows from (seed, epoch); ``first_step`` starts anywhere without drawing what came before.
    Of several processes each takes its share of every batch.
    """

    def __init__(
        self, clips: ClipDataset, steps: int, first_step: int = 0, process: int = 0, processes: int = 1
    ) -> None:
        mixing, training = clips.config.mixing, clips.config.training
        solos_needed = training.batch_size * (1 if mixing.pairing == "in-batch" else mixing.sources)
        self.players = np.flatnonzero(clips.labels != NOBODY)
        self.silent = np.flatnonzero(clips.labels == NOBODY)
        self.silent_in_batch = round(mixing.silent_share * solos_needed) if len(self.silent) else 0
        self.playing_in_batch = solos_needed - self.silent_in_batch
        if len(self.players) == 0:
            raise SopeduError("there is no clip with sound to train on")
        self.seed, self.steps, self.first_step = training.seed, steps, first_step
        self.share = slice(process, None, processes)

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[SampleKey]]:
        size, count = self.playing_in_batch, len(self.players)
        order, known_epoch = self.players.copy(), -1
        for step in range(self.first_step, self.steps):
            visits = []
            for place in range(step * size, (step + 1) * size):
                epoch, position = divmod(place, count)
                if epoch != known_epoch:
                    np.copyto(order, self.players)
                    np.random.default_rng([self.seed, epoch]).shuffle(order)
                    known_epoch = epoch
                visits.append(SampleKey(int(order[position]), epoch, position))
            generator = np.random.default_rng([self.seed, step, zlib.crc32(b"silent")])
            for place in range(self.silent_in_batch):
                visits.append(SampleKey(int(generator.choice(self.silent)), step, count + place))
            yield visits[self.share]
