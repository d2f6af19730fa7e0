"""The page of pixels, opened from disk in a headless Chromium, played by mouse, touch and keyboard.

Part of ``make browser-test``; it needs Debian's ``chromium``. Screenshots are kept in ``runs/browser/``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from in_step import SEEN, WATCH, numbered_pictures, report
from playwright.sync_api import Page, expect

from sopedu.lessons.pixel_page import export_html, export_stretch
from sopedu.localization.long_clips import LongClip
from sopedu.localization.places import box_of_cell
from sopedu.model.checkpoints import load_checkpoint
from sopedu.toyband import duet

ROOT = Path(__file__).parent.parent.parent
SHOTS = ROOT / "runs" / "browser"
# What the page gives to the loudspeakers is kept, to be looked at.
LISTEN = """
window.contexts = []; window.played = [];
const Real = window.AudioContext;
window.AudioContext = class extends Real {
  constructor(...how) { super(...how); contexts.push(this); }
  createBufferSource() {
    const source = super.createBufferSource(), start = source.start.bind(source);
    source.start = (when, from) => { source.zero = when - from; return start(when, from); };
    played.push(source);
    return source;
  }
};
"""
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}
DARK = {"viewport": {"width": 900, "height": 900}, "color_scheme": "dark"}
HEARD = "() => Array.from(played[played.length - 2].buffer.getChannelData(0))"


@pytest.fixture(scope="module")
def stretch() -> LongClip:
    times = np.arange(0, 6, 0.4)
    scene = duet(3, "test", pair=("xylophone", "tuba"), samples=66150, size=(180, 240), times=times)
    checkpoint = load_checkpoint(ROOT / "data_samples" / "checkpoints" / "toyband")
    return LongClip(checkpoint, scene.waveform().numpy(), scene.frames, times)


@pytest.fixture(scope="module")
def address(stretch, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "duet.html"
    export_html(path, stretch.checkpoint, stretch.waveform, stretch.pictures, stretch.times, "Xylophone and <tuba>")
    return path.as_uri()


@pytest.fixture
def opened(browser, address, request) -> Iterator[Page]:
    """The page, in a window as the test wants it; any error, and any request to elsewhere, fails the test."""
    wide = {"viewport": {"width": 1400, "height": 1000}}
    context = browser.new_context(**(wide | getattr(request, "param", {})))
    context.add_init_script(LISTEN)
    page, errors, wanted = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: wanted.append(asked.url) if not asked.url.startswith(("data:", "file:")) else None)
    page.goto(address)
    yield page
    assert errors == [] == wanted
    context.close()


def spot(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where in the window a point of the picture lies."""
    edge = page.locator("#cells").bounding_box()
    return edge["x"] + x * edge["width"], edge["y"] + y * edge["height"]


def plays(page: Page, words: str) -> np.ndarray:
    """Wait until the page says that it plays and its clock runs; return what the chosen place sounds like."""
    expect(page.locator("#status")).to_contain_text("Playing " + words, timeout=20_000)
    page.wait_for_function("() => contexts[0].state === 'running' && !document.getElementById('head').hidden")
    begun = page.evaluate("contexts[0].currentTime")
    page.wait_for_function("begun => contexts[0].currentTime > begun + 0.1", arg=begun)
    sound = np.array(page.evaluate(HEARD))
    assert np.abs(sound).max() > 1e-3
    return sound


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Largest correlation for shifts below 0.15 s: browsers cut the start of an MP3 differently."""
    size = len(first) + len(second)
    crossed = np.fft.irfft(np.fft.rfft(first, size) * np.fft.rfft(second, size).conj(), size)
    near = np.concatenate([crossed[:1700], crossed[-1700:]])
    return float(near.max() / np.linalg.norm(first) / np.linalg.norm(second))


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"pixel_page_{name}.png", full_page=True)


def test_a_cell_is_heard_by_mouse_and_compared_with_the_whole(opened, stretch):
    page = opened
    expect(page.get_by_role("button", name="Play")).to_be_enabled()
    row, column = np.unravel_index(stretch.maps().mean(0)[:, :5].argmax(), (8, 5))  # where the xylophone sounds
    name = f"row {row + 1}, column {column + 1}"
    page.mouse.click(*spot(page, (column + 0.5) / 11, (row + 0.5) / 8))
    sound = plays(page, f"{name}: ")
    assert alike(sound, stretch.separate(box_of_cell(row, column, 8, 11), "area")) > 0.98
    expect(page.locator("#spectrogram")).to_have_attribute("aria-label", f"Spectrogram of {name}")
    page.get_by_role("radio", name="B: the whole sound").check()
    expect(page.locator("#status")).to_have_text("Playing the whole sound.")
    expect(page.locator("#named")).to_have_text("Spectrogram of the whole sound")
    assert page.evaluate("played.length") == 2, "both begin together, so that only the ears change"
    shot(page, "whole_sound")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_have_text("Paused.")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_a_dragged_box_is_the_mean_of_its_cells(opened, stretch):
    page = opened
    page.mouse.move(*spot(page, 0.6, 0.35))
    page.mouse.down()
    page.mouse.move(*spot(page, 0.87, 0.83), steps=6)
    page.mouse.up()
    sound = plays(page, "a box over rows 3 to 7, columns 7 to 10: ")
    expected = stretch.separate((0.6, 0.35, 0.87, 0.83), "area")
    assert alike(sound, expected) > 0.98
    said = float(re.search(r"([\d.]+)\s%", page.locator("#status").inner_text())[1])
    share = np.square(expected).sum() / np.square(stretch.waveform).sum()
    assert said == pytest.approx(100 * share, rel=0.05, abs=0.051)  # said with one decimal
    assert page.locator("[role=gridcell][aria-selected=true]").count() == 5 * 4
    shot(page, "box_1400")
    page.get_by_label("Raise quiet places").check()
    page.locator("#moment").focus()
    page.keyboard.press("End")
    expect(page.locator("#when")).to_have_text("5.60 s")


def test_everything_by_keyboard(opened, stretch):
    page = opened
    page.keyboard.press("Tab")
    focused = page.locator("[role=gridcell]:focus")
    for key, count in (("ArrowRight", 7), ("ArrowDown", 5)):
        for _ in range(count):
            page.keyboard.press(key)
    expect(focused).to_have_accessible_name(re.compile(r"^row 6, column 8: [\d.]+\s% of the energy, −"))
    page.keyboard.press("Enter")
    plays(page, "row 6, column 8: ")
    shot(page, "keyboard")
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Stopped.")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    sound = plays(page, "rows 5 to 6, columns 8 to 9: ")
    assert alike(sound, stretch.separate((7 / 11, 4 / 8, 9 / 11, 6 / 8), "area")) > 0.98
    page.locator("#moment").focus()
    for key, when in (("End", "5.60 s"), ("ArrowLeft", "5.20 s"), ("Home", "0.00 s"), ("ArrowRight", "0.40 s")):
        page.keyboard.press(key)
        expect(page.locator("#when")).to_have_text(when)
    page.keyboard.press("Home")
    if page.get_by_role("button", name="Pause").count():  # the sound went on while it was sought
        page.keyboard.press(" ")
    page.keyboard.press(" ")
    expect(page.locator("#status")).to_contain_text("Playing rows 5 to 6, columns 8 to 9: ")
    page.keyboard.press(" ")
    expect(page.locator("#status")).to_have_text("Paused.")


def test_dragging_the_spectrogram_seeks_sound_and_picture(opened):
    page = opened
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#status")).to_have_text("Playing the whole sound.", timeout=20_000)
    page.get_by_role("button", name="Pause").click()
    edge = page.locator("#view").bounding_box()
    page.mouse.move(edge["x"] + 5, edge["y"] + 50)
    page.mouse.down()
    page.mouse.move(edge["x"] + 0.75 * edge["width"], edge["y"] + 50, steps=5)
    page.mouse.up()
    expect(page.locator("#when")).to_have_text("4.40 s")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.getElementById('play').textContent === 'Pause'")
    assert page.evaluate("contexts[0].currentTime - played[played.length - 1].zero") > 4.4


@pytest.fixture(scope="module")
def ten_seconds(tmp_path_factory) -> str:
    """Ten seconds, eight pictures per second whose grey says their number."""
    checkpoint = load_checkpoint(ROOT / "data_samples" / "checkpoints" / "toyband")
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(110250) / 11025).astype(np.float32)
    clip = LongClip(checkpoint, tone, numbered_pictures(80), np.arange(80) / 8)
    return export_stretch(tmp_path_factory.mktemp("clock") / "ten.html", clip, boxes={"all": (0, 0, 1, 1)}).as_uri()


def test_sound_and_picture_are_in_step_for_ten_seconds(opened, ten_seconds):
    page = opened
    page.goto(ten_seconds)
    # What is heard now: what was given to the loudspeakers less what is still on its way to them.
    clock = "played.length ? contexts[0].currentTime - played.at(-1).zero - contexts[0].outputLatency : 0"
    page.evaluate(WATCH % ("document.getElementById('film')", clock))
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#status")).to_contain_text("Ended", timeout=40_000)
    report("exported page", page.evaluate(SEEN), 10.0, 0.125)


@pytest.mark.parametrize("opened", [PHONE], indirect=True)
def test_by_touch_on_a_phone_with_nothing_cut_off(opened):
    page = opened
    page.touchscreen.tap(*spot(page, 7.5 / 11, 5.5 / 8))
    plays(page, "row 6, column 8: ")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#moment").input_value() == "0", "pictures stand still where motion is unwelcome"
    shot(page, "phone")
    edges = page.evaluate("Array.from(document.querySelectorAll('main *'), e => e.getBoundingClientRect().right)")
    assert max(edges) <= 361


@pytest.mark.parametrize("opened", [DARK], indirect=True)
def test_in_the_dark(opened):
    page = opened
    page.mouse.click(*spot(page, 7.5 / 11, 5.5 / 8))
    plays(page, "row 6, column 8: ")
    shot(page, "dark")
    style = page.evaluate("(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))")
    ground, ink = (int(re.search(r"\d+", colour)[0]) for colour in style)
    assert ground < 60 and ink > 200
