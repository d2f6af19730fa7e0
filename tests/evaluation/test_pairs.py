"""Evaluation: the rows that need no learning are where theory puts them, and nothing can fool the table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from noise_clips import BAND, CONFIG, Noise, untrained

from sopedu.audio.masks import ideal_ratio_mask
from sopedu.audio.metrics import FLOOR, bss_eval
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation import baselines, separation
from sopedu.evaluation import pairs as pairs_module
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.evaluation.separation import evaluate, leak
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels

KEYS = """sdr sir sar si_sdr sdr_mixture sdr_improvement sdr_static_mask sdr_ideal_binary_mask pairs seed
sdr_ideal_ratio_mask sdr_swapped leak_blank leak_absent counted_silent silent_references protocol"""


@pytest.fixture(scope="module", autouse=True)
def few_solos(own_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_SOLOS_PER_CLASS", 6)
        yield


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(untrained(), BAND)


@pytest.fixture(scope="module")
def figures(checkpoint) -> dict:
    return evaluate(checkpoint, pairs=3, seed=3, dictionaries=False)


def test_every_figure_is_there_and_finite(figures):
    assert set(KEYS.split()) <= set(figures)
    numbers = [value for value in figures.values() if isinstance(value, (int, float))]
    assert np.isfinite(numbers).all()
    assert (figures["pairs"], figures["seed"], figures["counted_silent"], figures["silent_references"]) == (3, 3, 0, 0)
    assert figures["instruments"] == list(BAND)
    assert "3 held-out mixtures of 2 solos" in figures["protocol"]
    # 15 hops of 512 samples at 11 025 Hz
    assert "0.70 s at 11025 Hz" in figures["protocol"]


def test_rows_without_learning_are_where_theory_puts_them(figures):
    assert abs(figures["sdr_mixture"]) < 3  # what one source wins in level the other loses
    assert figures["sdr_ideal_ratio_mask"] > 10
    assert figures["sdr_ideal_binary_mask"] > 8
    assert figures["sdr_ideal_ratio_mask"] > figures["sdr_static_mask"]
    assert figures["sdr_improvement"] == pytest.approx(figures["sdr"] - figures["sdr_mixture"], abs=1e-3)


def test_an_untrained_model_separates_nothing_whatever_it_sees(figures):
    # All its masks are about one half everywhere: a quarter of the energy, −6 dB.
    assert figures["sdr"] == pytest.approx(figures["sdr_mixture"], abs=1)
    assert figures["sdr_swapped"] == pytest.approx(figures["sdr_mixture"], abs=1)
    assert figures["leak_blank"] == pytest.approx(-6, abs=2)
    assert figures["leak_absent"] == pytest.approx(-6, abs=2)


def test_perfect_masks_reach_the_ideal_and_nothing_leaks(monkeypatch, checkpoint, figures):
    pairs, sound = held_out_pairs(ToyBandClips(CONFIG, "validation", 6, seed=3), 3, 3), CONFIG.spectrogram
    mixture = warp(stft(pairs.mixture, sound).abs(), sound)[:, None]
    ideal = ideal_ratio_mask(warp(stft(pairs.sources, sound).abs(), sound), mixture).clamp(max=1)

    def oracle(model, heard, frames, as_is=False):
        torch.testing.assert_close(heard, pairs.mixture)
        if frames.shape[1] == 1:  # blank or absent
            return torch.zeros_like(ideal[:, :1])
        return ideal.flip(1) if torch.equal(frames, pairs.frames.flip(1)) else ideal

    for module in (pairs_module, baselines):
        monkeypatch.setattr(module, "predict_masks", oracle)
    found = evaluate(checkpoint, pairs=3, seed=3, dictionaries=False)
    assert found["sdr"] == found["sdr_ideal_ratio_mask"] == figures["sdr_ideal_ratio_mask"]
    assert found["sdr_swapped"] < -10 and found["sdr_same_class_picture"] == found["sdr"]
    assert found["leak_blank"] == found["leak_absent"] == -100
    for key in ("sdr_mixture", "sdr_static_mask", "sdr_ideal_binary_mask"):  # the same seed, the same pairs
        assert found[key] == figures[key]


def test_a_model_without_sound_scores_the_floor_and_is_counted():
    length = CONFIG.spectrogram.counted_samples
    pairs = held_out_pairs(Noise([0, 1, 0, 1]), 2)
    table, counts = separation.score_rows(pairs, {"model": torch.zeros(2, 2, length)}, length)
    assert table["model"] == dict.fromkeys(("sdr", "sir", "sar", "si_sdr"), FLOOR)
    assert counts == {"counted_silent": 4, "silent_references": 0}


def test_the_table_is_the_mean_of_the_scores_of_single_sources():
    length = CONFIG.spectrogram.counted_samples
    pairs = held_out_pairs(Noise([0, 1, 0, 1]), 2)
    rows = {"model": pairs.sources[..., :length] + 0.1 * pairs.sources[..., :length].flip(0)}
    rows["blank"] = rows["model"][:, :1]
    scores, counts = separation.scores_by_row(pairs, rows, length)
    assert set(scores) == {"model"} and scores["model"]["sdr"].shape == (2, 2)
    table, again = separation.score_rows(pairs, rows, length)
    assert counts == again
    for name, values in scores["model"].items():
        assert table["model"][name] == pytest.approx(values.mean(), abs=1e-3)


def test_means_are_over_the_sources_that_sound_and_the_others_are_counted():
    length = CONFIG.spectrogram.counted_samples
    pairs = held_out_pairs(Noise([0, 1, 0, 1]), 2)
    pairs.sources[1, 0] = 0
    estimates = pairs.sources[..., :length] + 0.1 * pairs.sources[..., :length].flip(0)
    table, counts = separation.score_rows(pairs, {"static_mask": estimates}, length)
    scores = [bss_eval(*map(np.asarray, pair)) for pair in zip(pairs.sources[..., :length], estimates, strict=True)]
    for name in ("sdr", "sir", "sar"):
        alone = [value for score in scores for value in getattr(score, name) if np.isfinite(value)]
        assert len(alone) == 3 and table["static_mask"][name] == pytest.approx(np.mean(alone), abs=0.01)
    assert counts == {"counted_silent": 0, "silent_references": 1}
    pairs.sources[:] = 0
    with pytest.raises(SopeduError, match="all held-out clips are silent"):
        separation.score_rows(pairs, {"static_mask": estimates}, length)


@pytest.mark.parametrize("labels", [[0, 1] * 4, [0, 1, 2] * 5, [0] * 9 + [1] * 3, [0, 1, 1]])
@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_of_different_classes_and_what_they_say(labels, seed):
    clips = Noise(labels)
    pairs = held_out_pairs(clips, 6, seed)
    assert len(pairs.mixture) > 0
    assert (pairs.labels[:, 0] != pairs.labels[:, 1]).all()
    torch.testing.assert_close(pairs.sources.sum(1), pairs.mixture)
    shown = pairs.frames[:, :, 0, 0, 0, 0].numpy()  # the colour says which clip
    assert (shown[:, 0] != shown[:, 1]).all()
    assert (np.array(labels)[shown] == pairs.labels).all()
    for index, source in zip(shown.ravel(), pairs.sources.flatten(0, 1), strict=True):
        torch.testing.assert_close(source, clips[int(index)].waveform / 2)
    if len(set(labels)) == 2:
        assert pairs.absent is None
    else:
        absent = np.array(labels)[pairs.absent[:, 0, 0, 0, 0].numpy()]
        assert (absent[:, None] != pairs.labels).all()


def test_each_clip_serves_once_where_there_are_enough_and_the_seed_decides():
    clips = Noise([0, 1, 2] * 4)
    first, again, other = (held_out_pairs(clips, 6, seed).frames[:, :, 0, 0, 0, 0] for seed in (0, 0, 1))
    assert sorted(first.flatten().tolist()) == list(range(12))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_clips_of_one_class_cannot_be_evaluated():
    with pytest.raises(SopeduError, match="mixtures of 2 need 2 different classes; the held-out clips are 3 of 1"):
        held_out_pairs(Noise([1, 1, 1]), 2)
    with pytest.raises(SopeduError, match="mixtures of 3 need 3 different classes"):
        held_out_pairs(Noise([0, 1, 1]), 2, sources=3)


@pytest.mark.parametrize("sources", [3, 4])
def test_mixtures_of_more_solos_have_as_many_classes_and_divide_each_by_their_number(sources):
    clips = Noise([0, 1, 2, 3, 4] * 4)
    pairs = held_out_pairs(clips, 5, 1, sources)
    shown = pairs.frames[:, :, 0, 0, 0, 0].numpy()  # the colour says which clip
    assert shown.shape == pairs.labels.shape == (5, sources)
    assert all(len(set(labels)) == sources for labels in pairs.labels.tolist())
    assert len({tuple(sorted(labels)) for labels in pairs.labels.tolist()}) == 5  # of 10 or 5 combinations
    for index, source in zip(shown.ravel(), pairs.sources.flatten(0, 1), strict=True):
        torch.testing.assert_close(source, clips[int(index)].waveform / sources)
    torch.testing.assert_close(pairs.sources.sum(1), pairs.mixture)
    absent = clips.labels[pairs.absent[:, 0, 0, 0, 0].numpy()]
    assert (absent[:, None] != pairs.labels).all()


def test_mixtures_of_one_class_are_of_different_clips_of_every_class_that_has_enough():
    clips = Noise([0, 1, 1, 2, 2, 2])
    pairs = held_out_pairs(clips, 8, same_class=True)
    shown = pairs.frames[:, :, 0, 0, 0, 0].numpy()
    assert (shown[:, 0] != shown[:, 1]).all() and (clips.labels[shown] == pairs.labels).all()
    assert sorted(pairs.labels.tolist()) == [[1, 1]] * 4 + [[2, 2]] * 4
    with pytest.raises(SopeduError, match="2 clips of one class: draw more pairs"):
        held_out_pairs(Noise([0, 1, 2]), 1, same_class=True)


def test_three_sources_at_once_are_scored_beside_all_rows(checkpoint, figures):
    found = evaluate(checkpoint, pairs=2, seed=3, sources=3, dictionaries=False)
    assert found["sources"] == 3 and "2 held-out mixtures of 3 solos, all groups of 3 of" in found["protocol"]
    assert set(found["table"]) == set(figures["table"])
    assert found["sdr_ideal_ratio_mask"] > 8 > found["sdr_mixture"] + 4  # each source is weaker than the other two
    assert found["leak_absent"] is None  # all three classes are in the mixture
    assert [len(pair["classes"]) for pair in found["per_pair"]] == [3, 3]
    with pytest.raises(SopeduError, match="sources"):
        evaluate(checkpoint, pairs=2, sources=1)


def test_one_class_twice_has_figures_of_its_own_and_changes_no_other(checkpoint, figures):
    found = evaluate(checkpoint, pairs=3, seed=3, same_class=True, dictionaries=False)
    apart = found.pop("same_class")
    assert found == figures
    assert set(apart["table"]) == {"mixture", "model", "ideal_binary_mask", "ideal_ratio_mask", "swapped"}
    assert "3 held-out mixtures of 2 solos, of one class, 3 classes in turn" in apart["protocol"]
    assert apart["sdr"] == apart["table"]["model"]["sdr"] and apart["table"]["ideal_ratio_mask"]["sdr"] > 8
    assert all(pair["classes"] == [pair["classes"][0]] * 2 for pair in apart["per_pair"])
    with pytest.raises(SopeduError, match="2 clips of one class: draw more pairs"):
        evaluate(checkpoint, pairs=1, seed=3, same_class=True, dictionaries=False)
    with pytest.raises(SopeduError, match="different players"):
        evaluate(checkpoint, pairs=3, sounds="folder", same_class=True)


def test_leak_is_the_mean_energy_against_the_mixture():
    quiet = torch.tensor([[0.1], [0.3]])[..., None].expand(2, 1, 100)
    assert leak(quiet, torch.ones(2, 2, 100)) == pytest.approx(10 * np.log10((0.01 + 0.09) / 2), abs=1e-3)


def test_predicted_masks_do_not_depend_on_the_batch(checkpoint):
    pairs = held_out_pairs(Noise([0, 1] * 18), 18)  # more than go through the model at once
    together = pairs_module.predict_masks(checkpoint.model, pairs.mixture, pairs.frames)
    assert together.shape == (18, 2, 128, 16)
    alone = pairs_module.predict_masks(checkpoint.model, pairs.mixture[17:], pairs.frames[17:])
    torch.testing.assert_close(together[17:], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["features", "energy"])
def test_masks_of_a_model_in_training_mode_are_those_of_evaluation_and_it_is_not_changed(pooling):
    torch.manual_seed(0)
    model = SoundOfPixels(with_values(CONFIG, [f"model.region_pooling={pooling}"])).eval()
    pairs = held_out_pairs(Noise([0, 0, 1, 1]), 2)
    expected = pairs_module.predict_masks(model, pairs.mixture, pairs.frames)
    before = {name: value.clone() for name, value in model.train().state_dict().items()}
    found = pairs_module.predict_masks(model, pairs.mixture, pairs.frames)
    assert torch.equal(found, expected) and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
