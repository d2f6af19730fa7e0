"""Checks for notebook 13_train_full."""

from __future__ import annotations

from collections.abc import Callable

from sopedu.lessons.exercises.judging import Verdict, judge

# Convolutions as (batch, inputs, outputs, kernel, rows, columns).
_LAYERS = ((1, 1, 1, 1, 1, 1), (2, 3, 5, 3, 8, 6), (80, 64, 64, 3, 56, 56), (80, 512, 512, 3, 4, 4))


def check_conv_flop(function: Callable[[int, int, int, int, int, int], float]) -> Verdict:
    """FLOP of a convolution, forward and backward, compared with torch's counter (notebook 13_train_full)."""
    cases = [(layer, _counted(*layer)) for layer in _LAYERS]
    hint = (
        "each number of the output needs inputs · kernel² products and as many sums; backward is two such passes more"
    )
    return judge(function, cases, hint, "torch.utils.flop_counter counts the same.", tolerance=0.5)


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
    cases = []
    for rate, bandwidth in ((500.0, 2.5), (0.1, 0.01)):
        for batch, inputs, outputs, kernel, rows, columns in _LAYERS:
            layer = (batch, inputs, outputs, kernel, rows, columns)
            numbers = batch * rows * columns * (inputs + outputs) + inputs * outputs * kernel**2
            flop = 6 * batch * rows * columns * inputs * outputs * kernel**2
            cases.append(((layer, rate, bandwidth), min(rate, bandwidth * flop / (6 * numbers))))
    hint = (
        "three passes, each touches input, output and weights once with 2 bytes per number; the smaller of rate and "
        "bandwidth · FLOP / bytes is within reach"
    )
    praise = "what reaches the rate is compute-bound, what stays below it is memory-bound."
    return judge(function, cases, hint, praise, tolerance=1e-6)


def check_hours_to_plan(function: Callable[[float, float, int, int, int], float]) -> Verdict:
    """Hours that a training takes at most if it is killed some times (notebook 13_train_full)."""
    cases = [
        ((4_700_000, 1000, 80, 500, 0), 4700 / 3600),
        ((4_700_000, 14, 80, 500, 0), 4_700_000 / 14 / 3600),
        ((4_700_000, 1000, 80, 500, 3), 4820 / 3600),
        ((80_000, 100, 40, 1000, 2), 1600 / 3600),
    ]
    hint = (
        "every kill costs at most save_every steps of batch_size mixtures once more; divide by the speed, then by 3600"
    )
    return judge(
        function, cases, hint, "mixtures, and those made twice, divided by mixtures per second.", tolerance=1e-6
    )
