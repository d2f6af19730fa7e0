"""Sphinx's settings for `make docs`: everything offline; its sources are laid out by ``tools/docs_sources.py``."""

from __future__ import annotations

import inspect
import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import sopedu

project = "sopedu"
author = copyright = "sopedu contributors"
version = release = sopedu.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

html_theme = "furo"
html_title = f"sopedu {version}"
html_static_path = ["_static"]
html_css_files = ["sopedu.css"]
html_copy_source = html_show_sourcelink = html_show_sphinx = False
highlight_language = "none"
pygments_style, pygments_dark_style = "friendly", "monokai"

myst_enable_extensions = ["dollarmath"]
# Headings get the anchors of GitHub, for which the links between the pages are written.
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_merge_streams = True
# No page fetches anything: no widget is saved, so none needs a script, and formulas become MathML.
nb_ipywidgets_js: dict[str, dict] = {}
html_math_renderer = "mathml"

default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
# Defaults of fields are in the signatures; the values of tables of functions tell nobody anything.
autodoc_default_options = {"members": True, "no-value": True}
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# Returns too: our types are in the signature, and a colon in the text does not end a type.
napoleon_custom_sections = ["Returns", "Source", "Notebook"]

NOTEBOOK = re.compile(r"(?<![`/\w])(\d\d_[a-z_]+)(?:\.ipynb)?(?![`\w])")


def inline_formula(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line as MathML."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def formula(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own as MathML."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def link_notebooks(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Turn the names of notebooks in docstrings into links."""

    def link(found: re.Match) -> str:
        page = f"notebooks/{found[1]}"
        return f":doc:`/{page}`" if page in app.env.found_docs else found[0]

    lines[:] = [NOTEBOOK.sub(link, line) for line in lines]


def skip_inherited(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Leave out methods that a class has from a library: they are documented there."""
    if inspect.isfunction(member) and not member.__module__.startswith("sopedu"):
        return True
    return None


def setup(app: Sphinx) -> None:
    """Register the renderer that ``html_math_renderer`` names, and how the API reference is made."""
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("autodoc-process-docstring", link_notebooks)
    app.add_html_math_renderer("mathml", inline_renderers=(inline_formula, None), block_renderers=(formula, None))
