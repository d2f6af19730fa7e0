"""Prepare real data: published lists, films of one's own, downloads, what became of each clip, and its health.

Start with `preparing` and `health`; `converting` turns one film into one clip, `packing` packs clips into tar files.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "duet_evaluation": ("evaluate_duets",),
        "duet_sheet": ("trials_of_duets",),
        "fetching": ("Fetched", "fetch"),
        "finishing": ("Prepared", "merge_shards"),
        "health": ("HealthReport", "examine", "write_cleaned"),
        "health_page": ("write_health_page",),
        "ledger": ("Row", "read_log"),
        "lists": ("Wanted", "read_list"),
        "packing": ("Packing", "pack"),
        "preparing": ("prepare",),
    },
)
