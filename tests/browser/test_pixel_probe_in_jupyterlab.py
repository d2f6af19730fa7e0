"""PixelProbe in JupyterLab: mouse, touch and keyboard change Python's answer and what is heard; nothing is cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from in_step import SEEN, WATCH, report
from lab import SHOTS, choose_theme, run_all, shot, show, too_wide
from playwright.sync_api import Browser, Page, expect

ROOT = ".sopedu-probe"
SET_UP = """
import numpy as np, sopedu
from sopedu.lessons.pixel_probe import PixelProbe
checkpoint = sopedu.load_checkpoint("../data_samples/checkpoints/toyband")
scene = sopedu.duet(3, "test", samples=33075, size=(120, 160), times=np.arange(0, 3, 0.5))
"""
TWO_WAYS = """
probe = PixelProbe.from_scene(checkpoint, scene)
grid = PixelProbe.from_scene(checkpoint, scene, front_end="gridbox")
probe
"""
IN_STEP = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from in_step import numbered_pictures
tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(110250) / 11025).astype(np.float32)
PixelProbe(checkpoint, tone, numbered_pictures(80), np.arange(80) / 8)
"""
# What Python holds, as text in the page: the widget's own words could be made by JavaScript alone.
MIRROR = """
import ipywidgets
mirror = ipywidgets.HTML()
def show(_=None):
    answer = probe.answer
    kept = ";".join(f"{v:.2f}" for v in probe.volumes)
    name = answer and f"{answer.name} {answer.share:.3f}"
    mirror.value = f'<p class="mirror">moment {probe.moment} answer {name} kept {len(probe.kept)} [{kept}]</p>'
probe.observe(show, ["_said", "moment", "volumes"]); show()
mirror
"""


def write(folder: Path, name: str, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in (*sources, "print('end')")]
    written = nbformat.v4.new_notebook(cells=cells)
    written.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    Path(folder / "notebooks" / f"{name}.ipynb").write_text(nbformat.writes(written))


@pytest.fixture(scope="module")
def notebook(folder, server) -> str:
    write(folder, "probe", SET_UP, TWO_WAYS, MIRROR, "grid")
    return "probe"


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    return []


@pytest.fixture(scope="module")
def page(browser: Browser, server, notebook, complaints) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 1500}, has_touch=True)
    opened = context.new_page()
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    run_all(opened, server, notebook, "end", 120)
    show(opened, ROOT)
    yield opened
    context.close()


def mirror(page: Page):
    return page.locator(".mirror").first


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    page.locator(f"{ROOT} .picture").scroll_into_view_if_needed()
    box = page.locator(f"{ROOT} .picture").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def sounds(page: Page) -> None:
    """The main player runs, and has something to play."""
    player = page.locator(f"{ROOT} audio.player")
    page.wait_for_function(
        "sound => !sound.paused && sound.currentTime > 0 && sound.duration > 2.9 && sound.duration < 3.1",
        arg=player.element_handle(),
        timeout=15_000,
    )


def test_a_click_is_heard_at_once(page):
    page.mouse.click(*place(page, 0.25, 0.45))
    expect(mirror(page)).to_contain_text("answer point 0.25, 0.45", timeout=15_000)
    expect(page.locator(f"{ROOT} .status")).to_contain_text("point 0.25, 0.45:")
    sounds(page)
    shot(page, "pixel_probe_click")


def test_a_dragged_box_is_heard(page):
    page.mouse.move(*place(page, 0.05, 0.1))
    page.mouse.down()
    page.mouse.move(*place(page, 0.3, 0.5), steps=4)
    page.mouse.move(*place(page, 0.45, 0.8), steps=4)
    page.mouse.up()
    expect(mirror(page)).to_contain_text("answer box 0.05–0.45 across, 0.10–0.80 down", timeout=15_000)
    sounds(page)
    expect(page.locator(f"{ROOT} figure canvas").first).to_be_visible()
    page.get_by_role("button", name="Keep this region").click()
    expect(mirror(page)).to_contain_text("kept 1 [1.00]", timeout=15_000)


def test_touch_taps_and_paints(page):
    page.touchscreen.tap(*place(page, 0.75, 0.6))
    expect(mirror(page)).to_contain_text("answer point 0.75, 0.60", timeout=15_000)
    sounds(page)
    page.get_by_role("button", name="Brush").tap()
    finger = page.context.new_cdp_session(page)
    path = [place(page, x, 0.55) for x in (0.6, 0.7, 0.8)]
    for kind, point in [("touchStart", path[0]), ("touchMove", path[1]), ("touchMove", path[2]), ("touchEnd", None)]:
        points = [] if point is None else [{"x": point[0], "y": point[1]}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(mirror(page)).to_contain_text("answer 3 painted cells", timeout=15_000)
    sounds(page)
    page.get_by_role("button", name="Keep this region").click()
    expect(mirror(page)).to_contain_text("kept 2 [1.00;1.00]", timeout=15_000)
    page.get_by_role("button", name="Point or box").tap()


def test_the_keyboard_alone_does_it_all(page):
    picture = page.locator(f"{ROOT} .picture")
    page.locator(f"{ROOT} .scrub input").focus()
    page.keyboard.press("Shift+Tab")
    expect(picture).to_be_focused()
    outline = picture.evaluate("node => [getComputedStyle(node).outlineStyle, getComputedStyle(node).outlineWidth]")
    assert outline == ["solid", "3px"]
    cells = page.locator(".jp-CodeCell").count()
    page.keyboard.press("Escape")
    for key in ["ArrowUp"] * 9 + ["ArrowLeft"] * 12 + ["ArrowDown"] * 3 + ["ArrowRight"] * 2:
        page.keyboard.press(key)
    status = page.locator(f"{ROOT} .status")
    expect(status).to_contain_text("row 4, column 3: ")
    page.keyboard.press("Enter")
    expect(mirror(page)).to_contain_text("answer point 0.23, 0.44", timeout=15_000)
    sounds(page)
    page.keyboard.press("a")
    expect(page.locator(f"{ROOT} .title")).to_have_text("The mixture")
    sounds(page)
    page.keyboard.press("a")
    expect(page.locator(f"{ROOT} .title")).to_have_text("point 0.23, 0.44")
    page.keyboard.press("Space")
    expect(page.locator(f"{ROOT} audio.player")).to_have_js_property("paused", True)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    expect(status).to_contain_text("box of 2 × 2 cells")
    shot(page, "pixel_probe_keyboard")
    page.keyboard.press("Enter")
    expect(mirror(page)).to_contain_text("answer box 0.18–0.36 across, 0.38–0.62 down", timeout=15_000)
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(mirror(page)).to_contain_text("answer 1 painted cell", timeout=15_000)
    page.keyboard.press("2")
    expect(mirror(page)).to_contain_text("answer tuba", timeout=15_000)
    expect(page.locator(f"{ROOT} audio.player")).to_have_js_property("ended", True, timeout=15_000)
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    expect(mirror(page)).to_contain_text("moment 1", timeout=15_000)
    page.keyboard.press("m")
    expect(status).to_contain_text("Map: who sounds")
    shot(page, "pixel_probe_who")
    # Command mode would have run x, c and dd on the cell, and b and j would have gone elsewhere.
    for key in "xcddbj":
        page.keyboard.press(key)
    expect(picture).to_be_focused()
    assert page.locator(".jp-CodeCell").count() == cells


def test_the_time_line_seeks_sound_and_picture_by_keyboard(page):
    page.locator(f"{ROOT} .scrub input").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(mirror(page)).to_contain_text("moment 3", timeout=15_000)
    expect(page.locator(f"{ROOT} .scrub output")).to_have_text("1.50 s (4 of 6)")
    player = page.locator(f"{ROOT} audio.player")
    expect(player).to_have_js_property("currentTime", 1.5)
    page.keyboard.press("End")
    expect(player).to_have_js_property("currentTime", 2.5)
    page.keyboard.press("Space")
    expect(player).to_have_js_property("paused", False)
    expect(player).to_have_js_property("ended", True, timeout=15_000)
    page.keyboard.press("Home")
    expect(mirror(page)).to_contain_text("moment 0", timeout=15_000)
    expect(player).to_have_js_property("currentTime", 0)


def test_dragging_spectrogram_or_mask_seeks_all(page):
    for number, share in ((0, 0.6), (1, 0.2)):
        plot = page.locator(f"{ROOT} .plot").nth(number)
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 40, steps=4)
        page.mouse.up()
        expect(mirror(page)).to_contain_text(f"moment {int(share * 3 / 0.5)} ", timeout=15_000)
        assert abs(page.locator(f"{ROOT} audio.player").evaluate("sound => sound.currentTime") - 3 * share) < 0.02
        heads = page.locator(f"{ROOT} .playhead").evaluate_all("all => all.map(head => parseFloat(head.style.left))")
        assert all(abs(left - 100 * share) < 1 for left in heads)
    strip = page.locator(f"{ROOT} .strip")
    before = strip.evaluate("canvas => canvas.toDataURL()")
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 40)
    page.wait_for_function("([canvas, before]) => canvas.toDataURL() !== before", arg=[strip.element_handle(), before])


def test_the_picture_moves_while_the_sound_plays(page):
    page.locator(f"{ROOT} .scrub input").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_function(
        "root => root.querySelector('.scrub input').value > 1 && !root.querySelector('audio').paused",
        arg=page.locator(ROOT).first.element_handle(),
    )
    page.keyboard.press("Space")
    shown = int(page.locator(f"{ROOT} .scrub input").input_value())
    expect(mirror(page)).to_contain_text(f"moment {shown} ", timeout=15_000)


def test_kept_regions_have_volumes_of_their_own(page):
    shelf = page.locator(f"{ROOT} .shelf li")
    expect(shelf).to_have_count(2)
    shelf.nth(1).get_by_role("slider").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    expect(mirror(page)).to_contain_text("[1.00;0.80]", timeout=15_000)
    shelf.nth(0).get_by_role("button", name="mute").click()
    expect(mirror(page)).to_contain_text("[0.00;0.80]", timeout=15_000)
    assert shelf.locator("audio").evaluate_all("all => all.map(s => [s.muted, s.volume])") == [[True, 1], [False, 0.8]]
    page.get_by_role("button", name="Play all kept together").click()
    page.wait_for_function(
        "shelf => [...shelf.querySelectorAll('audio')].every(s => !s.paused && s.currentTime > 0)",
        arg=page.locator(f"{ROOT} .shelf").element_handle(),
    )
    shot(page, "pixel_probe_kept")
    shelf.nth(0).get_by_role("button", name="remove").click()
    expect(mirror(page)).to_contain_text("kept 1 [0.80]", timeout=15_000)
    expect(shelf).to_have_count(1)


def test_an_error_is_read_aloud_and_the_answer_stays(page):
    before = mirror(page).inner_text()
    for _ in range(6):
        page.locator(f"{ROOT} .picture").focus()
        page.keyboard.press("k")
        page.wait_for_timeout(400)
    expect(page.locator(f"{ROOT} .status")).to_contain_text("⚠ 6 regions are kept, no more fit", timeout=15_000)
    assert before.split("kept")[0] == mirror(page).inner_text().split("kept")[0]
    shot(page, "pixel_probe_full_shelf")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_fits_and_is_read_in_every_theme(page, theme):
    choose_theme(page, theme)
    show(page, ROOT)
    probe = page.locator(ROOT)
    for width in (400, 640, 1200):
        page.set_viewport_size({"width": width + 420, "height": 1500})  # the browser of files takes the rest
        page.wait_for_timeout(500)
        assert too_wide(probe) == []
        ink = probe.evaluate("root => getComputedStyle(root).color")
        ground = page.locator(".jp-Notebook").evaluate("node => getComputedStyle(node).backgroundColor")
        assert contrast(ink, ground) > 4.5
        probe.screenshot(path=SHOTS / f"pixel_probe_{theme.split()[1]}_{width}.png")
    page.set_viewport_size({"width": 1300, "height": 1500})


def contrast(*colours: str) -> float:
    """Contrast of two CSS colours after WCAG 2: 4.5 is enough for text."""
    light = []
    for colour in colours:
        values = [float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_plain_widgets_answer_too(page):
    show(page, ".widget-gridbox")
    cells = page.locator(".widget-gridbox button")
    assert cells.count() == 8 * 11
    cell = page.locator('.widget-gridbox button[title^="row 4, column 3,"]')
    cell.focus()
    page.keyboard.press("Enter")
    page.locator(".widget-html [role=status]", has_text="point 0.23, 0.44").wait_for(timeout=15_000)
    page.locator(".widget-html [role=status]", has_text="point 0.23").scroll_into_view_if_needed()
    shot(page, "pixel_probe_gridbox")


def test_sound_and_picture_are_in_step_for_ten_seconds(page, folder, server):
    write(folder, "clock", SET_UP, IN_STEP)
    run_all(page, server, "clock", "end", 120)
    show(page, ROOT)
    page.locator(f"{ROOT} .picture").focus()
    for _ in range(2):  # this moment, off: there are no boxes
        page.keyboard.press("m")
    expect(page.locator(f"{ROOT} .status")).to_contain_text("Map: off")
    canvas, player = (f"document.querySelector('{ROOT} {part}')" for part in (".picture", "audio.player"))
    page.evaluate(WATCH % (canvas, f"{player}.currentTime"))
    page.keyboard.press("Space")
    expect(page.locator(f"{ROOT} audio.player")).to_have_js_property("ended", True, timeout=40_000)
    report("PixelProbe", page.evaluate(SEEN), 10.0, 0.125)


def test_the_browser_has_nothing_to_complain_about(page, complaints):
    ours = [line for line in complaints if "favicon" not in line and "404" not in line]
    assert ours == []
