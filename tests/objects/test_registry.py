"""A new detector is one entry: it is found by its name, alone or with words."""

from __future__ import annotations

import numpy as np
import pytest

from sopedu.errors import SopeduError
from sopedu.objects import find_tracks, make_detections, named_detector
from sopedu.objects.registry import DETECTORS, NamedDetector

PICTURES = [(second / 2, np.zeros((20, 40, 3), np.uint8)) for second in range(3)]


def left_half(frames):
    return [make_detections([[0, 0, 0.5, 1]], ["left"], [0.9]) for _ in frames]


def test_a_detector_is_one_entry(monkeypatch):
    monkeypatch.setitem(DETECTORS, "left", NamedDetector(lambda: left_half))
    (track,) = find_tracks(named_detector("left"), PICTURES)
    assert track.label == "left" and track.box_at(0.2) == (0, 0, 0.5, 1)
    with pytest.raises(SopeduError, match="'left:violin': choose toyband, faster-rcnn, owlv2, left"):
        named_detector("left:violin")


def test_a_detector_may_take_words(monkeypatch):
    given = []
    monkeypatch.setitem(
        DETECTORS, "left", NamedDetector(lambda words: given.append(words) or left_half, takes_words=True)
    )
    named_detector("left: violin ,tuba,")
    named_detector("left")
    assert given == [["violin", "tuba"], []]


def test_what_an_entry_makes_is_checked(monkeypatch):
    monkeypatch.setitem(DETECTORS, "nobody", NamedDetector(lambda: lambda frames: None))
    with pytest.raises(SopeduError, match="detector nobody: has to return a list of 1 Detections"):
        named_detector("nobody")(PICTURES[0][1][None])
