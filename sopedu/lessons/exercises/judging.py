"""How answers are checked: a verdict is pass, fail with a hint, or not attempted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_MARKS = {"pass": "✓", "fail": "✗", "not attempted": "○"}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check.

    Args:
        status: ``pass``, ``fail`` or ``not attempted``.
        message: one line: what is right, or a hint.
    """

    status: str
    message: str

    def __repr__(self) -> str:
        """One line with a mark and a word, as notebooks show it."""
        return f"{_MARKS[self.status]} {self.status}: {self.message}"


NOT_ATTEMPTED = Verdict("not attempted", "put your answer in the place of `...` and run the cell again.")


def judge(function: Callable, cases: Sequence[tuple[tuple, Any]], hint: str, praise: str, tolerance: float) -> Verdict:
    """Call a learner's function on every case, until an answer is missing or differs.

    Args:
        function: the learner's.
        cases: arguments and the expected answer: a text, a number or an array.
        hint: for a wrong answer.
        praise: message if all answers are right.
        tolerance: largest absolute difference of numbers.
    """
    for arguments, expected in cases:
        try:
            found = function(*arguments)
        except Exception as error:
            return Verdict("fail", f"your code stopped with {type(error).__name__}: {error}. Hint: {hint}.")
        if missing(found):
            return NOT_ATTEMPTED
        called = f"for {', '.join(map(short, arguments))}"
        if isinstance(expected, str):
            if not isinstance(found, str) or found != expected:
                return Verdict("fail", f"{called} the answer is different, not {short(found)}. Hint: {hint}.")
            continue
        try:
            numbers, wanted = np.asarray(found), np.asarray(expected, dtype=float)
            turned = np.abs(numbers.imag).max(initial=0.0) if np.iscomplexobj(numbers) else 0.0
            numbers = np.asarray(numbers.real if np.iscomplexobj(numbers) else numbers, dtype=float)
        except (TypeError, ValueError):
            return Verdict("fail", f"{called} expected numbers, found {short(found)}. Hint: {hint}.")
        if turned > tolerance:
            return Verdict("fail", f"{called} expected real numbers, found complex ones. Hint: {hint}.")
        if numbers.shape != wanted.shape:
            return Verdict("fail", f"{called} expected the shape {wanted.shape}, found {numbers.shape}. Hint: {hint}.")
        if not np.allclose(numbers, wanted, rtol=0.0, atol=tolerance):
            where = "" if wanted.ndim else f", not {short(found)}"
            return Verdict("fail", f"{called} the answer is different{where}. Hint: {hint}.")
    return Verdict("pass", praise)


def missing(answer: Any) -> bool:
    """Return whether an answer is still the stub's: None, or three dots."""
    return answer is None or answer is ...


def short(value: Any) -> str:
    """Return a value as text for one line; for an array, its type and shape."""
    shape = getattr(value, "shape", ())
    text = f"{type(value).__name__} of shape {tuple(shape)}" if len(shape) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
