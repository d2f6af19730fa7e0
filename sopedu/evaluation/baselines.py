"""What a separation is compared with: the rows of an evaluation's table, and what they learn from.

The baselines are the mixture as it is, a fixed mask per class (``static_mask``), the ideal masks, and the model with
other pictures: those of other players of the same classes, and exchanged ones, with which it must fail. Supervised NMF
is in :mod:`sopedu.evaluation.dictionaries`.

Notebook: 03_measuring_separation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sopedu.audio.masks import apply_mask, ideal_binary_mask, ideal_ratio_mask
from sopedu.audio.spectrogram import istft, stft, unwarp, warp
from sopedu.config import Config
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.opening import index_beside, is_held_out, is_toyband, open_clips
from sopedu.data.recordings import SoundFolderClips
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import TestPairs, predict_masks, separate_pairs
from sopedu.model.checkpoints import Checkpoint

_SOLOS_PER_CLASS = 24  # for the mean spectra of the static mask


def held_out_clips(
    config: Config,
    data: str,
    names: tuple[str, ...],
    solos: int,
    seed: int,
    sounds: str | Path | None,
    root: str | Path | None,
    frame_rate: float | None,
    progress: bool = True,
) -> tuple[ClipDataset, ClipDataset]:
    """Open the clips to evaluate on, and clips of the training set, from which baselines learn.

    Args:
        config: of the model.
        data: ``toyband`` or an index CSV.
        names: the classes; of an index, those of its training set.
        solos: how many are rendered for the toy band.
        seed: of the rendered solos.
        sounds: a folder of sounds to use with the toy band's drawings; None: its own.
        root: the folder in which the paths of an index begin; None: it is found.
        frame_rate: frames per second of the data of an index; None: found from some clips.
        progress: show bars while solos are rendered.

    Raises:
        SopeduError: no such data, or sounds together with an index.
    """
    if not is_toyband(data):
        if sounds is not None:
            raise SopeduError(
                f"a folder of sounds is shown with the toy band's drawings: {data} cannot be used with it"
            )
        layout = {"root": root, "frame_rate": frame_rate}
        learnt = str(index_beside(Path(data), "train")) if is_held_out(Path(data)) else data
        known = open_clips(learnt, config, **layout)
        return open_clips(data, config, "validation", class_names=known.class_names, **layout), known
    clips: ClipDataset | None = None
    if sounds is not None:
        clips = SoundFolderClips(sounds, config, names, solos, seed)
        names = clips.class_names
    config = replace(config, toyband=replace(config.toyband, instruments=tuple(names), empty_scenes=0, plain_share=0.0))
    known = ToyBandClips(config, "train", _SOLOS_PER_CLASS * len(names), seed=900, progress=progress)
    return clips or ToyBandClips(config, "validation", solos, seed=seed, progress=progress), known


def class_spectra(clips: ClipDataset) -> np.ndarray:
    """Compute the mean power of each linear bin for each class.

    Args:
        clips: of a training set.

    Returns:
        ``(classes, F)`` float64.
    """
    sound = clips.config.spectrogram
    spectra = np.zeros((len(clips.class_names), sound.linear_bins))
    for label in range(len(clips.class_names)):
        waveforms = torch.stack(
            [clips[int(i)].waveform for i in np.flatnonzero(clips.labels == label)[:_SOLOS_PER_CLASS]]
        )
        spectra[label] = stft(waveforms, sound).abs().square().mean(dim=(0, 2)).numpy()
    return spectra


def static_masks(spectra: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    """Compute fixed Wiener masks: a class's mean power over the sum of all the mixture's classes' mean powers.

    Args:
        spectra: of the classes, ``(classes, F)``.
        labels: of the pairs, ``(P, N)`` int.

    Returns:
        ``(P, N, F, 1)`` float32.
    """
    power = spectra[labels]
    return torch.from_numpy(power / power.sum(axis=1, keepdims=True)).float()[..., None]


def same_class_frames(clips: ClipDataset, pairs: TestPairs, seed: int = 0) -> torch.Tensor | None:
    """Choose for every picture that of another clip of its class: another player, another room.

    Args:
        clips: that the pairs were drawn from.
        pairs: with the pictures.
        seed: chooses the clips.

    Returns:
        frames of the shape of ``pairs.frames``; None if a class has no other clip.
    """
    generator, found = np.random.default_rng([seed, 43]), []
    for shown, label in zip(pairs.frames.flatten(0, 1), pairs.labels.ravel(), strict=True):
        places = generator.permutation(np.flatnonzero(clips.labels == label))
        frames = (clips[int(place)].frames for place in places)
        other = next((picture for picture in frames if not torch.equal(picture, shown)), None)
        if other is None:
            return None
        found.append(other)
    return torch.stack(found).view_as(pairs.frames)


def estimates_by_row(
    checkpoint: Checkpoint, pairs: TestPairs, spectra: np.ndarray, others: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Compute the estimates of every row of the table, except for those by dictionaries.

    Args:
        checkpoint: the model.
        pairs: to separate.
        spectra: of the classes, for the static mask.
        others: frames of other clips of the same classes, as :func:`same_class_frames` chooses them.

    Returns:
        waveforms by row: ``(P, N, (T − 1) · hop_length)``; of ``blank`` and ``absent`` ``(P, 1, …)``.
    """
    model, sound = checkpoint.model, checkpoint.config.spectrogram
    complex_mixture = stft(pairs.mixture, sound)[:, None]
    source = warp(stft(pairs.sources, sound).abs(), sound)
    mixture = warp(complex_mixture.abs(), sound)

    def separated_by(frames: torch.Tensor) -> torch.Tensor:
        return separate_pairs(model, pairs.mixture, frames)

    masks = predict_masks(model, pairs.mixture, pairs.frames)
    rows = {
        "mixture": istft(complex_mixture, sound).expand(-1, pairs.labels.shape[1], -1),
        "static_mask": istft(static_masks(spectra, pairs.labels) * complex_mixture, sound),
        "model": model.separate(masks, complex_mixture),
        "model_normalised": model.separate(masks, complex_mixture, normalise=True),
        "ideal_binary_mask": apply_mask(ideal_binary_mask(source, mixture), complex_mixture, sound, True),
        "ideal_ratio_mask": istft(
            unwarp(ideal_ratio_mask(source, mixture).clamp(max=1), sound) * complex_mixture, sound
        ),
        "swapped": separated_by(pairs.frames.roll(1, 1)),  # every source gets the picture of the one before
        "blank": separated_by(pairs.blank[:, None]),
    }
    if others is not None:
        rows["same_class_picture"] = separated_by(others)
    if pairs.absent is not None:
        rows["absent"] = separated_by(pairs.absent[:, None])
    return rows
