"""Fingerprints of sounds and frames: clips that hold the same recording share them, whatever their file format.

Sound: the signs of energy differences between neighbouring bands and moments, 32 bits per moment, which survive
compression and changes of level. Kept are the moments whose bits say so (one in twelve), so that two clips cut from one
recording at different starts keep the same ones.

Frames: the signs of brightness differences between neighbouring cells, 64 bits per frame.

Source: Haitsma and Kalker, A Highly Robust Audio Fingerprinting System, ISMIR 2002.
"""

from __future__ import annotations

import numpy as np

_RATE = 11025  # hertz
_WINDOW, _HOP = 4096, 128  # samples: 0.37 s and 12 ms
_LAG = 4  # hops between the moments that are compared
_BANDS = 33  # 32 differences
_LOWEST, _HIGHEST = 300.0, 4000.0  # hertz
_KEPT = 12  # one moment in twelve is kept
_FLOOR = 1e-3  # of the loudest moment's energy: what is softer is noise
_NOISE = 1e-3  # of a moment's energy
_FEWEST_BITS = 5  # set in a moment that tells something
_MARGIN = 3.0  # of 255: cells that are equally bright but for compression stay equal


def sound_prints(waveform: np.ndarray, sample_rate: int = _RATE) -> np.ndarray:
    """Compute the kept moments' bits of a sound.

    Args:
        waveform: mono ``(L,)``.
        sample_rate: in hertz.

    Returns:
        ``(n,)`` uint32, sorted, each once; empty for silence and for sounds shorter than 0.4 s.
    """
    if len(waveform) < _WINDOW:
        return np.zeros(0, np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(waveform, np.float32), _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    highest = min(_HIGHEST, 0.9 * sample_rate / 2)
    edges = np.geomspace(_LOWEST, highest, _BANDS + 1) * _WINDOW / sample_rate
    bands = np.add.reduceat(power, edges.astype(int)[:-1], axis=1)
    across = bands[:, :-1] - bands[:, 1:]
    energy = bands[_LAG:].sum(1)
    # The margin keeps bands that are nearly silent, where noise would decide, at 0.
    signs = across[_LAG:] - across[:-_LAG] > _NOISE * energy[:, None]
    telling = (energy > _FLOOR * max(float(energy.max(initial=0.0)), 1e-12)) & (signs.sum(1) >= _FEWEST_BITS)
    heard = signs[telling]
    bits = np.packbits(heard, axis=1).view(">u4").ravel().astype(np.uint64)
    # Mixed bits choose the moments, so that the choice does not follow the sound.
    kept = bits[(bits * np.uint64(2654435761) >> np.uint64(13)) % np.uint64(_KEPT) == 0]
    return np.unique(kept).astype(np.uint32)


def frame_print(brightness: np.ndarray) -> int:
    """Compute the 64 bits of a frame.

    Args:
        brightness: ``(h, w)``, at least 8 × 9.
    """
    rows = np.array_split(np.asarray(brightness, float), 8)
    cells = np.array([[part.mean() for part in np.array_split(row, 9, axis=1)] for row in rows])
    brighter = cells[:, 1:] > cells[:, :-1] + _MARGIN
    return int(np.packbits(brighter.ravel()).view(">u8")[0])
