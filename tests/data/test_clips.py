"""Prepared real data: read as it lies on disk, compactly, the same in every process; what is broken is told."""

from __future__ import annotations

import math
import os
import pickle
import tracemalloc
import zlib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sopedu.audio.soundfiles import load_waveform, save_waveform
from sopedu.config import preset, with_values
from sopedu.data.batches import Batch, Failures, Unread, collate, tolerated
from sopedu.data.clips import ClipDataset, SampleKey
from sopedu.data.index_clips import IndexClips
from sopedu.data.mixing import NOBODY
from sopedu.data.prepared import read_index
from sopedu.data.sampling import TrainingSampler
from sopedu.errors import SopeduError

VALUES = "frames.count=3 frames.stride=4 training.batch_size=4 mixing.silent_share=0"
CONFIG = with_values(preset("tiny"), VALUES.split())
SOUND, RATE = CONFIG.spectrogram, CONFIG.spectrogram.sample_rate


def write_clip(root: Path, name: str, number: int, seconds: float = 4.0, size: tuple[int, int] = (96, 80)) -> str:
    """A clip whose loudness and brightness say which one it is; returns its row of the index."""
    audio, frames = root / "audio" / name / f"{number}.wav", root / "frames" / name / str(number)
    audio.parent.mkdir(parents=True, exist_ok=True)
    frames.mkdir(parents=True)
    noise = np.random.default_rng(number).uniform(-1, 1, round(seconds * RATE))
    save_waveform(audio, noise * (number + 1) / 32, RATE)
    for picture in range(1, 33):
        Image.new("RGB", size, (8 * number, 0, 7 * picture)).save(frames / f"{picture:06d}.jpg")
    return f"audio/{name}/{number}.wav,frames/{name}/{number},32"


@pytest.fixture
def root(tmp_path) -> Path:
    rows = [write_clip(tmp_path, name, number) for number, name in enumerate(["tuba", "cello", "oboe"] * 4)]
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def index_of(folder: Path, *rows: str) -> Path:
    (folder / "train.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "train.csv"


def test_an_index_is_read_in_all_its_spellings(tmp_path):
    rows = ["\ufeffaudio_path,frames_path,frame_count", "./audio/tuba/a.wav,./frames/tuba/a,80", "", "b.wav, f/b ,1"]
    index = read_index(index_of(tmp_path, *rows, '"audio/e, f/c.wav",frames//e/./ü,7'))
    assert list(map(index.__getitem__, range(3))) == [
        ("audio/tuba/a.wav", "frames/tuba/a", 80),
        ("b.wav", "f/b", 1),
        ("audio/e, f/c.wav", "frames/e/ü", 7),
    ]
    assert index.class_names == tuple(sorted(["tuba", tmp_path.name, "e, f"]))
    assert [index.class_names[label] for label in index.labels] == ["tuba", tmp_path.name, "e, f"]


BAD_ROWS = r"""a/b.wav; a/b.wav,c; a/b.wav,c,x; a/b.wav,c,0; a/b.wav,c,-3; a/b.wav,c,2,3; a/b.wav,c,9999999999
/a/b.wav,c,8; a/../../b.wav,c,8; ../a.wav,c,8; a/b.wav,..,8; a/b.wav,c/..,8; ,c,8; .,c,8; a/b.wav,/,8; C:\a\b,c,8"""


@pytest.mark.parametrize("row", [row.strip() for row in BAD_ROWS.replace("\n", ";").split(";")])
def test_a_bad_row_is_named_with_its_line(tmp_path, row):
    with pytest.raises(
        SopeduError, match=r"train\.csv, line 2: [^\n]*(expected audio_path|is no path|leads out)[^\n]*$"
    ):
        read_index(index_of(tmp_path, "audio/a/b.wav,frames/a/b,8", row))


def test_what_is_no_index_is_told_in_one_line(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00,1")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "header").write_text("audio_path,frames_path,frame_count\n")
    wrong = {"none": "cannot be", "binary": "UTF-8", ".": "cannot be", "empty": "no clip", "header": "no clip"}
    for name, what in wrong.items():
        with pytest.raises(SopeduError, match=f"^[^\n]*{what}[^\n]*$"):
            read_index(tmp_path / name)


def test_an_index_is_small_and_asks_the_disk_little(tmp_path, monkeypatch):
    names = [f"class {i % 300}/{i:011d}_{i % 500:06d}" for i in range(5000)]
    path = index_of(tmp_path, *(f"./audio/{name}.wav,./frames/{name},80" for name in names))
    asked = []
    with monkeypatch.context() as patch:
        for name in ("lstat", "stat"):
            look = getattr(os, name)
            patch.setattr(os, name, lambda *of, look=look, **how: asked.append(of) or look(*of, **how))
        tracemalloc.start()
        clips = IndexClips(path, CONFIG)
        next(iter(TrainingSampler(clips, 1)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(asked) < 500 and peak < 5000 * 500  # a few are looked for; for 200 000 clips 100 MB
    pickled = pickle.dumps(clips)
    assert len(pickled) < 1.5 * path.stat().st_size
    assert pickle.loads(pickled).index[4999] == (f"audio/{names[-1]}.wav", f"frames/{names[-1]}", 80)


@pytest.mark.parametrize("what", ["audio/tuba/0.wav", "audio/tuba", "frames/tuba/0", "frames/tuba/0/000017.jpg"])
def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_followed(root, tmp_path_factory, what):
    clips, before = IndexClips(root / "train.csv", CONFIG), None
    for place, refused in ((root / "elsewhere", False), (tmp_path_factory.mktemp("outside"), True)):
        place.mkdir(exist_ok=True)
        before = before or clips[0]
        (root / what).resolve().rename(place / "moved")
        (root / what).unlink(missing_ok=True)
        (root / what).symlink_to(place / "moved")
        if refused:
            with pytest.raises(SopeduError, match="a link leads out of"):
                clips[0]
        else:
            assert torch.equal(clips[0].frames, before.frames) and torch.equal(clips[0].waveform, before.waveform)
    if what == "audio/tuba":
        with pytest.raises(SopeduError, match="a link leads out of"):
            clips.check_files()


def test_sound_is_what_the_general_reader_reads(root):
    clips = IndexClips(root / "train.csv", CONFIG)
    path = root / "audio/tuba/0.wav"
    for start in (0.0, 0.77, 2.6, 3.8):
        expected = load_waveform(path, RATE, start, SOUND.seconds)
        found = clips.index.sound(0, start, SOUND.samples, RATE)
        assert found.dtype == np.float32 and np.array_equal(found, expected)
    twice = np.repeat(load_waveform(path), 2)
    save_waveform(path, twice, 2 * RATE)  # a rate that has to be changed
    expected = load_waveform(path, RATE, 1.0, SOUND.seconds)
    assert np.array_equal(clips.index.sound(0, 1.0, SOUND.samples, RATE), expected)


def test_a_short_clip_is_filled_with_silence_but_no_sound_at_all_is_an_error(root):
    clips, path = IndexClips(root / "train.csv", CONFIG), root / "audio/tuba/0.wav"
    whole = load_waveform(path)
    save_waveform(path, whole[: 2 * RATE], RATE)  # half of what the frames say, but long enough for a window
    first = round((2.0 - SOUND.seconds / 2) * RATE)
    assert np.array_equal(clips[0].waveform, whole[2 * RATE - SOUND.samples : 2 * RATE])
    held = round(1.4 * RATE)
    save_waveform(path, whole[:held], RATE)
    assert len(clips[0].waveform) == SOUND.samples and np.array_equal(clips[0].waveform[:held], whole[:held])
    assert not clips[0].waveform[held:].any()
    for samples in (first + RATE // 20, RATE // 20):
        save_waveform(path, whole[:samples], RATE)
        with pytest.raises(SopeduError, match=r"0\.wav: holds 0\.0\d s of sound[^\n]*$"):
            clips[0]
    path.write_bytes(b"RIFFnothing")
    with pytest.raises(SopeduError, match=r"0\.wav: [^\n]*$"):
        clips[0]


@pytest.mark.parametrize(
    ("size", "mode", "tolerance"),
    [((96, 80), "RGB", 1), ((70, 70), "RGB", 1), ((75, 131), "L", 1), ((640, 360), "RGB", 8), ((427, 602), "CMYK", 8)],
)
def test_pictures_are_those_of_resizing_the_whole_and_cropping(tmp_path, size, mode, tolerance):
    # Smooth pictures: decoding at a reduced scale averages a little differently, but nothing moves.
    row = write_clip(tmp_path, "tuba", 1)
    x, y = np.meshgrid(np.linspace(0, 5, size[0]), np.linspace(0, 4, size[1]))
    picture = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1) * 100 + 128
    for path in (tmp_path / "frames/tuba/1").iterdir():
        Image.fromarray(picture.astype(np.uint8)).convert(mode).save(path, quality=95)
    clips, visit = IndexClips(index_of(tmp_path, row), CONFIG), SampleKey(0, 3, 5)
    generator = np.random.default_rng([CONFIG.training.seed, 3, 5, zlib.crc32(b"clip")])
    generator.uniform()  # the time
    with Image.open(path) as image:
        scale = CONFIG.frames.resize / min(size)
        whole = image.convert("RGB").resize([round(side * scale) for side in size], Image.Resampling.BICUBIC)
    edge = CONFIG.frames.size
    top, left = generator.integers(0, np.array(whole.size[::-1]) - edge + 1)
    expected = np.asarray(whole).astype(int)[top : top + edge, left : left + edge]
    for frame in clips[visit].frames:
        assert np.abs(frame.permute(1, 2, 0).numpy() - expected).max() <= tolerance


def test_frames_of_different_sizes_are_refused(root):
    Image.new("RGB", (80, 96)).save(root / "frames/tuba/0/000017.jpg")
    with pytest.raises(SopeduError, match=r"tuba/0/0000\d\d\.jpg: frames of different sizes"):
        IndexClips(root / "train.csv", CONFIG)[0]


def batches(clips: ClipDataset, steps: int = 6, workers: int = 0) -> list[Batch]:
    return list(DataLoader(clips, batch_sampler=TrainingSampler(clips, steps), num_workers=workers, collate_fn=collate))


def test_batches_follow_from_the_seed_in_any_number_of_processes(root):
    (root / "audio/cello/4.wav").unlink()
    clips = IndexClips(root / "train.csv", CONFIG)
    here, there = batches(clips), batches(clips, workers=2)
    for mine, theirs in zip(here, there, strict=True):
        assert all(map(torch.equal, mine[:3], theirs[:3])) and mine.failed == theirs.failed
    assert here[0].frames.shape == (4, 3, 3, 64, 64) and here[0].frames.permute(0, 1, 3, 4, 2).is_contiguous()
    visits = next(iter(TrainingSampler(clips, 1)))
    one_by_one = [clips[visit] for visit in visits if visit.index != 4]
    assert {clip.waveform.numpy().tobytes() for clip in one_by_one} <= {w.numpy().tobytes() for w in here[0].waveforms}
    assert not torch.equal(clips[SampleKey(0, 0, 1)].waveform, clips[SampleKey(0, 0, 2)].waveform)


def test_a_clip_that_fails_is_replaced_by_one_of_its_class_and_told(root):
    clips, visit = IndexClips(root / "train.csv", CONFIG), SampleKey(4, 2, 7)
    untouched = clips.__getitems__([visit, SampleKey(0, 2, 8)])
    (root / "audio/cello/4.wav").write_bytes(b"")
    replaced = [clips.__getitems__([visit, SampleKey(0, 2, 8)]) for _ in range(2)]
    first, other, unread = replaced[0]
    assert (unread.index, first.label) == (4, untouched[0].label) and "4.wav: is empty" in unread.message
    assert torch.equal(first.waveform, replaced[1][0].waveform)
    assert torch.equal(other.waveform, untouched[1].waveform) and first.waveform.any()
    reds = [clips.__getitems__([SampleKey(4, 0, place)])[0].frames[0, 0].float().mean() / 8 for place in range(12)]
    assert {round(red.item()) for red in reds} == {1, 7, 10}  # all the others of the class take turns
    for number in (1, 7, 10):
        (root / f"audio/cello/{number}.wav").unlink()
    *_, unread = clip, *told = clips.__getitems__([visit])
    assert clips.class_names[clip.label] != "cello" and {index for index, _ in told} == {1, 4, 7, 10}


def test_failures_are_told_once_and_end_the_run_when_too_many():
    failures = Failures(2000)
    batch = Batch(torch.ones(1), torch.ones(1), torch.zeros(1), [Unread(3, "a.wav: is empty")])
    assert [line.startswith("a.wav: is empty") for line in failures.new(batch)] == [True]
    assert failures.new(batch) == [] and len(failures) == 1
    assert len(failures.new(batch._replace(failed=[Unread(i, "b") for i in range(20)]))) == 19
    with pytest.raises(SopeduError, match=r"^21 of 2000 clips could not be read[^\n]*First: a\.wav"):
        failures.new(batch._replace(failed=[Unread(20, "c")]))
    assert [tolerated(count) for count in (1, 7, 100, 5000)] == [0, 3, 10, 50]


def test_where_nothing_can_be_read_no_batch_is_made_up(root):
    clips = IndexClips(root / "train.csv", CONFIG)
    for path in root.glob("audio/*/*.wav"):
        path.unlink()
    batch = next(iter(DataLoader(clips, batch_sampler=TrainingSampler(clips, 1), collate_fn=collate)))
    assert batch.waveforms.numel() == batch.frames.numel() == len(batch.labels) == 0
    with pytest.raises(SopeduError, match=r"^12 of 12 clips could not be read[^\n]*no such file"):
        Failures(len(clips)).new(batch)


def test_missing_files_and_lonely_classes_are_told_before_training(root):
    with open(root / "train.csv", "a") as file:
        file.write(write_clip(root, "flute", 12) + "\n")
    clips = IndexClips(root / "train.csv", CONFIG)
    assert clips.check_files() == ["1 of 4 classes have a single clip and will be learned by heart: flute"]
    (root / "audio/tuba/0.wav").unlink()
    (root / "frames/cello/1").rename(root / "frames/cello/moved")
    _, note = clips.check_files()
    assert "2 files or folders of 2 clips are missing: audio/tuba/0.wav, frames/cello/1; " in note
    for path in [*root.glob("audio/*/*.wav")]:
        path.unlink()
    with pytest.raises(SopeduError, match=r"14 files or folders of 13 clips are missing: [^\n]*, …; prepare") as error:
        clips.check_files()
    assert str(error.value).count(".wav") + str(error.value).count("frames/") == 10
    assert ClipDataset(CONFIG, ("a", "b"), np.array([0, 0, 1, 1, NOBODY])).check_files() == []


def test_the_order_of_every_epoch_is_the_permutation_of_its_seed():
    labels = np.array([0, 1, 2, 0, 1, NOBODY, 2, 0])
    visits = [visit for batch in TrainingSampler(ClipDataset(CONFIG, (), labels), 12) for visit in batch]
    playing = [visit for visit in visits if labels[visit.index] != NOBODY]
    for epoch in range(4):
        expected = np.random.default_rng([0, epoch]).permutation([0, 1, 2, 3, 4, 6, 7])
        assert [v.index for v in islice((v for v in playing if v.epoch == epoch), 7)] == expected.tolist()


def test_silent_scenes_are_a_class_of_their_own_with_nothing_to_hear(tmp_path):
    rows = [write_clip(tmp_path, name, number) for number, name in enumerate(["tuba", "silence", "oboe"] * 2)]
    path = index_of(tmp_path, *rows)
    clips = IndexClips(path, with_values(CONFIG, ["mixing.silent_share=0.25"]))
    assert clips.class_names == ("oboe", "tuba")
    assert clips.labels.tolist() == [1, NOBODY, 0] * 2
    assert clips[0].waveform.abs().max() > 0 and clips[1].waveform.abs().max() == 0
    assert clips[1].frames.float().mean() > 0 and clips.check_files() == []
    batch = next(iter(DataLoader(clips, batch_sampler=TrainingSampler(clips, 1), collate_fn=collate)))
    assert (batch.labels == NOBODY).sum() == 1


def test_silent_scenes_that_are_asked_for_but_not_there_are_an_error(root):
    clips = IndexClips(root / "train.csv", with_values(CONFIG, ["mixing.silent_share=0.25"]))
    with pytest.raises(SopeduError, match="asks for silent scenes, but there are none: put some into a class folder"):
        clips.check_files()


def sounds_of(root: Path, seconds: float, sound_seconds: float, rate: int = RATE) -> None:
    """One clip of 8 frames per second whose sound has no zero sample and says where it is: a ramp."""
    frames, audio = root / "frames" / "tuba" / "0", root / "audio" / "tuba" / "0.wav"
    for folder in (frames, audio.parent):
        folder.mkdir(parents=True)
    save_waveform(audio, np.linspace(0.1, 0.9, round(sound_seconds * rate), dtype=np.float32), rate)
    picture = Image.new("RGB", (24, 24), "navy")
    for number in range(1, round(8 * seconds) + 1):
        picture.save(frames / f"{number:06d}.jpg")
    index_of(root, f"audio/tuba/0.wav,frames/tuba/0,{round(8 * seconds)}")


@pytest.mark.parametrize(("count", "stride"), [(1, 24), (2, 8), (3, 1), (3, 4), (5, 6), (3, 24)])
@pytest.mark.parametrize(("seconds", "sound_seconds"), [(20, 20), (2, 2), (4, 3.9), (4, 2), (1.5, 1.5), (8, 9)])
def test_sound_is_cut_from_inside_a_clip_that_is_long_enough(tmp_path, count, stride, seconds, sound_seconds):
    sounds_of(tmp_path, seconds, sound_seconds)
    values = [*VALUES.split(), f"frames.count={count}", f"frames.stride={stride}", "frames.size=16", "frames.resize=18"]
    clips = IndexClips(tmp_path / "train.csv", with_values(CONFIG, values))
    visits = [SampleKey(0, epoch, 0) for epoch in range(20)]
    try:
        heard = torch.stack([clips[visit].waveform for visit in visits] + [clips[0].waveform])
    except SopeduError as error:  # half of the sound is missing: a broken clip may be told, but not filled up
        assert sound_seconds < seconds / 1.5 and "of sound from" in str(error)
        return
    assert (heard == 0).float().mean() == 0


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("longer", [0, 1, 3, 12, 148])  # frames: exactly as long as a clip, a bit longer, 20 s
def test_no_training_clip_of_a_long_enough_source_ends_in_zeros(tmp_path, count, longer):
    frames = math.ceil(8 * SOUND.seconds) + longer
    sounds_of(tmp_path, frames / 8, max(SOUND.seconds, frames / 8 - 0.01))
    values = [*VALUES.split(), f"frames.count={count}", "frames.size=16", "frames.resize=18"]
    clips = IndexClips(tmp_path / "train.csv", with_values(CONFIG, values))
    assert not [note for note in clips.check_files() if "shorter" in note]
    starts = []
    for epoch in range(150):
        waveform = clips[SampleKey(0, epoch, 0)].waveform
        assert len(waveform) == SOUND.samples and (waveform != 0).all()
        starts.append(float(waveform[0]))
    assert longer < 12 or np.ptp(starts) > 0.4 * 0.8 * (1 - 8 * SOUND.seconds / frames)  # they reach over the source


@pytest.mark.parametrize(("count", "stride"), [(1, 24), (3, 4), (3, 24)])
def test_of_a_source_that_is_too_short_nothing_is_left_out_and_it_is_told(tmp_path, count, stride):
    sounds_of(tmp_path, 1, 1)
    values = [*VALUES.split(), f"frames.count={count}", f"frames.stride={stride}", "frames.size=16", "frames.resize=18"]
    clips = IndexClips(tmp_path / "train.csv", with_values(CONFIG, values))
    (note,) = [note for note in clips.check_files() if "shorter" in note]
    assert "1 of 1 clips are shorter than 1.49 s; silence follows their sound" in note
    whole = load_waveform(tmp_path / "audio/tuba/0.wav")
    for clip in (clips[0], clips[SampleKey(0, 3, 0)]):
        assert np.array_equal(clip.waveform[: len(whole)], whole) and not clip.waveform[len(whole) :].any()


def test_three_frames_of_the_paper_are_cut_where_they_always_were(tmp_path):
    sounds_of(tmp_path, 20, 20)
    values = ["frames.count=3", "frames.stride=24", "spectrogram.samples=65535", "spectrogram.hop_length=256"]
    clips = IndexClips(tmp_path / "train.csv", with_values(CONFIG, [*values, "frames.size=16", "frames.resize=18"]))
    for epoch in range(20):
        visit = SampleKey(0, epoch, 0)
        centre = clips._generator(visit).uniform(3.0, 20 - 3.0 - 1 / 8)
        expected = load_waveform(tmp_path / "audio/tuba/0.wav", RATE, centre - 65535 / RATE / 2, 65535 / RATE)
        assert torch.equal(clips[visit].waveform, torch.from_numpy(expected))


def test_frames_that_are_numbered_otherwise_are_told_before_training(tmp_path):
    sounds_of(tmp_path, 2, 2)
    frames = tmp_path / "frames" / "tuba" / "0"
    for number in range(16):  # from 0 on, as ffmpeg's -start_number 0 writes them
        (frames / f"{number + 1:06d}.jpg").rename(frames / f"{number:06d}.jpg")
    clips = IndexClips(tmp_path / "train.csv", CONFIG)
    with pytest.raises(SopeduError, match=r"16 files from 000000.jpg to 000015.jpg, expected 000001.jpg to 000016.jpg"):
        clips.check_files()
    for number in range(16):
        (frames / f"{number:06d}.jpg").rename(frames / f"{number + 1:06d}.bmp")
    with pytest.raises(
        SopeduError, match=r"no such frame \(16 files from 000001.bmp to 000016.bmp are there\); frames"
    ):
        clips[0]


def test_silence_and_a_single_class_are_told(tmp_path):
    rows = [write_clip(tmp_path, "tuba", number) for number in range(2)]
    clips = IndexClips(index_of(tmp_path, *rows), CONFIG)
    assert [note.partition(":")[0] for note in clips.check_files()] == ["all clips are of one class, tuba"]
    for number in range(2):
        save_waveform(tmp_path / "audio" / "tuba" / f"{number}.wav", np.zeros(4 * RATE), RATE)
    assert "all of 2 recordings looked at are silent" in clips.check_files()[1]
    batch, failures = collate([clips[0], clips[1]]), Failures(2)
    assert [line.partition(" (")[0] for line in failures.new(batch)] == ["2 of 2 recordings in a batch are silent"]
    assert failures.new(batch) == []  # told once


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_resumed_at_step_200_of_500_visits_what_the_whole_run_visits(processes):
    """With 125 steps per epoch: the state lies inside the second epoch, and two more begin after it."""
    labels = np.arange(500) % 5
    clips = ClipDataset(CONFIG, tuple("abcde"), labels)  # batches of 4
    for rank in range(processes):
        whole = list(TrainingSampler(clips, 500, 0, rank, processes))
        resumed = list(TrainingSampler(clips, 500, 200, rank, processes))
        assert len(whole) == 500 and resumed == whole[200:]
        assert {visit.epoch for batch in whole for visit in batch} == {0, 1, 2, 3}
        assert {visit.epoch for batch in resumed for visit in batch} == {1, 2, 3}
    every = [visit.index for batch in TrainingSampler(clips, 125) for visit in batch]
    assert sorted(every) == list(range(500))
