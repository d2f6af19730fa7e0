"""Checks for notebook 13_train_full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import Verdict, judge

# Convolutions as (batch, inputs, outputs, kernel, rows, columns).
_LAYERS = ((1, 1, 1, 1, 1, 1), (2, 3, 5, 3, 8, 6), (80, 64, 64, 3, 56, 56), (80, 512, 512, 3, 4, 4))


def _layers(chance: np.random.Generator) -> Iterator[tuple[int, ...]]:
    yield from _LAYERS
    for _ in range(4):
        batch, inputs, outputs, rows, columns = (int(chance.integers(1, 99)) for _ in range(5))
        yield batch, inputs, outputs, int(chance.choice([1, 3, 5, 7])), rows, columns


def check_conv_flop(function: Callable[[int, int, int, int, int, int], float]) -> Verdict:
    """FLOP of a convolution, forward and backward, compared with torch's counter (notebook 13_train_full)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for layer in _layers(chance):
            yield layer, _counted(*layer)

    hint = (
        "how many products does one number of the output take? A product comes with a sum; and there are three passes"
    )
    return judge(function, cases, hint, "torch.utils.flop_counter counts the same.", tolerance=1e-9)


def _counted(batch: int, inputs: int, outputs: int, kernel: int, rows: int, columns: int) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):  # counted, not computed
        layer = torch.nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        picture = torch.empty(batch, inputs, rows, columns, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(picture).sum().backward()
    return counter.get_total_flops()


def check_within_reach(function: Callable[..., float]) -> Verdict:
    """TFLOP/s that a convolution can reach under the roof of a device, in bf16 (notebook 13_train_full)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for rate, bandwidth in ((500.0, 2.5), (0.1, 0.01), (60.0, 0.9)):
            for layer in _layers(chance):
                batch, inputs, outputs, kernel, rows, columns = layer
                bytes_moved = 2 * sum(
                    np.prod(shape, dtype=float)
                    for shape in (
                        (batch, inputs, rows, columns),
                        (batch, outputs, rows, columns),
                        (outputs, inputs, kernel, kernel),
                    )
                )
                flop = 2.0 * np.prod((batch, outputs, rows, columns, inputs, kernel, kernel), dtype=float)
                yield (layer, rate, bandwidth), float(np.minimum(rate, flop / (bytes_moved / bandwidth)))

    hint = (
        "FLOP over bytes is the intensity; every pass touches input, output and weights once, two bytes per number; "
        "what the memory allows may be more than the device can multiply"
    )
    praise = "what reaches the rate is compute-bound, what stays below it is memory-bound."
    return judge(function, cases, hint, praise)


def check_hours_to_plan(function: Callable[[float, float, int, int, int], float]) -> Verdict:
    """Hours that a training takes at most if it is killed some times (notebook 13_train_full)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        yield (4_700_000, 1000, 80, 500, 0), 4700 / 3600
        yield (4_700_000, 1000, 80, 500, 3), 4820 / 3600
        yield (80_000, 100, 40, 1000, 2), 1600 / 3600
        for _ in range(20):
            mixtures, speed, batch, every, kills = (
                int(chance.integers(1, most)) for most in (5_000_000, 2000, 200, 2000, 9)
            )
            seconds = mixtures / speed + sum(every * batch / speed for _ in range(kills))
            yield (mixtures, speed, batch, every, kills), seconds / 3600

    hint = "how many mixtures are made twice? Steps are not mixtures; and an hour has 3600 seconds"
    return judge(function, cases, hint, "mixtures, and those made twice, divided by mixtures per second.")
