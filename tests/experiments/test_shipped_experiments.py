"""The experiments that come with sopedu: every question has its rows, and a model's sound agrees with its figures."""

from __future__ import annotations

import pytest

from sopedu.data import open_clips
from sopedu.evaluation import held_out_pairs
from sopedu.experiments import experiment_rows, experiment_topics, finished_experiments
from sopedu.lessons import judge_quickly

KINDS = sorted({run.kind for run in finished_experiments()})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("topic", sorted(experiment_topics()))
def test_every_question_has_a_row_per_answer_with_three_seeds(kind, topic):
    fields = set(experiment_topics()[topic]["fields"])
    rows = experiment_rows(kind, topic)
    assert len(rows) >= 2
    for row in rows:
        assert set(row.values) == fields
        assert row.seeds == (0, 1, 2) and row.pairs == 64
        low, high = row.intervals["sdr"]
        assert low <= row.mean("sdr") <= high


def test_models_sound_as_their_figures_say():
    """64 pairs gave the figures, 8 of them are heard here: K = 2 is far below K = 16, and both near their figures."""
    runs = {run.name: run for run in finished_experiments("heads")}
    few, many = runs["components-2_seed-0"], runs["seed-0"]
    assert (few.config.model.components, many.config.model.components) == (2, 16)
    pairs = held_out_pairs(open_clips("toyband", many.config, "test"), 8)
    gains = {run.name: judge_quickly(run.load().model, pairs)[0] for run in (few, many)}
    assert gains[many.name] > gains[few.name] + 3
    for run in (few, many):
        assert gains[run.name] == pytest.approx(run.figures["sdr"] - run.figures["sdr_mixture"], abs=3)
