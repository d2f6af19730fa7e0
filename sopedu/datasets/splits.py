"""Which clips train, which validate, and which test: always all clips of one video together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sopedu.datasets.ledger import OK, Row

SPLITS = ("train", "val", "test")
PROTOCOLS = {
    "music": "the first video of each class validates, the second tests, as is usual for MUSIC",
    "listed": "as the list says; where it names no validation clips, a twentieth of the videos to train on",
    "seeded": "a tenth of each class's videos validates, a tenth tests, chosen by the seed",
}
_SHARE, _LISTED_SHARE = 0.1, 0.05


def splits_of_videos(rows: Iterable[Row], protocol: str, seed: int = 0) -> dict[str, str]:
    """Choose a split for each video that has a usable clip.

    Args:
        rows: of a ledger, in order; those that are not ``ok`` are left out.
        protocol: a name in :data:`PROTOCOLS`.
        seed: of what is chosen at random.

    Returns:
        the name of the split by video. A video that has clips of several classes is in one split only.
    """
    videos: dict[str, dict[str, None]] = {}  # class → its videos in order
    where: dict[str, str] = {}
    for row in rows:
        if row.state == OK:
            videos.setdefault(row.label, {})[row.video] = None
            if protocol == "listed" and row.split:
                where[row.video] = row.split
    for label in videos:
        new = [video for video in videos[label] if video not in where]
        for video, split in _of_class(new, protocol, seed).items():
            where.setdefault(video, split)
    if protocol == "listed" and "val" not in where.values():
        for label in videos:
            new = [video for video in videos[label] if where[video] == "train"]
            count = round(_LISTED_SHARE * len(new)) or int(len(new) >= 10)
            where |= dict.fromkeys(_shuffled(new, seed)[:count], "val")
    return where


def _of_class(videos: Sequence[str], protocol: str, seed: int) -> dict[str, str]:
    """Return the split of each video of one class."""
    if protocol == "listed":
        return dict.fromkeys(videos, "train")
    if protocol == "music":
        order, validating, testing = list(videos), int(len(videos) >= 3), int(len(videos) >= 3)
    else:
        order = _shuffled(videos, seed)
        validating = testing = round(_SHARE * len(order)) or int(len(order) >= 3)
    names = ["val"] * validating + ["test"] * testing
    names += ["train"] * (len(order) - len(names))
    return dict(zip(order, names, strict=True))


def _shuffled(videos: Iterable[str], seed: int) -> list[str]:
    """Return videos in an order that depends on their names and the seed only."""
    return sorted(videos, key=lambda video: hashlib.sha256(f"{seed}:{video}".encode("utf-8", "replace")).digest())
