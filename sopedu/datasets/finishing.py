"""The end of preparing a data set: logs of one run or of all shards become the ledger and the indexes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sopedu.data.index_files import write_index
from sopedu.datasets.converting import WORK
from sopedu.datasets.ledger import OK, Row, read_log, write_ledger
from sopedu.datasets.splits import SPLITS, assign_splits
from sopedu.errors import SopeduError

LEDGER = "clips.csv"
SETTINGS = "prepare.json"


@dataclass(frozen=True)
class Prepared:
    """What a run has done.

    Attributes:
        out: folder of the data set.
        states: state → number of clips in the ledger.
        splits: name of a split → number of its clips; empty after a shard that is to be merged.
        seconds: length of all clips together.
        notes: one line each.
    """

    out: Path
    states: dict[str, int]
    splits: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def merge_shards(out: str | Path) -> Prepared:
    """Write the indexes and the ledger after all shards have ended.

    Args:
        out: folder of the data set.

    Raises:
        SopeduError: there are no shards, or some have not ended (they are named).
    """
    root = Path(out)
    logs = sorted((root / WORK).glob("rows-*-of-*.csv"))
    if not logs:
        raise SopeduError(f"{root}: holds no shards; run sopedu prepare … --out {root} --shard 1/N first")
    for of in {path.stem.split("-")[-1] for path in logs}:
        ended = [number for number in range(1, int(of) + 1) if log_path(root, number, int(of), ".done").exists()]
        if len(ended) < int(of):
            left = ", ".join(f"{number}/{of}" for number in range(1, int(of) + 1) if number not in ended)
            raise SopeduError(f"{root}: these shards have not ended: {left[:200]}; run them (again) first")
    return finished(root, [])


def finished(root: Path, notes: list[str]) -> Prepared:
    """Write ledger and indexes, then remove the logs.

    Args:
        root: folder of the data set.
        notes: of the source.
    """
    rows = sorted(known_rows(root).values(), key=lambda row: (row.place, row.label, row.id))
    settings = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
    write_ledger(root / LEDGER, rows)
    splits = assign_splits(rows, settings["protocol"], settings["seed"])
    for split in SPLITS:
        _write_index(root / f"{split}.csv", splits[split])
    shutil.rmtree(root / WORK, ignore_errors=True)
    return Prepared(
        root,
        dict(sorted(Counter(row.state for row in rows).items())),
        {split: len(splits[split]) for split in SPLITS},
        sum(row.seconds or 0.0 for row in rows),
        list(notes),
    )


def _write_index(path: Path, rows: Iterable[Row]) -> None:
    """Write an index CSV; without rows there is none, because an empty one cannot be opened."""
    lines = [(f"audio/{row.label}/{row.id}.wav", f"frames/{row.label}/{row.id}", row.frames) for row in rows]
    if not lines:
        path.unlink(missing_ok=True)
        return
    write_index(path, lines)


def known_rows(root: Path) -> dict[str, Row]:
    """Return the newest row of each clip by its key; one that is ``ok`` stays, whatever another shard says.

    Args:
        root: folder of the data set.
    """
    rows: dict[str, Row] = {}
    for path in (root / LEDGER, *sorted((root / WORK).glob("rows-*-of-*.csv"))):
        for row in read_log(path) if path.exists() else ():
            if row.key not in rows or rows[row.key].state != OK:
                rows[row.key] = row
    return rows


def log_path(root: Path, number: int, of: int, ending: str = ".csv") -> Path:
    """Return the path of the log of a shard, or of a file beside it.

    Args:
        root: folder of the data set.
        number: of the shard, from 1.
        of: how many shards there are.
        ending: of the file.
    """
    return root / WORK / f"rows-{number}-of-{of}{ending}"
