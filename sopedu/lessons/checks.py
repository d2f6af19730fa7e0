"""Checks of a notebook's own figures: they speak when a figure differs from ours, and never stop a learner.

Whoever changes a seed or a setting reads one line about the difference. Under pytest, where the shipped notebook must
say what it promises, a figure outside its range is an error instead.

    >>> compare("the SDR improvement", found, ours=11.1, fine=(9, 13), unit="dB", because="seeds differ by 2 dB")
    the SDR improvement: yours is 9.8 dB, we found 11.1 dB. That is fine: 9 to 13 dB is usual.
"""

from __future__ import annotations

import math
import os

# Set by pytest for itself and for the kernels that nbval starts.
_UNDER_TEST = "PYTEST_VERSION"


def compare(
    what: str,
    yours: float,
    ours: float,
    fine: tuple[float, float],
    unit: str = "",
    because: str = "",
) -> None:
    """Compare a figure with the one in the saved notebook; say nothing if they agree.

    Args:
        what: is compared, such as ``the SDR improvement``.
        yours: the figure that was just computed.
        ours: the figure of the saved notebook.
        fine: smallest and largest figure that still show what the lesson says.
        unit: of the figures, such as ``dB``.
        because: where to look, or what it means, if the figure lies outside.

    Raises:
        AssertionError: under pytest, the figure lies outside, or ours does.
    """
    low, high = fine
    if not low <= ours <= high:
        raise AssertionError(f"{what}: ours, {ours}, must lie in the range {fine}")
    text = f"{what}: yours is {_number(yours, unit)}, we found {_number(ours, unit)}."
    if not (math.isfinite(yours) and low <= yours <= high):
        _differs(f"{text} Worth a look: {_number(low)} to {_number(high, unit)} is usual", because)
    elif _number(yours) != _number(ours):
        print(f"{text} That is fine: {_number(low)} to {_number(high, unit)} is usual.")


def check(holds: bool, otherwise: str, because: str = "") -> None:
    """Say so if something that the text claims does not hold with the learner's values.

    Args:
        holds: whether it does.
        otherwise: what is seen if it does not, such as ``the mask of row 3 does not help here``.
        because: the usual reason, or where to look.

    Raises:
        AssertionError: under pytest, it does not hold.
    """
    if not holds:
        _differs(f"worth a look: {otherwise}", because)


def _differs(text: str, because: str) -> None:
    text = f"⚠ {text}{f' ({because})' if because else ''}."
    if _UNDER_TEST in os.environ:
        raise AssertionError(text)
    print(text)


def _number(value: float, unit: str = "") -> str:
    digits = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", " ")
    return f"{digits.replace('-', '−')} {unit}".rstrip()
