"""Finished runs are found by their choices, named by what they are, and trained anew with the same settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sopedu.audio.masks import ideal_ratio_mask
from sopedu.config import with_values
from sopedu.data.clips import ToyBandClips
from sopedu.data.mixing import mix
from sopedu.errors import SopeduError
from sopedu.experiments import finished_experiments
from sopedu.lessons.lab_runs import CHOICES, FinishedRuns, as_texts, name_of, reason_for_silence, values_of
from sopedu.training.loss import loss_weight


@pytest.fixture(scope="module")
def finished() -> FinishedRuns:
    return FinishedRuns()


def test_every_finished_run_is_found_by_its_choices_and_seed(finished):
    assert len(finished.runs) == len(finished_experiments("heads"))
    for run in finished.runs:
        assert finished.find(run.values, run.seed) is run
        assert run in finished.seeds(run.values).values()
    names = [run.name for run in finished.runs]
    assert len(set(names)) == len(names)


def test_what_is_offered_is_what_there_is(finished):
    for values in (finished.usual, finished.usual | {"components": "4"}, finished.usual | {"loss": "l1"}):
        offered = finished.offered(values)
        for name, choice in CHOICES.items():
            there = [option for option in choice.options if finished.seeds(values | {name: option})]
            assert offered[name] == there
    assert finished.offered(finished.usual)["components"] == ["2", "4", "8", "16", "32", "64"]
    assert finished.offered(finished.usual | {"components": "4"})["loss"] == ["bce"]


def test_the_score_of_a_run_is_that_of_the_experiment(finished):
    for experiment, run in zip(finished_experiments("heads"), finished.runs, strict=True):
        figures = experiment.figures
        assert run.sdr_improvement == pytest.approx(figures["sdr"] - figures["sdr_mixture"])


@pytest.mark.parametrize(
    "changes, kind, name",
    [
        ({}, "heads", "K=16, BCE, ratio, seed 3"),
        ({"components": 32, "loss": "l1"}, "heads", "K=32, L1, ratio, seed 3"),
        ({"target": "binary"}, "scratch", "K=16, BCE, binary, from scratch, seed 3"),
        ({"activation": "none", "pooling": "mean"}, "heads", "K=16, BCE, ratio, activation none, mean pooling, seed 3"),
        ({"empty_rooms": 0}, "heads", "K=16, BCE, ratio, no empty rooms, seed 3"),
        ({"absent_pictures": 0}, "heads", "K=16, BCE, ratio, no absent pictures, seed 3"),
        ({"empty_rooms": 0.25}, "heads", "K=16, BCE, ratio, 25 % empty rooms, seed 3"),
        ({"synthesizer": "attention"}, "heads", "K=16, BCE, ratio, attention, seed 3"),
    ],
)
def test_a_run_is_named_by_what_it_is(finished, changes, kind, name):
    assert name_of(finished.usual | as_texts(changes), 3, finished.usual, kind) == name


def test_a_training_has_the_values_that_were_chosen_and_the_settings_of_the_finished_runs(finished):
    wanted = finished.usual | as_texts({"components": 4, "loss": "l2", "empty_rooms": 0.25})
    heads = finished.training_config(wanted, 7, "heads", 100, 48)
    scratch = finished.training_config(wanted, 7, "scratch", 400, 48)
    for config, steps in ((heads, 100), (scratch, 400)):
        assert values_of(config) == wanted
        assert (config.training.seed, config.training.steps, config.toyband.solos) == (7, steps, 48)
    usual = finished.config.training
    assert (heads.training.freeze, heads.training.learning_rate) == (usual.freeze, usual.learning_rate)
    assert scratch.training.freeze == () and scratch.training.learning_rate < usual.learning_rate


def test_unknown_choices_and_values_are_named():
    with pytest.raises(SopeduError, match="no choice 'k': choose of components, loss"):
        as_texts({"k": 3})
    with pytest.raises(SopeduError, match="components=3 is not offered: choose of 2, 4, 8"):
        as_texts({"components": 3})


def test_a_silent_run_is_explained_only_where_the_explanation_holds(finished):
    def reason(**changes):
        return reason_for_silence(finished.usual | as_texts(changes))

    assert "median" in reason(loss="l1") and "one half" in reason(target="binary")
    assert "empty rooms" in reason(loss="l1", absent_pictures=0)
    assert reason(loss="l1", absent_pictures=0, empty_rooms=0) == "" == reason() == reason(loss="l2")


@pytest.fixture(scope="module")
def solos(finished, own_cache):
    clips = ToyBandClips(with_values(finished.config, ["toyband.solos=32", "toyband.empty_scenes=2"]))
    return clips, torch.stack([clips[i].waveform for i in range(32)]), clips.labels[:32]


@pytest.mark.parametrize("absent, more_than_half", [(1, True), (0, False)])
def test_absent_pictures_make_zero_the_median_of_the_targets(finished, solos, absent, more_than_half):
    clips, waveforms, labels = solos
    mixing = with_values(finished.config, [f"mixing.absent={absent}", "mixing.silent_share=0"]).mixing
    spectra = mix(waveforms, labels, mixing, np.random.default_rng(0)).spectra(clips.config.spectrogram)
    target = ideal_ratio_mask(spectra.source, spectra.mixture)
    target = torch.cat([target, torch.zeros_like(target[:, :absent])], 1)
    weight = loss_weight(spectra.mixture, clips.config.loss).expand_as(target)
    near_zero = float(weight[target < 0.1].sum() / weight.sum())  # weighted, as the loss is
    assert (near_zero > 0.5) == more_than_half
