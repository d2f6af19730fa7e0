"""Sound: spectrograms and back, masks, scores, sound files, players.

Read `spectrogram` and `masks` first: all that the model hears and answers passes through them.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "channels": (
            "Mix",
            "ChannelLevels",
            "samples_of",
        ),
        "loudness": (
            "block_size",
            "level_of",
            "level_of_blocks",
            "hearing_gain",
            "checked_level",
        ),
        "masks": (
            "Spectra",
            "ideal_binary_mask",
            "ideal_ratio_mask",
            "MaskKind",
            "mask_from_logits",
            "mask_from_values",
            "mask_power",
            "threshold",
            "apply_mask",
        ),
        "metrics": (
            "Scores",
            "bss_eval",
            "batched_bss_eval",
            "bss_eval_rows",
            "si_sdr",
        ),
        "soundfiles": (
            "load_waveform",
            "save_waveform",
            "save_waveform_blocks",
            "from_int16",
            "encode_wav",
            "resample",
            "resample_blocks",
            "mp3_rate",
            "encode_mp3",
            "player",
            "Player",
            "as_waveform",
            "peak_limited",
        ),
        "spectrogram": (
            "stft",
            "istft",
            "warp",
            "unwarp",
            "log_magnitude",
            "row_hertz",
        ),
    },
)
