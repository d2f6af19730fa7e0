"""Estimates: a few mixtures stand for a batch, nothing else changes; durations read as they were."""

from __future__ import annotations

import pytest
import torch

from sopedu.cli.sweep import parse_duration
from sopedu.config import preset, with_values
from sopedu.training import estimate
from sopedu.training.estimate import seconds_per_mixture, spoken


@pytest.mark.parametrize(("batch", "sources", "few"), [(16, 2, 4), (3, 2, 3), (16, 5, 5)])
def test_a_step_of_few_mixtures_is_measured_and_random_numbers_stay(monkeypatch, batch, sources, few):
    measured = []

    def measure(config, steps, precision):
        torch.rand(3)
        measured.append((config.training.batch_size, config.training.compile, steps))
        return 0.5 * config.training.batch_size

    monkeypatch.setattr(estimate, "measure_step", measure)
    values = [f"training.batch_size={batch}", f"mixing.sources={sources}", "training.compile=default"]
    state = torch.get_rng_state()
    assert seconds_per_mixture(with_values(preset("tiny"), values), 3) == pytest.approx(0.5)
    assert measured == [(few, "none", 3)] and torch.equal(torch.get_rng_state(), state)


def test_a_duration_reads_as_it_was_but_for_its_last_digit():
    said = [spoken(seconds) for seconds in (0.2, 3, 89.4, 600, 7200, 9000, 200_000, 1_040_000)]
    assert said == ["1 s", "3 s", "89 s", "10 min", "2 h", "2.5 h", "2 days", "12 days"]
    half_a_digit = {"s": 0.5, "min": 30.0, "h": 180.0 + 1e-6}
    for seconds in range(1, 172_800, 7):
        text = spoken(seconds)
        assert abs(parse_duration(text.replace(" ", "")) - seconds) <= half_a_digit[text.split()[1]], text
