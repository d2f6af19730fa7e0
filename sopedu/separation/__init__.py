"""Separate a whole video: regions, sound files, videos, a page.

Start with `video`: one function does it all, in five steps with names.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "domain_shift": ("DomainShift",),
        "parts": ("VideoPart", "DiskWaveform"),
        "regions": ("Region", "regions_asked_for", "regions_of_objects"),
        "video": ("separate_video",),
        "windows": ("VideoWalk",),
    },
)
