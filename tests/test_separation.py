"""Separating a whole video: nothing is lost at seams, files are what result.json says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.checkpoints import Checkpoint
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.model import SoundOfPixels
from sopedu.separation import crossfade, draw_box, overlay_map, overlay_maps, separate_video, windows_of
from sopedu.sound import save_waveform
from sopedu.toyband.scenes import duet
from sopedu.video import iterate_frames, probe, read_sound, write_video

RATE, FRAME_RATE = 11025, 8
VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4"""


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = SoundOfPixels(with_values(preset("tiny"), VALUES.split())).eval()
    with torch.no_grad():
        model.frame_net.head.weight.mul_(20)
    return Checkpoint(model, ("violin", "tuba"), {"data": "toyband", "steps": 5})


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Four seconds of two drawn players, a landscape picture."""
    times = [i / FRAME_RATE for i in range(4 * FRAME_RATE)]
    scene = duet(1, size=(48, 80), times=times, samples=4 * RATE)
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, scene.frames, FRAME_RATE, scene.mixture / 32768, RATE)
    return path


@pytest.fixture(scope="module")
def separated(film, checkpoint, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("separated") / "new" / "folder"
    boxes = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
    separate_video(film, checkpoint, out, boxes, progress=False)
    return out


def refusal(path: Path, checkpoint: Checkpoint, out: Path, **how) -> str:
    with pytest.raises(SopeduError) as caught:
        separate_video(path, checkpoint, out, progress=False, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 200), st.integers(0, 2**32))
def test_unchanged_windows_add_up_to_the_signal(half, length, seed):
    signal = np.random.default_rng(seed).normal(size=length)
    starts = list(range(0, max(1, length - half), half))
    padded = np.pad(signal, (0, 2 * half))
    pieces = [padded[start : start + 2 * half] for start in starts]
    restored = crossfade(pieces, starts, length)
    assert restored.shape == (length,)
    np.testing.assert_allclose(restored, signal, atol=1e-6)


def test_a_seam_is_faded_and_not_cut():
    # From a window of ones to one of zeros, half a window later: the step falls smoothly along sin².
    faded = crossfade([np.ones(100), np.zeros(100)], [0, 50], 150)
    np.testing.assert_allclose(faded[:50], 1, atol=1e-6)
    np.testing.assert_allclose(faded[50:100], np.sin(np.pi * (np.arange(50, 100) + 0.5) / 100) ** 2, atol=1e-6)
    np.testing.assert_allclose(faded[100:], 0, atol=1e-6)


def test_windows_cover_the_whole_film(film, checkpoint):
    waveform = read_sound(film, RATE)
    windows = list(windows_of(film, checkpoint, waveform))
    sound = checkpoint.config.spectrogram
    assert [window.start for window in windows] == [i * (sound.counted_samples // 2) for i in range(len(windows))]
    assert windows[-1].start + sound.counted_samples >= len(waveform)
    assert windows[0].pixels.grid == (8, 14)  # 64 × 107 pixels, eight a cell, rounded up
    mixtures = [window.pixels.mixture().numpy() for window in windows]
    restored = crossfade(mixtures, [window.start for window in windows], len(waveform))
    np.testing.assert_allclose(restored, waveform, atol=1e-4)


def test_a_separated_film_is_what_result_json_says(separated, film):
    result = json.loads((separated / "result.json").read_text())
    names = {"sound_map.mp4", "region1.wav", "region1.mp4", "region2.wav", "region2.mp4", "result.json"}
    assert {path.name for path in separated.iterdir()} == names
    assert result["model"] == "preset tiny, trained on toyband (violin, tuba) for 5 steps"
    assert "drawings" in result["hint"]
    assert (result["video"], result["sample_rate"]) == ("film.mp4", RATE)
    assert result["seconds"] == pytest.approx(4.0, abs=0.05)
    assert [sound["box"] for sound in result["sounds"]] == [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]
    mixture = read_sound(film, RATE)
    for sound in result["sounds"]:
        waveform, rate = soundfile.read(separated / sound["wav"])
        assert (rate, len(waveform)) == (RATE, len(mixture))
        share = np.square(waveform).sum() / np.square(mixture).sum()
        assert sound["energy_share"] == pytest.approx(share, rel=0.01)
    for name in ("sound_map.mp4", "region1.mp4", "region2.mp4"):
        info = probe(separated / name)
        assert (info.width, info.height, info.frame_count) == (80, 48, 4 * FRAME_RATE)
        assert len(read_sound(separated / name, RATE)) == pytest.approx(len(mixture), abs=0.05 * RATE)


def test_the_map_keeps_the_sound_and_the_regions_are_marked(separated, film):
    heard, mixture = read_sound(separated / "sound_map.mp4", RATE), read_sound(film, RATE)
    count = min(len(heard), len(mixture))
    assert np.corrcoef(heard[:count], mixture[:count])[0, 1] > 0.99
    before, marked = (next(iterate_frames(path))[1].astype(int) for path in (film, separated / "region1.mp4"))
    difference = np.abs(marked - before).mean(axis=(0, 2))
    assert difference[:40].mean() > 3 * difference[42:].mean()  # the left half, not the right


def test_without_boxes_the_two_loudest_places_are_taken(film, checkpoint, tmp_path):
    (tmp_path / "out").mkdir()  # an empty folder is welcome
    result = separate_video(film, checkpoint, tmp_path / "out", progress=False)
    assert result == json.loads((tmp_path / "out" / "result.json").read_text())
    assert [sound["chosen"] for sound in result["sounds"]] == ["loudest", "loudest"]
    assert result["sounds"][0]["box"] != result["sounds"][1]["box"]


def test_bad_input_is_refused_before_anything_is_written(film, checkpoint, tmp_path):
    out, frames = tmp_path / "out", np.zeros((16, 48, 80, 3), np.uint8)
    write_video(tmp_path / "silent.mp4", frames, FRAME_RATE, np.zeros(2 * RATE), RATE)
    write_video(tmp_path / "mute.mp4", frames, FRAME_RATE)
    save_waveform(tmp_path / "sound.wav", 0.1 * np.ones(RATE, np.float32), RATE)
    assert "digital silence" in refusal(tmp_path / "silent.mp4", checkpoint, out)
    assert "has no sound" in refusal(tmp_path / "mute.mp4", checkpoint, out)
    assert "no picture" in refusal(tmp_path / "sound.wav", checkpoint, out)
    assert "gone.mp4" in refusal(tmp_path / "gone.mp4", checkpoint, out)
    assert "0 ≤ x0 < x1 ≤ 1" in refusal(film, checkpoint, out, boxes=[(0.5, 0.0, 1.2, 1.0)])
    assert not out.exists()
    assert "not an empty folder" in refusal(film, checkpoint, tmp_path)
    assert "not an empty folder" in refusal(film, checkpoint, film)


@pytest.mark.parametrize("box", [(0.1, 0.2, 0.6, 0.9), (0.0, 0.0, 1.0, 1.0), (0.5, 0.75, 1.0, 1.0)])
def test_a_box_is_drawn_on_its_border_and_nowhere_else(box):
    frame = np.full((60, 100, 3), 100, np.uint8)
    marked = draw_box(frame, box)
    rows, columns = np.mgrid[:60, :100]
    x0, x1, y0, y1 = (round(v * n) for v, n in zip((box[0], box[2], box[1], box[3]), (99, 99, 59, 59), strict=True))
    depth = np.minimum.reduce([columns - x0, x1 - columns, rows - y0, y1 - rows])  # negative outside
    expected = np.where((depth >= 0) & (depth < 2), 0, np.where((depth >= 2) & (depth < 4), 255, 100))
    assert (marked == expected[..., None]).all()
    assert (frame == 100).all()


def test_a_map_brightens_the_loud_side_and_keeps_shape_and_type():
    frame = np.full((40, 60, 3), 40, np.uint8)
    glowing = overlay_map(frame, np.array([[0.0, 1.0]]))
    assert (glowing.shape, glowing.dtype) == (frame.shape, frame.dtype)
    assert glowing[:, 45:].mean() > 150 > 40 > glowing[:, :15].mean()
    upper = overlay_map(frame, np.array([[1.0], [0.0]]))
    assert upper[:10].mean() > upper[30:].mean() + 100


def test_between_two_windows_maps_are_blended_in_time():
    maps = np.zeros((2, 1, 2))
    maps[0, 0, 0], maps[1, 0, 1] = 2, 2  # first left, then right; the loudest of all is drawn as 1
    frame = np.zeros((8, 8, 3), np.uint8)
    drawn = list(overlay_maps(((time, frame) for time in (0.0, 1.0, 2.0, 3.0, 9.0)), maps, [1.0, 3.0]))
    for found, (left, right) in zip(drawn, [(1, 0), (1, 0), (0.5, 0.5), (0, 1), (0, 1)], strict=True):
        np.testing.assert_array_equal(found, overlay_map(frame, np.array([[left, right]])))
