"""Checks for the exercises of the notebooks: each returns pass, fail with a hint, or not attempted.

A check takes the learner's answer and returns a :class:`Verdict`, which a notebook shows as one line. A stub returns
(or is) ``...``, so that a notebook runs from top to bottom before anything is solved.

    >>> check_seconds_to_samples(lambda seconds, sample_rate: round(seconds * sample_rate))
    ✓ pass: seconds times samples per second gives samples.
"""

from sopedu.lessons.exercises.first_steps import (
    check_bins_never_read,
    check_harmonic_tone,
    check_seconds_to_samples,
    check_shapes,
    check_spectrogram_shape,
    check_trio,
)
from sopedu.lessons.exercises.full_training import check_conv_flop, check_hours_to_plan, check_within_reach
from sopedu.lessons.exercises.judging import Verdict
from sopedu.lessons.exercises.listening import check_remix_in_db, check_share_in_db, check_sound_of_box
from sopedu.lessons.exercises.localizing import check_cell_of_point, check_energy_mean, check_noisy_or
from sopedu.lessons.exercises.masks import (
    check_best_real_mask,
    check_binary_mask,
    check_honest_mean,
    check_power_shares,
    check_si_sdr_by_hand,
)
from sopedu.lessons.exercises.mixing import (
    check_dead_clips,
    check_mix_by_hand,
    check_running_median,
    check_same_class_mixtures,
    check_trios,
    check_update_activations,
)
from sopedu.lessons.exercises.nets import (
    check_inner_product,
    check_receptive_field,
    check_sizes_down,
    check_swap_gap,
    check_unet_parameters,
    check_volume_map,
    check_winning_place,
)
from sopedu.lessons.exercises.objects import check_keep_surest, check_moving_box, check_overlap_by_hand
from sopedu.lessons.exercises.training import check_diagnosis, check_hours_of_mixtures, check_rate_factor

__all__ = [
    "Verdict",
    "check_best_real_mask",
    "check_binary_mask",
    "check_bins_never_read",
    "check_conv_flop",
    "check_diagnosis",
    "check_harmonic_tone",
    "check_hours_of_mixtures",
    "check_hours_to_plan",
    "check_rate_factor",
    "check_honest_mean",
    "check_power_shares",
    "check_seconds_to_samples",
    "check_shapes",
    "check_si_sdr_by_hand",
    "check_spectrogram_shape",
    "check_trio",
    "check_dead_clips",
    "check_mix_by_hand",
    "check_running_median",
    "check_same_class_mixtures",
    "check_trios",
    "check_update_activations",
    "check_inner_product",
    "check_receptive_field",
    "check_sizes_down",
    "check_swap_gap",
    "check_unet_parameters",
    "check_volume_map",
    "check_winning_place",
    "check_within_reach",
    "check_keep_surest",
    "check_moving_box",
    "check_overlap_by_hand",
    "check_cell_of_point",
    "check_energy_mean",
    "check_noisy_or",
    "check_remix_in_db",
    "check_share_in_db",
    "check_sound_of_box",
]
