"""The pictures of the model are those that the tool draws, give the sizes of the shipped nets, and can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from contrast import contrast

import sopedu
from sopedu.plots import INK
from tools import model_pictures
from tools.model_pictures import FILL, FOLDER, LESSONS, Sizes, draw_model, pictures, times


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_committed_pictures_are_those_that_the_tool_draws():
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == pictures()


def test_the_tool_writes_them(tmp_path):
    model_pictures.main(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(pictures())


@pytest.mark.parametrize("name", ["toyband-tiny", "toyband"])
def test_the_sizes_are_those_of_the_shipped_model(name):
    """The tool reads them from presets, on torch's meta device; here the trained model separates a real scene."""
    checkpoint = sopedu.load_checkpoint(name)
    sizes = Sizes.of(sopedu.preset(checkpoint.config.name))
    model, sound = checkpoint.model, checkpoint.config.spectrogram
    frames = torch.zeros(1, 1, *sizes.frame)
    spectrogram = sopedu.stft(torch.zeros(sizes.samples), sound)
    heard = sopedu.log_magnitude(sopedu.warp(spectrogram.abs(), sound), sound)[None, None]
    with torch.inference_mode():
        cells = model.visual_cells(frames)[0, 0]
        masks = model.masks(cells[0], model.components(heard))
    assert tuple(spectrogram.shape) == sizes.linear and tuple(masks.shape[1:]) == sizes.warped
    assert tuple(cells.shape) == (*sizes.cells, sizes.components)
    widths = [convolution.weight.shape[0] for convolution in model.audio_net.down]
    halved = [tuple(side // 2**step for side in sizes.warped) for step in range(1, len(widths) + 1)]
    assert sizes.down == [(width, *sides) for width, sides in zip(widths, halved, strict=True)]
    assert sizes.up[-1] == (sizes.components, *sizes.warped)


def test_another_k_changes_what_the_picture_says():
    config = sopedu.with_values(sopedu.preset("tiny"), ["model.components=5"])
    shown = words(draw_model(Sizes.of(config), "five").svg("five"))
    assert "5 × 128 × 32" in shown and any("K = 5," in text for text in shown)
    assert not any("32 × 128 × 32" in text for text in shown)


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_part_at_hand_is_filled_and_named_in_the_alternative_text(lesson):
    svg, plain = pictures()[f"model_{lesson[:2]}.svg"], draw_model(Sizes.of(sopedu.preset("tiny")), "x").svg("x")
    assert FILL in svg and FILL not in plain
    assert LESSONS[lesson].parts <= set(words(svg))
    assert LESSONS[lesson].says in ElementTree.fromstring(svg)[0].text
    assert (FOLDER.parent / f"{lesson}.ipynb").exists()


@pytest.mark.parametrize("page", ["#ffffff", "#111111"], ids=["light", "dark"])
def test_colours_can_be_read_on_a_page(page):
    for svg in pictures().values():
        colours = set(re.findall(r"#[0-9A-Fa-f]{3,6}\b", svg)) - {"#fff"}
        assert colours <= {INK, FILL} and min(contrast(colour, page) for colour in colours) >= 3
    assert contrast("white", FILL) >= 4.5


def test_shapes_have_a_gap_between_thousands():
    assert times(32, 8, 8) == "32 × 8 × 8" and times(16383) == "16 383"
