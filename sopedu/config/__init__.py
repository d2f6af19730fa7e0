"""Every number that a run depends on: fields with their defaults, presets, and reading and checking of values.

Read `fields` first; its defaults are the paper's numbers.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "fields": (
            "Config",
            "FramesConfig",
            "LossConfig",
            "MixingConfig",
            "ModelConfig",
            "SpectrogramConfig",
            "ToyBandConfig",
            "TrainingConfig",
        ),
        "presets": ("PRESETS", "preset"),
        "registry": ("Registry",),
        "values": ("from_dict", "to_dict", "with_values"),
    },
)
