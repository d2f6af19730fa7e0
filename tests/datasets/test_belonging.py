"""With whom a clip is compared: sounds of other classes, pictures of other clips of its own."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from sopedu.data.mixing import NOBODY
from sopedu.datasets import belonging

LABELS = np.array([0, 1, 2, 0, 1, 3, 0, 1, 0, NOBODY, 1, 0, 3, 1] * 9)


@pytest.mark.parametrize("rows", [range(len(LABELS)), range(0, len(LABELS), 2), range(5)])
def test_every_clip_hears_other_classes_and_sees_others_of_its_own(monkeypatch, rows):
    met = {}
    monkeypatch.setattr(belonging, "_read", lambda clips, row: row)

    def figures(checkpoint, own, heard, seen):
        met[own] = set(heard), set(seen)
        assert len(met[own][0]) == len(heard) and len(met[own][1]) == len(seen) == 3
        return float(own), 0.0

    def fit(checkpoint, moments, seen, others):
        own, *later = moments
        assert {key.index for key in later} == {own} and len({key.epoch for key in later}) == len(later) == 2
        assert {LABELS[row] for row in seen} == {LABELS[own]}
        for label, shown in others.items():
            assert label not in (LABELS[own], NOBODY) and {LABELS[row] for row in shown} == {label}
            assert len(set(shown)) == 2 and set(shown) <= set(rows)
        compared[own] = set(others)
        return -float(own), min(others)

    compared = {}
    monkeypatch.setattr(belonging, "_figures", figures)
    monkeypatch.setattr(belonging, "_fit", fit)
    told = []
    found = belonging.judge_belonging(None, SimpleNamespace(labels=LABELS), list(rows), progress=told.append)
    counts = Counter(LABELS[list(rows)].tolist())
    assert met.keys() == {row for row in rows if LABELS[row] != NOBODY and counts[LABELS[row]] >= 4}
    for own, (heard, seen) in met.items():
        assert {LABELS[row] for row in seen} == {LABELS[own]} and own not in seen
        assert LABELS[own] not in {LABELS[row] for row in heard} and (heard | seen) <= set(rows)
        assert len(heard) == min(belonging.MIXTURES, len(rows) - counts[LABELS[own]])
    for place, row in enumerate(rows):  # each figure is at the place of its clip
        assert found.preference[place] == row if row in met else np.isnan(found.preference[place])
        assert found.fit[place] == -row if row in compared else np.isnan(found.fit[place])
        assert found.heard_as[place] == (min(compared[row]) if row in compared else -1)
    # With all that two pictures can be had of, as here, every clip is compared.
    shown = {label for label, count in counts.items() if count >= 2 and label != NOBODY}
    assert compared == {row: shown - {LABELS[row]} for row in met if shown - {LABELS[row]}}
    assert told[-1] == len(rows)
    for drawn in zip(*met.values(), strict=True):  # not always the same ones
        assert len(set().union(*drawn)) > 0.8 * len(met)
