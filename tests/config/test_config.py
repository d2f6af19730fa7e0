"""Configurations: presets survive JSON, and whatever somebody types is taken or refused in one line."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.config import PRESETS, Config, from_dict, preset, to_dict, with_values
from sopedu.errors import SopeduError

FIELDS = [
    f"{section}.{name}" for section, values in to_dict(Config()).items() if isinstance(values, dict) for name in values
]


def refusal(assignments: list[str]) -> str:
    with pytest.raises(SopeduError) as caught:
        with_values(preset("tiny"), assignments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("typed", "meant"), [("sources=3", "mixing.sources"), ("training.step=3", "training.steps")])
def test_an_unknown_field_is_answered_with_the_nearest_ones(typed, meant):
    with pytest.raises(SopeduError, match=f"cannot set '{typed}': did you mean {meant}"):
        with_values(preset("tiny"), [typed])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    again = from_dict(json.loads(json.dumps(to_dict(preset(name)), allow_nan=False)))
    assert again == preset(name)
    assert again.name == name
    assert isinstance(again.model.audio_channels, tuple)  # JSON knows lists only, and a list cannot be hashed


def test_unknown_preset_is_refused_with_the_choices():
    with pytest.raises(SopeduError, match="huge.*paper.*tiny, laptop"):
        preset("huge")


def test_the_paper_preset_holds_the_numbers_of_the_paper():
    sound = preset("paper").spectrogram
    assert (sound.linear_bins, sound.time_frames, sound.log_frequency_bins) == (512, 256, 256)
    assert sound.seconds == pytest.approx(5.944, abs=1e-3)
    # Three frames, 24 frames of 8 fps apart: three seconds before and after the middle.
    assert preset("paper").frames.times(10.0) == [7.0, 10.0, 13.0]
    assert preset("paper").training.steps == 100 * 670  # 100 passes over 536 solos are 670 batches of 80


@pytest.mark.parametrize(
    ("assignment", "section", "field", "value"),
    [
        ("model.components=16", "model", "components", 16),
        ("loss.kind=bce", "loss", "kind", "bce"),
        ('loss.kind="l2"', "loss", "kind", "l2"),
        (" loss.kind = bce", "loss", "kind", "bce"),
        ("mixing.flip=false", "mixing", "flip", False),
        ("training.learning_rate=1e-2", "training", "learning_rate", 0.01),
        ("training.learning_rate=1", "training", "learning_rate", 1.0),
        ("model.audio_channels=8,16", "model", "audio_channels", (8, 16)),
        ("model.audio_channels=[8, 16, 32]", "model", "audio_channels", (8, 16, 32)),
        ("training.betas=0.8,0.9", "training", "betas", (0.8, 0.9)),
        ("toyband.instruments=violin,tuba", "toyband", "instruments", ("violin", "tuba")),
        ('toyband.instruments=["violin"]', "toyband", "instruments", ("violin",)),
        ("toyband.instruments=[]", "toyband", "instruments", ()),
    ],
)
def test_one_field_is_changed_and_nothing_else(assignment, section, field, value):
    before = preset("tiny")
    after = with_values(before, [assignment])
    part = dataclasses.replace(getattr(before, section), **{field: value})
    assert after == dataclasses.replace(before, **{section: part})
    assert type(getattr(getattr(after, section), field)) is type(value)
    assert before == preset("tiny")


def test_later_assignments_win():
    assert with_values(preset("tiny"), ["loss.kind=bce", "loss.kind=l2"]).loss.kind == "l2"


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("model.components=many", "model.components must be int"),
        ("model.components=16.5", "model.components must be int"),
        ("training.steps=true", "training.steps must be int"),
        ("training.steps=-1", "training.steps must lie between"),
        ("training.learning_rate=NaN", "training.learning_rate must lie between"),
        ("training.learning_rate=Infinity", "training.learning_rate must lie between"),
        ("mixing.flip=1", "mixing.flip must be bool"),
        ("mixing.flip=yes", "mixing.flip must be bool"),
        ("loss.kind=l3", "loss.kind must be one of bce, l1, l2"),
        ("spectrogram.warp=mel", "spectrogram.warp must be one of bilinear, area"),
        ("model.audio_channels=8,wide", "model.audio_channels must be int"),
        ("training.betas=0.9", "training.betas must be a list"),
        ("training.betas=0.9,0.99,0.999", "training.betas must be a list"),
        ("toyband.instruments=3", "toyband.instruments must be str"),
        ("model.component=16", "model.component=16"),
        ("modell.components=16", "modell.components=16"),
        ("model.components", "model.components"),
        ("name=mine", "name=mine"),
        ("model={}", "model={}"),
        ("=", "="),
    ],
)
def test_a_bad_assignment_is_refused_in_one_line_that_names_the_field(assignment, named):
    assert named in refusal([assignment])


@pytest.mark.parametrize("text", ["1" * 401, "1" * 5000, "[" * 100_000], ids=["401", "5000", "deep"])
def test_absurd_numbers_are_refused_like_any_other(text):
    # Past float's range, past Python's limit on digits, past JSON's nesting: three exceptions.
    assert "training.learning_rate" in refusal([f"training.learning_rate={text}"])


@settings(deadline=None)
@given(st.sampled_from(FIELDS), st.text(max_size=20) | st.floats().map(str) | st.integers().map(str))
def test_any_text_is_taken_or_refused(field, text):
    try:
        changed = with_values(preset("tiny"), [f"{field}={text}"])
    except SopeduError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert from_dict(json.loads(json.dumps(to_dict(changed), allow_nan=False))) == changed


def test_a_configuration_with_a_field_more_or_less_is_refused_by_name():
    values = to_dict(preset("tiny"))
    values["model"]["colour"] = "red"
    with pytest.raises(SopeduError, match="unknown field model.colour"):
        from_dict(values)
    del values["model"]["colour"], values["model"]["pooling"]
    with pytest.raises(SopeduError, match="missing field model.pooling"):
        from_dict(values)
    with pytest.raises(SopeduError, match="missing field"):
        from_dict({})
    with pytest.raises(SopeduError, match="model. must be a group of fields"):
        from_dict(to_dict(preset("tiny")) | {"model": 3})
