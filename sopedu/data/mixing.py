"""Mix-and-separate: solos become mixtures whose parts are known, so nobody has to label anything.

Everything is batched and runs on the device the solos are on. Explained in notebook 05_mix_and_separate.
Source: The Sound of Pixels, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sopedu.config import MixingConfig

#: Label of a clip in which nobody plays: an empty, silent scene.
NOBODY = -1


@dataclass(frozen=True)
class Mixtures:
    """M mixtures of N sources each, made of the solos of one batch.

    Attributes:
        solos: the waveforms ``(B, L)`` they are made of.
        members: ``(M, N)`` which solo is which source.
        absent: ``(M, A)`` solos whose picture is shown though they are not in the mixture, −1 where there is none.
        gains: ``(M, N)`` what each solo is multiplied with; the division by N is in it.
        same_class: how many mixtures had to pair two solos of one class.
    """

    solos: torch.Tensor
    members: torch.Tensor
    absent: torch.Tensor
    gains: torch.Tensor
    same_class: int

    @cached_property
    def sources(self) -> torch.Tensor:
        """Waveforms ``(M, N, L)``, gains applied, divided by N."""
        return self.solos[self.members] * self.gains[..., None]

    @cached_property
    def mixture(self) -> torch.Tensor:
        """The sum of the sources ``(M, L)``."""
        return self.sources.sum(1)


def choose_partners(labels: np.ndarray, config: MixingConfig, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """Decide which solos of a batch meet: no solo meets itself, and classes differ wherever that can be had.

    The solos stand in a circle, sorted by class (classes in random order, solos within a class too), and everybody
    meets those who stand 1, 2, … N − 1 times ``shift`` places further on. A shift at least as long as the largest
    class leads out of every class. ``in-batch``: each of the B solos starts a mixture, serves in N of them and passes
    the frame net once. ``independent``: only the first B // N start one, so each solo serves once.

    Args:
        labels: ``(B,)`` class of every solo, or :data:`NOBODY`.

    Returns:
        members ``(M, N)`` with M = B in-batch and B // N independent, and the number of mixtures with a class twice.

    Raises:
        ValueError: if there are fewer solos than sources in a mixture.
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
            continue  # somebody would meet himself
        members = circle[(starts[:, None] + steps) % count]
        classes = np.sort(labels[members], axis=1)
        same = int((classes[:, 1:] == classes[:, :-1]).any(axis=1).sum())
        if same < fewest:
            best, fewest = members, same
        if same == 0:
            break
    assert best is not None  # a shift of one place never leads back in fewer than ``count`` steps
    return best, fewest


def choose_absent(members: np.ndarray, labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """For every mixture draw ``count`` solos of the batch whose class it does not hold; ``(M, count)``, −1 if none."""
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
        labels: ``(B,)`` class of every solo.
        generator: decides who meets whom and how loud; nothing else is random here.
    """
    members, same_class = choose_partners(labels, config, generator)
    absent = choose_absent(members, labels, config.absent, generator)
    gains = generator.uniform(config.gain_low, config.gain_high, members.shape) / config.sources
    indices, others, scale = (to_device(values, waveforms.device) for values in (members, absent, gains))
    return Mixtures(waveforms, indices, others, scale.to(waveforms.dtype), same_class)


def to_device(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device, without waiting for what is queued there: a GPU gets it from pinned memory."""
    tensor = torch.from_numpy(values)
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
