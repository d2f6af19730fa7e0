"""Links in Markdown and notebooks, and the headings that they point to: shared by tests of several rooms."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

IMAGE = re.compile(r"!\[[^\]]+\]\(([^)\s]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


def prose(notebook: dict) -> str:
    return "\n\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def anchors_of(path: Path) -> set[str]:
    """The anchors that JupyterLab (spaces become hyphens) and GitHub (punctuation goes too) give to headings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":  # a link to a function or a class
        return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if path.suffix == ".ipynb":
        text = prose({"cells": [{**c, "source": "".join(c["source"])} for c in json.loads(text)["cells"]]})
    headings = re.findall(
        r"^#{1,6} (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    github = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return github | {heading.replace(" ", "-") for heading in headings} | set(re.findall(r'id="([^"]+)"', text))


def broken_links(path: Path, text: str) -> list[str]:
    broken = []
    for target in LINK.findall(text) + IMAGE.findall(text):
        if target.startswith(("http://", "https://", "mailto:", "data:")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    return broken
