"""Checks for notebook 11_listen_to_pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_share_in_db(function: Callable[[Any, Any], Any]) -> Verdict:
    """Energy of what is heard over the mixture's, in dB (notebook 11_listen_to_pixels)."""
    mixture, cases = np.random.default_rng(0).standard_normal(500), []
    for factor in (1.0, 0.5, 0.1, 2.0):
        cases.append(((factor * mixture, mixture), 20 * np.log10(factor)))
    hint = "energy is the sum of squares; ten times the base-10 logarithm of the quotient"
    return judge(function, cases, hint, "half the amplitude is a quarter of the energy, −6 dB.", tolerance=1e-6)


def check_sound_of_box(function: Callable[[Any, Any], Any]) -> Verdict:
    """The sound of a box from those of its cells (h, w, L) and the areas covered (notebook 11_listen_to_pixels)."""
    generator, cases = np.random.default_rng(0), []
    for shape in ((2, 3), (4, 2)):
        sounds, covered = generator.standard_normal((*shape, 7)), generator.random(shape)
        covered[0, 0] = 0  # a cell outside the box
        cases.append(((sounds, covered), np.average(sounds.reshape(-1, 7), axis=0, weights=covered.ravel())))
    hint = "weigh every sound with its cell's area, add up over rows and columns, divide by the whole area"
    return judge(function, cases, hint, "sounds may be averaged instead of masks.", tolerance=1e-6)


def check_remix_in_db(function: Callable[[Any, Any], Any]) -> Verdict:
    """Waveforms (R, L), each louder by its number of dB, mixed (L,) (notebook 11_listen_to_pixels)."""
    generator, cases = np.random.default_rng(0), []
    for decibels in ([0.0, 0.0], [6.0, -6.0], [-20.0, 3.0, 0.0]):
        waveforms = generator.standard_normal((len(decibels), 9))
        cases.append(((waveforms, np.array(decibels)), 10 ** (np.array(decibels) / 20) @ waveforms))
    hint = "a level in dB becomes a factor for amplitudes by 10 ** (level / 20); then add the waveforms up"
    return judge(function, cases, hint, "+6 dB doubles an amplitude, −6 dB halves it, 0 dB leaves it.", tolerance=1e-6)
