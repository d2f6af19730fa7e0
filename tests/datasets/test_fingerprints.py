"""Fingerprints agree for one recording in two forms, and differ for two recordings of one instrument."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from sopedu.audio.resampling import resample
from sopedu.datasets import fingerprints
from sopedu.datasets.fingerprints import Prints, frame_print, same_pictures, same_sounds, sound_prints
from sopedu.toyband import solo

RATE = 11025


def played(seed: int) -> np.ndarray:
    return solo(seed, "train", "violin", samples=8 * RATE, times=(0.0,), size=32).waveform().numpy()


def softer(x):
    return 0.1 * x


def cut(x):
    return x[4321:]


def noisy(x):
    return x + np.random.default_rng(0).normal(0, 0.01 * np.abs(x).max(), len(x))


def slower_rate(x):
    return resample(resample(x, RATE, 8000), 8000, RATE)


@pytest.mark.parametrize("change", [softer, cut, noisy, slower_rate], ids=lambda change: change.__name__)
def test_a_recording_in_another_form_is_recognised(change):
    sounds = [played(seed) for seed in range(4)]
    prints = [sound_prints(sound, RATE) for sound in [*sounds, change(sounds[2])]]
    assert list(same_sounds(Prints.of(prints, "I"))) == [(2, 4)]


def test_silence_and_very_short_sounds_have_no_prints_and_no_twins():
    prints = [sound_prints(np.zeros(5 * RATE), RATE)] * 2 + [sound_prints(np.ones(100), RATE)] * 2
    assert [len(one) for one in prints] == [0, 0, 0, 0] and list(same_sounds(Prints.of(prints, "I"))) == []
    assert list(same_sounds(Prints(0, "I"))) == [] == list(same_pictures(Prints(0, "Q")))


def test_frames_keep_their_print_when_brightness_and_noise_change_a_little():
    generator = np.random.default_rng(1)
    frame = generator.uniform(0, 255, (32, 32))
    other = generator.uniform(0, 255, (32, 32))
    prints = [
        frame_print(frame),
        frame_print(frame * 0.9 + 5 + generator.normal(0, 1, frame.shape)),
        frame_print(other),
    ]
    assert (prints[0] ^ prints[1]).bit_count() <= 4 < 15 < (prints[0] ^ prints[2]).bit_count()
    flat = np.full((32, 32), 90.0)
    assert frame_print(flat) == frame_print(flat + generator.normal(0, 2, flat.shape)) == 0


def test_clips_are_the_same_if_most_of_their_frames_are():
    generator = np.random.default_rng(2)
    first = generator.integers(0, 2**63, 12, dtype=np.uint64)
    half = np.concatenate([first[:6], generator.integers(0, 2**63, 6, dtype=np.uint64)])
    flipped = first ^ np.uint64(0b11)  # two bits of each frame
    assert list(same_pictures(Prints.of([first, half, flipped, first[:0]], "Q"))) == [(0, 2)]


def pairs_one_by_one(prints: list[np.ndarray], common: int) -> list[tuple[int, int]]:
    """What twins are, without a fast way to find them."""
    kept = Counter(value for one in prints for value in one.tolist())
    sets = [{value for value in one.tolist() if kept[value] <= common} for one in prints]
    return [
        (first, second)
        for first, second in combinations(range(len(prints)), 2)
        if len(sets[first] & sets[second]) >= max(4, 0.35 * min(len(prints[first]), len(prints[second])))
    ]


@pytest.mark.parametrize("seed", range(6))
def test_twins_are_those_of_comparing_all_pairs(seed, monkeypatch):
    """Few different values, so that many clips share some; clips come in any order, blocks and parts are small."""
    generator = np.random.default_rng(seed)
    monkeypatch.setattr(fingerprints, "_BLOCK_OF_PAIRS", 50)
    monkeypatch.setattr(fingerprints, "_COMMON", 9)
    held, wanted = Prints(60, "I"), []
    for clip in range(60):
        some = generator.geometric(0.005, generator.integers(0, 30)) * 2**22 + generator.integers(0, 2)
        rare = generator.integers(0, 2**32, 9) if clip == 20 else []
        wanted.append(np.unique([*some, *rare]).astype(np.uint32))
        if clip % 7 == 3 and clip > 9:
            wanted[clip] = wanted[clip - 5]
    wanted[50] = wanted[20]
    for clip in generator.permutation(60).tolist():
        held.add(clip, wanted[clip])
    for clip in range(60):
        assert np.array_equal(held[clip], wanted[clip])
    assert list(same_sounds(held)) == pairs_one_by_one(wanted, 9)
    monkeypatch.setattr(fingerprints, "_SORTED_APART", 3)
    monkeypatch.setattr(fingerprints, "_SORTED_AT_ONCE", 1)
    assert list(same_sounds(held)) == pairs_one_by_one(wanted, 9) and (20, 50) in same_sounds(held)


def test_same_pictures_are_looked_for_in_other_parts_only_if_so_wished():
    generator = np.random.default_rng(5)
    films = [generator.integers(0, 2**63, 12, dtype=np.uint64) for _ in range(40)]
    films += [film[: 12 - number % 3] for number, film in enumerate(films[:10])]
    held = Prints.of(films, "Q")
    every = [(number, 40 + number) for number in range(10)]
    assert list(same_pictures(held)) == every
    parts = np.arange(50) % 3
    assert list(same_pictures(held, parts)) == [pair for pair in every if parts[pair[0]] != parts[pair[1]]]
    assert list(same_pictures(held, np.zeros(50))) == []
