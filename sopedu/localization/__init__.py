"""Where sound comes from: the sound of points, boxes and painted regions, and maps.

Read `pixel_sounds` first; `places` says which cells of the feature map a place covers.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "long_clips": ("LongClip",),
        "overlays": ("MapOverlay",),
        "pixel_sounds": ("PixelSounds",),
        "places": ("cell_weights", "centre_crop", "check_box", "intersection_over_union", "letterbox"),
    },
)
