"""Prepare real data: published lists, films of one's own, downloads, and the ledger of what became of each clip.

Start with `preparing`; `converting` turns one film into one clip.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "ledger": ("Row", "read_log"),
        "lists": ("Wanted", "read_list"),
        "preparing": ("Prepared", "prepare"),
    },
)
