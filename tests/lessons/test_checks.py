"""Checks of a notebook's figures: a learner reads a line, a test of the shipped notebook fails."""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat
import pytest

from sopedu.lessons import check, compare


@pytest.fixture
def learner(monkeypatch):
    """Outside pytest, as in somebody's JupyterLab."""
    monkeypatch.delenv("PYTEST_VERSION")


def test_the_same_figure_says_nothing(capsys):
    compare("the SDR", 11.1, 11.1, (9, 13), "dB")
    compare("the SDR", 11.1001, 11.1, (9, 13), "dB")
    check(True, "it fails")
    assert capsys.readouterr().out == ""


def test_another_figure_in_the_range_is_fine(capsys):
    compare("the SDR", 9.8, 11.1, (9, 13), "dB", "never said")
    assert capsys.readouterr().out == "the SDR: yours is 9.8 dB, we found 11.1 dB. That is fine: 9 to 13 dB is usual.\n"


@pytest.mark.parametrize("yours, said", [(-2.5, "−2.5"), (float("nan"), "nan"), (float("inf"), "inf"), (14, "14")])
def test_outside_the_range_a_learner_reads_why(learner, capsys, yours, said):
    compare("the SDR", yours, 11.1, (9, 13), "dB", "is the seed one of 0 to 4?")
    assert capsys.readouterr().out == (
        f"⚠ the SDR: yours is {said} dB, we found 11.1 dB. Worth a look: 9 to 13 dB is usual"
        " (is the seed one of 0 to 4?).\n"
    )


def test_a_claim_that_does_not_hold_is_told(learner, capsys):
    check(False, "the mask is empty", "the threshold is high")
    assert capsys.readouterr().out == "⚠ worth a look: the mask is empty (the threshold is high).\n"


def test_under_pytest_both_are_errors():
    with pytest.raises(AssertionError, match="yours is 5 dB"):
        compare("the SDR", 5, 11.1, (9, 13), "dB")
    with pytest.raises(AssertionError, match="the mask is empty"):
        check(False, "the mask is empty")


def test_a_range_without_our_own_figure_is_refused(learner):
    with pytest.raises(AssertionError, match="ours, 8, must lie"):
        compare("the SDR", 9.5, 8, (9, 13), "dB")


@pytest.mark.parametrize("seed, passes", [(0, True), (1, False)])
def test_a_notebook_with_a_wrong_figure_fails_in_nbval_but_runs_for_a_learner(tmp_path, monkeypatch, seed, passes):
    source = f"from sopedu.lessons import compare\ncompare('the figure', {seed}, ours=0, fine=(-0.5, 0.5))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    (tmp_path / "lesson.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    done = subprocess.run([*command, "lesson.ipynb"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == passes, done.stdout
    monkeypatch.delenv("PYTEST_VERSION")
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert ("Worth a look" in run.stdout) == (not passes)
