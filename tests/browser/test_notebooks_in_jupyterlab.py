"""Notebooks as a learner meets them: JupyterLab in a headless Chromium, run from top to bottom, operated by keyboard.

Not among the tests of ``make test``: ``make browser-test`` runs it, and it needs Debian's ``chromium``. Screenshots are
kept in ``runs/browser/``, to be looked at.
"""

from __future__ import annotations

import pytest
from lab import open_notebook, run_all, shot, show
from playwright.sync_api import Page, expect


@pytest.mark.parametrize(
    "name, last_words, seconds", [("02_masks_by_hand", "not attempted", 240), ("06_ears", "not attempted", 240)]
)
def test_a_slider_moved_by_keyboard_changes_picture_and_sound(page, server, name, last_words, seconds):
    run_all(page, server, name, last_words, seconds)
    control = ".widget-slider .noUi-handle"
    show(page, control)
    explorer = page.locator(".widget-vbox", has=page.locator(control)).first
    picture, sound = explorer.locator(".widget-image"), explorer.locator("audio").first
    if name == "06_ears":  # as long as all components sound, the slider that picks one changes nothing
        explorer.get_by_role("button", name="only k").focus()
        page.keyboard.press("Enter")
        page.wait_for_timeout(3000)
    before = picture.first.get_attribute("src")
    explorer.locator(".noUi-handle").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before, timeout=30_000)
    assert picture.count() == 1, "the picture is doubled"
    expect(sound).to_have_js_property("error", None)
    page.wait_for_function("sound => sound.readyState > 0 && sound.duration > 0.2", arg=sound.element_handle())
    shot(page, name)


def test_the_first_click_on_a_term_opens_the_glossary_there(page, server):
    open_notebook(page, server, "04_without_learning")
    page.locator('.jp-Notebook a[href*="glossary.md"][href$="#NMF"]').first.click()
    expect_at_the_top(page, "NMF")
    shot(page, "glossary")
    page.locator(".jp-MarkdownViewer").get_by_role("link", name="feature map", exact=True).click()
    expect_at_the_top(page, "Feature-map")


def expect_at_the_top(page: Page, term: str) -> None:
    """A term's heading is at the top of the glossary."""
    page.wait_for_function(
        "id => { const [page, term] = ['', ` h2[data-jupyter-id='${id}']`].map("
        " inside => document.querySelector(`.jp-MarkdownViewer${inside}`)?.getBoundingClientRect().y);"
        " return Math.abs(term - page) < 50; }",
        arg=term,
        timeout=30_000,
    )
