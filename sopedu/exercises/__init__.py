"""Checks for the exercises of the notebooks: each says pass, fail with a hint, or not attempted.

A check takes the learner's answer and returns a :class:`Verdict`, which a notebook shows as one line. A stub returns
(or is) ``...``, so that a notebook runs from top to bottom before anything is solved.

    >>> check_seconds_to_samples(lambda seconds, sample_rate: round(seconds * sample_rate))
    ✓ pass: seconds times samples a second gives samples.
"""

from sopedu.exercises.first_steps import (
    check_bins_never_read,
    check_harmonic_tone,
    check_seconds_to_samples,
    check_shapes,
    check_spectrogram_shape,
    check_trio,
)
from sopedu.exercises.judging import Verdict

__all__ = [
    "Verdict",
    "check_bins_never_read",
    "check_harmonic_tone",
    "check_seconds_to_samples",
    "check_shapes",
    "check_spectrogram_shape",
    "check_trio",
]
