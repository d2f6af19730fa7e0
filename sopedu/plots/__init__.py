"""Figures of sounds, masks, sound maps, learning curves and scores, for notebooks, pages and live curves.

Every function draws into given axes or into a new figure outside pyplot, and returns the figure.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "bars": ("plot_ablation", "plot_bar_pairs", "plot_means"),
        "channels": ("plot_channels",),
        "curves": (
            "ROW_NAMES",
            "plot_classes",
            "plot_history",
            "plot_levels",
            "plot_over_components",
            "plot_rates",
            "plot_scores",
            "plot_thresholds",
        ),
        "figures": (
            "INK",
            "NOTEBOOK_DPI",
            "NotebookFigure",
            "encode_figure",
            "figure_width",
            "save_figure",
            "two_digits",
        ),
        "partners": ("plot_partners",),
        "pictures": ("plot_cell_masks", "plot_frames", "plot_sound_colours", "plot_sound_map", "plot_sound_maps"),
        "sounds": (
            "TICKS_HERTZ",
            "hertz_to_row",
            "plot_components",
            "plot_mask",
            "plot_masks",
            "plot_separation",
            "plot_spectrogram",
            "plot_spectrograms",
            "plot_waveform",
        ),
    },
)
