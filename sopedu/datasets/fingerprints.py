"""Fingerprints of sounds and frames: clips that hold the same recording share them, whatever their file format.

Sound: the signs of energy differences between neighbouring bands and moments, 32 bits per moment, which survive
compression and changes of level. Kept are the moments whose bits say so (one in twelve), so that two clips cut from one
recording at different starts keep the same ones.

Frames: the signs of brightness differences between neighbouring cells, 64 bits per frame.

Source: Haitsma and Kalker, A Highly Robust Audio Fingerprinting System, ISMIR 2002.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

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
_SHARED = 4  # moments that two sounds must have in common …
_SHARE = 0.35  # … and which part of the smaller one's
_MARGIN = 3.0  # of 255: cells that are equally bright but for compression stay equal
_COMMON = 200  # a pattern of bits in more clips than this tells nothing, such as that of a test tone


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


def same_sounds(prints: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Yield pairs of sounds that hold the same recording, first number below second.

    Memory and time grow with the number of kept moments, not with the number of pairs.

    Args:
        prints: of each sound, see :func:`sound_prints`.
    """
    owners = np.repeat(np.arange(len(prints), dtype=np.int32), [len(one) for one in prints])
    values = np.concatenate(prints) if len(prints) else np.zeros(0, np.uint32)
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.diff(values[order])) + 1
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for same in np.split(owners[order], ends):
        if 2 <= len(same) <= _COMMON:
            clips = np.sort(same).tolist()
            for place, first in enumerate(clips):
                for second in clips[place + 1 :]:
                    shared[first, second] += 1
    for (first, second), count in sorted(shared.items()):
        fewest = min(len(prints[first]), len(prints[second]))
        if count >= max(_SHARED, _SHARE * fewest):
            yield first, second


def same_pictures(prints: Sequence[np.ndarray], most_bits: int = 2) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips whose frames look the same, first number below second.

    Args:
        prints: ``(n,)`` uint64 of each clip's frames, see :func:`frame_print`.
        most_bits: of 64, in which frames may differ that count as the same.
    """
    blocks: dict[tuple[int, int], list[int]] = defaultdict(list)
    for clip, one in enumerate(prints):
        # Frames that differ in at most `most_bits` bits agree in at least one of as many blocks and one more.
        for place in range(most_bits + 1):
            width = 64 // (most_bits + 1)
            block = (one >> np.uint64(place * width)) & np.uint64((1 << width) - 1)
            for value in np.unique(block).tolist():
                blocks[place, value].append(clip)
    candidates = {
        (first, second)
        for clips in blocks.values()
        if len(clips) <= _COMMON
        for place, first in enumerate(clips)
        for second in clips[place + 1 :]
    }
    for first, second in sorted(candidates):
        if len(prints[first]) and len(prints[second]):
            differing = np.bitwise_count(prints[first][:, None] ^ prints[second][None])
            if np.mean(differing.min(1) <= most_bits) >= 0.8 and np.mean(differing.min(0) <= most_bits) >= 0.8:
                yield first, second
