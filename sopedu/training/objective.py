"""From a batch of solos to one number: mix, look, listen, compare with the true masks (notebook 05_mix_and_separate).

All of it is batched on the device. Every solo passes the STFT and the frame net once: the STFT is linear, so the
spectrogram of a mixture is the sum of its sources' spectrograms times their gains.
"""

from __future__ import annotations

import numpy as np
import torch

from sopedu.audio.spectrogram import log_magnitude, stft, warp
from sopedu.config import Config, SpectrogramConfig
from sopedu.data.mixing import Mixtures, mix, to_device
from sopedu.data.pasting import paste
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames
from sopedu.training.losses import loss_weight, mask_loss, mask_targets
from sopedu.training.pasted_loss import pasted_loss


def mixture_loss(
    net: torch.nn.Module,
    waveforms: torch.Tensor,
    frames: torch.Tensor,
    labels: np.ndarray,
    config: Config,
    generator: np.random.Generator,
    pasted: bool = False,
) -> tuple[torch.Tensor, Mixtures]:
    """Mix a batch of solos, predict the masks of all sources, and compare them with the true ones.

    Args:
        net: a :class:`SoundOfPixels`, or one wrapped for several GPUs.
        waveforms: ``(B, L)`` float.
        frames: ``(B, S, 3, H, W)`` uint8.
        labels: ``(B,)``.
        pasted: show the sources of each mixture in one picture, see :mod:`sopedu.data.pasting`.

    Returns:
        the loss, a scalar, and the mixtures it was computed on.
    """
    mixtures, sound = mix(waveforms, labels, config.mixing, generator), config.spectrogram
    with torch.autocast(waveforms.device.type, enabled=False):  # spectrograms and targets stay float32
        source, mixture = mixture_magnitudes(mixtures, sound)
    target, weight = mask_targets(source, mixture, config.loss), loss_weight(mixture, config.loss)
    pictures = augment(normalise_frames(frames), config, generator)
    heard = log_magnitude(mixture, sound)
    if pasted:
        scenes = paste(pictures, mixtures.members, labels, generator)
        features, components = net(heard, scenes.frames, parts=True)
        model: SoundOfPixels = getattr(net, "module", net)
        loss = pasted_loss(model, features, components, scenes, target, mixture, weight, config.loss, generator)
        return loss, mixtures
    shown = torch.cat([mixtures.members, mixtures.absent], dim=1)
    if config.mixing.absent:  # what is seen but not heard owns nothing; −1 says that nobody could be found
        nothing = torch.zeros_like(target[:, :1]).expand(-1, config.mixing.absent, -1, -1)
        target = torch.cat([target, nothing], dim=1)
        weight = weight * (shown >= 0)[..., None, None]
    logits = net(heard, pictures, shown.clamp_min(0))
    return mask_loss(logits, target, weight, config.loss), mixtures


def mixture_magnitudes(mixtures: Mixtures, config: SpectrogramConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Warped magnitudes of the sources ``(M, N, Q, T)`` and of their mixtures ``(M, 1, Q, T)``.

    The same as mixing waveforms and transforming each, with B transforms instead of M · (N + 1).
    """
    spectrograms, gains = stft(mixtures.solos, config), mixtures.gains.float()[..., None, None]  # (B, F, T) complex
    solos = warp(spectrograms.abs(), config)  # the warp is linear too
    parts = (spectrograms[who] * gain for who, gain in zip(mixtures.members.T, gains.transpose(0, 1), strict=True))
    return solos[mixtures.members] * gains, warp(sum(parts).abs(), config)[:, None]


def augment(frames: torch.Tensor, config: Config, generator: np.random.Generator) -> torch.Tensor:
    """Mirror and tint whole clips of normalised frames ``(B, S, 3, H, W)`` at random."""
    count = len(frames)
    if config.mixing.flip:
        mirrored = to_device(generator.random(count) < 0.5, frames.device)
        frames = torch.where(mirrored[:, None, None, None, None], frames.flip(-1), frames)
    if config.mixing.colour_jitter:
        jitter = config.mixing.colour_jitter
        gain = to_device(generator.uniform(1 - jitter, 1 + jitter, (count, 1, 3, 1, 1)), frames.device)
        shift = to_device(generator.uniform(-jitter, jitter, (count, 1, 3, 1, 1)), frames.device)
        frames = frames * gain.to(frames.dtype) + shift.to(frames.dtype)
    return frames
