"""What is drawn on frames: boxes on their border, maps bright where it is loud, in time with the video."""

from __future__ import annotations

import numpy as np
import pytest

from sopedu.overlays import MapOverlay, draw_box, overlay_map


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


def test_between_two_windows_maps_are_blended_in_time():
    maps = np.zeros((2, 1, 2))
    maps[0, 0, 0], maps[1, 0, 1] = 2, 2  # first left, then right; the loudest of all is drawn as 1
    frame = np.zeros((8, 8, 3), np.uint8)
    overlay = MapOverlay(maps, [1.0, 3.0])
    drawn = [overlay(time, frame) for time in (0.0, 1.0, 2.0, 3.0, 9.0)]
    for found, (left, right) in zip(drawn, [(1, 0), (1, 0), (0.5, 0.5), (0, 1), (0, 1)], strict=True):
        np.testing.assert_array_equal(found, overlay_map(frame, np.array([[left, right]])))
