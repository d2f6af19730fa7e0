"""``make gpu-check`` tried on the CPU, at the smallest sizes: what it reports, what it finds, what stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import PartialState

from sopedu.training import loop as training
from sopedu.training import loss, snapshot
from tools.gpu_check import __main__ as gpu_check
from tools.gpu_check import correct as gpu_correct
from tools.gpu_check.__main__ import SECTIONS, Section, main, run_check

ROOT = Path(__file__).parents[2]
NOT_THERE = ("av", "librosa", "mir_eval", "soundfile", "matplotlib", "typer", "IPython", "ipywidgets", "anywidget")


_BARE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from tools.gpu_check.__main__ import main
sys.exit(main(["--device", "cpu", "--out", {out!r}]))
"""


@pytest.fixture(scope="module", autouse=True)
def on_the_cpu(one_thread, own_cache):
    """Also on a machine with a GPU, where trainings would take it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        patch.setenv("OMP_NUM_THREADS", "1")
        PartialState._reset_state()
        yield
    PartialState._reset_state()


def only(monkeypatch: pytest.MonkeyPatch, **sections: Section) -> None:
    monkeypatch.setattr(gpu_check, "SECTIONS", sections)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> dict:
    """Of a whole check where only what training needs is installed; ``said`` is what it printed."""
    out = tmp_path_factory.mktemp("check") / "new" / "gpu_check.json"
    code = _BARE.format(names=NOT_THERE, out=str(out))
    quiet = os.environ | {"TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [*out.parent.iterdir()] == [out]
    return json.loads(out.read_text(encoding="utf-8")) | {"said": done.stdout.splitlines()}


def test_the_file_names_the_machine_and_every_check(report):
    assert {"sopedu", "commit", "date", "device", "card", "driver", "torch", "cuda", "cudnn"} <= set(report)
    assert (report["result"], report["device"], report["card"]) == ("ok", "cpu", None)
    assert report["torch"] == torch.__version__ and list(report["sections"]) == list(SECTIONS)
    for name, section in SECTIONS.items():
        found = report["sections"][name]
        assert found["result"] == ("skipped" if section.gpu_only else "ok"), (name, found)
        assert found["line"] == "needs a GPU" if section.gpu_only else found["figures"], name
        assert all(set(one) == {"value", "unit"} and one["unit"] for one in found["figures"].values()), name


def test_every_check_is_announced_with_the_time_left(report):
    for name in SECTIONS:
        line = next(line for line in report["said"] if line.endswith(f"{name} …"))
        assert line.startswith("[") and " of 10:00, " in line and " left] " in line


def test_figures_are_those_that_the_sections_promise(report):
    figures = {name: found["figures"] for name, found in report["sections"].items()}
    assert len(figures["losses"]["tiny_bf16_losses"]["value"]) == 10
    assert 0 < figures["losses"]["tiny_bf16_from_float32"]["value"] < 2
    assert figures["synchronisations"]["tiny_values_read_back"] == {"value": 0.0, "unit": "per step"}
    # On one machine with one number of threads a resumed run is equal bit for bit (tests/training/test_resume.py).
    assert figures["resume"]["tiny_float32_resumed"]["value"] == 0.0
    speed = {name: figure["value"] for name, figure in figures["speed"].items()}
    for name in ("mixtures_per_second", "loader_mixtures_per_second", "step_mixtures_per_second", "matrix_tflops"):
        assert speed[f"float32_{name}"] > 0
    assert 0 < speed["float32_share_of_matrix_rate"] < 1


def failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> str:
    """The line of a check that has to fail; the one after it runs all the same, and the exit status says so."""
    after = Section(lambda check, place: "ran")
    only(monkeypatch, **{name: SECTIONS[name], "after": after})
    out = tmp_path / "figures.json"
    assert main(["--device", "cpu", "--out", str(out)]) == 1
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["result"] == found["sections"][name]["result"] == "failed"
    assert found["sections"]["after"]["result"] == "ok" and found["sections"]["after"]["line"] == "ran"
    return found["sections"][name]["line"]


def test_losses_that_are_not_finite_are_found(monkeypatch, tmp_path):
    def spoiled(*given):
        value, mixtures = loss.mixture_loss(*given)
        return value * torch.nan, mixtures

    monkeypatch.setattr(training, "mixture_loss", spoiled)
    assert "tiny float32: a loss is not finite" in failed(monkeypatch, tmp_path, "losses")


def test_bf16_that_differs_from_float32_is_found(monkeypatch, tmp_path):
    def worse(*given):
        value, mixtures = loss.mixture_loss(*given)
        return value * (1.03 if torch.is_autocast_enabled("cpu") else 1.0), mixtures

    monkeypatch.setattr(training, "mixture_loss", worse)
    assert "tiny_bf16: losses differ from float32's by " in failed(monkeypatch, tmp_path, "losses")


def test_a_step_that_reads_a_value_back_is_found_with_its_line(monkeypatch, tmp_path):
    mask_loss = loss.mask_loss
    monkeypatch.setattr(loss, "mask_loss", lambda logits, *rest: mask_loss(logits * (logits.amax().item() ** 0), *rest))
    line = failed(monkeypatch, tmp_path, "synchronisations")
    assert "tiny: 1 values read back per step: _local_scalar_dense at loss.py:" in line


def test_a_training_that_does_not_go_on_as_it_was_is_found(monkeypatch, tmp_path):
    def forgetful(optimizer, tensors):
        restore(optimizer, {name: torch.zeros_like(value) for name, value in tensors.items()})

    restore = snapshot.restore_optimizer
    monkeypatch.setattr(snapshot, "restore_optimizer", forgetful)
    assert "tiny_float32: resumed differs by " in failed(monkeypatch, tmp_path, "resume")


def test_places_that_answer_otherwise_are_found(monkeypatch, tmp_path):
    class Wrong(gpu_correct.PixelSounds):
        def separate(self, place, pooling=None, frame=None):
            contiguous = next(self.model.frame_net.parameters()).is_contiguous()
            return super().separate(place, pooling, frame) + (0.01 if contiguous else 0)

    monkeypatch.setattr(gpu_correct, "PixelSounds", Wrong)
    assert "sound_of_a_point: differs by 0.01" in failed(monkeypatch, tmp_path, "queries")


def test_an_error_in_a_check_is_told_and_kept(monkeypatch, tmp_path):
    def broken(check, place):
        check.figure("before", 1.5, "steps")
        raise RuntimeError("CUDA error:\nan illegal memory access")

    only(monkeypatch, broken=Section(broken))
    found = run_check(tmp_path / "figures.json", "cpu", say=lambda _: None)["sections"]["broken"]
    assert found["line"] == "RuntimeError: CUDA error: an illegal memory access" and "in broken" in found["traceback"]
    assert found["figures"] == {"before": {"value": 1.5, "unit": "steps"}}


def test_a_part_that_fails_does_not_stop_the_other_parts(monkeypatch, tmp_path):
    def two_parts(check, place):
        with check.part("tiny"):
            raise torch.OutOfMemoryError("CUDA out of memory")
        with check.part("paper"):
            check.figure("paper_loss", 0.5, "loss")
        return "never said"

    only(monkeypatch, parts=Section(two_parts))
    found = run_check(tmp_path / "figures.json", "cpu", say=lambda _: None)["sections"]["parts"]
    assert (found["result"], found["line"]) == ("failed", "tiny: OutOfMemoryError: CUDA out of memory")
    assert list(found["figures"]) == ["paper_loss"]


def test_the_time_that_was_given_stops_a_check_and_those_after_it(monkeypatch, tmp_path):
    def endless(check, place):
        check.figure("before", float("nan"), "loss")
        while True:
            pass

    after = Section(lambda check, place: pytest.fail("there is no time for it"))
    only(monkeypatch, endless=Section(endless), after=after, compiled=SECTIONS["compiled"])
    out = tmp_path / "figures.json"
    assert main(["--device", "cpu", "--minutes", "0.02", "--out", str(out)]) == 1
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [one["result"] for one in found["sections"].values()] == ["out of time", "out of time", "skipped"]
    assert found["result"] == "out of time" and found["sections"]["endless"]["figures"]["before"]["value"] == "nan"


def test_without_a_gpu_there_is_one_line_and_no_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "figures.json"
    assert main(["--out", str(out)]) == 2 and not out.exists()
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("sopedu: torch ") and "finds no GPU" in said.err and "--device cpu" in said.err


def test_a_file_that_cannot_be_written_is_said_before_anything_runs(monkeypatch, tmp_path, capsys):
    only(monkeypatch, never=Section(lambda check, place: pytest.fail("the file cannot be written")))
    assert main(["--device", "cpu", "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
