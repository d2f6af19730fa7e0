"""The loss lab trains in the background, stops at once, keeps runs, reports errors; broken runs are as described."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch

from sopedu.data.clips import SampleKey, ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.lessons import broken_runs
from sopedu.lessons.loss_lab import CHOICES, LossLab, judge_quickly
from sopedu.training.setup import new_model

SMALL = {
    "model__audio_channels": "4,4,4",
    "model__frame_width": 4,
    "model__frame_weights": "none",
    "training__batch_size": 4,
    "toyband__solos": 12,
    "toyband__empty_scenes": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOPEDU_CACHE", str(tmp_path_factory.mktemp("cache")))
        config = broken_runs.lesson_config(**SMALL)
        yield config, ToyBandClips(config), held_out_pairs(ToyBandClips(config, "validation", 4), 2)
    torch.set_num_threads(threads)


@pytest.fixture
def lab(data) -> LossLab:
    lab = LossLab(*data, steps=20)
    yield lab
    lab.stop()
    lab.wait(60)


def test_a_run_is_trained_judged_and_kept_with_what_was_changed(lab, data):
    lab.start(loss="l1", components=8)
    assert lab.running and lab.start_button.disabled and not lab.stop_button.disabled
    lab.start()  # pressed twice: nothing happens
    lab.wait(60)
    (run,) = lab.runs
    assert run.name == "components 8, loss l1" and [entry["step"] for entry in run.history] == [10, 20]
    assert np.isfinite(run.sdr_improvement) and run.estimates.shape == (2, 31 * 512)
    assert "done after 20 steps" in lab.words.value and bytes(lab.picture.value).startswith(b"\x89PNG")
    assert (lab.start_button.disabled, lab.stop_button.disabled, lab.compare_button.disabled) == (False, True, False)
    lab.start()
    lab.wait(60)
    assert [run.name for run in lab.runs] == ["components 8, loss l1", "components 8, loss l1 #2"]
    assert lab.runs[0].history[0]["loss"] == lab.runs[1].history[0]["loss"]  # one seed
    figure = lab.compare()
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == [run.name for run in lab.runs]
    assert lab.sounds.value.count("<audio") == 1 + 2 * 2


def test_stop_ends_a_run_after_the_step_it_is_in(lab):
    lab.start(steps=600)
    while lab.running and lab._run is None:
        lab.wait(0.01)
    lab.stop()
    lab.wait(60)
    assert not lab.running and "stopped after" in lab.words.value
    assert len(lab.runs) == 1 and len(lab.runs[0].history) < 50


def test_what_fails_is_said_in_the_lab(lab, monkeypatch):
    monkeypatch.setattr(
        "sopedu.lessons.loss_lab.train", lambda *_, **__: (_ for _ in ()).throw(SopeduError("loss <is> nan"))
    )
    lab.start()
    lab.wait(60)
    assert 'role="alert"' in lab.words.value and "loss &lt;is&gt; nan" in lab.words.value
    assert lab.runs == [] and lab.compare() is None and not lab.start_button.disabled


def test_training_ends_with_the_program(lab):
    lab.start(steps=600)
    assert lab._thread.daemon and lab._thread is not threading.current_thread()


def test_every_choice_is_a_field_and_its_usual_value_is_offered(lab, data):
    for name, (place, _) in CHOICES.items():
        section, key = place.split(".")
        assert lab.controls[name].value == getattr(getattr(data[0], section), key)


def test_exchanged_pictures_exchange_the_scores(data):
    config, _, pairs = data
    model = new_model(config).eval()
    gained, swapped, _ = judge_quickly(model, pairs)
    exchanged = type(pairs)(**{**vars(pairs), "frames": pairs.frames.flip(1)})
    assert judge_quickly(model, exchanged)[:2] == pytest.approx((swapped, gained), abs=1e-3)


def test_every_fault_breaks_what_it_says_and_nothing_else(data):
    config, clips, _ = data
    visit = SampleKey(3, 0, 7)
    before = clips[visit]
    hot, same = broken_runs.broken("A", config, clips)
    assert same is clips and hot.training.learning_rate == 100 * config.training.learning_rate
    assert (hot.model, hot.loss) == (config.model, config.loss)
    same_config, quiet = broken_runs.broken("B", config, clips)
    assert same_config is config and torch.equal(quiet[visit].waveform, before.waveform / 32768)
    assert torch.equal(quiet[visit].frames, before.frames)
    _, mixed = broken_runs.broken("C", config, clips)
    assert torch.equal(mixed[visit].waveform, before.waveform) and mixed[visit].label == before.label
    assert sum(torch.equal(mixed[i].frames, clips[i].frames) for i in range(len(clips))) <= 3
    with pytest.raises(SopeduError, match="no fault is called 'D': choose one of A, B, C"):
        broken_runs.broken("D", config, clips)


def test_recorded_runs_show_what_the_lesson_says():
    runs = {name: broken_runs.recorded_run(name) for name in ("healthy", *broken_runs.CAUSES)}
    last = {name: run["history"][-1]["loss"] for name, run in runs.items()}
    assert last["B"] < 0.01 < last["healthy"] < 0.8 * last["A"] and abs(last["A"] - last["C"]) < 0.02
    lost = {name: run["sdr_improvement"] - run["sdr_improvement_swapped"] for name, run in runs.items()}
    assert lost["healthy"] > 5 > 1 > max(abs(lost[name]) for name in "ABC")
    with pytest.raises(SopeduError, match="no such recorded run"):
        broken_runs.recorded_run("../healthy")
    assert all(json.dumps(run) and len(run["history"]) == 30 for run in runs.values())
