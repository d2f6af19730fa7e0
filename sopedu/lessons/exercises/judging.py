"""How answers are checked: a verdict is pass, fail with what was found and expected, or not attempted."""

from __future__ import annotations

import contextlib
import copy
import dis
import html
import io
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sopedu.lessons.exercises.differences import difference, missing, settled, short

_MARKS = {"pass": "✓", "fail": "✗", "not attempted": "○"}
_COLOURS = {"pass": "#009E73", "fail": "#D55E00", "not attempted": "#888888"}  # Okabe-Ito; mark and word say the same
_SEED = 0  # of the cases: the same ones each time, so that a learner can follow a number
_MOST_PRINTED = 100_000  # characters; a loop that prints more would never end

#: How often each exercise has failed in this process: the hint comes with the second failure.
_failures: dict[str, int] = {}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check.

    Args:
        status: ``pass``, ``fail`` or ``not attempted``.
        message: what is right, or what was found and what was expected.
        hint: where to look, from the second failure on.
    """

    status: str
    message: str
    hint: str = ""

    def __repr__(self) -> str:
        """A mark, a word and the message; a hint has its own line."""
        hint = f"\n  Hint: {self.hint}" if self.hint else ""
        return f"{_MARKS[self.status]} {self.status}: {self.message}{hint}"

    def _repr_html_(self) -> str:
        hint = f"<br><b>Hint:</b> {html.escape(self.hint)}" if self.hint else ""
        return (
            f'<div style="border-left: 4px solid {_COLOURS[self.status]}; padding: 2px 10px">'
            f"<b>{_MARKS[self.status]} {self.status}:</b> {html.escape(self.message)}{hint}</div>"
        )


NOT_ATTEMPTED = Verdict("not attempted", "put your answer in the place of `...` and run the cell again.")


def settle(exercise: str, problem: str, hint: str, praise: str) -> Verdict:
    """Turn a problem, or none, into a verdict; count failures.

    Args:
        exercise: its name, by which failures are counted.
        problem: what was found and expected; empty if all is right.
        hint: for the second failure and those that follow.
        praise: message if all is right.
    """
    if not problem:
        _failures.pop(exercise, None)
        return Verdict("pass", praise)
    _failures[exercise] = _failures.get(exercise, 0) + 1
    return Verdict("fail", _sentence(problem), _sentence(hint) if _failures[exercise] > 1 else "")


def _sentence(text: str) -> str:
    """A text with a full stop, if it does not end a sentence already."""
    return text if text.endswith(("?", ".", "!")) else f"{text}."


def judge(
    function: Callable,
    cases: Callable[[np.random.Generator], Iterable[tuple[tuple, Any]]],
    hint: str,
    praise: str,
    tolerance: float = 1e-6,
) -> Verdict:
    """Call a learner's function on every case, until an answer is missing or differs.

    Args:
        function: the learner's. It gets copies of the arguments.
        cases: a function inside the check, which makes arguments and expected answers with a source of randomness:
            the simplest first, since the first difference is told.
        hint: for the second wrong answer; never the solution.
        praise: message if all answers are right.
        tolerance: see :func:`sopedu.lessons.exercises.differences.difference`.
    """
    exercise = cases.__qualname__.partition(".")[0]
    if missing(function):
        return NOT_ATTEMPTED
    if not callable(function):
        return settle(exercise, f"expected a function, found {short(function)}", hint, praise)
    problem, printed = "", _Printed()
    for arguments, expected in cases(np.random.default_rng(_SEED)):
        printed = _Printed()
        try:
            with contextlib.redirect_stdout(printed):
                found = settled(function(*copy.deepcopy(arguments)))
        except (Exception, SystemExit) as error:
            problem = f"stopped with {type(error).__name__}: {_one_line(error)}{_line_of(function, error)}"
        else:
            if missing(found) or (found is None and _is_stub(function)):
                return NOT_ATTEMPTED
            problem = difference(found, expected, tolerance)
        if problem:
            called = f"{getattr(function, '__name__', 'function')}({', '.join(map(short, arguments))})"
            problem = f"{called.replace('<lambda>', 'lambda')}: {problem}"
            break
    if printed.text:
        print(printed.text)
    return settle(exercise, problem, hint, praise)


class _Printed(io.TextIOBase):
    """What a learner's function prints: its beginning is kept, and a loop without an end is stopped."""

    def __init__(self) -> None:
        self.text, self._length = "", 0

    def write(self, text: str) -> int:
        self.text += text[: max(0, 1000 - len(self.text))]
        self._length += len(text)
        if self._length > _MOST_PRINTED:
            raise RuntimeError("it prints without an end")
        return len(text)


def _is_stub(function: Callable) -> bool:
    """Whether a function has no code, such as ``def f(): ...``."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "CACHE"}
    return {instruction.opname for instruction in dis.get_instructions(code)} <= idle


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."


def _line_of(function: Callable, error: BaseException) -> str:
    """Where in the learner's own code an error came from."""
    code = getattr(function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.line for frame in frames if code is not None and frame.filename == code.co_filename and frame.line]
    return f", in the line `{lines[-1]}`" if lines else ""
