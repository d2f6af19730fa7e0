"""Check for notebook 16_real_data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge


def check_frame_rate(function: Callable[[Sequence[int], Sequence[float]], float]) -> Verdict:
    """Median of frames per second over the clips that have sound (notebook 16_real_data)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        yield ([80, 40, 160], [10.0, 5.0, 20.0]), 8.0
        yield ([80, 80, 90], [10.0, 0.0, 3.0]), 19.0  # the middle of 8 and 30
        yield ([250], [10.0]), 25.0
        yield ([25, 27, 29], [2.0, 2.0, 2.0]), 13.5
        for _ in range(20):
            rate, clips = float(chance.choice([1, 8, 25, 30])), int(chance.integers(3, 12))
            seconds = chance.integers(2, 40, clips).astype(float)
            counts = (seconds * rate).astype(int)
            broken = chance.integers(clips)
            counts[broken] = int(chance.integers(1, 2000))  # moves the mean, hardly the median
            seconds[chance.integers(clips)] *= float(chance.integers(0, 2))
            known = np.sort(counts[seconds > 0] / seconds[seconds > 0])
            half = len(known) // 2
            yield (counts.tolist(), seconds.tolist()), float(known[half] + known[~half]) / 2

    hint = "one rate per clip, none for clips without sound; which mean is not moved by one broken clip?"
    return judge(function, cases, hint, "the data itself says how fast its frames are.", 1e-6)
