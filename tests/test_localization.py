"""Localization: left stays left and up stays up, and the map is what a sum over single pixels gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.geometry import box_of_cell, cells_of_box, check_box, inside
from sopedu.localization import PixelSounds
from sopedu.maps import loudest_regions, peak
from sopedu.masks import apply_mask
from sopedu.model import SoundOfPixels, normalise_frames
from sopedu.spectrogram import log_magnitude, stft

VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
spectrogram.samples=8191"""
SPANS = st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted)
NO_BOXES = "0.5,0,0.5,1 0.6,0,0.5,1 0,0.6,1,0.5 -0.1,0,1,1 0,0,1,1.01 0,0,nan,1 0,0,inf,1 0,0,1"
WHOLE = (0.0, 0.0, 1.0, 1.0)


def landscape(frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (frames, 3, 64, 96), generator=generator, dtype=torch.uint8)


def pixel_sounds(*values: str, frames: int = 1) -> PixelSounds:
    """A landscape clip of noise before an untrained model whose eyes are sharpened, so that cells differ."""
    torch.manual_seed(0)
    model = SoundOfPixels(with_values(preset("tiny"), [*VALUES.split(), *values])).eval()
    with torch.no_grad():
        model.frame_net.head.weight.mul_(20)
        model.synthesizer.scale.mul_(5)
    return PixelSounds(model, 0.1 * torch.randn(8191), landscape(frames))


@torch.inference_mode()
def masks_of(pixels: PixelSounds, seen: torch.Tensor) -> torch.Tensor:
    """Masks (n, Q, T) for visual vectors (n, K), straight from the model's parts."""
    model = pixels.model
    heard = model.components(log_magnitude(pixels.magnitude, pixels.sound)[None, None])[0]
    logits = torch.einsum("nk,k,kqt->nqt", seen, model.synthesizer.scale, heard) + model.synthesizer.bias
    return torch.sigmoid(logits)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 3), st.data())
def test_the_box_of_a_cell_holds_it_and_its_neighbours_in_reach(height, width, reach, data):
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = check_box(box_of_cell(row, column, height, width, reach))
    rows, columns = cells_of_box(box, height, width)
    assert (rows.start, rows.stop) == (max(0, row - reach), min(height, row + reach + 1))
    assert (columns.start, columns.stop) == (max(0, column - reach), min(width, column + reach + 1))


@settings(deadline=None)
@given(SPANS, SPANS, st.integers(1, 20), st.integers(1, 20))
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


@pytest.mark.parametrize("text", NO_BOXES.split())
def test_what_is_no_box_is_refused_in_one_line(text):
    with pytest.raises(SopeduError, match="write x0,y0,x1,y1 as fractions") as caught:
        check_box(tuple(float(value) for value in text.split(",")))
    assert "\n" not in str(caught.value)


def test_the_peak_is_named_as_x_and_y():
    sound_map = np.zeros((4, 8))
    sound_map[0, 6] = 1  # top right
    assert peak(sound_map) == (6.5 / 8, 0.5 / 4)
    assert inside(peak(sound_map), (0.75, 0, 1, 0.25))
    assert not inside(peak(sound_map), (0, 0.75, 0.25, 1))


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


@pytest.mark.parametrize("kind", ["energy", "mean"])
@torch.inference_mode()
def test_the_sound_map_is_what_single_pixels_say(kind):
    pixels = pixel_sounds(frames=2)
    found = pixels.sound_map(kind)
    assert found.shape == (2, *pixels.grid) == (2, 8, 12)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.std() > 0.01  # else the comparison could not see axes exchanged
    seen = pixels.model.visual_cells(normalise_frames(landscape(2))[None])[0]  # (S, h, w, K)
    power = pixels.magnitude.square()
    for frame, row, column in np.ndindex(found.shape):
        mask = masks_of(pixels, seen[frame, row, column][None])[0]
        expected = (mask.square() * power).sum() / power.sum() if kind == "energy" else mask.mean()
        assert found[frame, row, column] == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("pooling", ["max", "mean"])
@torch.inference_mode()
def test_the_whole_picture_sounds_as_in_training(pooling):
    pixels = pixel_sounds(f"model.pooling={pooling}", frames=2)
    seen = pixels.model.visual(normalise_frames(landscape(2))[None])
    torch.testing.assert_close(pixels.mask(WHOLE), masks_of(pixels, seen)[0], atol=1e-4, rtol=0)


@torch.inference_mode()
def test_a_region_of_one_cell_sounds_like_its_cell():
    pixels = pixel_sounds()
    seen = pixels.model.visual_cells(normalise_frames(landscape(1))[None])[0, 0]
    for row, column in ((0, 11), (7, 0), (2, 5)):
        mask = pixels.mask(box_of_cell(row, column, 8, 12))
        torch.testing.assert_close(mask, masks_of(pixels, seen[row, column][None])[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("target", ["ratio", "binary"])
def test_what_a_region_plays_is_its_mask_on_the_mixture(target):
    waveform, box = 0.1 * torch.randn(8191, generator=torch.Generator().manual_seed(2)), (0.5, 0.0, 1.0, 0.4)
    pixels = PixelSounds(pixel_sounds(f"loss.target={target}").model, waveform, landscape(1))
    mask, mixture = pixels.mask(box), stft(waveform, pixels.sound)
    expected = apply_mask(mask, mixture, pixels.sound, binary=target == "binary")
    torch.testing.assert_close(pixels.separate(box), expected)
    torch.testing.assert_close(pixels.mixture(), waveform[: pixels.sound.counted_samples], atol=1e-5, rtol=0)
