"""The ledger: what is written comes back, and half a line does not count."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sopedu.datasets import ledger
from sopedu.datasets.ledger import HEADER, Log, LoggedRows, Row, read_log, write_ledger
from sopedu.errors import SopeduError

ROWS = [
    Row("a_000030", "flute, alto", "ok", "", 12.5, 29.97, 10.0, "0f" * 16, 80, 30.0, "a", "test", 3),
    Row("-b", "cello", "missing", 'no film of "this" name'),
]


def test_rows_come_back_from_log_and_ledger(tmp_path):
    with Log(tmp_path / "rows.csv") as log:
        for row in ROWS:
            log.add(row, synced=True)
    write_ledger(tmp_path / "clips.csv", ROWS)
    assert list(read_log(tmp_path / "rows.csv")) == list(read_log(tmp_path / "clips.csv")) == ROWS
    assert (tmp_path / "clips.csv").read_text().startswith("id,class,state,reason,duration,fps,seconds,hash,")
    assert len(HEADER) == 13


def test_a_log_cut_anywhere_keeps_its_complete_rows_and_goes_on(tmp_path):
    with Log(tmp_path / "rows.csv") as log:
        for row in ROWS:
            log.add(row)
    whole = (tmp_path / "rows.csv").read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        (tmp_path / "cut.csv").write_bytes(whole[:size])
        assert list(read_log(tmp_path / "cut.csv")) == ROWS[: int(size >= first)]
        with Log(tmp_path / "cut.csv") as log:
            log.add(ROWS[1])
        assert list(read_log(tmp_path / "cut.csv")) == [*ROWS[: int(size >= first)], ROWS[1]]


@given(st.text(max_size=40), st.floats(0, 1e6))
def test_any_reason_is_one_line(tmp_path_factory, reason, seconds):
    path = tmp_path_factory.mktemp("ledger") / "clips.csv"
    reason = reason.encode("utf-8", "replace").decode()
    write_ledger(path, [Row("a", "b", "damaged", reason, round(seconds, 3))])
    assert len(path.read_bytes().splitlines()) >= 2
    assert list(read_log(path)) == [Row("a", "b", "damaged", " ".join(reason.split()), round(seconds, 3))]


def test_a_line_that_is_no_row_is_named(tmp_path):
    write_ledger(tmp_path / "clips.csv", ROWS)
    with open(tmp_path / "clips.csv", "a") as file:
        file.write("something,else\n")
    with pytest.raises(SopeduError, match=r"clips\.csv, line 4"):
        list(read_log(tmp_path / "clips.csv"))


def some_row(generator: np.random.Generator) -> Row:
    state = str(generator.choice(["ok", "missing", "damaged"]))
    name, place = f"film {generator.integers(30)}", int(generator.integers(3))
    return Row(name, str(generator.choice(["flute", "cello"])), state, hash=f"{generator.integers(10**9)}", place=place)


@pytest.mark.parametrize("seed", range(4))
def test_of_several_logs_the_newest_rows_count_and_those_that_are_ok_stay(tmp_path, seed, monkeypatch):
    """As a dictionary of rows would have it; more logs than are opened at a time."""
    monkeypatch.setattr(ledger, "_OPEN_LOGS", 2)
    generator, wanted, paths = np.random.default_rng(seed), {}, []
    for log in range(5):
        paths.append(tmp_path / f"{log}.csv")
        with Log(paths[-1]) as file:
            for row in (some_row(generator) for _ in range(12)):
                file.add(row)
                if row.key not in wanted or wanted[row.key].state != "ok":
                    wanted[row.key] = row
    write_ledger(tmp_path / "clips.csv", wanted.values())
    held = LoggedRows(paths)
    assert {key: held.state(key) for key in wanted} == {key: row.state for key, row in wanted.items()}
    assert len(held) == len(wanted) and held.state("flute/unknown") is None
    rows = held.ordered
    assert list(rows()) == list(rows()) == sorted(wanted.values(), key=lambda row: (row.place, row.label, row.id))
    assert list(LoggedRows([tmp_path / "clips.csv"]).ordered()) == list(rows())


def test_rows_of_a_long_list_take_no_memory(tmp_path):
    names = [f"{number:011d}" for number in range(2000)]
    rows = [
        Row(f"{name}_000030", "flute", "ok", "", 10.0 + n, 25.0, 10.0, f"{n:032x}", 80, 30.0, name, "train", n)
        for n, name in enumerate(names)
    ]
    write_ledger(tmp_path / "clips.csv", rows)
    tracemalloc.start()
    held = LoggedRows([tmp_path / "clips.csv"])
    assert sum(1 for _ in held.ordered()) == len(held) == 2000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000 and list(held.ordered()) == rows
