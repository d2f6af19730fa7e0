"""Tones to test sounds with: what becomes of them is known."""

from __future__ import annotations

import numpy as np

RATE = 44100


def sine(frequency: float, seconds: float, rate: int = RATE, amplitude: float = 0.5) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def inner(waveform: np.ndarray, rate: int = 11025) -> np.ndarray:
    """Without the first and last twentieth of a second, where a filter sees the end of the sound."""
    return waveform[rate // 20 : -(rate // 20)]
