"""Video files: streams, clocks and pictures, read and written with PyAV.

A file is decoded in `decoding` only; `reading` and `writing` are what others call.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "clock": ("clock_of",),
        "containers": (
            "opened",
            "moving_pictures",
            "sounds",
        ),
        "decoding": (
            "StreamInfo",
            "chosen_stream",
            "described",
            "frame_rate_of",
            "pixel_aspect_of",
            "check_size",
            "first_picture",
            "sound_end",
            "decoded_frames",
            "channels_in_use",
            "continuous_sound",
            "upright",
            "rgb_picture",
        ),
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
        "resizing": (
            "size_in_proportion",
            "frame_size",
            "resize_frames",
        ),
        "writing": (
            "VideoWriter",
            "write_video",
        ),
    },
)
