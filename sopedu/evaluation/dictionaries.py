"""Supervised non-negative matrix factorisation (NMF): the strongest simple method to compare a model with.

Each class gets a dictionary of spectra, learnt from solos of the training split. A mixture is described by the
dictionaries of its classes side by side; what each of them explains becomes a mask. It needs to know the classes,
which are told (``nmf_by_class``) or read from the pictures (``nmf_seen``).

Source: Lee and Seung, Nature 401, 1999 (DOI 10.1038/44565). Notebook: 04_without_learning.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.spectrogram import istft, stft
from sopedu.config import SpectrogramConfig
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.index_clips import IndexClips
from sopedu.data.mixing import NOBODY
from sopedu.evaluation.pairs import TestPairs
from sopedu.machine import usable_cores
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.modes import evaluating
from sopedu.model.sound_of_pixels import normalise_frames
from sopedu.toyband.cache import kept

_SOLOS, _SPARE = 200, 8  # per class: that dictionaries are learnt from, and that the pilot's mixtures are made of
_ATOMS, _LEARNING, _UPDATES = 64, 60, 150
_OVERLAP, _COLUMNS = 4, 8192  # windows over each moment that is learnt from; columns per class, at most
_PILOT = 24  # mixtures on which the best method is chosen
_OTHER_STFTS = ((2046, 512), (4094, 512))  # n_fft and hop tried beside the model's own
_POWERS = (2, 1)
_PICTURES = 24  # per class, from which classes are read
_TOGETHER = 8  # mixtures in memory at once
_TINY = 1e-12

_Members = list[tuple[np.ndarray, np.ndarray]]  # per class: clips to learn from, and some to choose with


def learn_spectra(magnitude: torch.Tensor, atoms: int, updates: int, seed: int = 0) -> torch.Tensor:
    """Learn a dictionary: spectra whose weighted sums come close to each column of a magnitude spectrogram.

    Multiplicative updates, which never make the Kullback-Leibler divergence larger, from a random start.

    Args:
        magnitude: ``(F, T)`` float32, not negative.
        atoms: K, number of spectra.
        updates: of spectra and activations.
        seed: of the start.

    Returns:
        ``(F, K)`` float32, each spectrum adding up to one.

    Notebook: 04_without_learning.
    """
    generator = torch.Generator().manual_seed(seed)
    spectra, activations = (
        (torch.rand(shape, generator=generator) + 0.5) * (magnitude.mean() / atoms).sqrt().clamp_min(_TINY)
        for shape in ((len(magnitude), atoms), (atoms, magnitude.shape[1]))
    )
    return _update_both(magnitude, spectra, activations, updates)[0]


def _update_both(
    magnitude: torch.Tensor, spectra: torch.Tensor, activations: torch.Tensor, updates: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Update spectra ``(F, K)`` and activations ``(K, T)`` in turn; then let each spectrum add up to one."""
    buffer = torch.empty_like(magnitude)
    for _ in range(updates):
        ratio = _ratio(magnitude, spectra, activations, buffer)
        spectra = spectra * (ratio @ activations.T) / activations.sum(1).clamp_min(_TINY)
        ratio = _ratio(magnitude, spectra, activations, buffer)
        activations = activations * (spectra.T @ ratio) / spectra.sum(0)[:, None].clamp_min(_TINY)
    total = spectra.sum(0).clamp_min(_TINY)
    return spectra / total, activations * total[:, None]


def _ratio(
    magnitude: torch.Tensor, spectra: torch.Tensor, activations: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """Divide a magnitude by its model; in one buffer, because new memory at each update doubles the time."""
    torch.matmul(spectra, activations, out=buffer)
    return torch.div(magnitude, buffer.clamp_min_(_TINY), out=buffer)


def find_activations(magnitude: torch.Tensor, spectra: torch.Tensor, updates: int) -> torch.Tensor:
    """Find how strongly each spectrum of a dictionary sounds at each time.

    For a fixed dictionary the divergence is convex, so a constant start is as good as any.

    Args:
        magnitude: ``(…, F, T)`` float32, not negative.
        spectra: ``(…, F, K)``, each adding up to one or zero.
        updates: of the activations.

    Returns:
        ``(…, K, T)`` float32.

    Notebook: 04_without_learning.
    """
    activations = magnitude.new_ones(*spectra.shape[:-2], spectra.shape[-1], magnitude.shape[-1])
    transposed, buffer = spectra.mT.contiguous(), torch.empty_like(magnitude)
    for _ in range(updates):
        activations = activations * (transposed @ _ratio(magnitude, spectra, activations, buffer))
    return activations


@dataclass(frozen=True)
class Dictionaries:
    """Dictionaries of all classes, and how they are applied.

    Attributes:
        spectra: ``(classes, F, K)`` float32.
        sound: of the spectrograms; its ``n_fft`` and ``hop_length`` may differ from the model's.
        power: of what a class explains, in its mask.
    """

    spectra: torch.Tensor
    sound: SpectrogramConfig
    power: int = 2

    def separate(self, mixture: torch.Tensor, labels: np.ndarray, length: int) -> torch.Tensor:
        """Separate mixtures of known classes; the estimates have the mixture's phase and add up to it.

        Args:
            mixture: waveforms ``(P, L)``.
            labels: ``(P, N)`` int, the classes of each mixture.
            length: number of samples of the estimates, at most L.

        Returns:
            ``(P, N, length)`` float32.
        """
        estimates = []
        for heard, classes in zip(mixture.split(_TOGETHER), _chunks(labels), strict=True):
            # Some silence behind the end: there the windows would add up to almost nothing.
            padded = torch.nn.functional.pad(heard, (0, self.sound.n_fft))
            spectrogram = stft(padded, self.sound)
            masks = self._masks(spectrogram.abs(), classes)
            estimates.append(istft(masks * spectrogram[:, None], self.sound)[..., :length])
        return torch.cat(estimates)

    def masks(self, heard: torch.Tensor, labels: np.ndarray) -> torch.Tensor:
        """Compute the masks of known classes for what is heard.

        Args:
            heard: waveforms ``(P, L)``.
            labels: ``(P, N)`` int, the classes that share each of them.

        Returns:
            ``(P, N, F, T)`` float32, adding up to one.
        """
        chunks = zip(heard.split(_TOGETHER), _chunks(labels), strict=True)
        return torch.cat([self._masks(stft(some, self.sound).abs(), classes) for some, classes in chunks])

    def _masks(self, magnitude: torch.Tensor, classes: np.ndarray) -> torch.Tensor:
        side_by_side = self.spectra[torch.from_numpy(classes).long()]  # (P, N, F, K)
        found = find_activations(magnitude, side_by_side.transpose(1, 2).flatten(2), _UPDATES)
        parts = side_by_side @ found.unflatten(1, (classes.shape[1], -1))
        shares = (parts / parts.sum(1, keepdim=True).clamp_min(_TINY) + _TINY) ** self.power
        return shares / shares.sum(1, keepdim=True)


def _chunks(labels: np.ndarray) -> list[np.ndarray]:
    return [labels[i : i + _TOGETHER] for i in range(0, len(labels), _TOGETHER)]


def choose_dictionaries(
    solos: ClipDataset, progress: bool = True
) -> tuple[Dictionaries, Dictionaries, dict[str, float]]:
    """Learn the dictionaries of all classes, and choose among a few ways to apply them; both are kept in the cache.

    The choice is made on mixtures of solos that no dictionary was learnt from. Without two classes that can spare a
    solo there is none, and the first way is taken.

    Args:
        solos: of the training split; the first 200 of a class, or four fifths if there are fewer, are learnt from.
        progress: show bars.

    Returns:
        dictionaries at the STFT of the data set's configuration, with squared masks; the best ones; and the SDR in dB
        of every way on the pilot mixtures, by its name.

    Raises:
        SopeduError: a solo cannot be read.
    """
    own = solos.config.spectrogram
    stfts = dict.fromkeys([(own.n_fft, own.hop_length), (own.n_fft, max(1, own.hop_length // 2)), *_OTHER_STFTS])
    sounds = [replace(own, n_fft=n_fft, hop_length=hop) for n_fft, hop in stfts]
    members = [_members(np.flatnonzero(solos.labels == label)) for label in range(len(solos.class_names))]
    key = [_origin(solos, members), own.sample_rate, own.samples, _ATOMS, _LEARNING, _OVERLAP, _COLUMNS]
    learn = partial(_learn, solos, members, progress)
    spectra = {n_fft: _kept("spectra", [*key, n_fft], partial(learn, n_fft)) for n_fft, _ in stfts}
    ways = [Dictionaries(spectra[sound.n_fft], sound, power) for sound in sounds for power in _POWERS]
    if sum(len(spare) > 0 for _, spare in members) < 2:
        return ways[0], ways[0], {}
    chosen_by = [*key, own.counted_samples, _UPDATES, _PILOT, list(stfts), _POWERS]
    scores = _kept("sdr", chosen_by, lambda: _pilot(solos, members, ways, progress))
    names = [f"{way.sound.n_fft}/{way.sound.hop_length}, power {way.power}" for way in ways]
    figures = {name: round(score, 3) for name, score in zip(names, scores.tolist(), strict=True)}
    return ways[0], ways[int(scores.argmax())], figures


def _members(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spare = min(_SPARE, len(places) // 5)
    learnt = min(_SOLOS, len(places) - spare)
    return places[:learnt], places[learnt : learnt + spare]


def _origin(solos: ClipDataset, members: _Members) -> str:
    """Checksum of the sounds; of an index, whose files take long to read, of their names, sizes and times."""
    known = hashlib.sha256(json.dumps([solos.class_names, asdict(solos.config.frames)]).encode())
    for label, places in enumerate(members):
        for place in np.concatenate(places):
            if isinstance(solos, IndexClips):
                sound = _state(solos, int(place))
            else:
                sound = solos[int(place)].waveform.numpy().tobytes()
            known.update(b"%d:" % label + sound)
    return known.hexdigest()


def _state(solos: IndexClips, place: int) -> bytes:
    entry = solos.index[place]
    return f"{entry}, {solos.index.files.state(place, entry)}".encode()


def _kept(name: str, key: Sequence[Any], make: Callable[[], torch.Tensor]) -> torch.Tensor:
    checksum = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return torch.from_numpy(kept(f"nmf-{name}-{checksum}", [name], lambda: {name: make().numpy()})[name])


def _learn(solos: ClipDataset, members: _Members, progress: bool, n_fft: int) -> torch.Tensor:
    """Learn one dictionary per class ``(classes, F, K)``, from evenly spread windows."""
    sound = replace(solos.config.spectrogram, n_fft=n_fft, hop_length=n_fft // _OVERLAP)
    spectra = torch.zeros(len(members), sound.linear_bins, _ATOMS)
    words = {"desc": f"learning dictionaries, n_fft {n_fft}", "unit": "class", "leave": False}
    with tqdm(members, **words, disable=not progress) as bar:
        for label, (places, _) in enumerate(bar):
            if not len(places):
                continue
            waveforms = torch.stack([solos[int(place)].waveform for place in places])
            columns = stft(waveforms, sound).abs().transpose(0, 1).flatten(1)
            spectra[label] = learn_spectra(columns[:, :: math.ceil(columns.shape[1] / _COLUMNS)], _ATOMS, _LEARNING)
    return spectra


def _pilot(solos: ClipDataset, members: _Members, ways: Sequence[Dictionaries], progress: bool) -> torch.Tensor:
    """Mean SDR in dB of every way on mixtures of two classes."""
    generator, length = np.random.default_rng(0), solos.config.spectrogram.counted_samples
    able = [label for label, (_, spare) in enumerate(members) if len(spare)]
    combinations = generator.permutation(list(itertools.combinations(able, 2)))
    labels = np.stack([combinations[i % len(combinations)] for i in range(_PILOT)])
    chosen = [int(generator.choice(members[label][1])) for label in labels.ravel()]
    sources = torch.stack([solos[place].waveform / 2 for place in chosen]).unflatten(0, labels.shape)
    with tqdm(ways, desc="choosing among dictionaries", unit="way", leave=False, disable=not progress) as bar:
        estimates = {str(i): way.separate(sources.sum(1), labels, length) for i, way in enumerate(bar)}
    found = bss_eval_rows(sources[..., :length], estimates)
    return torch.tensor([float(np.nanmean(score.sdr)) for score in found.values()])


@torch.inference_mode()
def classes_seen(checkpoint: Checkpoint, known: ClipDataset, frames: torch.Tensor) -> np.ndarray:
    """Read the classes of pictures: logistic regression on the frame net's pooled features of training clips.

    Args:
        checkpoint: the model.
        known: clips of the training split, at least one per class.
        frames: ``(P, N, S, 3, H, W)`` uint8.

    Returns:
        ``(P, N)`` int, the classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def features(pictures: torch.Tensor) -> np.ndarray:
        device, model = next(checkpoint.model.parameters()).device, checkpoint.model
        with evaluating(model):
            parts = [model.visual(normalise_frames(some.to(device))).cpu() for some in pictures.split(32)]
        return torch.cat(parts).numpy()

    places = [i for label in np.unique(known.labels) for i in np.flatnonzero(known.labels == label)[:_PICTURES]]
    places = [i for i in places if known.labels[i] != NOBODY]
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    reader.fit(features(torch.stack([known[int(i)].frames for i in places])), known.labels[places])
    return reader.predict(features(frames.flatten(0, 1))).reshape(frames.shape[:2])


def dictionary_rows(
    checkpoint: Checkpoint, pairs: TestPairs, known: ClipDataset
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Separate held-out mixtures by dictionaries, with the classes told or read from the pictures.

    Args:
        checkpoint: the model, whose frame net reads the pictures.
        pairs: to separate.
        known: clips of the training split with the labels of the pairs.

    Returns:
        estimates ``(P, N, counted_samples)`` by row: ``nmf_by_class`` and ``nmf_seen`` at the model's STFT, both with
        ``_best`` at the best one; and the figures ``nmf_best``, ``nmf_pilot`` and ``class_accuracy_seen``.
    """
    own, best, scores = choose_dictionaries(solos_to_learn_from(known))
    length, seen = checkpoint.config.spectrogram.counted_samples, classes_seen(checkpoint, known, pairs.frames)
    wrong, rows = (seen != pairs.labels).any(1), {}
    for ending, way in {"": own, "_best": best}.items():
        told = way.separate(pairs.mixture, pairs.labels, length)
        rows[f"nmf_by_class{ending}"], rows[f"nmf_seen{ending}"] = told, told.clone()
        if wrong.any():
            read = way.separate(pairs.mixture[torch.from_numpy(wrong)], seen[wrong], length)
            rows[f"nmf_seen{ending}"][torch.from_numpy(wrong)] = read
    figures = {
        "nmf_best": {"n_fft": best.sound.n_fft, "hop_length": best.sound.hop_length, "power": best.power},
        "nmf_pilot": scores,
        "class_accuracy_seen": round(float((seen == pairs.labels).mean()), 3),
    }
    return rows, figures


def solos_to_learn_from(known: ClipDataset, progress: bool = True) -> ClipDataset:
    """Return the clips that dictionaries are learnt from.

    Args:
        known: clips of the training split; of the toy band, more are rendered, with small pictures that nobody sees.
        progress: show a bar while they are.
    """
    if not isinstance(known, ToyBandClips):
        return known
    config = replace(known.config, frames=replace(known.config.frames, size=16, resize=16, count=1))
    solos, how = (_SOLOS + _SPARE) * len(known.class_names), {"workers": usable_cores(), "progress": progress}
    return ToyBandClips(config, "train", solos, seed=900, **how)
