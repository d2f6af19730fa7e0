"""The style of a notebook, as far as it can be held by a machine; nbval runs the cells themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from links import LINK, broken_links, prose

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CORE = {"01", "02", "05", "08", "09", "10"}
# The final project is the learner's own work: nothing is predicted in it, and its checklist replaces exercises.
PROJECT = "20"
# Exercises at least, where it is neither three (core) nor one.
EXERCISES = {"15": 0, PROJECT: 0}
# Words that would reach for the network or install something.
NETWORK = re.compile(r"https?://|\burlopen\b|\burlretrieve\b|\brequests\b|[!%]pip\b|[!%]conda\b|\bwget\b|\bcurl\b")
# Put together from pieces, so that the test that looks for machine paths does not find this file.
MACHINE = re.compile(
    r"(?<![\w.\-/])(/(?:" + "|".join(["home", "work", "root", "tmp", "Users", "mnt"]) + r")/|[A-Z]:\\\\)"
)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path) -> dict:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert [path.stem for path in PATHS][:2] == ["00_start_here", "01_sound_and_spectrograms"]


def test_header(path, notebook):
    first = notebook["cells"][0]["source"]
    assert first.startswith(f"# {path.stem[:2]} · ")
    assert prose(notebook).count("\n# ") == 0, "one title a notebook"
    for words in ("You will be able to", "Prerequisites", "Previous", "Next"):
        assert f"**{words}" in first, f"the header lacks {words}"
    assert re.search(r"measured: \d+ s", first), "the header lacks the measured time"


def test_neighbours_are_linked(path, notebook):
    """A notebook's neighbours are those in the order of their numbers; the numbers may have gaps."""
    first, place = notebook["cells"][0]["source"], PATHS.index(path)
    previous, following = re.search(r"\*\*Previous:?\*\*(.*?)·\s*\*\*Next:?\*\*(.*)$", first, re.DOTALL).groups()
    for words, others in ((previous, PATHS[:place][-1:]), (following, PATHS[place + 1 :][:1])):
        assert LINK.findall(words) == [other.name for other in others]


def test_ending(path, notebook):
    text = prose(notebook)
    for heading in ("Words",) if path.stem[:2] == PROJECT else ("Summary", "Self-test", "Words", "References"):
        assert f"\n## {heading}" in text, f"the section {heading} is missing"


def test_links_and_anchors_exist(path, notebook):
    assert broken_links(path, prose(notebook)) == []


def test_saved_as_run_in_order_and_without_errors(notebook):
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []


def test_saved_lean(path, notebook):
    assert path.stat().st_size <= 400_000
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    for cell in notebook["cells"]:
        assert set(cell["metadata"]) <= {"tags", "alt"}
    mimes = {mime for cell in code_cells(notebook) for output in cell["outputs"] for mime in output.get("data", ())}
    assert "application/vnd.jupyter.widget-view+json" not in mimes, "a widget without its state shows an error"


def test_cells_are_short_and_the_first_one_only_sets_up(notebook):
    cells = code_cells(notebook)
    assert [cell["source"] for cell in cells if len(cell["source"].splitlines()) > 25] == []
    assert len(cells[0]["source"].splitlines()) <= 10
    assert not re.search(r"^\s*(def|class|for|while|try)\b", cells[0]["source"], re.MULTILINE)
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == "markdown"
    assert kinds[-1] == "markdown"


def test_a_learner_predicts_and_knows_what_to_see(path, notebook):
    text = prose(notebook)
    if path.stem[:2] == PROJECT:
        assert "**If not" in text
        return
    assert text.count("**Predict") >= 2
    assert text.count("**What you should see") >= 2
    assert "**If not" in text


def test_outputs_that_nbval_compares(path, notebook):
    tagged = [cell for cell in code_cells(notebook) if "nbval-check-output" in cell["metadata"].get("tags", ())]
    assert len(tagged) >= (1 if path.stem[:2] == PROJECT else 3)
    for cell in tagged:
        assert cell["outputs"], "nothing to compare"
        assert not re.search(r"perf_counter|time\.time|version|get_num_threads|device", cell["source"])
        # These render what the cache lacks, under a progress bar, which is an output: one more than was saved.
        assert not re.search(r"\b(ToyBandClips|open_clips|rendered_set|evaluate(_localization)?)\(", cell["source"])


def test_exercises(path, notebook):
    checks = [cell for cell in code_cells(notebook) if "exercises.check_" in cell["source"]]
    assert len(checks) >= EXERCISES.get(path.stem[:2], 3 if path.stem[:2] in CORE else 1)


def test_every_figure_has_alternative_text_and_a_caption(notebook):
    cells = notebook["cells"]
    for cell, after in zip(cells, [*cells[1:], {"source": ""}], strict=True):
        shown = [output.get("data", {}) for output in cell.get("outputs", ())]
        if any("image/png" in data or "<img " in "".join(data.get("text/html", ())) for data in shown):
            assert len(cell["metadata"].get("alt", "")) >= 40, f"no alternative text: {cell['source']}"
            assert re.match(r"\*\*Figure \d+\.\*\*", after["source"]), f"no caption below: {cell['source']}"
    numbers = [int(n) for n in re.findall(r"^\*\*Figure (\d+)\.\*\*", prose(notebook), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "![](" not in prose(notebook)
    assert not re.search(r"<img(?![^>]*\balt=)", prose(notebook))


def test_no_network_and_no_path_of_a_machine(notebook):
    for cell in code_cells(notebook):
        assert not NETWORK.search(cell["source"])
    for cell in notebook["cells"]:
        shown = [cell["source"]]
        for output in cell.get("outputs", ()):
            shown += ["".join(output.get("text", ""))]
            shown += ["".join(output["data"][mime]) for mime in output.get("data", ()) if mime.startswith("text/")]
        text = re.sub(r"data:[\w/+-]+;base64,[\w+/=]+", "", "\n".join(shown))
        assert not MACHINE.search(text)


def test_the_course_map_links_what_exists_and_says_what_is_coming():
    cells = json.loads(PATHS[0].read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells)
    rows = re.findall(r"^\| (\d\d) \| (.+?) \| (core|side|start|appendix|project) \|", source, re.MULTILINE)
    numbers = [number for number, _, _ in rows]
    assert numbers == sorted(set(numbers)) and {path.stem[:2] for path in PATHS} <= set(numbers)
    assert {number for number, _, kind in rows if kind == "core"} == CORE
    written = {path.stem[:2]: path.name for path in PATHS}
    for number, cell, _ in rows:
        assert LINK.findall(cell) == ([written[number]] if number in written else []), number
        assert ("coming" in cell) == (number not in written), number


def test_the_glossary_links_to_what_exists():
    glossary = ROOT / "docs" / "glossary.md"
    assert broken_links(glossary, glossary.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("broken", [False, True], ids=["as saved", "a number changed"])
def test_nbval_sees_a_number_that_changed(tmp_path, broken):
    """A notebook that runs but says something else must fail, or the tests of all notebooks would prove nothing."""
    notebook = json.loads(PATHS[1].read_text(encoding="utf-8"))
    checked = [i for i, c in enumerate(notebook["cells"]) if "nbval-check-output" in c["metadata"].get("tags", ())]
    notebook["cells"] = notebook["cells"][: checked[0] + 1]
    output = notebook["cells"][-1]["outputs"][0]
    if broken:
        output["text"] = re.sub(r"\d", "7", "".join(output["text"]))
    (tmp_path / "copy.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    done = subprocess.run([*command, "--nbval-cell-timeout=120", "copy.ipynb"], cwd=tmp_path, capture_output=True)
    assert done.returncode == int(broken), done.stdout.decode()
