"""The toy band's pictures: the rasterizer against areas, the drawings against their boxes and bytes."""

from __future__ import annotations

import ast
import colorsys
import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.toyband import backgrounds, players, raster
from sopedu.toyband.bodies import Motion
from sopedu.toyband.instruments import INSTRUMENTS
from sopedu.toyband.raster import Canvas, Placement
from sopedu.toyband.splits import SPLITS
from sopedu.toyband.voices import Note
from tools import procedural_objects as objects

RESTING = Motion(0.0, 0.0, 0.5)
# From numpy 2.4.6 on an x86-64 CPU with AVX-512. It changes whenever a drawing does: look at the new
# pictures, then copy the new number from the failure.
PICTURES = "c16a62ee1db556193a6ebee2230221641b11fdcbb3c1a324d19a586bce23e44a"


def paint_instrument(instrument, placement, motion=RESTING, identity=3, height=96, width=96):
    canvas = Canvas(height, width, (1.0, 0.0, 1.0))
    box = players.draw(canvas, instrument, players.look(instrument, identity), placement, motion)
    return canvas.image(), box


def paint_object(family, placement, height=96, width=96):
    canvas = Canvas(height, width, (1.0, 0.0, 1.0))
    box = objects.draw(canvas, family, np.random.default_rng(5), placement)
    return canvas.image(), box


def hash_of_all_pictures() -> str:
    digest = hashlib.sha256()
    for number, instrument in enumerate(INSTRUMENTS):
        canvas = Canvas(64, 80)
        backgrounds.paint(canvas, number)
        placement = Placement(0.45, 0.5, 0.7, 0.03 * number - 0.15, number % 2 == 0)
        look = players.look(instrument, number)
        players.draw(canvas, instrument, look, placement, Motion(0.7, 0.1 * number - 0.5, 0.3))
        digest.update(canvas.image().tobytes())
    for number, family in enumerate(objects.CLASSES):
        canvas = Canvas(48, 48)
        objects.draw(canvas, family, np.random.default_rng(number), Placement(0.5, 0.5, 0.8, 0.02 * number))
        digest.update(canvas.image().tobytes())
    return digest.hexdigest()


def covered_area(points, height=20, width=30) -> float:
    return sum(alpha.sum() for _, _, alpha in raster.coverages([np.asarray(points, float)], height, width))


def shoelace(points) -> float:
    x, y = np.asarray(points).T
    return 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


@given(
    radii=st.lists(st.floats(0.05, 9.0), min_size=3, max_size=12),
    x=st.floats(10, 20),
    y=st.floats(9.5, 10.5),
    turn=st.floats(0, 6.3),
)
@settings(max_examples=80, deadline=None)
def test_coverage_adds_up_to_the_area(radii, x, y, turn):
    angle = turn + np.arange(len(radii)) * (2 * np.pi / len(radii))
    points = np.stack([x + np.multiply(radii, np.cos(angle)), y + np.multiply(radii, np.sin(angle))], axis=1)
    assert covered_area(points) == pytest.approx(shoelace(points), abs=1e-9)


@given(st.tuples(*[st.floats(-50, 60)] * 4))
@settings(max_examples=80, deadline=None)
def test_what_lies_outside_the_frame_is_cut_off(corners):
    x0, y0, x1, y1 = corners
    (left, right), (top, bottom) = np.clip(sorted((x0, x1)), 0, 30), np.clip(sorted((y0, y1)), 0, 20)
    assert covered_area(raster.rectangle(*corners)) == pytest.approx((right - left) * (bottom - top), abs=1e-9)


def test_each_pixel_is_covered_by_its_share():
    (top, left, alpha), empty = raster.coverages([raster.rectangle(1.25, 2, 3.5, 3.5), np.full((3, 2), 4.0)], 8, 8)
    assert (top, left) == (2, 1)
    np.testing.assert_allclose(alpha, [[0.75, 1, 0.5], [0.375, 0.5, 0.25]])
    assert empty[2].size == 0


def test_many_polygons_at_once_are_each_alone():
    polygons = [raster.ellipse(3 + 2 * n, 5, 2.5, 1.5 + n, 0.3 * n) for n in range(5)]
    for together, polygon in zip(raster.coverages(polygons, 12, 12), polygons, strict=True):
        ((top, left, alpha),) = raster.coverages([polygon], 12, 12)
        assert together[:2] == (top, left)
        np.testing.assert_allclose(together[2], alpha, atol=1e-12)


def test_half_opacity_mixes_colours():
    canvas = Canvas(2, 2, (0.0, 0.0, 0.0))
    canvas.fill(raster.rectangle(0, 0, 1, 2), (1.0, 0.4, 0.0), opacity=0.5)
    assert canvas.image()[:, 0].tolist() == [[128, 51, 0]] * 2
    assert not canvas.image()[:, 1].any()


def test_a_copied_canvas_is_independent():
    canvas = Canvas(4, 4, (0.2, 0.2, 0.2))
    canvas.fill(raster.rectangle(0, 0, 2, 2), (1, 1, 1))
    twin = canvas.copy()
    np.testing.assert_array_equal(twin.image(), canvas.image())
    twin.fill(raster.rectangle(0, 0, 4, 4), (0, 0, 0))
    assert not twin.image().any()
    assert canvas.image().any()


def test_shapes_have_their_areas():
    assert shoelace(raster.thick([(0, 0), (3, 0), (7, 0)], 2, cap=0)) == pytest.approx(14)
    assert shoelace(raster.thick([(0, 0), (0, 5)], 2, cap=40)) == pytest.approx(10 + np.pi, rel=1e-3)
    assert shoelace(raster.thick([(0, 0), (4, 0), (4, 4)], 1, cap=0)) == pytest.approx(8)
    assert shoelace(raster.ellipse(1, 2, 3, 2, 0.7, steps=200)) == pytest.approx(6 * np.pi, rel=1e-3)
    assert shoelace(raster.rounded(0, 0, 4, 3, 0.5)) == pytest.approx(12 - (4 - np.pi) / 4, abs=0.05)


PLACEMENTS = [
    Placement(0.5, 0.5, 0.6, 0.2),
    Placement(0.4, 0.55, 0.7, -0.25, True),
    Placement(0.05, 0.9, 0.75, 0.1),
    Placement(0.97, 0.1, 0.7, -0.2, True),
]
SUBJECTS = [(paint_instrument, name) for name in INSTRUMENTS] + [(paint_object, name) for name in objects.CLASSES]


@pytest.mark.parametrize(("paint", "name"), SUBJECTS)
def test_the_box_holds_exactly_what_was_painted(paint, name):
    for placement in PLACEMENTS:
        for height, width in ((96, 96), (70, 120)):
            image, box = paint(name, placement, height=height, width=width)
            rows, columns = np.nonzero((image != (255, 0, 255)).any(axis=2))
            x0, y0, x1, y1 = np.multiply(box, (width, height, width, height))
            found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(np.subtract(found, (x0, y0, x1, y1))).max() < 1
            assert min(box) >= 0 and max(box) <= 1


def test_a_drawing_outside_the_frame_has_an_empty_box():
    image, box = paint_instrument("tuba", Placement(3.0, 0.5, 0.5))
    assert box == (0.0, 0.0, 0.0, 0.0)
    assert (image == (255, 0, 255)).all()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_size_is_the_height_in_the_frame(instrument):
    for identity in range(5):
        _, (x0, y0, x1, y1) = paint_instrument(instrument, Placement(0.5, 0.5, 0.6), identity=identity, width=120)
        assert y1 - y0 == pytest.approx(0.6, abs=0.06)
        assert 0.5 * (y0 + y1) == pytest.approx(0.5, abs=0.04)
        assert 0.5 * (x0 + x1) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("paint", "name"), SUBJECTS)
def test_a_mirrored_placement_mirrors_the_picture(paint, name):
    image, (x0, y0, x1, y1) = paint(name, Placement(0.4, 0.5, 0.6, 0.15))
    mirrored, box = paint(name, Placement(0.6, 0.5, 0.6, 0.15, mirrored=True))
    assert np.abs(image.astype(int) - mirrored[:, ::-1]).max() <= 1
    assert box == pytest.approx((1 - x1, y0, 1 - x0, y1))


def test_pictures_are_the_committed_bytes():
    assert hash_of_all_pictures() == PICTURES


def test_pictures_do_not_depend_on_the_processor():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    environment = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in __cpu_dispatch__ if __cpu_features__.get(name)),
    }
    if platform.machine() in ("x86_64", "AMD64"):
        environment["OPENBLAS_CORETYPE"] = "Nehalem"
    script = f"import runpy; print(runpy.run_path({str(Path(__file__))!r})['hash_of_all_pictures']())"
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == hash_of_all_pictures()


def test_backgrounds_cover_the_frame_and_differ():
    pictures = []
    for identity in (0, 1, 2):
        canvas = Canvas(64, 100, (1.0, 0.0, 1.0))
        backgrounds.paint(canvas, identity)
        pictures.append(canvas.image())
        assert not (pictures[-1] == (255, 0, 255)).all(axis=2).any()
    assert all((pictures[a] != pictures[b]).mean() > 0.5 for a, b in ((0, 1), (0, 2), (1, 2)))


NOTES = [Note(0.1, 0.5, 60, 0.8), Note(0.7, 0.4, 64, 0.6), Note(1.0, 0.6, 67, 0.9), Note(2.0, 0.3, 60, 0.5)]


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_playing_moves_and_resting_does_not(instrument):
    def frame(notes, time):
        return paint_instrument(instrument, Placement(0.5, 0.5, 0.7), players.motion_at(notes, time))[0]

    moments = [frame(NOTES, time) for time in (0.15, 0.5, 0.75, 1.4)]
    for earlier, later in zip(moments, moments[1:], strict=False):
        assert (earlier != later).any(axis=2).sum() > 20
    np.testing.assert_array_equal(frame([], 0.15), frame([], 1.4))
    np.testing.assert_array_equal(frame([], 0.0), paint_instrument(instrument, Placement(0.5, 0.5, 0.7), RESTING)[0])


def test_motion_stays_in_range_and_never_jumps():
    times = np.arange(-0.2, 3.0, 0.001)
    moves = [players.motion_at(NOTES, time) for time in times]
    activity, stroke, pitch = np.array([(move.activity, move.stroke, move.pitch) for move in moves]).T
    assert activity.min() >= 0 and activity.max() <= 1
    assert stroke.min() >= -1 and stroke.max() <= 1
    assert pitch.min() >= 0 and pitch.max() <= 1
    assert np.abs(np.diff(stroke)).max() < 2.1 * 0.001 / 0.3
    # Alternate notes travel in opposite directions.
    travels = [np.interp(note.start + 0.2, times, stroke) - np.interp(note.start, times, stroke) for note in NOTES]
    assert np.sign(travels).tolist() == [-1, 1, -1, 1]


def test_activity_decays_and_pitch_follows_the_notes():
    loud, later = players.motion_at(NOTES, 0.13), players.motion_at(NOTES, 0.55)
    assert loud.activity > 1.3 * later.activity > 0
    assert players.motion_at(NOTES, 10.0).activity < 1e-6
    assert players.motion_at(NOTES, 0.4).pitch == 0
    assert players.motion_at(NOTES, 1.3).pitch == 1
    assert players.motion_at(NOTES[:1], 0.3).pitch == 0.5
    chord = [Note(0.0, 1.0, 60, 1.0), Note(0.02, 1.0, 64, 1.0)]
    assert players.motion_at(chord, 0.5).stroke == pytest.approx(players.motion_at(chord[:1], 0.5).stroke)


def hue(colour) -> float:
    return colorsys.rgb_to_hsv(*colour)[0]


def test_splits_share_no_colour_family():
    bodies = {split: [] for split in SPLITS}
    for split, digits in SPLITS.items():
        for identity in range(400):
            if identity % 10 in digits:
                look = players.look(INSTRUMENTS[identity // 10 % 11], identity)
                for colour in (look.clothing, look.accent, look.trousers, look.seat):
                    assert int(10 * hue(colour)) == identity % 10
                bodies[split].append(hue(look.body))
    for other in ("validation", "test"):
        for value in bodies[other]:
            nearest = np.abs((np.array(bodies["train"]) - value + 0.5) % 1 - 0.5).min()
            assert nearest > 1e-4


def test_an_individual_is_always_the_same_and_individuals_differ():
    assert players.look("violin", 12) == players.look("violin", 12)
    assert len({players.look("violin", identity) for identity in range(20)}) == 20
    assert players.look("violin", 12) != players.look("cello", 12)


def imported_modules(module) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in names if name.startswith("sopedu")}


def test_objects_use_no_instrument_drawing():
    assert all(name.startswith("sopedu.toyband.raster") for name in imported_modules(objects))
    assert not imported_modules(raster)
    assert not set(objects.CLASSES) & set(INSTRUMENTS)
    assert 16 <= len(objects.CLASSES) == len(set(objects.CLASSES)) <= 24


def test_unknown_names_are_refused():
    canvas, placement = Canvas(16, 16), Placement(0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="unknown instrument 'kazoo'"):
        players.look("kazoo", 1)
    with pytest.raises(ValueError, match="unknown instrument 'kazoo'"):
        players.draw(canvas, "kazoo", players.look("flute", 1), placement, RESTING)
    with pytest.raises(ValueError, match="unknown family of objects 'violin'"):
        objects.draw(canvas, "violin", np.random.default_rng(0), placement)
