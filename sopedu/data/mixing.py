"""Mix-and-separate: mixtures are sums of known solos, so no labels are needed.

Everything is batched and runs on the device of the solos.

Source: The Sound of Pixels, section 3.2.
Notebook: 05_mix_and_separate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sopedu.audio.masks import Spectra
from sopedu.audio.spectrogram import stft
from sopedu.config import MixingConfig, SpectrogramConfig

#: Label of an empty, silent scene.
NOBODY = -1


@dataclass(frozen=True)
class Mixtures:
    """M mixtures of N sources each, made of the solos of one batch.

    Attributes:
        solos: waveforms ``(B, L)`` of the batch.
        members: ``(M, N)`` int, index of the solo of each source.
        absent: ``(M, A)`` int, solos whose frames are shown but that are not in the mixture; −1: none available.
        gains: ``(M, N)``, the factor of each source, including the division by N.
        same_class: number of mixtures with two solos of one class, where nothing else was possible.
    """

    solos: torch.Tensor
    members: torch.Tensor
    absent: torch.Tensor
    gains: torch.Tensor
    same_class: int

    @cached_property
    def sources(self) -> torch.Tensor:
        """Waveforms of the sources, gains applied, ``(M, N, L)``."""
        return self.solos[self.members] * self.gains[..., None]

    @cached_property
    def mixture(self) -> torch.Tensor:
        """The sum of the sources, ``(M, L)``."""
        return self.sources.sum(1)

    def spectra(self, config: SpectrogramConfig) -> Spectra:
        """Return the spectrograms of sources and mixtures, with the settings in ``config``."""
        return Spectra(stft(self.solos, config), self.members, self.gains.float(), config)


def choose_partners(labels: np.ndarray, config: MixingConfig, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """Choose the solos of each mixture: no solo twice, and different classes where possible.

    The solos are put in a circle, sorted by class; the order of the classes, and within a class, is random. Mixture i
    holds ``circle[(i + n · shift) mod B]`` for n = 0 … N − 1, with the shift that pairs the fewest solos of one class.
    ``in-batch``: M = B, each solo is in N mixtures. ``independent``: M = B // N, each solo is in one at most.

    Args:
        labels: ``(B,)`` class of each solo, or :data:`NOBODY`.
        config: number of sources, and the pairing.
        generator: source of randomness.

    Returns:
        members ``(M, N)``, with M = B (in-batch) or B // N (independent); number of mixtures that hold a class twice.

    Raises:
        ValueError: fewer solos than sources in a mixture.
    """
    sources, count = config.sources, len(labels)
    if count < sources:
        raise ValueError(f"{count} solos cannot make a mixture of {sources}: enlarge the batch")
    shuffled = generator.permutation(count)
    class_rank = generator.permutation(labels.max() - labels.min() + 1)[labels - labels.min()]
    circle = shuffled[np.argsort(class_rank[shuffled], kind="stable")]
    if config.pairing == "in-batch":
        starts, shifts = np.arange(count), generator.permutation(np.arange(1, count))
    else:
        starts, shifts = np.arange(count // sources), np.array([count // sources])
    best, fewest = None, count + 1
    for shift in shifts:
        steps = shift * np.arange(sources)
        if len(set(steps % count)) < sources:
            continue  # this shift would pair a solo with itself
        members = circle[(starts[:, None] + steps) % count]
        classes = np.sort(labels[members], axis=1)
        same = int((classes[:, 1:] == classes[:, :-1]).any(axis=1).sum())
        if same < fewest:
            best, fewest = members, same
        if same == 0:
            break
    assert best is not None  # a shift of 1 always gives different solos, so one shift always fits
    return best, fewest


def choose_absent(members: np.ndarray, labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw solos of classes that are not in the mixture, ``(M, count)`` int; −1 where there is none.

    Args:
        members: ``(M, N)`` solos of each mixture.
        labels: ``(B,)`` class of each solo.
        count: how many per mixture.
        generator: source of randomness.
    """
    chosen = np.full((len(members), count), -1)
    if not count:
        return chosen
    for row, group in enumerate(members):
        candidates = np.flatnonzero(~np.isin(labels, labels[group]))
        if len(candidates):
            chosen[row] = generator.choice(candidates, count, replace=len(candidates) < count)
    return chosen


def mix(waveforms: torch.Tensor, labels: np.ndarray, config: MixingConfig, generator: np.random.Generator) -> Mixtures:
    """Mix the solos of a batch.

    Args:
        waveforms: ``(B, L)`` float, on any device.
        labels: ``(B,)`` class of each solo.
        config: number of sources, gains, absent pictures.
        generator: source of randomness.
    """
    members, same_class = choose_partners(labels, config, generator)
    absent = choose_absent(members, labels, config.absent, generator)
    gains = generator.uniform(config.gain_low, config.gain_high, members.shape) / config.sources
    indices, others, scale = (to_device(values, waveforms.device) for values in (members, absent, gains))
    return Mixtures(waveforms, indices, others, scale.to(waveforms.dtype), same_class)


def to_device(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy an array to a device; to a GPU from pinned memory, without waiting for queued work.

    Args:
        values: any shape.
        device: where the tensor should be.
    """
    tensor = torch.from_numpy(values)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
