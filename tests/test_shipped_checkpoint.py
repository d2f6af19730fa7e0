"""The checkpoint in data_samples does what its card and metrics.json say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sopedu.checkpoints import Checkpoint, load_checkpoint
from sopedu.evaluation import evaluate
from sopedu.toyband import INSTRUMENTS

FOLDER = Path(__file__).parent.parent / "data_samples" / "checkpoints" / "toyband-tiny"


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint(FOLDER)


def test_it_is_small_and_knows_all_eleven_instruments(shipped):
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3_000_000
    assert shipped.class_names == INSTRUMENTS
    assert shipped.trained_on["data"] == "toyband"
    assert (FOLDER / "README.md").exists()


def test_it_separates_as_well_as_its_metrics_say(shipped):
    # 22 other pairs than the 64 of metrics.json: single pairs spread by about 4.5 dB, so the mean of 22 has a
    # standard error of 1 dB, and three of them are allowed.
    written = shipped.metrics
    found = evaluate(shipped, pairs=22, seed=5)
    assert found["sdr"] == pytest.approx(written["sdr"], abs=3.0)
    assert found["sdr"] > found["sdr_static_mask"] + 1.5
    assert found["sdr_ideal_ratio_mask"] > found["sdr"] > found["sdr_mixture"] + 3
    assert found["sdr_swapped"] < -3
    assert max(found["leak_blank"], found["leak_absent"]) < -10
