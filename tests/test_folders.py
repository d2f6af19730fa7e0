"""Folders appear when they are complete, are never shared by two runs, and have free names."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from sopedu.errors import SopeduError
from sopedu.files import write_json
from sopedu.folders import folder_written_aside, new_run_folder, next_free_folder, require_new_folder


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_new_folder_is_one_that_is_free_and_can_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place, message in (("file", "not an empty folder"), ("file/below", "is a file"), (".", "not an empty folder")):
        with pytest.raises(SopeduError, match=message):
            require_new_folder(tmp_path / place)
    assert not require_new_folder(tmp_path / "new" / "deep").exists()


def test_run_folders_are_numbered_and_never_taken_twice(tmp_path):
    (tmp_path / "demo-002").write_text("a file has this name")
    assert [new_run_folder(tmp_path).name for _ in range(3)] == ["demo-001", "demo-003", "demo-004"]
    assert next_free_folder(tmp_path, "demo").name == "demo-005" and not (tmp_path / "demo-005").exists()


@pytest.mark.parametrize("there", [True, False], ids=["an empty folder is there", "nothing is there"])
def test_a_folder_appears_when_it_is_complete(tmp_path, there):
    out = tmp_path / "new" / "out"
    if there:
        out.mkdir(parents=True)
    with folder_written_aside(out) as unfinished:
        (unfinished / "result").write_text("half")
        assert not out.exists() or not any(out.iterdir())
        (unfinished / "result").write_text("whole")
    assert everything_in(tmp_path) == {"new", "new/out", "new/out/result"}
    assert (out / "result").read_text() == "whole"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error), folder_written_aside(tmp_path / "new" / "deep" / "out") as unfinished:
        (unfinished / "result").write_text("half")
        raise error
    assert everything_in(tmp_path) == set()


def test_a_full_disk_is_one_line_that_names_the_folder(tmp_path):
    message = "out: cannot be written .*free some space"
    with pytest.raises(SopeduError, match=message), folder_written_aside(tmp_path / "out"):
        raise OSError(28, os.strerror(28))
    assert everything_in(tmp_path) == set()


def _holds(out: Path, told, done) -> None:
    with folder_written_aside(out) as unfinished:
        (unfinished / "result").write_text("theirs")
        told.set()
        done.wait(60)


def test_two_runs_never_share_a_folder_and_a_killed_one_is_swept_away(tmp_path):
    context = multiprocessing.get_context("spawn")
    told, done = context.Event(), context.Event()
    other = context.Process(target=_holds, args=(tmp_path / "out", told, done), daemon=True)
    other.start()
    assert told.wait(60)
    with pytest.raises(SopeduError, match="out: another run is writing there"), folder_written_aside(tmp_path / "out"):
        raise AssertionError("nobody else should get in")
    other.kill()  # its folder and lock stay behind
    other.join(60)
    assert (tmp_path / ".out.unfinished" / "result").read_text() == "theirs"
    with folder_written_aside(tmp_path / "out") as unfinished:
        assert everything_in(unfinished) == set()
        (unfinished / "result").write_text("mine")
    assert everything_in(tmp_path) == {"out", "out/result"} and (tmp_path / "out" / "result").read_text() == "mine"


@pytest.mark.parametrize("link", ["link", "link/below", "link/to/below"])
@pytest.mark.parametrize("target", ["empty", "missing", "missing/too"])
def test_results_are_written_where_a_link_leads(tmp_path, link, target):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(target)
    require_new_folder(tmp_path / link)
    with folder_written_aside(tmp_path / link) as unfinished:
        (unfinished / "file").touch()
    assert (tmp_path / link.replace("link", target) / "file").is_file() and (tmp_path / "link").is_symlink()
    assert not list(tmp_path.rglob(".*"))
    with pytest.raises(SopeduError, match="already exists and is not an empty folder"):
        require_new_folder(tmp_path / link)


def test_a_folder_that_may_not_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("sopedu.folders.os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(SopeduError, match=r"new: no folder can be made there, [^\n]* may not be written; choose"):
        require_new_folder(tmp_path / "new")


def test_a_folder_that_cannot_be_put_in_place_leaves_the_earlier_one(tmp_path, monkeypatch):
    write_json(tmp_path / "out" / "figures.json", 1)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name.endswith(".unfinished"):
            raise OSError(28, os.strerror(28))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(SopeduError, match="out: cannot be written"), folder_written_aside(tmp_path / "out", True):
        pass
    assert everything_in(tmp_path) == {"out", "out/figures.json"}


def test_a_file_is_never_replaced_by_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SopeduError, match="file: is a file"), folder_written_aside(tmp_path / "file", replace=True):
        raise AssertionError("nothing should be written")
    assert everything_in(tmp_path) == {"file"} and (tmp_path / "file").read_text() == "mine"
