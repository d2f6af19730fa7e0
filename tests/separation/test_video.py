"""Separating a whole video: nothing is lost at seams, files are what result.json says."""

from __future__ import annotations

import html
import json
import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from sopedu.audio.soundfiles import save_waveform
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.checkpoints import SHIPPED, Checkpoint, load_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.separation.domain_shift import DomainShift
from sopedu.separation.video import separate_video
from sopedu.toyband.scenes import duet
from sopedu.video.probing import probe
from sopedu.video.reading import iterate_frames, read_sound
from sopedu.video.writing import write_video

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
    write_video(path, scene.frames, FRAME_RATE, scene.waveform().numpy(), RATE)
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


def test_a_separated_film_is_what_result_json_says(separated, film):
    result = json.loads((separated / "result.json").read_text())
    names = {"sound_map.mp4", "mixture.wav", "report.html", "result.json"}
    names |= {f"region{number}.{kind}" for number in (1, 2) for kind in ("wav", "mp4")}
    assert {path.name for path in separated.iterdir()} == names
    assert result["model"] == "preset tiny, trained on toyband (violin, tuba) for 5 steps"
    assert result["device"] == "cpu" and "drawings" in result["hint"]
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
    heard, rate = soundfile.read(separated / result["mixture"])
    assert rate == RATE and np.abs(heard - mixture).max() < 1e-4
    assert (result["normalised"], result["gain"], result["size"], result["pictures"]) == (False, 1.0, [80, 48], 32)


def test_the_map_keeps_the_sound_and_the_regions_are_marked(separated, film):
    heard, mixture = read_sound(separated / "sound_map.mp4", RATE), read_sound(film, RATE)
    count = min(len(heard), len(mixture))
    assert np.corrcoef(heard[:count], mixture[:count])[0, 1] > 0.99
    before, marked = (next(iterate_frames(path))[1].astype(int) for path in (film, separated / "region1.mp4"))
    assert np.abs(marked - before)[4:-4, 4:36].mean() < 4  # the left half is shown as it was, the right one darkened
    assert np.abs(marked - before / 2)[4:-4, 44:-4].mean() < 4 < np.abs(marked - before)[4:-4, 44:-4].mean()


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


@pytest.mark.parametrize("target", ["ratio", "binary"])
def test_normalised_regions_add_up_to_the_mixture(film, tmp_path, target):
    torch.manual_seed(1)
    config = with_values(preset("tiny"), [*VALUES.split(), f"loss.target={target}"])
    boxes = [(0.0, 0.0, 0.4, 1.0), (0.4, 0.0, 1.0, 0.5), (0.2, 0.5, 1.0, 1.0)]
    found = Checkpoint(SoundOfPixels(config).eval(), ("violin",))
    result = separate_video(film, found, tmp_path / "out", boxes, normalise=True, cells=1, progress=False)
    parts = [sound for sound in result["sounds"] if sound["chosen"] != "cell"]
    total = sum(soundfile.read(tmp_path / "out" / sound["wav"])[0] for sound in parts)
    mixture = soundfile.read(tmp_path / "out" / "mixture.wav")[0]
    # Each of the four files is rounded to 1 / 32768, by at most half of it.
    assert len(parts) == 3 and np.abs(total - mixture).max() < 1e-4
    assert all(np.abs(soundfile.read(tmp_path / "out" / sound["wav"])[0] - mixture).max() > 1e-3 for sound in parts)


def test_one_gain_for_all_keeps_loud_sound_from_clipping(checkpoint, tmp_path, monkeypatch):
    loud = 0.9 * np.sign(np.sin(2 * np.pi * 100 * np.arange(2 * RATE) / RATE))
    write_video(tmp_path / "loud.mp4", np.zeros((16, 48, 80, 3), np.uint8), FRAME_RATE, loud, RATE)
    result = separate_video(tmp_path / "loud.mp4", checkpoint, tmp_path / "out", progress=False)
    heard = soundfile.read(tmp_path / "out" / "mixture.wav")[0]
    before = read_sound(tmp_path / "loud.mp4", RATE)
    assert np.abs(before).max() > 1.02 and result["gain"] == pytest.approx(1 / np.abs(before).max(), abs=1e-4)
    assert np.abs(heard).max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(heard, before * result["gain"], atol=1e-4)


def test_a_part_at_the_videos_own_rate_with_names_and_cells(film, checkpoint, tmp_path):
    boxes = {"left-player": (0.0, 0.0, 0.5, 1.0)}
    how = {"start": 1.0, "end": 3.0, "keep_rate": True, "cells": 16, "progress": False}
    result = separate_video(film, checkpoint, tmp_path / "out", boxes, **how)
    cells = [sound for sound in result["sounds"] if sound["chosen"] == "cell"]
    assert result["sounds"][0]["name"] == "left-player" and len(cells) == len({cell["name"] for cell in cells}) == 16
    files = {"sound_map.mp4", "mixture.wav", "report.html", "result.json", "left-player.wav", "left-player.mp4"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | {cell["wav"] for cell in cells}
    # Rows and columns are those of the map, 8 × 14, and the box of a cell is the cell.
    for cell in cells:
        row, column = map(int, re.fullmatch(r"cell_row(\d+)_column(\d+)", cell["name"]).groups())
        assert cell["box"] == pytest.approx([(column - 1) / 14, (row - 1) / 8, column / 14, row / 8], abs=1e-4)
        assert cell["video"] is None
    heard, rate = soundfile.read(tmp_path / "out" / "mixture.wav")
    assert (rate, len(heard), result["wav_sample_rate"], result["seconds"]) == (44100, 88200, 44100, 2.0)
    expected = read_sound(film, 44100, 1.0, 2.0)
    assert np.corrcoef(heard, expected)[0, 1] > 0.95  # what lies above half of the model's rate is missing
    assert probe(tmp_path / "out" / "left-player.mp4").frame_count == 16


@pytest.mark.parametrize("name", ["../x", "", "a/b", "mixture", "sound_map", "_", "x" * 50, "a b", "con.", "-x"])
def test_a_region_is_called_nothing_that_is_no_file_name_or_taken(film, checkpoint, tmp_path, name):
    said = refusal(film, checkpoint, tmp_path / "out", boxes={name: (0.0, 0.0, 0.5, 1.0)})
    assert "call it by letters, digits" in said and list(tmp_path.iterdir()) == []


def test_what_asks_for_too_much_is_refused(film, checkpoint, tmp_path):
    boxes = {f"r{number}": (0.0, 0.0, 0.5, 1.0) for number in range(17)}
    assert "at most 16 regions" in refusal(film, checkpoint, tmp_path / "out", boxes=boxes)
    assert "between 0 and 16" in refusal(film, checkpoint, tmp_path / "out", cells=17)
    two = {"Left": (0.0, 0.0, 0.5, 1.0), "left": (0.5, 0.0, 1.0, 1.0)}
    assert "the same file" in refusal(film, checkpoint, tmp_path / "out", boxes=two)
    assert list(tmp_path.iterdir()) == []


def test_notes_say_what_a_listener_should_know(checkpoint, tmp_path):
    noise = 0.1 * np.random.default_rng(0).normal(size=8000)
    with av.open(str(tmp_path / "short.mkv"), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        other = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
        picture.pts, picture.time_base = 0, Fraction(1, 10)
        container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        for stream in (sound, other):
            samples = (noise * 32768).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = stream.rate, 0, Fraction(1, stream.rate)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    out = tmp_path / "out"
    notes = separate_video(tmp_path / "short.mkv", checkpoint, out, sound_stream=1, progress=False)["notes"]
    said = "\n".join(notes)
    assert "sound stream 1 is used; --sound-stream chooses another: 2 (pcm_s16le, 16000 Hz, 1 channel)" in said
    assert "nothing above 4000 Hz is there to be separated (the model hears up to 5512 Hz)" in said
    assert "1.00 s is less than the 1.49 s that the model hears: silence was added" in said
    assert "one picture only" in said
    page = (out / "report.html").read_text()
    assert all(html.escape(note[1:]) in page for note in notes)
    # A picture that is shown to the end keeps a player from going black.
    assert probe(out / "region1.mp4").duration == pytest.approx(1.0, abs=0.15)


def test_an_unknown_kind_of_sound_and_picture_is_said_and_a_known_one_is_not(tmp_path):
    model = load_checkpoint(SHIPPED).model
    spectrogram = model.config.spectrogram
    generator = torch.Generator().manual_seed(0)
    scenes = [duet(seed, "test", size=64, times=[0.75], samples=spectrogram.samples) for seed in range(4)]
    with DomainShift(model) as known:
        for scene in scenes:
            PixelSounds(model, scene.waveform(), scene.frames_tensor())
    with DomainShift(model) as unknown:
        PixelSounds(
            model,
            torch.randn(spectrogram.samples, generator=generator),
            torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8, generator=generator),
        )
    assert known.notes() == []
    assert [note.split()[1] for note in unknown.notes()] == ["sound", "picture"]
    # Noise is heard no louder than music is, so it is strange by its kind alone (0.70 against 0.38).
    assert unknown.distances()["sound"] > 1.5 * known.distances()["sound"]
    assert unknown.distances()["picture"] > 2 * known.distances()["picture"]
    assert not any(module._forward_hooks for module in model.modules())


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.found += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_plays_every_result_beside_it(separated):
    links = _Links()
    links.feed((separated / "report.html").read_text(encoding="utf-8"))
    beside = {link for link in links.found if not link.startswith("data:")}
    assert beside == {path.name for path in separated.iterdir()} - {"report.html", "result.json"}


def test_numbers_of_numpy_and_a_link_are_taken_as_they_are_meant(film, checkpoint, tmp_path):
    (tmp_path / "link").symlink_to("results")
    result = separate_video(
        film, checkpoint, tmp_path / "link", {"all": np.array([0, 0, 1, 1], np.float32)}, start=np.int64(1),
        end=np.float32(1.5), cells=1.0, normalise=np.bool_(True), sound_stream=np.uint8(1), progress=False,
    )  # fmt: skip
    assert json.loads((tmp_path / "results" / "result.json").read_text()) == result
    assert (result["start"], result["seconds"], len(result["sounds"])) == (1.0, 0.5, 2)
    assert result["windows"] == 1 and ", heard in 1 window." in (tmp_path / "results" / "report.html").read_text()
    for how, said in (
        ({"start": "1:30"}, "start='1:30': must be a number"), ({"end": float("nan")}, "end=nan: must be a finite"),
        ({"cells": 1.5}, "cells=1.5: must be a whole number"), ({"sound_stream": -1}, "sound_stream=-1: must be 0 or"),
    ):  # fmt: skip
        assert said in refusal(film, checkpoint, tmp_path / "refused", **how)
