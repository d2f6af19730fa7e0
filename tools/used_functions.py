"""Which functions and classes of the package a notebook's code uses, and where they are defined."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import ModuleType

# What every notebook uses to check its own figures, and the exercises' own checks.
_LEFT_OUT = ("sopedu.lessons.checks", "sopedu.lessons.exercises")


def used_functions(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Return the public functions and classes of the package that code names.

    Args:
        cells: sources of the code cells, in order; lines that begin with ``%`` or ``!`` are left out.

    Returns:
        sorted pairs of a file, such as ``sopedu/audio/masks.py``, and a name that it defines.
    """
    code = "\n".join(line for cell in cells for line in cell.splitlines() if line.lstrip()[:1] not in ("%", "!"))
    tree = ast.parse(code)
    imported = dict(_imports(tree))
    found = {_defined(named) for path in _paths(tree, imported) if (named := _resolved(path)) is not None}
    return sorted(pair for pair in found if pair is not None)


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that code imports from the package → their dotted paths."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "sopedu":
                    yield (alias.asname, alias.name) if alias.asname else ("sopedu", "sopedu")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sopedu":
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _paths(tree: ast.AST, imported: dict[str, str]) -> Iterator[str]:
    """Dotted paths that begin with an imported name."""
    for node in ast.walk(tree):
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in imported:
            yield ".".join([imported[node.id], *reversed(names)])


def _resolved(path: str) -> object | None:
    """The first function or class on a dotted path; None if there is only data or a module."""
    found: object = import_module("sopedu")
    for name in path.split(".")[1:]:
        if not isinstance(found, ModuleType):
            return None
        if not hasattr(found, name):
            import_module(f"{found.__name__}.{name}")
        found = getattr(found, name)
        if inspect.isclass(found) or inspect.isroutine(found):
            return found
    return None


def _defined(found: object) -> tuple[str, str] | None:
    """The file and the name of a function or class of the package."""
    module = getattr(found, "__module__", "") or ""
    if module.partition(".")[0] != "sopedu" or module.startswith(_LEFT_OUT):
        return None
    path = module.replace(".", "/")
    file = f"{path}/__init__.py" if hasattr(import_module(module), "__path__") else f"{path}.py"
    return file, found.__name__
