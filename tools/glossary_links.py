"""Links to the glossary where a notebook first uses a term (for tools/notebook_frame.py)."""

from __future__ import annotations

import re
from typing import Any

# From a notebook. JupyterLab opens a Markdown file as a page, at the heading; in a notebook that was closed it stays at
# the top, because it looks for the heading before the cells are drawn.
GLOSSARY = "../docs/glossary.md"
_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]*glossary\.\w+#([^)\s]+)\)")
# No term is linked in code, formulas, links, pictures, HTML tags, headings, tables and what is folded away.
_CLOSED = re.compile(
    r"^```.*?^```|<details>.*?</details>|\$\$.*?\$\$|^#+ .*?$|^\|.*?$|`[^`\n]+`|\$[^$\n]+\$"
    r"|!?\[[^\]]*\]\([^)]*\)|<[^>]+>|\*\*Checkpoint\.\*\*",
    re.DOTALL | re.MULTILINE,
)
# Words that mean something else in most sentences: linked only where the notebook lists them under "Words".
_EVERYDAY = {
    "bin", "box", "ceiling", "cell", "component", "estimate", "frame", "hop", "interference", "loss", "mask", "mixture",
    "phase", "protocol", "reference", "solo", "source", "state", "stem", "synthesizer", "target", "track", "window",
}  # fmt: skip
# Cells of a notebook are not cells of a spectrogram.
_OTHER_MEANING = re.compile(
    r"\b(?:runs? (?:a|all|the)|running(?: all)?|this|last|next|first|code|every|all|previous)\s+cells?\b"
    r"|\bcells? (?:above|below)\b",
    re.IGNORECASE,
)


def terms(glossary: str) -> list[str]:
    """Return the terms that a glossary in Markdown explains."""
    return re.findall(r"^## (.+)$", glossary, re.MULTILINE)


def anchor(term: str) -> str:
    """Return the anchor that JupyterLab gives to a term's heading; GitHub finds it too, in capitals or not."""
    return term.replace(" ", "-")


def link_terms(cells: list[dict[str, Any]], known: list[str]) -> None:
    """Link each term once, where the text of a notebook first uses it; links from before are moved there.

    Args:
        cells: of the notebook, changed in place; the header, the words' list and the references stay as they are.
        known: terms of the glossary.
    """
    by_anchor = {anchor(term).lower(): term for term in known}
    text = [cell for cell in cells if cell["cell_type"] == "markdown"]
    listed = {by_anchor.get(target.lower()) for cell in text for _, target in _LINK.findall(_listed(cell["source"]))}
    wanted = [term for term in known if term.lower() not in _EVERYDAY or term in listed]
    form = {term.lower(): term for term in wanted}
    longest_first = "|".join(_spelled(term) for term in sorted(known, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])({longest_first})(e?s)?(?![\w-])", re.IGNORECASE)
    linked: set[str] = set()
    for number, cell in enumerate(text):
        body, ending = _split(cell["source"])
        body = _LINK.sub(lambda link: _plain_or_kept(link, by_anchor, linked), body) if number else body
        if number:
            body = _linked(body, pattern, form, linked)
        cell["source"] = body + _LINK.sub(lambda link: _to_notebook(link, by_anchor), ending)


def _split(source: str) -> tuple[str, str]:
    """Split a cell's text before the section Words or References."""
    found = re.search(r"^## (Words|References)\b", source, re.MULTILINE)
    return (source[: found.start()], source[found.start() :]) if found else (source, "")


def _listed(source: str) -> str:
    """The section Words of a cell, if it has one."""
    return source.partition("## Words")[2].partition("\n## ")[0]


def _spelled(term: str) -> str:
    """A pattern for a term in running text: any white space, any kind of hyphen."""
    return re.escape(term).replace(r"\ ", r"\s+")


def _to_notebook(link: re.Match, by_anchor: dict[str, str]) -> str:
    return f"[{link[1]}]({GLOSSARY}#{anchor(by_anchor[link[2].lower()])})"


def _plain_or_kept(link: re.Match, by_anchor: dict[str, str], linked: set[str]) -> str:
    """Unlink a term, to link it again where it occurs first; other words for it stay linked, and count."""
    term = by_anchor[link[2].lower()]
    if re.fullmatch(_spelled(term) + "(e?s)?", link[1], re.IGNORECASE):
        return link[1]
    linked.add(term)
    return _to_notebook(link, by_anchor)


def _linked(text: str, pattern: re.Pattern, form: dict[str, str], linked: set[str]) -> str:
    """Link the terms that are not linked yet, outside of what is closed."""
    closed = [found.span() for rule in (_CLOSED, _OTHER_MEANING) for found in rule.finditer(text)]

    def replace(found: re.Match) -> str:
        term = form.get(re.sub(r"\s+", " ", found[1]).lower())
        inside = any(start < found.end() and found.start() < end for start, end in closed)
        if term is None or term in linked or inside:
            return found[0]
        linked.add(term)
        return f"[{found[0]}]({GLOSSARY}#{anchor(term)})"

    return pattern.sub(replace, text)
