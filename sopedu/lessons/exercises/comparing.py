"""Check for notebook 15_k_and_loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_mean_and_spread(function: Callable[[np.ndarray], tuple[float, float]]) -> Verdict:
    """Mean and standard deviation of the scores of several seeds (notebook 15_k_and_loss)."""
    generator = np.random.default_rng(15)
    several = [np.array([11.5, 11.2, 9.9]), np.array([-3.0, 5.0]), *(generator.normal(10, 3, n) for n in (3, 5, 12))]
    cases = [((scores,), (float(np.mean(scores)), float(np.std(scores, ddof=1)))) for scores in several]
    hint = "the mean, then the root of the sum of squared deviations over their number minus one"
    return judge(function, cases, hint, "a difference between two settings counts if it is larger than this.", 1e-6)
