"""Ratings by ear: answers find their conditions, raters are screened, intervals are those of theory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sopedu.errors import SopeduError
from sopedu.evaluation import evaluate_ratings, ratings_table, read_ratings

CONDITIONS = ("reference", "mixture", "model")
TRIALS = 20
HEAD = "sheet,rater,trial,place,sound,score,seconds\n"


@pytest.fixture
def key(tmp_path) -> Path:
    trials = {
        f"t{t}": {"about": "", "sounds": {f"s{t}{c}": name for c, name in enumerate(CONDITIONS)}} for t in range(TRIALS)
    }
    path = tmp_path / "page.key.json"
    path.write_text(
        json.dumps({"sheet": "sheet-1", "conditions": {c: f"the {c}" for c in CONDITIONS}, "trials": trials})
    )
    return path


def answers(folder: Path, rater: str, scores: np.ndarray, trials: int = TRIALS) -> Path:
    """Write a file of answers; scores are (trials, 3)."""
    lines = [
        f"sheet-1,{rater},t{t},{c + 1},s{t}{c},{scores[t][c]:g},9\n"
        for t in range(trials)
        for c in range(len(CONDITIONS))
    ]
    path = folder / f"{rater}.csv"
    path.write_text(HEAD + "".join(lines))
    return path


def constant(*scores: float) -> np.ndarray:
    return np.tile(np.array(scores, float), (TRIALS, 1))


def test_answers_find_their_conditions_in_any_order(key, tmp_path):
    path = answers(tmp_path, "ada", constant(100, 20, 60))
    head, *lines = path.read_text().splitlines()
    path.write_text("\ufeff" + "\r\n".join([head, *np.random.default_rng(0).permutation(lines)]).replace(",", ";"))
    found = read_ratings([path], key)
    assert found.raters == ("ada",) and np.array_equal(found.scores[0], constant(100, 20, 60))


def test_means_and_differences(key, tmp_path):
    files = [answers(tmp_path, f"r{n}", constant(100, 10 * n, 50 + 10 * n)) for n in range(3)]
    found = evaluate_ratings(files, key)
    assert [found["table"][name]["mean"] for name in CONDITIONS] == [100, 10, 60]
    assert found["table"]["model"]["ratings"] == 60 and found["raters"] == ["r0", "r1", "r2"]
    # Every rater and trial has the same difference, so nothing is left to chance.
    assert found["differences"]["mixture"] == {"mean": 50, "low": 50, "high": 50, "median": 50, "ratings": 60}
    text = ratings_table(found)
    assert "model minus the mixture: 50.0, 95 % interval 50.0 … 50.0" in text and "3 of 3 raters" in found["protocol"]


def test_raters_who_often_miss_the_hidden_reference_are_left_out(key, tmp_path):
    """15 % of 20 trials are 3: three misses stay within the rule of BS.1534-3, four do not; 90 is no miss."""
    files, scores = [], constant(90, 20, 60)
    for misses in (0, 3, 4):
        scores[:misses, 0] = 89
        files.append(answers(tmp_path, f"misses{misses}", scores))
    found = evaluate_ratings(files, key)
    assert found["raters"] == ["misses0", "misses3"] and found["excluded"] == {"misses4": 0.2}
    assert found["table"]["reference"]["mean"] == pytest.approx((20 * 90 + 17 * 90 + 3 * 89) / 40, abs=0.01)
    assert "left out: misses4 gave the hidden reference less than 90 in 20% of the trials" in ratings_table(found)
    with pytest.raises(SopeduError, match=r"all raters \(misses4\) gave the hidden reference"):
        evaluate_ratings(files[2:], key)


def test_the_interval_is_that_of_theory(key, tmp_path):
    """Of one rater, 1.96 standard errors over trials; if only raters differ, over raters."""
    draw, width = np.random.default_rng(1), {}
    scores = constant(100, 0, 0)
    scores[:, 1] = draw.uniform(20, 80, TRIALS)
    path = answers(tmp_path, "one", np.round(scores))
    row = evaluate_ratings([path], key)["table"]["mixture"]
    width["trials"] = np.round(scores[:, 1]).std() / TRIALS**0.5
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * width["trials"], rel=0.1)
    levels = np.round(draw.uniform(20, 80, 12))
    files = [answers(tmp_path, f"r{n}", constant(100, 0, level)) for n, level in enumerate(levels)]
    row = evaluate_ratings(files, key)["table"]["model"]
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * levels.std() / 12**0.5, rel=0.1)


def test_missing_ratings_are_counted_and_not_taken_for_zeros(key, tmp_path):
    files = [
        answers(tmp_path, "whole", constant(100, 40, 60)),
        answers(tmp_path, "part", constant(100, 40, 60), trials=5),
    ]
    found = evaluate_ratings(files, key)
    assert found["table"]["model"] == {"mean": 60, "low": 60, "high": 60, "median": 60, "ratings": 25}
    assert found["notes"] == ["45 of 120 ratings are missing"]


def test_without_a_reference_nobody_is_screened(tmp_path):
    key = tmp_path / "page.key.json"
    sounds = {"a": "mixture", "b": "model"}
    key.write_text(
        json.dumps({"sheet": "s", "conditions": {"mixture": "m", "model": "M"}, "trials": {"t": {"sounds": sounds}}})
    )
    (tmp_path / "a.csv").write_text("sheet,rater,trial,sound,score\ns,me,t,a,10\ns,me,t,b,70\n")
    found = evaluate_ratings([tmp_path / "a.csv"], key)
    assert found["differences"]["mixture"]["mean"] == 60 and found["table"]["model"]["low"] is None
    assert "without a reference, no rater can be screened" in found["notes"] and "–" in ratings_table(found)


WRONG = {
    "sheet-2,me,t0,1,s00,5,1": "line 2: answers of sheet-2, but .*page.key.json belongs to sheet-1",
    "sheet-1,me,t99,1,s00,5,1": "has no sound s00 in a trial t99",
    "sheet-1,me,t0,1,s10,5,1": "has no sound s10 in a trial t0",
    "sheet-1,me,t0,1,s00,101,1": "the score 101 is no number from 0 to 100",
    "sheet-1,me,t0,1,s00,nan,1": "the score nan is no number",
    "sheet-1,me,t0,1,s00,5,1\nsheet-1,me,t0,1,s00,5,1": "line 3: me rated this sound before; give every file once",
    "sheet-1,,t0,1,s00,5,1": "holds no answers",
    "": "holds no answers",
}


@pytest.mark.parametrize("lines", WRONG)
def test_answers_that_do_not_belong_are_refused(lines, key, tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + lines)
    with pytest.raises(SopeduError, match=WRONG[lines]):
        evaluate_ratings([tmp_path / "a.csv"], key)


@pytest.mark.parametrize("text", ["[]", '{"sheet": "s", "conditions": {"a": "b"}, "trials": {}}', "\x00", "[" * 99999])
def test_what_is_no_key_is_refused(text, tmp_path):
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(SopeduError, match="is no key of a listening page"):
        read_ratings([], tmp_path / "key.json")
    with pytest.raises(SopeduError, match="no such file"):
        read_ratings([], tmp_path / "missing.json")
