"""Checks for notebook 11_listen_to_pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_share_in_db(function: Callable[[Any, Any], Any]) -> Verdict:
    """Energy of what is heard over the mixture's, in dB (notebook 11_listen_to_pixels)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        mixture = chance.standard_normal(6).round(1)
        for factor in (1.0, 0.5, 2.0):
            yield (factor * mixture, mixture), 20 * np.log10(factor)
        for samples in (5, 50, 501):  # another waveform than the mixture, and one with an offset
            heard, mixture = chance.standard_normal((2, samples)) * [[0.3], [1.0]]
            heard[: samples // 2] += 0.7
            yield (heard, mixture), 20 * np.log10(np.linalg.norm(heard) / np.linalg.norm(mixture))

    hint = "energy is the sum of squares; energies take the factor 10, amplitudes 20; half the amplitude is −6 dB"
    return judge(function, cases, hint, "half the amplitude is a quarter of the energy, −6 dB.", tolerance=1e-4)


def check_sound_of_box(function: Callable[[Any, Any], Any]) -> Verdict:
    """The sound of a box from those of its cells (h, w, L) and the areas covered (notebook 11_listen_to_pixels)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for height, width, samples in ((1, 2, 3), (2, 3, 7), (4, 2, 5), (3, 3, 3)):
            sounds, covered = chance.standard_normal((height, width, samples)), chance.random((height, width))
            covered[0, 0] = 0  # a cell outside the box
            yield (sounds, covered), np.average(sounds.reshape(-1, samples), axis=0, weights=covered.ravel())

    hint = "a weighted mean: the sum of weight times sound, over the sum of the weights; rows and columns both go"
    return judge(function, cases, hint, "sounds may be averaged instead of masks.", tolerance=1e-5)


def check_remix_in_db(function: Callable[[Any, Any], Any]) -> Verdict:
    """Waveforms (R, L), each louder by its number of dB, mixed (L,) (notebook 11_listen_to_pixels)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for decibels in ([0.0, 0.0], [20.0, 0.0], [6.0, -6.0], [-20.0, 3.0, 0.0], [-3.5]):
            waveforms, levels = chance.standard_normal((len(decibels), 3)).round(2), np.array(decibels)
            mixed = sum(np.exp(np.log(10) * level / 20) * row for level, row in zip(levels, waveforms, strict=True))
            yield (waveforms, levels), mixed

    hint = "what factor is +20 dB, what factor +40 dB? Each waveform gets its own; then they are added up"
    return judge(function, cases, hint, "+6 dB doubles an amplitude, −6 dB halves it, 0 dB leaves it.", tolerance=1e-5)
