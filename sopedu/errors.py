"""The exception for mistakes that a user can correct, and checks of the numbers that a user passes."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any


class SopeduError(ValueError):
    """A mistake of the user or a bad file: one line with what is wrong, where, and what to do.

    The command line prints the line without a traceback and exits with status 2.
    """

    def __str__(self) -> str:
        """Return the line; a name of a file that holds a line break does not make it two."""
        return " ".join(super().__str__().splitlines())


def whole_number(value: Any, name: str, least: int | None = None, most: int | None = None) -> int:
    """Return an integer of Python or NumPy, or a float without a fraction, as ``int``.

    Args:
        value: what the user passed.
        name: of the argument, for the error.
        least: the smallest allowed value; None: no limit.
        most: the largest allowed value; None: no limit.

    Raises:
        SopeduError: it is not a whole number, or beyond a limit.
    """
    number = real_number(value, name)
    if number != int(number):
        raise SopeduError(f"{name}={value!r}: must be a whole number")
    whole = operator.index(value) if isinstance(value, numbers.Integral) else int(number)
    if least is not None and whole < least or most is not None and whole > most:
        raise SopeduError(f"{name}={value!r}: must be {_limits(least, most)}")
    return whole


def real_number(value: Any, name: str, least: float | None = None, most: float | None = None) -> float:
    """Return a finite number of Python, NumPy or torch as ``float``; strings, booleans and arrays are refused.

    Args:
        value: what the user passed.
        name: of the argument, for the error.
        least: the smallest allowed value; None: no limit.
        most: the largest allowed value; None: no limit.

    Raises:
        SopeduError: it is not a finite number, or beyond a limit.
    """
    scalar = value.item() if getattr(value, "shape", None) == () else value  # of NumPy or torch
    if isinstance(scalar, bool) or not isinstance(scalar, numbers.Real):
        raise SopeduError(f"{name}={value!r:.60}: must be a number")
    try:
        number = float(scalar)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise SopeduError(f"{name}={value!r:.60}: must be a finite number")
    if least is not None and number < least or most is not None and number > most:
        raise SopeduError(f"{name}={value!r:.60}: must be {_limits(least, most)}")
    return number


def _limits(least: float | None, most: float | None) -> str:
    if most is None:
        return f"{least:g} or more"
    return f"at most {most:g}" if least is None else f"between {least:g} and {most:g}"
