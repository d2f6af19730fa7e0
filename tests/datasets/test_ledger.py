"""The ledger: what is written comes back, and half a line does not count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sopedu.datasets.ledger import HEADER, Log, Row, read_log, write_ledger
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
