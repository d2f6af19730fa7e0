"""Interactive parts: a control that moves changes what is seen and heard; what fails is said, and nothing doubles."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from sopedu.audio.player import Player
from sopedu.lessons.widgets import Explorer, View, choice, slider
from sopedu.plots import plot_waveform


@pytest.fixture
def drawn() -> list[tuple]:
    return []


@pytest.fixture
def explorer(drawn) -> Explorer:
    def draw(amplitude: float, kind: str) -> View:
        drawn.append((amplitude, kind))
        wave = amplitude * np.sin(np.arange(800) / 5)
        return View(plot_waveform(wave, 8000), [Player(wave, 8000, kind)], f"{kind} of {amplitude:.1f} <b>")

    return Explorer(draw, amplitude=slider("amplitude", 0.5, 0.1, 0.9), kind=choice("kind", ["sine", "cosine"]))


def test_a_moved_control_changes_picture_sound_and_words_once(explorer, drawn):
    picture, sound = explorer.picture.value, explorer.sounds.value
    assert (
        bytes(picture).startswith(b"\x89PNG")
        and "data:audio/mpeg" in sound
        and "sine of 0.5 &lt;b&gt;" in explorer.words.value
    )
    explorer.controls["amplitude"].value = 0.9
    assert explorer.picture.value != picture and explorer.sounds.value != sound
    assert drawn == [(0.5, "sine"), (0.9, "sine")]
    assert len(explorer.children) == 5  # the same two controls, words, picture and sounds: nothing is added


def test_moving_two_controls_from_python_draws_once(explorer, drawn):
    assert explorer.set(amplitude=0.2, kind="cosine").text == "cosine of 0.2 <b>"
    assert drawn == [(0.5, "sine"), (0.2, "cosine")] and explorer.values == {"amplitude": 0.2, "kind": "cosine"}
    with pytest.raises(KeyError):
        explorer.set(loudness=3)


def test_a_saved_notebook_keeps_picture_text_and_players(explorer):
    data, _ = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data  # what is shown while the kernel lives
    still = data["text/html"]
    assert still.count("<img ") == 1 and "data:audio/mpeg" in still and "sine of 0.5 &lt;b&gt;" in still
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', still)[1]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert picture.size == (720, 180)  # 8 × 2 inches at 90 pixels per inch
    explorer.set(amplitude=0.2, kind="cosine")
    assert "cosine of 0.2" in explorer._repr_mimebundle_()[0]["text/html"]


def test_an_explorer_without_a_figure_keeps_its_text():
    still = Explorer(lambda level: View(text=f"level {level}"), level=slider("level", 1, 0, 5))._repr_mimebundle_()[0]
    assert "level 1" in still["text/html"] and "<img" not in still["text/html"]


def test_a_picture_is_shown_at_its_own_size_with_twice_the_pixels(explorer):
    assert (explorer.picture.layout.width, explorer.picture.layout.max_width) == ("720px", "100%")
    with Image.open(io.BytesIO(explorer.picture.value)) as picture:
        assert picture.size == (1440, 360)


def test_a_control_without_effect_is_disabled():
    explorer = Explorer(
        lambda what, k: View(text=f"{what} {k}"),
        enabled=lambda what, k: {"what"} if what == "all" else {"what", "k"},
        what=choice("what", ["all", "only k"]),
        k=slider("k", 4, 0, 31),
    )
    assert explorer.controls["k"].disabled and not explorer.controls["what"].disabled
    explorer.controls["what"].value = "only k"
    assert not explorer.controls["k"].disabled
    explorer.set(what="all", k=7)
    assert explorer.controls["k"].disabled and explorer.view.text == "all 7"


def test_an_error_is_shown_and_the_picture_stays():
    def draw(level: int) -> View:
        if level > 3:
            raise ValueError("too <loud>")
        return View(plot_waveform(np.ones(10) * level, 10), text="fine")

    explorer = Explorer(draw, level=slider("level", 1, 0, 5))
    picture = explorer.picture.value
    explorer.set(level=5)
    assert 'role="alert"' in explorer.words.value and "ValueError: too &lt;loud&gt;" in explorer.words.value
    assert explorer.picture.value == picture and explorer.view.text == "fine"
    explorer.set(level=2)
    assert "alert" not in explorer.words.value and explorer.picture.value != picture


def test_sliders_report_when_let_go_and_have_labels():
    whole, fraction = slider("K", 4, 1, 9), slider("gain", 0.5, 0, 1)
    assert (type(whole).__name__, type(fraction).__name__) == ("IntSlider", "FloatSlider")
    assert not whole.continuous_update and not fraction.continuous_update
    assert (whole.description, fraction.step, choice("x", [1, 2], 2).value) == ("K", 0.05, 2)
