"""Exercises: stubs are "not attempted", right answers in several styles pass, plausible wrong ones are refused."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from exercise_answers import RIGHT, WRONG
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import sopedu
from sopedu.lessons import exercises
from sopedu.lessons.exercises import judging
from sopedu.lessons.exercises.differences import difference

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHECK = re.compile(r"^exercises\.(check_\w+)\((\w+)\)$", re.MULTILINE)
SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>\s*```python\n(.*?)```.*?</details>", re.DOTALL)
HINT = re.compile(r"<details>\s*<summary>Hint</summary>.+?</details>", re.DOTALL)


def exercises_of(path: Path) -> list[Any]:
    """Every exercise of a notebook: its check, the learner's name, its stub and the text with hint and solution."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    setup = next(source for cell, source in zip(cells, sources, strict=True) if cell["cell_type"] == "code")
    return [
        pytest.param(setup, *match.groups(), source, sources[index + 1], id=f"{path.stem}-{match[1]}")
        for index, source in enumerate(sources)
        if cells[index]["cell_type"] == "code"
        for match in CHECK.finditer(source)
    ]


ALL = [exercise for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")) for exercise in exercises_of(path)]


def namespace_after(setup: str) -> dict[str, Any]:
    """The names that a notebook's set-up cell leaves behind, run as plain Python."""
    names: dict[str, Any] = {"plt": plt, "np": np}
    exec(re.sub(r"^%.*$", "", setup, flags=re.MULTILINE), names)
    return names


def verdict_on(code: str, check: str, answer: str, names: dict[str, Any]) -> exercises.Verdict:
    exec(code, names)
    return getattr(exercises, check)(names[answer])


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing has failed yet."""
    monkeypatch.setattr(judging, "_failures", {})


def small_trio(performers=3, seed=7, playing=(1,)):
    return sopedu.scene(performers, seed, playing=playing, size=16, samples=5512, times=(0.0,))


@pytest.mark.parametrize("setup, check, answer, stub, text", ALL)
def test_a_stub_is_not_attempted_and_the_solution_passes(setup, check, answer, stub, text):
    names = namespace_after(setup)
    verdict = verdict_on(CHECK.sub("", stub), check, answer, names)
    assert verdict.status == "not attempted", "a stub must not hold an answer"

    assert HINT.search(text), "hint and solution stand in the cell after the exercise"
    solutions = SOLUTION.findall(text)
    assert len(solutions) == 1
    verdict = verdict_on(solutions[0], check, answer, names)
    assert verdict.status == "pass", verdict


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setup, check, answer, stub, text", ALL)
def test_no_failure_tells_the_solution(setup, check, answer, stub, text):
    """Nor does its hint: what the solution computes, spaces and signs apart, stands in neither."""
    wrong = WRONG[check].values() if check in WRONG else [small_trio(seed=8), small_trio(playing=[2])]
    told = [
        repr(getattr(exercises, check)(attempt))
        for attempt in (*wrong, 17, lambda *arguments: 17, lambda *arguments: None)
        for _ in range(2)
    ]
    assert any("Hint: " in text for text in told)
    for line in SOLUTION.findall(text)[0].splitlines():
        code = re.sub(r"\W", "", line.strip().removeprefix("return "))
        if len(code) > 12 and not line.startswith("def "):
            assert [text for text in told if code in re.sub(r"\W", "", text)] == [], line


RIGHT_ANSWERS = [
    pytest.param(check, answer, id=f"{check.removeprefix('check_')}-{number}")
    for check, answers in RIGHT.items()
    for number, answer in enumerate(answers)
]
WRONG_ANSWERS = [
    pytest.param(check, answer, id=f"{check.removeprefix('check_')}-{words}")
    for check, answers in WRONG.items()
    for words, answer in answers.items()
]


def verdicts(check: str, answer: Any, monkeypatch) -> list[exercises.Verdict]:
    """With the shipped cases and with others: a verdict should not hang on the luck of one draw."""
    found = []
    for seed in range(2):
        monkeypatch.setattr(judging, "_SEED", seed)
        judging._failures.clear()
        found.append(getattr(exercises, check)(answer))
    return found


@pytest.mark.parametrize("check, answer", RIGHT_ANSWERS)
def test_right_answers_pass_in_every_style(check, answer, monkeypatch):
    for verdict in verdicts(check, answer, monkeypatch):
        assert verdict.status == "pass", verdict


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check, answer", WRONG_ANSWERS)
def test_plausible_wrong_answers_are_refused(check, answer, monkeypatch):
    for verdict in verdicts(check, answer, monkeypatch):
        assert verdict.status == "fail"
        assert not verdict.hint
        if check != "check_shapes":
            said = "expected .+, found |differ, the first |returns nothing|stopped with"
            assert re.search(said, verdict.message), verdict


def test_every_check_has_answers_of_both_kinds():
    checks = {name for name in exercises.__all__ if name.startswith("check_")} - {"check_trio"}
    assert checks == set(RIGHT) == set(WRONG)


def test_every_check_has_its_exercise_and_its_notebook():
    checks = {name: getattr(exercises, name).__doc__ for name in exercises.__all__ if name.startswith("check_")}
    used = {exercise.values[1]: exercise.id.split("-")[0] for exercise in ALL}
    assert set(used) == set(checks)
    assert [name for name, notebook in used.items() if notebook not in checks[name]] == []


@pytest.mark.parametrize(
    "answer, said",
    [
        ({"seed": 8}, "found other performers"),
        ({"performers": ["tuba", "erhu", "cello"]}, "found other performers: tuba, erhu, cello"),
        ({"playing": (2,)}, "found performer 2, counted from 0"),
        ({"playing": (0, 1)}, "found performer 0, counted from 0 and performer 1"),
        ({"playing": ()}, "found nobody"),
        ({"performers": 2}, "expected three performers, found 2"),
    ],
    ids=["seed", "named", "from 1", "two", "nobody", "duet"],
)
def test_another_scene_than_the_trio_is_refused(answer, said):
    verdict = exercises.check_trio(small_trio(**answer))
    assert verdict.status == "fail"
    assert said in verdict.message


def test_the_trio_passes_at_any_size():
    assert exercises.check_trio(small_trio()).status == "pass"
    assert exercises.check_trio(small_trio(playing=[np.int64(1)])).status == "pass"


# --- what a verdict says


def test_a_verdict_is_a_line_with_a_mark_and_a_word_also_as_html():
    for status, mark in (("pass", "✓"), ("fail", "✗"), ("not attempted", "○")):
        assert repr(exercises.Verdict(status, "text")) == f"{mark} {status}: text"
        assert f"{mark} {status}:</b> 1 &lt; 2" in exercises.Verdict(status, "1 < 2")._repr_html_()
    assert repr(exercises.Verdict("fail", "text", "look")) == "✗ fail: text\n  Hint: look"
    assert "<b>Hint:</b> look" in exercises.Verdict("fail", "text", "look")._repr_html_()


@pytest.mark.parametrize("answer", [..., {"frames": ...}, {"frames": ..., "stems": ...}], ids=["dots", "one", "two"])
def test_dots_are_not_attempted(answer):
    assert exercises.check_shapes(answer).status == "not attempted"
    assert exercises.check_trio(...).status == "not attempted"


@pytest.mark.parametrize("body", ["return ...", "return ..., ...", "...", "pass", "'Text.'", "# no code\n    pass"])
def test_only_a_stub_is_not_attempted(body):
    names: dict[str, Any] = {}
    exec(f"def stub(seconds, rate):\n    {body}", names)
    assert exercises.check_seconds_to_samples(names["stub"]).status == "not attempted"


@pytest.mark.parametrize(
    "body, said",
    [
        ("round(seconds * rate)", "your function returns nothing: is `return` missing?"),
        ("samples = round(seconds * rate)", "is `return` missing?"),
        ("print(seconds)", "is `return` missing?"),
        ("return seconds * wrong_name", "stopped with NameError: name 'wrong_name' is not defined"),
        ("return 'many'", "expected one number, found 'many'"),
        ("return [1, 2]", "expected one number, found 2 numbers: [1, 2]"),
        ("return [11025]", "expected one number, found a list of one number: [11025]"),
        ("return {'a': 1}", "expected one number, found {'a': 1}"),
        ("return 1e9", "expected 11025, found 1000000000"),
        ("return [[1], [1, 2]]", "expected one number, found [[1], [1, 2]]"),
        ("return seconds, ...", "expected one number, found (1.0, Ellipsis)"),
        ("return 1j", "expected real numbers, found complex ones: 1j"),
        ("return float('nan')", "expected 11025, found nan"),
        ("raise SystemExit", "stopped with SystemExit"),
    ],
)
def test_a_failure_says_for_which_arguments_what_was_expected_and_found(body, said):
    names: dict[str, Any] = {}
    exec(f"def to_samples(seconds, rate):\n    {body}", names)
    verdict = exercises.check_seconds_to_samples(names["to_samples"])
    assert verdict.status == "fail"
    assert verdict.message.startswith("to_samples(1.0, 11025): ")
    assert said in verdict.message


def test_an_error_is_told_with_its_line_and_its_arguments():
    def halves(seconds, rate):
        if seconds > 2:
            raise KeyError("no such rate")
        return round(seconds * rate)

    verdict = exercises.check_seconds_to_samples(halves)
    assert verdict.message == (
        "halves(2.5, 8000): stopped with KeyError: 'no such rate', in the line `raise KeyError(\"no such rate\")`."
    )
    assert "takes 0 positional arguments but 2 were given" in exercises.check_seconds_to_samples(lambda: 0).message


@pytest.mark.parametrize("answer", ["three", [1, 2], 7], ids=["word", "list", "number"])
def test_answers_of_another_kind_are_refused_kindly(answer):
    assert exercises.check_shapes(answer).status == "fail"
    assert exercises.check_trio(answer).status == "fail"
    assert exercises.check_dead_clips(answer).message.startswith("expected a function, found ")


def test_halves_may_be_rounded_both_ways_and_the_message_names_both():
    verdict = exercises.check_seconds_to_samples(lambda seconds, rate: int(seconds * rate + 0.5) + (seconds == 0.1))
    assert verdict.message.endswith("(0.1, 11025): expected 1102 or 1103, found 1104.")


def test_arrays_fail_with_the_first_number_that_differs():
    verdict = exercises.check_mix_by_hand(lambda waveforms, gains: gains @ waveforms)
    assert verdict.message == (
        "lambda([[1.0, -1.0, 0.5], [0.0, 1.0, 0.5]], [0.5, 1.0]): "
        "3 of 3 numbers differ, the first at position 0: expected 0.25, found 0.5."
    )
    verdict = exercises.check_power_shares(lambda sources: sources / sources.sum(0))
    assert "2 of 2 numbers differ, the first at [0, 0, 0]: expected 0.36, found 0.428571" in verdict.message


def test_shapes_and_short_lists_are_told():
    verdict = exercises.check_volume_map(lambda masks, magnitude: masks)
    assert "expected numbers in the shape (1, 2), found numbers in the shape (1, 2, 2, 3)" in verdict.message
    assert "expected [1], found [1, 2, 3]" in exercises.check_dead_clips(lambda clips: [1, 2, 3]).message


def test_the_parts_of_a_batch_are_told_by_name():
    wrong = WRONG["check_trios"]
    assert ".members: expected numbers in the shape (9, 3)" in exercises.check_trios(wrong["pairs"]).message
    assert exercises.check_trios(wrong["preset paper"]).message == (
        "mix_trios(Tensor of shape (9, 4), ndarray of shape (9,), Generator): "
        ".absent: expected numbers in the shape (9, 1), found numbers in the shape (9, 0)."
    )
    assert ".solos: " in exercises.check_trios(wrong["silence"]).message
    alone = exercises.check_trios(wrong["the sound alone"]).message
    assert "expected something that has `.members`, found Tensor of shape (9, 4)" in alone


def test_the_hint_comes_with_the_second_failure_of_the_same_exercise():
    def three(*arguments):
        return 3

    assert exercises.check_seconds_to_samples(three).hint == ""
    assert exercises.check_spectrogram_shape(three).hint == "", "another exercise"
    assert exercises.check_seconds_to_samples(lambda seconds, rate: ...).hint == ""
    assert exercises.check_seconds_to_samples(three).hint.startswith("a sample rate of 11025 means")
    assert exercises.check_seconds_to_samples(three).hint, "it stays"
    assert exercises.check_seconds_to_samples(lambda seconds, rate: round(seconds * rate)).status == "pass"
    assert exercises.check_seconds_to_samples(three).hint == "", "solved once: it begins anew"
    assert not exercises.check_shapes({}).hint
    assert exercises.check_shapes({}).hint.endswith("corners?"), "a question keeps its mark, without a full stop"


def test_rounding_errors_of_a_check_read_as_zero():
    message = exercises.check_best_real_mask(lambda source, mixture: source.abs() / mixture.abs()).message
    assert message.endswith("the first at position 1: expected 0, found 1.")


@pytest.mark.parametrize("check", ["check_same_class_mixtures", "check_dead_clips"])
def test_a_failure_shows_the_numbers_that_it_failed_with(check):
    for answer in WRONG[check].values():
        assert " of shape " not in getattr(exercises, check)(answer).message


# --- what a learner's code cannot do


def test_what_is_done_to_the_arguments_does_not_change_what_is_expected():
    def spoils(waveforms, gains):
        waveforms.zero_()
        gains.fill_(1)
        return waveforms.sum(0)

    message = exercises.check_mix_by_hand(spoils).message
    assert message.startswith("spoils([[1.0, -1.0, 0.5], [0.0, 1.0, 0.5]], [0.5, 1.0]): ")
    assert "expected 0.25, found 0" in message


def test_what_a_function_prints_is_shown_once_and_not_without_an_end(capsys):
    def talks(seconds, rate):
        print("seconds:", seconds)
        return round(seconds * rate) + (seconds == 2.5)

    exercises.check_seconds_to_samples(talks)
    assert capsys.readouterr().out == "seconds: 2.5\n\n", "of the call that is wrong"

    def babbles(seconds, rate):
        while True:
            print("again")

    assert "stopped with RuntimeError: it prints without an end" in exercises.check_seconds_to_samples(babbles).message
    assert len(capsys.readouterr().out) < 1100


def test_a_generator_without_an_end_is_cut():
    message = exercises.check_dead_clips(lambda clips: itertools.count()).message
    assert "expected [1], found 10000 numbers" in message


@pytest.mark.filterwarnings("ignore")
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=2), inner, max_size=2)
        ),
        max_leaves=6,
    )
    | arrays(
        st.sampled_from([np.float32, np.int8, bool, np.complex64]), array_shapes(min_dims=0, min_side=0, max_side=4)
    )
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_returned_a_verdict_comes_back(answer):
    for check in (exercises.check_sizes_down, exercises.check_honest_mean, exercises.check_diagnosis):
        verdict = check(lambda *arguments: answer)
        assert verdict.status == "fail"
        assert len(verdict.message) < 400
    assert exercises.check_shapes(answer).status == "fail"


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6)), st.data())
@settings(max_examples=100, deadline=None)
def test_the_difference_of_arrays_is_found_where_it_is(wanted, data):
    where = tuple(data.draw(st.integers(0, side - 1)) for side in wanted.shape)
    found = wanted.copy()
    found[where] += 1 + abs(wanted[where])
    assert difference(wanted.tolist(), wanted, 1e-6) == difference(torch.from_numpy(wanted), wanted, 1e-6) == ""
    text = difference(found, wanted, 1e-6)
    position = f"at position {where[0]}:" if wanted.ndim == 1 else f"at {list(where)}:"
    assert text.startswith(f"1 of {wanted.size} numbers differ, the first {position} expected ")
