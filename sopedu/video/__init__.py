"""Video files: streams, clocks and pictures, read and written with PyAV.

Read `reading` and `writing` first: other rooms need no other module, apart from `resizing` for the input of a model.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "probing": ("VideoInfo", "probe"),
        "reading": ("frames_tensor", "read_frames", "read_sound"),
        "writing": ("VideoWriter", "write_video"),
    },
)
