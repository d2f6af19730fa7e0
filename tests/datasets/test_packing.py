"""Clips packed into tar files: other programs read them, trainings are the same, and a stop anywhere loses nothing."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shutil
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from command import sopedu
from filming import contents
from killing import pack_and_be_killed

from sopedu.config import preset, with_values
from sopedu.data import open_clips
from sopedu.data.prepared import read_index
from sopedu.datasets import disk, examine, packing, write_cleaned
from sopedu.datasets.packing import pack
from sopedu.errors import SopeduError
from sopedu.toyband.export import render_dataset

QUIET = {"jobs": 0, "progress": False}
SIZE = 400_000
TRAINING = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
mixing.silent_share=0 mixing.pasted_share=0 training.steps=6 training.batch_size=4 training.save_every=2
training.precision=float32 training.seed=3"""
CONFIG = with_values(preset("tiny"), TRAINING.split())


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """12 clips to train on, 4 for validation, in tar files below ``packed`` too."""
    folder, threads = tmp_path_factory.mktemp("data"), torch.get_num_threads()
    for split, solos in (("train", 12), ("validation", 4)):
        render_dataset(folder, solos, split, instruments=("cello", "flute"), seconds=3, size=96, progress=False)
    torch.set_num_threads(threads)
    done = pack(folder, size=SIZE, **QUIET)
    assert (done.clips, done.size) == (16, sum(path.stat().st_size for path in done.out.glob("*.tar")))
    assert done.tars == len(list(done.out.glob("*.tar"))) > 4
    return folder


@pytest.fixture
def data(rendered, tmp_path) -> Path:
    shutil.copytree(rendered, tmp_path / "data")
    return tmp_path / "data"


def packed_files(folder: Path) -> dict[str, bytes]:
    """What users see of a folder of tar files."""
    return {name: held for name, held in contents(folder).items() if not name.startswith(".")}


def test_webdataset_reads_every_clip_whatever_its_name(data, tmp_path):
    from webdataset.tariterators import group_by_keys, tar_file_expander

    rows = list(csv.reader((data / "train.csv").read_text().splitlines()))
    (data / rows[3][0]).rename(data / "audio/cello/a.b.wav")
    (data / rows[3][1]).rename(data / "frames/cello/a.b")
    rows[3][:2] = ["audio/cello/a.b.wav", "frames/cello/a.b"]
    (data / "train.csv").write_text("\n".join(map(",".join, rows)))
    pack(data / "train.csv", tmp_path / "out", SIZE, **QUIET)
    tars = sorted((tmp_path / "out").glob("*.tar"))
    with ExitStack() as stack:  # webdataset's own opener leaves files open
        streams = [{"url": path.name, "stream": stack.enter_context(path.open("rb"))} for path in tars]
        samples = list(group_by_keys(tar_file_expander(streams)))
    assert [sample["__key__"] for sample in samples] == [f"{row:09d}" for row in range(12)]
    for sample, (audio, frames, count) in zip(samples, rows, strict=True):
        head = json.loads(sample["json"])
        assert (head["audio"], head["frames"], head["class"]) == (audio, frames, audio.split("/")[1])
        assert sample["wav"] == (data / audio).read_bytes()
        for number in range(1, int(count) + 1):
            assert sample[f"{number:06d}.jpg"] == (data / frames / f"{number:06d}.jpg").read_bytes()
        assert len([name for name in sample if not name.startswith("__")]) == int(count) + 2
    for path in tars:  # and tar itself: nothing of this machine or of now is in them
        with tarfile.open(path) as tar:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}


def train(folder: Path, index: Path, steps: int = 6, resume: bool = False) -> dict[str, torch.Tensor]:
    from sopedu.training import train_run

    config = with_values(CONFIG, [f"training.steps={steps}"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = train_run(folder, config, None if resume else str(index), resume=resume, validation_pairs=2, say=str)
    torch.set_num_threads(threads)
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def test_training_from_tar_files_is_that_from_folders_and_so_is_a_resumed_one(rendered, tmp_path):
    wanted = train(tmp_path / "folders", rendered / "train.csv")
    found = train(tmp_path / "tars", rendered / "packed" / "train.csv")
    assert wanted.keys() == found.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    child = multiprocessing.get_context("spawn").Process(
        target=train_and_be_killed, args=(tmp_path / "killed", rendered / "packed" / "train.csv")
    )
    child.start()
    child.join(120)
    assert child.exitcode == -9
    resumed = train(tmp_path / "killed", rendered / "packed" / "train.csv", resume=True)
    assert all(torch.equal(resumed[name], wanted[name]) for name in wanted)


def train_and_be_killed(folder: Path, index: Path) -> None:
    import os
    import signal

    from sopedu.training.loop import Trainer

    step, left = Trainer.step, [4]

    def counted(self, *arguments):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *arguments)

    Trainer.step = counted
    train(folder, index)


def test_health_finds_the_same_in_tar_files(data):
    first = read_index(data / "train.csv")
    sound = Path(first.files.sound(2, first[2]))
    held = bytearray(sound.read_bytes())
    held[44:] = bytes(len(held) - 44)
    sound.write_bytes(held)
    done = pack(data, size=SIZE, **QUIET)
    folders, tars = (examine(paths, seconds=2) for paths in ([data / "train.csv", data / "val.csv"], done.indexes))
    assert [(f.clip, f.kind, f.detail) for f in tars.faults] == [(f.clip, f.kind, f.detail) for f in folders.faults]
    assert any(fault.kind == "silent" for fault in tars.faults)
    cleaned = write_cleaned(tars)
    kept = read_index(cleaned[0])
    left = [row for row in range(12) if row not in {fault.clip for fault in tars.faults if fault.kind != "frames"}]
    assert [kept[row] for row in range(len(kept))] == [first[row] for row in left] and kept.shards
    assert open_clips(str(cleaned[0]), CONFIG)[0].waveform.any()


def test_the_same_clips_give_the_same_bytes_in_any_number_of_processes_and_nothing_is_done_twice(data, monkeypatch):
    before = contents(data / "packed")
    again = pack(data, data / "again", SIZE, jobs=2, progress=False)
    assert packed_files(again.out) == packed_files(data / "packed")
    times = {path: path.stat().st_mtime_ns for path in (data / "packed").glob("*.tar")}
    pack(data, size=SIZE, **QUIET)
    assert contents(data / "packed") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    larger = pack(data, size=10**8, **QUIET)
    assert larger.tars == 2 == len(list((data / "packed").glob("*.tar")))
    assert open_clips(str(larger.indexes[0]), CONFIG)[11].waveform.any()


@pytest.mark.parametrize("event", [2, 5, 9, 14, 19, 24])
def test_a_run_that_is_killed_anywhere_ends_with_the_same_bytes(rendered, tmp_path, event):
    child = multiprocessing.get_context("fork").Process(
        target=pack_and_be_killed, args=(event, rendered, tmp_path / "out", SIZE)
    )
    child.start()
    child.join(60)
    assert child.exitcode == -9 and not all((tmp_path / "out" / name).exists() for name in ("train.csv", "val.csv"))
    for name in ("train.csv", "val.csv"):  # an index names complete files only
        if (tmp_path / "out" / name).exists():
            index = read_index(tmp_path / "out" / name)
            assert all(len(index.sound(row, 0, 999, 11025)) == 999 for row in range(len(index)))
    pack(rendered, tmp_path / "out", SIZE, **QUIET)
    assert packed_files(tmp_path / "out") == packed_files(rendered / "packed")


def test_what_cannot_be_packed_is_one_line_and_no_index_is_left(data, monkeypatch):
    entry = read_index(data / "train.csv")[5]
    with pytest.raises(SopeduError, match=r"train\.csv: its clips are in tar files already"):
        pack(data / "packed", **QUIET)
    with pytest.raises(SopeduError, match=r"two indexes of one name; name another --out"):
        pack(data, data, **QUIET)
    with pytest.raises(SopeduError, match=r"size 1 PB: write a size"):
        pack(data, size="1 PB", **QUIET)
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(data)._replace(free=1000)
        patch.setattr(disk.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(SopeduError, match="are needed, 0 MB are free"):
            pack(data, data / "other", **QUIET)
    with packing._locked(data / "packed"), pytest.raises(SopeduError, match="another run is packing there"):
        pack(data, **QUIET)
    (data / entry.frames / "000007.jpg").unlink()
    with pytest.raises(SopeduError, match=r"000007\.jpg: cannot be read \([^\n]*sopedu health --fix\)$"):
        pack(data, size=SIZE - 1, **QUIET)
    assert not list((data / "packed").glob("*.csv"))
    (data / entry.audio).unlink()
    with pytest.raises(SopeduError, match=rf"1 files or folders are missing, such as {entry.audio}; prepare"):
        pack(data, **QUIET)


def test_the_command_packs_and_mistakes_of_prepare_are_told_before_it_works(rendered, tmp_path):
    status, said, error = sopedu(f"pack {rendered} --out {tmp_path / 'out'} --size 400kB --jobs 1 --json {tmp_path}/f")
    assert (status, "16 clips in" in said, "next: sopedu train --data" in said) == (0, True, True), error
    figures = json.loads((tmp_path / "f").read_text())
    assert figures["clips"] == 16 and figures["indexes"][0] == str(tmp_path / "out" / "train.csv")
    status, _, error = sopedu(f"prepare {rendered} --out {tmp_path / 'new'} --pack much")
    assert status == 2 and "--pack much: write a size" in error
    status, _, error = sopedu(f"prepare {rendered} --out {tmp_path / 'new'} --pack 1GB --shard 1/2")
    assert status == 2 and "give it with --merge" in error
