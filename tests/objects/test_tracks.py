"""Tracks: every object is followed, none is mixed up with another, and names fit files."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.errors import SopeduError
from sopedu.localization.places import intersection_over_union
from sopedu.objects.box_file import BoxFile
from sopedu.objects.detection import make_detections
from sopedu.objects.registry import named_detector
from sopedu.objects.tracks import Track, find_tracks, link_detections, track_names
from sopedu.toyband import scene


def at(x: float, y: float = 0.5, half: float = 0.1) -> list[float]:
    return [x - half, y - half, x + half, y + half]


def seen(*things: tuple[str, list[float]], score: float = 0.8):
    return make_detections([box for _, box in things], [label for label, _ in things], [score] * len(things))


def summary(tracks: list[Track]) -> list[tuple[str, list[float]]]:
    return [(track.label, track.times.tolist()) for track in tracks]


def test_two_that_move_are_followed_and_stand_from_left_to_right():
    times = [0.0, 0.2, 0.4, 0.6]
    pictures = [seen(("violin", at(0.7 - 0.2 * t)), ("tuba", at(0.3 + 0.2 * t))) for t in times]
    tuba, violin = link_detections(pictures, times)
    assert (tuba.label, violin.label) == ("tuba", "violin") and tuba.score == pytest.approx(0.8)
    np.testing.assert_allclose(violin.boxes, [at(0.7 - 0.2 * t) for t in times])
    np.testing.assert_allclose(tuba.mean_box, at(0.36))


def test_a_box_lies_on_a_straight_line_between_sightings_and_is_held_outside():
    track = Track("violin", np.array([1.0, 2.0]), np.array([[0, 0, 0.2, 0.4], [0.4, 0.2, 0.8, 1.0]]), 1.0)
    assert track.box_at(1.25) == pytest.approx((0.1, 0.05, 0.35, 0.55))
    assert track.box_at(-5) == (0, 0, 0.2, 0.4) and track.box_at(9) == (0.4, 0.2, 0.8, 1.0)


def test_a_short_gap_is_bridged_and_where_nobody_was_seen_the_way_is_straight():
    pictures = [seen(("violin", at(0.4))), seen(), seen(("violin", at(0.44)))]
    (track,) = link_detections(pictures, [0.0, 0.5, 1.0])
    assert track.times.tolist() == [0, 1] and track.box_at(0.5) == pytest.approx(at(0.42))


def test_a_gap_counts_only_where_a_picture_lacked_it_and_who_returns_after_a_long_one_is_new():
    # Pictures two seconds apart: nobody can be seen more often, so nobody is lost.
    assert summary(link_detections([seen(("violin", at(0.5)))] * 3, [0, 2, 4])) == [("violin", [0, 2, 4])]
    lost = [seen(("violin", at(0.5)))] * 2 + [seen()] + [seen(("violin", at(0.5)))] * 2
    tracks = link_detections(lost, [0, 1, 2, 3, 4])
    assert summary(tracks) == [("violin", [0, 1]), ("violin", [3, 4])]
    assert track_names(tracks) == ["violin", "violin-2"]
    assert summary(link_detections(lost, [0, 1, 2, 3, 4], longest_gap=2)) == [("violin", [0, 1, 3, 4])]


def test_the_overlaps_together_decide_not_the_first_come():
    # The first box overlaps the other's track best, but then the second would have none at all.
    before = seen(("violin", [0.0, 0, 0.4, 1]), ("violin", [0.3, 0, 0.7, 1]))
    after = seen(("violin", [0.16, 0, 0.56, 1]), ("violin", [0.5, 0, 0.9, 1]))
    shared = intersection_over_union(after.boxes, before.boxes)
    assert shared[0].argmax() == 1 and shared[1, 0] == 0
    left, right = link_detections([before, after], [0, 0.1], overlap=0.3)
    np.testing.assert_array_equal(left.boxes, [before.boxes[0], after.boxes[0]])
    np.testing.assert_array_equal(right.boxes, [before.boxes[1], after.boxes[1]])


def test_labels_are_never_mixed_and_what_jumps_is_another():
    pictures = [seen(("violin", at(0.3))), seen(("erhu", at(0.3))), seen(("violin", at(0.8)))]
    assert sorted(summary(link_detections(pictures, [0, 0.1, 0.2], least=1))) == [
        ("erhu", [0.1]),
        ("violin", [0.0]),
        ("violin", [0.2]),
    ]
    assert link_detections(pictures, [0, 0.1, 0.2]) == []  # seen once each, so false alarms


def test_one_picture_is_enough_where_there_is_one_and_none_gives_none():
    assert summary(link_detections([seen(("tuba", at(0.3)))], [0.0])) == [("tuba", [0.0])]
    assert link_detections([], []) == [] and link_detections([seen(), seen()], [0, 1]) == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6))
def test_the_order_in_which_a_detector_names_things_does_not_matter(seed, count):
    generator = np.random.default_rng(seed)
    places = np.linspace(0.05, 0.95, count) + generator.uniform(-0.02, 0.02, count)
    labels = generator.choice(["violin", "tuba"], count)
    things = [(str(label), at(x, half=0.06)) for label, x in zip(labels, places, strict=True)]
    shuffled = [seen(*(things[i] for i in generator.permutation(count))) for _ in range(4)]
    tracks = link_detections(shuffled, [0, 0.25, 0.5, 0.75])
    assert [track.label for track in tracks] == list(labels)
    np.testing.assert_allclose([track.mean_box for track in tracks], [box for _, box in things])


@pytest.mark.parametrize(
    ("times", "said"),
    [([0.0], "2 pictures, but 1 times"), ([0, 0], "must ascend"), ([1, 0.5], "must ascend")],
)
def test_times_that_do_not_fit_are_told(times, said):
    with pytest.raises(SopeduError, match=said):
        link_detections([seen(), seen()], times)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.sampled_from(["a", "A", "a-2", "a b", "../a", "é"])), max_size=12))
def test_names_are_unique_and_fit_files_whatever_the_labels(labels):
    names = track_names([Track(label, np.zeros(1), np.zeros((1, 4)), 1.0) for label in labels])
    assert len({name.casefold() for name in names}) == len(labels)
    assert all(re.fullmatch(r"[^\W_][\w-]{0,39}", name) for name in names)


def test_names_of_instruments_stay_as_they_are():
    labels = ["acoustic_guitar", "violin", "violin", "grand piano", "violin", "???"]
    names = track_names([Track(label, np.zeros(1), np.zeros((1, 4)), 1.0) for label in labels])
    assert names == ["acoustic_guitar", "violin", "violin-2", "grand-piano", "violin-3", "object"]


# --- looking at pictures ---


def test_any_callable_is_a_detector_and_gets_few_pictures_at_a_time():
    asked = []

    def detect(frames):
        asked.append(len(frames))
        doubled = make_detections([at(0.3), at(0.31), at(0.8)], ["dog"] * 3, [0.5, 0.9, 0.7])
        return [doubled] * len(frames)

    pictures = ((number / 4, np.zeros((8, 8, 3), np.uint8)) for number in range(20))
    tracks = find_tracks(detect, pictures)
    assert sum(asked) == 20 and max(asked) <= 8
    assert [(track.label, len(track.times)) for track in tracks] == [("dog", 20)] * 2
    np.testing.assert_allclose(tracks[0].boxes, [at(0.31)] * 20)  # the surer of two in one place


def test_a_wrong_answer_and_pictures_of_two_sizes_are_told():
    def lazy(frames):
        return None

    with pytest.raises(SopeduError, match="detector lazy: has to return a list"):
        find_tracks(lazy, [(0.0, np.zeros((8, 8, 3), np.uint8))])
    with pytest.raises(SopeduError, match="must have one size"):
        find_tracks(lazy, [(0.0, np.zeros((8, 8, 3), np.uint8)), (1.0, np.zeros((8, 9, 3), np.uint8))])


def test_a_box_file_needs_no_pictures_and_bridges_every_gap():
    def never():
        raise AssertionError("a picture was asked for")
        yield

    moments = (
        seen(("violin", at(0.2)), ("violin", at(0.7))),
        seen(("violin", at(0.95, half=0.04)), ("tuba", at(0.5)), ("violin", at(0.4))),
    )
    tracks = find_tracks(BoxFile("boxes.json", (1.0, 31.0), moments), never(), start=1.0)
    assert summary(tracks) == [("violin", [0, 30]), ("tuba", [30]), ("violin", [0, 30])]
    assert tracks[0].box_at(15) == pytest.approx(at(0.3))


def test_the_toy_band_is_found_followed_and_named_from_left_to_right():
    names, times = ("cello", "violin", "trumpet"), np.arange(0, 2, 0.25)
    shown = scene(names, 77, "test", samples=22050, size=(144, 256), times=times)
    tracks = find_tracks(named_detector("toyband"), zip(shown.times, shown.frames, strict=True))
    assert track_names(tracks) == list(names)
    for track, boxes in zip(tracks, shown.boxes, strict=True):
        assert len(track.times) == len(times)
        for time, box in zip(times, boxes, strict=True):
            assert intersection_over_union(track.box_at(time), box)[0, 0] > 0.6
