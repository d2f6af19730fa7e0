"""The learning-rate range test: the training's own steps, at rates that rise, and nothing of it stays."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sopedu.config import Config, preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.training.loop import Trainer, train
from sopedu.training.rate_range import (
    RateRange,
    first_risen,
    learning_rate_range,
    smoothed,
    unstable_and_suggested,
)
from sopedu.training.run import Callback
from sopedu.training.run_folder import find_rate
from sopedu.training.setup import new_model

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0.25
training.batch_size=4 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())


pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def config(*values: str) -> Config:
    return with_values(TINY, values)


class _RateOf(Callback):
    """Sets the rate of the next step, so that the ordinary training repeats a range test."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def on_start(self, run):
        self.on_record(run)

    def on_record(self, run):
        _RateOf.now = self.rates[min(run.step, len(self.rates) - 1)]


def test_its_steps_are_those_of_a_training_at_the_same_rates(monkeypatch):
    settings = config("training.steps=12", "mixing.pasted_share=0.5", "training.frame_learning_rate=5e-4")
    clips = ToyBandClips(settings)
    found = learning_rate_range(settings, clips, highest=0.1, steps=12, progress=False)
    assert found.rates == pytest.approx([10 ** (-5 + 4 * step / 11) for step in range(12)]) and found.ratio == 1 / 6

    def rates_set(optimizer, step, training):
        for group in optimizer.param_groups:
            group["lr"] = _RateOf.now * group["initial_lr"] / training.learning_rate
        return optimizer.param_groups[0]["lr"]

    monkeypatch.setattr("sopedu.training.loop.set_rates", rates_set)
    run = train(settings, clips, None, [_RateOf(found.rates)], 1)
    assert [entry["loss"] for entry in run.history] == found.losses
    assert [entry["learning_rate"] for entry in run.history] == pytest.approx(found.rates)


def test_it_is_repeatable_and_leaves_the_model_and_random_numbers_alone():
    clips = ToyBandClips(TINY)
    model, state = new_model(TINY), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (learning_rate_range(TINY, clips, model, steps=10, progress=False) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state) and model.level_db is None and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert learning_rate_range(config("training.seed=1"), clips, model, steps=10, progress=False) != first


def test_a_loss_that_explodes_ends_the_test_and_is_written_as_null(tmp_path, monkeypatch):
    settings = config("training.optimizer=sgd", "training.clip_gradient=0")
    clips = ToyBandClips(settings)
    found = learning_rate_range(settings, clips, lowest=1e-3, highest=1e30, steps=60, progress=False)
    assert 2 < len(found.losses) == len(found.rates) < 60
    last = found.losses[-1]
    assert not math.isfinite(last) or last > 2 * min(found.losses)
    figures = json.loads(json.dumps(found.figures(), allow_nan=False))
    assert figures["rates"] == found.rates and len(figures["losses"]) == len(found.losses)
    assert found.suggestion == found.unstable / 10 and found.unstable in found.rates


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"lowest": 0.0}, "the first must be above 0 and below the last"),
        ({"lowest": 1.0, "highest": 1e-3}, "the first must be above 0 and below the last"),
        ({"highest": math.nan}, "highest"),
        ({"steps": 5}, "steps=5"),
    ],
)
def test_ranges_that_make_no_sense_are_told(arguments, what):
    with pytest.raises(SopeduError, match=what):
        learning_rate_range(TINY, ToyBandClips(TINY), **arguments)


def test_several_processes_and_a_rate_of_zero_are_told(monkeypatch):
    clips = ToyBandClips(TINY)
    with pytest.raises(SopeduError, match=r"training\.learning_rate=0"):
        learning_rate_range(config("training.learning_rate=0"), clips)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SopeduError, match="one process"):
        learning_rate_range(TINY, clips)


def test_a_batch_that_does_not_fit_is_one_line_with_the_size_that_fits(monkeypatch):
    def too_much(self, batch):
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(Trainer, "step", too_much)
    with pytest.raises(
        SopeduError, match=r"out of memory at step 1: a batch of 2 fits \(--set training.batch_size=2\)"
    ):
        learning_rate_range(TINY, ToyBandClips(TINY), progress=False)


def test_nothing_is_left_where_it_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SopeduError, match="one process"):
        find_rate(tmp_path / "rates", TINY, say=lambda _: None)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=50), st.floats(0.2, 10))
def test_smoothing_keeps_constants_and_bounds_and_is_symmetric(values, width):
    losses = np.array(values)
    smooth = smoothed(losses, width)
    assert losses.min() - 1e-9 <= smooth.min() and smooth.max() <= losses.max() + 1e-9
    np.testing.assert_allclose(smoothed(losses[::-1], width), smooth[::-1])
    np.testing.assert_allclose(smoothed(np.full(9, 2.5), width), 2.5)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=50))
def test_the_unstable_step_is_the_first_after_the_minimum_above_it_by_a_tenth(values):
    smooth = np.array(values)
    least, found = int(smooth.argmin()), first_risen(smooth)
    assert (smooth[least:found] <= 1.1 * smooth[least]).all()
    assert found is None or (found > least and smooth[found] > 1.1 * smooth[least])


@pytest.mark.parametrize(
    ("smooth", "expected"),
    [
        ([0.2, 0.13, 0.14, 0.15], (1e-2, 1e-4)),  # a tenth above 0.13, which came before 1e-3
        ([0.2, 0.13, 0.15, 0.16], (1e-3, 1e-4)),
        ([0.2, 0.13, 0.14, 0.14], (None, 1e-4)),  # nothing rises: the rate of the least loss
        ([0.2, 0.131, 0.13, 0.131], (None, 1e-4)),  # a flat floor: its left end, wherever rounding puts the least loss
        ([0.2, 0.13, 0.131, 0.129], (None, 1e-4)),
        ([0.2, 0.16, 0.14, 0.13], (None, 1e-3)),  # still falling: at most a tenth of the last
        ([0.2, 0.13, 0.14], (1e-3, 1e-4)),  # it exploded at the fourth
    ],
)
def test_the_suggestion_lies_in_the_valley_even_where_the_loss_hardly_rises(smooth, expected):
    assert unstable_and_suggested([1e-5, 1e-4, 1e-3, 1e-2], np.array(smooth)) == pytest.approx(expected)


def test_a_loss_that_rises_nowhere_is_told_and_no_rate_is_called_unstable():
    found = RateRange([1e-3, 1e-2], [0.2, 0.1], [0.2, 0.1], 3e-3, None, 1e-3, 1 / 3)
    assert found.describe() == (
        "the loss did not rise by 10 % up to the last rate, 1.0e-02; configured 3.0e-03, suggestion 1.0e-03"
    )
    assert replace(found, unstable=1e-2).describe().startswith("unstable from 1.0e-02 on; configured")
    assert json.loads(json.dumps(found.figures()))["unstable"] is None
