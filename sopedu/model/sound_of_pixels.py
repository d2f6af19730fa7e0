"""The Sound of Pixels as one model of three nets (notebook 08_synthesizer)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

from sopedu.config import Config
from sopedu.errors import SopeduError
from sopedu.model.nets import AudioUNet, FrameNet, Synthesizer, activate, initialise_as_paper

# Mean and spread of the red, green and blue of ImageNet's pictures, which ResNet's weights expect.
_IMAGE_MEAN = (0.485, 0.456, 0.406)
_IMAGE_SPREAD = (0.229, 0.224, 0.225)

#: How the cells of a region answer together, see :meth:`SoundOfPixels.region_mask`.
REGION_POOLINGS = ("features", "energy", "area")


def normalise_frames(frames: torch.Tensor) -> torch.Tensor:
    """uint8 frames ``(…, 3, H, W)`` → float frames with ImageNet's mean and spread taken out, same shape."""
    mean, spread = _image_statistics(frames.device)
    return (frames.float() / 255 - mean) / spread


@lru_cache(maxsize=8)
def _image_statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Kept on the device: to make them there anew in every step would wait for all work queued before."""
    with torch.inference_mode(False):  # or no later training may use them
        mean, spread = (torch.tensor(values, device=device).view(3, 1, 1) for values in (_IMAGE_MEAN, _IMAGE_SPREAD))
    return mean, spread


class SoundOfPixels(nn.Module):
    """FrameNet, AudioUNet and Synthesizer; sizes and choices come from the configuration.

    >>> model = SoundOfPixels(preset("tiny"))
    >>> model(log_magnitude, frames).shape      # (B, 1, Q, T), (B, N, S, 3, H, W)
    torch.Size([B, N, Q, T])

    Attributes:
        level_db: level in dB full scale of the mixtures that it was trained on, to which whoever asks it brings what it
            hears (:mod:`sopedu.audio.loudness`); None, before training: it hears every sound as it is.
    """

    level_db: float | None = None

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.frame_net = FrameNet(config.model)
        self.audio_net = AudioUNet(config.model)
        self.synthesizer = Synthesizer(config.model.components)
        if config.model.initialisation == "paper":
            initialise_as_paper(self.audio_net)

    def feature_map(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames ``(B, S, 3, H, W)`` → visual features of every cell ``(B, K, S, h, w)``, raw."""
        batch, count = frames.shape[:2]
        features = self.frame_net(frames.flatten(0, 1))
        return features.unflatten(0, (batch, count)).transpose(1, 2)

    def visual(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames ``(B, S, 3, H, W)`` → one vector a clip ``(B, K)``, pooled over frames and cells."""
        features = self.feature_map(frames).flatten(2).float()
        pooled = features.amax(2) if self.config.model.pooling == "max" else features.mean(2)
        return activate(pooled, self.config.model.visual_activation)

    def visual_cells(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames ``(B, S, 3, H, W)`` → one vector a cell ``(B, S, h, w, K)``, pooled over nothing."""
        features = activate(self.feature_map(frames).float(), self.config.model.visual_activation)
        return features.permute(0, 2, 3, 4, 1)

    def components(self, log_magnitude: torch.Tensor) -> torch.Tensor:
        """Log magnitude of the mixture ``(B, 1, Q, T)`` → K components ``(B, K, Q, T)``."""
        return activate(self.audio_net(log_magnitude), self.config.model.audio_activation)

    def region_mask(
        self,
        features: torch.Tensor,
        components: torch.Tensor,
        magnitude: torch.Tensor,
        pooling: str | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mask of a region of cells, as ``pooling`` says; by default as ``config.model.region_pooling``.

        ``features``: the features are pooled as in training and answer once. ``energy``: each cell answers, and the
        masks are averaged, weighted with the energy that each lets through, so that cells in which nothing sounds
        have no say. That suits models trained with pasted scenes, whose cells answer for themselves. ``area``: each
        cell answers, and the masks are averaged.

        Args:
            features: raw, of the region's cells ``(K, C)``.
            components: of the mixture ``(1, K, Q, T)``; magnitude: warped ``(Q, T)``.
            weights: how much of each cell belongs to the region ``(C,)``; pooled features know none.

        Returns:
            ``(Q, T)`` in 0…1.

        Raises:
            SopeduError: an unknown pooling.
        """
        kind, pooling = self.config.model.visual_activation, pooling or self.config.model.region_pooling
        if pooling not in REGION_POOLINGS:
            raise SopeduError(f"unknown pooling {pooling!r}: choose {', '.join(REGION_POOLINGS)}")
        if pooling == "features":
            pooled = features.amax(1) if self.config.model.pooling == "max" else features.mean(1)
            return torch.sigmoid(self.synthesizer(activate(pooled[None], kind)[None], components)[0, 0].float())
        shares = features.new_ones(features.shape[1]) if weights is None else weights
        total, weight = torch.zeros_like(magnitude), magnitude.new_zeros(())
        for cells, share in zip(features.T.split(64), shares.split(64), strict=True):  # a large map has many masks
            masks = torch.sigmoid(self.synthesizer(activate(cells, kind)[None], components)[0].float())
            if pooling == "energy":
                share = share * torch.einsum("cqt,qt->c", masks.square(), magnitude.square())
            total += torch.einsum("c,cqt->qt", share, masks)
            weight += share.sum()
        return total / weight.clamp_min(1e-12)

    def forward(
        self,
        log_magnitude: torch.Tensor,
        frames: torch.Tensor,
        shown: torch.Tensor | None = None,
        parts: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Predict one mask for every source of every mixture.

        Args:
            log_magnitude: mixtures ``(M, 1, Q, T)``.
            frames: normalised, of the sources of each mixture ``(M, N, S, 3, H, W)``; or, together with ``shown``,
                of a batch of clips ``(B, S, 3, H, W)`` that go through the frame net once each.
            shown: ``(M, N)`` which clip of the batch is source n of mixture m.
            parts: return what eyes and ears say and leave the answer to the caller; frames are ``(M, S, 3, H, W)``.

        Returns:
            mask logits ``(M, N, Q, T)``; with ``parts`` the raw feature map ``(M, K, S, h, w)`` and the components
            ``(M, K, Q, T)``.
        """
        if parts:
            return self.feature_map(frames), self.components(log_magnitude)
        if shown is None:
            shown = torch.arange(frames.shape[0] * frames.shape[1], device=frames.device).view(frames.shape[:2])
            frames = frames.flatten(0, 1)
        return self.synthesizer(self.visual(frames)[shown], self.components(log_magnitude))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and every part of it back into the mode that it was in (some may be frozen).

    A model that is asked in training mode answers from one batch's statistics, and forgets its own.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def untrained(config: Config) -> SoundOfPixels:
    """A model whose weights are random, so that none have to be fetched."""
    return SoundOfPixels(replace(config, model=replace(config.model, frame_weights="none")))


def count_parameters(net: nn.Module) -> int:
    """Number of trainable numbers in a net."""
    return sum(parameter.numel() for parameter in net.parameters())
