"""Sound: spectrograms and back, masks, scores, sound files, players.

Read `spectrogram` and `masks` first: all that the model takes and returns passes through them.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "loudness": ("hearing_gain", "level_of"),
        "masks": (
            "MASK_KINDS",
            "MaskKind",
            "Spectra",
            "apply_mask",
            "ideal_binary_mask",
            "ideal_ratio_mask",
            "threshold",
        ),
        "metrics": ("bss_eval", "si_sdr"),
        "noise": ("certainty_of_music", "share_above_noise"),
        "player": ("Player",),
        "resampling": ("resample",),
        "soundfiles": ("load_waveform", "save_waveform"),
        "spectrogram": ("istft", "log_magnitude", "row_hertz", "stft", "unwarp", "warp"),
    },
)
