"""From a batch to a trained model: loss, loop, and what a long training needs.

Read `loss` and `loop` first; the other modules may be skipped until they are needed.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "benchmark": (
            "MUSIC_MIXTURES",
            "MatrixProduct",
            "flop_per_mixture",
            "measure_step",
            "run_benchmark",
            "seconds_in_turns",
        ),
        "callbacks": ("JsonLinesHistory", "KeepCheckpoint", "LivePlot", "Progress", "TensorBoard", "read_history"),
        "loop": ("train",),
        "loss": ("LOSSES", "loss_weight", "mask_loss", "mixture_loss"),
        "optimizer": ("make_optimizer",),
        "rate_range": ("RateRange", "learning_rate_range"),
        "resume": ("different_settings", "load_state", "newest_step", "save_state"),
        "run": ("Callback", "Run"),
        "run_folder": ("find_rate", "requested", "require_new_run", "train_run"),
        "setup": ("new_model",),
        "validation": ("Validation",),
    },
)
