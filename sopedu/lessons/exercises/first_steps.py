"""Checks for notebooks 00_start_here and 01_sound_and_spectrograms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from sopedu.lessons.exercises.differences import Either, missing, short
from sopedu.lessons.exercises.judging import NOT_ATTEMPTED, Verdict, judge, settle


def check_shapes(answer: Any) -> Verdict:
    """A dictionary with the shapes of frames, mixture, stems and boxes of a trio (notebook 00_start_here)."""
    if missing(answer):
        return NOT_ATTEMPTED
    hint = "ask of each number: does it count performers, frames, pixels, colours, samples or corners?"
    praise = "one row per performer in stems and boxes, one entry per frame in frames and boxes."
    return settle("check_shapes", _wrong_shape(answer), hint, praise)


def _wrong_shape(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"expected a dictionary of four shapes, found {short(answer)}"
    expected = {"frames": (2, 64, 64, 3), "mixture": (11025,), "stems": (3, 11025), "boxes": (3, 2, 4)}
    for name, shape in expected.items():
        found = answer.get(name)
        if found is None:
            return f"{name} has no shape yet"
        if missing(found):
            return f"{name} is still `...`"
        if not isinstance(found, (tuple, list)):
            return f"{name}: expected a tuple, as in (5,) or (5, 7), found {short(found)}"
        if len(found) != len(shape):
            return f"{name}: expected a tuple of {len(shape)}, found {short(found)}, a tuple of {len(found)}"
        wrong = [place for place, (one, other) in enumerate(zip(found, shape, strict=True)) if one != other]
        if wrong:
            places = " and ".join(map(str, wrong))
            return f"{name}: found {short(found)}, which is wrong at position {places}, counted from 0"
    return ""


def check_trio(scene: Any) -> Verdict:
    """A scene with three performers of whom only the middle one plays (notebook 00_start_here)."""
    if missing(scene):
        return NOT_ATTEMPTED
    problem = _wrong_trio(scene)
    praise = problem or f"three are seen and only the {scene.labels[1].replace('_', ' ')} is heard."
    hint = "`performers` says how many, `seed` which ones; `playing` lists positions, and Python counts from 0"
    return settle("check_trio", problem, hint, praise)


def _wrong_trio(scene: Any) -> str:
    from sopedu.toyband.scenes import Scene
    from sopedu.toyband.scenes import scene as rendered

    if not isinstance(scene, Scene):
        return f"expected what sopedu.scene returns, found {short(scene)}"
    if len(scene.labels) != 3:
        return f"expected three performers, found {len(scene.labels)}"
    heard = [int(who) for who in np.flatnonzero(np.abs(scene.stems.astype(int)).max(axis=1))]
    if heard != [1]:
        names = " and ".join(f"performer {who}, counted from 0" for who in heard) or "nobody"
        return f"expected that only the one in the middle is heard, found {names}"
    ours = rendered(3, seed=7, size=8, samples=1, times=(0.0,)).labels
    if scene.labels != ours:
        return f"expected {', '.join(ours)}, whom seed 7 draws; found other performers: {', '.join(scene.labels)}"
    return ""


def check_seconds_to_samples(function: Callable[[float, int], int]) -> Verdict:
    """Length in samples of a time in seconds (notebook 01_sound_and_spectrograms)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        times = [(1.0, 11025), (2.5, 8000), (0.0, 44100), (0.4001, 10000), (0.4999, 1000), (0.1, 11025), (0.5, 11025)]
        for _ in range(40):
            times.append((round(float(chance.uniform(0, 30)), 4), int(chance.choice([8000, 11025, 16000, 44100]))))
        for seconds, rate in times:
            exact = Fraction(seconds) * rate
            half = abs(exact - int(exact) - Fraction(1, 2)) < 1e-6  # halves may go up, down or to the even number
            yield (seconds, rate), Either((int(exact), int(exact) + 1)) if half else int(exact + Fraction(1, 2))

    hint = "a sample rate of 11025 means 11025 samples in one second; `int` cuts off, `round` goes to the nearest"
    return judge(function, cases, hint, "seconds times samples per second gives samples.", tolerance=0.0)


def check_harmonic_tone(function: Callable[[float, float, int], Any]) -> Verdict:
    """Five harmonics with amplitudes 1/n (notebook 01_sound_and_spectrograms)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for rate in (11025, 8000, 11025, 16000):
            samples, frequency = int(chance.integers(100, 400)), round(float(chance.uniform(100, 700)), 1)
            turns = frequency / rate * np.arange(samples)
            # 0.4 of a sample is added, so that rounding and cutting off give the same length.
            yield (
                (frequency, (samples + 0.4) / rate, rate),
                np.sin(2 * np.pi * np.outer([1, 2, 3, 4, 5], turns)).T @ (1 / np.arange(1, 6)),
            )

    hint = "harmonic 3 swings three times as fast as the first and has a third of its amplitude; there are five"
    return judge(function, cases, hint, "five lines, equally far apart, each weaker than the one below.", 1e-2)


def check_spectrogram_shape(function: Callable[[int, int, int], tuple[int, int]]) -> Verdict:
    """Shape (F, T) of an STFT of L samples (notebook 01_sound_and_spectrograms)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        sizes = [(32767, 1022, 256), (1000, 256, 100), (1000, 256, 1000), (300, 256, 512), (1024, 256, 256)]
        sizes += [(int(chance.integers(300, 3000)), 2 * int(chance.integers(8, 128)), h) for h in range(30, 240, 9)]
        for samples, n_fft, hop in sizes:
            window, silence = torch.ones(n_fft), torch.zeros(samples)
            yield (samples, n_fft, hop), torch.stft(silence, n_fft, hop, window=window, return_complex=True).shape

    hint = (
        "a window of 8 real numbers has 5 frequencies: 0 and up to 4 swings; of 10 samples at hop 3, windows are "
        "centred on samples 0, 3, 6 and 9"
    )
    return judge(function, cases, hint, "F = n_fft // 2 + 1 and T = 1 + L // hop.", tolerance=0.0)


def check_bins_never_read(function: Callable[[Any], int]) -> Verdict:
    """Number of linear bins that no row of a warp matrix uses (notebook 01_sound_and_spectrograms)."""
    import torch

    from sopedu.audio.spectrogram import warp
    from sopedu.config import SpectrogramConfig

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        matrices = [np.array([[1.0, 0, 0, 0], [0, 0.5, 0.5, 0]]), np.eye(3), np.zeros((2, 5))]
        for rows, bins in ((4, 4), (3, 9), (6, 2), (1, 7), (5, 12)):
            matrices.append(chance.random((rows, bins)) * (chance.random((rows, bins)) < 0.3))
        for matrix in matrices:
            unread = set(range(matrix.shape[1])) - {int(column) for _, column in zip(*matrix.nonzero(), strict=True)}
            yield (torch.from_numpy(matrix).float(),), len(unread)
        yield (warp(torch.eye(512), SpectrogramConfig(log_frequency_bins=128)),), 298

    hint = "a bin is a column of the matrix, and it is never read if all the weights in its column are zero"
    return judge(function, cases, hint, "298 of 512 bins leave no trace.", tolerance=0.0)
