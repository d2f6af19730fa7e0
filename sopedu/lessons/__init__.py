"""What only the notebooks use: widgets, the loss lab, broken runs to diagnose, exercises with their checks.

To see how a notebook is interactive, read `widgets`; to add an exercise, `exercises/judging`.
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
        "plain_probe": ("cell_grid",),
        "pixel_probe": ("PixelProbe",),
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
