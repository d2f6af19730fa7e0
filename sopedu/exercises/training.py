"""Checks for notebook 09_train_live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sopedu.exercises.judging import Verdict, judge


def check_hours_of_mixtures(function: Callable[[int, int, float], float]) -> Verdict:
    """Hours of mixtures that a training hears (notebook 09_train_live)."""
    cases = [((200, 16, 1.5), 4 / 3), ((67_000, 80, 5.944), 67_000 * 80 * 5.944 / 3600), ((0, 16, 1.5), 0.0)]
    hint = "steps times mixtures a step times seconds, in hours of 3600 seconds"
    return judge(function, cases, hint, "each of B solos meets one other, so a step hears B mixtures.", 1e-3)


def check_rate_factor(function: Callable[[int, int, int], float]) -> Verdict:
    """Warm-up along a line, then half a cosine (notebook 09_train_live)."""
    from sopedu.config import TrainingConfig
    from sopedu.optimization import rate_factor

    settings = TrainingConfig(steps=100, schedule="cosine", warmup_share=0.1)
    cases = [((step, 100, 10), rate_factor(step, settings)) for step in (0, 5, 9, 10, 55, 99)]
    hint = "below warmup (step + 1) / (warmup + 1), else half of 1 + cos(π · share) of the steps after it"
    return judge(function, cases, hint, "up along a line, down along a cosine, as in sopedu.train.", 1e-6)


def check_lost_by_swapping(function: Callable[[Any, Any], float]) -> Verdict:
    """What swapped pictures cost, over the pairs that have both scores (notebook 09_train_live)."""
    nan = np.nan
    cases = [
        ((np.array([6.0, 4.0]), np.array([-5.0, -3.0])), 9.0),
        ((np.array([6.0, nan, 2.0]), np.array([0.0, -9.0, 1.0])), 3.5),
        ((np.array([8.0, 2.0]), np.array([nan, 2.0])), 0.0),
    ]
    hint = "take the difference pair by pair first, then the mean over those that are numbers"
    return judge(function, cases, hint, "pairs without both scores are left out of both means.", 1e-6)
