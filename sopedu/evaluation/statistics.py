"""How sure the scores of an evaluation are: bootstrap intervals, medians, differences, and pairs of classes.

A score in a table is a mean over some dozens of mixtures, and single mixtures spread by several dB. The bootstrap draws
as many mixtures again, with replacement, many times: the interval holds the middle 95 % of the means of these draws. It
says how far the mean depends on which mixtures were drawn, not how far it depends on the seed of the training.

Notebook: 03_measuring_separation.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sopedu.errors import SopeduError, whole_number

#: Share of the draws that an interval holds, in percent.
LEVEL = 95
#: How often the mixtures are drawn again.
RESAMPLES = 2000
_LETTERS = 5  # of a class in the head of a column


def bootstrap_interval(values: Any, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Compute the percentile bootstrap interval of a mean over the sources of mixtures.

    Whole mixtures are drawn, because the sources of a mixture share one separation. Values that are scored in one call
    get the same draws.

    Args:
        values: ``(P, N)`` of N sources in each of P mixtures, or ``(P, N, …)`` for several scores; NaN where there is
            none. For a paired difference, the differences of both scores.
        resamples: how often P mixtures are drawn.
        seed: of the draws.

    Returns:
        lower and upper end, ``(2,)`` or ``(2, …)``; NaN if fewer than two mixtures have a value.

    Raises:
        SopeduError: the values have fewer than two axes, or a number is too small.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    Notebook: 03_measuring_separation.
    """
    values, resamples = np.asarray(values, float), whole_number(resamples, "resamples", 1)
    if values.ndim < 2:
        raise SopeduError(f"values of shape {values.shape}: expected one axis of mixtures and one of their sources")
    pairs, scores = len(values), values.shape[2:]
    known = ~np.isnan(values)
    # (P, scores): sum and number of the values of each mixture; a draw needs no more of it.
    sums = np.where(known, values, 0).sum(1).reshape(pairs, -1)
    counts = known.sum(1).reshape(pairs, -1)
    drawn = np.random.default_rng(whole_number(seed, "seed", 0)).integers(0, max(pairs, 1), (resamples, pairs))
    places = (drawn + pairs * np.arange(resamples)[:, None]).ravel()
    times = np.bincount(places, minlength=resamples * pairs).reshape(resamples, pairs)  # each mixture in each draw
    with np.errstate(invalid="ignore"):
        means = (times @ sums) / (times @ counts)  # NaN where a draw has no value
    ends = np.full((2, sums.shape[1]), np.nan)
    enough = (counts > 0).sum(0) >= 2
    tail = (100 - LEVEL) / 2
    ends[:, enough] = np.nanpercentile(means[:, enough], (tail, 100 - tail), axis=0)
    return ends.reshape(2, *scores)


def means_with_intervals(values: Any, seed: int = 0) -> list[dict[str, float | None]]:
    """Compute means over the sources of mixtures, with the intervals of :func:`bootstrap_interval`.

    Args:
        values: ``(P, N, C)`` of N sources in each of P mixtures, for C scores; NaN where there is none.
        seed: of the draws.

    Returns:
        ``mean``, ``low`` and ``high`` of each score, rounded; None where there is no value.
    """
    values = np.asarray(values, float)
    ends = bootstrap_interval(values, seed=seed)
    return [
        {"mean": _mean(values[..., i], 4), "low": _number(ends[0, i], 4), "high": _number(ends[1, i], 4)}
        for i in range(values.shape[-1])
    ]


def summarise(
    scores: Mapping[str, Mapping[str, np.ndarray]], classes: Sequence[Sequence[str]], seed: int = 0
) -> dict[str, Any]:
    """Summarise the scores of every row of an evaluation.

    Args:
        scores: row → score → ``(P, N)`` in dB, NaN where a source is silent; with the rows ``model`` and ``mixture``
            and the score ``sdr``.
        classes: the names of each mixture's N classes.
        seed: of the bootstrap.

    Returns:
        in dB, rounded, None where there is no value:

        - ``intervals``: row → score → lower and upper end of the mean's 95 % interval,
        - ``medians``: row → score → median over all sources,
        - ``differences``: row → mean, low and high of the model's SDR minus that of the row, on the same sources,
        - ``by_classes``: class → other class → the model's mean SDR improvement for sounds of the first in mixtures
          with the second,
        - ``by_class``: class → the model's mean SDR improvement for its sounds,
        - ``per_pair``: of each mixture its ``classes``, and ``sdr``: row → mean over its sources.
    """
    names = list(next(iter(scores.values())))
    values = np.stack([[found[name] for name in names] for found in scores.values()]).transpose(2, 3, 0, 1)
    ends = bootstrap_interval(values, seed=seed)  # (2, rows, scores), of (P, N, rows, scores)
    sdr = {row: np.asarray(found["sdr"]) for row, found in scores.items()}
    gains = sdr["model"] - sdr["mixture"]
    others = [row for row in scores if row != "model"]
    apart = np.stack([sdr["model"] - sdr[row] for row in others], -1)
    low, high = bootstrap_interval(apart, seed=seed)
    return {
        "intervals": {
            row: {name: [_number(end) for end in ends[:, i, j]] for j, name in enumerate(names)}
            for i, row in enumerate(scores)
        },
        "medians": {row: {name: _median(found[name]) for name in names} for row, found in scores.items()},
        "differences": {
            row: {"mean": _mean(apart[..., i]), "low": _number(low[i]), "high": _number(high[i])}
            for i, row in enumerate(others)
        },
        "by_classes": _by_classes(gains, classes),
        "by_class": {
            name: _mean([gain for shown, row in zip(classes, gains, strict=True)
                         for who, gain in zip(shown, row, strict=True) if who == name])
            for name in _all(classes)
        },
        "per_pair": [
            {"classes": list(shown), "sdr": {row: _mean(found[pair], 2) for row, found in sdr.items()}}
            for pair, shown in enumerate(classes)
        ],
    }  # fmt: skip


def _by_classes(gains: np.ndarray, classes: Sequence[Sequence[str]]) -> dict[str, dict[str, float | None]]:
    cells: dict[str, dict[str, list[float]]] = {name: {} for name in _all(classes)}
    for shown, row in zip(classes, gains, strict=True):
        for place, (name, gain) in enumerate(zip(shown, row, strict=True)):
            for other in dict.fromkeys((*shown[:place], *shown[place + 1 :])):
                cells[name].setdefault(other, []).append(gain)
    return {name: {other: _mean(row[other]) for other in sorted(row)} for name, row in cells.items()}


def _all(classes: Sequence[Sequence[str]]) -> list[str]:
    return sorted({name for shown in classes for name in shown})


def _number(value: float, digits: int = 3) -> float | None:
    """A number that JSON can hold."""
    return round(float(value), digits) if math.isfinite(value) else None


def _mean(values: Any, digits: int = 3) -> float | None:
    values = np.asarray(values, float)
    return _number(np.nanmean(values), digits) if not np.isnan(values).all() else None


def _median(values: np.ndarray) -> float | None:
    return _number(np.nanmedian(values)) if not np.isnan(values).all() else None


def class_matrix(by_classes: Mapping[str, Mapping[str, float | None]]) -> tuple[list[str], np.ndarray]:
    """Return the figures of pairs of classes as a matrix.

    Args:
        by_classes: class → other class → value, as :func:`summarise` returns it.

    Returns:
        names of the classes, and ``(C, C)``, NaN where there is no value.
    """
    names = sorted(by_classes)
    cells = [[by_classes[name].get(other) for other in names] for name in names]
    return names, np.array(cells, float)  # None becomes NaN


def class_table(by_classes: Mapping[str, Mapping[str, float | None]], by_class: Mapping[str, float | None]) -> str:
    """Lay out the SDR improvement of every pair of classes as text, in dB.

    Args:
        by_classes: class → other class → value, as :func:`summarise` returns it.
        by_class: class → mean.
    """
    names, cells = class_matrix(by_classes)
    width = max(len("dB, mixed with"), *map(len, names))
    lines = [f"{'dB, mixed with':{width}}{'mean':>7}" + "".join(f"{name[:_LETTERS]:>6}" for name in names)]
    for name, row in zip(names, cells, strict=True):
        mean = by_class[name]
        lines.append(f"{name:{width}}{_cell(math.nan if mean is None else mean, 7)}" + "".join(map(_cell, row)))
    return "\n".join(lines)


def _cell(value: float, width: int = 6) -> str:
    return f"{value:z{width}.1f}" if math.isfinite(value) else f"{'–':>{width}}"


def pairs_csv(per_pair: Sequence[Mapping[str, Any]]) -> str:
    """Write one line of comma-separated values per mixture: its classes, and the SDR of every row in dB.

    Args:
        per_pair: as :func:`summarise` returns it.
    """
    rows, written = list(per_pair[0]["sdr"]), io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["pair", "classes", *rows])
    for number, pair in enumerate(per_pair, 1):
        table.writerow([number, " + ".join(pair["classes"]), *(pair["sdr"][row] for row in rows)])
    return written.getvalue()


def score_markdown(figures: Mapping[str, Any]) -> str:
    """Lay out the table of an evaluation in Markdown, as model cards have it, in dB.

    Args:
        figures: what :func:`sopedu.evaluate` returns.
    """
    from sopedu.plots import ROW_NAMES, two_digits  # with matplotlib, which a training machine lacks

    lines = ["| | SDR | 95 % interval | SIR | SAR | SI-SDR |", "|---|---|---|---|---|---|"]
    for row, name in ROW_NAMES.items():
        if row not in figures["table"]:
            continue
        scores, ends = figures["table"][row], figures["intervals"][row]["sdr"]
        cells = [two_digits(scores[key]) for key in ("sdr", "sir", "sar", "si_sdr")]
        cells.insert(1, " … ".join(two_digits(end) for end in ends if end is not None) or "–")
        mark = "**" if row == "model" else ""
        lines.append("| " + " | ".join(f"{mark}{cell}{mark}" for cell in (name, *cells)) + " |")
    return "\n".join(lines)
