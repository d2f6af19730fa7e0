"""Places: left stays left and up stays up, whatever a picture's shape, and a place keeps its cells there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sopedu.errors import SopeduError
from sopedu.localization.places import (
    WHOLE,
    box_of_cell,
    cell_at,
    cell_weights,
    cells_of_box,
    centre,
    centre_crop,
    check_box,
    check_place,
    check_point,
    inside,
    intersection_over_union,
    into_view,
    letterbox,
    map_on_picture,
    out_of_view,
)

FRACTIONS = st.floats(0, 1)
SPANS = st.lists(FRACTIONS, min_size=2, max_size=2, unique=True).map(sorted)
WIDE_SPANS = SPANS.filter(lambda span: span[1] - span[0] > 1e-3)
SIDES = st.integers(1, 20)
PICTURES = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
NO_BOXES = "0.5,0,0.5,1 0.6,0,0.5,1 0,0.6,1,0.5 -0.1,0,1,1 0,0,1,1.01 0,0,nan,1 0,0,inf,1 0,0,1"
NO_POINTS = "-0.01,0.5 0.5,1.01 nan,0.5 0.5,inf 0.5"


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 3), st.data())
def test_the_box_of_a_cell_holds_it_and_its_neighbours_in_reach(height, width, reach, data):
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = check_box(box_of_cell(row, column, height, width, reach))
    rows, columns = cells_of_box(box, height, width)
    assert (rows.start, rows.stop) == (max(0, row - reach), min(height, row + reach + 1))
    assert (columns.start, columns.stop) == (max(0, column - reach), min(width, column + reach + 1))
    assert cell_at(centre(box_of_cell(row, column, height, width)), height, width) == (row, column)


@settings(deadline=None)
@given(SPANS, SPANS, SIDES, SIDES)
def test_a_box_has_the_cells_whose_centres_lie_in_it_and_never_none(across, down, height, width):
    spans = cells_of_box((across[0], down[0], across[1], down[1]), height, width)
    for cells, (low, high), count in zip(spans, (down, across), (height, width), strict=True):
        assert 0 <= cells.start < cells.stop <= count
        centres = (np.arange(count) + 0.5) / count
        within = np.flatnonzero((centres > low + 1e-9) & (centres < high - 1e-9))
        assert set(within) <= set(range(cells.start, cells.stop))
        if cells.stop - cells.start > 1:  # a small box may have the nearest cell only
            assert ((centres[cells] >= low - 1e-9) & (centres[cells] <= high + 1e-9)).all()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0.0, 0.0, 0.25, 0.5), slice(0, 2), slice(0, 2)),  # left top
        ((0.75, 0.0, 1.0, 0.5), slice(0, 2), slice(6, 8)),  # right top
        ((0.0, 0.75, 0.5, 1.0), slice(3, 4), slice(0, 4)),  # left bottom
        ((0.99, 0.99, 1.0, 1.0), slice(3, 4), slice(7, 8)),  # smaller than a cell
        (WHOLE, slice(0, 4), slice(0, 8)),
    ],
)
def test_boxes_on_a_map_of_four_rows_and_eight_columns(box, rows, columns):
    assert cells_of_box(box, 4, 8) == (rows, columns)
    chosen = np.zeros((4, 8))
    chosen[rows, columns] = 1
    if box[0] != 0.99:  # boxes along the cells' borders cover the same cells whole
        np.testing.assert_array_equal(cell_weights(box, 4, 8), chosen)


@pytest.mark.parametrize("text", NO_BOXES.split())
def test_what_is_no_box_is_refused_in_one_line(text):
    with pytest.raises(SopeduError, match="write x0,y0,x1,y1 as fractions") as caught:
        check_box(tuple(float(value) for value in text.split(",")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", NO_POINTS.split())
def test_what_is_no_point_is_refused_in_one_line(text):
    with pytest.raises(SopeduError, match="write x,y as fractions") as caught:
        check_point(tuple(float(value) for value in text.split(",")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("left", "pass a point"),
        (None, "pass a point"),
        ([[0.5, 0.5], [0.5, 0.5]], "pass a point"),
        ((0.1, 0.2, 0.3), "write x0,y0,x1,y1"),
        ((0.5, 1.5), "write x,y"),
        ((0.1, 0.1, 0.1 + 1e-12, 0.9), "covers next to nothing"),
        ((0.0, 0.0, 5e-324, 5e-324), "covers next to nothing"),
        (np.ones((8, 4)), r"\(4, 8\)"),  # transposed
        (np.zeros((4, 8)), "not all 0"),
        (np.full((4, 8), np.nan), "finite"),
        (np.eye(4, 8) - 1, "0 or more"),
    ],
)
def test_what_is_no_place_is_refused_in_one_line(place, said):
    with pytest.raises(SopeduError, match=said) as caught:
        cell_weights(place, 4, 8)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "place", [torch.ones(8, 8), np.ones((1, 8, 8)), (10**400, 1), [[1] * 8] * 8, torch.tensor(0.5)]
)
def test_tensors_and_lists_of_lists_are_no_places_and_are_told_in_one_short_line(place):
    with pytest.raises(SopeduError, match="numpy array") as caught:
        cell_weights(place, 8, 8)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("box", [5, None, "0,0,1,1", ("a", 0, 1, 1), [None] * 4])
def test_what_holds_no_numbers_is_no_box(box):
    with pytest.raises(SopeduError, match="write a box"):
        check_box(box)


@pytest.mark.parametrize("kind", [complex, object, str])
def test_paint_of_no_real_numbers_is_refused(kind):
    with pytest.raises(SopeduError, match="painted cells"):
        cell_weights(np.ones((8, 8)).astype(kind), 8, 8)


def test_a_place_is_made_of_floats_whatever_it_came_in():
    assert check_place(np.float32([0.5, 0.25])) == (0.5, 0.25)
    assert check_place(torch.tensor([0.0, 0.0, 1.0, 0.5])) == (0.0, 0.0, 1.0, 0.5)
    painted = np.eye(4, 8, dtype=bool)
    np.testing.assert_array_equal(cell_weights(painted, 4, 8), painted)


@settings(deadline=None)
@given(FRACTIONS, FRACTIONS, SIDES, SIDES, st.integers(0, 99))
def test_the_weights_of_a_point_are_those_of_grid_sample(x, y, height, width, seed):
    weights = cell_weights((x, y), height, width)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).sum() <= 4
    values = np.random.default_rng(seed).normal(size=(height, width))
    grid = torch.tensor([[[[2 * x - 1, 2 * y - 1]]]], dtype=torch.float64)
    how = {"mode": "bilinear", "padding_mode": "border", "align_corners": False}
    sampled = F.grid_sample(torch.from_numpy(values)[None, None], grid, **how).item()
    assert (weights * values).sum() == pytest.approx(sampled, abs=1e-9)


@settings(deadline=None)
@given(SIDES, SIDES, st.data())
def test_the_centre_of_a_cell_is_that_cell_alone(height, width, data):
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    weights = cell_weights(((column + 0.5) / width, (row + 0.5) / height), height, width)
    assert weights[row, column] == pytest.approx(1)
    assert weights.sum() == pytest.approx(1)


@settings(deadline=None)
@given(WIDE_SPANS, WIDE_SPANS, SIDES, SIDES)
def test_the_weights_of_a_box_are_the_areas_it_covers(across, down, height, width):
    weights = cell_weights((across[0], down[0], across[1], down[1]), height, width)
    assert ((weights >= 0) & (weights <= 1 + 1e-9)).all()
    area = (across[1] - across[0]) * (down[1] - down[0]) * height * width
    assert weights.sum() == pytest.approx(area)  # in cells, so none is lost and none is counted twice


@pytest.mark.parametrize("seed", range(20))
def test_the_areas_equal_those_of_a_fine_raster(seed):
    chance, fine = np.random.default_rng(seed), 200
    (x0, x1), (y0, y1) = np.sort(chance.random((2, 2)), 1)
    height, width = chance.integers(1, 9, 2)
    inner = [(np.arange(count * fine) + 0.5) / (count * fine) for count in (height, width)]
    raster = np.outer((inner[0] > y0) & (inner[0] < y1), (inner[1] > x0) & (inner[1] < x1))
    counted = raster.reshape(height, fine, width, fine).mean((1, 3))
    np.testing.assert_allclose(cell_weights((x0, y0, x1, y1), height, width), counted, atol=2 / fine)


@settings(deadline=None)
@given(st.lists(st.tuples(SPANS, SPANS), min_size=2, max_size=2))
def test_overlap_over_union_has_the_properties_of_one(spans):
    first, second = ((x[0], y[0], x[1], y[1]) for x, y in spans)
    found = intersection_over_union([first], [second])[0, 0]
    assert 0 <= found <= 1
    assert found == pytest.approx(intersection_over_union([second], [first])[0, 0])
    mirrored = [(1 - x1, y0, 1 - x0, y1) for x0, y0, x1, y1 in (first, second)]
    apart = max(first[0], second[0]) >= min(first[2], second[2])
    if apart:
        assert found == 0
    if min(x1 - x0 for (x0, x1), _ in spans) > 1e-6 and min(y1 - y0 for _, (y0, y1) in spans) > 1e-6:
        assert intersection_over_union(mirrored[:1], mirrored[1:])[0, 0] == pytest.approx(found, abs=1e-6)
        assert intersection_over_union([first], [first])[0, 0] == pytest.approx(1)


def test_overlaps_from_a_drawing():
    left, right = (0, 0, 0.5, 1), (0.25, 0, 0.75, 1)
    table = intersection_over_union([left, right, WHOLE], [left, (0.5, 0.5, 1, 1)])
    np.testing.assert_allclose(table, [[1, 0], [1 / 3, 0.125 / 0.625], [0.5, 0.25]])
    assert intersection_over_union(np.zeros((0, 4)), [left]).shape == (0, 1)
    assert intersection_over_union([(0.5, 0.5, 0.5, 0.5)], [(0.5, 0.5, 0.5, 0.5)]) == 0


def test_views_of_a_landscape_and_a_portrait():
    assert centre_crop(400, 300) == pytest.approx((1 / 8, 0, 7 / 8, 1))
    assert centre_crop(300, 400) == pytest.approx((0, 1 / 8, 1, 7 / 8))
    assert letterbox(400, 300) == pytest.approx((0, -1 / 6, 1, 7 / 6))
    assert letterbox(300, 400) == pytest.approx((-1 / 6, 0, 7 / 6, 1))
    assert centre_crop(64, 64) == letterbox(64, 64) == WHOLE


@settings(deadline=None)
@given(PICTURES, st.sampled_from([centre_crop, letterbox]))
def test_views_are_square_and_in_the_middle(picture, cut):
    width, height = picture
    x0, y0, x1, y1 = cut(width, height)
    assert (x1 - x0) * width == pytest.approx((y1 - y0) * height)
    assert (x1 - x0) * width == pytest.approx(min(picture) if cut is centre_crop else max(picture))
    assert centre((x0, y0, x1, y1)) == pytest.approx((0.5, 0.5))


@settings(deadline=None)
@given(PICTURES, st.sampled_from([centre_crop, letterbox]), FRACTIONS, FRACTIONS)
def test_a_point_of_the_view_comes_back_from_the_picture(picture, cut, x, y):
    view = cut(*picture)
    assume(max(picture) < 50 * min(picture))
    assert into_view(out_of_view((x, y), view), view) == pytest.approx((x, y), abs=1e-9)


@settings(deadline=None)
@given(PICTURES, WIDE_SPANS, WIDE_SPANS)
def test_a_letterbox_sees_every_box_of_the_picture_and_gives_it_back(picture, across, down):
    assume(max(picture) < 50 * min(picture))
    box, view = (across[0], down[0], across[1], down[1]), letterbox(*picture)
    seen = check_box(into_view(box, view))
    assert out_of_view(seen, view) == pytest.approx(box, abs=1e-9)


@settings(deadline=None)
@given(PICTURES, WIDE_SPANS, WIDE_SPANS)
def test_of_a_box_a_crop_sees_the_part_within(picture, across, down):
    assume(max(picture) < 50 * min(picture))
    box, view = (across[0], down[0], across[1], down[1]), centre_crop(*picture)
    common = [max(box[0], view[0]), max(box[1], view[1]), min(box[2], view[2]), min(box[3], view[3])]
    narrow = min(common[2] - common[0], common[3] - common[1])
    if narrow > 1e-6:
        assert out_of_view(into_view(box, view), view) == pytest.approx(common, abs=1e-9)
    elif narrow < -1e-6:
        with pytest.raises(SopeduError, match="outside what the model saw"):
            into_view(box, view)


def test_what_a_crop_cut_off_is_refused_in_one_line():
    view = centre_crop(400, 300)
    assert into_view((0.5, 0.1), view) == pytest.approx((0.5, 0.1))
    assert into_view((0.25, 0.1), view) == pytest.approx((1 / 6, 0.1))
    for place in ((0.1, 0.5), (0.9, 0.5), (0.0, 0.0, 0.125, 1.0)):
        with pytest.raises(SopeduError, match="choose a place inside") as caught:
            into_view(place, view)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(8, 12), (12, 8), (5, 31), (7, 7)])
def test_a_map_of_the_whole_picture_is_scaled_as_torch_does(size):
    values = np.random.default_rng(0).random((4, 6))
    how = {"size": size, "mode": "bilinear", "align_corners": False}
    expected = F.interpolate(torch.from_numpy(values)[None, None], **how)[0, 0].numpy()
    np.testing.assert_allclose(map_on_picture(values, WHOLE, *size), expected, atol=1e-12)


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400)])
@pytest.mark.parametrize("cut", [centre_crop, letterbox])
@pytest.mark.parametrize("corner", [(1, 1), (1, 6), (6, 1), (6, 6)])
def test_what_glows_in_one_corner_of_the_view_glows_there_in_the_picture(width, height, cut, corner):
    """The picture is cut or padded to a square, a map of it is drawn, and that is laid over the picture again."""
    values, view = np.zeros((8, 8)), cut(width, height)
    values[corner] = 1
    on_picture = map_on_picture(values, view, height, width)
    row, column = np.unravel_index(on_picture.argmax(), on_picture.shape)
    expected = out_of_view(((corner[1] + 0.5) / 8, (corner[0] + 0.5) / 8), view)
    found = ((column + 0.5) / width, (row + 0.5) / height)
    low, high = (0.5 / min(width, height), 1 - 0.5 / min(width, height))
    nearest = tuple(min(max(value, low), high) for value in expected)  # a bar is not in the picture
    if nearest == expected:
        assert found == pytest.approx(expected, abs=1 / min(width, height))
        assert on_picture.max() == pytest.approx(1, abs=0.02)
    halves = (on_picture[:, : width // 2].sum(), on_picture[:, width // 2 :].sum())
    assert (halves[0] > halves[1]) == (corner[1] < 4)
    halves = (on_picture[: height // 2].sum(), on_picture[height // 2 :].sum())
    assert (halves[0] > halves[1]) == (corner[0] < 4)


def test_beyond_a_crop_a_map_is_dark():
    on_picture = map_on_picture(np.ones((8, 8)), centre_crop(400, 300), 30, 40)
    assert (on_picture[:, 5:35] == pytest.approx(1)) and not on_picture[:, :5].any() and not on_picture[:, 35:].any()


@settings(deadline=None)
@given(SIDES, SIDES, FRACTIONS, FRACTIONS)
def test_exchanging_the_axes_exchanges_the_weights(height, width, x, y):
    np.testing.assert_array_equal(cell_weights((x, y), height, width), cell_weights((y, x), width, height).T)
    assert cell_at((x, y), height, width) == cell_at((y, x), width, height)[::-1]
    box = (x / 2, y / 3, x / 2 + 0.4, y / 3 + 0.1)
    turned = (box[1], box[0], box[3], box[2])
    np.testing.assert_array_equal(cell_weights(box, height, width), cell_weights(turned, width, height).T)
    assert inside(centre(box), box) and inside((x, y), WHOLE)
