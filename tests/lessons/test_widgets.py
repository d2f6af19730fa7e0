"""Interactive parts: a control that moves changes what is seen and heard; what fails is said, and nothing doubles."""

from __future__ import annotations

import numpy as np
import pytest

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
