"""Clips in tar files: the same clips and trainings as from folders, and no damage that passes."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from test_clips import CONFIG, RATE, SOUND, batches, index_of, write_clip

from sopedu.audio.soundfiles import load_waveform, save_waveform
from sopedu.data.clips import SampleKey
from sopedu.data.index_clips import IndexClips
from sopedu.data.prepared import read_index
from sopedu.data.shards import CHECKED, checksum_of_head
from sopedu.datasets.packing import pack
from sopedu.errors import SopeduError

QUIET = {"jobs": 0, "progress": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Twelve clips in folders, and in four tar files below ``packed``."""
    folder = tmp_path_factory.mktemp("made")
    rows = [write_clip(folder, name, number) for number, name in enumerate(["tuba", "cello", "ob.oe"] * 4)]
    save_waveform(folder / "audio/cello/1.wav", np.random.default_rng(9).uniform(-1, 1, 40 * RATE), RATE)  # 4 pieces
    save_waveform(folder / "audio/cello/4.wav", np.repeat(load_waveform(folder / "audio/cello/4.wav"), 2), 2 * RATE)
    index_of(folder, *rows)
    assert pack(folder, size=600_000, **QUIET).tars == 4
    return folder


@pytest.fixture
def data(made, tmp_path) -> Path:
    """The tar files alone."""
    for path in (made / "packed").iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_clips_are_those_of_the_folders(made, data):
    folders, tars = IndexClips(made / "train.csv", CONFIG), IndexClips(data / "train.csv", CONFIG)
    assert tars.class_names == folders.class_names and np.array_equal(tars.labels, folders.labels)
    assert [tars.index[row] for row in range(12)] == [folders.index[row] for row in range(12)]
    assert tars.check_files() == folders.check_files() == []
    for key in (*range(12), *(SampleKey(row, epoch, row) for row in range(3) for epoch in range(4))):
        mine, other = tars[key], folders[key]
        assert torch.equal(mine.waveform, other.waveform) and torch.equal(mine.frames, other.frames)
    for mine, other in zip(batches(tars, 2, workers=1), batches(folders, 2), strict=True):
        assert all(map(torch.equal, mine[:3], other[:3]))


def test_parts_of_long_sounds_are_read_without_the_rest(data, monkeypatch):
    """The second piece of four is damaged: what lies elsewhere can be read."""
    index = read_index(data / "train.csv")
    with index.files.sound(1, index[1]) as sound:
        begin, size = sound._member.begin, sound._member.size
        assert size > 3 * CHECKED
        whole = sound.read()
        for place, count in ((0, 1), (CHECKED - 1, 2), (CHECKED, 7), (3 * CHECKED - 3, 9), (size - 4, 9), (size, 1)):
            assert sound.seek(place) == place and sound.read(count) == whole[place : place + count]
    path = data / index.shards.names[index.shards.numbers[1]]
    held = bytearray(path.read_bytes())
    held[begin + CHECKED + 5] ^= 1
    path.write_bytes(held)
    assert len(index.sound(1, 0.0, SOUND.samples, RATE)) == SOUND.samples
    assert len(index.sound(1, 38.0, RATE, RATE)) == RATE
    with pytest.raises(SopeduError, match=r"train-00000\d\.tar, audio/cello/1\.wav, wav: is damaged; copy this file"):
        index.sound(1, 12.0, RATE, RATE)


def flipped(path: Path, place: int) -> None:
    held = bytearray(path.read_bytes())
    held[place] ^= 0x55
    path.write_bytes(held)


def test_every_damaged_byte_of_a_clip_that_matters_is_told(data):
    """Contents and heads have checksums; names and times in the headers of members are not used."""
    clips = IndexClips(data / "train.csv", CONFIG)
    clips.frame_rate = 8.0
    path, wanted = data / clips.index.shards.names[0], clips[0]
    whole, begin, end = path.read_bytes(), int(clips.index.shards.heads[0]), int(clips.index.shards.heads[1])
    told = 0
    for place in np.random.default_rng(0).integers(begin, end, 30):
        flipped(path, place)
        try:
            found = clips[0]
            assert torch.equal(found.waveform, wanted.waveform) and torch.equal(found.frames, wanted.frames)
        except SopeduError as error:
            told += 1
            assert "\n" not in str(error) and path.name in str(error)
        path.write_bytes(whole)
    assert told > 10


def test_cut_off_exchanged_and_missing_tar_files_are_one_line(data):
    clips = IndexClips(data / "train.csv", CONFIG)
    clips.frame_rate = 8.0
    first, second = (data / f"train-00000{number}.tar" for number in range(2))
    whole, of_second = first.read_bytes(), [int(row) for row in np.flatnonzero(clips.index.shards.numbers == 1)]
    head = int(clips.index.shards.heads[1])
    for size in (0, 100, head, head + 300, head + 512 + 40, head + 3000):
        first.write_bytes(whole[:size])
        with pytest.raises(SopeduError, match=r"^\S+train-000000\.tar[^\n]*(ends|cannot be used)[^\n]*$"):
            clips[1]
    first.write_bytes(second.read_bytes())
    with pytest.raises(SopeduError, match=r"train-000000\.tar[^\n]*(not the file that the index names|ends)[^\n]*$"):
        clips[1]
    first.write_bytes(whole)
    second.unlink()
    with pytest.raises(SopeduError, match=r"train-000001\.tar: cannot be opened[^\n]*copy it beside the index$"):
        clips[of_second[0]]
    said = f"1 tar files of {len(of_second)} clips are missing: train-000001.tar; other clips of their class replace"
    assert any(said in note for note in clips.check_files())
    second.symlink_to(os.devnull)
    with pytest.raises(SopeduError, match="a link leads out"):
        clips[of_second[0]]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (3, "../train-000000.tar"), (3, "/etc/x.tar"), (3, "a\\b.tar"), (3, ".tar"), (3, "train-000000"), (4, "x"),
        (4, "-512"), (4, "511"), (4, "1" * 30), (5, "xyz"), (5, "1" * 17), (5, ""), (0, "../a.wav"), (2, "0"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(data, column, value):
    header, *rows = (data / "train.csv").read_text().splitlines()
    fields = rows[2].split(",")
    fields[column] = value
    text = "\n".join([header, *rows[:2], ",".join(fields)])
    (data / "train.csv").write_text(text)
    with pytest.raises(SopeduError, match=r"train\.csv, line 4: [^\n]*$"):
        read_index(data / "train.csv")


def test_a_head_that_somebody_made_up_is_refused_in_one_line(data):
    """With the right checksum: an index and its tar files may come from somebody else."""
    index, header = read_index(data / "train.csv"), (data / "train.csv").read_text().splitlines()[0]
    names = {"audio": index[0].audio, "frames": index[0].frames}
    members = ([], [["wav", -1]], [["wav", 1e9, 1]], [["wav", 10**15, 1]], [[]], [["wav", 8, "x"]], 3)
    heads = [json.dumps({**names, "members": some}) for some in members]
    for head in ("[]", "7", "{}", "{" * 500, '{"audio": "b"}', *heads):
        with tarfile.open(data / "other.tar", "w") as tar:
            member = tarfile.TarInfo("../x.json")
            member.size = len(head)
            tar.addfile(member, io.BytesIO(head.encode()))
        row = f"{names['audio']},{names['frames']},32,other.tar,0,{checksum_of_head(head.encode()):016x}"
        (data / "other.csv").write_text(f"{header}\n{row}\n")
        for read in (lambda other: other.sound(0, 0.0, 100, RATE), lambda other: other.pictures(0, [1], 32)):
            with pytest.raises(SopeduError, match=r"^\S+other\.tar[^\n]*$"):
                read(read_index(data / "other.csv"))


def test_an_index_of_tar_files_is_small(data):
    header, row = (data / "train.csv").read_text().splitlines()[:2]
    (data / "long.csv").write_text("\n".join([header, *[row] * 5000]))
    index = read_index(data / "long.csv")
    assert len(index) == 5000 and len(pickle.dumps(index)) < 1.2 * (data / "long.csv").stat().st_size
    alone = pickle.dumps(index.only(4999))
    assert len(alone) < 2000
    assert np.array_equal(pickle.loads(alone).sound(0, 1.0, 2000, RATE), index.sound(0, 1.0, 2000, RATE))
