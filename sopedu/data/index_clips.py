"""Clips of prepared real data, in the layout of the original code.

Notebook: 13_train_full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from sopedu.config import Config
from sopedu.data.batches import Clip, Unread, tolerated
from sopedu.data.clips import SILENCE, ClipDataset, SampleKey
from sopedu.data.index_sounds import find_frame_rate
from sopedu.data.mixing import NOBODY
from sopedu.data.prepared import read_index
from sopedu.errors import SopeduError, real_number

_LOOKED_AT = 16  # number of clips whose frames and sound are checked before a training starts


class IndexClips(ClipDataset):
    """Clips of an index: a CSV with columns ``audio_path,frames_path,frame_count``, as the original code reads.

    Lists of the original code and its forks are read as they are, see :mod:`sopedu.data.index_paths`. Frames are named
    ``000001.jpg`` (or png) and on; how many there are per second follows from their number and the length of the sound.
    The class of a clip is the name of the folder that holds its audio. In clips of the class ``silence`` nobody
    plays: their sound is taken to be silent, and they serve as the ``mixing.silent_share`` of the solos.

    Reading is fastest from mono 16-bit WAV files at the model's sample rate and from small frames (figures in
    ``docs/measurements.md``); the network uses 256 pixels at most.

    Args:
        path: of the CSV.
        config: of spectrograms and frames.
        class_names: order of the labels; None: the names of the folders, sorted.
        root: the folder in which the paths begin; None: it is found.
        frame_rate: frames per second; None: found from some clips.

    Raises:
        SopeduError: the index cannot be read, or holds a class that is not in ``class_names``.
    """

    def __init__(
        self,
        path: str | Path,
        config: Config,
        class_names: tuple[str, ...] | None = None,
        root: str | Path | None = None,
        frame_rate: float | None = None,
    ) -> None:
        self.index = read_index(path, root)
        if frame_rate is not None:
            self.frame_rate = real_number(frame_rate, "frame_rate", 0.1)
        found = [name for name in self.index.class_names if name != SILENCE]
        names = class_names or tuple(found)
        strange = [name for name in found if name not in names]
        if strange:
            raise SopeduError(f"{path}: classes {', '.join(strange)} are not among {', '.join(names)}")
        order = np.array([NOBODY if name == SILENCE else names.index(name) for name in self.index.class_names])
        super().__init__(config, names, order[self.index.labels])

    @cached_property
    def frame_rate(self) -> float:
        """Frames per second: the rate at which the frames of most clips last as long as their sound."""
        counts, seconds = [], []
        for row in self._some(range(len(self))):
            with suppress(SopeduError):  # reading the clip reports it
                seconds.append(self.index.seconds(row))
                counts.append(int(self.index.frame_counts[row]))
        expected = self.config.frames.frame_rate
        found = find_frame_rate(counts, seconds, expected) if counts else expected
        if found is None:
            raise SopeduError(
                f"{self.index.path}: the numbers of frames and the lengths of the sounds agree on no frame rate, "
                f"such as {counts[0]} frames in {seconds[0]:.1f} s; correct the counts, or give --frame-rate"
            )
        return found

    def _some(self, rows: Sequence[int]) -> Sequence[int]:
        return rows[:: max(1, len(rows) // _LOOKED_AT)][:_LOOKED_AT]

    def __getitem__(self, key: SampleKey | int) -> Clip:
        """Return a clip; of a :class:`SampleKey` one to train with."""
        training = isinstance(key, SampleKey)
        generator = self._generator(key) if training else None
        return self._read(key.index if training else key, generator)

    def __getitems__(self, keys: list[SampleKey] | list[int]) -> list[Clip | Unread]:
        """Read the clips of a batch; in training, replace those that cannot be read.

        Args:
            keys: of the batch.

        Returns:
            the clips, then one entry per clip that could not be read; only these if there was no replacement.
        """
        clips, unread = list[Clip](), list[Unread]()
        if not isinstance(keys[0], SampleKey):
            return [self[index] for index in keys]
        for key in keys:
            before = len(clips)
            for index in self._candidates(key):
                try:
                    clips.append(self._read(index, self._generator(key)))
                    break
                except SopeduError as error:
                    unread.append(Unread(index, str(error)))
            if len(clips) == before:
                return list(unread)
        return [*clips, *unread]

    def check_files(self) -> list[str]:
        """Check the data set before a training starts: missing files, numbering of frames, silence, lone classes.

        Returns:
            one line for each thing that a user should know.

        Raises:
            SopeduError: more files are missing than a training tolerates (the first ten are named), frames are not
                numbered from 000001.jpg, or silent scenes are asked for and there are none.
        """
        missing = self.index.missing()
        rows = {row for row, _ in missing}
        notes = super().check_files()
        whole = [int(row) for row in np.flatnonzero(self.labels != NOBODY) if row not in rows]
        some = list(self._some(whole))
        if otherwise := self.index.frames_numbered_otherwise(some):
            raise SopeduError(
                f"{self.index.path}: {otherwise}; number the frames from 000001.jpg and correct the counts"
            )
        sound, rate = self.config.spectrogram, self.frame_rate
        if rate != self.config.frames.frame_rate:
            notes.append(f"{self.index.path}: {rate:g} frames per second, as their numbers and the sounds' lengths say")
        if not self.index.heard(some, sound.samples, sound.sample_rate):
            notes.append(
                f"{self.index.path}: all of {len(some)} recordings looked at are silent at their beginning (below "
                "−80 dB full scale): a training on silence learns nothing; listen to the audio files"
            )
        seconds = self.index.frame_counts[self.labels != NOBODY] / rate
        if short := int((seconds < sound.seconds).sum()):
            notes.append(
                f"{self.index.path}: {short} of {len(seconds)} clips are shorter than {sound.seconds:.2f} s; silence "
                "follows their sound"
            )
        if missing:
            names = list(dict.fromkeys(name for _, name in missing))  # a tar file holds many clips
            named = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
            kind = "tar files" if self.index.shards else "files or folders"
            what = f"{self.index.path}: {len(names)} {kind} of {len(rows)} clips are missing: {named}"
            if len(rows) > tolerated(len(self)):
                raise SopeduError(
                    f"{what}; prepare these clips again, take their rows out of the index, or name "
                    "the folder in which its paths begin by --root"
                )
            notes.append(f"{what}; other clips of their class replace them")
        return notes

    def _candidates(self, key: SampleKey) -> Iterator[int]:
        """Yield the clip to read, then possible replacements: some of its class, then some of others."""
        yield key.index
        same = self.labels == self.labels[key.index]
        generator = self._generator(key, b"replacement")
        for others in (np.flatnonzero(same), np.flatnonzero(~same)):
            for index in generator.choice(others, min(len(others), 8), replace=False):
                if index != key.index:
                    yield int(index)

    def _read(self, index: int, generator: np.random.Generator | None) -> Clip:
        entry, settings, sound = self.index[index], self.config.frames, self.config.spectrogram
        rate = self.frame_rate
        duration = entry.frame_count / rate
        # If a clip is long enough, its sound is cut from its inside, and its frames too if there is room for both.
        reach, half, long_enough = settings.times(0.0)[-1], sound.seconds / 2, duration >= sound.seconds
        earliest, latest = (half, duration - half) if long_enough else (0.0, float("inf"))
        first = min(max(reach, earliest), latest)
        last = max(first, min(duration - reach - 1 / rate, latest))
        centre = generator.uniform(first, last) if generator is not None else min(max(first, duration / 2), latest)
        start = max(0.0, centre - half) if long_enough else 0.0
        waveform = np.zeros(0, np.float32)
        if self.labels[index] != NOBODY:
            waveform = self.index.sound(index, start, sound.samples, sound.sample_rate)
            missing = sound.samples - len(waveform)
            # If the sound ends before the frames, take the last part of the sound.
            if missing and start > 0 and long_enough:
                earlier = max(0, round(start * sound.sample_rate) - missing) / sound.sample_rate
                centre, start = centre + earlier - start, earlier
                waveform = self.index.sound(index, start, sound.samples, sound.sample_rate)
        if len(waveform) < sound.samples:
            waveform = np.pad(waveform, (0, sound.samples - len(waveform)))
        places = (round(time * rate) for time in settings.times(centre))
        numbers = [min(max(place, 0), entry.frame_count - 1) + 1 for place in places]
        pictures = self.index.pictures(index, numbers, settings.size if generator is None else settings.resize)
        return Clip(torch.from_numpy(waveform), self._crop(pictures, generator), int(self.labels[index]))
