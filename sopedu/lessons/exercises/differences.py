"""How a learner's answer is compared with the expected one, and how the difference is put into words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

_LONGEST = 60  # characters of a value in a message
_NOISE = 1e-12  # smaller expected numbers are rounding errors of a check, and read as 0
_MOST = 10_000  # items that are taken from a generator, which may be endless


class Either(tuple):
    """Several answers, each of which is right, such as 2 and 3 for 2.5 rounded to a whole number."""


def missing(answer: Any) -> bool:
    """Return whether an answer is still the stub's: three dots, or nothing but three dots.

    Args:
        answer: a value, or a tuple, list or dictionary of values.
    """
    parts = answer.values() if isinstance(answer, dict) else answer
    return answer is ... or (isinstance(answer, (tuple, list, dict)) and len(parts) > 0 and all(map(missing, parts)))


def settled(answer: Any) -> Any:
    """Return an answer with all that it yields, if it is a generator.

    Args:
        answer: of a learner's function.
    """
    return list(itertools.islice(answer, _MOST)) if isinstance(answer, Iterator) else answer


def difference(found: Any, expected: Any, tolerance: float) -> str:
    """Return what was expected and what was found, in words; nothing if they agree.

    Lists, tuples, arrays and tensors with the same numbers are the same.

    Args:
        found: the learner's answer.
        expected: text, number, array, :class:`Either` of them, or a dictionary of the answer's attributes.
        tolerance: largest difference of numbers, absolute and again as a share of the expected one.
    """
    if found is None:
        return "your function returns nothing: is `return` missing?"
    if isinstance(expected, dict):
        for name, value in expected.items():
            if not hasattr(found, name):
                return f"expected something that has `.{name}`, found {short(found)}"
            if problem := difference(getattr(found, name), value, tolerance):
                return f".{name}: {problem}"
        return ""
    options = expected if isinstance(expected, Either) else (expected,)
    problems = [_difference(found, option, tolerance) for option in options]
    if "" in problems:
        return ""
    if len(options) > 1 and all(np.ndim(option) == 0 for option in options):
        return f"expected {' or '.join(map(short, options))}, found {short(found)}"
    return problems[0]


def short(value: Any) -> str:
    """Return a value as text for one line; for a long array, its type and shape.

    Args:
        value: anything.
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and np.prod(shape) > 8:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = _text(value) if " at 0x" not in repr(value) else type(value).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _difference(found: Any, expected: Any, tolerance: float) -> str:
    if isinstance(expected, str):
        return "" if isinstance(found, str) and found == expected else f"expected {expected!r}, found {short(found)}"
    wanted = np.asarray(_numbers(expected), dtype=float)
    wanted = np.where(np.abs(wanted) < _NOISE, 0.0, wanted)
    try:
        numbers = _numbers(found)
    except (TypeError, ValueError, OverflowError):
        return f"expected {_kind(wanted)}, found {short(found)}"
    if np.iscomplexobj(numbers):
        if np.abs(numbers.imag).max(initial=0.0) > tolerance:
            return f"expected real numbers, found complex ones: {short(found)}"
        numbers = numbers.real
    if not numbers.size and not wanted.size and numbers.ndim <= wanted.ndim:
        return ""  # an empty list has no inner axes
    if numbers.shape != wanted.shape:
        if wanted.ndim == 1 and numbers.ndim == 1 and wanted.size <= 8:
            return f"expected {_listed(wanted)}, found {_listed(numbers)}"
        return f"expected {_kind(wanted)}, found {_kind(numbers)}{_shown(found)}"
    differs = ~np.isclose(numbers, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not differs.any():
        return ""
    if not wanted.ndim:
        return "expected {}, found {}".format(*_apart(wanted[()], numbers[()]))
    first = tuple(int(position) for position in np.argwhere(differs)[0])
    there = "expected {}, found {}".format(*_apart(wanted[first], numbers[first]))
    which = f"at position {first[0]}" if wanted.ndim == 1 else f"at {list(first)}"
    return f"{differs.sum()} of {wanted.size} numbers differ, the first {which}: {there}"


def _numbers(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        import torch

        whole = value.detach().cpu()
        return whole.to(torch.complex128 if whole.is_complex() else torch.float64).resolve_conj().numpy()
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    elif type(value).__name__ in ("dict_keys", "dict_values", "range"):
        value = list(value)
    if isinstance(value, (list, tuple)):
        value = [_numbers(item) for item in value]
    array = np.asarray(value)
    if array.dtype.kind not in "biufcO":
        raise TypeError("not a number")
    return array if array.dtype.kind == "c" else array.astype(float)


def _kind(numbers: np.ndarray) -> str:
    if not numbers.ndim:
        return "one number"
    if numbers.ndim == 1:
        return f"{numbers.size} numbers" if numbers.size != 1 else "a list of one number"
    return f"numbers in the shape {numbers.shape}"


def _shown(found: Any) -> str:
    text = short(found)
    return "" if "[]" in text or "of shape" in text or text.endswith("...") else f": {text}"


def _apart(first: float, second: float) -> tuple[str, str]:
    """Two different numbers with as many digits as it takes to tell them apart."""
    for digits in (6, 9, 12, 17):
        texts = _figure(first, digits), _figure(second, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _figure(number: float, digits: int = 6) -> str:
    if float(number).is_integer() and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.{digits}g}"


def _listed(numbers: np.ndarray) -> str:
    return f"[{', '.join(map(_figure, numbers))}]" if numbers.size <= 12 else f"{numbers.size} numbers"


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_text, value[:20])) + (", ..." if len(value) > 20 else "")
        one = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{one})"
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if hasattr(value, "shape") and hasattr(value, "tolist"):
        return _text(value.tolist())
    if isinstance(value, float):
        return _figure(value) if not value.is_integer() else repr(value)
    return repr(value)
