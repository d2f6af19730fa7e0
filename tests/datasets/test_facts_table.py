"""Facts and faults of many clips take hardly any memory, and come back as they were."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sopedu.data.prepared import ClipIndex, read_index
from sopedu.datasets.clip_facts import ClipFacts
from sopedu.datasets.disk import temporary_space
from sopedu.datasets.facts_table import FactsTable, Fault, Faults
from sopedu.errors import SopeduError


def index_of(path: Path, clips: int) -> ClipIndex:
    path.write_text("".join(f"audio/{n % 3}/{n}.wav,frames/{n % 3}/{n},{9 + n}\n" for n in range(clips)))
    return read_index(path)


def facts_of(index: ClipIndex, row: int, split: str, generator: np.random.Generator) -> ClipFacts:
    entry = index[row]
    return ClipFacts(
        entry.audio, entry.frames, f"{row % 3}", split, row, f"{row}: broken" if row % 50 == 7 else "",
        *generator.uniform(0, 9, 5).tolist(), entry.frame_count, int(generator.integers(0, 999)),
        *generator.uniform(0, 1, 2).tolist(), int(generator.integers(0, 99)),
        np.unique(generator.integers(0, 2**32, 70)).astype(np.uint32),
        generator.integers(0, 2**63, 12, dtype=np.uint64),
    )  # fmt: skip


def test_facts_of_two_indexes_come_back_in_any_order_of_measuring(tmp_path):
    generator = np.random.default_rng(0)
    indexes = [index_of(tmp_path / "train.csv", 60), index_of(tmp_path / "val.csv", 5)]
    table, wanted = FactsTable(indexes), {}
    for clip in generator.permutation(65).tolist():
        split, row = ("train", clip) if clip < 60 else ("val", clip - 60)
        wanted[clip] = facts_of(indexes[clip >= 60], row, split, generator)
        table.add(clip, wanted[clip])
    for clip, found in enumerate(table):
        assert np.array_equal(table.sounds[clip], wanted[clip].sound)
        assert np.array_equal(table.pictures[clip], wanted[clip].pictures)
        assert repr(found) == repr(replace(wanted[clip], sound=found.sound, pictures=found.pictures))
    assert len(table) == 65 and table.parts().tolist() == [0] * 60 + [1] * 5
    assert table.classes() == {"train": {"0": 20, "1": 20, "2": 20}, "val": {"0": 2, "1": 2, "2": 1}}
    assert table.readable(0).tolist() == [row for row in range(60) if row not in (7, 57)]
    assert table.readable(1).tolist() == [0, 1, 2, 3, 4]
    assert table.column("jumps").tolist() == [wanted[clip].jumps for clip in range(65)]


def test_a_clip_takes_no_memory(tmp_path):
    index, generator = index_of(tmp_path / "train.csv", 3000), np.random.default_rng(1)
    tracemalloc.start()
    table = FactsTable([index])
    for row in range(3000):
        table.add(row, facts_of(index, row, "train", generator))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20_000
    assert table._database.execute("PRAGMA cache_size").fetchone() == (-2000,)  # kilobytes that SQLite itself holds


def test_faults_are_those_of_the_clips_in_order_each_kind_once(tmp_path):
    """The same as with a list per clip: the first of a kind counts, the last found is told first."""
    generator = np.random.default_rng(2)
    clips, kinds = (generator.integers(0, size, 500).tolist() for size in (60, 5))
    found = [(clip, f"kind {kind}", f"{place}") for place, (clip, kind) in enumerate(zip(clips, kinds, strict=True))]
    wanted = []
    for clip in range(60):
        first: dict[str, str] = {}
        for of, kind, detail in found:
            if of == clip:
                first.setdefault(kind, detail)
        wanted += [Fault(clip, kind, detail) for kind, detail in reversed(first.items())]
    faults = Faults(found)
    assert list(faults) == wanted and len(faults) == len(wanted) and faults[-1] == wanted[-1]
    assert list(faults.clips()) == sorted(set(clips)) and not Faults() and list(Faults()) == []
    assert Faults([(0, "unreadable", "odd\udcff.wav")])[0].detail == "odd?.wav"


def test_a_full_disk_is_told_in_one_line(tmp_path):
    table = FactsTable([index_of(tmp_path / "train.csv", 900)])
    table._database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(SopeduError, match="temporary files cannot be written .*full.*TMPDIR"), temporary_space():
        for row in range(900):
            table.add(row, ClipFacts("a", "b", "c", "train", row, sound=np.arange(99)))
