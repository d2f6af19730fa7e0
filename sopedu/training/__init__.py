"""From a batch to a trained model: loss, loop, and what a long training needs.

Read `loss` and `loop` first; the other modules may be skipped until they are needed.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "benchmark": (
            "Step",
            "MatrixProduct",
            "flop_per_mixture",
            "seconds_in_turns",
            "peak_memory_gib",
            "measure_step",
            "run_benchmark",
        ),
        "callbacks": (
            "Progress",
            "JsonLinesHistory",
            "read_history",
            "KeepCheckpoint",
            "LivePlot",
            "TensorBoard",
        ),
        "compare": (
            "compare_runs",
            "plot_comparison",
            "comparison_table",
            "smoothed",
        ),
        "distributed": (
            "join_processes",
            "lost_process_told",
            "agreed_to_stop",
        ),
        "level": ("training_level",),
        "loading": ("BatchLoader",),
        "loop": (
            "Trainer",
            "train",
        ),
        "loss": (
            "loss_weight",
            "mask_loss",
            "shown_loss",
            "mixture_loss",
        ),
        "optimizer": (
            "make_optimizer",
            "set_rates",
            "rate_factor",
            "freeze",
            "training_mode",
            "MovingAverage",
        ),
        "out_of_memory": ("advice",),
        "pasted_loss": ("pasted_scene_loss",),
        "precision": (
            "choose_precision",
            "FiniteState",
            "weights_are_finite",
        ),
        "resume": (
            "State",
            "save_state",
            "holds_state",
            "newest_step",
            "StateWriter",
            "load_state",
            "optimizer_tensors",
            "restore_optimizer",
            "different_settings",
        ),
        "run": (
            "Run",
            "Callback",
            "as_callback",
            "Validator",
        ),
        "run_folder": (
            "train_run",
            "requested",
            "require_new_run",
        ),
        "setup": (
            "Prepared",
            "new_model",
            "prepare",
            "prepare_net",
        ),
        "signals": (
            "gentle_signals",
            "leave_signals_to_the_parent",
        ),
        "snapshot": (
            "save",
            "restore",
        ),
        "validation": (
            "Validation",
            "validate",
        ),
        "validation_preview": ("ValidationPreview",),
    },
)
