"""The page for blind listening, opened from disk in a headless Chromium, used by keyboard as a rater would.

Part of ``make browser-test``; it needs Debian's ``chromium``. Screenshots are kept in ``runs/browser/``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from sopedu.config import preset
from sopedu.evaluation import Trial, evaluate_ratings, write_sheet

SHOTS = Path(__file__).parent.parent.parent / "runs" / "browser"
VERSIONS = ("reference", "mixture", "model", "ideal_ratio_mask")
# Sources and gains of the page are kept, to see which sound is heard and from when on.
LISTEN = """
window.heard = [];
const make = AudioContext.prototype.createGain, start = AudioBufferSourceNode.prototype.start;
AudioContext.prototype.createGain = function () { const gain = make.call(this); heard.push({gain}); return gain; };
AudioBufferSourceNode.prototype.start = function (when, ...how) {
  heard.find((one) => !one.source).source = Object.assign(this, {when});
  return start.call(this, when, ...how);
};
"""
LOUD = "() => heard.slice(-5).filter((one) => one.gain.gain.value > 0.99).length === 1"
WHICH = "() => { const five = heard.slice(-5); return five.findIndex((one) => one.gain.gain.value > 0.99); }"
SCHEMES = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}}
PHONE = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}


@pytest.fixture(scope="module")
def sheet(tmp_path_factory) -> Path:
    """Three trials of 1.5 s; each version is a tone of its own."""
    sound, clock = preset("tiny").spectrogram, np.arange(16000) / 11025
    tones = {name: np.sin(2 * np.pi * 220 * (2 + n) * clock) * 0.1 * (n + 1) for n, name in enumerate(VERSIONS)}
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    path = tmp_path_factory.mktemp("sheet") / "listen.html"
    write_sheet(path, [Trial(f"trial {n}", "cello <&>", picture, tones) for n in range(3)], sound)
    return path


def opened(browser: Browser, sheet: Path, how: dict) -> tuple[Page, list[str]]:
    """The page in a browser of its own, and what goes wrong in it."""
    context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | how))
    context.add_init_script(LISTEN)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: errors.append(asked.url) if not asked.url.startswith(("data:", "file:")) else None)
    page.goto(sheet.as_uri())
    return page, errors


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"sheet_{name}.png", full_page=True)


def rate_all(page: Page, key: dict) -> None:
    """Give the reference 100 and the others 40, by keyboard alone."""
    trial = page.evaluate("document.getElementById('which').textContent")
    sounds = page.locator("#sounds .sound").evaluate_all("all => all.map((one) => one.dataset.sound)")
    known = {name: condition for one in key["trials"].values() for name, condition in one["sounds"].items()}
    for number, sound in enumerate(sounds, 1):
        page.keyboard.press(str(number))
        page.keyboard.press("End")
        if known[sound] != "reference":
            for _ in range(6):
                page.keyboard.press("PageDown")
    expect(page.locator("#left")).to_have_text("")
    assert trial.startswith("Trial")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_rater_listens_rates_and_saves_by_keyboard(browser, sheet, scheme, tmp_path):
    page, errors = opened(browser, sheet, SCHEMES[scheme])
    key = json.loads(sheet.with_suffix(".key.json").read_text())
    text = sheet.read_text()
    assert not any(word in text.split('id="data">')[1].split("</script>")[0] for word in ("mixture", "model", "ratio"))
    shot(page, f"start_{scheme}")
    page.get_by_label("A name of your choice").fill("Ada, =1+1")
    page.keyboard.press("Enter")
    expect(page.locator("#which")).to_have_text("Trial 1 of 3")
    expect(page.locator("#next")).to_be_disabled()
    page.keyboard.press("Space")
    page.wait_for_function(LOUD)
    assert len({one for one in page.evaluate("heard.map((one) => one.source.when)")}) == 1, "all begin together"
    first = page.evaluate(WHICH)
    page.keyboard.press("2")
    page.wait_for_function(f"() => ({LOUD})() && ({WHICH})() !== {first}")
    assert page.evaluate("heard.length") == 5, "nothing began anew: the place in time stays"
    expect(page.locator("#sounds .sound.on button")).to_have_text("Sound 2")
    shot(page, f"trial_{scheme}")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Play")
    for number in range(3):
        rate_all(page, key)
        if number == 1:  # a closed window loses nothing
            page.reload()
            expect(page.locator("#which")).to_have_text("Trial 2 of 3")
            expect(page.locator("#left")).to_have_text("")
        page.get_by_role("button", name="Finish" if number == 2 else "Next", exact=True).click()
    shot(page, f"end_{scheme}")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save answers.csv").click()
    saving.value.save_as(tmp_path / "answers.csv")
    answers = (tmp_path / "answers.csv").read_text()
    assert page.locator("#csv").input_value() == answers and re.match(r"answers-Ada_", saving.value.suggested_filename)
    figures = evaluate_ratings([tmp_path / "answers.csv"], sheet.with_suffix(".key.json"))
    assert {name: row["mean"] for name, row in figures["table"].items()} == {
        name: 100 if name == "reference" else 40 for name in VERSIONS
    }
    assert figures["excluded"] == {} and errors == []
    page.context.close()


def test_the_order_differs_between_raters_and_nothing_is_cut_off_on_a_phone(browser, sheet):
    orders = []
    for name in ("a", "b", "c"):
        page, errors = opened(browser, sheet, PHONE)
        page.get_by_label("A name of your choice").fill(name)
        page.keyboard.press("Enter")
        orders.append(page.evaluate("JSON.parse(localStorage[Object.keys(localStorage)[0]]).order"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360 and errors == []
        shot(page, "phone")
        page.context.close()
    assert orders[0] != orders[1] or orders[1] != orders[2]
    assert len({json.dumps(sorted(trial["trial"] for trial in order)) for order in orders}) == 1
