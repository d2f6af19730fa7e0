"""The command lessons: a new folder, one with a learner's work, and JupyterLab as a stand-in."""

from __future__ import annotations

import pytest
from command import sopedu

from sopedu.lessons import folder


@pytest.fixture(autouse=True)
def opened(tmp_path, monkeypatch) -> list[str]:
    """Folders in which JupyterLab was opened; the tests run in an empty one."""
    names = list[str]()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "open_lab", lambda path: names.append(str(path)) or 0)
    return names


def test_a_new_folder_is_filled_and_opened(opened, tmp_path):
    status, out, err = sopedu("lessons course")
    assert (status, err, opened) == (0, "", ["course"])
    count = sum(path.is_file() for path in (tmp_path / "course").rglob("*")) - 1  # without .sopedu.json
    assert out.splitlines()[0] == f"{count} files in course" and "JupyterLab opens in course" in out


def test_a_folder_with_lessons_is_opened_and_told_what_is_new(opened, tmp_path):
    sopedu("lessons course --no-open")
    assert opened == []
    mine = tmp_path / "course" / "notebooks" / "00_start_here.ipynb"
    mine.write_text("my work")
    (tmp_path / "course" / "duet.mp4").unlink()
    status, out, _ = sopedu("lessons course")
    assert status == 0 and opened == ["course"] and mine.read_text() == "my work"
    assert [line for line in out.splitlines() if line.startswith("new: ")] == ["new: course/duet.mp4"]
    assert "new: " not in sopedu("lessons course")[1]


def test_without_opening_the_next_commands_are_said(opened):
    status, out, _ = sopedu("lessons course --no-open")
    assert status == 0 and opened == []
    assert "jupyter lab course/notebooks/00_start_here.ipynb" in out and "sopedu separate course/duet.mp4" in out


def test_without_jupyterlab_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(folder, "find_spec", lambda name: None)
    status, out, err = sopedu("lessons course")
    assert status == 2 and out == "" and "sopedu: jupyterlab" in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert sopedu("lessons course --no-open")[0] == 0


def test_the_status_of_jupyterlab_is_given_on(monkeypatch):
    monkeypatch.setattr(folder, "open_lab", lambda path: 1)
    assert sopedu("lessons course")[0] == 1


def test_a_folder_that_may_not_be_written_is_one_line(monkeypatch, opened):
    monkeypatch.setattr("sopedu.folders.os.access", lambda *_: False)
    status, _, err = sopedu("lessons course")
    assert status == 2 and "may not be written; choose another folder" in err and err.count("\n") == 1 and opened == []
