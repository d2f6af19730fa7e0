"""What only the notebooks use: widgets, labs, faults to diagnose, exercises.

Nothing outside the notebooks needs this room.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "loss_lab": ("LossLab", "judge_quickly"),
        "pixel_page": ("export_html",),
        "pixel_probe": ("PixelProbe", "cell_grid"),
        "roofline": ("convolution_costs", "least_seconds", "plot_roofline"),
        "widgets": ("Explorer", "View", "choice", "slider"),
    },
)
