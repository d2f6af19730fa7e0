"""A video in a notebook: it holds the file's bytes, and a saved notebook has pictures of the wanted moments."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from sopedu.errors import SopeduError
from sopedu.lessons.video_player import VideoPlayer
from sopedu.video.writing import write_video


@pytest.fixture
def path(tmp_path):
    """Two seconds: the first is red, the second blue."""
    pictures = np.zeros((8, 48, 96, 3), np.uint8)
    pictures[:4, ..., 0] = pictures[4:, ..., 2] = 200
    write_video(tmp_path / "two.mp4", pictures, 4, np.zeros(22050, np.float32), 11025)
    return tmp_path / "two.mp4"


def test_it_plays_after_its_file_is_gone_and_a_saved_notebook_shows_its_moments(path):
    content = path.read_bytes()
    shown = VideoPlayer(path, moments=(0.5, 1.5), titles=("red", "blue"))
    path.unlink()
    assert shown.value == content and not shown.autoplay and shown.seconds == pytest.approx(2, abs=0.1)
    data, _ = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and data["text/plain"].startswith("VideoPlayer(2.")
    coded = Image.open(io.BytesIO(b64decode(data["image/png"])))
    picture = np.asarray(coded.convert("RGBA"))[..., :3].astype(int)
    middle = picture[round(0.6 * len(picture))]
    left, right = middle[picture.shape[1] // 4], middle[3 * picture.shape[1] // 4]
    assert left[0] > left[2] + 100 and right[2] > right[0] + 100


def test_bad_input_is_one_line(path, monkeypatch):
    with pytest.raises(SopeduError, match="1 titles for 2 moments"):
        VideoPlayer(path, (0, 1), ("one",))
    monkeypatch.setattr("sopedu.lessons.video_player._LARGEST", 100)
    with pytest.raises(SopeduError, match="too much for a notebook"):
        VideoPlayer(path)
