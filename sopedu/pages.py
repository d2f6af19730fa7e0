"""HTML pages from the templates in `sopedu/templates`: one file each, with its style, figures and sounds inside.

Templates are jinja2, and every value is escaped. They can use `figure(figure, name, alt)`, `player(waveform,
sample_rate, caption)` and the filter `two_digits`.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from sopedu.audio.player import player
from sopedu.files import written_aside
from sopedu.plots import encode_figure, two_digits


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Fill in a template of the package and write the page; it appears under its name only when it is complete.

    Args:
        path: the page; its folder must exist.
        template: file name in `sopedu/templates`.
        values: the variables of the template; none may be missing.

    Returns:
        the path.

    Raises:
        SopeduError: the folder does not exist or nothing can be written there.
    """
    environment = Environment(
        loader=PackageLoader("sopedu"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["two_digits"] = two_digits
    environment.globals |= {"figure": _figure, "player": lambda *sound: Markup(player(*sound))}
    page = environment.get_template(template).render(values)
    with written_aside(path) as unfinished:
        unfinished.write_bytes(page.encode("utf-8", "replace"))  # names may contain invalid characters
    return Path(path)


def picture_source(picture: np.ndarray, format: str = "webp", quality: int = 80) -> str:
    """Return a picture as the source of an ``<img>``, with the picture inside.

    Args:
        picture: ``(H, W, 3)`` uint8.
        format: ``webp`` or ``jpeg``.
        quality: of the encoding, 0 to 100.
    """
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format, quality=quality)
    return f"data:image/{format};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"


def _figure(figure: Figure, name: str, alt: str) -> Markup:
    """Return a figure as HTML; on a narrow screen it keeps its size and scrolls."""
    encoded = base64.b64encode(encode_figure(figure)).decode("ascii")
    image = f'<img src="data:image/webp;base64,{encoded}" alt="{escape(alt)}">'
    return Markup(
        f'<figure class="wide" role="region" aria-label="Figure: {escape(name)}" tabindex="0">{image}</figure>'
    )
