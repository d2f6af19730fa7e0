"""The toy band: solos and duets rendered from formulas and shapes, with exact stems and boxes.

Read `scenes` first; an instrument is one entry in `instruments`; all randomness follows from `splits`.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "export": ("write_scene_video",),
        "instruments": ("BAND", "DEMO_INSTRUMENTS", "INSTRUMENTS", "Articulation", "Instrument", "Style"),
        "melody": ("compose",),
        "performance": ("PROPERTIES",),
        "scenes": ("Scene", "duet", "from_int16", "scene", "solo"),
        "synthesis": ("synthesize", "voice"),
        "voices": ("Note", "Voice"),
    },
)
