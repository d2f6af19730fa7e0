"""Splits: by video, complete, and the same on every machine."""

from __future__ import annotations

from collections import Counter

import pytest

from sopedu.datasets.ledger import Row
from sopedu.datasets.splits import PROTOCOLS, SPLITS, splits_of_videos


def rows(videos: int, clips: int = 1, labels: tuple[str, ...] = ("cello", "flute"), split: str = "") -> list[Row]:
    return [
        Row(f"{label}{video}_{clip}", label, "ok", video=f"{label}{video}", split=split)
        for label in labels
        for video in range(videos)
        for clip in range(clips)
    ]


def assign_splits(some: list[Row], protocol: str, seed: int = 0) -> dict[str, list[Row]]:
    """The usable rows of each split."""
    where = splits_of_videos(iter(some), protocol, seed)
    return {split: [row for row in some if row.state == "ok" and where[row.video] == split] for split in SPLITS}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_usable_clip_is_in_one_split_and_a_video_never_in_two(protocol):
    all_rows = rows(20, clips=3) + [Row("lost", "flute", "missing", video="lost")]
    splits = assign_splits(all_rows, protocol)
    assert sorted(row.id for split in splits.values() for row in split) == sorted(row.id for row in rows(20, clips=3))
    where = {split: {row.video for row in found} for split, found in splits.items()}
    assert where["train"] and sum(map(len, where.values())) == 40
    for split in ("val", "test") if protocol != "listed" else ("val",):
        assert set(Counter(row.label for row in splits[split])) == {"cello", "flute"}


def test_music_takes_the_first_video_for_validation_and_the_second_for_the_test():
    splits = assign_splits([Row("dead", "cello", "missing", video="dead"), *rows(5)], "music")
    assert [row.id for row in splits["val"]] == ["cello0_0", "flute0_0"]
    assert [row.id for row in splits["test"]] == ["cello1_0", "flute1_0"]


def test_the_list_decides_where_it_says_so():
    listed = rows(40, labels=("a",), split="train") + rows(5, labels=("b",), split="test")
    splits = assign_splits(listed, "listed")
    assert {row.label for row in splits["test"]} == {"b"} and len(splits["test"]) == 5
    assert (len(splits["val"]), len(splits["train"])) == (2, 38)


def test_a_seed_gives_one_split_and_another_seed_another():
    first, same, other = (assign_splits(rows(40), "seeded", seed)["test"] for seed in (1, 1, 2))
    assert first == same != other and len(first) == len(other) == 8


def test_more_clips_leave_the_splits_of_the_others_nearly_as_they_are():
    few, more = (assign_splits(rows(count), "seeded") for count in (100, 101))
    moved = {row.id for row in few["test"]} ^ {row.id for row in more["test"]}
    assert len(moved) <= 4


def test_classes_of_one_or_two_videos_only_train():
    assert {split: len(found) for split, found in assign_splits(rows(2), "seeded").items()} == {
        "train": 4, "val": 0, "test": 0,
    }  # fmt: skip
