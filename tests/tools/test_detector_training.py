"""The training of the toy band's detector: targets, loss and score by hand, and training that repeats."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from command import tool

from sopedu.objects import ToyBandDetector, ToyBandNet, boxes_of_cells, load_toyband_detector, make_detections
from sopedu.toyband import INSTRUMENTS
from tools import detector_training
from tools.detector_training import (
    detection_loss,
    detector_scene,
    evaluate_toyband_detector,
    mean_average_precision,
    targets,
    train_toyband_detector,
)

# --- what the net should put out ---


def test_a_player_is_a_bell_in_the_map_of_his_instrument_where_his_middle_lies():
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.6, 0.5, 0.9, 0.75], [0, 0, 0, 0]]])
    maps, meant, weights = targets(boxes, torch.tensor([[2, 0, -1]]), classes=3, height=8, width=16)
    assert [tuple(map(int, place)) for place in torch.nonzero(maps == 1)] == [(0, 0, 5, 12), (0, 2, 4, 4)]
    assert not maps[0, 1].any()
    assert torch.equal(meant[0, 4, 4], boxes[0, 0]) and torch.equal(meant[0, 5, 12], boxes[0, 1])
    assert weights[0, 4, 4] == 1 and weights[0, 0, 15] == 0
    # A tenth of the box is the bell's spread, half a cell at least: here 0.8 cells across and 0.8 down.
    assert maps[0, 2, 4, 5] == pytest.approx(np.exp(-0.5 / 0.8**2), abs=1e-6)
    assert maps[0, 2, 5, 4] == pytest.approx(np.exp(-0.5 / 0.8**2), abs=1e-6)


def perfect(boxes: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits and distances that a net which knows the truth would answer on a grid of 8 × 16."""
    maps, meant, _ = targets(boxes, labels, 3, 8, 16)
    middle = boxes_of_cells(torch.zeros(len(boxes), 4, 8, 16))
    apart = (meant - middle) * torch.tensor([-16.0, -8, 16, 8])
    return torch.where(maps == 1, 20.0, -20.0), apart.permute(0, 3, 1, 2)


def test_the_loss_is_nothing_for_the_truth_and_grows_with_wrong_names_and_boxes():
    boxes, labels = torch.tensor([[[0.1, 0.1, 0.5, 0.9]]]), torch.tensor([[1]])
    logits, distances = perfect(boxes, labels)
    assert detection_loss(logits, distances, boxes, labels) < 1e-5
    assert detection_loss(logits, distances, boxes, torch.tensor([[2]])) > 10
    assert 0.3 < detection_loss(logits, distances * 1.3, boxes, labels) < 2
    nobody = torch.full_like(labels, -1)
    assert detection_loss(torch.full_like(logits, -20), distances, boxes, nobody) < 1e-5


# --- the score ---


def test_average_precision_by_hand():
    there = [make_detections([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], ["tuba", "tuba"], [1, 1])]
    same, off = [0, 0, 0.5, 1], [0, 0, 0.2, 1]  # the second overlaps by 0.4
    for boxes, scores, expected in (
        (there[0].boxes, [0.9, 0.8], 1.0),
        ([same], [0.9], 0.5),
        ([off], [0.9], 0.0),
        ([same, same], [0.9, 0.8], 0.5),  # the second of two for one player is a false alarm
        ([off, *there[0].boxes], [0.9, 0.8, 0.7], 0.5 * 2 / 3 + 0.5 * 2 / 3),  # precisions 0, 1/2, 2/3
        ([same, off, there[0].boxes[1]], [0.9, 0.8, 0.7], 0.5 * 1 + 0.5 * 2 / 3),
        ([], [], 0.0),
    ):
        answer = [make_detections(boxes, ["tuba"] * len(scores), scores)]
        assert mean_average_precision(answer, there)[0] == pytest.approx(expected)


def test_the_mean_is_over_the_labels_that_are_there_and_other_pictures_do_not_help():
    box = [[0, 0, 1, 1]]
    there = [make_detections(box, ["tuba"], [1]), make_detections(box, ["flute"], [1])]
    mean, figures = mean_average_precision(
        [make_detections(box, ["tuba"], [0.5]), make_detections(box, ["tuba"], [0.9])], there
    )
    assert figures == {"flute": 0.0, "tuba": pytest.approx(0.5)} and mean == pytest.approx(0.25)
    assert np.isnan(mean_average_precision([make_detections([], [], [])], [make_detections([], [], [])])[0])


# --- training ---


def test_scenes_to_learn_from_hold_up_to_three_who_play_or_not_and_repeat():
    counts = set()
    for number in range(24):
        pictures, truth = detector_scene(number, "train")
        again, _ = detector_scene(number, "train")
        np.testing.assert_array_equal(pictures, again)
        assert len(truth) == len(pictures) == 2 and set(truth[0].labels) <= set(INSTRUMENTS)
        counts.add(len(truth[0]))
    assert counts == {0, 1, 2, 3}
    assert detector_scene(3, "train")[0].tobytes() != detector_scene(3, "validation")[0].tobytes()


def test_a_training_repeats_bit_by_bit_and_learns_what_it_sees():
    first, second = (train_toyband_detector(8, 4, 4, seed=5, progress=False) for _ in range(2))
    weights = second.net.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.net.state_dict().items())
    assert not first.net.training
    detector = train_toyband_detector(4, 60, 4, progress=False)
    shown = [detector_scene(number, "train") for number in range(4)]
    answers = [one for pictures, _ in shown for one in replace(detector, least_score=0.02)(pictures)]
    truth = [one for _, known in shown for one in known]
    assert mean_average_precision(answers, truth)[0] > 0.5
    untrained = ToyBandDetector(ToyBandNet().eval(), least_score=0.001)
    answers = [one for pictures, _ in shown for one in untrained(pictures)]
    assert mean_average_precision(answers, truth)[0] < 0.1


# --- the command ---


def test_the_command_trains_evaluates_and_writes_a_folder_that_loads(monkeypatch, tmp_path):
    monkeypatch.setattr(detector_training, "evaluate_toyband_detector", partial(evaluate_toyband_detector, scenes=3))
    monkeypatch.setattr(detector_training, "train_toyband_detector", partial(train_toyband_detector, batch_size=4))
    command = f"--out {tmp_path / 'new'} --scenes 4 --steps 10"
    status, said, _ = tool(detector_training, command)
    assert status == 0 and said.startswith("plan: render 4 scenes, train 10 steps; the detector goes to ")
    assert "mean average precision" in said and "on 6 held-out pictures" in said
    settings = json.loads((tmp_path / "new" / "config.json").read_text(encoding="utf-8"))
    assert settings["trained_on"] == {"data": "toyband", "scenes": 4, "steps": 10, "seed": 0}
    load_toyband_detector(tmp_path / "new")
    monkeypatch.setattr(detector_training, "train_toyband_detector", None)  # refused before any work
    status, _, said = tool(detector_training, command)
    assert status == 2 and "not an empty folder" in said and said.count("\n") == 1


def test_a_command_that_a_signal_ends_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(detector_training, "scene", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    status, _, said = tool(detector_training, f"--out {tmp_path / 'new'}")
    assert status == 128 + signal.SIGTERM and said.endswith("sopedu: ended by SIGTERM; unfinished files are removed\n")
    assert not list(tmp_path.iterdir())
