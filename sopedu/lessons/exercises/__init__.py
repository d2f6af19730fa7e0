"""Checks for the exercises of the notebooks: each returns pass, fail or not attempted.

A check takes the learner's answer and returns a :class:`Verdict`, which a notebook shows as one or two lines. It calls
a function with many arguments, made from a fixed seed, and says for which of them what was expected and what was found.
The second failure also brings a hint. A stub returns (or is) ``...``, so that a notebook runs from top to bottom before
anything is solved.

    >>> check_seconds_to_samples(lambda seconds, sample_rate: round(seconds * sample_rate))
    ✓ pass: seconds times samples per second gives samples.
"""

from __future__ import annotations

from sopedu.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "comparing": ("check_mean_and_spread",),
        "first_steps": (
            "check_bins_never_read",
            "check_harmonic_tone",
            "check_seconds_to_samples",
            "check_shapes",
            "check_spectrogram_shape",
            "check_trio",
        ),
        "full_training": ("check_conv_flop", "check_hours_to_plan", "check_within_reach"),
        "judging": ("Verdict",),
        "listening": ("check_remix_in_db", "check_share_in_db", "check_sound_of_box"),
        "localizing": ("check_cell_of_point", "check_energy_mean", "check_noisy_or", "check_point_mask"),
        "masks": (
            "check_best_real_mask",
            "check_binary_mask",
            "check_honest_mean",
            "check_power_shares",
            "check_si_sdr_by_hand",
        ),
        "mixing": (
            "check_dead_clips",
            "check_mix_by_hand",
            "check_running_median",
            "check_same_class_mixtures",
            "check_trios",
            "check_update_activations",
        ),
        "nets": (
            "check_inner_product",
            "check_receptive_field",
            "check_sizes_down",
            "check_swap_gap",
            "check_unet_parameters",
            "check_volume_map",
            "check_winning_place",
        ),
        "objects": ("check_keep_surest", "check_moving_box", "check_overlap_by_hand"),
        "real_data": ("check_frame_rate",),
        "training": ("check_diagnosis", "check_hours_of_mixtures", "check_rate_factor"),
    },
)
