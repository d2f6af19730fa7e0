"""HTML pages that need nothing beside them but what they link to: one style, figures in the page itself."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from sopedu.files import written_aside
from sopedu.plots import encode_figure


def write_page(path: str | Path, template: str, **gaps: object) -> Path:
    """Fill the gaps of a template that lies in the package, with the style all pages share, and write the page.

    Raises:
        SopeduError: the folder does not exist or nothing can be written there.
    """
    style = _packaged("page.css")
    page = Template(_packaged(template)).substitute(style=style, **gaps)
    with written_aside(path) as unfinished:
        unfinished.write_bytes(page.encode("utf-8", "replace"))  # names may hold what is no text
    return Path(path)


def figure_html(figure: Figure, name: str, alt: str) -> str:
    """A figure as a picture in the page; on a narrow screen it keeps its size, and scrolls."""
    encoded = base64.b64encode(encode_figure(figure)).decode("ascii")
    image = f'<img src="data:image/webp;base64,{encoded}" alt="{escape(alt)}">'
    return f'<figure class="wide" role="region" aria-label="Figure: {escape(name)}" tabindex="0">{image}</figure>'


def _packaged(name: str) -> str:
    return files("sopedu").joinpath("templates", name).read_text(encoding="utf-8")
