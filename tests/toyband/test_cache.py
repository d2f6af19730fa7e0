"""Rendered sets: made by any script, however it was started, and without a cache where none can be kept."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from sopedu.config import preset, with_values
from sopedu.data.opening import open_clips
from sopedu.shipped import cache_folder
from sopedu.toyband import cache
from sopedu.toyband.cache import SetDescription, rendered_set

SET = SetDescription("train", solos=3, empty=0, samples=500, times=(0.0,), size=16)
# No main guard, and more solos than one process is given at a time: two processes are started.
SCRIPT = """
from sopedu.toyband.cache import SetDescription, rendered_set

print("begin")
made = rendered_set(SetDescription("train", 40, 0, 500, (0.0,), 16), workers=2, progress=False)
print(made.frames.shape)
"""


@pytest.mark.parametrize("how", ["script", "standard input"])
def test_a_script_without_a_main_guard_renders_with_a_cold_cache(tmp_path, how):
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = {"script": "script.py", "standard input": "-"}[how]
    environment = os.environ | {
        "SOPEDU_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path(cache.__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
        input=SCRIPT if how == "standard input" else None,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "begin\n(40, 1, 16, 16, 3)\n", "")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_helper_process_renders_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    here = cache.multiprocessing.current_process()
    monkeypatch.setattr(here, "_inheriting", True, raising=False)  # as in a process that still imports a script
    monkeypatch.setattr(cache, "ProcessPoolExecutor", None)
    assert len(rendered_set(SET, workers=2, progress=False).labels) == 3


def test_when_a_process_is_lost_the_rest_is_rendered_here(tmp_path, monkeypatch):
    class Lost:
        def __init__(self, *_, **__): ...

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def map(self, work, descriptions, numbers, chunksize):
            yield work(SET, 0)
            raise cache.BrokenProcessPool

    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "one"))
    expected = rendered_set(SET, progress=False)
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(cache, "ProcessPoolExecutor", Lost)
    found = rendered_set(SET, workers=2, progress=False)
    assert all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in ("waveforms", "frames"))


def test_rendering_says_how_far_it_is_and_can_be_ended(tmp_path, monkeypatch):
    class Ended(Exception):
        pass

    def end(share):
        if share > 0.5:
            raise Ended

    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    with pytest.raises(Ended):
        rendered_set(SET, progress=False, watch=end)
    assert list(tmp_path.iterdir()) == []
    shares = []
    rendered_set(SET, progress=False, watch=shares.append)
    assert shares == [0, 1 / 3, 2 / 3, 1]


def test_a_share_of_the_solos_is_plain(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    many = replace(SET, solos=66, samples=4000)
    lifelike, plain, some = (
        rendered_set(kind, progress=False)
        for kind in (many, replace(many, properties=()), replace(many, plain_share=0.4))
    )
    is_plain = (some.waveforms == plain.waveforms).all(1)
    assert 15 <= is_plain.sum() <= 38  # of 66, 26 expected, standard deviation 4
    assert not (lifelike.waveforms == plain.waveforms).all(1).any()
    for kind, mine in ((plain, is_plain), (lifelike, ~is_plain)):
        assert np.array_equal(some.waveforms[mine], kind.waveforms[mine])
        assert np.array_equal(some.frames[mine], kind.frames[mine])  # they move to other phrases
    assert len(set(some.labels[is_plain])) >= 8  # of all instruments, not only of some


def test_only_training_has_plain_solos(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path))
    config = with_values(preset("tiny"), ["toyband.solos=8", "toyband.empty_scenes=0", "toyband.plain_share=1"])
    plain = with_values(config, ["toyband.properties=", "toyband.plain_share=0"])
    usual = with_values(config, ["toyband.plain_share=0"])
    for split, expected in {"train": plain, "validation": usual}.items():
        sounds = [open_clips("toyband", chosen, split, 8).rendered.waveforms for chosen in (config, expected)]
        assert np.array_equal(*sounds)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def unserializable(*_):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("fault", ["a file", "below a file", "full", "full in safetensors", "nobody's home"])
def test_where_nothing_can_be_kept_the_work_goes_on_with_one_note(tmp_path, monkeypatch, capsys, fault):
    (tmp_path / "file").touch()
    below = {"a file": "file", "below a file": "file/cache"}.get(fault, "cache")
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / below))
    monkeypatch.setattr(cache, "_NOTED", set())
    if fault == "nobody's home":
        for name in ("SOPEDU_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home")))
        assert cache_folder() is None
    elif fault.startswith("full"):
        monkeypatch.setattr("safetensors.numpy.save_file", unserializable if "safetensors" in fault else full)
    for _ in range(2):
        assert rendered_set(SET, progress=False).frames.shape == (3, 1, 16, 16, 3)
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1 and notes[0].startswith("note: rendered solos cannot be kept for the next time (")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["file"]
