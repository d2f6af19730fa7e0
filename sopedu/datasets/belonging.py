"""Whether a clip's picture belongs to its sound, as far as a trained model can tell: the swap gap.

The clip's sound is mixed with that of a clip of another class, and a mask is predicted from the clip's own picture. How
many dB more of its own sound than of the other does the mask let through? The same is asked of pictures of other clips
of its class. The swap gap is the difference, as median over several mixtures: around 0 where the picture shows what its
class shows, far below 0 where it shows something else.

A wrong *sound* leaves this gap at 0, because no picture of the class finds it. So the sound is also heard alone:
pictures of its class must not let through far less of it than those of another class do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sopedu.audio.masks import mask_power
from sopedu.audio.spectrogram import stft, warp
from sopedu.data import IndexClips
from sopedu.data.batches import Clip
from sopedu.data.clips import SampleKey
from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import predict_masks
from sopedu.model.checkpoints import Checkpoint

#: Mixtures in which each clip is judged.
MIXTURES = 6
_PICTURES = 3  # of other clips of the class
_OTHERS = 12  # classes whose pictures every sound is compared with, at most
_MOMENTS = 3  # of a clip that are heard alone; the best counts
_AT_ONCE = 16  # clips between two reports of progress
_HEARD = 1e-3  # peak of a sound that can be judged
_MOST = 30.0  # dB by which a mask can prefer one sound
_SMALLEST = 1e-12
_UNHEARD = 1e-3  # share of a sound that a mask can let through without being heard
_FEWEST = 8  # clips that can be judged, for the median over them
_ABLE = 3.0  # dB that a model which knows the data prefers the clips' own sounds, as median over the clips


@dataclass(frozen=True)
class Belonging:
    """How well the pictures of some clips fit their sounds; NaN where a clip cannot be judged.

    Attributes:
        preference: dB by which the mask of a clip's picture prefers its sound to another, ``(n,)``.
        gap: preference minus that of other pictures of its class, ``(n,)``.
        fit: dB by which pictures of its class let more of its sound through than those of the other class that let most
            through, ``(n,)``.
        heard_as: label of that other class, ``(n,)``; −1 where there is no figure.
    """

    preference: np.ndarray
    gap: np.ndarray
    fit: np.ndarray
    heard_as: np.ndarray

    def why_not(self) -> str:
        """Return why the figures mean nothing and what to do, in one line; empty if they mean something."""
        known = self.preference[np.isfinite(self.preference)]
        if len(known) < _FEWEST:
            return (
                f"too few clips to say whether sound and picture belong together: {len(known)} can be judged, which "
                f"needs {_PICTURES} others of their class, and {_FEWEST} such clips are the least"
            )
        if float(np.median(known)) < _ABLE:
            return (
                "the model does not know these sounds and pictures, so it cannot say whether they belong together; "
                "give a checkpoint that was trained on such data"
            )
        return ""


def judge_belonging(
    checkpoint: Checkpoint, clips: IndexClips, rows: Sequence[int], seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Belonging:  # fmt: skip
    """Judge whether the pictures of clips belong to their sounds.

    Args:
        checkpoint: whose model predicts the masks.
        clips: of the index, with the settings of the checkpoint.
        rows: clips to judge, and to choose other sounds and pictures from.
        seed: chooses them.
        progress: is told how many clips are done.

    Returns:
        one figure per row; NaN where the sound is silent, nobody plays, fewer than three other clips are of the class,
        or the clip cannot be read.
    """
    rows = np.asarray(rows, int)
    found, generator = np.full((3, len(rows)), np.nan), np.random.default_rng([seed, 31])
    heard_as = np.full(len(rows), -1)
    # Classes stand side by side in `order`, so that no clip needs a look at all labels.
    labels, order = clips.labels[rows], np.argsort(clips.labels[rows], kind="stable")
    panel = _panel(clips, rows, np.random.default_rng([seed, 32]))
    for position, place in enumerate(order.tolist()):
        begin, end = np.searchsorted(labels, [labels[place], labels[place] + 1], sorter=order).tolist()
        same, others = end - begin - 1, len(rows) - (end - begin)
        if labels[place] != NOBODY and same >= _PICTURES and others:
            chosen = generator.choice(others, min(MIXTURES, others), replace=False)
            heard = rows[order[chosen + (end - begin) * (chosen >= begin)]]
            chosen = begin + generator.choice(same, _PICTURES, replace=False)
            seen = rows[order[chosen + (chosen >= position)]]
            read = [[_read(clips, int(row)) for row in some] for some in ([rows[place]], heard, seen)]
            own, sounds, pictures = ([clip for clip in some if clip is not None] for some in read)
            if own and sounds and pictures:
                found[:2, place] = _figures(checkpoint, own[0], sounds, pictures)
                others = {label: shown for label, shown in panel.items() if label != labels[place]}
                if others:
                    moments = [own[0], *_other_moments(clips, int(rows[place]))]
                    found[2, place], heard_as[place] = _fit(checkpoint, moments, pictures, others)
        if position % _AT_ONCE == _AT_ONCE - 1 or position == len(rows) - 1:
            progress(position + 1)
    return Belonging(*found, heard_as)


def _panel(clips: IndexClips, rows: np.ndarray, generator: np.random.Generator) -> dict[int, list[Clip]]:
    """Read two clips of each class, of a dozen classes that are drawn if there are more."""
    labels = np.unique(clips.labels[rows])
    labels = labels[labels != NOBODY]
    panel = {}
    for label in sorted(generator.permutation(labels)[: _OTHERS + 1].tolist()):
        some = generator.permutation(rows[clips.labels[rows] == label])[:4]
        shown = [clip for row in some.tolist() if (clip := _read(clips, row)) is not None][:2]
        if len(shown) == 2:
            panel[label] = shown
    return panel


def _other_moments(clips: IndexClips, row: int) -> list[Clip]:
    """Read a clip at other moments, which are drawn."""
    read = (_read(clips, SampleKey(row, epoch, 0)) for epoch in range(_MOMENTS - 1))
    return [clip for clip in read if clip is not None]


def _fit(
    checkpoint: Checkpoint, moments: Sequence[Clip], pictures: Sequence[Clip], others: dict[int, list[Clip]]
) -> tuple[float, int]:
    """Return fit and label of the class as which a sound is heard: those of its best moment."""
    sound = checkpoint.config.spectrogram
    waveforms = torch.stack([clip.waveform for clip in moments])
    shown = [*pictures, *(clip for clips in others.values() for clip in clips)]
    frames = torch.stack([clip.frames for clip in shown]).expand(len(moments), *[-1] * 5)
    energy = warp(stft(waveforms, sound).abs(), sound).square()[:, None]
    masks = mask_power(predict_masks(checkpoint.model, waveforms, frames))
    share = (masks * energy).sum((-2, -1)) / energy.sum((-2, -1)).clamp(min=_SMALLEST)  # (moments, pictures)
    own = share[:, : len(pictures)].median(1).values
    most, heard_as = share[:, len(pictures) :].unflatten(1, (len(others), -1)).mean(2).max(1)
    fits = 10 * torch.log10((own + _UNHEARD) / (most + _UNHEARD))
    best = int(fits.argmax())
    return float(fits[best]), list(others)[int(heard_as[best])]


def _figures(
    checkpoint: Checkpoint, own: Clip, sounds: Sequence[Clip], pictures: Sequence[Clip]
) -> tuple[float, float]:
    """Return preference and gap of one clip."""
    sound = checkpoint.config.spectrogram
    # Each other sound is as loud as the clip's own, so that a soft sound is judged like a loud one.
    level = own.waveform.square().mean().sqrt()
    others = torch.stack([clip.waveform * (level / clip.waveform.square().mean().sqrt()) for clip in sounds]) / 2
    frames = torch.stack([clip.frames for clip in (own, *pictures)]).expand(len(sounds), *[-1] * 5)
    masks = mask_power(predict_masks(checkpoint.model, own.waveform[None] / 2 + others, frames))  # (n, 1 + m, Q, T)
    kept = (masks * warp(stft(own.waveform / 2, sound).abs(), sound).square()).sum((-2, -1))
    let_in = (masks * warp(stft(others, sound).abs(), sound).square()[:, None]).sum((-2, -1))
    preferred = (10 * torch.log10(kept.clamp(min=_SMALLEST) / let_in.clamp(min=_SMALLEST))).clamp(-_MOST, _MOST)
    gaps = preferred[:, 0] - preferred[:, 1:].median(1).values
    return float(preferred[:, 0].median()), float(gaps.median())


def _read(clips: IndexClips, row: int | SampleKey) -> Clip | None:
    """Return a clip, or None if it cannot be read or is silent."""
    try:
        clip = clips[row]
    except SopeduError:
        return None
    return clip if float(clip.waveform.abs().max()) >= _HEARD else None
