"""What is drawn on frames: boxes on their border, maps bright where it is loud, in time with the video."""

from __future__ import annotations

import numpy as np
import pytest

from sopedu.errors import SopeduError
from sopedu.localization.overlays import MapOverlay, draw_box, overlay_map


@pytest.mark.parametrize("box", [(0.1, 0.2, 0.6, 0.9), (0.0, 0.0, 1.0, 1.0), (0.5, 0.75, 1.0, 1.0)])
def test_a_box_is_drawn_on_its_border_and_nowhere_else(box):
    frame = np.full((60, 100, 3), 100, np.uint8)
    marked = draw_box(frame, box)
    rows, columns = np.mgrid[:60, :100]
    x0, x1, y0, y1 = (round(v * n) for v, n in zip((box[0], box[2], box[1], box[3]), (99, 99, 59, 59), strict=True))
    depth = np.minimum.reduce([columns - x0, x1 - columns, rows - y0, y1 - rows])  # negative outside
    expected = np.where((depth >= 0) & (depth < 2), 0, np.where((depth >= 2) & (depth < 4), 255, 100))
    assert (marked == expected[..., None]).all()
    assert (frame == 100).all()


def test_a_map_brightens_the_loud_side_and_keeps_shape_and_type():
    frame = np.full((40, 60, 3), 40, np.uint8)
    glowing = overlay_map(frame, np.array([[0.0, 1.0]]))
    assert (glowing.shape, glowing.dtype) == (frame.shape, frame.dtype)
    assert glowing[:, 45:].mean() > 150 > 40 > glowing[:, :15].mean()
    upper = overlay_map(frame, np.array([[1.0], [0.0]]))
    assert upper[:10].mean() > upper[30:].mean() + 100


def test_under_a_map_only_the_map_has_colours():
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    covered = overlay_map(frame, np.array([[0.0, 1.0]])).astype(int)
    assert np.ptp(covered[:, :15], axis=-1).max() <= 2  # magma begins at nearly black
    assert np.ptp(covered[:, 45:], axis=-1).min() > 40
    brightness = frame[:, :15] @ np.array([0.299, 0.587, 0.114])  # of Rec. 601
    assert np.corrcoef(covered[:, :15].mean(-1).ravel(), brightness.ravel())[0, 1] > 0.99


def test_between_two_windows_maps_are_blended_in_time():
    maps = np.zeros((2, 1, 2))
    maps[0, 0, 0], maps[1, 0, 1] = 2, 2  # first left, then right; the loudest of all is drawn as 1
    frame = np.zeros((8, 8, 3), np.uint8)
    overlay = MapOverlay(maps, [1.0, 3.0])
    drawn = [overlay(time, frame) for time in (0.0, 1.0, 2.0, 3.0, 9.0)]
    for found, (left, right) in zip(drawn, [(1, 0), (1, 0), (0.5, 0.5), (0, 1), (0, 1)], strict=True):
        np.testing.assert_array_equal(found, overlay_map(frame, np.array([[left, right]])))


def test_maps_are_smoothed_over_time_unless_told_otherwise():
    maps, times = np.zeros((5, 1, 2)), 0.2 * np.arange(5)
    maps[2, 0, 1] = 1  # a flash
    smooth, sharp = MapOverlay(maps, times), MapOverlay(maps, times, smooth=0)
    assert sharp.at(0.2).max() == 0 and sharp.at(0.4)[0, 1] == 1
    assert 0.5 < smooth.at(0.2)[0, 1] < smooth.at(0.4)[0, 1] == 1  # the loudest moment is drawn as 1 all the same
    assert smooth.at(0.4)[0, 0] == 0
    with pytest.raises(SopeduError, match="give each map its time"):
        MapOverlay(maps, times[:4])


@pytest.mark.parametrize(("height", "width"), [(180, 320), (320, 240), (720, 1280), (1280, 720)])
def test_the_legend_goes_from_dark_to_light_in_a_corner_and_is_readable(height, width):
    frame = np.full((height, width, 3), 90, np.uint8)
    maps = np.zeros((1, 4, 4))
    plain, marked = (MapOverlay(maps, [0.0], legend=legend)(0.0, frame).astype(int) for legend in (False, True))
    rows, columns = np.nonzero((plain != marked).any(-1))
    plate = marked[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert rows.max() < 0.2 * height and columns.max() < 0.6 * width
    assert plate.shape[0] >= 18 and plate.shape[0] < 0.12 * height
    middle = plate[plate.shape[0] // 2].sum(-1)
    scale = middle[(plate.shape[1] - width // 5) // 2 :][: width // 5]  # about in the middle of the plate
    rising = scale[width // 40 : -width // 40]
    assert (np.diff(rising) >= -3).all() and rising[-1] > rising[0] + 300
    white = (plate > 180).all(-1)
    assert white[:, : plate.shape[1] // 5].sum() > 20 and white[:, -plate.shape[1] // 5 :].sum() > 20  # the words


def test_a_frame_too_small_for_words_has_no_legend():
    frame, maps = np.full((64, 64, 3), 90, np.uint8), np.zeros((1, 2, 2))
    np.testing.assert_array_equal(MapOverlay(maps, [0.0])(0.0, frame), overlay_map(frame, maps[0]))
