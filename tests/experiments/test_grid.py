"""Grids: what an axis says, every combination once, names that tell runs apart."""

from __future__ import annotations

import pytest
from sweeping import TINY

from sopedu.config import with_values
from sopedu.errors import SopeduError
from sopedu.experiments.grid import axes_of, combined, parse_axis, runs_of


def test_an_axis_varies_a_field_or_fields_that_belong_together():
    assert parse_axis("model.components=4,16") == [{"model.components": "4"}, {"model.components": "16"}]
    linked = parse_axis("loss.target=binary+loss.kind=bce,loss.target=ratio+loss.kind=l1")
    assert linked == [{"loss.target": "binary", "loss.kind": "bce"}, {"loss.target": "ratio", "loss.kind": "l1"}]
    lists = parse_axis("model.audio_channels=[8,16,32],[12,24,48]")
    assert lists == [{"model.audio_channels": "8,16,32"}, {"model.audio_channels": "12,24,48"}]
    assert with_values(TINY, ["model.audio_channels=8,16,32"]).model.audio_channels == (8, 16, 32)
    assert parse_axis("training.weight_decay=1e+0,2e-1") == [
        {"training.weight_decay": "1e+0"},
        {"training.weight_decay": "2e-1"},
    ]


@pytest.mark.parametrize("text", ["", "4,8", "model.components", "model.components=", "a.b=1+c.d=2,3", "a.b=1,,2"])
def test_what_is_no_axis_is_refused_in_one_line(text):
    with pytest.raises(SopeduError, match="--grid .*write field=value"):
        parse_axis(text)


def test_a_grid_is_every_combination_and_a_part_of_a_sweep_has_every_setting():
    axes = axes_of({"model.components": (2, 4), "loss.weighted": (True, False)})
    assert axes == axes_of(["model.components=2,4", [{"loss.weighted": True}, {"loss.weighted": "false"}]])
    runs = runs_of(TINY, combined(axes), (0, 3))
    assert [run.name for run in runs[:4]] == [
        "components-2_weighted-true_seed-0",
        "components-2_weighted-false_seed-0",
        "components-4_weighted-true_seed-0",
        "components-4_weighted-false_seed-0",
    ]
    assert len(runs) == 8 and {run.seed for run in runs[4:]} == {3}
    for run in runs:
        values = [f"{field}={value}" for field, value in run.values.items()]
        assert run.config == with_values(TINY, [*values, f"training.seed={run.seed}"])


def test_fields_of_one_name_are_told_apart_and_lists_make_readable_names():
    axes = axes_of(["spectrogram.samples=32767,16383", "model.audio_channels=[8,16,32],[4,4,4]"])
    assert runs_of(TINY, combined(axes), (0,))[0].name == "samples-32767_audio-channels-8-16-32_seed-0"
    both = runs_of(TINY, [{"training.learning_rate": "0.1", "model.pooling": "max"}], (1,))
    assert both[0].name == "learning-rate-0.1_pooling-max_seed-1"
