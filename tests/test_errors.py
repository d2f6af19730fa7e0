"""Numbers that a user passes in Python: those of NumPy are taken, the others are refused before any work begins."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

import sopedu
from sopedu.audio.resampling import resample
from sopedu.audio.soundfiles import load_waveform, save_waveform
from sopedu.config import from_dict, preset, to_dict, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.evaluation.separation import evaluate
from sopedu.toyband.export import render_dataset
from sopedu.training.callbacks import Progress
from sopedu.training.loop import train

NO_WORK = object()  # stands for what is never looked at, because a number is refused before


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.uint8(3), np.float32(3), np.array(3), torch.tensor(3)])
def test_whole_numbers_of_all_kinds_become_plain_ones(value):
    number = whole_number(value, "steps", 3, 3)
    assert type(number) is int and number == 3 and json.dumps(number) == "3"
    assert type(real_number(value, "seconds")) is float


def test_integers_beyond_what_a_float_holds_stay_exact():
    assert whole_number(2**53 + 1, "seed") == 2**53 + 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2.5, "must be a whole number"), (np.float64(0.1), "must be a whole number"), ("3", "must be a number"),
        (True, "must be a number"), (None, "must be a number"), ([3], "must be a number"), (1j, "must be a number"),
        (np.array([3]), "must be a number"), (float("nan"), "must be a finite number"), (10**400, "must be a finite"),
        (-np.inf, "must be a finite number"), (0, "must be between 1 and 9"), (10, "must be between 1 and 9"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_name(value, said):
    with pytest.raises(SopeduError, match=f"^steps=[^\n]+: {said}"):
        whole_number(value, "steps", 1, 9)


def test_evaluate_train_and_render_refuse_before_they_begin(tmp_path):
    checkpoint, config = sopedu.load_checkpoint(sopedu.model.checkpoints.SHIPPED), preset("tiny")
    for work, said in (
        (lambda: evaluate(checkpoint, pairs=0), "pairs=0: must be 1 or more"),
        (lambda: evaluate(checkpoint, seed="1"), "seed='1': must be a number"),
        (lambda: train(config, NO_WORK, record_every=0), "record_every=0: must be 1 or more"),
        (lambda: train(config, NO_WORK, keep=1.5), "keep=1.5: must be a whole number"),
        (lambda: train(config, NO_WORK, callbacks=[print]), "is no callback; give an object with some of on_start"),
        (lambda: train(config, NO_WORK, callbacks=[Progress]), "is no callback"),
        (lambda: train(replaced(steps=-1), NO_WORK), "training.steps must lie between 0 and a billion, not -1"),
        (lambda: train(replaced(batch_size=0), NO_WORK), "training.batch_size ≥ mixing.sources"),
        (lambda: render_dataset(tmp_path / "new", 0), "solos=0: must be 1 or more"),
        (lambda: render_dataset(tmp_path / "new", 2, seconds=float("nan")), "seconds=nan: must be a finite number"),
        (lambda: render_dataset(tmp_path / "new", 2, instruments=[]), "give a list of some of accordion"),
        (lambda: resample(np.zeros(9), 11025.5, 8000), "the sample rate is 11025.5: pass a whole number of hertz"),
    ):
        with pytest.raises(SopeduError) as refusal:
            work()
        assert said in str(refusal.value) and "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def replaced(**values):
    return dataclasses.replace(preset("tiny"), training=dataclasses.replace(preset("tiny").training, **values))


def test_sample_rates_may_be_floats_of_whole_numbers(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4410).astype(np.float32)
    save_waveform(tmp_path / "a.wav", noise, 44100.0)
    assert np.array_equal(load_waveform(tmp_path / "a.wav", np.float64(11025)), load_waveform(tmp_path / "a.wav"))
    assert np.array_equal(resample(noise, 44100.0, np.int64(11025)), resample(noise, 44100, 11025))


def test_numbers_of_numpy_make_the_same_configuration():
    made = replaced(steps=np.int64(7), learning_rate=np.float32(0.5))
    assert from_dict(to_dict(made)) == with_values(preset("tiny"), ["training.steps=7", "training.learning_rate=0.5"])


def test_any_object_with_some_of_a_callbacks_methods_watches_a_training(tmp_path, monkeypatch):
    class Watcher:
        seen = list[int]()

        def on_record(self, run):
            self.seen.append(run.step)

    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    values = """model.audio_channels=4,4,4 model.frame_width=4 model.components=4 model.frame_weights=none
    training.batch_size=4 training.precision=float32 training.steps=2 toyband.solos=6 toyband.empty_scenes=1"""
    config = with_values(preset("tiny"), values.split())
    train(config, ToyBandClips(config), callbacks=[Watcher()], record_every=np.int64(1))
    assert Watcher.seen == [1, 2]


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\u2028b", "a\vb"])
def test_an_error_is_one_line_whatever_name_is_in_it(name):
    assert str(SopeduError(f"{name}: no such file")) == "a b: no such file"
