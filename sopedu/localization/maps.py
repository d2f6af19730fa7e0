"""Read sound maps: peaks, volume over time, colours of sounds, regions alike in sound (notebook 10_localize)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sopedu.audio.noise import certainty_of_music
from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import Box, Point, box_of_cell

_VECTOR_ROWS, _VECTOR_COLUMNS = 32, 16  # a masked magnitude is averaged to this size before cells are compared
_REACH = 5  # standard deviations: what is farther away has less than a hundred thousandth of the weight
_APART = 0.5  # from the mean: two sounds lie at 0.64 and more, cells of a solo within 0.21 (measured on the toy band)
_QUIET = 0.2  # cells with less than this share of the loudest cell's volume belong to no sound
# Blue, light grey, vermilion: the ends differ for every kind of colour vision, and so does their middle's lightness.
_ENDS = np.array([[0, 114, 178], [240, 240, 240], [213, 94, 0]]) / 255


def peak(sound_map: np.ndarray) -> Point:
    """Return the centre (x, y) of the loudest cell, as fractions of width and height.

    Args:
        sound_map: volume of every cell ``(h, w)``.
    """
    _check_map(sound_map)
    row, column = np.unravel_index(np.argmax(sound_map), sound_map.shape)
    return (column + 0.5) / sound_map.shape[1], (row + 0.5) / sound_map.shape[0]


def _check_map(sound_map: np.ndarray) -> None:
    if np.ndim(sound_map) != 2 or not np.size(sound_map):
        raise SopeduError(f"map {np.shape(sound_map)}: pass that of one frame, (h, w), for example sound_map()[0]")


def loudest_regions(sound_map: np.ndarray, count: int = 2, apart: float = 0.3, reach: int = 1) -> list[Box]:
    """Return boxes around the loudest cells that lie well apart.

    Args:
        sound_map: volume of every cell ``(h, w)``.
        count: how many at most; fewer if the rest of the map lies closer than ``apart``.
        apart: least distance of two peaks, as a share of the longer side of the map.
        reach: cells on every side of a peak that belong to its region.
    """
    _check_map(sound_map)
    height, width = sound_map.shape
    rows, columns = np.mgrid[:height, :width]
    left, regions = sound_map.astype(float).copy(), []
    while len(regions) < count and np.isfinite(left).any():
        row, column = np.unravel_index(np.argmax(left), left.shape)
        regions.append(box_of_cell(int(row), int(column), height, width, reach))
        left[row, column] = -np.inf
        left[np.hypot(rows - row, columns - column) < apart * max(height, width)] = -np.inf
    return regions


def volume_over_time(pixels: PixelSounds, frame: int = 0) -> np.ndarray:
    """Return the energy that every cell lets through at every moment, ``(T, h, w)``.

    1 is the energy of the mixture at its loudest moment; steady noise is dark, as in ``sound_map``. The picture stands
    still for the length of a clip, the sound does not: this is the map to lay over the frames of a video. Time t is at
    ``t · hop_length / sample_rate`` seconds.

    Args:
        pixels: the clip.
        frame: number of the frame.
    """
    power = pixels.magnitude.square()
    loudest = power.sum(0).max().clamp_min(1e-12)
    power = power * certainty_of_music(pixels.spectrogram)
    rows = [torch.einsum("wqt,qt->tw", masks.square(), power) for masks in pixels.rows_of_masks(frame)]
    return (torch.stack(rows, 1) / loudest).cpu().numpy()


def smooth_over_time(maps: np.ndarray, times: Sequence[float], seconds: float = 0.3) -> np.ndarray:
    """Average maps with their neighbours in time, weighted by a Gaussian; same shape.

    Args:
        maps: ``(n, h, w)`` of the frames or windows of a video.
        times: of each map, in seconds, at any spacing.
        seconds: standard deviation of the Gaussian; 0 changes nothing.

    Raises:
        SopeduError: not as many times as maps, or a negative width.
    """
    times = np.asarray(times, float)
    if len(times) != len(maps) or not seconds >= 0:
        raise SopeduError(f"{len(maps)} maps at {len(times)} times, {seconds} s wide: give each map its time")
    if seconds == 0 or len(maps) < 2:
        return np.array(maps)
    smooth = np.empty(np.shape(maps))
    for number, time in enumerate(times):  # one by one, to limit memory for long videos
        near = np.flatnonzero(np.abs(times - time) <= _REACH * seconds)
        weights = np.exp(-0.5 * ((times[near] - time) / seconds) ** 2)
        smooth[number] = np.tensordot(weights / weights.sum(), np.asarray(maps)[near], 1)
    return smooth


@torch.inference_mode()
def cell_vectors(pixels: PixelSounds, frame: int = 0) -> np.ndarray:
    """Return the sound of every cell as a vector, ``(h, w, D)`` float64: masked magnitudes averaged over blocks.

    Cells that let the same sound through have vectors of the same direction; that of a quiet cell is short.

    Args:
        pixels: the clip.
        frame: number of the frame.
    """
    rows = []
    for masks in pixels.rows_of_masks(frame):
        heard = F.adaptive_avg_pool2d((masks * pixels.magnitude)[:, None], (_VECTOR_ROWS, _VECTOR_COLUMNS))
        rows.append(heard.flatten(1).cpu().double().numpy())
    return np.stack(rows)


def sound_colours(pixels: PixelSounds, frame: int = 0) -> np.ndarray:
    """Return a colour for every cell, ``(h, w, 3)`` in 0…1: cells that let the same sound through have one colour.

    The cells' vectors are projected onto their principal component. The paper shows three components as red, green
    and blue; one from blue to vermilion can be read with any colour vision. Quiet cells fade to black.

    Args:
        pixels: the clip.
        frame: number of the frame.

    Source: The Sound of Pixels (arXiv 1804.03160), clustering of sound in space.
    """
    vectors = cell_vectors(pixels, frame)
    length = np.linalg.norm(vectors, axis=-1)
    volume = length / max(length.max(), 1e-12)
    directions = vectors / np.maximum(length, 1e-12)[..., None]
    weights = volume.ravel() / max(volume.sum(), 1e-12)
    centred = (directions - weights @ directions.reshape(len(weights), -1)).reshape(len(weights), -1)
    _, _, axes = np.linalg.svd(np.sqrt(weights)[:, None] * centred, full_matrices=False)
    place = (centred @ axes[0]).reshape(volume.shape)
    place *= np.sign(place.ravel()[np.argmax(np.abs(place.ravel()))]) or 1.0  # the sign of an axis is arbitrary
    place /= max(np.abs(place * (volume > _QUIET)).max(), _APART)
    colours = np.stack([np.interp(place, (-1, 0, 1), _ENDS[:, channel]) for channel in range(3)], -1)
    return colours * volume[..., None]


def regions_by_sound(pixels: PixelSounds, count: int = 2, frame: int = 0) -> np.ndarray:
    """Return which of some sounds every cell lets through, ``(h, w)`` int; −1 where it is quiet.

    The directions of the cells' vectors are clustered, starting from those that differ most, so nothing is random.
    Separate a region with ``pixels.separate((labels == 0).astype(float))``.

    Args:
        pixels: the clip.
        count: number of sounds.
        frame: number of the frame.

    Raises:
        SopeduError: fewer cells sound than regions are wanted.
    """
    vectors = cell_vectors(pixels, frame)
    length = np.linalg.norm(vectors, axis=-1)
    loud = length > _QUIET * max(length.max(), 1e-12)
    if not loud.any():
        raise SopeduError("no cell sounds, so there are no regions; pass a mixture that is not silent")
    if not 1 <= count <= loud.sum():
        raise SopeduError(f"{count} regions: {int(loud.sum())} cells sound, choose a number from 1 to that")
    directions, weights = vectors[loud] / length[loud][:, None], length[loud]
    centres = [directions[weights.argmax()]]
    while len(centres) < count:  # the loudest first, then the one least like those chosen
        centres.append(directions[(weights * (1 - np.max(directions @ np.stack(centres).T, axis=1))).argmax()])
    centres = np.stack(centres)
    for _ in range(20):
        nearest = np.argmax(directions @ centres.T, axis=1)
        sums = np.stack([(weights * (nearest == k)) @ directions for k in range(count)])
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    labels = np.full(loud.shape, -1)
    labels[loud] = nearest
    return labels
