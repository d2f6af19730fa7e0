"""The house: rooms whose imports go one way, lazy imports included; each says what is in it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sopedu

PACKAGE = Path(sopedu.__file__).parent
# Lower layers first. A module imports only from lower layers than its own, never from its neighbours' rooms.
LAYERS = (
    {"errors", "lazy", "processes"},
    {"config"},
    {"files", "machine"},
    {"folders", "shipped", "download"},
    {"audio"},
    {"video"},
    {"toyband"},
    {"data", "model"},
    {"localization"},
    {"plots"},
    {"pages"},
    {"objects", "evaluation"},
    {"training", "separation"},
    {"datasets", "experiments"},
    {"lessons"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package by its own."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def imported_by(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports anywhere in it; not those that only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sopedu":
            assert not node.level, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "sopedu"


def test_every_room_has_its_layer():
    assert {room_of(module) for module in modules() if module != "sopedu"} == set(HEIGHT)


def test_imports_go_one_way_between_rooms():
    known = modules()
    wrong = [
        f"{module} imports {other}"
        for module, path in known.items()
        if module != "sopedu"
        for other in imported_by(path, known)
        if other != "sopedu" and room_of(other) != room_of(module) and HEIGHT[room_of(other)] >= HEIGHT[room_of(module)]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    known = modules()
    graph = {module: set(imported_by(path, known)) - {"sopedu", module} for module, path in known.items()}
    while graph:
        free = {module for module, others in graph.items() if not others & graph.keys()}
        assert free, f"in a circle, or above one: {sorted(graph)}"
        graph = {module: others for module, others in graph.items() if module not in free}


def test_the_package_does_not_import_the_tools_that_made_what_is_shipped():
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [node.module] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in imported if (name or "").partition(".")[0] == "tools"], path


def test_the_test_of_layers_sees_lazy_imports(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def late():\n    from sopedu.cli import main\n", encoding="utf-8")
    assert list(imported_by(path, {"sopedu.cli": path})) == ["sopedu.cli"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_in_three_lines_what_is_in_it_and_its_public_names_are_there(room):
    module = importlib.import_module(f"sopedu.{room}")
    assert len(module.__doc__.strip().splitlines()) <= 3
    assert module.__all__ and all(getattr(module, name) is not None for name in module.__all__)


def test_the_entrance_holds_few_files():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


CORE = [
    "config/fields",
    "audio/spectrogram",
    "audio/masks",
    "data/mixing",
    "data/clips",
    "model/nets",
    "model/sound_of_pixels",
    "training/loss",
    "training/loop",
    "localization/pixel_sounds",
    "evaluation/pairs",
]


def test_the_core_fits_into_one_evening_and_the_readme_gives_its_order():
    lines = {name: len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in CORE}
    assert sum(lines.values()) <= 1900, lines
    tree = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    order = sorted((int(number), name) for name, number in re.findall(r"^ +(\w+)\.py +(\d+) ★", tree, re.MULTILINE))
    assert [name for _, name in order] == [name.split("/")[1] for name in CORE]


def test_no_function_is_longer_than_sixty_lines_of_code():
    long = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                if node.end_lineno - first.lineno + 1 > 60:
                    long.append(f"{path}: {node.name}")
    assert long == []


def test_the_public_names_are_few_and_each_room_keeps_its_word():
    assert len(sopedu.__all__) <= 60
    assert {module.split(".")[0] for module in sopedu._NAMES} <= set(HEIGHT)


def test_rooms_are_there_after_importing_the_package_alone():
    code = f"import sopedu; print(*[getattr(sopedu, room).__name__ for room in {ROOMS!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"sopedu.{room}" for room in ROOMS]
