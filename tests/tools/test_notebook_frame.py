"""The frames of the notebooks are as the tool writes them, stay so, and say what the notebooks hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools import notebook_frame
from tools.glossary_links import link_terms
from tools.notebook_frame import FOLDER, count_words, framed, minutes, notebooks, read, seconds_of, written
from tools.used_functions import used_functions

PATHS = notebooks()
KNOWN = ["Cell", "Feature map", "Ideal ratio mask", "Mask", "STFT", "Max pooling", "U-Net"]


def markdown(*sources: str) -> list[dict]:
    return [{"cell_type": "markdown", "metadata": {}, "source": source} for source in sources]


def linked(*sources: str) -> str:
    """The text behind a header, with its terms linked."""
    cells = markdown("# 01 · A header with a mask", *sources)
    link_terms(cells, KNOWN)
    assert cells[0]["source"] == "# 01 · A header with a mask"
    return "\n".join(cell["source"] for cell in cells[1:])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_framed(path):
    assert path.read_text(encoding="utf-8") == framed(path), "run: python -m tools.notebook_frame"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_stated_time_is_that_of_words_cells_and_running(path):
    notebook = read(path)
    said = re.search(r"about (\d+) minutes .*measured: (\d+) s", notebook["cells"][0]["source"])
    codes = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    needed = count_words(notebook) / 200 + len(codes) * 20 / 60 + int(said[2]) / 60
    assert needed <= int(said[1]) < needed + 5
    assert int(said[2]) == seconds_of(path)


def test_words_are_those_that_are_read():
    cells = markdown("one **two** [three](https://a.b/c) `four`", "```python\nnot this\n```\n<b>five</b> · – 6")
    cells.append({"cell_type": "code", "metadata": {}, "source": "not = this"})
    cells.append({"cell_type": "markdown", "metadata": {"tags": ["frame"]}, "source": "made by the tool"})
    assert count_words({"cells": cells}) == 6


@pytest.mark.parametrize(("words", "codes", "seconds", "time"), [(400, 3, 59, 5), (800, 3, 60, 10), (0, 0, 1, 5)])
def test_time_is_reading_cells_and_running_rounded_up_to_five_minutes(words, codes, seconds, time):
    cells = markdown("word " * words) + [{"cell_type": "code", "metadata": {}, "source": "1"}] * codes
    assert minutes({"cells": cells}, seconds) == time


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A folder with the first notebook and two of the others, as they were before the tool saw them."""
    for name in ("00_start_here", "06_ears", "08_synthesizer"):
        path = FOLDER / f"{name}.ipynb"
        notebook = read(path)
        notebook["cells"] = [cell for cell in notebook["cells"] if "frame" not in cell["metadata"].get("tags", ())]
        notebook["cells"][-1]["source"] += "\n\nPrevious: [07 · Eyes](07_eyes.ipynb)"
        (tmp_path / path.name).write_text(written(notebook), encoding="utf-8")
    monkeypatch.setattr(notebook_frame, "FOLDER", tmp_path)
    notebook_frame.course_map.cache_clear()
    yield tmp_path
    notebook_frame.course_map.cache_clear()


def test_a_new_notebook_gets_a_frame_with_its_neighbours(course):
    path = course / "06_ears.ipynb"
    path.write_text(framed(path), encoding="utf-8")
    cells = read(path)["cells"]
    first, last = cells[0]["source"], cells[-1]["source"]
    assert "**Time:** side trip, about" in first and "**Next:** [08 · Synthesizer](08_synthesizer.ipynb)" in first
    assert last.startswith("Previous: [00 · Start here](00_start_here.ipynb) · ")
    assert "Next on the core path: [08 · Synthesizer]" in last
    assert (
        "[Course map](00_start_here.ipynb#The-map-of-the-course)" in last and "[Glossary](../docs/glossary.md)" in last
    )
    assert "07_eyes" not in cells[-3]["source"].splitlines()[-1], "the old footer is still there"
    shown, part = cells[1]["source"].split("\n\n")
    assert re.fullmatch(r"!\[The model\. .*audio net.*\]\(pictures/model_06\.svg\)", shown)
    assert "this notebook is about: the audio net and its K components." in part
    assert "[`AudioUNet`](../sopedu/model/nets.py#AudioUNet)" in cells[-2]["source"] or "sopedu/" in cells[-2]["source"]


def test_footers_lead_along_the_core_path_and_through_the_side_trips():
    core = [path for path in PATHS if path.stem[:2] in ("00", "01", "02", "05", "08", "09", "10")]
    for path, following in zip(core, [*core[1:], None], strict=True):
        last = read(path)["cells"][-1]["source"]
        assert re.findall(r"Next on the core path: \[[^]]*\]\((.+?)\)", last) == ([following.name] if following else [])
    last = {path.stem[:2]: read(path)["cells"][-1]["source"] for path in PATHS}
    assert "Next: [03 · Measuring separation]" in last["02"] and "Next:" not in last["01"] + last["04"]


def test_framing_again_changes_nothing(course):
    for _ in range(2):
        before = {path.name: path.read_text(encoding="utf-8") for path in course.iterdir()}
        for path in notebooks():
            path.write_text(framed(path), encoding="utf-8")
    assert {path.name: path.read_text(encoding="utf-8") for path in course.iterdir()} == before


def test_the_course_map_has_the_minutes_of_the_headers(course):
    for path in notebooks():
        path.write_text(framed(path), encoding="utf-8")
    rows = "\n".join(cell["source"] for cell in read(course / "00_start_here.ipynb")["cells"])
    for name in ("06_ears", "08_synthesizer"):
        said = re.search(r"about (\d+) minutes", read(course / f"{name}.ipynb")["cells"][0]["source"])[1]
        assert re.search(rf"\({name}\.ipynb\) \| (core|side) \| {said} \|", rows)


def test_code_and_outputs_stay_as_they_are(course):
    path = course / "06_ears.ipynb"
    before, after = read(path)["cells"], json.loads(framed(path))["cells"]
    codes = [[cell for cell in cells if cell["cell_type"] == "code"] for cells in (before, after)]
    assert [{**cell, "source": "".join(cell["source"])} for cell in codes[1]] == codes[0]


def test_a_term_is_linked_once_where_it_comes_first():
    text = linked("Each feature map has cells. A mask, two masks.", "The mask and the STFT.")
    assert text == (
        "Each [feature map](../docs/glossary.md#Feature-map) has cells. A mask, two masks.\n"
        "The mask and the [STFT](../docs/glossary.md#STFT)."
    )


def test_everyday_words_are_linked_where_the_notebook_lists_them():
    words = "## Words\n\n[mask](glossary.ipynb#mask) · [cell](glossary.ipynb#cell)"
    text = linked("Run all cells, or the cell below. Two masks, and an ideal ratio mask in each cell.", words)
    assert text.splitlines()[0] == (
        "Run all cells, or the cell below. Two [masks](../docs/glossary.md#Mask), and an "
        "[ideal ratio mask](../docs/glossary.md#Ideal-ratio-mask) in each [cell](../docs/glossary.md#Cell)."
    )
    assert text.splitlines()[-1] == "[mask](../docs/glossary.md#Mask) · [cell](../docs/glossary.md#Cell)"


@pytest.mark.parametrize(
    "closed",
    [
        "## About the STFT", "`stft(STFT)`", "```\nSTFT\n```", "$STFT$", "[the STFT of 01](01.ipynb)", "| STFT |",
        "<details>\nSTFT\n</details>", "![a picture of an STFT](a.svg)", "the STFT-like", "## References\n\n- STFT",
    ],
)  # fmt: skip
def test_no_term_is_linked_where_a_link_would_hurt(closed):
    assert linked(closed) == closed


def test_a_link_moves_when_the_text_before_it_changes_and_other_words_keep_theirs():
    once = linked("The STFT.", "The [picture of sound](../docs/glossary.md#stft) and a U-Net.")
    assert once.splitlines()[1].startswith("The [picture of sound](../docs/glossary.md#STFT) and a [U-Net]")
    moved = linked("A new sentence about the U-Net.", once)
    assert moved.splitlines()[0] == "A new sentence about the [U-Net](../docs/glossary.md#U-Net)."
    assert moved.endswith("and a U-Net.")


def test_functions_are_found_by_where_they_are_defined():
    code = [
        "import torch\nimport sopedu\nfrom sopedu import plots\nfrom sopedu.audio import masks as m",
        "%matplotlib inline\nx = torch.relu(sopedu.stft(wave, config))",
        "plots.plot_mask(m.apply_mask(x), sopedu.INSTRUMENTS)\nprobe = sopedu.PixelProbe.from_scene",
        "from sopedu.lessons import check, exercises\ncheck(True, '')\nexercises.check_mean_and_spread",
    ]
    assert used_functions(code) == [
        ("sopedu/audio/masks.py", "apply_mask"),
        ("sopedu/audio/spectrogram.py", "stft"),
        ("sopedu/lessons/pixel_probe.py", "PixelProbe"),
        ("sopedu/plots/sounds.py", "plot_mask"),
    ]
