"""The checklist of the final project: ticks follow from files and values, and an error leaves a task open."""

from __future__ import annotations

import pytest

from sopedu.errors import SopeduError
from sopedu.lessons import Checklist


def test_ticks_follow_from_values_files_and_functions(tmp_path):
    written, empty = tmp_path / "page.html", tmp_path / "empty.html"
    written.write_text("a page")
    empty.touch()
    tasks = Checklist()
    cases = [True, False, written, empty, tmp_path / "missing.html", tmp_path, lambda: 3 > 2, lambda: 3 > 4]
    for number, done in enumerate(cases):
        tasks.add(f"task {number}", done, "do it")
    assert [task.done for task in tasks.tasks] == [True, False, True, False, False, False, True, False]
    assert tasks.open == ["task 1", "task 3", "task 4", "task 5", "task 7"]
    lines = repr(tasks).splitlines()
    assert lines[:2] == ["✓ task 0", "○ task 1: do it"] and lines[-1] == "3 of 8 are done."


def test_an_error_leaves_a_task_open_and_is_named():
    tasks = Checklist()
    tasks.add("separated", lambda: result["sounds"], "run the cells above")  # noqa: F821
    assert tasks.open == ["separated"]
    assert repr(tasks).startswith("○ separated: run the cells above (NameError: name 'result' is not defined)")


def test_a_task_is_not_counted_twice():
    tasks = Checklist()
    tasks.add("separated", True, "separate it")
    with pytest.raises(SopeduError, match="has a task 'separated'"):
        tasks.add("separated", True, "separate it")
