"""The pages that ``make docs`` builds, opened from disk in a headless Chromium, without a network.

Part of ``make browser-test``, which builds them first. Screenshots are kept in ``runs/browser/``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "build" / "docs"
SHOTS = ROOT / "runs" / "browser"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_the_reference_opens_and_leads_to_a_function_and_a_notebook(browser, scheme):
    context = browser.new_context(viewport={"width": 1300, "height": 1000}, color_scheme=scheme)
    page, errors, elsewhere = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: elsewhere.append(request.url) if request.url.startswith("http") else None)
    page.goto((PAGES / "api" / "public_names.html").as_uri())
    page.get_by_role("link", name="apply_mask", exact=True).click()
    expect(page.locator("#sopedu\\.audio\\.masks\\.apply_mask")).to_be_visible()
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(",")[:3])) < 200) == (scheme == "dark"), background
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"docs_{scheme}.png")
    page.get_by_role("link", name="08 · ").first.click()
    expect(page.locator("h1")).to_contain_text("08 · ")
    formula = page.locator("math[display=block]").first
    expect(formula).to_be_visible()
    assert formula.bounding_box()["height"] > 20, "the formula is not laid out"
    pictures = page.locator("article img")
    assert pictures.count() > 3 and pictures.first.evaluate("image => image.naturalWidth") > 100
    assert len(pictures.first.get_attribute("alt")) >= 40
    assert errors == [] and elsewhere == []
    context.close()
