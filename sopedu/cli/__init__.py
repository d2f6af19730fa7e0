"""The command line: each command calls one function of the library.

Start with `commands`; `plans` estimates how long a command takes, `terminal` handles errors, signals and lost output.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "commands": (
            "demo",
            "train",
            "evaluate",
            "compare",
            "separate",
            "samples",
            "import_original",
            "benchmark",
            "main",
        ),
        "options": (
            "writable",
            "printer",
            "goal_of",
            "write_figures",
            "split_names",
            "parse_boxes",
            "parse_time",
        ),
        "plans": (
            "spoken",
            "training_seconds",
            "evaluation_seconds",
            "rendering_seconds",
            "benchmark_seconds",
            "separation_seconds",
        ),
        "terminal": ("run_command",),
        "toyband": (
            "sheet",
            "render",
            "film",
        ),
    },
)
