"""``make docs``: everything that is there gets a page, and nothing is left of what is gone."""

from __future__ import annotations

import json
from pathlib import Path

import sopedu
from tools.docs_sources import ApiPages, first_sentence, lay_out, modules_of, notebook_for_pages, sources

ROOT = Path(__file__).parents[2]


def test_every_room_module_and_public_name_is_in_the_reference():
    pages = ApiPages().all()
    modules = modules_of(sopedu)
    assert "sopedu.audio.masks" in modules
    rooms = {path.parent.name for path in (ROOT / "sopedu").glob("*/__init__.py")}
    for module in modules:
        name = module.removeprefix("sopedu.")
        assert f"api/{name if name in rooms else module}.rst" in pages
    for name in sopedu.__all__:
        assert f":py:obj:`{name} <sopedu." in pages["api/public_names.rst"]
    assert ":py:obj:`apply_mask <sopedu.audio.masks.apply_mask>`" in pages["api/audio.rst"]


def test_pages_and_notebooks_keep_their_folders():
    laid_out = sources()
    for path in [*(ROOT / "notebooks").glob("[0-9]*.ipynb"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        assert path.relative_to(ROOT).as_posix() in laid_out
    assert '"mystnb": {"image": {"alt": "' in laid_out["notebooks/01_sound_and_spectrograms.ipynb"]


def test_links_of_notebooks_lead_to_the_pages_of_the_api_and_of_the_glossary(tmp_path):
    text = "[`warp`](../sopedu/audio/spectrogram.py#warp), [masks](../docs/glossary.md#Ideal-ratio-mask), "
    text += "[all](../docs/glossary.md), [map](00_a.ipynb#The-map)"
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [text]}]
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    [cell] = json.loads(notebook_for_pages(tmp_path / "one.ipynb"))["cells"]
    assert cell["source"] == (
        "{py:obj}`warp <sopedu.audio.spectrogram.warp>`, [masks](../docs/glossary.md#ideal-ratio-mask), "
        "[all](../docs/glossary.md), [map](00_a.ipynb#the-map)"
    )


def test_laying_out_again_writes_what_changed_and_removes_what_is_gone(tmp_path, monkeypatch):
    pages = {"index.rst": "one", "api/audio.rst": "two"}
    monkeypatch.setattr("tools.docs_sources.sources", lambda: pages)
    lay_out(tmp_path)
    before = (tmp_path / "index.rst").stat().st_mtime_ns
    pages = {"index.rst": "one", "api/video.rst": "three"}
    lay_out(tmp_path)
    assert (tmp_path / "index.rst").stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "api").iterdir()] == ["video.rst"]


def test_first_sentence():
    def described():
        """Read it (mp3, e.g. a song) as
        one waveform. Then stop.

        More.
        """

    assert first_sentence(described) == "Read it (mp3, e.g. a song) as one waveform."
    assert first_sentence(lambda: None) == ""
