"""Which index is opened: to train on, and to judge with."""

from __future__ import annotations

from pathlib import Path

import pytest

from sopedu.config import preset
from sopedu.data import opening
from sopedu.data.opening import index_beside, is_held_out, open_clips


@pytest.mark.parametrize(
    ("given", "there", "judged", "learnt"),
    [
        ("train.csv", ["val.csv", "test.csv"], "val.csv", "train.csv"),
        ("train.clean.csv", ["val.csv", "val.clean.csv"], "val.clean.csv", "train.clean.csv"),
        ("train.clean.csv", ["val.csv"], "val.csv", "train.clean.csv"),
        ("train.clean.csv", [], "train.clean.csv", "train.clean.csv"),
        ("mine.csv", ["val.csv"], "val.csv", "mine.csv"),
        ("val.csv", ["train.csv", "train.clean.csv"], "val.csv", "train.csv"),
        ("test.csv", ["val.csv", "train.csv"], "test.csv", "train.csv"),
        ("test.clean.csv", ["val.clean.csv", "train.csv", "train.clean.csv"], "test.clean.csv", "train.clean.csv"),
        ("test.clean.csv", ["train.csv"], "test.clean.csv", "train.csv"),
        ("test.csv", [], "test.csv", "test.csv"),
        ("tests.csv", ["val.csv", "train.csv"], "val.csv", "tests.csv"),
    ],
)  # fmt: skip
def test_cleaned_indexes_are_judged_with_cleaned_ones_and_a_held_out_one_with_itself(
    monkeypatch, tmp_path, given, there, judged, learnt
):
    for name in (given, *there):
        (tmp_path / name).touch()
    monkeypatch.setattr(opening, "IndexClips", lambda path, *_: Path(path).name)
    data = tmp_path / given
    assert open_clips(str(data), preset("tiny"), "validation") == judged
    assert open_clips(str(data), preset("tiny")) == given
    assert (index_beside(data, "train").name if is_held_out(data) else given) == learnt
