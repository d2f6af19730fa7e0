"""What sounds where: peaks, volume over time, colours of sounds, regions alike in sound (notebook 10_localize)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import Box, Point, box_of_cell

_VECTOR_ROWS, _VECTOR_COLUMNS = 32, 16  # a mask is averaged to this many numbers before cells are compared
_REACH = 5  # standard deviations: what is farther away has less than a hundred thousandth of the weight
_APART = 0.5  # from the mean: two sounds lie at 0.64 and more, cells of a solo within 0.21 (measured on the toy band)
_QUIET = 0.2  # cells with less than this share of the loudest cell's volume belong to no sound
# Blue, light grey, vermilion: the ends differ for every kind of colour vision, and so does their middle's lightness.
_ENDS = np.array([[0, 114, 178], [240, 240, 240], [213, 94, 0]]) / 255


def peak(sound_map: np.ndarray) -> Point:
    """Place (x, y) of the loudest cell's centre of a map ``(h, w)``, as fractions of width and height."""
    _check_map(sound_map)
    row, column = np.unravel_index(np.argmax(sound_map), sound_map.shape)
    return (column + 0.5) / sound_map.shape[1], (row + 0.5) / sound_map.shape[0]


def _check_map(sound_map: np.ndarray) -> None:
    if np.ndim(sound_map) != 2 or not np.size(sound_map):
        raise SopeduError(f"map {np.shape(sound_map)}: pass that of one frame, (h, w), for example sound_map()[0]")


def loudest_regions(sound_map: np.ndarray, count: int = 2, apart: float = 0.3, reach: int = 1) -> list[Box]:
    """Boxes around the loudest cells of a map ``(h, w)`` that lie well apart.

    Args:
        sound_map: volume of every cell.
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
    """Energy that every cell lets through at every moment, ``(T, h, w)``; 1 is the mixture's at its loudest moment.

    The picture stands still for the length of a clip, the sound does not: this is the map to lay over the frames of a
    video. Times of its columns: ``t · hop_length / sample_rate``.
    """
    power = pixels.magnitude.square()
    loudest = power.sum(0).max().clamp_min(1e-12)
    rows = [torch.einsum("wqt,qt->tw", masks.square(), power) for masks in pixels.rows_of_masks(frame)]
    return (torch.stack(rows, 1) / loudest).cpu().numpy()


def smooth_over_time(maps: np.ndarray, times: Sequence[float], seconds: float = 0.3) -> np.ndarray:
    """Average maps ``(n, h, w)`` with their neighbours in time, weighted by a Gaussian; same shape.

    Args:
        maps: of the frames or windows of a video.
        times: of each map, in seconds, at any spacing.
        seconds: standard deviation of the Gaussian; 0 changes nothing.

    Raises:
        SopeduError: as many times as maps are needed, and a width of 0 or more.
    """
    times = np.asarray(times, float)
    if len(times) != len(maps) or not seconds >= 0:
        raise SopeduError(f"{len(maps)} maps at {len(times)} times, {seconds} s wide: give each map its time")
    if seconds == 0 or len(maps) < 2:
        return np.array(maps)
    smooth = np.empty(np.shape(maps))
    for number, time in enumerate(times):  # one after another: the weights of all would fill memory for a long video
        near = np.flatnonzero(np.abs(times - time) <= _REACH * seconds)
        weights = np.exp(-0.5 * ((times[near] - time) / seconds) ** 2)
        smooth[number] = np.tensordot(weights / weights.sum(), np.asarray(maps)[near], 1)
    return smooth


@torch.inference_mode()
def cell_vectors(pixels: PixelSounds, frame: int = 0) -> np.ndarray:
    """What every cell lets through, ``(h, w, D)``: masked magnitudes averaged over blocks of bins.

    Cells that let the same sound through have vectors of the same direction; a quiet cell's is short.
    """
    rows = []
    for masks in pixels.rows_of_masks(frame):
        heard = F.adaptive_avg_pool2d((masks * pixels.magnitude)[:, None], (_VECTOR_ROWS, _VECTOR_COLUMNS))
        rows.append(heard.flatten(1).cpu().double().numpy())
    return np.stack(rows)


def sound_colours(pixels: PixelSounds, frame: int = 0) -> np.ndarray:
    """A colour for what every cell lets through, ``(h, w, 3)`` in 0…1: cells of one sound have one colour.

    The cells' vectors are projected onto their principal component (the paper shows three as red, green and blue; one
    from blue to vermilion can be read by everybody). Quiet cells fade to black.

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
    place *= np.sign(place.ravel()[np.argmax(np.abs(place.ravel()))]) or 1.0  # an axis has no direction of its own
    place /= max(np.abs(place * (volume > _QUIET)).max(), _APART)
    colours = np.stack([np.interp(place, (-1, 0, 1), _ENDS[:, channel]) for channel in range(3)], -1)
    return colours * volume[..., None]


def regions_by_sound(pixels: PixelSounds, count: int = 2, frame: int = 0) -> np.ndarray:
    """Which of ``count`` sounds every cell lets through, ``(h, w)`` int; −1 where it is quiet.

    The directions of the cells' vectors are clustered, starting from those that differ most, so the answer depends on
    nothing random. Hear a region with ``pixels.separate((labels == 0).astype(float))``.

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
    while len(centres) < count:  # the loudest, then whatever is least like those chosen
        centres.append(directions[(weights * (1 - np.max(directions @ np.stack(centres).T, axis=1))).argmax()])
    centres = np.stack(centres)
    for _ in range(20):
        found = np.argmax(directions @ centres.T, axis=1)
        sums = np.stack([(weights * (found == k)) @ directions for k in range(count)])
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    labels = np.full(loud.shape, -1)
    labels[loud] = found
    return labels
