"""Import the modules of a package at first use, so that `import sopedu` is fast and needs no other library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def exports(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Let `package.name` import the module that defines the name.

    Args:
        package: the package's `__name__`.
        modules: module of the package → the public names that it defines.

    Returns:
        The `__getattr__`, `__dir__` and `__all__` of the package.
    """
    where = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name in where:
            return getattr(import_module(f"{package}.{where[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where})

    return find, listed, sorted(where)
