"""What the browser's tests share: a JupyterLab, and how a notebook in it is run, scrolled and photographed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page

ROOT = Path(__file__).parent.parent.parent
SHOTS = ROOT / "runs" / "browser"
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab over a folder, into which notebooks and samples are copied."""
    port = free_port()
    for name in ("notebooks", "data_samples", "docs"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
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
    try:
        yield address
    finally:
        lab.terminate()
        lab.wait(30)


def chromium() -> str:
    """Where the browser is."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium is installed: apt-get install chromium"
    return found


IDLE = '.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]'


def open_notebook(page: Page, server: str, name: str) -> None:
    """Open a notebook, and wait until its kernel is there."""
    page.goto(f"{server}/lab/tree/notebooks/{name}.ipynb?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
    page.wait_for_selector(IDLE, timeout=60_000, state="attached")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)


def run_cell(page: Page, number: int, seconds: int = 120) -> None:
    """Run a code cell, and wait until it has ended."""
    cell = page.locator(".jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt")
    ends = time.monotonic() + seconds
    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    while not re.search(r"\d", prompt.inner_text()):
        assert time.monotonic() < ends, f"cell {number} did not end in {seconds} s"
        page.wait_for_timeout(500)
        if "*" not in prompt.inner_text() and not re.search(r"\d", prompt.inner_text()):
            page.keyboard.press("Control+Enter")  # lost, because the kernel was not yet there


def run_all(page: Page, server: str, name: str, last_words: str, seconds: int) -> None:
    """Open a notebook, run all its cells, and wait until its last cell with output shows certain words."""
    open_notebook(page, server, name)
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
        if page.locator(".jp-OutputArea-output", has_text=last_words).count() and page.locator(IDLE).count():
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


def choose_theme(page: Page, theme: str) -> None:
    """Choose a theme of JupyterLab in its menu."""
    page.get_by_role("menuitem", name="Settings", exact=True).first.click()
    page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    page.locator(".lm-Menu-item", has_text=re.compile(f"^{theme}$")).click()
    page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")


def too_wide(root: Locator) -> list[str]:
    """What reaches beyond the right edge of a widget."""
    return root.evaluate(
        "root => [...root.querySelectorAll('*')]"
        ".filter(n => n.getClientRects().length && !n.closest('.plot, svg'))"
        ".filter(n => n.getBoundingClientRect().right > root.getBoundingClientRect().right + 1)"
        ".map(n => n.className || n.tagName)"
    )
