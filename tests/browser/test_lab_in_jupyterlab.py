"""The lab in JupyterLab, by mouse and keyboard: two runs compared within a minute, switched in place, trained live."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from lab import SHOTS, choose_theme, open_notebook, run_cell, show, too_wide
from playwright.sync_api import Browser, Locator, Page, expect

ROOT = ".sopedu-lab"
# The time until a side has another title and is drawn, in milliseconds; read in the page, which asks no one else.
REDRAWN = """lab => {
  const began = performance.now();
  const drawn = () => requestAnimationFrame(() => (lab.redrawn = performance.now() - began));
  new MutationObserver(drawn).observe(lab.querySelector(".side.a strong"), { childList: true });
}"""
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    return []


@pytest.fixture(scope="module")
def page(browser: Browser, complaints) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 1500})
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lab(page, server) -> Locator:
    """The lab of notebook 15, from a fresh kernel, with its sound on."""
    open_notebook(page, server, "15_k_and_loss")
    began = time.monotonic()
    run_cell(page, 0)
    run_cell(page, 1)
    root = page.locator(ROOT).first
    expect(root.get_by_text("K=16, BCE, ratio, seed 0").first).to_be_attached(timeout=60_000)
    show(page, f"{ROOT} .transport")
    root.get_by_role("button", name="Play").click()
    expect_sound(page)
    page.keyboard.press("b")
    expect_sound(page)
    seconds = time.monotonic() - began
    print(f"\nfrom a fresh kernel to A against B with sound: {seconds:.1f} s")
    return root


def expect_sound(page: Page) -> None:
    """Something is heard, and the time goes on."""
    before = page.locator(ROOT).first.get_attribute("data-position")
    page.wait_for_function(
        "([root, before]) => { const lab = document.querySelector(root);"
        " return lab.dataset.playing === 'true' && lab.dataset.position !== before"
        " && lab.querySelector('meter').value > 0.005; }",
        arg=[ROOT, before],
        timeout=15_000,
    )


def picture(lab: Locator, side: str, number: int) -> str:
    """What a canvas of a side shows: 0 estimate, 1 predicted mask, 2 true mask."""
    return lab.locator(f".side.{side} canvas").nth(number).evaluate("canvas => canvas.toDataURL()")


def choose(lab: Locator, side: str, label: str, value: str) -> None:
    lab.locator(f".side.{side}").get_by_label(label, exact=True).select_option(value)


def test_a_second_comparison_with_sound(page, lab):
    mask = picture(lab, "a", 1)
    lab.evaluate(REDRAWN)
    began = time.monotonic()
    choose(lab, "a", "K (components)", "8")
    expect(lab.locator(".side.a strong").first).to_have_text("K=8, BCE, ratio, seed 0")
    page.keyboard.press("Escape")
    lab.get_by_text("A", exact=True).first.click()
    expect_sound(page)
    seconds = time.monotonic() - began
    print(f"\nredrawn after {lab.evaluate('lab => lab.redrawn') / 1000:.2f} s; heard after {seconds:.2f} s")
    assert picture(lab, "a", 1) != mask


def test_a_and_b_are_switched_in_place(page, lab):
    lab.evaluate(
        "lab => { lab.seen = [];"
        " const look = () => lab.seen.push([lab.dataset.heard, lab.dataset.position, lab.dataset.at]);"
        " lab.watch = setInterval(look, 10); }"
    )
    lab.locator(".play").focus()
    for key in "abmtab":
        page.keyboard.press(key)
        page.wait_for_timeout(300)
    seen = lab.evaluate("lab => (clearInterval(lab.watch), lab.seen)")
    assert {heard for heard, _, _ in seen} == {"a", "b", "mixture", "true"}
    places = [(float(place), float(at) / 1000) for _, place, at in seen]
    seconds = page.locator(f"{ROOT} .transport input[type=range]").evaluate("line => Number(line.max)")
    for (before, began), (later, ended) in zip(places, places[1:], strict=False):
        jump = (later - before - (ended - began)) % seconds
        assert min(jump, seconds - jump) < 0.15, "the sound jumped when it was switched"
    expect_sound(page)


def test_the_keyboard_alone_pauses_seeks_and_chooses(page, lab):
    lab.locator(".play").focus()
    page.keyboard.press("p")
    expect(lab).to_have_attribute("data-playing", "false")
    line = lab.get_by_label("time in seconds")
    line.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(lab).to_have_attribute("data-position", "0.050")
    cells = page.locator(".jp-CodeCell").count()
    pair = lab.get_by_role("radio", name="cello + flute")
    pair.focus()
    page.keyboard.press("ArrowRight")
    expect(lab.get_by_role("radio", name="cello + trumpet")).to_be_checked()
    source = lab.get_by_role("radio", name="cello", exact=True)
    source.focus()
    page.keyboard.press("ArrowRight")
    expect(lab.locator(".side.a .said")).to_contain_text("On this mixture, trumpet")
    for key in "xcddj":  # in JupyterLab's command mode, these would cut cells
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == cells
    pair.focus()
    page.keyboard.press("Space")
    source.focus()
    page.keyboard.press("Space")
    expect(lab.locator(".side.a .said")).to_contain_text("On this mixture, cello")


def test_every_control_has_a_name(lab):
    nameless = lab.evaluate(
        "lab => [...lab.querySelectorAll('button, select, input, meter, progress, canvas, img, svg[role=img]')]"
        ".filter(n => !(n.labels?.length || n.textContent.trim() || n.ariaLabel || n.alt))"
        ".filter(n => n.getClientRects().length).map(n => n.outerHTML.slice(0, 120))"
    )
    assert nameless == []


def test_silence_is_explained_and_cured(page, lab):
    choose(lab, "b", "loss", "l1")
    silence = lab.locator(".side.b .silence")
    expect(silence).to_contain_text("L1 is smallest at their median")
    lab.screenshot(path=SHOTS / "lab_silent.png")
    silence.get_by_role("button").click()
    expect(silence).to_be_hidden()
    expect(lab.locator(".side.b .said")).to_contain_text("SDR improvement")
    lab.locator(".side.b").get_by_label("loss", exact=True).select_option("bce")
    for label, value in (("empty rooms", "0.08"), ("pictures of absent instruments", "1")):
        choose(lab, "b", label, value)
    expect(lab.locator(".side.b strong").first).to_have_text("K=16, BCE, ratio, seed 0")


def test_a_choice_that_nobody_trained_is_trained_and_shows_its_mask_as_it_appears(page, lab):
    choose(lab, "a", "K (components)", "4")
    choose(lab, "a", "loss", "l2")
    lab.get_by_role("button", name="Train it: about 10 s").click()
    preview = lab.locator(".preview")
    expect(preview).to_contain_text("K=4, L2, ratio, seed 0: at step 20", timeout=90_000)
    early = preview.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    lab.screenshot(path=SHOTS / "lab_training.png")
    expect(preview).to_contain_text("at step 60", timeout=90_000)
    assert preview.locator("canvas").first.evaluate("canvas => canvas.toDataURL()") != early
    expect(lab.locator("p.progress")).to_contain_text("done after 100 steps", timeout=120_000)
    expect(lab.locator(".side.a strong").first).to_have_text("K=4, L2, ratio, seed 0 (trained here)")
    expect(lab.locator(".legend li")).to_have_count(2)
    lab.screenshot(path=SHOTS / "lab_trained.png")


def test_stop_ends_a_training(page, lab):
    lab.get_by_label("steps", exact=True).fill("2000")
    lab.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    expect(lab.locator("p.progress")).to_contain_text("step ", timeout=90_000)
    expect(lab.get_by_role("button", name="Start")).to_be_disabled()
    lab.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    expect(lab.locator("p.progress")).to_contain_text("stopped at step", timeout=30_000)
    expect(lab.get_by_role("button", name="Start")).to_be_enabled()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_fits_and_is_read_in_every_theme(page, lab, theme):
    choose_theme(page, theme)
    for width in (400, 700, 1200):
        page.set_viewport_size({"width": width + 420, "height": 1800})  # the browser of files takes the rest
        page.wait_for_timeout(500)
        assert too_wide(lab) == []
        lab.screenshot(path=SHOTS / f"lab_{theme.split()[1]}_{width}.png")
    page.set_viewport_size({"width": 1400, "height": 1500})


def test_the_browser_has_nothing_to_complain_about(lab, complaints):
    ours = [line for line in complaints if "favicon" not in line and "404" not in line]
    assert ours == []
