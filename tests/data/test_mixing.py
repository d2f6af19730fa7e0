"""Mix-and-separate: who meets whom, how loud, and that the parts add up to the mixture."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.config import MixingConfig
from sopedu.data.mixing import NOBODY, choose_absent, choose_partners, mix

LABELS = st.lists(st.integers(NOBODY, 4), min_size=4, max_size=24).map(np.array)
SOURCES = st.sampled_from([2, 3, 4])
SEEDS = st.integers(0, 2**32)


def mixtures_of_one_class(members: np.ndarray, labels: np.ndarray) -> int:
    return sum(len({labels[i] for i in group}) < len(group) for group in members)


@settings(deadline=None)
@given(LABELS, SOURCES, SEEDS)
def test_in_batch_every_solo_serves_in_exactly_n_mixtures_and_never_meets_itself(labels, sources, seed):
    config = MixingConfig(sources=sources)
    members, same = choose_partners(labels, config, np.random.default_rng(seed))
    assert members.shape == (len(labels), sources)
    assert all(len(set(group)) == sources for group in members.tolist())
    assert Counter(members.ravel().tolist()) == dict.fromkeys(range(len(labels)), sources)
    assert (np.sort(members[:, 0]) == np.arange(len(labels))).all()  # everyone comes first once
    assert same == mixtures_of_one_class(members, labels)


@settings(deadline=None)
@given(LABELS, SOURCES, SEEDS)
def test_independent_mixtures_use_each_solo_at_most_once(labels, sources, seed):
    config = MixingConfig(sources=sources, pairing="independent")
    members, same = choose_partners(labels, config, np.random.default_rng(seed))
    assert members.shape == (len(labels) // sources, sources)
    assert len(set(members.ravel().tolist())) == members.size
    assert same == mixtures_of_one_class(members, labels)


@settings(deadline=None)
@given(st.integers(2, 5), st.integers(1, 6), SOURCES, st.sampled_from(["in-batch", "independent"]), SEEDS)
def test_classes_differ_in_every_mixture_of_a_balanced_batch(classes, each, sources, pairing, seed):
    classes = max(classes, sources)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), each))
    config = MixingConfig(sources=sources, pairing=pairing)
    members, same = choose_partners(labels, config, np.random.default_rng(seed))
    assert same == mixtures_of_one_class(members, labels) == 0


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(0, 12), SEEDS)
def test_pairs_of_one_class_are_as_few_as_can_be(most, others, seed):
    labels = np.array([0] * most + list(range(1, others + 1)))
    _, same = choose_partners(labels, MixingConfig(), np.random.default_rng(seed))
    # In-batch, `most` solos of one class fill 2 · most places in B mixtures: 2 · most − B hold two of them.
    assert same == max(0, most - others)
    if len(labels) % 2 == 0:
        config = MixingConfig(pairing="independent")
        _, same = choose_partners(labels, config, np.random.default_rng(seed))
        # Independently they fill `most` places in B / 2 mixtures.
        assert same == max(0, most - len(labels) // 2)


@pytest.mark.parametrize("pairing", ["in-batch", "independent"])
@pytest.mark.parametrize("sources", [2, 3, 4])
def test_too_few_solos_are_refused(sources, pairing):
    config = MixingConfig(sources=sources, pairing=pairing)
    with pytest.raises(ValueError, match="cannot make a mixture"):
        choose_partners(np.zeros(sources - 1, int), config, np.random.default_rng(0))


def test_over_time_every_solo_meets_every_other_of_another_class():
    labels = np.repeat([0, 1, 2], 2)
    met = set()
    for seed in range(200):
        met |= {tuple(pair) for pair in choose_partners(labels, MixingConfig(), np.random.default_rng(seed))[0]}
    assert met == {(a, b) for a in range(6) for b in range(6) if labels[a] != labels[b]}


@settings(deadline=None)
@given(LABELS, SOURCES, st.integers(1, 3), SEEDS)
def test_absent_pictures_are_of_no_class_in_the_mixture_or_minus_one(labels, sources, count, seed):
    generator = np.random.default_rng(seed)
    members, _ = choose_partners(labels, MixingConfig(sources=sources), generator)
    absent = choose_absent(members, labels, count, generator)
    assert absent.shape == (len(members), count)
    for group, shown in zip(members, absent, strict=True):
        heard = set(labels[group])
        if set(labels) == heard:
            assert (shown == -1).all()
        else:
            assert (shown >= 0).all()
            assert not heard & set(labels[shown])


def test_no_absent_pictures_cost_no_random_number():
    generator, untouched = np.random.default_rng(5), np.random.default_rng(5)
    absent = choose_absent(np.array([[0, 1], [1, 2]]), np.array([0, 1, 2]), 0, generator)
    assert absent.shape == (2, 0) and absent.dtype == np.int64
    assert generator.random() == untouched.random()


@settings(deadline=None)
@given(SOURCES, st.sampled_from(["in-batch", "independent"]), st.integers(0, 2), SEEDS)
def test_sources_add_up_and_gains_keep_their_bounds(sources, pairing, absent, seed):
    config = MixingConfig(sources=sources, pairing=pairing, gain_low=0.5, gain_high=1.5, absent=absent)
    labels = np.arange(9) % 5
    waveforms = torch.randn(9, 50, generator=torch.Generator().manual_seed(1))
    mixtures = mix(waveforms, labels, config, np.random.default_rng(seed))
    count = 9 if pairing == "in-batch" else 9 // sources
    assert mixtures.sources.shape == (count, sources, 50)
    assert mixtures.absent.shape == (count, absent)
    torch.testing.assert_close(mixtures.sources.sum(1), mixtures.mixture)
    solos = waveforms[mixtures.members]
    gains = sources * mixtures.sources[..., 0] / solos[..., 0]
    torch.testing.assert_close(mixtures.sources, solos * gains[..., None] / sources)  # one gain a source
    assert gains.min() >= 0.5 - 1e-5
    assert gains.max() <= 1.5 + 1e-5
    assert len(gains.unique()) == gains.numel()  # drawn anew per mixture and place


def test_gains_reach_over_the_whole_range():
    mixtures = mix(torch.ones(400, 1), np.arange(400), MixingConfig(), np.random.default_rng(0))
    gains = 2 * mixtures.sources.flatten()
    # Uniform on [0.5, 1.5]: mean 1, spread 1/√12 = 0.289; four standard errors of 800 draws are 0.04.
    assert gains.mean().item() == pytest.approx(1.0, abs=0.04)
    assert gains.std().item() == pytest.approx(0.289, abs=0.02)


def test_the_generator_alone_decides():
    waveforms, labels = torch.randn(8, 30), np.arange(8) % 3
    config = MixingConfig(absent=1)
    first, again, other = (mix(waveforms, labels, config, np.random.default_rng(seed)) for seed in (5, 5, 6))
    for name in ("members", "absent", "sources", "mixture"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.sources, other.sources)
