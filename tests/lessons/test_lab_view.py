"""What the lab shows is what the evaluation separates and scores, on solos that no training meets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sopedu.config import with_values
from sopedu.data.clips import ToyBandClips
from sopedu.evaluation.pair_scores import pairs_for, scores_by_pair
from sopedu.evaluation.pairs import separate_pairs
from sopedu.lessons.lab_figures import curve_style
from sopedu.lessons.lab_page import run_seen_on_page
from sopedu.lessons.lab_runs import FinishedRuns
from sopedu.lessons.lab_view import lab_pairs, pictures_with_maps, sdr_improvement, separate_pair
from sopedu.localization.pixel_sounds import PixelSounds


@pytest.fixture(scope="module")
def finished() -> FinishedRuns:
    return FinishedRuns()


@pytest.fixture(scope="module")
def pairs(finished):
    return lab_pairs(finished.config)


@pytest.fixture(scope="module")
def model(finished):
    return finished.find({}).load().model


def test_every_two_instruments_meet_once_and_no_solo_is_heard_twice(pairs):
    assert len({frozenset(pair.names) for pair in pairs}) == len(pairs) == 6
    solos = torch.cat([pair.sources for pair in pairs])
    assert len(torch.unique(solos, dim=0)) == 12


def test_solos_are_those_of_the_validation_split(finished, pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    clips = ToyBandClips(with_values(finished.config, ["toyband.empty_scenes=0"]), "validation", 12)
    solos = torch.stack([clips[i].waveform for i in range(12)])
    for pair in pairs:
        for source, frames, name in zip(pair.sources, pair.frames, pair.names, strict=True):
            (number,) = np.flatnonzero((solos / 2 == source).all(1))
            assert clips.class_names[clips.labels[number]] == name and torch.equal(clips[int(number)].frames, frames)
        assert torch.equal(pair.mixture, pair.sources.sum(0))


def test_a_pair_is_separated_as_in_the_evaluation(pairs, model):
    seen = separate_pair(model, pairs[0])
    wanted = separate_pairs(model, pairs[0].mixture[None], pairs[0].frames[None])[0]
    np.testing.assert_allclose(seen.estimates, wanted.numpy(), atol=1e-6)
    pixels = PixelSounds(model, pairs[0].mixture, pairs[0].frames[1])
    np.testing.assert_allclose(seen.maps[1], pixels.sound_map()[0])
    assert not seen.silent and seen.levels.max() < 0
    assert sdr_improvement(model, *(getattr(pairs[0], n)[None] for n in ("mixture", "sources", "frames"))) == (
        pytest.approx(seen.improvements.mean(), abs=1e-3)
    )


def test_the_improvement_is_that_of_the_evaluation(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    checkpoint = finished.find({"components": 2}).load()
    pairs = pairs_for(checkpoint, pairs=4)
    scores = scores_by_pair(checkpoint.model, pairs)
    wanted = float((scores["sdr"] - scores["sdr_mixture"]).mean())
    found = sdr_improvement(checkpoint.model, pairs.mixture, pairs.sources, pairs.frames)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_true_masks_are_binary_where_the_run_is(pairs):
    assert set(np.unique(pairs[0].true_masks("binary"))) == {0, 1}
    ratio = pairs[0].true_masks("ratio")
    assert ((ratio > 0.05) & (ratio < 0.95)).any()


def test_l1_is_silent_and_its_map_dark(finished, pairs):
    silent = separate_pair(finished.find({"loss": "l1"}).load().model, pairs[0])
    heard = separate_pair(finished.find({}).load().model, pairs[0])
    assert silent.silent and not heard.silent
    dark, bright = (pictures_with_maps(pairs[0], one).astype(int) for one in (silent, heard))
    assert bright.max(-1).mean() > dark.max(-1).mean()


def test_the_page_gets_masks_and_sounds_as_they_are(pairs, model):
    seen = separate_pair(model, pairs[0])
    sent = run_seen_on_page(seen, pairs[0])
    mask = np.frombuffer(sent["masks"][1], np.uint8).reshape(seen.masks[1].shape)
    np.testing.assert_allclose(mask / 255, seen.masks[1], atol=0.5 / 255 + 1e-6)
    sound = np.frombuffer(sent["sounds"][0], "<i2") / 32767
    np.testing.assert_allclose(sound, seen.estimates[0], atol=1 / 32767)
    assert all(picture[:4] == b"RIFF" for picture in sent["maps"])
    assert "sounds" not in run_seen_on_page(seen, pairs[0], sounds=False)


def test_no_two_of_many_curves_look_alike():
    styles = [curve_style(number) for number in range(200)]
    assert len(set(styles)) == 200
    assert all(len(dashes) % 2 == 0 for _, dashes in styles)
    assert len({colour for colour, _ in styles[:6]}) == 6
