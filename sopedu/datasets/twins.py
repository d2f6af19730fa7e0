"""Clips that hold the same recording, found by the fingerprints that they share.

All fingerprints are sorted, so that equal ones stand side by side; pairs of clips are counted in blocks. Both are done
on disk and part by part, so memory does not grow with the number of clips but for a few numbers per clip.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from sopedu.datasets.disk import temporary_database

_SHARED = 4  # fingerprints that two sounds must have in common …
_SHARE = 0.35  # … and which part of those of the one that has fewer
_FREQUENT = 20  # a fingerprint in more clips than this counts less, down to nothing if all clips have it …
_FEWEST_CLIPS = 1000  # … of as many clips, if the data set has fewer
_COMMON = 200  # clips that share one fingerprint are compared, but not if they are more than this …
_SEEN = 2  # … and sounds that share fewer than these of the others are not compared
_MOST_BITS = 2  # of 64, in which frames may differ that count as the same
_ALIKE = 0.8  # part of the frames of two clips that look the same
_AT_ONCE, _PAIRS = 1 << 17, 1 << 18  # fingerprints in memory, and pairs of clips that share one
_COMPARED = 5000  # pairs of clips whose frames are compared together
_LOW = np.uint64(2**32 - 1)

#: The fingerprints of each clip; a list, or something on disk that is read as one.
Prints = Sequence[np.ndarray]


def same_sounds(prints: Prints) -> Iterator[tuple[int, int]]:
    """Yield pairs of sounds that hold the same recording, first number below second.

    Args:
        prints: of each sound, see :func:`sopedu.datasets.fingerprints.sound_prints`.
    """
    shared = _Shared(prints, lambda values: values[None])
    for first, second, count in shared.pairs():
        needed = np.maximum(_SHARED, _SHARE * np.minimum(shared.weights[first], shared.weights[second]))
        # What is not counted yet are fingerprints that too many clips have.
        most = count + np.minimum(shared.common[first], shared.common[second])
        possible = (count >= _SEEN) & (most >= needed)
        for one, other, least in zip(
            *(found[possible].tolist() for found in (first, second, needed)), strict=True
        ):  # fmt: skip
            if shared.weight(np.intersect1d(prints[one], prints[other], assume_unique=True)) >= least:
                yield one, other


def same_pictures(prints: Prints, parts: np.ndarray | None = None) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips whose frames look the same, first number below second.

    Args:
        prints: of each clip's frames, see :func:`sopedu.datasets.fingerprints.frame_print`.
        parts: ``(n,)`` int; only pairs of clips of different parts are looked for. None: all pairs.
    """
    for first, second, _ in _Shared(prints, _pieces, _MOST_BITS + 1).pairs(parts):
        for begin in range(0, len(first), _COMPARED):
            pair = np.stack([first[begin : begin + _COMPARED], second[begin : begin + _COMPARED]])
            clips, places = np.unique(pair, return_inverse=True)
            held = [prints[clip] for clip in clips.tolist()]
            counts = np.array([len(one) for one in held])
            there = np.arange(counts.max()) < counts[:, None]
            seen = np.zeros(there.shape, np.uint64)
            seen[there] = np.concatenate(held)
            one, other = places.reshape(pair.shape)
            alike = np.bitwise_count(seen[one][:, :, None] ^ seen[other][:, None, :]) <= _MOST_BITS
            alike &= there[one][:, :, None] & there[other][:, None, :]
            same = (alike.any(2).sum(1) >= _ALIKE * counts[one]) & (alike.any(1).sum(1) >= _ALIKE * counts[other])
            yield from zip(*pair[:, same].tolist(), strict=True)


def _pieces(values: np.ndarray) -> np.ndarray:
    """Divide the bits of frames: those that differ in at most `_MOST_BITS` agree in one of as many pieces and one more.

    Args:
        values: ``(n,)`` uint64.

    Returns:
        ``(pieces, n)``, of 32 bits with the number of the piece.
    """
    pieces = _MOST_BITS + 1
    width = 64 // pieces
    mask = np.uint64((1 << width) - 1)
    return np.stack([values >> np.uint64(place * width) & mask | np.uint64(place << width) for place in range(pieces)])


class _Shared:
    """Values that 2 to `_COMMON` clips share, on disk: for each value its clips side by side, in order.

    Args:
        prints: of each clip.
        values_of: makes ``(m, n)`` values of 32 bits from ``(n,)`` fingerprints.
        many: m.

    Attributes:
        weights: of each clip's values together; one counts 1, and less if more than `_FREQUENT` clips have it.
        common: part of these weights that is of values in more than `_COMMON` clips.
    """

    def __init__(self, prints: Prints, values_of: Callable[[np.ndarray], np.ndarray], many: int = 1) -> None:
        self._clips, self._values_of = len(prints), values_of
        self._database = temporary_database("CREATE TABLE shared (clips BLOB, behind BLOB)")
        self.weights, self.common = np.zeros(self._clips), np.zeros(self._clips)
        self._work = np.zeros(self._clips, np.int64)  # pairs of which a clip is the first
        frequent, less = [np.zeros(0, np.uint64)], [np.zeros(0)]
        at_once = _AT_ONCE // many
        for keys in _sorted(_keys(prints, values_of, at_once), 1 + sum(map(len, prints)) // at_once):
            heads = np.flatnonzero(np.diff(keys >> np.uint64(32), prepend=np.uint64(2**32)))
            sizes = np.diff(heads, append=len(keys))
            lacking = 1 - self._weights_of(sizes)
            if lacking.any():
                frequent.append(keys[heads[lacking > 0]] >> np.uint64(32))
                less.append(lacking[lacking > 0])
            self._add(keys, heads, sizes, lacking)
        self._frequent, self._lacking = np.concatenate(frequent), np.concatenate(less)

    def _weights_of(self, sizes: np.ndarray) -> np.ndarray:
        """Return the weights of values by the number of clips that have them."""
        clips = max(self._clips, _FEWEST_CLIPS)
        return np.log(clips / np.maximum(sizes, _FREQUENT)) / np.log(clips / _FREQUENT)

    def _add(self, keys: np.ndarray, heads: np.ndarray, sizes: np.ndarray, lacking: np.ndarray) -> None:
        owners, size = (keys & _LOW).astype(np.int32), np.repeat(sizes, sizes)
        weights = np.repeat(1 - lacking, sizes)
        np.add.at(self.weights, owners, weights)
        np.add.at(self.common, owners[size > _COMMON], weights[size > _COMMON])
        kept = (size >= 2) & (size <= _COMMON)
        behind = (size - 1 - (np.arange(len(keys)) - np.repeat(heads, sizes)))[kept].astype(np.uint8)
        np.add.at(self._work, owners[kept], behind)
        if kept.any():
            self._database.execute("INSERT INTO shared VALUES (?, ?)", (owners[kept].data, behind.data))

    def weight(self, prints: np.ndarray) -> float:
        """Return the weight of some fingerprints together.

        Args:
            prints: ``(n,)``.
        """
        values = _scrambled(self._values_of(prints.astype(np.uint64)).ravel())
        _, _, places = np.intersect1d(values, self._frequent, assume_unique=True, return_indices=True)
        return len(values) - float(self._lacking[places].sum())

    def pairs(self, parts: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield pairs of clips: first, second, how many values they share; all pairs of a first one together, sorted.

        The work grows with the number of values and not with that of pairs of clips.

        Args:
            parts: only pairs of clips of different parts are yielded. None: all pairs.
        """
        work, begin = np.concatenate([[0], np.cumsum(self._work)]), 0
        while begin < self._clips:
            end = max(begin + 1, int(np.searchsorted(work, work[begin] + _PAIRS, "right")) - 1)
            if work[end] > work[begin]:
                found = np.concatenate(list(self._pairs_of(begin, end, parts)))
                pairs, count = np.unique(found, return_counts=True)
                yield pairs // self._clips, pairs % self._clips, count
            begin = end

    def _pairs_of(self, begin: int, end: int, parts: np.ndarray | None) -> Iterator[np.ndarray]:
        """Yield the pairs whose first clip is in a range, as first × number of clips + second."""
        for clips, behind in self._database.execute("SELECT clips, behind FROM shared"):
            owners, count = np.frombuffer(clips, np.int32), np.frombuffer(behind, np.uint8)
            places = np.flatnonzero((owners >= begin) & (owners < end) & (count > 0))
            count = count[places].astype(np.int64)
            # The clips that share a value stand side by side, so the partners of each are those behind it.
            inside = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            first, second = np.repeat(owners[places], count), owners[np.repeat(places + 1, count) + inside]
            if parts is not None:
                apart = parts[first] != parts[second]
                first, second = first[apart], second[apart]
            yield first.astype(np.int64) * self._clips + second


def _scrambled(values: np.ndarray) -> np.ndarray:
    """Map values of 32 bits to others, one to one, so that all parts of their range are equally full."""
    return values * np.uint64(2654435761) & _LOW


def _keys(
    prints: Prints, values_of: Callable[[np.ndarray], np.ndarray], at_once: int
) -> Iterator[np.ndarray]:  # fmt: skip
    """Yield the values of all clips in blocks: scrambled, and the number of the clip in the lower 32 bits."""
    values, counts, first = array("Q"), array("q"), 0
    for clip, one in enumerate(prints, 1):
        values.frombytes(one.astype(np.uint64).tobytes())
        counts.append(len(one))
        if len(values) >= at_once or clip == len(prints):
            owners = np.repeat(np.arange(first, clip, dtype=np.uint64), counts)
            yield (_scrambled(values_of(np.array(values, np.uint64))) << np.uint64(32) | owners).ravel()
            values, counts, first = array("Q"), array("q"), clip


def _sorted(blocks: Iterator[np.ndarray], parts: int) -> Iterator[np.ndarray]:
    """Sort keys on disk; yield a part of them at a time, each key once. Keys with equal upper bits stay together."""
    database = temporary_database("CREATE TABLE piece (part INTEGER, keys BLOB); CREATE INDEX by_part ON piece (part)")
    edges = np.array([(part << 64) // parts for part in range(1, parts)], np.uint64) & ~_LOW
    for block in blocks:
        block.sort()
        places = [0, *np.searchsorted(block, edges).tolist(), len(block)]
        pieces = [(part, block[begin:end].data) for part, (begin, end) in enumerate(pairwise(places)) if begin < end]
        database.executemany("INSERT INTO piece VALUES (?, ?)", pieces)
    for part in range(parts):
        pieces = database.execute("SELECT keys FROM piece WHERE part = ?", (part,))
        keys = np.concatenate([np.frombuffer(piece, np.uint64) for (piece,) in pieces] or [edges[:0]])
        keys.sort()
        yield keys[np.diff(keys, prepend=~keys[:1]) > 0]  # `np.unique` would take far more memory
