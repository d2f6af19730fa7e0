"""The sound of a pixel, a box or a painted region of a clip, and a map of where sound comes from.

    >>> pixels = PixelSounds(model, mixture, frames)
    >>> pixels.separate((0.3, 0.6))                 # a point, x and y
    >>> pixels.separate((0.0, 0.2, 0.5, 0.9))       # a box
    >>> pixels.sound_map()                          # volume of each cell

Which cells a place covers is computed in :mod:`sopedu.localization.places`.

Notebook: 10_localize.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sopedu.audio.loudness import hearing_gain
from sopedu.audio.masks import mask_power
from sopedu.audio.noise import certainty_of_music
from sopedu.audio.spectrogram import istft, log_magnitude, stft, warp
from sopedu.errors import SopeduError
from sopedu.localization.checks import check_clip
from sopedu.localization.places import WHOLE, Box, Place, cell_weights, cells_of_box, check_place, into_view
from sopedu.model.modes import evaluating
from sopedu.model.nets import activate
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames

#: Ways to measure the volume of a cell; the first is the default: it finds the player most often.
MAP_KINDS = ("energy", "log", "mean")


class PixelSounds:
    """The components of a mixture and the feature map of its frames, from which any place's sound is computed.

    Args:
        model: in any mode; it is used in evaluation mode.
        mixture: waveform ``(L,)`` of the length that the model was trained with. It may have any level: the audio net
            gets it at the level of the training (:mod:`sopedu.audio.loudness`).
        frames: ``(S, 3, H, W)`` uint8, of any height and width.
        view: the part of the picture that the frames show, such as ``centre_crop`` or ``letterbox`` of
            :mod:`sopedu.localization.places`; places are still given as fractions of the whole picture.
        level: of the whole recording, in dB full scale, to detect pauses; None: the mixture's own.

    Raises:
        SopeduError: the waveform or the frames have another shape or length than the model needs.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: SoundOfPixels,
        mixture: torch.Tensor,
        frames: torch.Tensor,
        view: Box = WHOLE,
        level: float | None = None,
    ) -> None:
        device, self.model, self.sound = next(model.parameters()).device, model, model.config.spectrogram
        self.view = tuple(view)
        check_clip(mixture, frames, self.sound.samples, self.view)
        self.spectrogram = stft(mixture.to(device), self.sound)  # (F, T) complex
        self.magnitude = warp(self.spectrogram.abs(), self.sound)  # (Q, T)
        #: Magnitude scaled to the level of the training; masks are applied to the unscaled mixture.
        self.heard = self.magnitude * hearing_gain(mixture, self.sound, model.level_db, level).to(device)
        with evaluating(model):
            self.components = model.components(log_magnitude(self.heard, self.sound)[None, None])
            self.features = model.feature_map(normalise_frames(frames[None].to(device)))[0].float()  # (K, S, h, w)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of rows and columns of the feature map."""
        return self.features.shape[-2], self.features.shape[-1]

    @torch.inference_mode()
    def masks(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the masks ``(n, Q, T)`` of cells.

        Args:
            features: without activation, ``(n, K)``.
        """
        visual = activate(features, self.model.config.model.visual_activation)
        return self.model.masks(visual, self.components)

    def rows_of_masks(self, frame: int) -> Iterator[torch.Tensor]:
        """Yield the masks ``(w, Q, T)`` of each row of cells in turn, to limit memory.

        Args:
            frame: number of the frame.
        """
        self._check_frame(frame)
        for row in range(self.grid[0]):
            yield self.masks(self.features[:, frame, row].T)

    def sound_map(self, kind: str = MAP_KINDS[0], noise: bool = False) -> np.ndarray:
        """Compute the volume of each cell, ``(S, h, w)`` float64 in 0 … 1.

        Args:
            kind: ``energy``: energy of the masked mixture over that of the mixture; ``mean``: mean of the mask;
                ``log``: mean of the mask weighted by log(1 + magnitude of the mixture), as the loss weights it.
            noise: let steady noise, such as hiss or wind, light the first and the last too (:mod:`sopedu.audio.noise`).

        Raises:
            SopeduError: an unknown kind.
        """
        power = {"energy": self.heard.square(), "mean": torch.ones_like(self.heard), "log": torch.log1p(self.heard)}
        if kind not in power:
            raise SopeduError(f"unknown sound map {kind!r}: choose {', '.join(MAP_KINDS)}")
        certainty = 1.0 if noise or kind == "mean" else certainty_of_music(self.spectrogram)
        weight = certainty * power[kind] / power[kind].sum().clamp_min(1e-12)
        volume = np.zeros((self.features.shape[1], *self.grid))
        for frame in range(len(volume)):
            for row, masks in enumerate(self.rows_of_masks(frame)):
                kept = mask_power(masks) if kind == "energy" else masks.abs()
                volume[frame, row] = torch.einsum("wqt,qt->w", kept, weight).cpu().numpy()
        return volume

    @torch.inference_mode()
    def mask(self, place: Place, pooling: str | None = None, frame: int | None = None) -> torch.Tensor:
        """Compute the mask ``(Q, T)`` of a place.

        Args:
            place: a point (x, y) or a box (x0, y0, x1, y1) in fractions of the picture, or weights of the cells
                ``(h, w)``, see :func:`sopedu.localization.places.cell_weights`.
            pooling: how cells are combined, see :meth:`sopedu.SoundOfPixels.region_mask`; a point always uses ``area``,
                 which is bilinear interpolation. None: as configured.
            frame: number of the only frame to use; None: all of them.

        Raises:
            SopeduError: a place outside the picture, empty or not a number; an unknown pooling; no such frame.
        """
        if frame is not None:
            self._check_frame(frame)
        pooling = self.model.region_pooling(pooling)
        painted = isinstance(place, np.ndarray) and place.ndim == 2
        if not painted:
            place = check_place(place)
            place = into_view(place, self.view) if self.view != WHOLE else place
        weights = cell_weights(place, *self.grid)
        if not painted and len(place) == 2:
            pooling = "area"
        if pooling == "features":
            weights = _cells_that_count(place, weights)
        rows, columns = np.nonzero(weights)
        features = self.features[:, :, rows, columns]  # (K, S, n)
        features = features if frame is None else features[:, frame : frame + 1]
        # Only ratios count; the largest weight becomes 1, so that small weights do not underflow in float32.
        share = torch.from_numpy(weights[rows, columns] / weights.max()).to(features).expand(features.shape[1], -1)
        return self.model.region_mask(features.flatten(1), self.components, self.heard, pooling, share.flatten())

    def separate(self, place: Place, pooling: str | None = None, frame: int | None = None) -> torch.Tensor:
        """Compute the sound of a place, ``((T − 1) · hop_length,)`` float32; arguments as for :meth:`mask`."""
        return self.heard_through(self.mask(place, pooling, frame))

    def separate_all(
        self, places: Sequence[Place], normalise: bool = False, pooling: str | None = None
    ) -> torch.Tensor:
        """Compute the sounds of several places, ``(N, (T − 1) · hop_length)`` float32.

        Args:
            places: N of them, each as for :meth:`mask`.
            normalise: make the sounds add up to :meth:`mixture`.
            pooling: as for :meth:`mask`.

        Raises:
            SopeduError: no places, or as for :meth:`mask`.
        """
        if not len(places):
            raise SopeduError("no places: pass at least one, points (x, y) or boxes (x0, y0, x1, y1)")
        return self.heard_through(torch.stack([self.mask(place, pooling) for place in places]), normalise)

    def heard_through(self, masks: torch.Tensor, normalise: bool = False) -> torch.Tensor:
        """Apply masks to the mixture: waveforms ``(…, (T − 1) · hop_length)`` float32, on the CPU.

        Args:
            masks: ``(…, Q, T)``.
            normalise: make the sounds add up to :meth:`mixture`.
        """
        return self.model.separate(masks, self.spectrogram, normalise).cpu()

    def mixture(self) -> torch.Tensor:
        """Return the mixture after STFT and inverse STFT, as long as the estimates."""
        return istft(self.spectrogram, self.sound).cpu()

    def _check_frame(self, frame: int) -> None:
        count = self.features.shape[1]
        if not hasattr(frame, "__index__") or not 0 <= frame < count:
            raise SopeduError(f"frame {frame}: the clip has frames 0 to {count - 1}; pass a whole number")


def _cells_that_count(place: Place, weights: np.ndarray) -> np.ndarray:
    """Choose whole cells, because pooled features cannot be weighted: of a box, those whose centre lies in it."""
    if isinstance(place, np.ndarray) and place.ndim == 2:
        return weights > 0
    chosen = np.zeros(weights.shape)
    chosen[cells_of_box(tuple(place), *weights.shape)] = 1
    return chosen
