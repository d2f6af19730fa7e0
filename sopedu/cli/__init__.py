"""The command line: one command for what one function of the library does.

Start with `commands`; `plans` says beforehand how long a command takes.
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
            "toyband_detector",
            "main",
        ),
        "plans": (
            "spoken",
            "training_seconds",
            "evaluation_seconds",
            "rendering_seconds",
            "pretraining_seconds",
            "detector_seconds",
            "benchmark_seconds",
            "separation_seconds",
        ),
        "terminal": (
            "patient_streams",
            "Told",
            "ends_tidily",
            "restart_where_names_are_no_text",
        ),
    },
)
