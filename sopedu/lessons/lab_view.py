"""What the lab shows of a run: maps, masks, spectrograms and sounds of a held-out pair.

>>> pair = LabPair(config, ("cello", "flute"), (0, 1))
>>> heard = separate_pair(checkpoint.model, pair)
>>> heard.masks.shape
(2, 128, 32)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sopedu.audio.masks import MASK_KINDS, Spectra, mask_from_values
from sopedu.audio.metrics import bss_eval_rows
from sopedu.audio.spectrogram import istft, stft, warp
from sopedu.config import Config
from sopedu.evaluation.pairs import predict_masks
from sopedu.lessons.lab_runs import SILENT_DB
from sopedu.localization.overlays import overlay_map
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband.scenes import Scene, scene

_SHOWN_PIXELS = 224  # height and width of a picture that people look at; the model sees a smaller one
_QUIETEST_DB = -100.0
_DARK = 0.1  # share of the energy; a map that lets less through stays dark


class LabPair:
    """Two held-out solos and their mixture, each with a picture.

    Args:
        config: of the sounds and pictures.
        names: of the two instruments.
        solos: numbers of the two solos in the validation split.
    """

    def __init__(self, config: Config, names: tuple[str, str], solos: tuple[int, int]) -> None:
        self.config, self.names, self._solos = config, names, solos
        seen = [self._scene(number, config.frames.size) for number in range(2)]
        self.sources = torch.stack([one.waveform() / 2 for one in seen])
        self.mixture, self.frames = self.sources.sum(0), torch.stack([one.frames_tensor() for one in seen])
        spectra = Spectra.of_sources(self.sources[None], config.spectrogram)
        self._spectra = spectra
        #: Magnitude of the mixture on log-frequency rows, ``(Q, T)``.
        self.magnitude = spectra.mixture[0, 0].numpy()

    @cached_property
    def pictures(self) -> np.ndarray:
        """The two pictures in a size for people, ``(2, H, W, 3)`` uint8."""
        middle = self.config.frames.count // 2
        return np.stack([self._scene(number, _SHOWN_PIXELS).frames[middle] for number in range(2)])

    def true_masks(self, kind: str) -> np.ndarray:
        """Compute the target masks ``(2, Q, T)``.

        Args:
            kind: of the masks, ``loss.target`` of the configuration.
        """
        mask_kind = MASK_KINDS[kind]
        return mask_from_values(mask_kind.target(self._spectra)[0], mask_kind).abs().numpy()

    def _scene(self, number: int, size: int) -> Scene:
        sound, frames = self.config.spectrogram, self.config.frames
        return scene(
            [self.names[number]], self._solos[number], "validation", samples=sound.samples,
            sample_rate=sound.sample_rate, size=size, times=frames.times(sound.seconds / 2),
            properties=self.config.toyband.properties,
        )  # fmt: skip


def lab_pairs(config: Config, count: int = 6) -> list[LabPair]:
    """Make held-out pairs: every two of the instruments in turn.

    Args:
        config: with the instruments.
        count: how many, at most one per two instruments.
    """
    names = config.toyband.instruments
    taken = dict.fromkeys(range(len(names)), 0)
    pairs = []
    for members in itertools.islice(itertools.combinations(range(len(names)), 2), count):
        # Solo number n of the validation split plays instrument n modulo the number of instruments.
        solos = tuple(member + len(names) * taken[member] for member in members)
        for member in members:
            taken[member] += 1
        pairs.append(LabPair(config, tuple(names[member] for member in members), solos))
    return pairs


@dataclass(frozen=True)
class Separated:
    """What a model makes of a pair.

    Attributes:
        masks: predicted, ``(2, Q, T)``.
        maps: share of the mixture's energy that each cell of the two pictures lets through, ``(2, h, w)``.
        estimates: waveforms ``(2, L)``.
        magnitudes: of the estimates on log-frequency rows, ``(2, Q, T)``.
        levels: of the estimates, in dB; the mixture's is 0.
        improvements: of the SDR over the unseparated mixture, in dB.
    """

    masks: np.ndarray
    maps: np.ndarray
    estimates: np.ndarray
    magnitudes: np.ndarray
    levels: np.ndarray
    improvements: np.ndarray

    @property
    def silent(self) -> bool:
        """Whether nothing can be heard of both."""
        return bool(self.levels.max() < SILENT_DB)


def separate_pair(model: SoundOfPixels, pair: LabPair) -> Separated:
    """Separate a pair with a model, and compute the sound maps of both pictures.

    Args:
        model: in any mode.
        pair: held out.
    """
    sound, middle = model.config.spectrogram, pair.config.frames.count // 2
    masks = predict_masks(model, pair.mixture[None], pair.frames[None])[0]
    spectrogram = stft(pair.mixture, sound)
    estimates, unseparated = model.separate(masks, spectrogram[None]), istft(spectrogram, sound)
    improvements = _improvements(pair.sources[None], estimates[None], unseparated[None])[0]
    maps = [PixelSounds(model, pair.mixture, frames).sound_map()[middle] for frames in pair.frames]
    energy = unseparated.square().sum().clamp_min(1e-12)
    shares = (estimates.square().sum(-1) / energy).double().numpy()
    levels = 10 * np.log10(np.maximum(shares, 10 ** (_QUIETEST_DB / 10)))
    magnitudes = warp(stft(estimates, sound).abs(), sound).numpy()
    return Separated(masks.abs().numpy(), np.stack(maps), estimates.numpy(), magnitudes, levels, improvements)


def sdr_improvement(model: SoundOfPixels, mixtures: torch.Tensor, sources: torch.Tensor, frames: torch.Tensor) -> float:
    """Return the mean SDR improvement over the unseparated mixture in dB, over all sources of P mixtures.

    Args:
        model: in any mode.
        mixtures: waveforms ``(P, L)``.
        sources: of the mixtures, ``(P, 2, L)``.
        frames: that show the sources, ``(P, 2, S, 3, H, W)`` uint8.
    """
    sound = model.config.spectrogram
    spectrograms = stft(mixtures, sound)
    estimates = model.separate(predict_masks(model, mixtures, frames), spectrograms[:, None])
    return float(np.nanmean(_improvements(sources, estimates, istft(spectrograms, sound))))


def _improvements(sources: torch.Tensor, estimates: torch.Tensor, unseparated: torch.Tensor) -> np.ndarray:
    """SDR improvements in dB, ``(P, 2)``."""
    references = sources[..., : estimates.shape[-1]]
    rows = {"model": estimates, "mixture": unseparated[:, None].expand_as(references)}
    found = bss_eval_rows(references, rows)
    return found["model"].sdr - found["mixture"].sdr


def pictures_with_maps(pair: LabPair, seen: Separated) -> np.ndarray:
    """Lay the sound maps over both pictures, ``(2, H, W, 3)`` uint8; the loudest cell of both is brightest.

    Args:
        pair: with the pictures.
        seen: with the maps.
    """
    brightest = max(float(seen.maps.max()), _DARK)
    return np.stack([overlay_map(*both) for both in zip(pair.pictures, seen.maps / brightest, strict=True)])
