"""The toy band's own detector: boxes by hand, the quality of what is shipped, and its files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

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
from tools.detector_training import evaluate_toyband_detector, mean_average_precision


def test_distances_mean_boxes_in_every_proportion():
    distances = torch.zeros(1, 4, 4, 8)
    distances[0, :, 1, 6] = torch.tensor([2.5, 1.5, 1.5, 0.5])  # left, up, right, down of the cell's middle (6.5, 1.5)
    assert boxes_of_cells(distances)[0, 1, 6].tolist() == [4 / 8, 0, 1, 2 / 4]


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
    figures = evaluate_toyband_detector(shipped, scenes=36, seed=3)
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


# --- files ---


def test_it_is_saved_in_half_precision_and_loaded_the_same(shipped, tmp_path):
    folder = save_toyband_detector(tmp_path / "new", shipped, {"trained_on": {}})
    again = load_toyband_detector(folder, least_score=0.3)
    weights = again.net.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in shipped.net.state_dict().items())
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]  # whoever may read the one may read the other


def test_a_detector_that_is_missing_or_damaged_is_one_line(tmp_path):
    with pytest.raises(SopeduError, match="holds no toy band detector; make it with `make detector`"):
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
        with pytest.raises(SopeduError, match=f"{name}: not a detector of the toy band, or damaged") as caught:
            load_toyband_detector(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_pictures_that_cannot_be_written_to_are_welcome(shipped):
    frames = scene(["tuba"], 3, "test", samples=1, size=128, times=(0.0,)).frames
    frames.setflags(write=False)
    assert shipped(frames)[0].labels == ("tuba",)
