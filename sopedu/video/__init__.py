"""Video files: streams, clocks and pictures, read and written with PyAV.

Read `reading` and `writing` first: other rooms need no other module, apart from `resizing` for what a model sees.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "reading": (
            "VideoInfo",
            "probe",
            "iterate_sound",
            "sound_channels",
            "read_sound",
            "frames_tensor",
            "iterate_frames",
            "frames_at",
            "read_frames",
        ),
        "resizing": ("frame_size", "resize_frames", "size_in_proportion"),
        "writing": ("VideoWriter", "write_video"),
    },
)
