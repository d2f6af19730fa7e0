"""Write what all notebooks have in common, after their own text changed.

    python -m tools.notebook_frame [NOTEBOOK …] [--measure]

In the header: the time, from words, code cells and measured seconds, and the neighbours. Below it, in 04 to 10, the
picture of the model. In the text: links to the glossary where a term first occurs. At the end: the functions that the
code uses, with links, and one line to the neighbours. The course map gets the same minutes.

Running it again changes nothing. `--measure` runs the notebooks and notes how long that takes.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from functools import cache
from pathlib import Path
from typing import Any

from sopedu.files import written_aside
from tools.glossary_links import link_terms, terms
from tools.model_pictures import LESSONS, alternative_text
from tools.used_functions import used_functions

ROOT = Path(__file__).parents[1]
FOLDER, GLOSSARY = ROOT / "notebooks", ROOT / "docs" / "glossary.md"
SECONDS = ROOT / "tools" / "notebook_seconds.json"
WORDS_PER_MINUTE, SECONDS_PER_CODE_CELL, ROUNDED_TO = 200, 20, 5
#: Cells with this tag are made here; the others belong to the authors.
TAG = "frame"
_PATHS = {"core": "core path, ", "side": "side trip, ", "start": "", "appendix": "appendix, "}
_MAP_ROW = re.compile(r"^(\| (\d\d) \| .+? \| (core|side|start|appendix|project) \|)([^|]*)\|", re.MULTILINE)
_NEIGHBOURS = re.compile(r"^\*\*Previous:?\*\*.*$", re.MULTILINE)
_OLD_FOOTER = re.compile(r"(?:\n+(?:Previous|Next|Back to)\b[^\n]*\]\(\d\d_\w+\.ipynb\)[^\n]*)+\s*$")


def notebooks() -> list[Path]:
    """Return the paths of all lessons, in their order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> dict[str, Any]:
    """Return a notebook with each cell's source as one string."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def written(notebook: dict[str, Any]) -> str:
    """Return the text of a notebook's file, as nbformat writes it."""
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps({**notebook, "cells": cells}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def own_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells that are not made here."""
    return [cell for cell in notebook["cells"] if TAG not in cell["metadata"].get("tags", ())]


def count_words(notebook: dict[str, Any]) -> int:
    """Count the words that a learner reads: no code, no addresses of links, nothing that is made here."""
    cells = (cell["source"] for cell in own_cells(notebook) if cell["cell_type"] == "markdown")
    text = "\n\n".join(_OLD_FOOTER.sub("", source) for source in cells)
    text = re.sub(r"^\*\*(Time|Previous):?\*\*.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text)
    return len(re.findall(r"\S*\w\S*", text))


def minutes(notebook: dict[str, Any], seconds: float) -> int:
    """Return how long a notebook takes without its exercises: reading, looking at each code cell, and running all.

    Args:
        notebook: read by :func:`read`.
        seconds: that running all cells takes.

    Returns:
        minutes, rounded up to five.
    """
    cells = sum(cell["cell_type"] == "code" for cell in own_cells(notebook))
    total = count_words(notebook) / WORDS_PER_MINUTE + (cells * SECONDS_PER_CODE_CELL + seconds) / 60
    return math.ceil(total / ROUNDED_TO) * ROUNDED_TO


def title(path: Path) -> str:
    """Return a notebook's title, such as ``06 · Ears``."""
    return read(path)["cells"][0]["source"].partition("\n")[0].removeprefix("# ")


@cache
def course_map() -> dict[str, str]:
    """Return the kinds of the notebooks by their numbers, from the map in the first one."""
    text = "\n".join(cell["source"] for cell in read(notebooks()[0])["cells"])
    return {number: kind for _, number, kind, _ in _MAP_ROW.findall(text)}


def seconds_of(path: Path) -> int:
    """Return the measured seconds that running a notebook takes; before its first measurement, what its header says."""
    said = re.search(r"measured: (\d+) s", read(path)["cells"][0]["source"])
    return measured().get(path.stem) or int(said[1])


def neighbours(path: Path) -> tuple[str, str]:
    """Return links to the notebooks before and after one; where there is none, words that say so."""
    paths = notebooks()
    place = paths.index(path)
    before, after = paths[:place][-1:], paths[place + 1 :][:1]
    linked = [f"[{title(others[0])}]({others[0].name})" if others else "" for others in (before, after)]
    return linked[0] or "this is the first", linked[1] or "this is the last"


def next_core(path: Path) -> Path | None:
    """Return the next lesson on the core path; None after the last one."""
    paths = notebooks()
    core = (after for after in paths[paths.index(path) + 1 :] if course_map().get(after.stem[:2]) == "core")
    return next(core, None)


def header(source: str, path: Path, time_needed: int) -> str:
    """Return a header with its time and its neighbours.

    Args:
        source: of the first cell.
        path: of the notebook.
        time_needed: in minutes.
    """
    source = _NEIGHBOURS.sub(lambda _: "**Previous:** {} · **Next:** {}".format(*neighbours(path)), source)
    kind = course_map().get(path.stem[:2], "side")
    if kind == "project":  # the learner's own work takes the time that its author states
        return source
    line = (
        f"**Time:** {_PATHS[kind]}about {time_needed} minutes without the exercises "
        f"(running all cells, measured: {seconds_of(path)} s on one CPU core)."
    )
    return re.sub(r"^\*\*Time:?\*\*.*?(?=\n\n|\Z)", lambda _: line, source, flags=re.DOTALL | re.MULTILINE)


def made_cell(source: str, number: int) -> dict[str, Any]:
    """Return a Markdown cell that is made here."""
    return {"cell_type": "markdown", "id": f"frame-{number}", "metadata": {"tags": [TAG]}, "source": source}


def picture(path: Path) -> str:
    """Return the picture of the model with the part that a notebook is about, as Markdown; empty where it has none."""
    if path.stem not in LESSONS:
        return ""
    part = f"*Filled is the part that this notebook is about: {LESSONS[path.stem].says}. Others explain the rest.*"
    return f"![{alternative_text(path.stem)}](pictures/model_{path.stem[:2]}.svg)\n\n{part}"


def functions(notebook: dict[str, Any]) -> str:
    """Return the list of the library's functions that the code cells use, by file."""
    by_file: dict[str, list[str]] = {}
    for file, name in used_functions([c["source"] for c in own_cells(notebook) if c["cell_type"] == "code"]):
        by_file.setdefault(file, []).append(f"[`{name}`](../{file}#{name})")
    if not by_file:
        return ""
    says = "A name opens the file that defines it. In a code cell, `help(name)` says what it takes and returns."
    lines = [f"- `{file}`: {' · '.join(links)}" for file, links in sorted(by_file.items())]
    return "\n".join(["## Functions of this notebook", "", says, "", *lines])


def footer(path: Path) -> str:
    """Return the last line of a notebook: its neighbours, and the next lesson on the core path."""
    before, after = neighbours(path)
    parts = [f"Previous: {before}", f"Next: {after}"]
    if core := next_core(path):
        on_the_path = f"[{title(core)}]({core.name})"
        parts = [part for part in parts if on_the_path not in part] + [f"Next on the core path: {on_the_path}"]
    return " · ".join(
        [*parts, "[Course map](00_start_here.ipynb#The-map-of-the-course)", "[Glossary](../docs/glossary.md)"]
    )


def with_map_minutes(source: str, paths: list[Path]) -> str:
    """Return the course map with the minutes of the notebooks that are there."""
    needed = {path.stem[:2]: minutes(read(path), seconds_of(path)) for path in paths}

    def row(found: re.Match) -> str:
        stated = found[4].strip()
        return f"{found[1]} {stated if found[3] == 'project' else needed.get(found[2], stated)} |"

    return _MAP_ROW.sub(row, source)


def measured() -> dict[str, int]:
    """Return the measured seconds of all notebooks, by name."""
    return json.loads(SECONDS.read_text(encoding="utf-8"))


def framed(path: Path) -> str:
    """Return the text of a notebook's file with all that is made here."""
    notebook = read(path)
    cells = own_cells(notebook)
    cells[-1]["source"] = _OLD_FOOTER.sub("", cells[-1]["source"])
    link_terms(cells, terms(GLOSSARY.read_text(encoding="utf-8")))
    if path == notebooks()[0]:
        for cell in cells:
            if cell["cell_type"] == "markdown":
                cell["source"] = with_map_minutes(cell["source"], notebooks())
    notebook["cells"] = cells
    cells[0]["source"] = header(cells[0]["source"], path, minutes(notebook, seconds_of(path)))
    made = [picture(path), functions(notebook), footer(path)]
    first, *last = (made_cell(source, number) if source else None for number, source in enumerate(made))
    notebook["cells"] = [cell for cell in (cells[0], first, *cells[1:], *last) if cell]
    return written(notebook)


def measure(path: Path) -> int:
    """Run all cells of a notebook and return how many seconds that took, without the start of the kernel."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, 4)
    client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}})
    with client.setup_kernel():
        started = time.monotonic()
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
    return math.ceil(time.monotonic() - started)


def write(path: Path, text: str) -> None:
    """Write a file if its text is another."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with written_aside(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        print(f"written: {path.relative_to(ROOT)}")


def main() -> None:
    """Write the frames of notebooks, by default of all."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("notebooks", nargs="*", type=Path, help="by default all")
    options.add_argument("--measure", action="store_true", help="run them first and note the seconds")
    chosen = options.parse_args()
    paths = [path.resolve() for path in chosen.notebooks] or notebooks()
    if chosen.measure:
        for path in paths:
            table = measured() | {path.stem: measure(path)}
            write(SECONDS, json.dumps(table, indent=1, sort_keys=True) + "\n")
    for path in paths:
        write(path, framed(path))


if __name__ == "__main__":
    main()
