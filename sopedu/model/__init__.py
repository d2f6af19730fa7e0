"""The Sound of Pixels: three nets, one model, and its weights in files.

Read `nets`, then `sound_of_pixels`.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "attention": ("SYNTHESIZERS", "AttentionSynthesizer"),
        "checkpoints": ("Checkpoint", "load_checkpoint", "save_checkpoint"),
        "heads": ("heads_config", "new_heads"),
        "modes": ("count_parameters", "evaluating"),
        "nets": ("ACTIVATIONS", "AudioUNet", "FrameNet", "Synthesizer"),
        "original": ("import_original",),
        "published": ("PUBLISHED", "fetch_weights"),
        "sound_of_pixels": ("SoundOfPixels", "normalise_frames"),
        "warm_start": ("load_warm_start",),
    },
)
