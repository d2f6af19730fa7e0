"""Where sound comes from: the sound of points, boxes and painted regions, and maps.

Read `pixel_sounds` first; `places` says which cells of the feature map a place covers.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "checks": ("check_clip",),
        "long_clips": ("LongClip",),
        "maps": (
            "peak",
            "loudest_regions",
            "volume_over_time",
            "smooth_over_time",
            "cell_vectors",
            "sound_colours",
            "regions_by_sound",
        ),
        "overlays": (
            "MapOverlay",
            "overlay_map",
            "draw_box",
        ),
        "pixel_sounds": ("MAP_KINDS", "PixelSounds"),
        "places": (
            "check_box",
            "centre",
            "inside",
            "intersection_over_union",
            "cells_of_box",
            "box_of_cell",
            "cell_at",
            "cell_weights",
            "centre_crop",
            "letterbox",
            "into_view",
            "out_of_view",
            "map_on_picture",
        ),
    },
)
