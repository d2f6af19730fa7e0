"""Checks for notebooks 04_without_learning and 05_mix_and_separate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge, missing


def check_running_median(function: Callable[[Any, int], Any]) -> Verdict:
    """Median of every `span` neighbours in a row of magnitudes (notebook 04_without_learning)."""
    click, note = [0, 1, 9, 1, 0, 0], [7, 7, 16, 7, 7, 2, 2, 2]
    cases = [((np.array(click, float), 3), [1, 1, 1, 0]), ((np.array(note, float), 5), [7, 7, 7, 2])]
    hint = "take row[i : i + span] for every i from 0 to len(row) - span, and np.median of each"
    return judge(function, cases, hint, "clicks are gone, notes stay, and edges stay sharp.", tolerance=1e-9)


def check_update_activations(function: Callable[[Any, Any, Any], Any]) -> Verdict:
    """One multiplicative update of H for the squared error (notebook 04_without_learning)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    spectra, activations = (torch.rand(*shape, generator=generator) + 0.1 for shape in ((5, 2), (2, 4)))
    fits = spectra @ activations
    other = torch.rand(5, 4, generator=generator)
    expected = activations * (spectra.T @ other) / (spectra.T @ fits)
    cases = [((fits, spectra, activations), activations), ((other, spectra, activations), expected)]
    hint = "numerator Wᵀ V, denominator Wᵀ W H, both (K, T); where the model fits, H must stay as it is"
    return judge(function, cases, hint, "what fits stays, what is too small grows.", tolerance=1e-4)


def check_mix_by_hand(function: Callable[[Any, Any], Any]) -> Verdict:
    """The mixture of N solos with gains, each divided by N (notebook 05_mix_and_separate)."""
    import torch

    waveforms = torch.tensor([[1.0, -1.0, 0.5, 0.0], [0.0, 1.0, 0.5, 0.2], [0.3, 0.3, -0.3, 0.1]])
    gains = torch.tensor([0.5, 1.5, 1.0])
    cases = [((waveforms[:n], gains[:n]), (waveforms[:n] * gains[:n, None]).sum(0) / n) for n in (2, 3)]
    hint = "gains[:, None] gives each row its own gain; sum over axis 0; N is len(waveforms), not always 2"
    return judge(function, cases, hint, "for two sources, for three, for any number.", tolerance=1e-5)


def check_same_class_mixtures(function: Callable[[Any, Any], int]) -> Verdict:
    """How many mixtures hold a class more than once (notebook 05_mix_and_separate)."""
    labels = np.array([3, 3, 7, 5, 7])
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 2], [0, 0]])
    trios = np.array([[0, 2, 1], [0, 2, 3], [2, 3, 4]])
    hint = "labels[members] gives the classes of each mixture; one of them twice, next to each other or not, counts"
    cases = [((pairs, labels), 3), ((trios, labels), 2), ((pairs[:0], labels), 0)]
    return judge(function, cases, hint, "what cannot be avoided can be counted.", tolerance=0.0)


def check_trios(function: Callable[[Any, Any, Any], Any]) -> Verdict:
    """A batch mixed with three sources per mixture (notebook 05_mix_and_separate)."""
    import torch

    def sources_and_pairs_of_one_class(*batch: Any) -> Any:
        found = function(*batch)
        return found if missing(found) else [found.members.shape[1], found.same_class]

    batch = torch.ones(9, 4), np.repeat([1, 4, 7], 3), np.random.default_rng(0)
    hint = "change mixing.sources of a preset and hand its .mixing to sopedu.mix, which returns the mixtures"
    praise = "three per mixture, none with itself or its own class."
    return judge(sources_and_pairs_of_one_class, [(batch, [3, 0])], hint, praise, tolerance=0.0)


def check_dead_clips(function: Callable[[Any], Any]) -> Verdict:
    """Positions of the clips whose samples are all zero (notebook 05_mix_and_separate)."""
    import torch

    clips = torch.tensor([[0.5, -0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 1e-4, 0.0], [0.0, 0.0, 0.0]])
    hint = (
        "a clip is dead if its largest absolute sample is 0; sound swings around 0, so a mean or a sum does not show it"
    )
    cases = [((clips,), [1, 3]), ((clips[:1],), np.zeros(0))]
    return judge(function, cases, hint, "the soft clip is kept, the two dead ones are found.", tolerance=0.0)
