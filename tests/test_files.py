"""Files and folders: what is unfinished never lies under its name, and two runs never share a folder."""

from __future__ import annotations

import ast
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
from sopedu.files import require_file, write_json, write_tensors, written_aside
from sopedu.folders import require_new_folder
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


def test_json_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SopeduError, match="cannot be written"):
        write_json(tmp_path / "file" / "figures.json", {})


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


def test_files_and_folders_are_renamed_in_one_module_each():
    renaming = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and (node.attr in ("rename", "move") or ast.unparse(node) in ("os.replace", "os.rename", "tempfile.mkstemp"))
    }
    assert renaming == {"files.py", "folders.py"}
