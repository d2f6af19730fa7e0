"""Clips that share fingerprints are found as by comparing all pairs, in memory that does not grow."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pytest

from sopedu.datasets import twins
from sopedu.datasets.twins import same_pictures, same_sounds


def test_clips_are_the_same_if_most_of_their_frames_are():
    generator = np.random.default_rng(2)
    first = generator.integers(0, 2**63, 12, dtype=np.uint64)
    half = np.concatenate([first[:6], generator.integers(0, 2**63, 6, dtype=np.uint64)])
    flipped = first ^ np.uint64(0b11)  # two bits of each frame
    assert list(same_pictures([first, half, flipped, first[:0]])) == [(0, 2)]


def pairs_one_by_one(prints: Sequence[np.ndarray], frequent: int, common: int) -> list[tuple[int, int]]:
    """What twins are, without a fast way to find them."""
    clips, sets = max(len(prints), 1000), [set(one.tolist()) for one in prints]
    having = Counter(value for one in sets for value in one)
    weights = {
        value: 1.0 if count <= frequent else 1 - math.log(count / frequent) / math.log(clips / frequent)
        for value, count in having.items()
    }
    total = [sum(weights[value] for value in one) for one in sets]
    found = []
    for first, second in combinations(range(len(prints)), 2):
        both = sets[first] & sets[second]
        needed = max(4, 0.35 * min(total[first], total[second]))
        if sum(having[value] <= common for value in both) >= 2 and sum(map(weights.get, both)) > needed - 1e-9:
            found.append((first, second))
    return found


def few_values(generator: np.random.Generator) -> list[np.ndarray]:
    """60 clips of so few different values that many share some; every seventh is a copy."""
    prints = []
    for clip in range(60):
        some = generator.geometric(0.005, generator.integers(0, 30)) * 2**22 + generator.integers(0, 2)
        rare = generator.integers(0, 2**32, 9) if clip == 20 else []
        prints.append(np.unique([*some, *rare]).astype(np.uint32))
        if clip % 7 == 3 and clip > 9:
            prints[clip] = prints[clip - 5]
    prints[50] = prints[20]
    return prints


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("frequent", "common"), [(20, 200), (3, 9), (2, 4)])
def test_twins_are_those_of_comparing_all_pairs(seed, frequent, common, monkeypatch):
    prints = few_values(np.random.default_rng(seed))
    monkeypatch.setattr(twins, "_FREQUENT", frequent)
    monkeypatch.setattr(twins, "_COMMON", common)
    wanted = pairs_one_by_one(prints, frequent, common)
    assert list(same_sounds(prints)) == wanted and (20, 50) in wanted
    monkeypatch.setattr(twins, "_AT_ONCE", 100)  # many parts and blocks
    monkeypatch.setattr(twins, "_PAIRS", 50)
    assert list(same_sounds(prints)) == wanted


def test_twins_of_sounds_that_are_much_alike_are_found_and_no_others():
    """Most fingerprints of a clip are those of many others; a copy keeps six in ten of its own."""
    generator = np.random.default_rng(0)
    prints = [np.unique(generator.zipf(1.25, 72).clip(max=2**32 - 1)).astype(np.uint32) for _ in range(3000)]
    planted = [(number, 2900 + number) for number in range(60)]
    for source, copy in planted:
        kept = generator.random(len(prints[source])) < 0.6
        prints[copy] = np.union1d(prints[source][kept], prints[copy][generator.random(len(prints[copy])) < 0.4])
    having = Counter(np.concatenate(prints).tolist())
    rare = [[value for value in one.tolist() if having[value] <= 200] for one in prints]
    # The plain rule, over rare fingerprints alone and with all of them in the denominator, misses most.
    plain = [len({*rare[one]} & {*rare[two]}) >= 0.35 * min(len(prints[one]), len(prints[two])) for one, two in planted]
    assert list(same_sounds(prints)) == planted and sum(plain) < 30


def test_a_few_clips_of_one_sound_are_twins_and_hundreds_with_one_test_tone_are_not():
    generator = np.random.default_rng(1)
    tone = np.unique(generator.integers(0, 2**32, 50)).astype(np.uint32)
    assert list(same_sounds([tone] * 30)) == list(combinations(range(30), 2))
    own = [np.unique(generator.integers(0, 2**32, 5)).astype(np.uint32) for _ in range(300)]
    assert list(same_sounds([np.union1d(tone, one) for one in own])) == []


class Generated(Sequence[np.ndarray]):
    """Fingerprints that are made when they are read."""

    def __init__(self, clips: int, highest: int, many: int) -> None:
        self.clips, self.highest, self.many = clips, highest, many

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, clip: int) -> np.ndarray:
        return np.unique(np.random.default_rng(clip // 2).integers(0, self.highest, self.many, np.uint64))

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(self.clips))


@pytest.mark.parametrize(
    ("find", "prints"), [(same_sounds, (2**32, 24)), (same_pictures, (2**64, 8))], ids=["sounds", "pictures"]
)
def test_memory_grows_by_a_few_numbers_per_clip(find, prints, monkeypatch):
    monkeypatch.setattr(twins, "_AT_ONCE", 2000)
    monkeypatch.setattr(twins, "_PAIRS", 1000)
    monkeypatch.setattr(twins, "_COMPARED", 50)
    peaks = []
    for clips in (500, 3000):
        tracemalloc.start()
        assert sum(1 for _ in find(Generated(clips, *prints))) == clips // 2
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 80 * 2500  # the fingerprints alone would take 96 and 64 bytes, and sorting more


def test_same_pictures_are_looked_for_in_other_parts_only_if_so_wished():
    generator = np.random.default_rng(5)
    films = [generator.integers(0, 2**63, 12, dtype=np.uint64) for _ in range(40)]
    films += [film[: 12 - number % 3] for number, film in enumerate(films[:10])]
    every = [(number, 40 + number) for number in range(10)]
    assert list(same_pictures(films)) == every
    parts = np.arange(50) % 3
    assert list(same_pictures(films, parts)) == [pair for pair in every if parts[pair[0]] != parts[pair[1]]]
    assert list(same_pictures(films, np.zeros(50))) == []
