"""Separate a whole film: regions, sound files, videos, a page.

Start with `video`: one function does it all, in steps with names.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "domain_shift": ("Familiarity",),
        "films": (
            "Film",
            "write_films",
            "write_tour",
            "highlighting",
            "progress_bar",
        ),
        "page": ("write_separation_page",),
        "regions": (
            "Region",
            "is_there",
            "clipped",
            "regions_asked_for",
            "regions_of_objects",
            "loudest_places",
            "loudest_cells",
        ),
        "video": ("separate_video",),
    },
)
