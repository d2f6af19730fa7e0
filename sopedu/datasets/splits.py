"""Which clips train, which validate, and which test: always all clips of one video together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sopedu.datasets.disk import temporary_database
from sopedu.datasets.ledger import OK, Row

SPLITS = ("train", "val", "test")
PROTOCOLS = {
    "music": "the first video of each class validates, the second tests, as is usual for MUSIC",
    "listed": "as the list says; where it names no validation clips, a twentieth of the videos to train on",
    "seeded": "a tenth of each class's videos validates, a tenth tests, chosen by the seed",
}
_SHARE, _LISTED_SHARE = 0.1, 0.05


class Splits(Mapping[str, str]):
    """The split of each video, on disk; videos are added class by class."""

    def __init__(self) -> None:
        self._database = temporary_database(
            "CREATE TABLE video (number INTEGER PRIMARY KEY, label, name, UNIQUE (label, name));"
            "CREATE TABLE chosen (name PRIMARY KEY, split) WITHOUT ROWID"
        )

    def __getitem__(self, video: str) -> str:
        found = self._database.execute("SELECT split FROM chosen WHERE name = ?", (video,)).fetchone()
        if found is None:
            raise KeyError(video)
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return (name for (name,) in self._database.execute("SELECT name FROM chosen"))

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM chosen").fetchone()[0]

    def names(self) -> set[str]:
        """Return the names of the splits that have videos."""
        return {split for (split,) in self._database.execute("SELECT DISTINCT split FROM chosen")}

    def add(self, label: str, video: str, split: str = "") -> None:
        """Add a video.

        Args:
            label: of a class; a video may have several.
            video: its identifier.
            split: its split, if it has one already.
        """
        self._database.execute("INSERT OR IGNORE INTO video (label, name) VALUES (?, ?)", (label, video))
        if split:
            self._database.execute("INSERT OR REPLACE INTO chosen VALUES (?, ?)", (video, split))

    def choose(self, splits: Mapping[str, str]) -> None:
        """Give videos a split, or another one.

        Args:
            splits: by video.
        """
        self._database.executemany("INSERT OR REPLACE INTO chosen VALUES (?, ?)", splits.items())

    def labels(self) -> list[str]:
        """Return the classes, in the order of their first videos."""
        rows = self._database.execute("SELECT label FROM video GROUP BY label ORDER BY min(number)")
        return [label for (label,) in rows]

    def videos(self, label: str, split: str | None) -> list[str]:
        """Return the videos of a class that are in a split, in order.

        Args:
            label: of the class.
            split: None: videos that are in none yet.
        """
        rows = self._database.execute(
            "SELECT name FROM video LEFT JOIN chosen USING (name) WHERE label = ? AND split IS ? ORDER BY number",
            (label, split),
        )
        return [name for (name,) in rows]


def splits_of_videos(rows: Iterable[Row], protocol: str, seed: int = 0) -> Splits:
    """Choose a split for each video that has a usable clip.

    Args:
        rows: of a ledger, in order; those that are not ``ok`` are left out.
        protocol: a name in :data:`PROTOCOLS`.
        seed: of what is chosen at random.

    Returns:
        the name of the split by video. A video that has clips of several classes is in one split only.
    """
    where = Splits()
    for row in rows:
        if row.state == OK:
            where.add(row.label, row.video, row.split if protocol == "listed" else "")
    for label in where.labels():
        where.choose(_of_class(where.videos(label, None), protocol, seed))
    if protocol == "listed" and "val" not in where.names():
        for label in where.labels():
            new = where.videos(label, "train")
            count = round(_LISTED_SHARE * len(new)) or int(len(new) >= 10)
            where.choose(dict.fromkeys(_shuffled(new, seed)[:count], "val"))
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
