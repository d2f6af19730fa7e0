"""The training of the warm start: no instrument is drawn, it repeats, and its features recognise new objects."""

from __future__ import annotations

import ast
import subprocess
import sys
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from command import tool
from safetensors.torch import load_file

from sopedu.config import preset, with_values
from sopedu.model import FrameNet, load_warm_start, normalise_frames
from sopedu.toyband import INSTRUMENTS, bodies, drawings, players, scenes
from tools import procedural_objects as objects
from tools import warm_start
from tools.warm_start import object_picture, pretrain, save_warm_start

ROOT = Path(__file__).parents[2]
SMALL = with_values(preset("tiny"), ["model.frame_width=8", "frames.size=32", "frames.resize=32"])
NEVER_TRAINED_ON = 500_000_000  # training draws the seeds from 0 on, its accuracy those from 900 000 000 on

# Runs in a process in which the package's own __init__, which imports the band, is left out.
OBJECTS_ALONE = """
import sys, types
package = types.ModuleType("sopedu.toyband")
package.__path__ = ["sopedu/toyband"]
sys.modules["sopedu.toyband"] = package
import numpy as np
from sopedu.toyband.raster import Canvas, Placement
from tools import procedural_objects as objects
for family in objects.CLASSES:
    objects.draw(Canvas(32, 32), family, np.random.default_rng(0), Placement(0.5, 0.5, 0.8))
print(*(name for name in sys.modules if name.startswith("sopedu.toyband.")))
import zlib
from tools.warm_start import object_picture
print(zlib.crc32(b"".join(object_picture(seed)[0].tobytes() for seed in range(40))))
print(*(name for name in sys.modules if name.startswith("sopedu.toyband.")))
"""


def test_objects_and_their_pictures_are_drawn_without_any_drawing_of_the_band():
    command = [sys.executable, "-c", OBJECTS_ALONE]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines[0].split() == ["sopedu.toyband.raster"]
    assert int(lines[1]) == zlib.crc32(b"".join(object_picture(seed)[0].tobytes() for seed in range(40)))
    assert not {"sopedu.toyband.drawings", "sopedu.toyband.scenes"} & set(lines[2].split())


def test_pictures_come_out_the_same_with_every_drawing_of_the_band_disabled(monkeypatch):
    before = [object_picture(seed)[0] for seed in range(60)]
    for module in (bodies, drawings, players):
        for name, value in vars(module).items():
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and name != "mixed":
                monkeypatch.setattr(module, name, Mock(side_effect=AssertionError("an instrument is drawn")))
    monkeypatch.setattr(scenes, "draw", players.draw)
    with pytest.raises(AssertionError, match="an instrument is drawn"):
        scenes.solo(0)
    np.testing.assert_array_equal(before, [object_picture(seed)[0] for seed in range(60)])


def test_its_source_names_no_module_that_draws_instruments():
    tree = ast.parse(Path(warm_start.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    assert {name for name in named if "toyband" in name} == {
        "sopedu.toyband.backgrounds.paint",
        "sopedu.toyband.raster.Canvas",
        "sopedu.toyband.raster.Placement",
        "sopedu.toyband.splits.draw_identity",
        "sopedu.toyband.splits.generator_for",
    }
    assert not set(objects.CLASSES) & set(INSTRUMENTS)


def test_the_same_seed_draws_the_same_object_and_all_families_come():
    picture, family = object_picture(7, 48)
    again, same = object_picture(7, 48)
    assert picture.shape == (48, 48, 3) and picture.dtype == np.uint8 and family == same
    np.testing.assert_array_equal(picture, again)
    assert {object_picture(seed, 32)[1] for seed in range(200)} == set(range(len(objects.CLASSES)))
    assert len({object_picture(seed, 32)[0].tobytes() for seed in range(200)}) == 200


@pytest.fixture(scope="module")
def pretrained(one_thread) -> tuple[FrameNet, float, list[tuple[int, float, float]]]:
    told = []
    net, accuracy = pretrain(SMALL, pictures=24, steps=60, batch_size=8, report=lambda *news: told.append(news))
    return net, accuracy, told


def test_it_learns_the_pictures_it_sees(pretrained):
    net, accuracy, told = pretrained
    assert [step for step, _, _ in told] == [50, 60] and not net.training
    (_, _, early), (_, loss, late) = told
    assert 0.05 < early < late <= 1 and 0 < loss < np.log(len(objects.CLASSES))  # that of a guess
    assert 0 <= accuracy <= 1
    assert net.head.out_channels == len(objects.CLASSES)


def test_the_body_is_kept_in_half_precision_and_given_back_and_the_head_is_not(pretrained, tmp_path):
    net = pretrained[0]
    path = save_warm_start(net, tmp_path / "new" / "small.safetensors")
    assert [file.name for file in path.parent.iterdir()] == ["small.safetensors"]
    other = FrameNet(SMALL.model)
    head = other.head.weight.clone()
    load_warm_start(other, path)
    for name, value in net.body.state_dict().items():
        torch.testing.assert_close(other.body.state_dict()[name], value, rtol=2**-11, atol=2**-24)
    assert torch.equal(other.head.weight, head)
    assert {value.dtype for value in load_file(path).values()} == {torch.float16, torch.int64}


def nearest_mean_accuracy(net: FrameNet, frames: torch.Tensor, families: np.ndarray) -> float:
    """Share of the second half of the pictures whose features lie nearest to their family's mean in the first half."""
    with torch.inference_mode():
        features = net.eval().body(frames).amax((2, 3)).numpy()
    half = len(features) // 2
    features = (features - features[:half].mean(0)) / (features[:half].std(0) + 1e-6)
    means = np.stack([features[:half][families[:half] == family].mean(0) for family in range(len(objects.CLASSES))])
    found = np.square(features[half:, None] - means).sum(-1).argmin(1)
    return float((found == families[half:]).mean())


def test_the_shipped_frame_net_recognises_new_objects_and_an_untrained_one_does_not():
    # Measured: the shipped net 0.80, six random nets 0.06 to 0.10, chance 0.05. Ten times chance is asked for.
    drawn = [object_picture(NEVER_TRAINED_ON + number) for number in range(400)]
    frames = normalise_frames(torch.from_numpy(np.stack([picture for picture, _ in drawn]).transpose(0, 3, 1, 2)))
    families = np.array([family for _, family in drawn])
    warm = FrameNet(preset("tiny").model)
    load_warm_start(warm)
    torch.manual_seed(0)
    random = FrameNet(preset("tiny").model)
    accuracy = nearest_mean_accuracy(warm, frames, families)
    assert accuracy > 10 / len(objects.CLASSES)
    assert accuracy > 3 * nearest_mean_accuracy(random, frames, families)


def test_the_command_writes_a_file_that_loads(tmp_path):
    out = tmp_path / "new" / "warm.safetensors"
    status, said, _ = tool(warm_start, f"--pictures 100 --steps 10 --seed 3 --out {out}")
    assert status == 0 and said.startswith("plan: draw 100 pictures, train 10 steps; the weights go to ")
    assert "step 10/10  loss" in said and f"of 500 new objects recognised\n{out}\n" in said
    load_warm_start(FrameNet(preset("tiny").model), out)


def test_a_preset_without_a_small_frame_net_is_refused_in_one_line_and_the_shipped_file_is_not_the_default():
    status, _, said = tool(warm_start, "--preset paper")
    assert status == 2 and said.startswith("sopedu: preset paper starts from ImageNet") and said.count("\n") == 1
    status, said, _ = tool(warm_start, "--help")
    assert status == 0 and "runs/warm_start.safetensors" in said
