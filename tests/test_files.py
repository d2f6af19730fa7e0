"""Files and folders: what is unfinished never lies under its name, and two runs never share a folder."""

from __future__ import annotations

import ast
import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import sopedu
from sopedu.audio.soundfiles import save_waveform
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.files import (
    folder_written_aside,
    new_run_folder,
    next_free_folder,
    require_file,
    require_new_folder,
    write_json,
    write_tensors,
    written_aside,
)
from sopedu.lessons.folder import copy_lessons
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.objects.toyband_detector import ToyBandDetector, ToyBandNet, save_toyband_detector
from sopedu.plots import save_figure
from sopedu.toyband.export import contact_sheet, render_dataset
from sopedu.training.callbacks import JsonLinesHistory
from sopedu.training.resume import State, save_state
from sopedu.video.writing import write_video
from tools.warm_start import save_warm_start

PACKAGE = Path(sopedu.__file__).parent


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("use", [require_file, require_new_folder])
def test_a_name_that_no_system_takes_is_one_line(tmp_path, use):
    with pytest.raises(SopeduError) as caught:
        use(tmp_path / ("x" * 5000))
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 500


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "kept.wav"
    path.write_bytes(b"whole")
    with pytest.raises(RuntimeError), written_aside(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"whole"
    with pytest.raises(SopeduError, match=r"kept\.wav: cannot be written \(No space left"), written_aside(path):
        raise OSError(28, os.strerror(28))
    assert path.read_bytes() == b"whole" and everything_in(tmp_path) == {"kept.wav"}


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


def test_json_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SopeduError, match="cannot be written"):
        write_json(tmp_path / "file" / "figures.json", {})


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
    monkeypatch.setattr("sopedu.files.os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(SopeduError, match=r"new: no folder can be made there, [^\n]* may not be written; choose"):
        require_new_folder(tmp_path / "new")


@contextmanager
def full_disk() -> Iterator[None]:
    """Let every write beyond the first 20 bytes of a file fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def model() -> SoundOfPixels:
    return SoundOfPixels(with_values(preset("tiny"), ["model.frame_weights=none"])).eval()


#: What is written → how; what replaces an earlier one of its name comes first.
REPLACING: dict[str, Callable[[Path], object]] = {
    "json": lambda folder: write_json(folder / "new" / "figures.json", list(range(99))),
    "tensors": lambda folder: write_tensors(folder / "new" / "one.safetensors", {"weight": torch.zeros(99)}),
    "arrays": lambda folder: write_tensors(folder / "new" / "one.safetensors", {"weight": np.zeros(99)}),
    "checkpoint": lambda folder: save_checkpoint(folder / "new" / "model", Checkpoint(model(), ("tuba",))),
    "state of a training": lambda folder: save_state(folder / "resume", State(3, {"weight": torch.zeros(99)}, {})),
    "warm start": lambda folder: save_warm_start(model().frame_net, folder / "new" / "small.safetensors"),
    "history": lambda folder: JsonLinesHistory(folder / "new" / "history.jsonl").on_start(
        SimpleNamespace(step=0, history=[{"step": 1, "loss": 0.123456789}])
    ),
    "sound": lambda folder: save_waveform(folder / "one.wav", np.zeros(99), 11025),
    "video": lambda folder: write_video(folder / "one.mp4", np.zeros((2, 32, 32, 3), np.uint8), 2),
    "figure": lambda folder: save_figure(folder / "new" / "one.png", Figure(figsize=(1, 1))),
    "contact sheet": lambda folder: contact_sheet(folder / "sheet.png", individuals=1, size=16),
}
NEW: dict[str, Callable[[Path], object]] = {
    "detector": lambda folder: save_toyband_detector(folder / "new", ToyBandDetector(ToyBandNet()), {}),
    "data set": lambda folder: render_dataset(folder / "new", 1, seconds=0.5, size=16, progress=False),
    "lessons": lambda folder: copy_lessons(folder / "new"),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", [*REPLACING, *NEW])
def test_a_full_disk_leaves_no_unfinished_file_of_any_kind(tmp_path, kind):
    write = (REPLACING | NEW)[kind]
    with pytest.raises(SopeduError, match="cannot be written"), full_disk():
        write(tmp_path)
    assert contents(tmp_path) == {}
    if kind in REPLACING:
        write(tmp_path)
        before = contents(tmp_path)
        assert before
        with pytest.raises(SopeduError, match="cannot be written"), full_disk():
            write(tmp_path)
        assert contents(tmp_path) == before


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


def test_files_are_renamed_in_one_module_only():
    renaming = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (node.attr in ("rename", "move") or ast.unparse(node) in ("os.replace", "os.rename", "tempfile.mkstemp"))
    }
    assert renaming == {"files.py"}
