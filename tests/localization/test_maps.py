"""Maps: the peak is where it is loud, parts add up to the whole, and two sounds get two colours and two regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sopedu.errors import SopeduError
from sopedu.localization.maps import (
    cell_vectors,
    loudest_regions,
    peak,
    regions_by_sound,
    smooth_over_time,
    sound_colours,
    volume_over_time,
)
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import box_of_cell, cell_at, inside

HEIGHT, WIDTH, ROWS, COLUMNS = 5, 8, 64, 32


class GivenMasks(PixelSounds):
    """Pixels whose masks (h, w, Q, T) are given, so that what sounds where is known."""

    def __init__(self, masks: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(0)
        self.given = masks
        self.magnitude = 0.1 + torch.rand(masks.shape[2:], generator=generator)
        self.heard = self.magnitude  # at the level that the model knows
        self.spectrogram = torch.eye(16)  # a glide, no noise
        self.features = torch.zeros(1, 1, *masks.shape[:2])

    def rows_of_masks(self, frame):
        yield from self.given


def high_and_low(quiet: float = 0.01) -> GivenMasks:
    """Two columns of cells on the left let high rows through, three on the right low ones; between them it is quiet."""
    masks = torch.full((HEIGHT, WIDTH, ROWS, COLUMNS), quiet)
    masks[1:4, :2, ROWS // 2 :] = 0.9
    masks[1:4, 5:, : ROWS // 2] = 0.7
    return GivenMasks(masks)


def test_the_peak_is_named_as_x_and_y():
    sound_map = np.zeros((4, 8))
    sound_map[0, 6] = 1  # top right
    assert peak(sound_map) == (6.5 / 8, 0.5 / 4)
    assert inside(peak(sound_map), (0.75, 0, 1, 0.25))
    assert not inside(peak(sound_map), (0, 0.75, 0.25, 1))


@settings(deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(0, 1)))
def test_nothing_is_louder_than_the_peak(sound_map):
    assert sound_map[cell_at(peak(sound_map), *sound_map.shape)] == sound_map.max()


def test_the_loudest_regions_lie_apart_in_order():
    sound_map = np.zeros((4, 8))
    sound_map[0, 1], sound_map[0, 2], sound_map[3, 7] = 3, 2, 1  # the second is the first's neighbour
    assert loudest_regions(sound_map, reach=0) == [box_of_cell(0, 1, 4, 8), box_of_cell(3, 7, 4, 8)]
    assert loudest_regions(sound_map, reach=1)[0] == (0, 0, 3 / 8, 2 / 4)
    everything = loudest_regions(np.random.default_rng(0).random((6, 9)), count=50, apart=0.4, reach=0)
    centres = np.array([[(x0 + x1) / 2 * 9, (y0 + y1) / 2 * 6] for x0, y0, x1, y1 in everything])
    distances = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1)) + 99 * np.eye(len(centres))
    assert 1 < len(everything) < 50
    assert distances.min() >= 0.4 * 9 - 1e-9


@pytest.mark.parametrize("shape", [(3, 8, 8), (0, 0), (8,)])
def test_maps_of_several_frames_or_none_are_refused(shape):
    for ask in (peak, loudest_regions):
        with pytest.raises(SopeduError, match="pass that of one frame"):
            ask(np.zeros(shape))


def test_no_distance_between_regions_still_gives_each_cell_once():
    regions = loudest_regions(np.arange(12.0).reshape(3, 4), count=99, apart=0.0, reach=0)
    assert len(regions) == len(set(regions)) == 12


def test_volume_over_time_adds_up_to_the_energy_map():
    pixels = GivenMasks(torch.rand(HEIGHT, WIDTH, ROWS, COLUMNS, generator=torch.Generator().manual_seed(1)))
    power = pixels.magnitude.square()
    volume = volume_over_time(pixels)
    assert volume.shape == (COLUMNS, HEIGHT, WIDTH)
    total = volume.sum(0) * float(power.sum(0).max() / power.sum())
    np.testing.assert_allclose(total, pixels.sound_map()[0], rtol=1e-4)
    everything = volume_over_time(GivenMasks(torch.ones(HEIGHT, WIDTH, ROWS, COLUMNS)))
    assert everything.max() == pytest.approx(1)  # all of the mixture at its loudest moment


def test_a_note_is_loud_while_it_sounds_and_where_it_sounds():
    masks = torch.zeros(HEIGHT, WIDTH, ROWS, COLUMNS)
    masks[0, 6, :, 10:20] = 1
    volume = volume_over_time(GivenMasks(masks))
    assert (volume[10:20, 0, 6] > 0.3).all()
    volume[10:20, 0, 6] = 0
    assert not volume.any()


def test_steady_noise_is_dark_at_every_moment():
    pixels = GivenMasks(torch.ones(HEIGHT, WIDTH, ROWS, COLUMNS))
    pixels.spectrogram = torch.randn(512, 64, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert not volume_over_time(pixels).any() and not pixels.sound_map().any()


@settings(deadline=None, max_examples=50)
@given(
    arrays(float, (6, 2, 3), elements=st.floats(0, 1)),
    st.lists(st.floats(0, 100), min_size=6, max_size=6),
    st.floats(0, 5),
)
def test_smoothing_stays_between_the_extremes_and_keeps_what_is_constant(maps, times, seconds):
    smooth = smooth_over_time(maps, times, seconds)
    assert smooth.shape == maps.shape
    assert smooth.min() >= maps.min() - 1e-9 and smooth.max() <= maps.max() + 1e-9
    np.testing.assert_allclose(smooth_over_time(np.full_like(maps, 0.3), times, seconds), 0.3)


def test_smoothing_is_a_gaussian_over_time_and_not_over_place():
    times = np.arange(41) * 0.1
    maps = np.zeros((41, 2, 3))
    maps[20, 0, 2] = 1
    smooth = smooth_over_time(maps, times, 0.3)
    gauss = np.exp(-0.5 * ((times - 2) / 0.3) ** 2)
    np.testing.assert_allclose(smooth[:, 0, 2], gauss / gauss.sum(), atol=1e-5)
    smooth[:, 0, 2] = 0
    assert not smooth.any()
    np.testing.assert_array_equal(smooth_over_time(maps, times, 0), maps)


@pytest.mark.parametrize("arguments", [([0.0], 0.3), ([0.0, 1.0], -1), ([0.0, 1.0], float("nan"))])
def test_maps_without_times_are_refused(arguments):
    with pytest.raises(SopeduError, match="give each map its time"):
        smooth_over_time(np.zeros((2, 1, 1)), *arguments)


def test_vectors_of_cells_point_where_their_sound_lies_and_are_as_long_as_it_is_loud():
    vectors = cell_vectors(high_and_low())
    length = np.linalg.norm(vectors, axis=-1)
    assert (length[1:4, :2] > length[1:4, 5:].max()).all()
    assert (length[:, 2:5] < 0.05 * length.max()).all()
    directions = vectors / length[..., None]
    assert directions[1, 0] @ directions[3, 1] > 0.999
    assert directions[1, 0] @ directions[1, 7] < 0.1


def test_two_sounds_are_blue_and_vermilion_and_the_rest_is_dark():
    colours = sound_colours(high_and_low())
    assert colours.shape == (HEIGHT, WIDTH, 3)
    assert colours.min() >= 0 and colours.max() <= 1
    assert colours[:, 2:5].max() < 0.05
    for cells in (colours[1:4, :2], colours[1:4, 5:]):
        assert np.ptp(cells, axis=(0, 1)).max() < 0.02  # one sound, one colour
    warmth = colours[..., 0] - colours[..., 2]  # red above blue, or below
    assert np.sign(warmth[2, 0]) == -np.sign(warmth[2, 6])
    assert min(abs(warmth[2, 0]), abs(warmth[2, 6])) > 0.3


def test_a_solo_has_one_colour_even_if_its_cells_differ_a_little():
    masks = torch.full((HEIGHT, WIDTH, ROWS, COLUMNS), 0.01)
    masks[1:4, 2:6] = 0.8 + 0.1 * torch.rand(3, 4, ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))
    colours = sound_colours(GivenMasks(masks))[1:4, 2:6]
    assert (colours.max(-1) - colours.min(-1)).max() < 0.15  # grey, no end of the scale


def test_regions_hold_the_cells_of_one_sound_each():
    labels = regions_by_sound(high_and_low())
    expected = np.full((HEIGHT, WIDTH), -1)
    expected[1:4, :2], expected[1:4, 5:] = 0, 1  # the louder of the two begins
    np.testing.assert_array_equal(labels, expected)


def test_as_many_sounds_as_there_are_become_regions():
    masks = torch.zeros(HEIGHT, WIDTH, ROWS, COLUMNS)
    for number in range(4):
        masks[number, 2 * number : 2 * number + 2, 16 * number : 16 * number + 16] = 1 - 0.1 * number
    labels = regions_by_sound(GivenMasks(masks), count=4)
    assert sorted(np.unique(labels)) == [-1, 0, 1, 2, 3]
    for number in range(4):
        assert len(np.unique(labels[number, 2 * number : 2 * number + 2])) == 1
    assert (labels >= 0).sum() == 8
    assert (regions_by_sound(GivenMasks(masks), count=1) <= 0).all()


@pytest.mark.parametrize("count", [0, 16, -1])
def test_more_regions_than_cells_that_sound_are_refused(count):
    with pytest.raises(SopeduError, match="15 cells sound"):
        regions_by_sound(high_and_low(), count)
    with pytest.raises(SopeduError, match="no cell sounds"):
        regions_by_sound(GivenMasks(torch.zeros(HEIGHT, WIDTH, ROWS, COLUMNS)))
