"""The pages are legible in light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from contrast import contrast

import sopedu
from sopedu.plots import INK

STYLE = (Path(sopedu.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
SCHEMES = [dict(re.findall(r"--(\w+): (#\w+);", block)) for block in re.findall(r":root {(.*?)}", STYLE, re.DOTALL)]


@pytest.mark.parametrize("colours", SCHEMES, ids=["light", "dark"])
def test_texts_lines_and_figures_stand_out_from_the_ground(colours):
    assert colours.keys() == SCHEMES[0].keys() and len(SCHEMES) == 2
    for ground in ("ground", "soft", "marked"):
        assert contrast(colours["ink"], colours[ground]) > 7 and contrast(colours["quiet"], colours[ground]) > 4.5
    for drawn in (colours["line"], colours["mark"], colours["focus"], INK):
        assert contrast(drawn, colours["ground"]) > 3


def test_no_colour_is_used_that_has_no_dark_twin():
    rest = re.sub(r":root {.*?}", "", STYLE, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,6}\b", rest) == ["#000"]  # behind a video
