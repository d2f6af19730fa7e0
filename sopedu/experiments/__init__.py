"""Many trainings: grids of settings trained as a sweep, runs compared, the finished experiments that come along.

Begin with `sweep`; `finished` needs no training.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "compare": ("compare_runs", "comparison_table", "plot_comparison"),
        "finished": ("experiment_rows", "experiment_topics", "finished_experiments"),
        "plan": ("read_plan", "read_results"),
        "plots": ("plot_sweep", "plot_trade_off", "write_plots"),
        "sweep": ("plan_sweep", "resume_sweep", "run_sweep"),
        "table": ("format_sweep", "summarise_sweep", "write_tables"),
    },
)
