"""Clips of recorded sounds with drawings of the toy band, to test a model on other sounds, or to train it on them.

Recordings have no matching video, so a flute's clip shows a drawn flute player. The drawings are like those
of the training; in tests players and rooms are new. Notebook: 13_train_full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from sopedu.audio.soundfiles import load_waveform
from sopedu.config import Config
from sopedu.data.batches import Clip
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.errors import SopeduError
from sopedu.toyband.instruments import INSTRUMENTS
from sopedu.toyband.scenes import FULL_SCALE, solo
from sopedu.toyband.synthesis import normalized

_SOUND_FILES = (".wav", ".flac", ".mp3", ".ogg")
_LONGEST = 600.0  # seconds of a file that are used
_SILENT = 1e-4  # RMS of −80 dB: above the dither of 16 bits, below any deliberate recording
_QUIETEST = 0.5  # a part is loud enough with half the RMS of the loudest part of its file


class SoundFolderClips(ClipDataset):
    """Clips from a folder of sounds, ``FOLDER/<class>/<any name>.wav`` (or flac, mp3, ogg), with drawings of the class.

    The sounds get the level of the toy band's solos (RMS 0.08 to 0.12, peaks limited softly to 0.95, without any
    constant offset) and the length of the configuration's clips. They are random parts that are loud enough. If there
    are fewer files than clips, a file gives several parts, which may overlap; only the first ten minutes of a file are
    used. The pictures are held-out solos of the toy band, whose player does not move with the sound.

    Args:
        folder: class folders with sound files in them.
        config: length and rate of the clips, times and size of the frames.
        class_names: which classes to take, in the order of the labels; only the toy band's instruments can be drawn.
        clips: how many, shared evenly among the classes (rounded up).
        seed: chooses the parts, the files and the drawings.

    Attributes:
        notes: one line each about class folders that are left out and files shorter than a clip.
        protocol: where the clips come from, for the text beside the figures.

    Raises:
        SopeduError: the folder is missing or holds fewer than two of the classes; a file that is used cannot be decoded
            or is silent (the file is named).
    """

    def __init__(self, folder: str | Path, config: Config, class_names: Sequence[str], clips: int, seed: int = 0):
        files, self.notes = sounds_by_class(folder, class_names)
        sound, each = config.spectrogram, math.ceil(clips / len(files))
        super().__init__(config, tuple(files), np.repeat(np.arange(len(files)), each))
        self.seed, self.waveforms = seed, np.empty((len(self), sound.samples), np.float32)
        short, used = 0, 0
        for label, paths in enumerate(files.values()):
            generator = np.random.default_rng([seed, label, 41])
            order = generator.permutation(len(paths))[:each]
            for turn, place in enumerate(order):
                rows = label * each + np.arange(turn, each, len(order))
                waveform = load_waveform(paths[place], sound.sample_rate, seconds=_LONGEST)
                parts = loud_parts(waveform, sound.samples, len(rows), sound.sample_rate // 20, generator)
                if parts is None:
                    raise SopeduError(f"{paths[place]}: is silent; replace it or take it out of the folder")
                self.waveforms[rows] = [normalized(part, generator.uniform(0.08, 0.12)) for part in parts]
                short, used = short + (len(waveform) < sound.samples), used + 1
        if short:
            self.notes.append(f"{short} of {used} files are shorter than {sound.seconds:.2f} s; silence follows them")
        self.protocol = (
            f"sounds: {used} files of {len(files)} classes in {folder}, {each} clips per class, at the toy band's "
            "level; pictures: held-out drawings of the toy band; static mask: from the toy band's training spectra"
        )

    def __getitem__(self, index: int) -> Clip:
        """Return a clip: its sound, and a drawn player of its class."""
        label = int(self.labels[index])
        frames = drawn_player(self.class_names[label], self.seed * 1_000_000 + index, self.config)
        return Clip(torch.from_numpy(self.waveforms[index]), self._crop(frames, None), label)


def play_recordings(clips: ToyBandClips, folder: str | Path, share: float = 0.5, seed: int = 7) -> None:
    """Let a share of the toy band's solos sound like recordings of their instruments; the pictures stay.

    The recordings of a class share its solos evenly. Their level is drawn between 6 dB below and 2 dB above that of
    the plain solos (RMS 0.1), with peaks of at most 0.95. Classes without a recording keep their sounds.

    Args:
        clips: whose sounds are replaced.
        folder: ``FOLDER/<class>/<any name>.wav`` (or flac, mp3, ogg), of at least two classes.
        share: of the solos.
        seed: chooses solos, parts of the recordings, and levels.

    Raises:
        SopeduError: the folder is missing, holds fewer than two of the classes, or a recording cannot be read.
    """
    sounds, labels = clips.rendered.waveforms, clips.labels
    samples, rate = sounds.shape[1], clips.config.spectrogram.sample_rate
    files, _ = sounds_by_class(folder, clips.class_names)
    generator = np.random.default_rng(seed)
    chosen = generator.random(len(labels)) < share
    for label, name in enumerate(clips.class_names):
        rows, paths = np.flatnonzero(chosen & (labels == label)), files.get(name, [])
        each = math.ceil(len(rows) / max(1, len(paths)))
        for turn, place in enumerate(generator.permutation(len(paths))):  # there may be more files than solos
            taken, path = rows[turn * each : (turn + 1) * each], paths[place]
            if not len(taken):
                break
            waveform = load_waveform(path, rate, seconds=_LONGEST)
            parts = loud_parts(waveform, samples, len(taken), rate // 20, generator)
            if parts is None:
                raise SopeduError(f"{path}: is silent; replace it or take it out of the folder")
            for row, part in zip(taken, parts, strict=True):
                level = 0.1 * 10 ** (generator.uniform(-6.0, 2.0) / 20) / np.sqrt(np.mean(part**2))
                sounds[row] = np.rint(FULL_SCALE * part * min(level, 0.95 / np.abs(part).max()))


def sounds_by_class(folder: str | Path, class_names: Sequence[str]) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the sound files per class, and a line about the folders that are left out, if any.

    Args:
        folder: class folders with sound files in them.
        class_names: which classes to take.

    Raises:
        SopeduError: the folder is missing, or fewer than two of its folders can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SopeduError(f"{folder}: no such folder; it should hold a folder of sound files for each class")
    known = [name for name in class_names if name in INSTRUMENTS]
    files, left_out = {}, []
    try:
        for place in sorted(folder.iterdir()):
            if place.name.startswith(".") or not place.is_dir():
                continue
            found = [
                path
                for path in sorted(place.iterdir())
                if path.suffix.lower() in _SOUND_FILES and not path.name.startswith(".")
            ]
            if place.name in known and found:
                files[place.name] = found
            else:
                left_out.append(place.name + (" (no sound file in it)" if place.name in known else ""))
    except OSError as error:
        raise SopeduError(f"{folder}: cannot be read ({error.strerror}); change its permissions") from error
    if len(files) < 2:
        raise SopeduError(
            f"{folder}: has {', '.join(_SOUND_FILES)} files of {next(iter(files), 'none')} alone, but different "
            f"classes are mixed; put files into folders named after two or more of {', '.join(known) or '(none here)'}"
        )
    notes = [f"{folder}: left out {', '.join(left_out)}; known here: {', '.join(known)}"] if left_out else []
    return {name: files[name] for name in known if name in files}, notes


def loud_parts(
    waveform: np.ndarray, samples: int, count: int, step: int, generator: np.random.Generator
) -> np.ndarray | None:
    """Cut random parts out of a waveform that are loud enough; each part is used again only when all were used.

    Args:
        waveform: ``(L,)`` float; its mean is removed, and silence is added if it is shorter than a part.
        samples: length of a part.
        count: how many parts.
        step: parts begin at multiples of this many samples.
        generator: chooses the parts.

    Returns:
        ``(count, samples)`` float64, each with at least half the RMS of the loudest part; None if that is silent.
    """
    whole = waveform.astype(float) - waveform.mean(dtype=float)
    whole = np.pad(whole, (0, max(0, samples - len(whole))))
    energy = np.concatenate([[0.0], np.cumsum(whole**2)])
    starts = np.arange(0, len(whole) - samples + 1, step)
    level = np.sqrt(np.maximum(energy[starts + samples] - energy[starts], 0) / samples)
    if level.max() < _SILENT:
        return None
    loud = starts[level >= _QUIETEST * level.max()]
    chosen = [loud[place] for _ in range(0, count, len(loud)) for place in generator.permutation(len(loud))]
    return np.stack([whole[start : start + samples] for start in chosen[:count]])


def drawn_player(instrument: str, seed: int, config: Config) -> np.ndarray:
    """Draw a held-out solo of the toy band without its sound.

    Args:
        instrument: name of the class.
        seed: chooses the player and the room.
        config: length of the clip, times and size of the frames.

    Returns:
        Frames ``(S, size, size, 3)`` uint8, as :func:`sopedu.toyband.solo` draws them for a clip that is up to an
        eighth of a second longer.
    """
    seconds, settings = config.spectrogram.seconds, config.frames
    # Eight samples per second can hold no note, so none is synthesized; the player still moves to all of them.
    how = {"samples": math.ceil(8 * seconds), "sample_rate": 8, "properties": config.toyband.properties}
    return solo(seed, "validation", instrument, size=settings.size, times=settings.times(seconds / 2), **how).frames
