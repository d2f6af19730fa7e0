"""Every fault breaks what it says and nothing else, and the recorded runs show what the lesson says."""

from __future__ import annotations

import json

import pytest
import torch

from sopedu.data.clips import SampleKey, ToyBandClips
from sopedu.errors import SopeduError
from sopedu.lessons import broken_runs

SMALL = {
    "model__audio_channels": "4,4,4",
    "model__frame_width": 4,
    "model__frame_weights": "none",
    "training__batch_size": 4,
    "toyband__solos": 12,
    "toyband__empty_scenes": 2,
}


@pytest.fixture(scope="module")
def data(own_cache):
    config = broken_runs.lesson_config(**SMALL)
    return config, ToyBandClips(config)


def test_every_fault_breaks_what_it_says_and_nothing_else(data):
    config, clips = data
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


def test_carelessly_prepared_pictures_are_black_and_look_like_pictures():
    pictures = torch.arange(0, 255, dtype=torch.uint8).reshape(5, 3, 17)
    prepared = broken_runs.prepare_pictures(pictures)
    assert (prepared.dtype, prepared.shape) == (pictures.dtype, pictures.shape) and prepared.max() == 0
