"""Separate a whole video: regions, sound files, videos, a page.

Start with `video`: one function does it all, in five steps with names.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "video": ("separate_video",),
    },
)
