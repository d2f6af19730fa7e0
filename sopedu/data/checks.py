"""Check a data set before a training starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError

if TYPE_CHECKING:
    from sopedu.data.clips import ClipDataset


def check_classes(clips: ClipDataset) -> list[str]:
    """Look for classes that cannot be learned.

    Args:
        clips: a data set for training.

    Returns:
        one line on a single class, and one on classes with a single clip.

    Raises:
        SopeduError: silent scenes are asked for and there are none.
    """
    silent_share = clips.config.mixing.silent_share
    if silent_share and not (clips.labels == NOBODY).any():
        raise SopeduError(
            f"mixing.silent_share={silent_share:g} asks for silent scenes, but there are none: "
            "put some into a class folder called silence, or --set mixing.silent_share=0"
        )
    labels, counts = np.unique(clips.labels[clips.labels != NOBODY], return_counts=True)
    alone = [clips.class_names[label] for label in labels[counts == 1]]
    notes = []
    if len(labels) == 1:
        notes.append(
            f"all clips are of one class, {clips.class_names[labels[0]]}: every mixture is of that class with "
            "itself, and a model needs two classes or more to learn what looks and sounds different"
        )
    if alone:
        named = ", ".join(alone[:10]) + (", …" if len(alone) > 10 else "")
        notes.append(f"{len(alone)} of {len(labels)} classes have a single clip and will be learned by heart: {named}")
    return notes
