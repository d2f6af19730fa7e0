"""Scenes of the toy band: exact stems, true boxes, splits that share nothing, files that hold what was drawn."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.config import preset
from sopedu.data.index_clips import IndexClips
from sopedu.errors import SopeduError
from sopedu.toyband import cache, duet, scene, scenes, solo
from sopedu.toyband.cache import SetDescription, rendered_set
from sopedu.toyband.export import render_dataset
from sopedu.toyband.splits import SPLITS, draw_identity, generator_for

SMALL = {"size": (64, 96), "times": (0.2, 0.7), "samples": 11025}
SET = SetDescription("validation", 4, 2, 2000, (0.1, 0.5), 64, ("tuba", "violin"))
# From numpy 2.4.6 on an x86-64 CPU with AVX-512. It changes whenever a drawing, a sound or the order of random draws
# does: look and listen, copy the new number from the failure, and say so in the changelog.
SCENES = "becaa057f26e58ab1a1d6d8aaa19ca4e19d5cb3c4dbef3a3af88eb39a591d731"


def hash_of_scenes() -> str:
    digest = hashlib.sha256()
    shown = [scene(number, 40 + number, playing=range(0, number, 2), **SMALL) for number in range(6)]
    for rendering in [*shown, solo(1, "validation"), duet(2, "test", ("erhu", "tuba"), **SMALL)]:
        for array in (rendering.frames, rendering.mixture.astype("<i2"), rendering.stems.astype("<i2")):
            digest.update(array.tobytes())
        digest.update(np.round(1e6 * rendering.boxes).astype("<i4").tobytes())
    return digest.hexdigest()


def test_scenes_are_the_committed_bytes_on_every_processor():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    slow = " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name))
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": slow}
    if platform.machine() in ("x86_64", "AMD64"):
        environment["OPENBLAS_CORETYPE"] = "Nehalem"
    script = f"import runpy; print(runpy.run_path({str(Path(__file__))!r})['hash_of_scenes']())"
    command, root = [sys.executable, "-c", script], Path(__file__).parents[2]
    other = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    assert (hash_of_scenes(), other.stdout.strip()) == (SCENES, SCENES)


@given(st.integers(0, 5), st.integers(0, 2**40), st.sampled_from(sorted(SPLITS)), st.data())
@settings(max_examples=25, deadline=None)
def test_a_scene_keeps_its_books(count, seed, split, data):
    on = data.draw(st.lists(st.integers(0, count - 1), unique=True) if count else st.just([]))
    size = data.draw(st.tuples(*[st.integers(64, 224)] * 2))
    shown = scene(count, seed, split, playing=on, **SMALL | {"size": size})
    assert (len(set(shown.labels)), shown.playing, shown.times) == (count, tuple(on), (0.2, 0.7))
    assert (shown.stems.shape, shown.boxes.shape, shown.frames.shape) == ((count, 11025), (count, 2, 4), (2, *size, 3))
    assert (shown.stems.dtype, shown.mixture.dtype, shown.frames.dtype) == (np.int16, np.int16, np.uint8)
    np.testing.assert_array_equal(shown.mixture, shown.stems.sum(axis=0, dtype=np.int64))
    assert [who for who in range(count) if shown.stems[who].any()] == sorted(on)
    x0, y0, x1, y1 = np.moveaxis(shown.boxes, -1, 0)
    assert ((x0 >= 0) & (x0 < x1) & (x1 <= 1) & (y0 >= 0) & (y0 < y1) & (y1 <= 1)).all()
    assert (np.diff((x0 + x1)[:, 0]) > 0).all(), "labels name the performers from left to right"


@pytest.mark.parametrize("left_out", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_performer_changes_lies_in_his_box(monkeypatch, seed, left_out):
    how = {"size": (90, 160), "times": (0.3,), "samples": 4000}
    whole, paint = scene(3, seed, **how), scenes.draw
    missing = whole.labels[left_out]
    monkeypatch.setattr(scenes, "draw", lambda canvas, name, *rest: name != missing and paint(canvas, name, *rest))
    changed = (whole.frames != scene(3, seed, **how).frames).any(axis=(0, 3))
    rows, columns = np.nonzero(changed)
    x0, y0, x1, y1 = whole.boxes[left_out, 0] * (160, 90, 160, 90)
    assert x0 - 1 < columns.min() and columns.max() < x1 and y0 - 1 < rows.min() and rows.max() < y1
    assert changed.sum() > 0.1 * (x1 - x0) * (y1 - y0)  # a neighbour may hide a part of him


def test_the_silent_are_drawn_and_leave_the_others_as_they_are():
    both, one, rest = (duet(5, playing=playing, **SMALL) for playing in ([0, 1], [1], []))
    np.testing.assert_array_equal(one.mixture, one.stems[1])
    assert np.abs(2 * both.stems[1].astype(int) - one.stems[1]).max() <= 1  # half the volume each
    assert one.labels == both.labels and (one.frames != both.frames).any()
    np.testing.assert_array_equal(rest.frames[0], rest.frames[1])  # who rests does not move


@given(st.lists(st.integers(0, 2**64) | st.text(max_size=5), max_size=4), st.sampled_from(sorted(SPLITS)))
@settings(deadline=None)
def test_an_identity_belongs_to_the_split_it_was_drawn_for(key, split):
    assert draw_identity(generator_for(*key), split) % 10 in SPLITS[split]


@pytest.mark.parametrize("split", SPLITS)
def test_rooms_melodies_and_performers_are_all_of_the_split(monkeypatch, split):
    met = []
    for name, place in {"paint": (1,), "compose": (1,), "look": (1,), "perform": (2, 3)}.items():
        spy = Mock(
            wraps=getattr(scenes, name),
            side_effect=lambda *given, at=place: met.extend(given[i] for i in at) or DEFAULT,
        )
        monkeypatch.setattr(scenes, name, spy)
    scene(3, 11, split, **SMALL | {"times": (0.5,)})
    assert len(met) == 1 + 3 * 4 and {identity % 10 for identity in met} <= set(SPLITS[split])
    assert len(set(met)) == 1 + 3 * 2  # a room; for each performer a melody and an individual


def test_what_cannot_be_staged_is_refused():
    for message, how in {
        "unknown instrument 'kazoo'": {"performers": ["kazoo"]},
        "unknown split 'dev'": {"performers": 1, "split": "dev"},
        "12 performers cannot be drawn from 11": {"performers": 12},
    }.items():
        with pytest.raises(ValueError, match=message):
            scene(seed=0, **how, **SMALL)


@pytest.mark.parametrize("playing", [[2], [-1], 1, [True, False], np.array([True, False]), [0, 0], "1", [0.5], ["0"]])
def test_players_are_positions_on_the_stage(playing):
    with pytest.raises(SopeduError, match="^playing=.* give a list of positions, from 0 to 1, each once"):
        scene(2, 0, playing=playing, **SMALL)
    assert scene(2, 0, playing=np.array([1]), **SMALL).playing == (1,)


def test_a_set_is_rendered_once_and_kept_whole(monkeypatch, tmp_path):
    def full(arrays, path):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "deep" / "cache"))
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.numpy.save_file", full)
        rendered_set(SET, progress=False)
    assert list(tmp_path.iterdir()) == []
    first = rendered_set(SET, progress=False)  # what was cut off is not taken for a set
    assert first.labels.tolist() == [0, 1, 0, 1, -1, -1]
    assert first.waveforms.any(axis=1).tolist() == [True] * 4 + [False] * 2
    violin = solo(1, "validation", "violin", size=64, times=SET.times, samples=2000)
    assert np.array_equal(first.frames[1], violin.frames) and np.array_equal(first.waveforms[1], violin.mixture)
    monkeypatch.setattr(cache, "_render", lambda *_: pytest.fail("rendered again"))
    again = rendered_set(SET, progress=False)
    assert all(np.array_equal(getattr(first, part.name), getattr(again, part.name)) for part in fields(first))


def test_two_processes_render_what_one_renders(monkeypatch, tmp_path):
    many = replace(SET, solos=35, samples=500, times=(0.1,))  # more than one process's share of 32
    for workers in (1, 2):
        monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / str(workers)))
        rendered_set(many, workers, progress=False)
    ((one,), (two,)) = ([path.read_bytes() for path in (tmp_path / str(n)).iterdir()] for n in (1, 2))
    assert one == two


def test_a_key_stands_for_every_field_and_for_the_source(monkeypatch, tmp_path):
    words = {"times": (0.1, 0.6), "instruments": ("violin", "tuba"), "split": "test", "properties": ("room",)}
    more = {field.name: words.get(field.name) or getattr(SET, field.name) + 1 for field in fields(SET)}
    before = cache._key(SET)
    others = {cache._key(replace(SET, **{name: value})) for name, value in more.items()}
    assert len(others) == len(fields(SET)) and before not in others
    for path in Path(cache.__file__).parent.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    assert cache._key(SET) == before
    (tmp_path / "drawings.py").write_bytes((tmp_path / "drawings.py").read_bytes() + b"\n")
    assert cache._key(SET) != before


def test_a_data_set_on_disk_is_read_back_as_it_was_drawn(tmp_path):
    how = {"instruments": ("tuba", "violin"), "seconds": 3.0, "size": 64, "progress": False}
    index, sound = render_dataset(tmp_path, 2, "validation", **how), preset("tiny").spectrogram
    assert index == tmp_path / "val.csv"
    assert index.read_text().startswith("audio/tuba/validation0-000000.wav,frames/tuba/validation0-000000,24\n")
    clips = IndexClips(index, preset("tiny"))
    for number, name in enumerate(clips.class_names):
        drawn = solo(number, "validation", name, size=64, times=np.arange(24) / 8, samples=3 * 11025)
        clip, first = clips[number], round((1.5 - sound.seconds / 2) * 11025)
        np.testing.assert_allclose(clip.waveform, drawn.waveform()[first:][: sound.samples], atol=2 / 32768)
        distances = np.abs(clip.frames[0].permute(1, 2, 0).numpy() - drawn.frames.astype(int)).mean(axis=(1, 2, 3))
        assert (distances.argmin(), clip.label) == (12, number) and distances[12] < 6
    with pytest.raises(SopeduError, match=r"val\.csv: already there"):
        render_dataset(tmp_path, 2, "validation", **how)
