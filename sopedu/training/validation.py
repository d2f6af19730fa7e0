"""Scores on held-out pairs while a model trains: the same pairs every time, shared by all processes."""

from __future__ import annotations

import math

import torch

from sopedu.audio.masks import apply_mask
from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.spectrogram import stft, warp
from sopedu.data.clips import ClipDataset
from sopedu.evaluation.pairs import held_out_pairs, predict_masks
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.losses import loss_weight, mask_loss, mask_targets


class Validation:
    """Judges a model on fixed pairs of held-out solos (notebook 13_train_full).

    Args:
        clips: a validation split, see :func:`sopedu.data.clips.open_clips`.
        pairs: how many mixtures of two.
        seed: which ones.
    """

    def __init__(self, clips: ClipDataset, pairs: int = 32, seed: int = 0) -> None:
        self.pairs = held_out_pairs(clips, pairs, seed)

    @torch.inference_mode()
    def scores(self, model: SoundOfPixels, process: int = 0, processes: int = 1) -> torch.Tensor:
        """Loss and SDR in dB, ``(n, 2)`` float32, of every ``processes``-th pair; each process gets as many rows.

        Rows for which no pair is left are NaN.
        """
        mine = slice(process, None, processes)
        sound, loss_config = model.config.spectrogram, model.config.loss
        sources, heard, frames = self.pairs.sources[mine], self.pairs.mixture[mine], self.pairs.frames[mine]
        rows = torch.full((math.ceil(len(self.pairs.mixture) / processes), 2), torch.nan)
        if len(heard):
            masks = predict_masks(model, heard, frames, as_is=True)
            spectrogram = stft(heard, sound)[:, None]
            mixture = warp(spectrogram.abs(), sound)
            target = mask_targets(warp(stft(sources, sound).abs(), sound), mixture, loss_config)
            weight, logits = loss_weight(mixture, loss_config), torch.logit(masks, 1e-6)
            estimates = apply_mask(masks, spectrogram, sound, loss_config.target == "binary")
            found = bss_eval_rows(sources[..., : sound.counted_samples], {"model": estimates})["model"]
            parts = zip(logits.split(1), target.split(1), weight.split(1), strict=True)
            rows[: len(heard), 0] = torch.stack([mask_loss(*part, loss_config) for part in parts])
            rows[: len(heard), 1] = torch.from_numpy(found.sdr).nanmean(1)
        return rows
