"""What comes with sopedu is found by name; a checkpoint may be named, be a folder, or lie in the folder of a run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import sopedu
from sopedu import shipped
from sopedu.errors import SopeduError
from sopedu.lessons.pixel_probe import PixelProbe
from sopedu.model.checkpoints import as_checkpoint, load_checkpoint
from sopedu.separation.video import separate_video
from sopedu.toyband import duet
from sopedu.video.probing import probe
from sopedu.video.reading import read_frames, read_sound

FILM = shipped.sample_path("duet.mp4")
NAMES = ["toyband", "toyband-tiny"]


def test_shipped_checkpoints_are_found_by_name():
    assert shipped.checkpoint_names() == NAMES
    for name in NAMES:
        folder = shipped.sample_path(f"checkpoints/{name}")
        assert shipped.checkpoint_folder(name) == shipped.checkpoint_folder(Path(name)) == folder
        notes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert load_checkpoint(name).class_names == tuple(notes["class_names"])


def test_a_folder_in_the_working_directory_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped.sample_path("checkpoints/toyband-tiny"), "toyband")
    assert load_checkpoint("toyband").config.name == "tiny"
    assert shipped.checkpoint_folder("toyband-tiny").is_absolute()


@pytest.mark.parametrize("name", ["toybands", "./toyband", f"toyband{os.sep}", "", "model.pth", "x" * 300, "a\0b"])
def test_an_unknown_name_is_one_line_that_lists_the_shipped_ones(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pth").touch()
    with pytest.raises(SopeduError) as caught:
        load_checkpoint(name)
    said = str(caught.value)
    assert len(said.splitlines()) == 1 and "config.json" in said
    assert ", ".join(NAMES) in said or name in ("model.pth", "x" * 300, "a\0b")


def test_the_folder_of_a_run_stands_for_its_checkpoint(tmp_path):
    shutil.copytree(shipped.sample_path("checkpoints/toyband"), tmp_path / "run" / "checkpoint")
    (tmp_path / "run" / "run.json").write_text("{}")
    assert shipped.checkpoint_folder(tmp_path / "run") == tmp_path / "run" / "checkpoint"
    assert shipped.checkpoint_folder(tmp_path / "run" / "checkpoint") == tmp_path / "run" / "checkpoint"
    assert load_checkpoint(str(tmp_path / "run")).config.name == "toyband"
    assert as_checkpoint(tmp_path / "run").config.name == "toyband"
    with pytest.raises(SopeduError, match="holds runs, choose one: run$"):
        load_checkpoint(tmp_path)
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    with pytest.raises(SopeduError, match=r"run: this run has no complete checkpoint; sopedu train --out \S+ --resume"):
        as_checkpoint(tmp_path / "run")


def test_functions_take_a_checkpoint_by_name_and_refuse_what_is_none(tmp_path):
    scene = duet(3, "test", samples=16384, size=64, times=(0.5,))
    by_name, loaded = (PixelProbe.from_scene(model, scene) for model in ("toyband", load_checkpoint("toyband")))
    assert np.array_equal(by_name.maps, loaded.maps)
    for refuses in (
        as_checkpoint,
        lambda model: separate_video(FILM, model, tmp_path / "out"),
        lambda model: PixelProbe.from_video(model, FILM),
        sopedu.evaluate,
        sopedu.evaluate_localization,
        lambda model: sopedu.evaluate_vggss(model, "a.json", "clips"),
        lambda model: sopedu.export_html(tmp_path / "page.html", model, scene.mixture, scene.frames, scene.times),
    ):
        with pytest.raises(SopeduError, match="None: is no checkpoint; give what sopedu.load_checkpoint returns"):
            refuses(None)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_sample_is_one_line_that_lists_what_there_is():
    with pytest.raises(SopeduError, match=r"solo\.mp4: no such sample .*duet\.mp4"):
        sopedu.sample_path("solo.mp4")


def test_the_film_is_small_plays_in_browsers_and_is_what_the_command_renders():
    import av

    info = probe(FILM)
    assert FILM.stat().st_size <= 400_000
    assert (info.width, info.height, info.duration) == (480, 270, pytest.approx(8, abs=0.1))
    with av.open(str(FILM)) as film:
        picture, sound = film.streams.video[0], film.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (sound.codec_context.name, sound.rate, picture.frames) == ("aac", 44100, 200)
    # The defaults of `sopedu toyband film`.
    times = (0.0, 3.0, 6.0)
    scene = duet(14, "test", ("cello", "trumpet"), samples=88200, size=(270, 480), times=times)
    seen, heard = read_frames(FILM, times).astype(float), read_sound(FILM, 11025)[:88200]
    assert np.abs(seen - scene.frames).mean() < 3  # of 255: what H.264 and its halved colours cost
    assert np.corrcoef(heard, scene.mixture[: len(heard)])[0, 1] > 0.99


def test_the_film_is_taken_apart_by_the_shipped_checkpoint(tmp_path):
    # Measured: 10.2 and 11.4 dB, from -1.6 and 1.7 dB in the mixture.
    found = separate_video(FILM, "toyband", tmp_path / "out", progress=False)
    assert len(found["sounds"]) == 2
    stems = duet(14, "test", ("cello", "trumpet"), samples=88200, size=(270, 480), times=(0.0,)).stems
    for number, stem in enumerate(stems, 1):
        heard = torch.as_tensor(sopedu.load_waveform(tmp_path / "out" / f"region{number}.wav", 11025))[:88200]
        assert float(sopedu.si_sdr(heard, torch.tensor(stem[: len(heard)], dtype=torch.float32))) > 8
