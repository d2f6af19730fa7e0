"""From sources to a data set: what is written, what is told, and what a kill anywhere leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import sopedu
from filming import contents, write_clapper
from killing import prepare_and_be_killed
from odd_names import ODD

from sopedu.config import preset, with_values
from sopedu.data import open_clips
from sopedu.datasets import preparing
from sopedu.datasets.converting import ClipFormat
from sopedu.datasets.finishing import merge_shards
from sopedu.datasets.ledger import read_log
from sopedu.datasets.names import file_name
from sopedu.datasets.preparing import prepare
from sopedu.errors import SopeduError

QUIET = {"progress": False, "jobs": 0}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Four usable films of two classes, a damaged one, and a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    for label in ("cello", "flute"):
        (folder / label).mkdir()
        for number in range(2):
            write_clapper(folder / label / f"{label} {number}.mp4", 1.6 + 0.2 * number, tone=300.0 + 50 * number)
    (folder / "flute" / "broken.mp4").write_bytes(b"nothing to see" * 50)
    (folder / "flute" / "notes.txt").write_text("no film")
    return folder


@pytest.fixture(scope="module")
def whole(films, tmp_path_factory) -> dict[str, bytes]:
    """The data set of an undisturbed run."""
    prepare(films, tmp_path_factory.mktemp("whole") / "out", **QUIET)
    return contents(tmp_path_factory.getbasetemp() / "whole0" / "out")


def states(out: Path) -> dict[str, str]:
    return {row.key: row.state for row in read_log(out / "clips.csv")}


def test_a_folder_of_films_becomes_a_data_set_that_opens(films, tmp_path):
    said: list[str] = []
    done = prepare(films, tmp_path / "out", say=said.append, **QUIET)
    assert done.states == {"damaged": 1, "ok": 4} and sum(done.splits.values()) == 4
    assert states(tmp_path / "out")["flute/broken"] == "damaged"
    assert "5 of 5 clips to prepare" in said[0] and "free at" in said[0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "audio", "clips.csv", "frames", "prepare.json", "train.csv",
    ]  # fmt: skip
    clips = open_clips(str(tmp_path / "out" / "train.csv"), with_values(preset("tiny"), ["mixing.silent_share=0"]))
    assert clips.class_names == ("cello", "flute") and len(clips) == 4
    assert all("shorter than" in note for note in clips.check_files())
    assert clips[0].waveform.abs().max() > 0.3 and clips[0].frames.shape[1] == 3


def test_what_is_prepared_trains(films, tmp_path):
    from sopedu.training import train

    prepare(films, tmp_path / "out", **QUIET)
    config = with_values(
        preset("tiny"), ["training.steps=2", "training.batch_size=2", "mixing.silent_share=0", "mixing.pasted_share=0"]
    )
    run = train(config, open_clips(str(tmp_path / "out" / "train.csv"), config))
    assert run.step == 2


def test_a_second_run_changes_nothing_and_finds_what_was_added(films, whole, tmp_path):
    shutil.copytree(films, tmp_path / "films")
    prepare(tmp_path / "films", tmp_path / "out", **QUIET)
    assert contents(tmp_path / "out") == whole
    said: list[str] = []
    prepare(tmp_path / "films", tmp_path / "out", say=said.append, **QUIET)
    assert said[0].startswith("0 of 5 clips") and contents(tmp_path / "out") == whole
    write_clapper(tmp_path / "films" / "cello" / "new.mp4", 1.5)
    shutil.copy(tmp_path / "films" / "cello" / "new.mp4", tmp_path / "films" / "flute" / "broken.mp4")
    done = prepare(tmp_path / "films", tmp_path / "out", **QUIET)
    assert done.states == {"damaged": 1, "ok": 5}  # a damaged film is not read again …
    assert prepare(tmp_path / "films", tmp_path / "out", again=True, **QUIET).states == {"ok": 6}  # unless one asks


@pytest.mark.skipif(sys.platform == "win32", reason="no fork and no such signal")
@pytest.mark.parametrize("delete", [False, True])
def test_killed_anywhere_and_run_again_gives_the_same_bytes(films, whole, tmp_path, delete):
    shutil.copytree(films, tmp_path / "films")
    context, kills = multiprocessing.get_context("forkserver"), 0  # no fork of this process, which has threads
    context.set_forkserver_preload(["killing"])
    for event in range(5, 400, 47):  # later and later, each time over what the killed runs before have left
        child = context.Process(
            target=prepare_and_be_killed, args=(event, tmp_path / "films", tmp_path / "out", delete)
        )
        child.start()
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        assert child.exitcode in (-signal.SIGKILL, 0)
        if child.exitcode == 0:
            break
    assert kills >= 3
    prepare(tmp_path / "films", tmp_path / "out", delete_source=delete, **QUIET)
    assert contents(tmp_path / "out") == whole
    left = sorted(path.name for path in (tmp_path / "films").rglob("*.mp4"))
    assert left == (
        ["broken.mp4"] if delete else [f"{a}.mp4" for a in ["broken", "cello 0", "cello 1", "flute 0", "flute 1"]]
    )


def test_killed_with_its_processes_and_run_again_gives_the_same_bytes(films, whole, tmp_path):
    """The command itself, killed from outside; its processes end with it."""
    command = [sys.executable, "-m", "sopedu", "prepare", str(films), "--out", str(tmp_path / "out"), "--jobs", "2"]
    with subprocess.Popen(command, cwd=Path(preparing.__file__).parents[2], stderr=subprocess.PIPE) as child:
        log = tmp_path / "out" / ".prepare" / "rows-1-of-1.csv"
        while child.poll() is None and not (log.exists() and log.stat().st_size):
            child.stderr.read1()  # returns whenever the bar moves
        child.kill()
    sopedu(f"prepare {films} --out {tmp_path / 'out'} --jobs 1")
    assert contents(tmp_path / "out") == whole


def test_shards_together_give_the_same_bytes_and_a_merge_waits_for_all(films, whole, tmp_path):
    with pytest.raises(SopeduError, match="holds no shards"):
        merge_shards(tmp_path / "out")
    for number in (1, 3):
        prepare(films, tmp_path / "out", shard=(number, 3), **QUIET)
        assert not (tmp_path / "out" / "train.csv").exists()
    with pytest.raises(SopeduError, match="not ended: 2/3;"):
        merge_shards(tmp_path / "out")
    prepare(films, tmp_path / "out", shard=(2, 3), **QUIET)
    assert merge_shards(tmp_path / "out").states == {"damaged": 1, "ok": 4}
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0), (1.5, 2)])
def test_a_shard_that_is_none_is_said(films, tmp_path, shard):
    with pytest.raises(SopeduError, match="shard"):
        prepare(films, tmp_path / "out", shard=shard, **QUIET)


def test_a_list_finds_its_films_and_says_what_is_missing(tmp_path):
    (tmp_path / "films").mkdir()
    write_clapper(tmp_path / "films" / "-aaaaaaaaaa_000030.mp4", 2.0)
    write_clapper(tmp_path / "films" / "bbbbbbbbbbb.mp4", 6.0)
    write_clapper(tmp_path / "films" / "ccccccccccc_31.mp4", 2.0)
    path = tmp_path / "vggsound.csv"
    path.write_text(
        '-aaaaaaaaaa,30,"eating, chewing",test\nbbbbbbbbbbb,1,flute,train\nbbbbbbbbbbb,3,flute,train\n'
        "ccccccccccc,30,flute,train\n../secret,1,flute,train\nbbbbbbbbbbb,1,flute,train\n"
    )
    done = prepare(path, tmp_path / "out", tmp_path / "films", **QUIET)
    rows = list(read_log(tmp_path / "out" / "clips.csv"))
    assert [(row.key, row.state) for row in rows] == [
        ("eating, chewing/-aaaaaaaaaa_000030", "ok"), ("flute/bbbbbbbbbbb_000001", "ok"),
        ("flute/bbbbbbbbbbb_000003", "ok"), ("flute/ccccccccccc_000030", "missing"), (rows[4].key, "refused"),
    ]  # fmt: skip
    assert "near: ccccccccccc_31.mp4" in rows[3].reason and "/" not in rows[4].id
    assert done.splits == {"train": 2, "val": 0, "test": 1}
    assert open_clips(str(tmp_path / "out" / "train.csv"), preset("tiny")).class_names == ("flute",)
    assert not any("secret" in path.name for path in tmp_path.rglob("*.wav"))


def test_a_film_of_several_clips_is_deleted_after_the_last_one(tmp_path):
    (tmp_path / "films").mkdir()
    for name in ("aaaaaaaaaaa", "bbbbbbbbbbb"):
        write_clapper(tmp_path / "films" / f"{name}.mp4", 4.0)
    path = tmp_path / "list.csv"
    path.write_text("aaaaaaaaaaa,0,x,train\naaaaaaaaaaa,1,x,train\nbbbbbbbbbbb,0,x,train\n")
    prepare(path, tmp_path / "out", tmp_path / "films", delete_source=True, **QUIET)
    assert list((tmp_path / "films").iterdir()) == []
    before = contents(tmp_path / "out")
    write_clapper(tmp_path / "films" / "other.mp4", 1.0)
    prepare(path, tmp_path / "out", tmp_path / "films", delete_source=True, **QUIET)
    assert contents(tmp_path / "out") == before and (tmp_path / "films" / "other.mp4").exists()


def test_music_takes_whole_videos_and_its_own_split(tmp_path):
    names = [f"{letter * 11}" for letter in "abcd"]
    (tmp_path / "films" / "cello").mkdir(parents=True)
    for name in names[1:]:
        write_clapper(tmp_path / "films" / "cello" / f"{name}.mp4", 1.5)
    (tmp_path / "music.json").write_text(json.dumps({"videos": {"cello": names}}))
    done = prepare(tmp_path / "music.json", tmp_path / "out", tmp_path / "films", **QUIET)
    assert done.states == {"missing": 1, "ok": 3}
    assert (tmp_path / "out" / "val.csv").read_text() == f"audio/cello/{names[1]}.wav,frames/cello/{names[1]},12\n"


def test_odd_names_of_films_and_classes_stay_in_the_data_folder(tmp_path):
    source, out = tmp_path / "films", tmp_path / "out"
    names = ["-rf", "a\nb", "x" * 200, "CON", "ü̈ber", 'q"u,o', "take", "$(touch hacked)"]
    film = write_clapper(tmp_path / "film.mp4", 1.2)
    for label in ("..hidden class", "flute; rm -rf"):
        (source / label).mkdir(parents=True)
        for name in names:
            shutil.copy(film, source / label / f"{name}.mp4")
    shutil.copy(film, source / "flute; rm -rf" / "take.mov")
    done = prepare(source, out, **QUIET)
    assert done.states == {"ok": 9}  # a hidden folder is left out
    clips = open_clips(str(out / "train.csv"), preset("tiny"))
    assert clips.index.missing() == [] and len(clips) == done.splits["train"] >= 5
    assert all(path.resolve().is_relative_to(out.resolve()) for path in out.rglob("*"))
    assert {path.name for path in tmp_path.iterdir()} == {"films", "film.mp4", "out"}


def test_odd_names_in_a_list_stay_in_the_data_folder(tmp_path):
    """As classes they get names of folders; as identifiers they are refused, or none of the films is theirs."""
    film, out = write_clapper(tmp_path / "film.mp4", 1.1), tmp_path / "work" / "out"
    (tmp_path / "work" / "films").mkdir(parents=True)
    classes = {odd: f"video{number:06d}" for number, odd in enumerate(ODD.values())}
    for video in classes.values():
        os.link(film, tmp_path / "work" / "films" / f"{video}.mp4")
    videos = {odd: [video] for odd, video in classes.items()} | {"flute": list(ODD.values()), "": ["video000000"]}
    (tmp_path / "work" / "list.json").write_text(json.dumps({"videos": videos}))
    done = prepare(tmp_path / "work" / "list.json", out, tmp_path / "work" / "films", **QUIET)
    rows = list(read_log(out / "clips.csv"))
    assert done.states["ok"] == len(classes)
    assert len({row.label for row in rows if row.state == "ok"}) == len(classes) - 1  # two ways to write one letter
    assert set(done.states) == {"ok", "refused", "missing"} and len(rows) == sum(done.states.values())
    assert {row.state for row in rows if row.label == "flute"} == {"refused", "missing"}
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "work"}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"films", "list.json", "out"}
    sounds = {str(path.relative_to(out)) for path in out.rglob("*.wav")}
    assert sounds == {f"audio/{row.key}.wav" for row in rows if row.state == "ok"}
    for path in out.rglob("*"):
        assert path.name == "." or file_name(path.name.lstrip(".")) == path.name.lstrip(".")
    assert open_clips(str(out / "train.csv"), preset("tiny")).index.missing() == []


def test_a_file_whose_name_is_no_text_is_prepared(tmp_path):
    folder = tmp_path / "films" / "flute"
    folder.mkdir(parents=True)
    try:
        shutil.copy(write_clapper(tmp_path / "film.mp4", 1.1), os.fsencode(folder) + b"/caf\xe9.mp4")
    except OSError:
        pytest.skip("this file system has texts as names only")
    assert prepare(tmp_path / "films", tmp_path / "out", **QUIET).states == {"ok": 1}
    assert prepare(tmp_path / "films", tmp_path / "out", **QUIET).states == {"ok": 1}
    assert len(list((tmp_path / "out" / "audio" / "flute").iterdir())) == 1


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda p: p / "nothing", "no folder of films and no list"),
        (lambda p: p, "holds no films"),
        (lambda p: (p / "a.txt").write_text("x") and p / "a.txt", "no folder of films and no list"),
        (lambda p: (p / "a.json").write_text('{"x": ["a"]}') and p / "a.json", "name the folder of its films"),
    ],
)
def test_what_is_no_source_is_said(tmp_path, make, says):
    (tmp_path / "place").mkdir()
    with pytest.raises(SopeduError, match=says):
        prepare(make(tmp_path / "place"), tmp_path / "out", **QUIET)
    with pytest.raises(SopeduError, match="belongs to a list"):
        prepare(tmp_path, tmp_path / "out", tmp_path, **QUIET)


def test_too_small_a_disk_another_form_and_a_second_run_are_said_before_work_begins(films, tmp_path, monkeypatch):
    prepare(films, tmp_path / "out", **QUIET)
    with pytest.raises(SopeduError, match="short_side 256"):
        prepare(films, tmp_path / "out", form=ClipFormat(short_side=128), **QUIET)
    with preparing._locked(tmp_path / "new", 1, 1), pytest.raises(SopeduError, match="another run"):
        prepare(films, tmp_path / "new", **QUIET)
    with pytest.raises(SopeduError, match="protocol='odd'"):
        prepare(films, tmp_path / "new", protocol="odd", **QUIET)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SopeduError, match="are needed"):
        prepare(films, tmp_path / "small", **QUIET)


def test_the_command_says_what_it_does_and_what_is_next(films, tmp_path):
    status, out, _ = sopedu(
        f"prepare {films} --out {tmp_path / 'out'} --jobs 1 --shard 1/1 --json {tmp_path / 'a.json'}"
    )
    assert status == 0 and "plan: prepare" in out and "damaged: 1, ok: 4" in out
    assert json.loads((tmp_path / "a.json").read_text())["states"] == {"damaged": 1, "ok": 4}
    status, out, _ = sopedu(f"prepare {films} --out {tmp_path / 'out'}")
    assert status == 0 and "next: sopedu health " in out and "then: sopedu train --data" in out and "clips.csv" in out


@pytest.mark.parametrize(
    "options, says",
    [
        ("", "no source"),
        ("x --merge", "leave out the source"),
        ("x --shard 1of3", "write i/n"),
        ("--merge", "no shards"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, options, says):
    status, _, error = sopedu(f"prepare {options} --out {tmp_path / 'out'}")
    assert status == 2 and says in error and error.count("\n") == 1


@pytest.mark.parametrize("merged", [False, True])
def test_prepare_packs_what_it_has_prepared(films, tmp_path, merged):
    out, config = tmp_path / "out", with_values(preset("tiny"), ["mixing.silent_share=0"])
    if merged:
        for number in (1, 2):
            prepare(films, out, shard=(number, 2), **QUIET)
    source = "--merge" if merged else f"{films}"
    status, said, error = sopedu(f"prepare {source} --out {out} --jobs 1 --pack 50kB")
    assert status == 0, error
    assert f"next: sopedu train --data {out / 'packed' / 'train.csv'}" in said and "tar files" in said
    folders, tars = (open_clips(str(folder / "train.csv"), config) for folder in (out, out / "packed"))
    assert len(tars) == len(folders) == 4 and tars.index.shards and len(tars.index.shards.names) > 1
    assert all(torch.equal(tars[row].frames, folders[row].frames) for row in range(4))
