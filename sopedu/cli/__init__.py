"""The command line: each command calls one function of the library.

Start with `commands`; `plans` estimates how long a command takes, `terminal` handles errors, signals and lost output.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "commands": ("main",),
        "terminal": ("run_command",),
    },
)
