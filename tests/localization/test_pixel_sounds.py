"""Localization: the map is what a sum over single pixels gives, and a place is heard through the cells it covers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sopedu.audio.masks import apply_mask
from sopedu.audio.spectrogram import log_magnitude, stft
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import WHOLE, box_of_cell, cell_weights, cells_of_box, centre_crop, into_view, letterbox
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames

VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
spectrogram.samples=8191"""
BOX = (0.55, 0.1, 0.95, 0.7)  # neither its sides nor its middle lie on borders of cells


def landscape(frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (frames, 3, 64, 96), generator=generator, dtype=torch.uint8)


def noises() -> torch.Tensor:
    """A loud noise, then a soft one: all frequencies are heard, and it is not steady, so that the map is not dark."""
    return torch.randn(8191) * torch.where(torch.arange(8191) < 4000, 0.2, 0.002)


def pixel_sounds(*values: str, frames: int = 1) -> PixelSounds:
    """A landscape clip of two noises before an untrained model whose eyes are sharpened, so that cells differ."""
    torch.manual_seed(0)
    model = SoundOfPixels(with_values(preset("tiny"), [*VALUES.split(), *values])).eval().requires_grad_(False)
    with torch.no_grad():
        model.frame_net.head.weight.mul_(20)
        model.synthesizer.scale.mul_(5)
    return PixelSounds(model, noises(), landscape(frames))


@torch.inference_mode()
def masks_of(pixels: PixelSounds, seen: torch.Tensor) -> torch.Tensor:
    """Masks (n, Q, T) for visual vectors (n, K), straight from the model's parts."""
    model = pixels.model
    heard = model.components(log_magnitude(pixels.magnitude, pixels.sound)[None, None])[0]
    logits = torch.einsum("nk,k,kqt->nqt", seen, model.synthesizer.scale, heard) + model.synthesizer.bias
    return torch.sigmoid(logits)


@pytest.mark.parametrize("kind", MAP_KINDS)
@torch.inference_mode()
def test_the_sound_map_is_what_single_pixels_say(kind):
    pixels = pixel_sounds(frames=2)
    found = pixels.sound_map(kind)
    assert found.shape == (2, *pixels.grid) == (2, 8, 12)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.std() > 0.01  # else the comparison could not see axes exchanged
    seen = pixels.model.visual_cells(normalise_frames(landscape(2))[None])[0]  # (S, h, w, K)
    power, loud = pixels.magnitude.square(), torch.log1p(pixels.magnitude)
    for frame, row, column in np.ndindex(found.shape):
        mask = masks_of(pixels, seen[frame, row, column][None])[0]
        expected = {"energy": (mask.square() * power).sum() / power.sum(), "mean": mask.mean()}
        expected = expected.get(kind, (mask * loud).sum() / loud.sum())
        assert found[frame, row, column] == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_steady_noise_lights_the_map_only_if_it_is_asked_to(kind):
    model, generator = pixel_sounds().model, torch.Generator().manual_seed(3)
    pixels = PixelSounds(model, 0.1 * torch.randn(8191, generator=generator), landscape(1))
    lit = pixels.sound_map(kind, noise=True)
    assert lit.max() > 0.1
    np.testing.assert_array_equal(pixels.sound_map(kind), lit if kind == "mean" else 0 * lit)
    music = pixel_sounds()
    np.testing.assert_array_equal(music.sound_map(kind), music.sound_map(kind, noise=True))


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


@torch.inference_mode()
def all_masks(pixels: PixelSounds, frame: int = 0) -> torch.Tensor:
    """Masks (h, w, Q, T) of every cell of a frame."""
    return torch.stack(list(pixels.rows_of_masks(frame)))


@pytest.mark.parametrize("point", [(0.31, 0.77), (0.77, 0.31), (0.0, 0.0), (1.0, 0.02), (0.5, 0.5)])
@pytest.mark.parametrize("pooling", [None, "features", "energy", "area"])
def test_a_point_is_interpolated_between_the_masks_of_four_cells(point, pooling):
    pixels = pixel_sounds()
    where = 2 * torch.tensor([[[point]]]) - 1
    expected = torch.nn.functional.grid_sample(
        all_masks(pixels).permute(2, 3, 0, 1).flatten(0, 1)[None], where, "bilinear", "border", align_corners=False
    )
    torch.testing.assert_close(pixels.mask(point, pooling).flatten(), expected[0, :, 0, 0], atol=1e-5, rtol=0)


def test_the_area_of_a_box_averages_masks_and_energy_weights_them_by_what_they_let_through():
    pixels = pixel_sounds()
    masks, power = all_masks(pixels), pixels.magnitude.square()
    shares = torch.from_numpy(cell_weights(BOX, *pixels.grid)).float()
    loud = shares * (masks.square() * power).sum((2, 3))
    for pooling, weights in (("area", shares), ("energy", loud)):
        expected = torch.einsum("hw,hwqt->qt", weights / weights.sum(), masks)
        torch.testing.assert_close(pixels.mask(BOX, pooling), expected, atol=1e-5, rtol=0)
    assert (pixels.mask(BOX, "area") - pixels.mask(BOX, "energy")).abs().max() > 1e-4


@pytest.mark.parametrize("pooling", ["energy", "area"])
def test_a_painted_box_sounds_like_the_box_and_only_ratios_of_paint_count(pooling):
    pixels = pixel_sounds()
    weights = cell_weights(BOX, *pixels.grid)
    expected = pixels.mask(BOX, pooling)
    for faint in (1, 1e-3, 1e-60):
        torch.testing.assert_close(pixels.mask(faint * weights, pooling), expected, atol=1e-5, rtol=0)


def test_painted_cells_are_pooled_as_features_whatever_their_weight():
    pixels = pixel_sounds()
    rows, columns = cells_of_box(BOX, *pixels.grid)
    weights = np.zeros(pixels.grid)
    weights[rows, columns] = 0.1
    weights[rows.start, columns.start] = 1
    torch.testing.assert_close(pixels.mask(weights, "features"), pixels.mask(BOX, "features"))


@pytest.mark.parametrize("pooling", ["features", "energy", "area"])
def test_a_frame_is_heard_alone_if_asked_for(pooling):
    pixels, alone = pixel_sounds(frames=2), []
    for frame in (0, 1):
        single = pixel_sounds(frames=2)
        single.features = single.features[:, frame : frame + 1]
        alone.append(single.mask(BOX, pooling))
        torch.testing.assert_close(pixels.mask(BOX, pooling, frame=frame), alone[-1])
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    if pooling == "area":
        torch.testing.assert_close(pixels.mask(BOX, pooling), (alone[0] + alone[1]) / 2)


def test_the_model_says_how_regions_are_pooled_unless_somebody_else_does():
    for pooling in ("features", "energy"):
        pixels = pixel_sounds(f"model.region_pooling={pooling}")
        torch.testing.assert_close(pixels.mask(BOX), pixels.mask(BOX, pooling))


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_what_sounds_in_one_corner_is_heard_in_no_other(corner):
    pixels = pixel_sounds()
    height, width = pixels.grid
    closed = pixels.features[:, 0, 0, 0].clone()
    pixels.features = closed[:, None, None, None].repeat(1, 1, height, width)
    row, column = corner[0] * (height - 1), corner[1] * (width - 1)
    pixels.features[:, 0, row, column] = -closed
    quiet, other = pixels.masks(torch.stack([closed, -closed]))
    for y in (0, 1):
        for x in (0, 1):
            expected = other if (y, x) == corner else quiet
            for place in ((float(x), float(y)), (x * 0.95, y * 0.95, x * 0.95 + 0.05, y * 0.95 + 0.05)):
                torch.testing.assert_close(pixels.mask(place, "area"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cut", [centre_crop, letterbox])
def test_places_of_the_picture_are_found_in_its_view(cut):
    pixels, view = pixel_sounds(), cut(400, 300)
    seen = PixelSounds(pixels.model, 0.1 * torch.ones(8191), landscape(1), view)
    whole = PixelSounds(pixels.model, 0.1 * torch.ones(8191), landscape(1))
    for place in ((0.3, 0.6), BOX):
        torch.testing.assert_close(seen.mask(place, "area"), whole.mask(into_view(place, view), "area"))
        assert (seen.mask(place, "area") - whole.mask(place, "area")).abs().max() > 1e-6
    painted = cell_weights(BOX, *seen.grid)
    torch.testing.assert_close(seen.mask(painted), whole.mask(painted))  # paint is on cells, which the view has


@pytest.mark.parametrize(
    ("place", "arguments", "said"),
    [
        ((-0.1, 0.5), {}, "write x,y as fractions"),
        ((0.5, 1.2), {}, "write x,y as fractions"),
        ((0.5, float("nan")), {}, "write x,y as fractions"),
        ((0.2, 0.2, 0.2, 0.8), {}, "write x0,y0,x1,y1 as fractions"),
        ((0.2, 0.2, 1.3, 0.8), {}, "write x0,y0,x1,y1 as fractions"),
        ((0.2, 0.2, 0.3), {}, "write x0,y0,x1,y1 as fractions"),
        ("all", {}, "pass a point"),
        (np.ones((12, 8)), {}, r"pass an array \(8, 12\)"),
        (np.zeros((8, 12)), {}, "not all 0"),
        (BOX, {"pooling": "max"}, "choose features, energy, area"),
        ((0.5, 0.5), {"pooling": "max"}, "choose features, energy, area"),
        (BOX, {"frame": 1}, "the clip has frames 0 to 0"),
        (BOX, {"frame": -1}, "the clip has frames 0 to 0"),
    ],
)
@pytest.mark.parametrize("view", [WHOLE, letterbox(300, 200)])
def test_what_cannot_be_heard_is_refused_in_one_line(place, arguments, said, view):
    pixels = pixel_sounds()
    pixels.view = view
    with pytest.raises(SopeduError, match=said) as caught:
        pixels.separate(place, **arguments)
    assert "\n" not in str(caught.value)


def test_what_a_crop_cut_off_cannot_be_heard():
    pixels = pixel_sounds()
    pixels.view = centre_crop(400, 300)
    with pytest.raises(SopeduError, match="outside what the model saw"):
        pixels.separate((0.05, 0.5))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mixture": torch.zeros(8190)}, "cut it or add silence"),
        ({"mixture": torch.zeros(2, 8191)}, "cut it or add silence"),
        ({"mixture": torch.full((8191,), torch.nan)}, "holds NaN"),
        ({"mixture": torch.zeros(8191, dtype=torch.int16)}, "holds torch.int16"),
        ({"frames": torch.zeros(1, 3, 64, 96)}, "pass .S, 3, H, W. uint8"),
        ({"frames": landscape(1).permute(0, 2, 3, 1)}, "pass .S, 3, H, W. uint8"),
        ({"frames": landscape(0)}, "one frame at least"),
        ({"view": (0.5, 0.0, 0.5, 1.0)}, "x0 < x1"),
    ],
)
def test_sounds_and_frames_that_do_not_fit_are_refused_in_one_line(changed, said):
    with pytest.raises(SopeduError, match=said) as caught:
        PixelSounds(pixel_sounds().model, **({"mixture": torch.zeros(8191), "frames": landscape(1)} | changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frame", [1.5, "a", [0], 1, -1])
def test_no_frame_of_that_number_is_refused_in_one_line(frame):
    pixels = pixel_sounds()
    for ask in (lambda: pixels.mask((0.5, 0.5), frame=frame), lambda: next(pixels.rows_of_masks(frame))):
        with pytest.raises(SopeduError, match="the clip has frames 0 to 0"):
            ask()


def test_arrays_no_places_and_empty_frames_are_refused_in_one_line():
    pixels, noise = pixel_sounds(), torch.zeros(8191)
    with pytest.raises(SopeduError, match="no places"):
        pixels.separate_all([])
    with pytest.raises(SopeduError, match="mixture came as ndarray: pass a torch tensor"):
        PixelSounds(pixels.model, noise.numpy(), landscape(1))
    with pytest.raises(SopeduError, match="frames came as ndarray: pass a torch tensor"):
        PixelSounds(pixels.model, noise, landscape(1).numpy())
    with pytest.raises(SopeduError, match=r"pass \(S, 3, H, W\) uint8"):
        PixelSounds(pixels.model, noise, landscape(1)[..., :0])
    with pytest.raises(SopeduError, match="view 0,0,1: write x0,y0,x1,y1"):
        PixelSounds(pixels.model, noise, landscape(1), (0, 0, 1))
    half = np.array([0.0, 0.0, 0.5, 1.0])
    assert PixelSounds(pixels.model, noise, landscape(1), half).mask((0.25, 0.5)).isfinite().all()


def test_an_unknown_kind_of_map_is_refused():
    with pytest.raises(SopeduError, match="choose energy, log, mean"):
        pixel_sounds().sound_map("loud")


def test_a_silent_mixture_gives_a_dark_map_and_silence():
    pixels = PixelSounds(pixel_sounds().model, torch.zeros(8191), landscape(1))
    assert not pixels.sound_map().any()
    assert not pixels.separate(BOX).any()


def test_normalised_places_add_up_to_the_mixture():
    pixels = pixel_sounds()
    places = [(0.2, 0.3), BOX, np.eye(*pixels.grid)]
    together = pixels.separate_all(places, normalise=True)
    torch.testing.assert_close(together.sum(0), pixels.mixture(), atol=1e-4, rtol=0)
    torch.testing.assert_close(pixels.separate_all(places)[1], pixels.separate(BOX))


def test_a_model_in_training_mode_answers_as_in_evaluation_and_is_not_changed():
    expected = pixel_sounds()
    model = pixel_sounds().model.train()
    model.frame_net.body.eval()  # a frozen part
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    SoundOfPixels(model.config)  # draws what `pixel_sounds` draws before its noises
    found = PixelSounds(model, noises(), landscape(1))
    np.testing.assert_array_equal(found.sound_map(), expected.sound_map())
    assert torch.equal(found.separate(BOX), expected.separate(BOX))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes and len(set(modes)) == 2
    with pytest.raises(SopeduError):
        PixelSounds(model, torch.zeros(5), landscape(1))
    assert [module.training for module in model.modules()] == modes
