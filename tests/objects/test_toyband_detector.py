"""The toy band's own detector: targets and score by hand, training that repeats, and the quality of what is shipped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sopedu.cli.commands import app
from sopedu.errors import SopeduError
from sopedu.objects.detection import make_detections, validate_detector
from sopedu.objects.toyband_detector import (
    SHIPPED,
    ToyBandDetector,
    ToyBandNet,
    boxes_of_cells,
    load_toyband_detector,
    save_toyband_detector,
)
from sopedu.toyband import INSTRUMENTS, scene
from tools import detector_training
from tools.detector_training import (
    detection_loss,
    detector_scene,
    judge_toyband_detector,
    mean_average_precision,
    targets,
    train_toyband_detector,
)

# --- what the net shall answer ---


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


def test_distances_mean_boxes_in_every_proportion():
    distances = torch.zeros(1, 4, 4, 8)
    distances[0, :, 1, 6] = torch.tensor([2.5, 1.5, 1.5, 0.5])  # left, up, right, down of the cell's middle (6.5, 1.5)
    assert boxes_of_cells(distances)[0, 1, 6].tolist() == [4 / 8, 0, 1, 2 / 4]


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


# --- what is shipped ---


def test_the_shipped_detector_is_small_and_says_how_it_was_made():
    file = SHIPPED / "model.safetensors"
    assert file.stat().st_size <= 700_000
    weights = load_file(file)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert sum(value.numel() for value in ToyBandNet().parameters()) <= 300_000
    settings = json.loads((SHIPPED / "config.json").read_text(encoding="utf-8"))
    assert tuple(settings["class_names"]) == INSTRUMENTS and settings["trained_on"]["data"] == "toyband"
    assert settings["metrics"]["map_50"] >= 0.85 and settings["metrics"]["pictures"] == 400


@pytest.fixture(scope="module")
def shipped() -> ToyBandDetector:
    return load_toyband_detector()


def test_it_finds_and_names_new_players(shipped):
    figures = judge_toyband_detector(shipped, scenes=36, seed=3)
    assert figures["map_50"] > 0.95 and figures["named"] > 0.95 and figures["found"] > 0.95
    assert figures["false_alarms"] < 0.1
    assert figures["players"] == 2 * (12 + 24 + 36) and figures["pictures"] == 72


@pytest.mark.parametrize("size", [64, 224, (120, 300), (320, 200)])
def test_it_finds_them_in_every_size_and_proportion(shipped, size):
    shown = [scene(1 + n % 3, 40_000 + n, "test", samples=1, size=size, times=(0.0,)) for n in range(15)]
    answers = [one for each in shown for one in replace(shipped, least_score=0.02)(each.frames)]
    truth = [make_detections(one.boxes[:, 0].clip(0, 1), one.labels, np.ones(len(one.labels))) for one in shown]
    assert mean_average_precision(answers, truth)[0] > 0.9


def test_one_at_the_left_top_is_not_found_at_the_right_bottom(shipped):
    shown = scene(["accordion"], 8, "test", samples=1, size=(96, 96), times=(0.0,)).frames[0]
    wide = np.full((192, 288, 3), 128, np.uint8)
    wide[:96, :96] = shown
    (seen,) = validate_detector(shipped)(wide[None])
    assert seen.labels == ("accordion",)
    assert seen.boxes[0, 2] <= 0.36 and seen.boxes[0, 3] <= 0.53


def test_empty_rooms_seldom_hold_anybody_and_odd_pictures_are_no_error(shipped):
    rooms = np.concatenate([scene(0, n, "test", samples=1, size=96, times=(0.0,)).frames for n in range(30)])
    assert sum(map(len, shipped(rooms))) <= 4
    for shape in ((1, 1, 1, 3), (2, 8, 900, 3), (1, 700, 3, 3), (1, 17, 33, 3)):
        assert len(validate_detector(shipped)(np.zeros(shape, np.uint8))) == shape[0]
    assert shipped(np.zeros((0, 64, 64, 3), np.uint8)) == []


# --- files and the command line ---


def test_it_is_saved_in_half_precision_and_loaded_the_same(shipped, tmp_path):
    folder = save_toyband_detector(tmp_path / "new", shipped, {"trained_on": {}})
    again = load_toyband_detector(folder, least_score=0.3)
    weights = again.net.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in shipped.net.state_dict().items())
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]  # whoever may read the one may read the other


def test_a_detector_that_is_missing_or_damaged_is_one_line(tmp_path):
    with pytest.raises(SopeduError, match="is not there; make it with `sopedu toyband detector"):
        load_toyband_detector(tmp_path / "nothing")

    def spoilt(name: str):
        shutil.copytree(SHIPPED, tmp_path / name)
        return tmp_path / name

    (spoilt("cut") / "model.safetensors").write_bytes((SHIPPED / "model.safetensors").read_bytes()[:5000])
    (spoilt("text") / "config.json").write_text("{", encoding="utf-8")
    (spoilt("list") / "config.json").write_text("[]", encoding="utf-8")
    (spoilt("other") / "config.json").write_text('{"class_names": ["tuba"], "widths": [16, 24, 48, 64]}')
    weights = load_file(SHIPPED / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "head.bias"}, spoilt("lacking") / "model.safetensors")
    for name in ("cut", "text", "list", "other", "lacking"):
        with pytest.raises(SopeduError, match=f"{name}: is no detector of the toy band, or damaged") as caught:
            load_toyband_detector(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_command_trains_judges_and_writes_a_folder_that_loads(monkeypatch, tmp_path):
    monkeypatch.setattr(detector_training, "judge_toyband_detector", partial(judge_toyband_detector, scenes=3))
    monkeypatch.setattr(detector_training, "train_toyband_detector", partial(train_toyband_detector, batch_size=4))
    command = ["toyband", "detector", "--out", str(tmp_path / "new"), "--scenes", "4", "--steps", "10"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "mean average precision" in result.output and "on 6 held-out pictures" in result.output
    settings = json.loads((tmp_path / "new" / "config.json").read_text(encoding="utf-8"))
    assert settings["trained_on"] == {"data": "toyband", "scenes": 4, "steps": 10, "seed": 0}
    load_toyband_detector(tmp_path / "new")
    monkeypatch.setattr(detector_training, "train_toyband_detector", None)  # refused before any work
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, SopeduError) and "not an empty folder" in str(refused.exception)


def test_pictures_that_cannot_be_written_to_are_welcome(shipped):
    frames = scene(["tuba"], 3, "test", samples=1, size=128, times=(0.0,)).frames
    frames.setflags(write=False)
    assert shipped(frames)[0].labels == ("tuba",)
