"""Change the sample rate of waveforms, whole or in blocks; check waveforms and rates.

Notebook: 01_sound_and_spectrograms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, gcd
from typing import Any

import numpy as np

from sopedu.errors import SopeduError, whole_number


def resample(waveform: Any, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate with a polyphase filter that removes frequencies above half the new rate.

    Args:
        waveform: (L,) array or tensor; one channel.
        from_rate: sample rate of the waveform, in hertz, a whole number.
        to_rate: sample rate of the result, in hertz, a whole number.

    Returns:
        (ceil(L · to_rate / from_rate),) float32.

    Raises:
        SopeduError: the waveform is not one-dimensional or not finite; a rate is not a whole number of hertz.

    Notebook: 01_sound_and_spectrograms.
    """
    waveform, (step_in, step_out) = as_waveform(waveform, may_be_empty=True), rate_steps(from_rate, to_rate)
    if step_in == step_out:
        return waveform
    from scipy.signal import resample_poly

    return resample_poly(waveform, step_out, step_in).astype(np.float32, copy=False)


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Change the sample rate of a signal that comes in blocks; together the results equal `resample` of the whole.

    Args:
        blocks: (n,) float arrays of any lengths.
        from_rate: sample rate of the blocks, in hertz, a whole number.
        to_rate: sample rate of the result, in hertz, a whole number.

    Yields:
        (m,) float32, about a second each: memory does not grow with the length.

    Raises:
        SopeduError: as for `resample`.
    """
    step_in, step_out = rate_steps(from_rate, to_rate)
    margin = filter_reach(from_rate, to_rate) * step_in
    chunk = ceil(from_rate / step_in) * step_in
    held, before = np.zeros(0, np.float32), 0  # `before` of its samples are there for the filter only
    waiting, count = list[np.ndarray](), 0
    for block in blocks:
        waiting.append(np.asarray(block, np.float32))
        count += len(waiting[-1])
        if len(held) + count < before + chunk + margin:
            continue
        held, count = np.concatenate([held, *waiting]), 0
        waiting.clear()
        while len(held) >= before + chunk + margin:
            done = resample(held[: before + chunk + margin], from_rate, to_rate)
            first = before // step_in * step_out
            yield done[first : first + chunk // step_in * step_out]
            kept = min(margin, before + chunk)
            held, before = held[before + chunk - kept :], kept
    held = np.concatenate([held, *waiting])
    rest = resample(held, from_rate, to_rate)[before // step_in * step_out :] if len(held) > before else held[:0]
    if len(rest):
        yield rest


def as_waveform(waveform: Any, may_be_empty: bool = False) -> np.ndarray:
    """Return a waveform as a checked float32 array.

    Args:
        waveform: (L,) array or tensor, also on a GPU.
        may_be_empty: allow L = 0.

    Returns:
        (L,) float32.

    Raises:
        SopeduError: it is empty but may not be, not one-dimensional, or holds NaN or infinite samples.
    """
    if hasattr(waveform, "detach"):
        waveform = waveform.detach().cpu()
    try:
        samples = np.asarray(waveform, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SopeduError(f"a waveform is an array of numbers (L,), not {waveform!r:.40}") from error
    if samples.ndim != 1 or not (samples.size or may_be_empty):
        raise SopeduError(f"a waveform has the shape (L,) with L ≥ 1, this one has {samples.shape}; pass one channel")
    if not np.isfinite(samples).all():
        raise SopeduError("the waveform holds samples that are not numbers (NaN or infinite)")
    return samples


def whole_rate(rate: Any) -> int:
    """Return a sample rate as ``int``.

    Args:
        rate: in hertz.

    Raises:
        SopeduError: it is not a whole number of 1 or more.
    """
    try:
        return whole_number(rate, "sample rate", 1)
    except SopeduError as error:
        raise SopeduError(f"the sample rate is {rate!r:.40}: pass a whole number of hertz, such as 11025") from error


def rate_steps(from_rate: int, to_rate: int) -> tuple[int, int]:
    """Return the smallest whole numbers of samples at both rates that last equally long.

    Args:
        from_rate: in hertz.
        to_rate: in hertz.
    """
    from_rate, to_rate = map(whole_rate, (from_rate, to_rate))
    divisor = gcd(from_rate, to_rate)
    return from_rate // divisor, to_rate // divisor


def filter_reach(from_rate: int, to_rate: int) -> int:
    """Return how far the filter of `resample` reaches (10 samples of the lower rate, and a margin), in rate steps.

    Args:
        from_rate: in hertz.
        to_rate: in hertz.
    """
    return ceil(12 * max(1.0, from_rate / to_rate) / rate_steps(from_rate, to_rate)[0])
