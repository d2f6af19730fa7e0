"""Lay out what Sphinx reads (``make docs``): pages, notebooks, and pages of the API made from the package.

    python -m tools.docs_sources build/docs-source

Pages and notebooks keep their folders, so the links between them keep working. The pages of the API are made from the
rooms and modules that are there: no list has to be kept when a module is added or renamed.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import sopedu

ROOT = Path(__file__).parents[1]
COPIED = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/*.*",
    "data_samples/**/*.md",
    "notebooks/pictures/*.svg",
)
# As tools/notebook_frame.py writes them.
SOURCE_LINK = re.compile(r"\[`(\w+)`\]\(\.\./(sopedu/[\w/]+\.py)#(\w+)\)")
# Anchors of JupyterLab keep capitals, those of the pages do not.
HEADING_LINK = re.compile(r"(\]\((?:[^)#:\s]+\.(?:md|ipynb))?#)([^)\s]+)\)")
TABLE = ".. list-table::\n   :class: names\n   :widths: 30 70\n\n{}"


def titled(title: str, *blocks: str, line: str = "=") -> str:
    """Return reStructuredText of a section."""
    return "\n\n".join([f"{title}\n{line * len(title)}", *blocks]) + "\n"


def hidden_toctree(pages: list[str]) -> str:
    """Return the directive that puts pages below this one into the navigation."""
    return ".. toctree::\n   :hidden:\n\n" + "\n".join(f"   {page}" for page in pages)


def first_sentence(described: object) -> str:
    """Return the first sentence of a docstring, without the notebook that it may name in brackets."""
    words = " ".join((inspect.getdoc(described) or "").split("\n\n")[0].split())
    words = re.sub(r" \(notebook \d\d_[a-z_]+\)", "", words)
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", words)[0]


def modules_of(package: ModuleType) -> list[str]:
    """Return the dotted names of all modules below a package, without those that begin with an underscore."""
    found = (module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return [name for name in found if "._" not in name]


def defined_names(module: str) -> set[str]:
    """Return the names that a module defines itself, instead of importing them."""
    names: set[str] = set()
    for node in ast.parse(inspect.getsource(import_module(module))).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


class ApiPages:
    """The pages of the API reference, as file name → reStructuredText."""

    def __init__(self) -> None:
        self.defined = {module: defined_names(module) for module in modules_of(sopedu)}
        found = list(pkgutil.iter_modules(sopedu.__path__))
        self.rooms = sorted(module.name for module in found if module.ispkg)
        self.top = sorted(f"sopedu.{module.name}" for module in found if not module.ispkg and module.name[0] != "_")

    def module_of(self, package: ModuleType, name: str) -> str:
        """Return the module that defines a public name of a package."""
        value = getattr(package, name)
        module = getattr(value, "__module__", None)
        if name in self.defined.get(module, ()):
            return module
        defining = [module for module, names in self.defined.items() if name in names]
        return next(module for module in defining if getattr(import_module(module), name) is value)

    def names(self, package: ModuleType, names: list[str]) -> str:
        """Return a table of public names with links and their first sentences."""
        rows = []
        for name in sorted(names, key=str.lower):
            value = getattr(package, name)
            described = inspect.isroutine(value) or inspect.isclass(value)
            target = f"{self.module_of(package, name)}.{name}"
            rows.append(f"   * - :py:obj:`{name} <{target}>`\n     - {first_sentence(value) if described else ''}")
        return TABLE.format("\n".join(rows))

    def modules(self, modules: list[str]) -> str:
        """Return a table of modules with links and their first sentences."""
        rows = (
            f"   * - :doc:`{module.removeprefix('sopedu.')} <{module}>`\n     - {first_sentence(import_module(module))}"
            for module in modules
        )
        return TABLE.format("\n".join(rows))

    def room(self, room: str) -> str:
        """Return the page of a room: its docstring, its modules and its public names."""
        package = import_module(f"sopedu.{room}")
        modules = modules_of(package)
        return titled(
            package.__name__,
            inspect.getdoc(package) or "",
            titled("Modules", self.modules(modules), line="-"),
            titled("Public names", self.names(package, package.__all__), line="-"),
            hidden_toctree(modules),
        )

    def public_names(self) -> str:
        """Return the page of all that can be used as ``sopedu.name``, by room."""
        by_room: dict[str, list[str]] = {}
        for name in sopedu.__all__:
            room = self.module_of(sopedu, name).split(".")[1]
            by_room.setdefault(room if room in self.rooms else "", []).append(name)
        return titled(
            "Public names",
            f"The {len(sopedu.__all__)} names that can be used as ``sopedu.name``, by room. A module is imported when "
            "one of its names is first used. Rooms have more names: ``from sopedu.room import name``.",
            *(
                titled(room or "Beside the rooms", self.names(sopedu, names), line="-")
                for room, names in sorted(by_room.items(), key=lambda item: item[0] or "~")
            ),
        )

    def index(self) -> str:
        """Return the page that lists all rooms and the modules beside them."""
        return titled(
            "All rooms",
            TABLE.format(
                "\n".join(
                    f"   * - :doc:`sopedu.{room} <{room}>`\n     - {first_sentence(import_module(f'sopedu.{room}'))}"
                    for room in self.rooms
                )
            ),
            titled("Beside the rooms", self.modules(self.top), line="-"),
            hidden_toctree([*self.rooms, *self.top]),
        )

    def all(self) -> dict[str, str]:
        """Return every page."""
        pages = {"index": self.index(), "public_names": self.public_names()}
        pages |= {room: self.room(room) for room in self.rooms}
        inside = (modules_of(import_module(f"sopedu.{room}")) for room in self.rooms)
        for module in itertools.chain(self.top, *inside):
            pages[module] = titled(module.removeprefix("sopedu."), f".. automodule:: {module}")
        return {f"api/{name}.rst": text for name, text in pages.items()}


def notebook_for_pages(path: Path) -> str:
    """Return a notebook as a page needs it.

    Texts of figures, which ours keep in the cells' metadata ``alt``, are where myst-nb finds them. A function's link
    leads to its place in the API reference.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if "alt" in cell["metadata"]:
            cell["metadata"]["mystnb"] = {"image": {"alt": cell["metadata"]["alt"]}}
        if cell["cell_type"] == "markdown":
            text = SOURCE_LINK.sub(_api_link, "".join(cell["source"]))
            cell["source"] = _with_anchors_of_pages(text)
    return json.dumps(notebook)


def _with_anchors_of_pages(text: str) -> str:
    return HEADING_LINK.sub(lambda link: f"{link[1]}{link[2].lower()})", text)


def _api_link(link: re.Match) -> str:
    module = link[2].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"{{py:obj}}`{link[1]} <{module}.{link[3]}>`"


def sources() -> dict[str, str]:
    """Return all that Sphinx reads: path below its folder → text."""
    copied = [path for pattern in COPIED for path in sorted(ROOT.glob(pattern))]
    return {
        "index.rst": (ROOT / "docs" / "sphinx" / "index.rst").read_text(encoding="utf-8"),
        **{
            path.relative_to(ROOT).as_posix(): _with_anchors_of_pages(path.read_text(encoding="utf-8"))
            for path in copied
        },
        **{
            path.relative_to(ROOT).as_posix(): notebook_for_pages(path)
            for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
        },
        **ApiPages().all(),
    }


def lay_out(folder: Path) -> None:
    """Write all sources and remove old ones.

    Files that stay the same are not written, so that Sphinx does not read them again.

    Args:
        folder: where Sphinx reads them.
    """
    wanted = {folder / name: text for name, text in sources().items()}
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
