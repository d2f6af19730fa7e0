"""Notebooks as a learner meets them: JupyterLab in a headless Chromium, run from top to bottom, operated by keyboard.

Not among the tests of ``make test``: ``make browser-test`` runs it, and it needs Debian's ``chromium``. Screenshots are
kept in ``runs/browser/``, to be looked at.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
SHOTS = ROOT / "runs" / "browser"
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab over copies of the notebooks."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    for name in ("notebooks", "data_samples", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    how = f"--no-browser --allow-root --ip=127.0.0.1 --port={port} --IdentityProvider.token="
    command = [sys.executable, "-m", "jupyterlab", *how.split(), f"--ServerApp.root_dir={folder}"]
    command.append("--ServerApp.disable_check_xsrf=True")
    settings = {"OMP_NUM_THREADS": "1", "JUPYTER_CONFIG_DIR": str(folder / "config"), "PYTHONPATH": str(ROOT)}
    lab = subprocess.Popen(
        command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address, ends = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            break
        except OSError:
            assert time.monotonic() < ends and lab.poll() is None, "JupyterLab did not start"
    yield address
    lab.terminate()
    lab.wait(30)


@pytest.fixture(scope="module")
def page(server) -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "no Chromium is installed: apt-get install chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, headless=True, args=FLAGS.split())
        yield browser.new_page(viewport={"width": 1300, "height": 1000})
        browser.close()


def run_all(page: Page, server: str, name: str, last_words: str, seconds: int) -> None:
    """Open a notebook, run all its cells, and wait until its last cell with output shows certain words."""
    page.goto(f"{server}/lab/tree/notebooks/{name}.ipynb?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
    idle = '.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]'
    page.wait_for_selector(idle, timeout=60_000, state="attached")
    page.locator(".jp-CodeCell").first.click()
    # Saved outputs hold the words already: only new ones prove anything.
    for menu, item in (("Edit", "Clear Outputs of All Cells"), ("Run", "Run All Cells")):
        page.get_by_role("menuitem", name=menu, exact=True).first.click()
        page.get_by_role("menuitem", name=item, exact=True).first.click()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # Cells far away are not drawn: go to the end again and again.
        page.keyboard.press("Escape")
        page.keyboard.press("Control+End")
        page.evaluate("document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollTo(0, 1e7)")
        page.wait_for_timeout(1000)
        if page.locator(".jp-OutputArea-output", has_text=last_words).count() and page.locator(idle).count():
            break
    else:
        raise AssertionError(f"{name} did not come to its end in {seconds} s")
    assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def show(page: Page, selector: str) -> None:
    """Scroll through the notebook until an element is drawn, and to it."""
    page.evaluate("document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollTo(0, 0)")
    for _ in range(200):
        if page.locator(selector).count():
            page.locator(selector).first.scroll_into_view_if_needed()
            return
        page.evaluate("document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer').scrollBy(0, 500)")
        page.wait_for_timeout(100)
    raise AssertionError(f"{selector} was not found in the notebook")


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


def test_start_and_stop_in_the_loss_lab(page, server):
    run_all(page, server, "09_train_live", "loss l1", 500)
    start, stop = ".jp-OutputArea button:has-text('Start')", ".jp-OutputArea button:has-text('Stop')"
    show(page, start)
    page.locator(start).first.focus()
    page.keyboard.press("Enter")
    status = page.locator(".widget-html [role=status]").last
    expect(status).to_contain_text("step ", timeout=60_000)
    picture = page.locator(".widget-image").last.get_attribute("src")
    shot(page, "09_train_live_running")
    page.locator(stop).first.focus()
    page.keyboard.press("Enter")
    expect(status).to_contain_text("stopped after", timeout=30_000)
    assert page.locator(".widget-image").last.get_attribute("src") != picture
    page.locator(".jp-OutputArea button:has-text('Compare')").first.click()
    sound = page.locator(".widget-html audio").last
    expect(sound).to_be_attached(timeout=20_000)
    page.wait_for_function("sound => sound.readyState > 0 && sound.duration > 0.2", arg=sound.element_handle())
    shot(page, "09_train_live_compared")
