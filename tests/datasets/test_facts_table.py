"""Facts of many clips take little memory, and come back as they were measured."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sopedu.data.prepared import ClipIndex, read_index
from sopedu.datasets.clip_facts import ClipFacts
from sopedu.datasets.facts_table import FactsTable


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
    assert table.problems.keys() == {7, 57}


@pytest.mark.parametrize("clips", [1000, 4000])
def test_a_clip_takes_half_a_kilobyte(tmp_path, clips):
    index, generator = index_of(tmp_path / "train.csv", clips), np.random.default_rng(1)
    tracemalloc.start()
    table = FactsTable([index])
    for row in range(clips):
        table.add(row, facts_of(index, row, "train", generator))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 600 * clips
