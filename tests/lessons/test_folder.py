"""A learner's folder: complete, with links that hold; what a learner changed stays, what is newer is added."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from links import LINK, broken_links

from sopedu.errors import SopeduError
from sopedu.lessons import folder as lessons

FIRST = "notebooks/00_start_here.ipynb"


@pytest.fixture
def course(tmp_path) -> Path:
    lessons.copy_lessons(tmp_path / "course")
    return tmp_path / "course"


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("latin-1") for path in folder.rglob("*") if path.is_file()}


def newer(monkeypatch, **texts: str) -> None:
    """Let sopedu ship other texts of some notebooks."""
    sources = lessons._sources()
    sources |= {f"notebooks/{stem}.ipynb": text.encode() for stem, text in texts.items()}
    monkeypatch.setattr(lessons, "_sources", lambda: sources)


def test_copies_are_complete_and_their_links_hold(tmp_path):
    copied = lessons.copy_lessons(tmp_path / "course")
    assert {*copied, tmp_path / "course" / ".sopedu.json"} == {
        path for path in (tmp_path / "course").rglob("*") if path.is_file()
    }
    notebooks, links = [path for path in copied if path.suffix == ".ipynb"], 0
    assert copied[0] == tmp_path / "course" / "duet.mp4" and len(notebooks) >= 14
    for path in notebooks:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        assert broken_links(path, text) == [] and "](../sopedu/" not in text
        links += len(LINK.findall(text))
    assert links > 100


def test_no_notebook_reads_a_file_beside_its_folder():
    """Else it would run in a checkout only: shipped files are found by name."""
    for name, source in lessons._sources().items():
        if name.endswith(".ipynb"):
            for cell in json.loads(source)["cells"]:
                if cell["cell_type"] == "code":
                    assert not re.search(r"""["'](\.\.|data_samples|docs|notebooks|tools)/""", "".join(cell["source"]))


def test_where_nothing_is_new_nothing_is_written(course):
    (course / FIRST).write_text("my work")
    (course / "my own.ipynb").write_text("mine too")
    before = files(course)
    assert lessons.copy_lessons(course) == []
    assert files(course) == before


def test_a_file_that_was_deleted_comes_back(course):
    text = (course / FIRST).read_text()
    (course / FIRST).unlink()
    assert lessons.copy_lessons(course) == [course / FIRST]
    assert (course / FIRST).read_text() == text


def test_a_newer_version_is_put_beside_what_was_changed_and_replaces_what_was_not(course, monkeypatch, tmp_path):
    changed, untouched, new = "00_start_here", "01_sound_and_spectrograms", "99_new"
    (course / FIRST).write_text("my work")
    newer(monkeypatch, **{changed: "second", untouched: "second", new: "second"})
    beside = course / "notebooks" / f"{changed}.new.ipynb"
    replaced = [course / "notebooks" / f"{stem}.ipynb" for stem in (untouched, new)]
    assert sorted(lessons.copy_lessons(course)) == sorted([beside, *replaced])
    assert (course / FIRST).read_text() == "my work"
    assert [path.read_text() for path in (beside, *replaced)] == ["second"] * 3
    assert lessons.copy_lessons(course) == [], "told once"

    beside.write_text("my work on the second")
    newer(monkeypatch, **{changed: "third"})
    third = beside.with_name(f"{changed}.new-2.ipynb")
    assert lessons.copy_lessons(course) == [third]
    assert [path.read_text() for path in (course / FIRST, beside, third)] == [
        "my work",
        "my work on the second",
        "third",
    ]


@pytest.mark.parametrize("memory", [None, "{", "[]"], ids=["none", "damaged", "something else"])
def test_without_a_memory_all_that_is_there_is_the_learners(course, monkeypatch, tmp_path, memory):
    """As in a folder of an earlier version, or in a checkout."""
    (course / ".sopedu.json").unlink()
    if memory is not None:
        (course / ".sopedu.json").write_text(memory)
    newer(monkeypatch, **{"00_start_here": "second"})
    before = (course / FIRST).read_text()
    assert lessons.copy_lessons(course) == []
    assert (course / FIRST).read_text() == before


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SopeduError, match=r"holds other files and no lessons; name a new folder, such as .*lessons"):
        lessons.copy_lessons(tmp_path)
    assert files(tmp_path) == {"thesis.tex": "years of work"}


def test_lab_runs_in_the_folder_with_this_python_and_gives_its_status(course, monkeypatch):
    assert lessons._lab_command() == [sys.executable, "-m", "jupyterlab", FIRST]
    program = "import os, sys; open('seen', 'w').write(os.getcwd()); sys.exit(3)"
    monkeypatch.setattr(lessons, "_lab_command", lambda: [sys.executable, "-c", program])
    assert lessons.open_lab(course) == 3
    assert Path((course / "seen").read_text()).samefile(course)


def test_an_interrupt_is_left_to_lab(course, monkeypatch):
    """Ctrl-C reaches both processes; this one waits until JupyterLab has ended."""
    program = f"import os, signal; os.kill({os.getpid()}, signal.SIGINT); open('asked', 'w').write('y')"
    monkeypatch.setattr(lessons, "_lab_command", lambda: [sys.executable, "-c", program])
    before = signal.getsignal(signal.SIGINT)
    assert lessons.open_lab(course) == 0
    assert (course / "asked").exists() and signal.getsignal(signal.SIGINT) is before


def test_lab_ends_when_this_process_is_told_to_end(course, monkeypatch):
    class Told:
        ended = False

        def wait(self):
            raise SystemExit(143)

        def poll(self):
            return None

        def terminate(self):
            self.ended = True

    process = Told()
    monkeypatch.setattr(lessons.subprocess, "Popen", lambda *_, **__: process)
    with pytest.raises(SystemExit):
        lessons.open_lab(course)
    assert process.ended


def test_what_is_missing_is_named_with_what_to_do(monkeypatch):
    lessons.require_lab()
    monkeypatch.setattr(lessons, "find_spec", lambda name: None if name in ("jupyterlab", "anywidget") else name)
    with pytest.raises(SopeduError, match=r"jupyterlab and anywidget: not installed .*sopedu\[notebooks\].*--no-open"):
        lessons.require_lab()
