"""Every pixel has a sound: what one hears at a pixel, in a box, under a brush (notebook 10_localize).

    >>> pixels = PixelSounds(model, mixture, frames)
    >>> pixels.separate((0.3, 0.6))                 # a point, x and y
    >>> pixels.separate((0.0, 0.2, 0.5, 0.9))       # a box
    >>> pixels.sound_map()                          # how much every cell sounds

Which cells a place covers is in :mod:`sopedu.localization.places`; what is drawn from maps in
:mod:`sopedu.localization.maps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from sopedu.audio.loudness import hearing_gain
from sopedu.audio.masks import apply_mask
from sopedu.audio.spectrogram import istft, log_magnitude, stft, warp
from sopedu.errors import SopeduError
from sopedu.localization.places import WHOLE, Box, Place, cell_weights, cells_of_box, check_place, into_view
from sopedu.model.nets import activate
from sopedu.model.sound_of_pixels import REGION_POOLINGS, SoundOfPixels, evaluating, normalise_frames

#: How volume is measured in a cell; the first is the default, for it finds the player most often (docs/design.md).
MAP_KINDS = ("energy", "log", "mean")


class PixelSounds:
    """What is seen and heard in one clip, kept ready to answer what any pixel, box or painted region sounds like.

    Kept are the K components of the mixture and the feature map, a few megabytes; masks are made on demand.

    Args:
        model: in any mode; it answers in evaluation mode.
        mixture: waveform ``(L,)``, of the length that the model was trained with and of any level: the nets hear it at
            the level that they were trained at (:mod:`sopedu.audio.loudness`).
        frames: ``(S, 3, H, W)`` uint8; any height and width, the nets are convolutional.
        view: the part of the picture that the frames show, if they are a crop or a letterbox of it; places are then
            still given in fractions of the picture. See ``centre_crop`` and ``letterbox`` in
            :mod:`sopedu.localization.places`.
        level: of the recording that the mixture is cut from, in dB full scale, by which a pause is told from music;
            by default the mixture's own.

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
        _check(mixture, frames, self.sound.samples, self.view)
        self.spectrogram = stft(mixture.to(device), self.sound)  # (F, T) complex
        self.magnitude = warp(self.spectrogram.abs(), self.sound)  # (Q, T)
        #: The same as loud as the nets hear it; masks are applied to the mixture as it is.
        self.heard = self.magnitude * hearing_gain(mixture, self.sound, model.level_db, level).to(device)
        with evaluating(model):
            self.components = model.components(log_magnitude(self.heard, self.sound)[None, None])
            self.features = model.feature_map(normalise_frames(frames[None].to(device)))[0].float()  # (K, S, h, w)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.features.shape[-2], self.features.shape[-1]

    @torch.inference_mode()
    def masks(self, features: torch.Tensor) -> torch.Tensor:
        """Raw visual features ``(n, K)`` → masks ``(n, Q, T)`` in 0…1."""
        visual = activate(features, self.model.config.model.visual_activation)
        return torch.sigmoid(self.model.synthesizer(visual[None], self.components)[0].float())

    def rows_of_masks(self, frame: int) -> Iterator[torch.Tensor]:
        """Masks ``(w, Q, T)`` of all cells of a frame, one row of the map at a time: all of them would fill memory."""
        self._check_frame(frame)
        for row in range(self.grid[0]):
            yield self.masks(self.features[:, frame, row].T)

    def sound_map(self, kind: str = MAP_KINDS[0]) -> np.ndarray:
        """How much every cell sounds, ``(S, h, w)`` in 0…1.

        Args:
            kind: ``energy``: of the masked mixture over the mixture's own; ``mean``: of the mask; ``log``: mean of the
                mask weighted with log(1 + the mixture's magnitude as the nets hear it), as the loss weights it.

        Raises:
            SopeduError: an unknown kind.
        """
        power = {"energy": self.heard.square(), "mean": torch.ones_like(self.heard), "log": torch.log1p(self.heard)}
        if kind not in power:
            raise SopeduError(f"unknown sound map {kind!r}: choose {', '.join(MAP_KINDS)}")
        weight = power[kind] / power[kind].sum().clamp_min(1e-12)
        volume = np.zeros((self.features.shape[1], *self.grid))
        for frame in range(len(volume)):
            for row, masks in enumerate(self.rows_of_masks(frame)):
                let_through = masks.square() if kind == "energy" else masks
                volume[frame, row] = torch.einsum("wqt,qt->w", let_through, weight).cpu().numpy()
        return volume

    @torch.inference_mode()
    def mask(self, place: Place, pooling: str | None = None, frame: int | None = None) -> torch.Tensor:
        """Mask ``(Q, T)`` of a place: a point, a box, or weights of the cells ``(h, w)``.

        Args:
            place: see :func:`sopedu.localization.places.cell_weights`, in fractions of the picture.
            pooling: how the cells of a region answer together. ``features``: pooled as in training, one answer;
                ``energy``: masks weighted with the energy they let through; ``area``: masks weighted with the area
                of each cell that the region covers. By default as the model's configuration says
                (``region_pooling``); for a point always ``area``, which is bilinear interpolation.
            frame: look at this frame of the clip only, not at all of them.

        Raises:
            SopeduError: a place outside the picture, empty or not a number; an unknown pooling; no such frame.
        """
        if frame is not None:
            self._check_frame(frame)
        pooling = pooling or self.model.config.model.region_pooling
        if pooling not in REGION_POOLINGS:
            raise SopeduError(f"unknown pooling {pooling!r}: choose {', '.join(REGION_POOLINGS)}")
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
        # Only ratios count; the largest is made 1, so that faint paint does not vanish in float32.
        share = torch.from_numpy(weights[rows, columns] / weights.max()).to(features).expand(features.shape[1], -1)
        return self.model.region_mask(features.flatten(1), self.components, self.heard, pooling, share.flatten())

    def separate(self, place: Place, pooling: str | None = None, frame: int | None = None) -> torch.Tensor:
        """Waveform ``((T − 1)·hop,)`` of what sounds at a place; arguments as for :meth:`mask`."""
        return self.heard_through(self.mask(place, pooling, frame))

    def separate_all(
        self, places: Sequence[Place], normalise: bool = False, pooling: str | None = None
    ) -> torch.Tensor:
        """Waveforms ``(N, (T − 1)·hop)`` of N places; normalised, they add up to :meth:`mixture`.

        Raises:
            SopeduError: no place at all; what :meth:`mask` raises.
        """
        if not len(places):
            raise SopeduError("no places: pass one at least, points (x, y) or boxes (x0, y0, x1, y1)")
        return self.heard_through(torch.stack([self.mask(place, pooling) for place in places]), normalise)

    def heard_through(self, masks: torch.Tensor, normalise: bool = False) -> torch.Tensor:
        """Masks ``(…, Q, T)`` on the mixture: waveforms ``(…, (T − 1)·hop)``, on the CPU."""
        binary = self.model.config.loss.target == "binary"
        return apply_mask(masks, self.spectrogram, self.sound, binary, normalise).cpu()

    def mixture(self) -> torch.Tensor:
        """The mixture itself through STFT and back, of the same length as the estimates."""
        return istft(self.spectrogram, self.sound).cpu()

    def _check_frame(self, frame: int) -> None:
        count = self.features.shape[1]
        if not hasattr(frame, "__index__") or not 0 <= frame < count:
            raise SopeduError(f"frame {frame}: the clip has frames 0 to {count - 1}; pass a whole number")


def _cells_that_count(place: Place, weights: np.ndarray) -> np.ndarray:
    """Pooled features know no shares: of a box count the cells whose centres lie in it, of painted ones all."""
    if isinstance(place, np.ndarray) and place.ndim == 2:
        return weights > 0
    chosen = np.zeros(weights.shape)
    chosen[cells_of_box(tuple(place), *weights.shape)] = 1
    return chosen


def _check(mixture: torch.Tensor, frames: torch.Tensor, samples: int, view: Box) -> None:
    for name, given, shape in (("mixture", mixture, "(L,)"), ("frames", frames, "(S, 3, H, W)")):
        if not isinstance(given, torch.Tensor):
            raise SopeduError(
                f"the {name} came as {type(given).__name__}: pass a torch tensor {shape}; "
                "scene.waveform() and scene.frames_tensor() give both"
            )
    if mixture.shape != (samples,):
        raise SopeduError(
            f"the mixture has shape {tuple(mixture.shape)}, the model hears ({samples},): cut it or add silence"
        )
    if not mixture.is_floating_point() or not mixture.isfinite().all():
        found = "NaN or infinity" if mixture.is_floating_point() else mixture.dtype
        raise SopeduError(f"the mixture holds {found}: pass finite floats from -1 to 1")
    if frames.ndim != 4 or frames.shape[1] != 3 or not frames.numel() or frames.dtype != torch.uint8:
        raise SopeduError(
            f"the frames are {frames.dtype} {tuple(frames.shape)}: pass (S, 3, H, W) uint8, one frame at least"
        )
    if not (len(view) == 4 and view[0] < view[2] and view[1] < view[3]):
        raise SopeduError(f"view {','.join(f'{value:g}' for value in view)}: write x0,y0,x1,y1, x0 < x1 and y0 < y1")
