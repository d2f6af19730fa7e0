"""Who may be seen when: identities of melodies, instruments and backgrounds, and the split each belongs to.

Everything random in the toy band hangs on an *identity*, a whole number. Its last digit says which split it
belongs to, so a melody, an instrument's build and colours, or a background met in training can never turn up in
validation or test: the numbers themselves are disjoint.
"""

from __future__ import annotations

import zlib

import numpy as np

from sopedu.errors import SopeduError

SPLITS: dict[str, tuple[int, ...]] = {"train": (0, 1, 2, 3, 4, 5, 6, 7), "validation": (8,), "test": (9,)}


def generator_for(*key: int | str) -> np.random.Generator:
    """Return the random generator that belongs to a key, the same on every machine.

    Args:
        key: whole numbers ≥ 0 and words, e.g. ``generator_for("melody", 1234)``. Words enter by their CRC-32, because
            Python's own ``hash()`` of a string changes from run to run.
    """
    return np.random.default_rng([zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in key])


def draw_identity(generator: np.random.Generator, split: str) -> int:
    """Draw an identity below 10 million whose last digit belongs to ``split``.

    Raises:
        SopeduError: if ``split`` is not one of ``train``, ``validation``, ``test``.
    """
    check_split(split)
    return 10 * int(generator.integers(1_000_000)) + int(generator.choice(SPLITS[split]))


def check_split(split: str) -> str:
    """Return the name of a split, or say which there are (SopeduError)."""
    if split not in SPLITS:
        raise SopeduError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    return split


def split_of(identity: int) -> str:
    """Name the split an identity belongs to (the inverse of :func:`draw_identity`)."""
    return next(split for split, digits in SPLITS.items() if identity % 10 in digits)
