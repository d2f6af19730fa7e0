"""Objects in pictures: detectors, box files, and tracks through time. Read `detection` first, then `registry`.

A detector is any function from pictures to boxes, labels and scores.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "box_file": ("BoxFile",),
        "detection": ("Detections", "make_detections", "suppress_overlaps", "validate_detector"),
        "registry": ("DETECTORS", "named_detector"),
        "toyband_detector": (
            "ToyBandDetector",
            "ToyBandNet",
            "boxes_of_cells",
            "load_toyband_detector",
            "save_toyband_detector",
        ),
        "tracks": ("Track", "find_tracks", "link_detections", "track_names"),
    },
)
