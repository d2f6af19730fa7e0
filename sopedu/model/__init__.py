"""The Sound of Pixels: three nets, one model, and its weights in files.

Read `nets`, then `sound_of_pixels`.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "backbones": (
            "resnet18_layers",
            "small_layers",
            "keep_resolution",
        ),
        "checkpoints": (
            "Checkpoint",
            "save_checkpoint",
            "load_checkpoint",
            "as_checkpoint",
        ),
        "layers": (
            "StridedPointwiseConv",
            "twice_as_large",
            "dense_gradient",
        ),
        "modes": (
            "evaluating",
            "untrained",
            "count_parameters",
        ),
        "nets": (
            "activate",
            "FrameNet",
            "AudioUNet",
            "Synthesizer",
            "initialise_as_paper",
        ),
        "original": ("import_original",),
        "sound_of_pixels": (
            "normalise_frames",
            "SoundOfPixels",
        ),
        "warm_start": ("load_warm_start",),
    },
)
