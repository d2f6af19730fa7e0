"""Faults are planted into rendered data: each is found, none is invented, and no file is changed."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
import subprocess
import sys
import wave
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from command import sopedu
from PIL import Image

import sopedu as sopedu_package
from sopedu.config import preset, with_values
from sopedu.data.prepared import read_index
from sopedu.datasets import examine, write_cleaned, write_health_page
from sopedu.datasets.belonging import PICTURE_LIMIT
from sopedu.datasets.clip_facts import MeasureJob, crashed_measurement
from sopedu.datasets.health import KINDS, _all_faults
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband.export import render_dataset
from sopedu.video import read_sound, write_video

BAND = ("cello", "trumpet", "xylophone", "flute")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    """24 clips to train on, 8 for validation."""
    folder, threads = tmp_path_factory.mktemp("healthy"), torch.get_num_threads()
    for split, solos in (("train", 24), ("validation", 8)):
        render_dataset(folder, solos, split, instruments=BAND, seconds=6.5, size=96, progress=False)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def data(healthy, tmp_path) -> Data:
    shutil.copytree(healthy, tmp_path / "data")
    return Data(tmp_path / "data")


class Data:
    """A data set whose files can be damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, [folder / "train.csv", folder / "val.csv"]
        self.rows = {path.stem: list(csv.reader(path.read_text().splitlines())) for path in self.paths}

    def sound(self, split: str, row: int, change=None) -> np.ndarray:
        path = self.folder / self.rows[split][row][0]
        with wave.open(str(path)) as file:
            samples, rate = np.frombuffer(file.readframes(10**7), "<i2").copy(), file.getframerate()
        if change is not None:
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes(np.clip(change(samples.astype(float)), -32768, 32767).astype("<i2").tobytes())
        return samples

    def frames(self, split: str, row: int) -> list[Path]:
        return sorted((self.folder / self.rows[split][row][1]).iterdir())

    def exchange_frames(self, first: int, second: int) -> None:
        one, other = (self.folder / self.rows["train"][row][1] for row in (first, second))
        one.rename(one.with_name("aside"))
        other.rename(one)
        one.with_name("aside").rename(other)

    def found(self, **how) -> dict[str, set[str]]:
        """Kind of fault → the rows that have it, such as ``train 3``."""
        report, kinds = examine(self.paths, **how), {}
        for fault in report.faults:
            clip = report.clips[fault.clip]
            kinds.setdefault(fault.kind, set()).add(f"{clip.split} {clip.row}")
        return kinds


def silence(data):
    data.sound("train", 3, lambda x: 0 * x)
    return {"silent": {"train 3"}}


def near_silence(data):
    data.sound("train", 3, lambda x: x * (np.arange(len(x)) < 0.05 * len(x)))
    return {"silent": {"train 3"}}


def clipping(data):
    data.sound("val", 2, lambda x: x / np.abs(x).max() * 5 * 32767)
    return {"clipped": {"val 2"}}


def clipping_before_compression(data):
    """The sound goes through AAC, which makes ripples of the flat tops."""
    loud = np.clip(data.sound("val", 2) / 32768 * 20, -1, 1)
    film = data.folder / "film.mp4"
    write_video(film, np.zeros((65, 32, 32, 3), np.uint8), 10, loud, 11025)
    heard = read_sound(film, 11025)
    film.unlink()
    data.sound("val", 2, lambda x: 32768 * np.pad(heard, (0, len(x)))[: len(x)])
    return {"clipped": {"val 2"}}


def full_scale(data):
    """As loud as possible is not clipped."""
    data.sound("val", 2, lambda x: x / np.abs(x).max() * 32767)
    return {}


def late_start(data):
    data.sound("train", 5, lambda x: np.concatenate([np.zeros(6000), x[:-6000]]))
    return {"late": {"train 5"}}


def still(data):
    first, *others = data.frames("train", 7)
    for path in others:
        shutil.copy(first, path)
    return {"still": {"train 7"}}


def slides(data):
    paths, slide = data.frames("train", 7), None
    for place, path in enumerate(paths):
        slide = data.frames("train", 8 + 5 * (3 * place // len(paths)))[0]
        shutil.copy(slide, path)
    return {"slides": {"train 7"}}


def black(data):
    for path in data.frames("train", 9)[:10]:
        Image.new("RGB", (96, 96), (4, 4, 4)).save(path)
    return {"black": {"train 9"}}


def lost_frames(data):
    for path in data.frames("train", 11)[-2:]:
        path.unlink()
    return {"frames": {"train 11"}}


def cut_sound(data):
    data.sound("train", 11, lambda x: x[: len(x) // 2])
    return {"length": {"train 11"}, "short": {"train 11"}}


def damaged_sound(data):
    (data.folder / data.rows["train"][0][0]).write_bytes(b"no sound at all")
    return {"unreadable": {"train 0"}}


def no_frames(data):
    shutil.rmtree(data.folder / data.rows["train"][0][1])
    return {"unreadable": {"train 0"}}


def same_clip(data):
    """Cut later, softer, and compressed once more."""
    original = data.sound("train", 13)
    data.sound("val", 1, lambda x: 0.6 * np.concatenate([original[3000:], np.zeros(3000)]))
    for path, shown in zip(data.frames("val", 1), data.frames("train", 13), strict=True):
        with Image.open(shown) as picture:
            picture.save(path, quality=60)
    return {"same sound": {"val 1"}, "same picture": {"val 1"}}


FAULTS = (
    silence, near_silence, clipping, clipping_before_compression, full_scale, late_start, still, slides, black,
    lost_frames, cut_sound, damaged_sound, no_frames, same_clip,
)  # fmt: skip


def test_healthy_data_has_no_fault(healthy):
    report = examine([healthy / "train.csv", healthy / "val.csv"])
    assert (len(report.clips), list(report.faults), report.notes, report.frame_rate) == (32, [], [], 8.0)
    assert report.table() == "32 clips, 0 with a fault; 8 pictures per second"


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found_and_no_other(data, plant):
    wanted = plant(data)
    assert data.found() == wanted


def test_a_picture_of_another_class_is_found_by_a_model_that_knows_the_band(data):
    """Rows go through the band in turn: row 0 is a cello, row 1 a trumpet, row 2 a xylophone."""
    data.exchange_frames(0, 2)
    assert data.found(checkpoint="toyband") == {"unrelated": {"train 0", "train 2"}}


def test_a_sound_of_another_class_is_found_and_the_class_is_named(data):
    """Their pictures are right, and suit the sounds of their classes as before."""
    one, other = (data.folder / data.rows["train"][row][0] for row in (0, 2))
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    report = examine(data.paths, checkpoint="toyband")
    assert data.found(checkpoint="toyband") == {"unrelated": {"train 0", "train 2"}}
    assert [report.heard_as[row] for row in (0, 2)] == ["xylophone", "cello"]
    assert report.pictures[[0, 2]].min() > PICTURE_LIMIT
    assert report.faults[0].detail.startswith("its sound suits pictures of xylophone better, by ")
    report.heard_as[0] = "tenor-sax"  # a name is written as it is
    assert any("pictures of tenor-sax better" in said for _, _, said in _all_faults(report, 3.0))


def test_a_model_that_knows_nothing_of_the_data_judges_nobody(data):
    rows = data.rows["train"]
    for row in range(len(rows)):  # the sound of everybody is noise
        data.sound("train", row, lambda x: np.random.default_rng(len(x)).normal(0, 3000, len(x)))
    report = examine(data.paths[:1], checkpoint="toyband")
    assert not any(fault.kind == "unrelated" for fault in report.faults)
    assert any("does not know these sounds" in note for note in report.notes)


def test_where_no_clip_can_be_read_nobody_is_judged(data):
    for row in range(len(data.rows["val"])):
        (data.folder / data.rows["val"][row][0]).write_bytes(b"no sound at all")
    report = examine(data.paths[1:], checkpoint="toyband")
    assert {fault.kind for fault in report.faults} == {"unreadable"} and report.notes[-1].startswith("too few clips")


def test_too_few_clips_per_class_are_told(data):
    """Two of each class: nobody has three others of the class. Beside the other split all have."""
    report = examine(data.paths[1:], checkpoint="toyband")
    assert report.notes == [
        "too few clips to say whether sound and picture belong together: a class needs 4 that can be read, and one "
        "other class 2"
    ]
    assert np.isfinite(examine(data.paths, checkpoint="toyband").pictures).all()


def test_a_wrong_picture_of_a_small_split_is_found_beside_the_clips_of_the_other(data):
    """The validation split has two clips of each class."""
    first, second = (data.frames("val", row)[0].parent for row in (0, 2))
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)
    assert data.found(checkpoint="toyband") == {"unrelated": {"val 0", "val 2"}}
    (said, _) = (fault.detail for fault in examine(data.paths, checkpoint="toyband").faults)
    assert said.startswith("its picture suits sounds of xylophone better, by ")


def test_an_untrained_model_invents_nothing(data):
    config = with_values(preset("tiny"), ["model.frame_weights=none"])
    for seed in range(2):
        torch.manual_seed(seed)
        report = examine(data.paths, checkpoint=Checkpoint(SoundOfPixels(config), config))
        assert list(report.faults) == [] and any("does not know" in note for note in report.notes)


def test_the_frame_rate_is_read_from_the_data(data):
    """Every second frame is taken away, and the index says so."""
    for split, rows in data.rows.items():
        for row in range(len(rows)):
            for number, path in enumerate(data.frames(split, row)):
                path.unlink() if number % 2 else path.rename(path.with_name(f"{number // 2 + 1:06d}.jpg"))
            rows[row][2] = str(len(data.frames(split, row)))
        data.folder.joinpath(f"{split}.csv").write_text("\n".join(map(",".join, rows)), encoding="utf-8")
    report = examine(data.paths)
    assert (report.frame_rate, list(report.faults)) == (4.0, [])


def test_without_any_readable_clip_there_is_no_frame_rate_and_the_figures_say_so(data):
    for row in range(len(data.rows["val"])):
        (data.folder / data.rows["val"][row][0]).write_bytes(b"no sound at all")
    report = examine(data.paths[1:])
    assert report.figures()["frame_rate"] is None and "agree on no frame rate" in report.notes[0]
    assert {fault.kind for fault in report.faults} == {"unreadable"} and len(report.faulty) == 8


def test_uneven_classes_and_a_class_that_a_split_lacks_are_noted(data):
    path, rows = data.paths[0], data.rows["train"]
    cellos = [row for row in rows if "/cello/" in row[0]]
    others = [row for row in rows if "/trumpet/" in row[0]]
    path.write_text("\n".join(",".join(row) for row in [*others * 4, cellos[0]]), encoding="utf-8")
    notes = examine([path]).notes
    assert notes == ["classes are uneven: 24 clips of trumpet, 1 of cello; a training draws all clips equally"]
    both = examine(data.paths).notes
    assert "train lacks flute, xylophone" in both


def test_the_cleaned_index_leaves_out_faulty_clips_and_corrects_counts(data):
    wanted = silence(data) | lost_frames(data)
    before = {path: path.read_bytes() for path in data.folder.rglob("*") if path.is_file()}
    written = write_cleaned(examine(data.paths))
    assert [path.name for path in written] == ["train.clean.csv", "val.clean.csv"]
    rows = list(csv.reader(written[0].read_text().splitlines()))
    assert len(rows) == 23 and data.rows["train"][3] not in rows and wanted.keys() == {"silent", "frames"}
    assert [row[2] for row in rows if row[0] == data.rows["train"][11][0]] == ["50"]
    assert written[1].read_text() == data.paths[1].read_text()
    assert all(path.read_bytes() == held for path, held in before.items())
    kept = write_cleaned(examine(data.paths), keep=["silent"])
    assert len(list(csv.reader(kept[0].read_text().splitlines()))) == 24
    with pytest.raises(SopeduError, match="no kind of fault is called loud: choose of unreadable"):
        write_cleaned(examine(data.paths), keep=["loud"])


def test_the_page_shows_every_faulty_clip_with_pictures_and_sound(data, tmp_path):
    clipping(data), black(data), damaged_sound(data)
    report = examine(data.paths)
    text = write_health_page(tmp_path / "page.html", report).read_text(encoding="utf-8")
    for fault in report.faults:
        assert report.clips[fault.clip].audio in text and KINDS[fault.kind] in text
    assert text.count("<audio") == 2 and text.count("The sound cannot be read") == 1
    assert text.count("data:image/jpeg") == 3 * 4


def test_the_command_tells_writes_and_leaves_with_a_status(data, tmp_path):
    clipping(data)
    command = f"health {data.folder} --jobs 1 --fix --page {tmp_path / 'page.html'} --json {tmp_path / 'found.json'}"
    status, said, _ = sopedu(command)
    assert status == 1 and "1  clipped" in said and "cleaned: " in said
    assert f"next: sopedu train --data {data.folder / 'train.clean.csv'} --out runs/NAME" in said
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["counts"] == {"clipped": 1} and found["faults"][0]["index"] == "val"
    report = examine(data.paths)
    assert "".join(report.json()) == json.dumps(report.figures(), indent=2)
    status, said, _ = sopedu(f"health {data.folder / 'train.csv'} --jobs 1 --json -")
    assert status == 0 and said == json.dumps(examine(data.paths[:1]).figures(), indent=2) + "\n"
    assert sopedu(f"health {data.folder / 'val.clean.csv'} --jobs 1")[0] == 0
    status, told, _ = sopedu(f"health {data.folder / 'val.clean.csv'} --jobs 1 --seconds 7")
    assert status == 1 and "7  short: shorter than what a model hears" in told
    status, told, _ = sopedu(f"health {data.folder / 'val.csv'} --jobs 1 --fix")
    assert status == 1 and "cleaned: " in told and "next: " not in told  # nothing was written to train on
    status, _, error = sopedu(f"health {data.folder} --keep loud")
    assert status == 2 and "no such kind of fault" in error
    status, _, error = sopedu(f"health {tmp_path / 'data' / 'audio'}")
    assert status == 2 and "holds no train.csv" in error


def test_processes_find_what_one_finds(data):
    wanted = {kind: rows for plant in (silence, still, black) for kind, rows in plant(data).items()}
    assert data.found(jobs=2) == wanted
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert data.found(executor=pool) == wanted


def test_a_script_without_a_main_guard_examines_in_processes(healthy, tmp_path):
    """Processes that ran the script again would die, and every clip would seem damaged."""
    (tmp_path / "script.py").write_text(
        "print('begin')\n"
        "from sopedu.datasets import examine\n"
        f"report = examine([{str(healthy / 'val.csv')!r}], jobs=2)\n"
        "print(len(report.clips), len(report.faulty))\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(Path(sopedu_package.__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "begin\n8 0\n", "")


def test_a_clip_alone_is_what_it_is_in_its_index(healthy):
    index = read_index(healthy / "train.csv")
    for row in range(len(index)):
        alone = index.only(row)
        assert (len(alone), alone[0]) == (1, index[row]) and alone.labels[0] == index.labels[row]
    assert len(pickle.dumps(index.only(5))) < 1500


def test_a_clip_whose_process_dies_is_told(healthy):
    facts = crashed_measurement(MeasureJob(read_index(healthy / "train.csv").only(7), 7), "its process died twice")
    assert facts.row == 7 and facts.problem.endswith(".wav: cannot be measured (its process died twice)")
