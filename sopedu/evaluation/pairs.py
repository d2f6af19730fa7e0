"""Held-out pairs, and their separation by a model: from mixture and frames to masks and waveforms.

Scores and their baselines are in :mod:`sopedu.evaluation.separation`. Notebook: 03_measuring_separation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sopedu.audio.loudness import hearing_gain
from sopedu.audio.masks import mask_from_logits
from sopedu.audio.spectrogram import log_magnitude, stft, warp
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.mixing import choose_absent
from sopedu.data.recordings import SoundFolderClips
from sopedu.evaluation.pair_lists import draw_members
from sopedu.model.modes import evaluating
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames
from sopedu.toyband.scenes import scene


@dataclass(frozen=True)
class TestPairs:
    """Held-out mixtures of N solos, usually two, with their true sources.

    Attributes:
        sources: each solo divided by N, ``(P, N, L)``.
        mixture: their sum, ``(P, L)``.
        frames: ``(P, N, S, 3, H, W)`` uint8.
        labels: ``(P, N)`` int.
        absent: frames of a class that is not in the mixture, ``(P, S, 3, H, W)``; None with fewer than three classes.
        blank: frames in which nobody plays, ``(P, S, 3, H, W)``.
        class_names: a label is an index into them.
        members: which clips were mixed, ``(P, N)``.
    """

    __test__ = False  # not a pytest test, despite its name

    sources: torch.Tensor
    mixture: torch.Tensor
    frames: torch.Tensor
    labels: np.ndarray
    absent: torch.Tensor | None
    blank: torch.Tensor
    class_names: tuple[str, ...]
    members: np.ndarray | None = None


def held_out_pairs(
    clips: ClipDataset,
    pairs: int = 64,
    seed: int = 0,
    sources: int = 2,
    same_class: bool = False,
    members: np.ndarray | None = None,
) -> TestPairs:
    """Draw pairs of clips of different classes: all combinations of classes in turn, in a shuffled order.

    Args:
        clips: held-out clips; one is used again only after all clips of its class were used.
        pairs: how many.
        seed: chooses them.
        sources: per mixture, 2 for pairs.
        same_class: mix different clips of one class instead.
        members: ``(P, N)`` clips of each mixture, if they are not drawn; see :mod:`sopedu.evaluation.pair_lists`.

    Raises:
        SopeduError: there are too few classes, or with ``same_class`` too few clips of each.
    """
    generator = np.random.default_rng([seed, 17])
    if members is None:
        members = draw_members(clips, pairs, generator, sources, same_class)
    labels, read = clips.labels[members], {int(index): clips[int(index)] for index in np.unique(members)}
    loaded = [read[int(index)] for index in members.ravel()]
    absent = choose_absent(np.arange(members.size).reshape(members.shape), labels.ravel(), 1, generator)[:, 0]
    waveforms = torch.stack([clip.waveform / members.shape[1] for clip in loaded]).unflatten(0, members.shape)
    frames = torch.stack([clip.frames for clip in loaded]).unflatten(0, members.shape)
    shown = torch.stack([loaded[i].frames for i in absent]) if (absent >= 0).all() else None
    blank = _blank_frames(clips, len(members), frames)
    return TestPairs(waveforms, waveforms.sum(1), frames, labels, shown, blank, clips.class_names, members)


def _blank_frames(clips: ClipDataset, count: int, frames: torch.Tensor) -> torch.Tensor:
    if not isinstance(clips, ToyBandClips | SoundFolderClips):
        return torch.full_like(frames[:, 0], 127)
    settings, times = clips.config.frames, clips.config.frames.times(clips.config.spectrogram.seconds / 2)
    rooms = [scene(0, 10**6 + i, "validation", samples=1, size=settings.size, times=times) for i in range(count)]
    return torch.stack([room.frames_tensor() for room in rooms])


@torch.inference_mode()
def predict_masks(
    model: SoundOfPixels, mixture: torch.Tensor, frames: torch.Tensor, as_is: bool = False
) -> torch.Tensor:
    """Predict the masks of the sources that are shown.

    Args:
        model: in any mode; it is used in evaluation mode.
        mixture: waveforms ``(B, L)`` float.
        frames: ``(B, N, S, 3, H, W)`` uint8.
        as_is: do not scale the mixtures, as in the training loss; otherwise each is scaled to the level that the
            model was trained at, see :func:`sopedu.audio.loudness.hearing_gain`.

    Returns:
        ``(B, N, Q, T)`` on the log-frequency axis, on the CPU.
    """
    device, sound = next(model.parameters()).device, model.config.spectrogram
    gains, masks = hearing_gain(mixture, sound, None if as_is else model.level_db), []
    with evaluating(model):
        for heard, gain, seen in zip(mixture.split(16), gains.split(16), frames.split(16), strict=True):
            magnitude = warp(stft(heard.to(device), sound).abs(), sound)[:, None]
            magnitude, seen = magnitude * gain.to(device)[:, None, None, None], normalise_frames(seen.to(device))
            if model.config.model.region_pooling == "features":
                masks.append(mask_from_logits(model(log_magnitude(magnitude, sound), seen), model.mask_kind).cpu())
                continue
            components = model.components(log_magnitude(magnitude, sound))
            cells = model.feature_map(seen.flatten(0, 1)).float().flatten(2).unflatten(0, seen.shape[:2])
            for some, pictures, loud in zip(components.split(1), cells, magnitude[:, 0], strict=True):
                masks.append(torch.stack([model.region_mask(one, some, loud) for one in pictures])[None].cpu())
    return torch.cat(masks)


def separate_pairs(
    model: SoundOfPixels, mixture: torch.Tensor, frames: torch.Tensor, as_is: bool = False
) -> torch.Tensor:
    """Separate mixtures: predict the masks of the sources that are shown, and apply them.

    Args:
        model: in any mode.
        mixture: waveforms ``(B, L)`` float.
        frames: ``(B, N, S, 3, H, W)`` uint8.
        as_is: see :func:`predict_masks`.

    Returns:
        waveforms ``(B, N, (T − 1) · hop_length)`` float32, on the CPU.
    """
    spectrogram = stft(mixture.cpu(), model.config.spectrogram)[:, None]  # as the masks
    return model.separate(predict_masks(model, mixture, frames, as_is), spectrogram)
