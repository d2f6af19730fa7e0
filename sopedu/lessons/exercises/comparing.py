"""Check for notebook 15_k_and_loss."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_mean_and_spread(function: Callable[[np.ndarray], tuple[float, float]]) -> Verdict:
    """Mean and standard deviation of the scores of several seeds (notebook 15_k_and_loss)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        rows = [[11.5, 11.2, 9.9], [-3.0, 5.0], [2.0, 2.0, 2.0]]
        rows += [chance.normal(10, 3, seeds).round(1).tolist() for seeds in (3, 5, 12)]
        for row in rows:
            yield (np.array(row),), (statistics.mean(row), statistics.stdev(row))

    hint = "the spread is a root of squared deviations from the mean; is their sum divided by n, or by n − 1?"
    return judge(function, cases, hint, "a difference between two settings counts if it is larger than this.")
