"""The size of what a model sees, and the function that resizes pictures to it."""

from __future__ import annotations

import ast
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sopedu
from sopedu.video.probing import VideoInfo
from sopedu.video.resizing import frame_size, resize_frames, size_in_proportion

PACKAGE = Path(sopedu.__file__).parent


@pytest.mark.parametrize(
    "width, height, aspect, size",
    [
        (1280, 720, Fraction(1), (64, 114)),
        (360, 640, Fraction(1), (114, 64)),
        (720, 576, Fraction(16, 15), (64, 85)),  # PAL: 768 × 576 as it is shown
        (720, 576, Fraction(64, 45), (64, 114)),  # anamorphic: 1024 × 576
        (4096, 16, Fraction(1), (64, 256)),  # squeezed to four times its height
    ],
)
def test_the_model_sees_a_picture_in_the_proportions_in_which_it_is_shown(width, height, aspect, size):
    info = VideoInfo(Path("x"), width, height, 25, None, 1, None, 0, True, True, 0, aspect)
    assert frame_size(info, 64) == size


def test_the_longest_shape_can_be_set():
    assert size_in_proportion(4096, 64, 16, longest_shape=16) == (256, 16)
    assert size_in_proportion(1, 3, 2, longest_shape=16) == (2, 6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pictures_are_resized_as_pillow_does_it(interpolation):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    frames = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    resized = resize_frames(frames, (16, 24), interpolation)
    assert resized.dtype == torch.uint8 and resized.shape == (2, 3, 16, 24)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    expected = np.stack([Image.fromarray(one).resize((24, 16), filters[interpolation]) for one in pictures])
    assert np.abs(resized.permute(0, 2, 3, 1).numpy().astype(int) - expected).max() <= 1
    assert resize_frames(frames, (40, 60), interpolation) is frames


def test_no_other_module_resizes_with_antialiasing_but_the_detector_to_its_own_sizes():
    """A second resizer would show a model other pictures than it was trained on."""
    resizing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "antialias"
    }
    assert resizing == {"video/resizing.py", "objects/toyband_detector.py"}


def test_scaling_before_the_colours_are_converted_differs_no_more_than_a_jpeg_does(tmp_path):
    """Shapes with sharp coloured edges, the worst case for colours at half the resolution."""
    import io

    from PIL import Image

    from sopedu.toyband.scenes import solo
    from sopedu.video.reading import frames_at, jpegs_at
    from sopedu.video.writing import write_video

    pictures = solo(3, "train", "trumpet", size=320, times=(0.5, 1.0), samples=16384).frames
    film, times, size = tmp_path / "film.mp4", (0.0, 0.5), (256, 256)
    write_video(film, pictures, 2.0)
    plain = next(frames_at(film, times, size))
    encoded = io.BytesIO()
    Image.fromarray(plain).save(encoded, "JPEG", quality=92)
    stored, quick = (
        np.asarray(Image.open(jpeg)) for jpeg in (encoded, io.BytesIO(next(jpegs_at(film, times, size, 92))))
    )
    assert quick.shape == plain.shape == (256, 256, 3)
    quick, stored = (np.abs(picture.astype(float) - plain).mean() for picture in (quick, stored))
    assert 0 < quick < 1.5 * stored
