"""Fingerprints of sounds and frames: clips that hold the same recording share them, whatever their file format.

Sound: the signs of energy differences between neighbouring bands and moments, 32 bits per moment, which survive
compression and changes of level. Kept are the moments whose bits say so (one in twelve), so that two clips cut from one
recording at different starts keep the same ones.

Frames: the signs of brightness differences between neighbouring cells, 64 bits per frame.

Source: Haitsma and Kalker, A Highly Robust Audio Fingerprinting System, ISMIR 2002.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

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
_ALIKE = 0.8  # part of the frames of two clips that look the same
_AT_ONCE = 20_000  # pairs of clips whose frames are compared together
_BLOCK_OF_PAIRS = 1 << 20  # shared fingerprints that are counted together
_SORTED_APART, _SORTED_AT_ONCE = 16, 1 << 20  # parts in which more fingerprints than these are sorted
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


class Prints:
    """Fingerprints of many clips in one block of memory.

    Args:
        clips: how many there are.
        kind: ``I`` for the 32 bits of sounds, ``Q`` for the 64 bits of frames.
    """

    def __init__(self, clips: int, kind: str) -> None:
        self._values, self._order = array(kind), array("i")
        self._ends = np.zeros((2, clips), np.int64)  # of each clip: begin and end in the values

    @classmethod
    def of(cls, prints: Sequence[np.ndarray], kind: str) -> Prints:
        """Return the fingerprints of some clips.

        Args:
            prints: of each clip.
            kind: see the class.
        """
        held = cls(len(prints), kind)
        for clip, one in enumerate(prints):
            held.add(clip, one)
        return held

    def add(self, clip: int, prints: np.ndarray) -> None:
        """Add the fingerprints of a clip; clips may come in any order.

        Args:
            clip: its number.
            prints: ``(n,)``.
        """
        begin = len(self._values)
        self._values.frombytes(prints.astype(self._values.typecode).tobytes())
        self._order.append(clip)
        self._ends[:, clip] = begin, len(self._values)

    def __len__(self) -> int:
        """Return the number of clips."""
        return self._ends.shape[1]

    def __getitem__(self, clip: int) -> np.ndarray:
        """Return the fingerprints of a clip."""
        begin, end = self._ends[:, clip]
        return np.array(self._values[begin:end], self._values.typecode)

    @property
    def starts(self) -> np.ndarray:
        """Where the fingerprints of each clip begin in `values`."""
        return self._ends[0]

    @property
    def counts(self) -> np.ndarray:
        """How many fingerprints each clip has."""
        return self._ends[1] - self._ends[0]

    @property
    def values(self) -> np.ndarray:
        """All fingerprints, in the order in which the clips came."""
        return np.frombuffer(self._values, self._values.typecode) if len(self._values) else np.zeros(0, "I")

    @property
    def owners(self) -> np.ndarray:
        """The clip of each fingerprint, int32."""
        order = np.array(self._order, np.int32)
        return np.repeat(order, self.counts[order])


def same_sounds(prints: Prints) -> Iterator[tuple[int, int]]:
    """Yield pairs of sounds that hold the same recording, first number below second.

    Args:
        prints: of each sound, see :func:`sound_prints`.
    """
    counts = prints.counts
    for first, second, shared in _pairs(prints.values, prints.owners, len(prints)):
        fewest = np.minimum(counts[first], counts[second])
        same = shared >= np.maximum(_SHARED, _SHARE * fewest)
        yield from zip(first[same].tolist(), second[same].tolist(), strict=True)


def same_pictures(
    prints: Prints, parts: np.ndarray | None = None, most_bits: int = 2
) -> Iterator[tuple[int, int]]:  # fmt: skip
    """Yield pairs of clips whose frames look the same, first number below second.

    Args:
        prints: of each clip's frames, see :func:`frame_print`.
        parts: ``(n,)`` int; only pairs of clips of different parts are looked for. None: all pairs.
        most_bits: of 64, in which frames may differ that count as the same.
    """
    # Frames that differ in at most `most_bits` bits agree in at least one of as many pieces and one more.
    values, pieces = prints.values.astype(np.uint64), most_bits + 1
    width = 64 // pieces
    mask, shift = np.uint64((1 << width) - 1), np.uint64(width)
    places = [(values >> np.uint64(place * width) & mask) | np.uint64(place) << shift for place in range(pieces)]
    counts = prints.counts
    most = int(counts.max(initial=0))
    begins = prints.starts
    owners = np.tile(prints.owners, pieces)
    for first, second, _ in _pairs(np.concatenate(places), owners, len(prints), parts):
        for begin in range(0, len(first), _AT_ONCE):
            pair = np.stack([first[begin : begin + _AT_ONCE], second[begin : begin + _AT_ONCE]])
            rows = begins[pair][..., None] + np.arange(most)
            there = np.arange(most) < counts[pair][..., None]
            seen = values[np.where(there, rows, 0)]
            alike = np.bitwise_count(seen[0][:, :, None] ^ seen[1][:, None, :]) <= most_bits
            alike &= there[0][:, :, None] & there[1][:, None, :]
            same = (alike.any(2).sum(1) >= _ALIKE * counts[pair[0]]) & (alike.any(1).sum(1) >= _ALIKE * counts[pair[1]])
            yield from zip(*pair[:, same].tolist(), strict=True)


def _pairs(
    values: np.ndarray, owners: np.ndarray, clips: int, parts: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield pairs of clips that share values: first, second, how many; all pairs of a first one together, sorted.

    Values in more than `_COMMON` clips do not count, so the work grows with the number of values and not with that of
    pairs of clips; pairs are counted in blocks of a limited size.
    """
    owners, after = _shared(values, owners)
    work = np.concatenate([[0], np.cumsum(np.bincount(owners, after, clips))]) if len(owners) else np.zeros(clips + 1)
    by_clip = np.argsort(owners, kind="stable").astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=clips))])
    begin = 0
    while begin < clips:
        end = max(begin + 1, int(np.searchsorted(work, work[begin] + _BLOCK_OF_PAIRS, "right")) - 1)
        places = by_clip[starts[begin] : starts[end]]
        count = after[places].astype(np.int64)
        total = int(count.sum())
        if total:
            # The clips that share a value stand side by side, so the partners of each are those behind it.
            inside = np.arange(total) - np.repeat(np.cumsum(count) - count, count)
            first = np.repeat(owners[places], count)
            second = owners[np.repeat(places.astype(np.int64) + 1, count) + inside]
            if parts is not None:
                apart = parts[first] != parts[second]
                first, second = first[apart], second[apart]
            pairs, shared = np.unique(first.astype(np.int64) * clips + second, return_counts=True)
            yield pairs // clips, pairs % clips, shared
        begin = end


def _shared(values: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the owners of all values that 2 to `_COMMON` clips share, and how many of them are behind each.

    Owners of one value stand side by side, in order. A part of the values is sorted at a time, to save memory.
    """
    found, behind = [np.zeros(0, np.int32)], [np.zeros(0, np.uint8)]
    bits = int(values.max(initial=0)).bit_length()
    parts = _SORTED_APART if len(values) > _SORTED_AT_ONCE else 1
    edges = [(part << bits) // parts for part in range(1, parts)]
    for low, high in pairwise([0, *edges, 1 << bits]):
        chosen = (values >= low) & (values < high)
        keys = np.unique(values[chosen].astype(np.uint64) << np.uint64(32) | owners[chosen].astype(np.uint64))
        heads = np.flatnonzero(np.diff(keys >> np.uint64(32), prepend=np.uint64(2**32 - 1) + np.uint64(1)))
        sizes = np.diff(heads, append=len(keys))
        size = np.repeat(sizes, sizes)
        kept = (size >= 2) & (size <= _COMMON)
        place = np.arange(len(keys)) - np.repeat(heads, sizes)
        found.append((keys[kept] & np.uint64(2**32 - 1)).astype(np.int32))
        behind.append((size - place - 1)[kept].astype(np.uint8))
    return np.concatenate(found), np.concatenate(behind)
