"""What only the notebooks use: widgets, labs, faults to diagnose, exercises.

Nothing outside the notebooks needs this room.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "broken_runs": (
            "broken",
            "recorded_run",
            "lesson_config",
        ),
        "classical": (
            "harmonic_percussive",
            "nmf",
            "component_masks",
            "oracle_owners",
        ),
        "loss_lab": (
            "LossLab",
            "judge_quickly",
        ),
        "pixel_page": (
            "export_html",
            "export_stretch",
        ),
        "pixel_probe": (
            "PixelProbe",
            "cell_grid",
        ),
        "roofline": (
            "convolution_costs",
            "plot_roofline",
            "least_seconds",
        ),
        "widgets": (
            "View",
            "Explorer",
            "slider",
            "choice",
        ),
    },
)
