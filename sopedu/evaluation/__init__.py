"""How good is a model: scores beside their baselines, on the toy band and on real data.

Start with `pairs`; the other modules judge maps, real clips, and write reports.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "localization": ("evaluate_localization", "map_table", "localization_table"),
        "map_scores": ("half_sized_box", "overlap", "pixels_of_box", "success_area"),
        "pairs": (
            "TestPairs",
            "held_out_pairs",
            "predict_masks",
            "separate_pairs",
        ),
        "report": ("write_report",),
        "separation": (
            "estimates_by_row",
            "evaluate",
            "evaluate_with_examples",
            "leak",
        ),
        "vggss": ("evaluate_vggss",),
    },
)
