"""Checks for notebooks 00_start_here and 01_sound_and_spectrograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sopedu.lessons.exercises.judging import NOT_ATTEMPTED, Verdict, judge, missing, short


def check_shapes(answer: Any) -> Verdict:
    """A dictionary with the shapes of frames, mixture, stems and boxes of a trio (notebook 00_start_here)."""
    expected = {"frames": (2, 64, 64, 3), "mixture": (11025,), "stems": (3, 11025), "boxes": (3, 2, 4)}
    if missing(answer) or (isinstance(answer, dict) and all(missing(shape) for shape in answer.values())):
        return NOT_ATTEMPTED
    if not isinstance(answer, dict):
        return Verdict("fail", f"expected a dictionary of four shapes, found {short(answer)}.")
    for name, shape in expected.items():
        found = answer.get(name)
        if found != shape:
            hint = f"it has {len(shape)} axes" if _axes(found) != len(shape) else "its axes are right, a length is not"
            return Verdict("fail", f"{name} is not {short(found)}: {hint}.")
    return Verdict("pass", "one row per performer in stems and boxes, one entry per frame in frames and boxes.")


def check_trio(scene: Any) -> Verdict:
    """A scene with three performers of whom only the middle one plays (notebook 00_start_here)."""
    if missing(scene):
        return NOT_ATTEMPTED
    if not hasattr(scene, "stems"):
        return Verdict("fail", f"expected what sopedu.scene returns, found {short(scene)}.")
    if len(scene.labels) != 3:
        return Verdict(
            "fail", f"{len(scene.labels)} performers are drawn; the first argument of sopedu.scene says how many."
        )
    heard = [int(who) for who in np.flatnonzero(np.abs(scene.stems).max(axis=1))]
    if heard != [1]:
        return Verdict("fail", f"performers {heard} sound; `playing` lists positions, and counting starts at 0.")
    return Verdict("pass", f"three are seen and only the {scene.labels[1].replace('_', ' ')} is heard.")


def check_seconds_to_samples(function: Callable[[float, int], int]) -> Verdict:
    """Length in samples of a time in seconds (notebook 01_sound_and_spectrograms)."""
    cases = [((1.0, 11025), 11025), ((2.5, 8000), 20000), ((0.1, 11025), 1102), ((0.0, 44100), 0)]
    hint = "a sample rate of 11025 means 11025 samples in one second; use round() for a whole number"
    return judge(function, cases, hint, "seconds times samples per second gives samples.", tolerance=0.0)


def check_harmonic_tone(function: Callable[[float, float, int], Any]) -> Verdict:
    """Five harmonics with amplitudes 1/n (notebook 01_sound_and_spectrograms)."""
    cases = []
    for frequency, seconds, rate in ((220.0, 0.05, 11025), (300.0, 0.02, 8000)):
        turns = frequency * np.arange(round(seconds * rate)) / rate
        sum_of_sines = sum(np.sin(2 * np.pi * n * turns) / n for n in range(1, 6))
        cases.append(((frequency, seconds, rate), sum_of_sines))
    hint = "harmonic n has the frequency n · frequency and the amplitude 1/n, for n = 1, 2, 3, 4, 5"
    return judge(function, cases, hint, "five lines, equally far apart, each weaker than the one below.", 1e-2)


def check_spectrogram_shape(function: Callable[[int, int, int], tuple[int, int]]) -> Verdict:
    """Shape (F, T) of an STFT of L samples (notebook 01_sound_and_spectrograms)."""
    cases = [((32767, 1022, 256), (512, 128)), ((65535, 1022, 256), (512, 256)), ((1000, 256, 100), (129, 11))]
    hint = "a real signal has n_fft // 2 + 1 frequencies, and a window is centred on every hop-th sample, from 0 on"
    return judge(function, cases, hint, "F = n_fft // 2 + 1 and T = 1 + L // hop.", tolerance=0.0)


def check_bins_never_read(function: Callable[[Any], int]) -> Verdict:
    """Number of linear bins that no row of a warp matrix uses (notebook 01_sound_and_spectrograms)."""
    import torch

    from sopedu.audio.spectrogram import warp
    from sopedu.config import SpectrogramConfig

    small = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]])
    large = warp(torch.eye(512), SpectrogramConfig(log_frequency_bins=128))
    hint = "a bin is a column of the matrix, and it is never read if all the weights in its column are zero"
    return judge(function, [((small,), 1), ((large,), 298)], hint, "298 of 512 bins leave no trace.", tolerance=0.0)


def _axes(shape: Any) -> int:
    return len(shape) if isinstance(shape, tuple) else -1
