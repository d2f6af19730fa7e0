"""Ratings from blind listening: join answers with the key, screen the raters, means with intervals."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.errors import SopeduError
from sopedu.evaluation.sheet import REFERENCE
from sopedu.evaluation.statistics import LEVEL, RESAMPLES
from sopedu.files import require_file

_HIGH = 90  # the hidden reference should get this much
_TOO_OFTEN = 0.15  # share of the trials in which it may get less
_FIELDS = ("sheet", "rater", "trial", "sound", "score")


@dataclass(frozen=True)
class Ratings:
    """Scores of one page.

    Attributes:
        scores: ``(R, T, C)`` from 0 to 100, of raters, trials and conditions; NaN where there is none.
        raters: their names.
        conditions: condition → what it is.
    """

    scores: np.ndarray
    raters: tuple[str, ...]
    conditions: Mapping[str, str]


def read_ratings(answers: Sequence[str | Path], key: str | Path) -> Ratings:
    """Join files of answers with the key of their page.

    Args:
        answers: CSV files that the page saved.
        key: ``NAME.key.json``, written beside the page.

    Raises:
        SopeduError: a file cannot be read; answers of another page; a trial or a sound that is not on it; a score that
            is no number from 0 to 100; a sound that one rater rated twice.
    """
    known = _read_key(key)
    trials, conditions = list(known["trials"]), list(known["conditions"])
    found: dict[str, np.ndarray] = {}
    for path in answers:
        for line, row in _read_answers(path):
            where = f"{path}, line {line}"
            if row["sheet"] != known["sheet"]:
                raise SopeduError(f"{where}: answers of {row['sheet']:.40}, but {key} belongs to {known['sheet']}")
            condition = known["trials"].get(row["trial"], {"sounds": {}})["sounds"].get(row["sound"])
            if condition is None:
                raise SopeduError(f"{where}: {key} has no sound {row['sound']:.40} in a trial {row['trial']:.40}")
            place = trials.index(row["trial"]), conditions.index(condition)
            scores = found.setdefault(row["rater"], np.full((len(trials), len(conditions)), np.nan))
            if not np.isnan(scores[place]):
                raise SopeduError(f"{where}: {row['rater']:.40} rated this sound before; give every file once")
            scores[place] = _score(row["score"], where)
    return Ratings(np.stack(list(found.values())), tuple(found), known["conditions"])


def _read_key(path: str | Path) -> dict[str, Any]:
    path = require_file(path)
    try:
        key = json.loads(path.read_bytes())
        whole = {*key["conditions"]} == {name for trial in key["trials"].values() for name in trial["sounds"].values()}
        if isinstance(key["sheet"], str) and whole:
            return key
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        pass
    raise SopeduError(f"{path}: is no key of a listening page; give the NAME.key.json that was written beside it")


def _read_answers(path: str | Path) -> list[tuple[int, dict[str, str]]]:
    path = require_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        # Spreadsheets of some countries write semicolons.
        delimiter = ";" if ";" in text.partition("\n")[0] else ","
        rows = csv.DictReader(text.splitlines(), delimiter=delimiter)
        found = [(rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error):
        found = []
    if not found or any(not row.get(name) for _, row in found for name in _FIELDS):
        raise SopeduError(f"{path}: holds no answers; give a CSV that a listening page saved ({','.join(_FIELDS)}, …)")
    return found


def _score(text: str, where: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = np.nan
    if not 0 <= score <= 100:
        raise SopeduError(f"{where}: the score {text:.40} is no number from 0 to 100")
    return score


def evaluate_ratings(answers: Sequence[str | Path], key: str | Path, seed: int = 0) -> dict[str, Any]:
    """Summarise ratings: means with intervals, without raters who do not find the hidden reference.

    A rater is left out who gives the hidden reference less than 90 in more than 15 % of the trials.

    Args:
        answers: CSV files that the page saved.
        key: ``NAME.key.json``, written beside the page.
        seed: of the bootstrap, which draws raters and trials, both with replacement.

    Returns:
        ``table``: condition → ``mean``, ``low``, ``high`` (95 % interval), ``median`` and number of ``ratings``;
        ``differences``: condition → ``mean``, ``low``, ``high`` of the model minus it; ``raters``: those that count;
        ``excluded``: rater → share of the trials in which the reference got less than 90; ``notes``; ``protocol``.

    Raises:
        SopeduError: as for :func:`read_ratings`; or no rater is left.

    Source: ITU-R BS.1534-3, post-screening of assessors.
    """
    ratings = read_ratings(answers, key)
    names = list(ratings.conditions)
    low = np.zeros(len(ratings.raters))
    if REFERENCE in names:
        of_reference = ratings.scores[..., names.index(REFERENCE)]
        low = (of_reference < _HIGH).sum(1) / np.maximum(1, (~np.isnan(of_reference)).sum(1))
    kept = low <= _TOO_OFTEN
    shares = zip(ratings.raters, low.round(3).tolist(), strict=True)
    excluded = {who: share for (who, share), counts in zip(shares, kept, strict=True) if not counts}
    if not kept.any():
        raise SopeduError(
            f"{key}: all raters ({', '.join(excluded)}) gave the hidden reference less than {_HIGH} in more than "
            f"{_TOO_OFTEN:.0%} of the trials: no rating counts"
        )
    scores = ratings.scores[kept]
    figures = {"table": _means(scores, names, seed), "differences": {}}
    if "model" in names:
        others = [name for name in names if name != "model"]
        places = [names.index(name) for name in others]
        figures["differences"] = _means(scores[..., [names.index("model")]] - scores[..., places], others, seed)
    missing = int(np.isnan(scores).sum())
    notes = [f"{missing} of {scores.size} ratings are missing"] if missing else []
    if REFERENCE not in names:
        notes.append("without a reference, no rater can be screened")
    return figures | {
        "conditions": dict(ratings.conditions),
        "raters": [who for who, counts in zip(ratings.raters, kept, strict=True) if counts],
        "excluded": excluded,
        "notes": notes,
        "protocol": (
            f"{len(scores)} of {len(ratings.raters)} raters, {scores.shape[1]} trials; left out: who gave the hidden "
            f"reference less than {_HIGH} in more than {_TOO_OFTEN:.0%} of the trials (ITU-R BS.1534-3); intervals: "
            f"{LEVEL} %, {RESAMPLES} bootstrap draws of raters and trials"
        ),
    }


def _means(values: np.ndarray, names: Sequence[str], seed: int) -> dict[str, dict[str, float | None]]:
    ends = _interval(values, seed)
    found = {}
    for place, name in enumerate(names):
        known = values[..., place][~np.isnan(values[..., place])]
        if not len(known):
            found[name] = {"mean": None, "low": None, "high": None, "median": None, "ratings": 0}
            continue
        low, high = (round(float(end), 2) if np.isfinite(end) else None for end in ends[:, place])
        mean, median = round(float(known.mean()), 2), round(float(np.median(known)), 2)
        found[name] = {"mean": mean, "low": low, "high": high, "median": median, "ratings": len(known)}
    return found


def _interval(values: np.ndarray, seed: int) -> np.ndarray:
    """Ends ``(2, C)`` of the 95 % bootstrap intervals of means over raters and trials, ``(R, T, C)``."""
    raters, trials, count = values.shape
    if raters * trials < 2:
        return np.full((2, count), np.nan)
    generator = np.random.default_rng([seed, 61])
    of_raters, of_trials = (generator.multinomial(n, np.full(n, 1 / n), RESAMPLES) for n in (raters, trials))

    def summed(some: np.ndarray) -> np.ndarray:
        over_raters = (of_raters @ some.reshape(raters, -1)).reshape(RESAMPLES, trials, count)
        return (over_raters * of_trials[..., None]).sum(1)

    with np.errstate(invalid="ignore", divide="ignore"):
        means = summed(np.nan_to_num(values)) / summed((~np.isnan(values)).astype(float))
    ends = np.full((2, count), np.nan)
    known = np.isfinite(means).any(0)
    tail = (100 - LEVEL) / 2
    ends[:, known] = np.nanpercentile(means[:, known], (tail, 100 - tail), axis=0)
    return ends


def ratings_table(figures: Mapping[str, Any]) -> str:
    """Lay out ratings as text.

    Args:
        figures: what :func:`evaluate_ratings` returns.
    """
    names = figures["conditions"]
    lines = [f"{'0 to 100':32}{'mean':>8}{'95 % interval':>16}{'median':>8}{'ratings':>9}"]
    for name, row in figures["table"].items():
        cells = "".join(f"{row[key]:8.1f}" if row[key] is not None else f"{'–':>8}" for key in ("mean", "median"))
        lines.append(f"{names[name]:32}{cells[:8]}{_ends(row):>16}{cells[8:]}{row['ratings']:9}")
    for name, row in figures["differences"].items():
        if row["mean"] is not None:
            lines.append(f"model minus {names[name]}: {row['mean']:.1f}, 95 % interval {_ends(row)}")
    for who, share in figures["excluded"].items():
        lines.append(f"left out: {who} gave the hidden reference less than {_HIGH} in {share:.0%} of the trials")
    return "\n".join(lines)


def _ends(row: Mapping[str, float | None]) -> str:
    return "–" if row["low"] is None else f"{row['low']:.1f} … {row['high']:.1f}"
