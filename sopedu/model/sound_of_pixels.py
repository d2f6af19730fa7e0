"""The Sound of Pixels as one model of three nets.

Frames and a mixture go in, mask logits come out::

    frames --FrameNet--> features --pool, activate--> visual vectors of K numbers --+
                                                                                    +--Synthesizer--> mask logits
    log magnitude of the mixture --AudioUNet--> K components -----------------------+

Notebook: 08_synthesizer.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from sopedu.audio.masks import MASK_KINDS, apply_mask, mask_from_logits, mask_power
from sopedu.config import Config
from sopedu.errors import SopeduError
from sopedu.model.attention import SYNTHESIZERS
from sopedu.model.nets import AudioUNet, FrameNet, activate, initialise_as_paper

# Statistics of red, green and blue in ImageNet, as the weights of ResNet expect them.
_IMAGE_MEAN = (0.485, 0.456, 0.406)
_IMAGE_DEVIATION = (0.229, 0.224, 0.225)

#: Ways to combine the cells of a region, see :meth:`SoundOfPixels.region_mask`.
REGION_POOLINGS = ("features", "energy", "area")


def normalise_frames(frames: torch.Tensor) -> torch.Tensor:
    """Scale frames to ImageNet's mean and standard deviation.

    Args:
        frames: ``(…, 3, H, W)`` uint8.

    Returns:
        float32, same shape.
    """
    mean, deviation = _image_statistics(frames.device)
    return (frames.float() / 255 - mean) / deviation


@lru_cache(maxsize=8)
def _image_statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cached per device: a new copy in each step would make the host wait for the device."""
    with torch.inference_mode(False):  # tensors made in inference mode could not be used in training
        mean, deviation = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (_IMAGE_MEAN, _IMAGE_DEVIATION)
        )
    return mean, deviation


class SoundOfPixels(nn.Module):
    """FrameNet, AudioUNet and Synthesizer, built from a configuration.

    >>> model = SoundOfPixels(preset("tiny"))
    >>> model(log_magnitude, frames).shape      # (B, 1, Q, T), (B, N, S, 3, H, W)
    torch.Size([B, N, Q, T])

    Args:
        config: sizes and choices of the nets, and the mask kind (``loss.target``).

    Attributes:
        level_db: level in dB full scale of the mixtures that the model was trained on; inputs are scaled to it before
            the audio net gets them (:mod:`sopedu.audio.loudness`). None before training: inputs are used as they are.
    """

    level_db: float | None = None

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.mask_kind = MASK_KINDS[config.loss.target]
        self.frame_net = FrameNet(config.model)
        self.audio_net = AudioUNet(config.model, self.mask_kind.parts)
        self.synthesizer = SYNTHESIZERS[config.model.synthesizer](config.model.components)
        if config.model.initialisation == "paper":
            initialise_as_paper(self.audio_net)

    def feature_map(self, frames: torch.Tensor) -> torch.Tensor:
        """Compute visual features of each cell, ``(B, K, S, h, w)``, without activation.

        Args:
            frames: normalised, ``(B, S, 3, H, W)``.
        """
        batch, count = frames.shape[:2]
        features = self.frame_net(frames.flatten(0, 1))
        return features.unflatten(0, (batch, count)).transpose(1, 2)

    def pool(self, features: torch.Tensor) -> torch.Tensor:
        """Pool features over cells and frames, then activate them: visual vectors ``(B, K)``.

        Args:
            features: without activation, ``(B, K, cells)``.
        """
        pooled = features.amax(2) if self.config.model.pooling == "max" else features.mean(2)
        return activate(pooled, self.config.model.visual_activation)

    def visual(self, frames: torch.Tensor) -> torch.Tensor:
        """Compute one visual vector per clip, ``(B, K)``, pooled over frames and cells.

        Args:
            frames: normalised, ``(B, S, 3, H, W)``.
        """
        return self.pool(self.feature_map(frames).flatten(2).float())

    def visual_cells(self, frames: torch.Tensor) -> torch.Tensor:
        """Compute one visual vector per cell, ``(B, S, h, w, K)``, without pooling.

        Args:
            frames: normalised, ``(B, S, 3, H, W)``.
        """
        features = activate(self.feature_map(frames).float(), self.config.model.visual_activation)
        return features.permute(0, 2, 3, 4, 1)

    def components(self, log_magnitude: torch.Tensor) -> torch.Tensor:
        """Split the mixture into K components, ``(B, K, P · Q, T)``; P is 1 except for complex masks.

        Args:
            log_magnitude: of the mixtures, ``(B, 1, Q, T)``.
        """
        components, parts = self.audio_net(log_magnitude), self.mask_kind.parts
        if parts > 1:
            components = components.unflatten(1, (-1, parts)).flatten(2, 3)  # (B, K · P, Q, T) to (B, K, P · Q, T)
        return activate(components, self.config.model.audio_activation)

    def masks(self, visual: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Compute the masks ``(n, Q, T)`` of visual vectors, for one mixture.

        Args:
            visual: activated, ``(n, K)``.
            components: of the mixture, ``(1, K, P · Q, T)``.
        """
        return mask_from_logits(self.synthesizer(visual[None], components)[0], self.mask_kind)

    def separate(self, masks: torch.Tensor, spectrogram: torch.Tensor, normalise: bool = False) -> torch.Tensor:
        """Apply masks to a mixture: waveforms ``(…, (T − 1) · hop_length)`` float32.

        Args:
            masks: ``(…, Q, T)``.
            spectrogram: of the mixture, complex ``(…, F, T)``.
            normalise: make the estimates add up to the mixture, see :func:`sopedu.audio.masks.apply_mask`.
        """
        return apply_mask(masks, spectrogram, self.config.spectrogram, self.mask_kind.binary, normalise)

    def region_pooling(self, pooling: str | None) -> str:
        """Return a pooling that is valid, by default the configured one.

        Args:
            pooling: one of :data:`REGION_POOLINGS`, or None.

        Raises:
            SopeduError: an unknown pooling.
        """
        pooling = pooling or self.config.model.region_pooling
        if pooling not in REGION_POOLINGS:
            raise SopeduError(f"unknown pooling {pooling!r}: choose {', '.join(REGION_POOLINGS)}")
        return pooling

    def region_mask(
        self,
        features: torch.Tensor,
        components: torch.Tensor,
        magnitude: torch.Tensor,
        pooling: str | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the mask ``(Q, T)`` of a region of cells.

        Args:
            features: without activation, of the region's cells, ``(K, C)``.
            components: of the mixture, ``(1, K, P · Q, T)``.
            magnitude: of the mixture on log-frequency rows, ``(Q, T)``.
            pooling: ``features`` pools the features as in training and computes one mask; ``energy`` averages the masks
                of all cells, weighted by the energy that each keeps, so that silent cells do not count (for models
                trained with pasted scenes); ``area`` averages the masks. None: ``model.region_pooling`` of the
                configuration.
            weights: share of each cell that lies in the region, ``(C,)``; unused by ``features``. None: all 1.

        Raises:
            SopeduError: an unknown pooling.
        """
        pooling = self.region_pooling(pooling)
        if pooling == "features":
            return self.masks(self.pool(features[None]), components)[0]
        shares = features.new_ones(features.shape[1]) if weights is None else weights
        total, weight = 0.0, magnitude.new_zeros(())
        for cells, share in zip(features.T.split(64), shares.split(64), strict=True):  # in parts, to limit memory
            masks = self.masks(activate(cells, self.config.model.visual_activation), components)
            if pooling == "energy":
                share = share * torch.einsum("cqt,qt->c", mask_power(masks), magnitude.square())
            total = total + torch.einsum("c,cqt->qt", share.to(masks.dtype), masks)
            weight += share.sum()
        return total / weight.clamp_min(1e-12)

    def forward(
        self, log_magnitude: torch.Tensor, frames: torch.Tensor, shown: torch.Tensor | None = None, parts: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Compute mask logits for each source of each mixture.

        Args:
            log_magnitude: of the mixtures, ``(M, 1, Q, T)``.
            frames: normalised, of the sources of each mixture, ``(M, N, S, 3, H, W)``; or, together with ``shown``, of
                a batch of clips, ``(B, S, 3, H, W)``, each of which passes the frame net once.
            shown: ``(M, N)`` int, index in the batch of the clip of source n in mixture m.
            parts: return the outputs of both nets without pooling instead of logits; frames are ``(M, S, 3, H, W)``.

        Returns:
            logits ``(M, N, P · Q, T)``; with ``parts`` features ``(M, K, S, h, w)``, components ``(M, K, P · Q, T)``.
        """
        if parts:
            return self.feature_map(frames), self.components(log_magnitude)
        if shown is None:
            shown = torch.arange(frames.shape[0] * frames.shape[1], device=frames.device).view(frames.shape[:2])
            frames = frames.flatten(0, 1)
        return self.synthesizer(self.visual(frames)[shown], self.components(log_magnitude))
