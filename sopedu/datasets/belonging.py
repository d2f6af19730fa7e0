"""Whether a clip's picture and its sound belong to its class, as far as a trained model can tell.

The model looks at the clip's picture and hears sounds of its class, each alone: how much of them does its mask let
through? It also hears sounds of other classes. A picture that lets more through of another class than of its own shows
something else than it should. A sound is judged in the same way: do pictures of its class let it through, or those of
another class? How far the other class must be ahead is :data:`PICTURE_LIMIT` and :data:`SOUND_LIMIT`.

Picture and sound are judged apart, each beside many other clips, so one odd clip spoils nothing. Sounds are heard alone
because it costs little: each passes the audio net once, however many pictures it is heard with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sopedu.audio.loudness import hearing_gain
from sopedu.audio.masks import mask_power
from sopedu.audio.spectrogram import log_magnitude, stft, warp
from sopedu.data import IndexClips
from sopedu.data.clips import SampleKey
from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.modes import evaluating
from sopedu.model.sound_of_pixels import normalise_frames

_EXAMPLES = 12  # of a class, with which a clip is compared
_FEWEST_OWN, _FEWEST_OTHER = 3, 2  # examples that the clip's own class needs at least, and another one
_OTHERS = 12  # other classes, at most
_MOMENTS = 3  # of a clip
_CELLS = 2000  # the loudest of a spectrogram; nearly all energy of a tone lies there
_HEARD = 1e-3  # peak of a sound that can be judged
_UNHEARD = 1e-3  # share of a sound that a mask can let through without being heard
_ABLE = 2.0  # dB, median of the figures of a model that knows the data
_DOUBTED = 1 / 3  # of the clips of a class at most, or the model is in doubt and not they
_AT_ONCE = 16  # clips between two reports of progress

#: dB; a figure below is reported. Chosen with `toyband` on 2464 clips, each also taken for one of another class; see
#: docs/measurements.md.
PICTURE_LIMIT, SOUND_LIMIT = -3.0, -15.0


@dataclass(frozen=True)
class Belonging:
    """How well pictures and sounds of some clips suit their class; NaN where the model cannot judge.

    Attributes:
        picture: how much of the sounds of its class a clip's picture lets through, minus how much of the best other
            class's, in dB, ``(n,)``; negative: another class fits better.
        sound: how much of a clip's sound the pictures of its class let through, minus how much those of the best other
            class do, likewise.
        seen_as: label of that other class for the picture, ``(n,)``; −1 where there is no figure.
        heard_as: label of that other class for the sound, likewise.
        unknown: labels of the classes that the model does not know.
    """

    picture: np.ndarray
    sound: np.ndarray
    seen_as: np.ndarray
    heard_as: np.ndarray
    unknown: tuple[int, ...]

    def notes(self, class_names: Sequence[str]) -> list[str]:
        """Return what could not be judged, and why, a line each.

        Args:
            class_names: a label is an index into them.
        """
        if np.isnan(self.picture).all() and self.unknown:
            return [
                "the model does not know these sounds and pictures, so it cannot say whether they belong together; "
                "give a checkpoint that was trained on such data"
            ]
        if np.isnan(self.picture).all():
            return [
                "too few clips to say whether sound and picture belong together: a class needs "
                f"{_FEWEST_OWN + 1} that can be read, and one other class {_FEWEST_OTHER}"
            ]
        if not self.unknown:
            return []
        names = ", ".join(class_names[label] for label in self.unknown)
        return [f"the model does not know {names}: whether their sounds and pictures belong together is not judged"]


@dataclass(frozen=True)
class _Heard:
    """What a model makes of one clip.

    Attributes:
        vectors: visual vectors of its moments, ``(M, K)``.
        components: of the loudest cells of its moments that can be heard, ``(m, K, P, C)``.
        energy: of these cells, as shares of their sum, ``(m, C)``.
    """

    vectors: torch.Tensor
    components: torch.Tensor
    energy: torch.Tensor


def judge_belonging(
    checkpoint: Checkpoint, splits: Sequence[tuple[IndexClips, Sequence[int]]], seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Belonging:  # fmt: skip
    """Judge whether pictures and sounds of clips belong to their classes.

    Args:
        checkpoint: whose model looks and listens.
        splits: indexes with the settings of the checkpoint and the same class names, each with the rows to judge. All
            these clips are also what others are compared with.
        seed: chooses the clips for comparison.
        progress: is told how many clips are done.

    Returns:
        figures of all rows, split after split; NaN where the sound is silent, the clip cannot be read or is of class
        ``silence``, too few others are of its class, or the model does not know the class.
    """
    split = np.repeat(np.arange(len(splits)), [len(rows) for _, rows in splits])
    row = np.concatenate([np.asarray(rows, int) for _, rows in splits])
    labels = np.concatenate([clips.labels[np.asarray(rows, int)] for clips, rows in splits])

    def listen(place: int) -> _Heard | None:
        return _listen(checkpoint, splits[split[place]][0], int(row[place]))

    def listen_to_all(places: Sequence[int]) -> dict[int, _Heard]:
        found = {place: listen(place) for place in places}
        return {place: one for place, one in found.items() if one is not None}

    members, generator = _members(labels), np.random.default_rng([seed, 31])
    drawn = {label: generator.permutation(of)[: _EXAMPLES + 1].tolist() for label, of in members.items()}
    shown = generator.permutation(list(members))[: _OTHERS + 1].tolist()
    panel = {label: listen_to_all(drawn[label]) for label in sorted(shown)}
    margins, taken_for = np.full((2, len(labels)), np.nan), np.full((2, len(labels)), -1)
    done = int(np.sum(labels == NOBODY))
    for label, of in members.items():
        known = panel.get(label) or listen_to_all(drawn[label])
        others = {other: list(some.values()) for other, some in panel.items() if other != label}
        others = {other: some for other, some in others.items() if len(some) >= _FEWEST_OTHER}
        for place in of.tolist():
            same = [one for example, one in known.items() if example != place][:_EXAMPLES]
            if others and len(same) >= _FEWEST_OWN and (own := known.get(place) or listen(place)):
                groups = {label: same, **others}
                for which, judge in enumerate((_of_picture, _of_sound)):
                    margins[which, place], taken_for[which, place] = judge(checkpoint, own, groups)
            done += 1
            if done % _AT_ONCE == 0:
                progress(done)
    progress(len(labels))
    return Belonging(*margins, *taken_for, _take_away_unknown(margins, members))


def _members(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return the places of the clips of each class; clips in which nobody plays have none."""
    order = np.argsort(labels, kind="stable")  # classes side by side, so that none needs a look at all labels
    order = order[labels[order] != NOBODY]
    found, begins = np.unique(labels[order], return_index=True)
    return dict(zip(found.tolist(), np.split(order, begins)[1:], strict=True))


def _take_away_unknown(margins: np.ndarray, members: dict[int, np.ndarray]) -> tuple[int, ...]:
    """Take away the figures of classes that the model does not know, and return their labels.

    A model that finds most clips of a class to be of another one does not know it. Nor does one that doubts many. Who
    does not know the sounds cannot judge pictures by them, so both must be known.

    Args:
        margins: of pictures and of sounds, ``(2, n)``.
        members: the clips of each class.
    """
    limits = np.array([[PICTURE_LIMIT], [SOUND_LIMIT]])
    figures, unknown = margins[:, np.isfinite(margins[0])], []
    able = figures.size and (np.median(figures, axis=1) >= _ABLE).all()
    for label, of in members.items():
        figures = margins[:, of[np.isfinite(margins[0, of])]]
        if not figures.size:
            continue
        doubted = np.mean(figures < limits, axis=1).max() > _DOUBTED
        if not able or doubted or np.median(figures, axis=1).min() <= 0:
            margins[:, of] = np.nan
            unknown.append(label)
    return tuple(unknown)


@torch.inference_mode()
def _listen(checkpoint: Checkpoint, clips: IndexClips, row: int) -> _Heard | None:
    """Look at a clip at some moments and listen to it; None if it cannot be read or is silent."""
    try:
        moments = [clips[row], *(clips[SampleKey(row, epoch, 0)] for epoch in range(_MOMENTS - 1))]
    except SopeduError:
        return None
    waveforms = torch.stack([clip.waveform for clip in moments])
    waveforms = waveforms[waveforms.abs().amax(1) >= _HEARD]
    if not len(waveforms):
        return None
    model, sound = checkpoint.model, checkpoint.config.spectrogram
    device = next(model.parameters()).device
    magnitude = warp(stft(waveforms.to(device), sound).abs(), sound)[:, None]
    gain = hearing_gain(waveforms, sound, model.level_db).to(device)[:, None, None, None]
    with evaluating(model):
        vectors = model.visual(normalise_frames(torch.stack([clip.frames for clip in moments]).to(device)))
        components = model.components(log_magnitude(magnitude * gain, sound))
    energy = magnitude.square().flatten(1)
    energy, loudest = energy.topk(min(_CELLS, energy.shape[1]), dim=1)
    # (m, K, P · Q, T) to (m, K, P, Q · T), of which the loudest cells are kept.
    cells = components.unflatten(2, (model.mask_kind.parts, -1)).flatten(3)
    cells = cells.gather(3, loudest[:, None, None].expand(*cells.shape[:3], -1))
    return _Heard(vectors, cells, energy / energy.sum(1, keepdim=True))


@torch.inference_mode()
def _let_through(checkpoint: Checkpoint, vectors: torch.Tensor, heard: Sequence[_Heard]) -> np.ndarray:
    """Return how many dB of each sound, one after the other, each picture lets through, ``(sounds, pictures)``."""
    components = torch.cat([one.components for one in heard])
    energy = torch.cat([one.energy for one in heard])
    logits = checkpoint.model.synthesizer(vectors.expand(len(components), -1, -1), components)  # (m, v, P, C)
    values = checkpoint.model.mask_kind.activation(logits.float())
    masks = values[:, :, 0] if values.shape[2] == 1 else torch.complex(values[:, :, 0], values[:, :, 1])
    share = torch.einsum("mvc,mc->mv", mask_power(masks), energy.to(masks.real.dtype))
    return (10 * torch.log10(share + _UNHEARD)).cpu().numpy()


def _of_picture(checkpoint: Checkpoint, own: _Heard, groups: dict[int, list[_Heard]]) -> tuple[float, int]:
    """Judge a picture by the sounds that it lets through; the first group is its class. The best moments count."""
    heard = [one for some in groups.values() for one in some]
    passed = _let_through(checkpoint, own.vectors, heard).max(1)
    ends = np.cumsum([len(one.energy) for one in heard])
    best = [part.max() for part in np.split(passed, ends[:-1])]
    return _margin(np.array([best]), groups)


def _of_sound(checkpoint: Checkpoint, own: _Heard, groups: dict[int, list[_Heard]]) -> tuple[float, int]:
    """Judge a sound by the pictures that let it through; the first group is its class. The best moment counts."""
    seen = torch.cat([one.vectors for some in groups.values() for one in some])
    passed = _let_through(checkpoint, seen, [own])
    return _margin(passed.reshape(len(passed), -1, _MOMENTS).max(2), groups)


def _margin(passed: np.ndarray, groups: dict[int, list[_Heard]]) -> tuple[float, int]:
    """Compare the first group with the best other one, as medians over their clips, at the best moment.

    Args:
        passed: dB, ``(moments, clips)``, group after group.
        groups: the clips.

    Returns:
        the difference in dB, and the label of the other group.
    """
    ends = np.cumsum([len(some) for some in groups.values()])
    medians = np.stack([np.median(part, axis=1) for part in np.split(passed, ends[:-1], axis=1)], axis=1)
    other = medians[:, 1:].argmax(1)
    margins = medians[:, 0] - medians[:, 1:].max(1)
    best = int(margins.argmax())
    return float(margins[best]), list(groups)[1 + int(other[best])]
