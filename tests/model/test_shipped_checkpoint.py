"""The checkpoints in data_samples do what their cards and metrics.json say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sopedu.evaluation.localization import evaluate_localization
from sopedu.evaluation.separation import evaluate
from sopedu.evaluation.statistics import score_markdown
from sopedu.model.checkpoints import Checkpoint, load_checkpoint
from sopedu.toyband import INSTRUMENTS

FOLDER = Path(__file__).parents[2] / "data_samples" / "checkpoints"


@pytest.fixture(scope="module", params=["toyband-tiny", "toyband"])
def shipped(request) -> tuple[Path, Checkpoint]:
    return FOLDER / request.param, load_checkpoint(FOLDER / request.param)


def test_it_is_small_and_knows_all_eleven_instruments(shipped):
    folder, checkpoint = shipped
    largest = {"toyband-tiny": 3_000_000, "toyband": 6_000_000}[folder.name]
    assert sum(path.stat().st_size for path in folder.iterdir()) < largest
    assert checkpoint.class_names == INSTRUMENTS
    assert checkpoint.trained_on["data"] == {"toyband-tiny": "toyband", "toyband": "toyband+sampled"}[folder.name]
    assert (folder / "README.md").exists()


def test_its_card_shows_the_figures_of_its_metrics_with_si_sdr_and_intervals(shipped):
    folder, checkpoint = shipped
    table = score_markdown(checkpoint.metrics)
    assert table in (folder / "README.md").read_text(encoding="utf-8")
    head, *rows = ([cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines())
    assert head == ["", "SDR", "95 % interval", "SIR", "SAR", "SI-SDR"] and len(rows) == 1 + len(
        checkpoint.metrics["table"]
    )
    model = next(row for row in rows if row[0] == "model")
    assert float(model[-1]) == pytest.approx(checkpoint.metrics["si_sdr"], abs=0.006)


def test_it_separates_as_well_as_its_metrics_say(shipped):
    # 32 other pairs than the 64 of metrics.json: single pairs spread by about 4.5 dB, so the mean of 32 has a
    # standard error of 0.8 dB, and three of them are allowed.
    folder, checkpoint = shipped
    written = checkpoint.metrics
    found = evaluate(checkpoint, pairs=32, seed=5, dictionaries=False)
    assert found["sdr"] == pytest.approx(written["sdr"], abs=2.4)
    beyond = {"toyband-tiny": 1.5, "toyband": 6}[folder.name]
    assert found["sdr"] > found["sdr_static_mask"] + beyond
    assert found["sdr_ideal_ratio_mask"] > found["sdr"] > found["sdr_mixture"] + 3
    assert found["sdr_swapped"] < {"toyband-tiny": -3, "toyband": -7}[folder.name]
    assert max(found["leak_blank"], found["leak_absent"]) < {"toyband-tiny": -10, "toyband": -9}[folder.name]


def test_after_pasted_scenes_the_peak_is_where_somebody_plays():
    # 0.94 and 0.95 on 200 scenes (seeds 0, 90210), chance 0.19; and where both play 10.0 and 9.4 dB for a player's box,
    # 9.9 and 9.4 for its middle. Single duets spread by 4 dB, so the mean of 30 by 0.7, and the peak of 30 scenes by
    # 0.05.
    found = evaluate_localization(load_checkpoint(FOLDER / "toyband"), scenes=30, seed=3, duets=30)
    assert found["peak_in_player"] >= 0.8 > found["peak_in_player_unrelated_audio"] + 0.1
    assert found["sdr_box"] > 6.5 and found["sdr_centre"] > 6.5 and found["sdr_other_box"] < -5.5
    assert found["silent_map_level"] < 0.15 < 0.6 < found["map_levels"]["playing"]
