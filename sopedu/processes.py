"""Start processes that work for this one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def script_hidden() -> Iterator[None]:
    """Start processes that do not import the user's script, which would run a second time in each of them.

    So a script needs no ``if __name__ == "__main__":``. All processes must be started inside the ``with``.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
