"""Evaluate a model: scores and their baselines, on the toy band and on real data.

Start with `pairs`; the other modules score maps and real clips, and write reports.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "dictionaries": ("Dictionaries", "choose_dictionaries", "classes_seen", "find_activations", "learn_spectra"),
        "duets": ("duet_figures", "duet_table", "summarise_duets"),
        "listening": ("evaluate_listening",),
        "listening_tables": ("listening_markdown", "listening_text"),
        "localization": ("evaluate_localization", "localization_table", "map_table"),
        "pairs": ("TestPairs", "held_out_pairs", "predict_masks", "separate_pairs"),
        "ratings": ("evaluate_ratings", "ratings_table", "read_ratings"),
        "report": ("write_report",),
        "separation": ("evaluate",),
        "sheet": ("Trial", "trials_of_pairs", "write_sheet"),
        "statistics": (
            "bootstrap_interval",
            "class_matrix",
            "class_table",
            "means_with_intervals",
            "pairs_csv",
            "score_markdown",
            "summarise",
        ),
        "vggss": ("evaluate_vggss",),
    },
)
