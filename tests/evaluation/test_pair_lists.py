"""Lists of pairs: saved ones give the same figures, published ones are read, and the protocol says which."""

from __future__ import annotations

import hashlib
import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from command import sopedu
from noise_clips import BAND, CONFIG, untrained

from sopedu.data.clips import ClipDataset
from sopedu.data.index_clips import IndexClips
from sopedu.errors import SopeduError
from sopedu.evaluation import baselines
from sopedu.evaluation.pair_lists import draw_members, read_pair_list, save_pair_list
from sopedu.evaluation.separation import evaluate
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.toyband.export import render_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A prepared set with all three splits."""
    folder = tmp_path_factory.mktemp("data")
    for split, solos in (("train", 6), ("validation", 3), ("test", 6)):
        render_dataset(folder, solos, split, instruments=BAND, seconds=1, size=72, progress=False, properties=())
    settings = {"protocol": "music", "splits": "the first video of each class validates", "seed": 0}
    (folder / "prepare.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("model") / "m", Checkpoint(untrained(), BAND))


@pytest.fixture(autouse=True)
def few_solos(monkeypatch):
    monkeypatch.setattr(baselines, "_SOLOS_PER_CLASS", 2)


def test_of_eleven_classes_550_pairs_are_ten_of_each_combination():
    """The usual protocol of MUSIC; a video of a class is used again only after all others of the class."""
    clips = ClipDataset(CONFIG, tuple("abcdefghijk"), np.repeat(np.arange(11), 3))
    members = draw_members(clips, 550, np.random.default_rng(0))
    kinds = [tuple(sorted(pair)) for pair in clips.labels[members].tolist()]
    assert sorted(kinds) == sorted(10 * list(combinations(range(11), 2)))
    used = np.bincount(members.ravel(), minlength=33)
    assert used.min() >= math.floor(1100 / 33) and used.max() <= math.ceil(1100 / 33)


def test_a_saved_list_gives_the_same_figures_and_stands_beside_them(data, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = f"evaluate {checkpoint} --data {data / 'test.csv'} --no-dictionaries --device cpu"
    status, said, shown = sopedu(f"{drawn} --pairs 5 --seed 3 --save-pairs pairs.csv --json drawn.json --csv drawn.csv")
    assert status == 0, shown
    status, again, shown = sopedu(f"{drawn} --pair-list pairs.csv --seed 3 --json listed.json --csv listed.csv")
    assert status == 0, shown
    first, second = (json.loads(Path(name).read_text()) for name in ("drawn.json", "listed.json"))
    assert first["table"] == second["table"] and Path("drawn.csv").read_text() == Path("listed.csv").read_text()
    lines = Path("pairs.csv").read_text().splitlines()
    digest = hashlib.sha256("\n".join(lines[1:]).encode()).hexdigest()[:12]
    index = hashlib.sha256((data / "test.csv").read_bytes()).hexdigest()[:12]
    assert lines[0] == "audio_1,audio_2" and len(lines) == 6
    held = f"data: 6 clips of {data / 'test.csv'} (SHA-256 {index}), 8 frames per second; split: the first video"
    for figures, printed, how in (
        (first, said, "pairs: drawn by seed 3"),
        (second, again, "pairs: all 5 in the list pairs.csv"),
    ):
        assert held in figures["protocol"] and figures["protocol"] in printed
        assert figures["protocol"].endswith(f"; {how} (SHA-256 of the pairs {digest})")
    assert "3 classes, as listed" in second["protocol"] and "all pairs of 3 classes in turn" in first["protocol"]


def test_held_out_clips_are_those_of_the_named_index_and_baselines_learn_from_the_training_set(data, monkeypatch):
    opened = []
    real = baselines.open_clips

    def spied(name, config, split="train", **how):
        clips = real(name, config, split, **how)
        opened.append((split, Path(clips.index.path).name))
        return clips

    monkeypatch.setattr(baselines, "open_clips", spied)
    model = Checkpoint(untrained(), BAND)
    for name in ("train.csv", "val.csv", "test.csv"):
        evaluate(model, str(data / name), pairs=1, dictionaries=False)
    held = ["val.csv", "val.csv", "test.csv"]
    assert opened == [pair for name in held for pair in (("train", "train.csv"), ("validation", name))]


def test_baselines_that_learn_from_the_clips_they_separate_are_told(data, tmp_path):
    model = Checkpoint(untrained(), BAND)
    assert evaluate(model, str(data / "test.csv"), pairs=1, dictionaries=False)["notes"] == []
    (tmp_path / "all.csv").write_text((data / "test.csv").read_text())
    (note,) = evaluate(model, str(tmp_path / "all.csv"), pairs=1, dictionaries=False, root=data)["notes"]
    assert note.startswith(f"{tmp_path / 'all.csv'}: the baselines learn from clips that they separate")


@pytest.fixture
def clips(data) -> IndexClips:
    return IndexClips(data / "test.csv", CONFIG)


WAYS = {
    "published": lambda a, b: f"/{a.removeprefix('audio/')}, /{b.removeprefix('audio/')}",
    "of another folder and format": lambda a, b: f"./data/{a},./data/{b}".replace(".wav", ".mp3"),
    "of Windows": lambda a, b: f"D:\\{a},D:\\{b}".replace("/", "\\"),
    "identifiers with blanks": lambda a, b: f"{Path(a).stem} {Path(b).stem}",
    "names with tabs": lambda a, b: f"{Path(a).name}\t{Path(b).name}",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_list_is_read_however_it_names_the_clips(clips, tmp_path, way):
    members = np.array([[0, 1], [5, 3], [2, 4], [0, 1]])
    sounds = [clips.index[row].audio for row in range(6)]
    lines = [WAYS[way](sounds[a], sounds[b]) for a, b in members]
    (tmp_path / "pairs.csv").write_text("\r\n".join(lines) + "\r\n\r\n", encoding="utf-8-sig", newline="")
    found = read_pair_list(tmp_path / "pairs.csv", clips)
    assert np.array_equal(found.members, members) and found.notes == ()
    assert np.array_equal(read_pair_list(tmp_path / "pairs.csv", clips, most=2).members, members[:2])


@pytest.mark.parametrize("count", [2, 3])
def test_what_is_saved_is_read_back(clips, tmp_path, count):
    members = draw_members(clips, 7, np.random.default_rng(count), count)
    save_pair_list(tmp_path / "new" / "pairs.csv", clips, members)
    assert np.array_equal(read_pair_list(tmp_path / "new" / "pairs.csv", clips).members, members)


def test_pairs_that_cannot_be_mixed_and_pairs_of_one_class_are_told(clips, tmp_path):
    sounds = [clips.index[row].audio for row in range(6)]  # of three classes in turn
    text = f"{sounds[0]},{sounds[3]}\n{sounds[1]},tuba/gone.wav\n{sounds[2]},{sounds[0]}\n"
    (tmp_path / "pairs.csv").write_text(text)
    found = read_pair_list(tmp_path / "pairs.csv", clips)
    assert found.members.tolist() == [[0, 3], [2, 0]] and found.protocol == "pairs: 2 of the 3 in the list pairs.csv"
    assert found.notes == (
        "1 of 3 pairs name clips that are not in the index: tuba/gone.wav",
        "1 of 2 pairs mix one class with itself, which is harder",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.wav\nb.wav\n", "a line names the sounds of one mixture, two or more"),
        ("a,b\na,b,c\n", "all lines equally many"),
        ("audio_1,audio_2\n", "a line names the sounds of one mixture"),
        ("x,y\n", "none of its pairs is in "),
        (b"\xff\xfe,\x00", "is no list of pairs"),
        ("", "is empty"),
    ],
)
def test_what_is_no_list_is_told_in_one_line(clips, tmp_path, text, said):
    (tmp_path / "pairs.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SopeduError, match=f"^[^\n]*pairs.csv: [^\n]*{said}[^\n]*$"):
        read_pair_list(tmp_path / "pairs.csv", clips)
    with pytest.raises(SopeduError, match="a list of pairs names clips of an index: give --data INDEX.csv"):
        evaluate("toyband-tiny", listed=tmp_path / "pairs.csv", pairs=1)
