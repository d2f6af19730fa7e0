"""What the browser's tests start once: a JupyterLab over copies of the notebooks, and a Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import FLAGS, chromium, jupyterlab
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """What JupyterLab serves."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def server(folder) -> Iterator[str]:
    with jupyterlab(folder) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), headless=True, args=FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page(browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1300, "height": 1000})
    yield opened
    opened.close()
