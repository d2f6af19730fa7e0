"""The end of preparing a data set: logs of one run or of all shards become the ledger and the indexes."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sopedu.datasets.converting import WORK
from sopedu.datasets.disk import temporary_space
from sopedu.datasets.ledger import OK, LoggedRows, Row, write_ledger
from sopedu.datasets.splits import SPLITS, splits_of_videos
from sopedu.errors import SopeduError
from sopedu.files import written_aside

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


@temporary_space()
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
    rows = known_rows(root).ordered
    settings = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
    where = splits_of_videos(rows(), settings["protocol"], settings["seed"])
    states, splits, seconds = Counter[str](), Counter[str](), Counter[str]()

    def written(tables: dict[str, Any]) -> Iterator[Row]:
        for row in rows():
            states[row.state] += 1
            seconds["all"] += row.seconds or 0.0
            if row.state == OK:
                split = where[row.video]
                splits[split] += 1
                tables[split].writerow((f"audio/{row.label}/{row.id}.wav", f"frames/{row.label}/{row.id}", row.frames))
            yield row

    with _indexes(root, where.names()) as tables:
        write_ledger(root / LEDGER, written(tables))
    shutil.rmtree(root / WORK, ignore_errors=True)
    return Prepared(
        root, dict(sorted(states.items())), {split: splits[split] for split in SPLITS}, seconds["all"], list(notes)
    )


@contextmanager
def _indexes(root: Path, splits: Container[str]) -> Iterator[dict[str, Any]]:
    """Yield a writer of rows per split; without rows there is no index, because an empty one cannot be opened."""
    with ExitStack() as stack:
        tables = {}
        for split in SPLITS:
            path = root / f"{split}.csv"
            if split in splits:
                aside = stack.enter_context(written_aside(path))
                file = stack.enter_context(open(aside, "w", newline="", encoding="utf-8"))
                tables[split] = csv.writer(file, lineterminator="\n")
            else:
                path.unlink(missing_ok=True)
        yield tables


def known_rows(root: Path) -> LoggedRows:
    """Return the newest row of each clip.

    Args:
        root: folder of the data set.
    """
    logs = (root / LEDGER, *sorted((root / WORK).glob("rows-*-of-*.csv")))
    return LoggedRows(path for path in logs if path.exists())


def log_path(root: Path, number: int, of: int, ending: str = ".csv") -> Path:
    """Return the path of the log of a shard, or of a file beside it.

    Args:
        root: folder of the data set.
        number: of the shard, from 1.
        of: how many shards there are.
        ending: of the file.
    """
    return root / WORK / f"rows-{number}-of-{of}{ending}"
