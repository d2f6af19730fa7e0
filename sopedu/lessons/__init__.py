"""What only the notebooks use: widgets, the lab, broken runs to diagnose, exercises with their checks.

To see how a notebook is interactive, read `widgets`; to add an exercise, `exercises/judging`.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "checklist": ("Checklist",),
        "checks": ("check", "compare"),
        "folder": ("copy_lessons", "open_lab"),
        "lab": ("Lab",),
        "lab_training": ("judge_quickly",),
        "pixel_page": ("export_html",),
        "pixel_probe": ("PixelProbe",),
        "plain_probe": ("cell_grid",),
        "project": ("baselines",),
        "roofline": ("convolution_costs", "least_seconds", "plot_roofline"),
        "video_player": ("VideoPlayer",),
        "widgets": ("Explorer", "View", "choice", "slider"),
    },
)
