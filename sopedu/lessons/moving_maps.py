"""Sound maps that move with the sound: one per picture, and one per source (notebook 11_listen_to_pixels)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sopedu.audio.noise import certainty_of_music
from sopedu.lessons.place_answers import joined
from sopedu.localization.long_clips import LongClip
from sopedu.localization.maps import smooth_over_time
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import Box

FLOOR_DB = -30.0  # dB; a cell this far below the mixture's loudest moment is drawn dark
_NARROW, _WIDE = 0.06, 0.3  # seconds; standard deviations of the averages over time
_NOBODY = 0.01  # where the squared masks of all sources add up to less, the rest of a cell's energy is nobody's


@dataclass(frozen=True, eq=False)
class MovingMaps:
    """Maps of the moment of every picture, for n pictures, S sources and a grid of h × w cells.

    Attributes:
        shares: ``(n, h, w)`` share of the moment's energy that each cell lets through, averaged over 0.3 s.
        loudness: ``(n, h, w)`` energy that each cell lets through while the picture shows, over that of the mixture at
            its loudest moment.
        by_source: ``(n, S, h, w)`` the part of `loudness` that belongs to each source; what belongs to no source is
            missing.
        levels: ``(n, S)`` energy of each source's own sound, over that of the mixture at its loudest moment.
    """

    shares: np.ndarray
    loudness: np.ndarray
    by_source: np.ndarray
    levels: np.ndarray

    def on_page(self) -> dict[str, np.ndarray]:
        """Return what pages draw, in 0…1: loudness and levels from `FLOOR_DB` to 0 dB, and who sounds in a cell."""
        loudness, levels = (1 - 10 * np.log10(np.maximum(v, 1e-12)) / FLOOR_DB for v in (self.loudness, self.levels))
        who = self.by_source / np.maximum(self.loudness, 1e-12)[:, None]
        return {"loudness": loudness, "levels": levels, "who": who}


def moving_maps(clip: LongClip, boxes: Sequence[Box] = (), pooling: str | None = None) -> MovingMaps:
    """Compute what each cell lets through at the moment of every picture, and to which source it belongs.

    The nets process a window as a whole; what changes from moment to moment is the sound that their masks are applied
    to. A source is the sound of a box; energy that several sources let through is divided in proportion to their
    squared masks. Overlapping windows are blended as their sounds are.

    Args:
        clip: the recording.
        boxes: of the sources, such as the performers'.
        pooling: see :meth:`sopedu.PixelSounds.mask`.
    """
    rows, columns = clip.grid
    cells, count = rows * columns, len(boxes)
    power = joined(clip, (_powers(pixels, boxes, pooling) for pixels in clip.clips)).T
    hop = clip.sound.hop_length / clip.sound.sample_rate
    seconds = np.arange(len(power)) * hop

    def at(times: np.ndarray, width: float) -> tuple[np.ndarray, float]:
        """Averages around some times, and the mixture's largest average."""
        smooth = smooth_over_time(power, seconds, width)
        chosen = np.clip(np.rint(times / hop).astype(int), 0, len(power) - 1)
        return smooth[chosen], max(float(smooth[:, -1].max()), 1e-12)

    wide, loudest = at(clip.times, _WIDE)
    # Shares of near silence are meaningless, so energies have a floor: a thousandth of the loudest moment.
    shares = wide[:, :cells] / np.maximum(wide[:, -1:], 1e-3 * loudest)
    ends = np.append(clip.times[1:], clip.seconds)
    narrow, loudest = at((clip.times + np.maximum(ends, clip.times)) / 2, _NARROW)
    maps = (narrow[:, : cells * (1 + count)] / loudest).reshape(-1, 1 + count, rows, columns)
    levels = narrow[:, cells * (1 + count) : -1] / loudest
    return MovingMaps(shares.reshape(-1, rows, columns), maps[:, 0], maps[:, 1:], levels)


def _powers(pixels: PixelSounds, boxes: Sequence[Box], pooling: str | None) -> np.ndarray:
    """Energies of a window over time ``(…, T)``: cells, cells of each source, sources, and last the mixture."""
    power = pixels.magnitude.square()
    music = power * certainty_of_music(pixels.spectrogram)
    sources = torch.stack([pixels.mask(box, pooling).square() for box in boxes]) if boxes else music[:0, None]
    sources = sources.reshape(len(boxes), *music.shape)
    parts = sources / sources.sum(0).clamp_min(_NOBODY)
    weights = torch.cat([music[None], music * parts])  # (1 + S, Q, T)
    rows = [torch.einsum("wqt,sqt->swt", masks.square(), weights) for masks in _rows(pixels)]
    of_cells = torch.stack(rows, 1).flatten(0, 2)  # (1 + S, h, w, T)
    of_sources = (sources * music).sum(1)
    return torch.cat([of_cells, of_sources, power.sum(0)[None]]).cpu().numpy()


def _rows(pixels: PixelSounds) -> Iterator[torch.Tensor]:
    return pixels.rows_of_masks(pixels.features.shape[1] // 2)
