"""Sounds that no model was made for: clips from a folder of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.data.opening import open_clips
from sopedu.data.recordings import SoundFolderClips, drawn_player, loud_parts, play_recordings
from sopedu.errors import SopeduError
from sopedu.evaluation import separation as evaluation
from sopedu.evaluation.separation import evaluate
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband import INSTRUMENTS, solo

BAND = ("violin", "tuba", "xylophone")
VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
spectrogram.samples=8191"""
CONFIG = with_values(preset("tiny"), VALUES.split())
LENGTH, RATE = CONFIG.spectrogram.samples, CONFIG.spectrogram.sample_rate
HERTZ = {"violin": 1900, "tuba": 200, "xylophone": 700, "singer": 300}


def tone(hertz: float, seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    return 0.02 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(folder: Path, files: dict[str, np.ndarray], rate: int = RATE) -> Path:
    for name, waveform in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, waveform, rate)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """One file a class, each in another format."""
    kinds = zip(HERTZ, ("flac", "ogg", "WAV", "wav"), strict=True)
    return write(tmp_path / "sounds", {f"{name}/one.{kind}": tone(HERTZ[name]) for name, kind in kinds})


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(SoundOfPixels(CONFIG).eval(), BAND)


def strongest(waveform: np.ndarray, rate: int = RATE) -> float:
    return float(np.fft.rfftfreq(len(waveform), 1 / rate)[np.abs(np.fft.rfft(waveform)).argmax()])


def test_clips_have_the_sound_of_their_file_the_level_of_the_toy_band_and_its_drawings(folder):
    write(folder, {"tuba/.hidden.wav": tone(5000), "cello/notes.wav": tone(100)})
    (folder / "cello" / "notes.wav").rename(folder / "cello" / "notes.txt")
    clips = SoundFolderClips(folder, CONFIG, (*BAND, "cello"), clips=8)
    assert clips.class_names == BAND and clips.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert clips.notes == [
        f"{folder}: left out cello (no sound file in it), singer; known here: violin, tuba, xylophone, cello"
    ]
    assert str(folder) in clips.protocol and "3 files of 3 classes" in clips.protocol
    for index, label in enumerate(clips.labels):
        clip = clips[index]
        assert (clip.waveform.shape, clip.waveform.dtype) == ((LENGTH,), torch.float32) and clip.label == label
        assert strongest(clip.waveform.numpy()) == pytest.approx(HERTZ[BAND[label]], abs=2)
        assert 0.08 <= clip.waveform.square().mean().sqrt() <= 0.12
        assert (clip.frames.shape, clip.frames.dtype) == ((1, 3, 64, 64), torch.uint8)
        drawn = torch.from_numpy(drawn_player(BAND[label], index, CONFIG)).permute(0, 3, 1, 2)
        assert torch.equal(clip.frames, drawn)


def test_the_drawing_is_that_of_a_held_out_solo_with_sound():
    config = with_values(CONFIG, ["spectrogram.sample_rate=8191", "frames.count=2", "frames.stride=4"])  # 1 s
    for name in INSTRUMENTS:
        heard = solo(7, "validation", name, samples=11025, size=64, times=config.frames.times(0.5))
        assert heard.mixture.any()
        np.testing.assert_array_equal(drawn_player(name, 7, config), heard.frames)


def test_every_file_serves_and_the_seed_decides_which_places_and_drawings(tmp_path):
    files = {f"violin/{i}.wav": tone(500 + 100 * i) for i in range(3)} | {
        "tuba/0.wav": tone(100),
        "tuba/1.wav": tone(150),
    }
    write(tmp_path, files)
    first, again, other = (SoundFolderClips(tmp_path, CONFIG, BAND, 8, seed) for seed in (0, 0, 1))
    assert sorted({round(strongest(sound) / 50) * 50 for sound in first.waveforms}) == [100, 150, 500, 600, 700]
    assert len(np.unique(first.waveforms, axis=0)) == 8
    np.testing.assert_array_equal(first.waveforms, again.waveforms)
    assert torch.equal(first[3].frames, again[3].frames) and not torch.equal(first[3].frames, other[3].frames)
    assert not np.array_equal(first.waveforms, other.waveforms)


def test_parts_are_loud_and_different_ones_while_there_are_any():
    waveform = np.concatenate([np.zeros(4000), tone(400, 1), np.full(4000, 1e-4)]).astype(np.float32) + 0.3
    parts = loud_parts(waveform, 1000, 60, 250, np.random.default_rng(0))
    level = np.sqrt((parts**2).mean(1))
    assert parts.shape == (60, 1000) and level.min() >= 0.5 * level.max() and abs(parts.mean()) < 1e-3
    counts = np.unique(parts, axis=0, return_counts=True)[1]
    assert len(counts) > 30 and counts.max() - counts.min() == 1
    assert loud_parts(np.full(5000, 0.5, np.float32), 1000, 1, 250, np.random.default_rng(0)) is None


def test_a_file_shorter_than_a_clip_is_followed_by_silence_and_counted(tmp_path):
    write(tmp_path, {"violin/a.wav": tone(500, 0.3), "tuba/a.wav": tone(100)})
    clips = SoundFolderClips(tmp_path, CONFIG, BAND, 4)
    assert clips.notes == ["1 of 2 files are shorter than 0.74 s; silence follows them"]
    sounding = np.flatnonzero(np.abs(clips.waveforms[0]) > 1e-3)
    assert sounding[-1] < 0.3 * RATE and 0.08 <= np.sqrt((clips.waveforms[0] ** 2).mean()) <= 0.12


def _missing(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def _without_sounds(folder: Path) -> None:
    for path in folder.rglob("one.*"):
        path.rename(path.with_suffix(".mid"))


def _of_one_class(folder: Path) -> None:
    for name in ("violin", "tuba"):
        (folder / name).rename(folder / f"my {name}")


MISTAKES = {
    _missing: "sounds: no such folder; it should hold",
    _without_sounds: "sounds: has .wav, .flac, .mp3, .ogg files of none alone, .* two or more of violin, tuba",
    _of_one_class: "files of xylophone alone",
    lambda folder: (folder / "tuba" / "one.ogg").write_bytes(b"no sound" * 99): "one.ogg: cannot be read as wav, flac",
    lambda folder: (folder / "tuba" / "one.ogg").write_bytes(b""): "one.ogg: is empty",
    lambda folder: write(folder, {"tuba/one.ogg": np.zeros(RATE)}): "one.ogg: is silent; replace it",
}


@pytest.mark.parametrize("spoil", MISTAKES)
def test_bad_input_is_one_line_that_names_it(spoil, folder, checkpoint):
    spoil(folder)
    with pytest.raises(SopeduError, match=MISTAKES[spoil]) as caught:
        evaluate(checkpoint, pairs=2, sounds=folder, dictionaries=False)
    assert "\n" not in str(caught.value)


def test_sounds_do_not_go_with_an_index(folder, checkpoint):
    with pytest.raises(SopeduError, match="index.csv cannot be used"):
        evaluate(checkpoint, "index.csv", sounds=folder)


def test_evaluation_puts_them_beside_the_usual_rows(folder, checkpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sopedu.evaluation.baselines._SOLOS_PER_CLASS", 3)
    figures, pairs, rows = evaluation.evaluate_with_examples(checkpoint, pairs=3, sounds=folder, dictionaries=False)
    toyband = evaluate(checkpoint, pairs=3, dictionaries=False)
    assert set(figures) == {*toyband, "notes"} and set(figures["table"]) == set(toyband["table"])
    assert figures["protocol"].startswith("3 held-out mixtures of 2 solos, all pairs of 3 classes")
    assert f"in {folder}, 2 clips per class" in figures["protocol"] and figures["notes"][0].count("singer") == 1
    assert figures["instruments"] == list(BAND)
    for source, label in zip(pairs.sources.flatten(0, 1), pairs.labels.ravel(), strict=True):
        assert strongest(source.numpy()) == pytest.approx(HERTZ[BAND[label]], abs=2)
    # Tones half a kilohertz apart: masks that know them part them, those of an untrained model leave the mixture.
    assert figures["sdr_ideal_ratio_mask"] > 25 and figures["sdr"] == pytest.approx(figures["sdr_mixture"], abs=1)
    assert pairs.blank.float().std() > 1 and len(torch.unique(pairs.blank, dim=0)) == 3  # drawn rooms
    some = evaluate(checkpoint, pairs=1, sounds=folder, instruments=("tuba", "violin"), dictionaries=False)
    assert some["instruments"] == ["tuba", "violin"] and some["leak_absent"] is None


def test_a_share_of_the_solos_sounds_like_the_recordings_and_looks_as_before(folder, tmp_path, monkeypatch):
    config = with_values(
        CONFIG, ["toyband.instruments=violin,tuba,cello", "toyband.solos=60", "toyband.empty_scenes=3"]
    )
    before, clips = ToyBandClips(config), ToyBandClips(config)
    write(folder, {"violin/two.wav": tone(2500)})
    play_recordings(clips, folder, share=0.5)
    old, new = before.rendered, clips.rendered
    assert np.array_equal(old.frames, new.frames) and np.array_equal(old.labels, new.labels)
    changed = (old.waveforms != new.waveforms).any(1)
    labels = np.array([clips.class_names[label] if label >= 0 else "" for label in clips.labels])
    assert not changed[(labels == "cello") | (labels == "")].any()  # no recording of a cello; empty rooms stay empty
    for name, hertz in {"violin": {1900, 2500}, "tuba": {200}}.items():
        mine = changed & (labels == name)
        assert 5 <= mine.sum() <= 15  # of 20
        assert {round(strongest(sound), -2) for sound in new.waveforms[mine]} == hertz
        level = np.sqrt(np.mean((new.waveforms[mine] / 32767.0) ** 2, 1))
        assert (level >= 0.1 * 10**-0.3 - 1e-3).all() and (level <= 0.1 * 10**0.1 + 1e-3).all()
    write(folder, {f"tuba/{hertz}.wav": tone(hertz) for hertz in range(210, 610, 10)})  # more recordings than solos
    many = ToyBandClips(config)
    play_recordings(many, folder, share=1.0)
    heard = [round(strongest(sound), -1) for sound, name in zip(many.rendered.waveforms, labels, strict=True)
             if name == "tuba"]  # fmt: skip
    assert len(set(heard)) == 20 and min(heard) < 300 and max(heard) > 500  # one each, from all over the folder
    for path in (folder / "tuba").glob("*.wav"):
        path.unlink()
    again = open_clips(f"toyband+{folder}", config)
    assert np.array_equal(again.rendered.waveforms, new.waveforms)
    held_out = open_clips(f"toyband+{folder}", config, "validation", 6)
    assert np.array_equal(
        held_out.rendered.waveforms, open_clips("toyband", config, "validation", 6).rendered.waveforms
    )
    with monkeypatch.context() as patch, pytest.raises(SopeduError, match="no such folder"):
        patch.setattr("sopedu.data.opening.ToyBandClips", None)  # nothing is rendered before the folder is found
        open_clips(f"toyband+{tmp_path}/none", config)
    write(folder, {"tuba/one.wav": 0 * tone(200)})
    (folder / "tuba" / "one.ogg").unlink()
    with pytest.raises(SopeduError, match="is silent"):
        play_recordings(ToyBandClips(config), folder)
