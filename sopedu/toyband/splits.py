"""Identities of melodies, instruments and backgrounds, and the split that each belongs to.

Everything random in the toy band follows from an *identity*, a whole number. Its last digit decides the split, so a
melody, an instrument's build and colours, or a background of training never occurs in validation or test.
"""

from __future__ import annotations

import zlib

import numpy as np

from sopedu.errors import SopeduError

#: Name of a split → last digits of its identities.
SPLITS: dict[str, tuple[int, ...]] = {"train": (0, 1, 2, 3, 4, 5, 6, 7), "validation": (8,), "test": (9,)}


def generator_for(*key: int | str) -> np.random.Generator:
    """Return the random generator of a key, the same on every machine.

    Args:
        key: whole numbers ≥ 0 and words, e.g. ``generator_for("melody", 1234)``. Words enter by their CRC-32, because
            Python's own ``hash()`` of a string changes from run to run.

    Returns:
        A new generator.
    """
    return np.random.default_rng([zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in key])


def draw_identity(generator: np.random.Generator, split: str) -> int:
    """Draw an identity below 10 million whose last digit belongs to ``split``.

    Args:
        generator: drawn from.
        split: ``train``, ``validation`` or ``test``.

    Returns:
        The identity.

    Raises:
        SopeduError: if ``split`` is not one of ``train``, ``validation``, ``test``.
    """
    check_split(split)
    return 10 * int(generator.integers(1_000_000)) + int(generator.choice(SPLITS[split]))


def check_split(split: str) -> str:
    """Return the name of a split if there is one of that name.

    Args:
        split: ``train``, ``validation`` or ``test``.

    Returns:
        The same name.

    Raises:
        SopeduError: for any other name.
    """
    if split not in SPLITS:
        raise SopeduError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    return split
