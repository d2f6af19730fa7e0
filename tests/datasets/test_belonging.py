"""Pictures and sounds beside others of their class and of other classes: with whom, and what the figures are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from sopedu.audio.masks import MASK_KINDS, MaskKind, mask_power
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import preset, with_values
from sopedu.data.clips import SampleKey, ToyBandClips
from sopedu.data.mixing import NOBODY
from sopedu.datasets import belonging
from sopedu.evaluation.pairs import predict_masks
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels

LABELS = np.array([0, 1, 2, 0, 1, 3, 0, 1, 0, NOBODY, 1, 0, 3, 1] * 9)


@dataclass(frozen=True)
class Known:
    """What stands for a clip: which one it is."""

    split: int
    row: int


def splits_of(*rows):
    return [
        (SimpleNamespace(split=split, labels=LABELS), some if isinstance(some, list) else list(some))
        for split, some in enumerate(rows)
    ]


@pytest.mark.parametrize(
    "rows", [[range(len(LABELS))], [range(0, len(LABELS), 2), range(40), [3, 9, 11]], [range(5), range(5)], [range(5)]]
)
def test_every_clip_meets_others_of_its_class_and_of_other_classes_from_all_splits(monkeypatch, rows):
    met = {"picture": {}, "sound": {}}

    def judge(which):
        def record(checkpoint, own, groups):
            met[which][own] = groups
            return own.row / 10 + 3, list(groups)[-1]

        return record

    monkeypatch.setattr(belonging, "_listen", lambda checkpoint, clips, row: Known(clips.split, row))
    monkeypatch.setattr(belonging, "_of_picture", judge("picture"))
    monkeypatch.setattr(belonging, "_of_sound", judge("sound"))
    told = []
    found = belonging.judge_belonging(None, splits_of(*rows), progress=told.append)
    clips = [Known(split, row) for split, some in enumerate(rows) for row in some]
    counts = Counter(LABELS[one.row] for one in clips)
    counts.pop(NOBODY, None)
    able = {
        label for label, count in counts.items() if count >= 4 and any(counts[o] >= 2 for o in counts if o != label)
    }
    for groups in met.values():
        assert groups.keys() == {one for one in clips if LABELS[one.row] in able}
    for own, groups in met["picture"].items():
        assert groups == met["sound"][own] and next(iter(groups)) == LABELS[own.row]
        assert groups.keys() == {LABELS[own.row], *(label for label, count in counts.items() if count >= 2)}
        for label, some in groups.items():
            assert own not in some and {LABELS[one.row] for one in some} == {label}
            others = counts[label] - (label == LABELS[own.row])
            assert len(set(some)) == len(some) and min(12, others) <= len(some) <= min(13, others)
    seen = {one.split for groups in met["picture"].values() for some in groups.values() for one in some}
    assert seen == (set(range(len(rows))) if met["picture"] else set())
    for place, one in enumerate(clips):  # each figure is at the place of its clip
        judged = one in met["picture"]
        assert found.picture[place] == one.row / 10 + 3 if judged else np.isnan(found.picture[place])
        assert found.heard_as[place] == (list(met["sound"][one])[-1] if judged else -1)
    assert told[-1] == len(clips) and (found.notes("abcd") == []) == bool(able)


def test_of_many_classes_a_dozen_others_are_met_the_same_ones_by_all(monkeypatch):
    labels, met = np.repeat(np.arange(40), 4), {}
    monkeypatch.setattr(belonging, "_listen", lambda checkpoint, clips, row: Known(0, row))
    monkeypatch.setattr(belonging, "_of_sound", lambda checkpoint, own, groups: (1.0, 0))
    monkeypatch.setattr(
        belonging, "_of_picture", lambda checkpoint, own, groups: met.setdefault(own.row, set(groups)) and (1.0, 0)
    )
    belonging.judge_belonging(None, [(SimpleNamespace(labels=labels), range(160))])
    panel = set().union(*met.values()) - {label for row, label in enumerate(labels) if len(met[row]) == 14}
    assert len(panel) == 13 and all(groups - {labels[row]} == panel - {labels[row]} for row, groups in met.items())


def test_a_clip_that_cannot_be_read_is_not_judged_and_no_example(monkeypatch):
    monkeypatch.setattr(
        belonging, "_listen", lambda checkpoint, clips, row: None if row in (0, 3, 4) else Known(0, row)
    )
    for name in ("_of_picture", "_of_sound"):
        monkeypatch.setattr(
            belonging, name, lambda checkpoint, own, groups: (float(min(len(x) for x in groups.values())), 0)
        )
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    found = belonging.judge_belonging(None, [(SimpleNamespace(labels=labels), range(10))])
    # Three of class 0 are left, so each of them has two others, which are too few; class 1 has three.
    assert np.isnan(found.picture[:6]).all() and found.picture[6:].tolist() == [3.0] * 4


@pytest.mark.parametrize(
    ("margins", "known"),
    [
        ([3, 4, 5, -30], True),
        ([3, 4, -30, -30], False),  # half of the class in doubt: rather the model is
        ([-1, -1, -1, 2], False),  # most suit another class better, if only a little
        ([np.nan, np.nan, 2], True),
        ([np.nan], True),  # nothing is said of it
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_a_class_that_the_model_doubts_by_eye_or_by_ear_is_not_judged(margins, known, which):
    figures = np.full((2, len(margins) + 5), 7.0)
    doubted = np.arange(1, len(margins) + 1)
    figures[which, doubted] = margins
    figures[:, np.isnan(figures[which])] = np.nan
    members = {5: np.delete(np.arange(figures.shape[1]), doubted), 6: doubted}
    assert belonging._take_away_unknown(figures, members) == (() if known else (6,))
    np.testing.assert_array_equal(figures[which, doubted], margins if known else np.full(len(margins), np.nan))
    np.testing.assert_array_equal(np.isnan(figures[0]), np.isnan(figures[1]))
    assert (figures[:, members[5]] == 7).all()


def test_a_model_that_prefers_no_class_to_another_judges_nobody():
    figures = np.array([[1.0, 1.5, 3.0, np.nan, -4.0], [9.0, 9.0, 9.0, np.nan, 9.0]])
    members = {0: np.array([0, 1, 2]), 1: np.array([3]), 2: np.array([4])}
    for both in (figures, figures[::-1]):
        judged = both.copy()
        assert belonging._take_away_unknown(judged, members) == (0, 2) and np.isnan(judged).all()


def test_notes_name_the_classes():
    nothing, some, label = np.full(2, np.nan), np.array([1.0, np.nan]), np.array([0, -1])
    told = belonging.Belonging(some, some, label, label, (0, 2)).notes(["cello", "flute", "tuba"])
    assert told == [
        "the model does not know cello, tuba: whether their sounds and pictures belong together is not judged"
    ]
    assert belonging.Belonging(some, some, label, label, ()).notes([]) == []
    (told,) = belonging.Belonging(nothing, nothing, label, label, (0,)).notes(["cello"])
    assert told.startswith("the model does not know these sounds and pictures")
    (told,) = belonging.Belonging(nothing, nothing, label, label, ()).notes(["cello"])
    assert told.startswith("too few clips")


@pytest.fixture(scope="module", params=["ratio", "binary", "two parts"])
def heard(request, own_cache):
    """An untrained model, three solos, and what it makes of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MASK_KINDS, "two parts", MaskKind(lambda spectra: spectra.source, torch.tanh, parts=2))
        config = with_values(preset("tiny"), [f"loss.target={request.param}", "model.region_pooling=features"])
        torch.manual_seed(0)
        checkpoint = Checkpoint(SoundOfPixels(config), config)
    checkpoint.model.level_db = -20.0
    clips = ToyBandClips(config, solos=3)
    return checkpoint, clips, [belonging._listen(checkpoint, clips, row) for row in range(3)]


def test_what_is_let_through_is_what_the_masks_keep_of_the_loudest_cells(heard):
    """A second way: whole masks from waveforms and frames."""
    checkpoint, clips, listened = heard
    found = belonging._let_through(checkpoint, torch.cat([one.vectors for one in listened]), listened)
    moments = [clip for row in range(3) for clip in (clips[row], *(clips[SampleKey(row, i, 0)] for i in range(2)))]
    waveforms = torch.stack([clip.waveform for clip in moments])
    frames = torch.stack([clip.frames for clip in moments])
    masks = mask_power(predict_masks(checkpoint.model, waveforms, frames.expand(len(moments), *frames.shape)))
    sound = checkpoint.config.spectrogram
    energy = warp(stft(waveforms, sound).abs(), sound).square().flatten(1)
    for row, (power, mask) in enumerate(zip(energy, masks.flatten(2), strict=True)):
        loudest = power.argsort(descending=True)[:2000]
        share = (mask[:, loudest] * power[loudest]).sum(1) / power[loudest].sum()
        assert_close(torch.tensor(found[row]), 10 * torch.log10(share + 1e-3), atol=2e-3, rtol=0)
        assert power[loudest].sum() > 0.9 * power.sum()


def test_the_best_moments_of_pictures_and_sounds_count(heard):
    checkpoint, _, (own, *others) = heard
    passed = belonging._let_through(checkpoint, own.vectors, others).reshape(2, 3, 3).max((1, 2))
    margin, label = belonging._of_picture(checkpoint, own, {5: others[:1], 8: others[1:]})
    assert (margin, label) == (pytest.approx(passed[0] - passed[1]), 8)
    passed = belonging._let_through(checkpoint, torch.cat([one.vectors for one in others]), [own])
    each = passed.reshape(3, 2, 3).max(2)
    margin, label = belonging._of_sound(checkpoint, own, {5: others[:1], 8: others[1:]})
    assert (margin, label) == (pytest.approx((each[:, 0] - each[:, 1]).max()), 8)


@given(st.lists(st.floats(-30, 0), min_size=6, max_size=6), st.lists(st.floats(-30, 0), min_size=6, max_size=6))
def test_the_margin_compares_medians_with_the_best_other_class(one, other):
    passed, groups = np.array([one, other]), {4: [0, 0, 0], 7: [0], 2: [0, 0]}
    wanted = []
    for row in (one, other):
        medians = {7: row[3], 2: (row[4] + row[5]) / 2}
        best = max(medians, key=medians.__getitem__)
        wanted.append((sorted(row[:3])[1] - medians[best], best))
    margin, label = belonging._margin(passed, groups)
    assert margin == pytest.approx(max(wanted)[0]) and (margin, label) in [(pytest.approx(x), y) for x, y in wanted]
