"""The page of pixels: one file that fetches nothing, is small enough, and plays what PixelSounds says."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.lessons.moving_maps import moving_maps
from sopedu.lessons.pixel_page import export_html, export_stretch
from sopedu.localization.long_clips import LongClip
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import box_of_cell
from sopedu.model.checkpoints import Checkpoint, load_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband import duet

SHIPPED = Path(__file__).parents[2] / "data_samples" / "checkpoints" / "toyband"
VOID = {"meta", "link", "img", "input", "br"}
NAMES = 'Clarinet & <script>alert(1)</script> "duet" ${x}'


class Page(HTMLParser):
    """Parses a page strictly: every tag that is opened is closed, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open, self.seen, self.links, self.texts = [], [], [], {}
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []
        self.data = json.loads(self.texts["data"])

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.seen.append((tag, attrs))
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        if tag not in VOID:
            self.open.append((tag, attrs.get("id", tag)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            name = self.open[-1][1]
            self.texts[name] = self.texts.get(name, "") + data

    def numbers(self, name: str, *shape: int) -> np.ndarray:
        """Bytes of the page as an array."""
        return np.frombuffer(base64.b64decode(self.data[name]), np.uint8).reshape(shape)

    def sound(self, entry: dict) -> np.ndarray:
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(entry["mp3"])), dtype="float64")
        assert rate == self.data["rate"]
        return samples / entry["gain"]


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation over what both have; MP3 may add some samples at the end."""
    assert abs(len(first) - len(second)) <= 1152
    count = min(len(first), len(second))
    first, second = first[:count].astype(float), np.asarray(second[:count], float)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


@pytest.fixture(scope="module")
def stretch() -> LongClip:
    times = np.arange(0, 6, 0.4)
    scene = duet(2, "test", pair=("xylophone", "tuba"), samples=66150, size=(64, 64), times=times)
    return LongClip(load_checkpoint(SHIPPED), scene.waveform().numpy(), scene.frames, times)


@pytest.fixture(scope="module")
def exported(stretch, tmp_path_factory) -> tuple[Path, Page]:
    path = tmp_path_factory.mktemp("page") / "duet.html"
    export_html(path, stretch.checkpoint, stretch.waveform, stretch.pictures, stretch.times, title=NAMES)
    return path, Page(path)


def test_it_is_one_file_that_fetches_nothing_and_names_are_text(exported):
    path, page = exported
    assert os.listdir(path.parent) == [path.name]
    assert path.stat().st_size < 3_000_000
    assert all(link.startswith("data:image/webp;base64,") for link in page.links)
    written = re.sub(r"[\w+/=]{60,}", "", page.source)  # without what is stored in the page
    assert not re.search(r"https?:|//\w|@import|url\(|import\(|fetch|XMLHttp", written)
    policy = next(attrs["content"] for tag, attrs in page.seen if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy and "connect-src" not in policy  # the browser would refuse to fetch
    assert page.texts["h1"] == page.texts["title"] == NAMES
    assert [tag for tag, _ in page.seen].count("script") == 2
    ids = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    labelled = {attrs["for"] for tag, attrs in page.seen if tag == "label" and "for" in attrs}
    controls = {attrs["id"] for tag, attrs in page.seen if attrs.get("type") == "range" or tag == "select"}
    assert controls == labelled


def test_every_cell_plays_what_pixel_sounds_says(exported, stretch):
    page, (rows, columns) = exported[1], stretch.grid
    assert (page.data["rows"], page.data["columns"], len(page.data["cells"])) == (8, 8, 64)
    for row, column in np.ndindex(rows, columns):
        entry = page.data["cells"][row * columns + column]
        expected = stretch.separate(box_of_cell(row, column, rows, columns), "area")
        assert alike(page.sound(entry), expected) > 0.98
        share = np.square(expected).sum() / np.square(stretch.waveform).sum()
        assert entry["share"] == pytest.approx(share, rel=1e-2)
    assert alike(page.sound(page.data["whole"]), stretch.waveform) > 0.98


def test_a_box_is_the_mean_of_its_cells_by_area(exported, stretch):
    page, box = exported[1], (0.1, 0.3, 0.45, 0.8)
    x0, y0, x1, y1 = (8 * edge for edge in box)
    mean, total = 0.0, 0.0
    for row, column in np.ndindex(8, 8):
        weight = max(0, min(x1, column + 1) - max(x0, column)) * max(0, min(y1, row + 1) - max(y0, row))
        if weight:
            mean, total = mean + weight * page.sound(page.data["cells"][8 * row + column]), total + weight
    assert alike(mean / total, stretch.separate(box, "area")) > 0.98


def test_left_is_left_and_pictures_have_the_map_of_their_time(exported, stretch):
    data, (rows, columns) = exported[1].data, stretch.grid
    shares = np.array([cell["share"] for cell in data["cells"]]).reshape(rows, columns)
    left, right = (stretch.separate((x, 0.0, x + 0.5, 1.0)) for x in (0.0, 0.5))
    loudest = [np.argmax(shares[:, half]) for half in (slice(0, 4), slice(4, 8))]
    assert shares[:, :4].max() > 0.02 and shares[:, 4:].max() > 0.02
    for half, (index, own, other) in enumerate(zip(loudest, (left, right), (right, left), strict=True)):
        row, column = np.unravel_index(index, (rows, 4))
        sound = exported[1].sound(data["cells"][row * columns + 4 * half + column])
        assert alike(sound, own) > 0.9 > 0.5 > abs(alike(sound, other))
    assert [moment["time"] for moment in data["moments"]] == pytest.approx(stretch.times)
    maps, coded = stretch.maps(), exported[1].numbers("maps", 15, rows, columns)
    assert coded / 255 * max(maps.max(), 0.1) == pytest.approx(maps, abs=0.01)


def test_pictures_and_maps_follow_the_sound_with_its_sources(stretch, tmp_path):
    boxes = {"left": (0.0, 0.0, 0.5, 1.0), "right": (0.5, 0.0, 1.0, 1.0)}
    page = Page(export_stretch(tmp_path / "a.html", stretch, boxes=boxes))
    moving, (rows, columns) = moving_maps(stretch, list(boxes.values())), stretch.grid
    decibels = page.data["quietest"] * (1 - page.numbers("loudness", 15, rows, columns) / 255)
    expected = (10 * np.log10(np.maximum(moving.loudness, 1e-12))).clip(-30, 0)
    np.testing.assert_allclose(decibels, expected, atol=0.06)
    loud = moving.loudness[:, None] > 1e-3
    parts = np.where(loud, moving.by_source / np.maximum(moving.loudness, 1e-12)[:, None], 0)
    np.testing.assert_allclose(np.where(loud, page.numbers("who", 15, 2, rows, columns) / 255, 0), parts, atol=0.002)
    assert [source["name"] for source in page.data["boxes"]] == ["left", "right"]
    assert page.numbers("levels", 15, 2).max() > 200


def test_pictures_are_at_most_twelve_per_second_and_leave_room_for_the_sounds(tmp_path):
    checkpoint = untrained("spectrogram.samples=8191")
    pictures = np.random.default_rng(0).integers(0, 256, (60, 64, 96, 3), dtype=np.uint8)
    fast = LongClip(checkpoint, chord(2), pictures, np.arange(60) / 30)
    data = Page(export_stretch(tmp_path / "a.html", fast)).data
    times = np.array([moment["time"] for moment in data["moments"]])
    assert 8 <= len(times) / 2 <= 12 and np.diff(times).max() < 1 / 8
    small = Page(export_stretch(tmp_path / "b.html", fast, largest=250_000)).data
    room = sum(len(moment["picture"]) for moment in small["moments"])
    assert len(small["moments"]) < len(times) and room < 0.3 * 250_000 + 30 * len(small["moments"])


def untrained(*values: str) -> Checkpoint:
    torch.manual_seed(0)
    small = "model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4"
    return Checkpoint(SoundOfPixels(with_values(preset("tiny"), [*small.split(), *values])).eval(), ("a & b",))


def chord(seconds: float) -> np.ndarray:
    """Tones, which MP3 keeps; the waveform of noise it does not."""
    time = np.arange(round(11025 * seconds)) / 11025
    return sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (200, 330, 470, 800, 1500, 2600)).astype(np.float32)


def noise(seconds: float) -> np.ndarray:
    return 0.3 * np.random.default_rng(0).standard_normal(round(11025 * seconds)).clip(-3, 3).astype(np.float32)


def test_fourteen_by_fourteen_cells_of_six_seconds_of_noise_stay_below_eight_megabytes(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    values = ("spectrogram.samples=65535", "frames.size=112", "frames.resize=122")
    export_html(tmp_path / "a.html", untrained(*values), noise(6), pictures, (0, 2, 4))
    data = Page(tmp_path / "a.html").data
    assert (tmp_path / "a.html").stat().st_size <= 8_000_000
    assert (data["map_rows"], data["map_columns"]) == (14, 14)
    assert 8 <= data["rows"] == data["columns"] <= 14


@pytest.mark.parametrize("target", ["ratio", "binary"])
def test_a_page_too_small_has_coarser_cells_and_says_so(tmp_path, target):
    path = tmp_path / "a.html"
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    checkpoint = untrained("spectrogram.samples=8191", f"loss.target={target}")
    export_html(path, checkpoint, chord(1), picture, [0], largest=300_000)
    page = Page(path)
    rows, columns = page.data["rows"], page.data["columns"]
    assert path.stat().st_size <= 300_000
    assert 2 <= rows < 8 and columns == round(12 * rows / 8)
    assert f"{rows} × {columns} cells, coarser than the model’s feature map of 8 × 12" in page.source
    stretch = LongClip(checkpoint, chord(1), picture, [0])
    for row, column in ((0, columns - 1), (rows - 1, 0)):
        expected = stretch.separate(box_of_cell(row, column, rows, columns), "area")
        assert alike(page.sound(page.data["cells"][row * columns + column]), expected) > 0.98


def test_silence_makes_a_page_too(tmp_path):
    still = np.zeros((1, 64, 64, 3), np.uint8)
    checkpoint = untrained("spectrogram.samples=8191")
    export_html(tmp_path / "a.html", checkpoint, np.zeros(9000, np.float32), still, [0])
    data = Page(tmp_path / "a.html").data
    assert {cell["share"] for cell in data["cells"]} == {0}
    assert max(base64.b64decode(data["maps"])) == 0 == max(base64.b64decode(data["loudness"]))


STILL = np.zeros((2, 64, 64, 3), np.uint8)
BAD = {
    "no sound": ({"waveform": np.zeros(0, np.float32)}, "a waveform has the shape"),
    "NaN in the sound": ({"waveform": np.full(9000, np.nan, np.float32)}, "not numbers"),
    "float pictures": ({"pictures": STILL.astype(float)}, r"the pictures are float64 \(2, 64, 64, 3\)"),
    "no pictures": ({"pictures": STILL[:0], "times": []}, "one picture at least"),
    "a time too few": ({"times": [0]}, "2 pictures at times of shape"),
    "times going back": ({"times": [0.5, 0.2]}, "ascending"),
    "a time that is none": ({"times": [0, np.nan]}, "ascending"),
    "pictures longer than the sound": ({"times": [0, 7]}, "cut both to the same stretch"),
    "a page too small": ({"largest": 64_000}, "even with 2 × 2 cells: export a shorter stretch"),
    "no such folder": ({"path": "nowhere/a.html"}, "does not exist; make it first"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, case):
    values, message = BAD[case]
    good = {"path": "a.html", "waveform": noise(0.8), "pictures": STILL, "times": [0, 0.5]}
    good |= values
    with pytest.raises(SopeduError, match=message) as caught:
        export_html(tmp_path / good.pop("path"), untrained("spectrogram.samples=8191"), **good)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_stretch_of_one_clip_is_that_clip():
    checkpoint = untrained("spectrogram.samples=8191")
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    waveform = np.pad(noise(0.7), (0, 8191 - len(noise(0.7))))
    stretch = LongClip(checkpoint, waveform[:7680], picture, [0])
    clip = PixelSounds(
        checkpoint.model,
        torch.from_numpy(np.pad(waveform[:7680], (0, 511))),
        torch.from_numpy(picture).permute(0, 3, 1, 2),
    )
    place = (0.1, 0.2, 0.5, 0.9)
    assert len(stretch.clips) == 1
    np.testing.assert_allclose(stretch.separate(place), clip.separate(place)[:7680], atol=1e-6)
    np.testing.assert_allclose(stretch.maps(), clip.sound_map(), atol=1e-6)


def test_pictures_are_those_shown_at_the_time():
    checkpoint = untrained("spectrogram.samples=8191")
    stretch = LongClip(checkpoint, noise(2), np.zeros((3, 64, 64, 3), np.uint8), [0.25, 0.75, 1.5])
    assert [stretch.picture_at(time) for time in (0, 0.25, 0.7, 0.75, 1.49, 1.5, 9)] == [0, 0, 0, 1, 1, 2, 2]
    assert stretch.maps().shape == (3, 8, 8)
    loud = stretch.heard(lambda clip: torch.ones_like(clip.magnitude))
    np.testing.assert_allclose(loud, stretch.waveform, atol=1e-4)
