"""How well two colours can be told apart: shared by tests of several rooms."""

from __future__ import annotations

from matplotlib.colors import to_rgb

_WEIGHTS = (0.2126, 0.7152, 0.0722)


def luminance(colour: object) -> float:
    """Relative luminance of WCAG 2.2."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return sum(weight * c for weight, c in zip(_WEIGHTS, linear, strict=True))


def contrast(one: object, other: object) -> float:
    """Contrast ratio of WCAG 2.2, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
