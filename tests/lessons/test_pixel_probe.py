"""PixelProbe without a browser: its answers are the model's, errors are told, and a saved notebook shows a picture."""

from __future__ import annotations

import io
import wave
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image

from sopedu.audio.soundfiles import from_int16
from sopedu.errors import SopeduError
from sopedu.lessons.pixel_probe import PixelProbe
from sopedu.lessons.place_answers import answer_of, percent
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import box_of_cell
from sopedu.model.checkpoints import load_checkpoint
from sopedu.toyband import duet, scene
from sopedu.video.writing import write_video

SHIPPED = "data_samples/checkpoints/toyband"


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(SHIPPED)


@pytest.fixture(scope="module")
def two_playing():
    return duet(3, "test", samples=33075, size=(120, 160), times=np.arange(0, 3, 0.5))


@pytest.fixture
def probe(checkpoint, two_playing) -> PixelProbe:
    return PixelProbe.from_scene(checkpoint, two_playing)


def asks(probe: PixelProbe, **question) -> dict:
    """What the browser sends, and what it is told."""
    probe._handle_custom_msg({"request": 7, **question}, [])
    return probe._said


def test_one_clip_answers_as_the_model_does(checkpoint):
    samples, size = checkpoint.config.spectrogram.samples, checkpoint.config.frames.size
    one = scene(2, 5, "test", samples=samples, size=size, times=(samples / 11025 / 2,))
    probe = PixelProbe.from_scene(checkpoint, one)
    waveform = one.waveform()
    waveform[checkpoint.config.spectrogram.counted_samples :] = 0
    pixels = PixelSounds(checkpoint.model, waveform, torch.from_numpy(one.frames).permute(0, 3, 1, 2))
    for place in [(0.3, 0.6), (0.1, 0.2, 0.6, 0.9), np.eye(8)]:
        answer, expected = probe.listen(place), pixels.separate(place).numpy()
        assert answer.waveform.shape == expected.shape
        np.testing.assert_allclose(answer.waveform, expected, atol=1e-6)
        np.testing.assert_allclose(answer.mask, pixels.mask(place).numpy(), atol=1e-6)
        assert answer.share == pytest.approx(float((expected**2).sum() / (waveform**2).sum()), rel=1e-4)
    np.testing.assert_allclose(probe.maps[0], pixels.sound_map()[0], atol=1e-6)


def test_two_players_are_heard_each_at_their_place(probe, two_playing):
    stems = two_playing.stem_waveforms().numpy()
    for number, name in enumerate(probe.boxes):
        answer = probe.listen(probe.boxes[name])
        likeness = [np.corrcoef(answer.waveform, stem)[0, 1] for stem in stems]
        assert np.argmax(likeness) == number and answer.name == name == two_playing.labels[number]
        assert answer.text.startswith(f"{name}: {percent(answer.share)} of the mixture's energy (−")


def test_maps_of_a_moment_follow_the_sound(checkpoint):
    """One plays; its sound is cut off half way: then nobody has a share, and where it plays its share is the clip's."""
    one = scene(1, 4, "test", samples=44100, size=64, times=np.arange(0, 4, 0.5))
    mixture = one.waveform().numpy()
    mixture[22050:] = 0
    probe = PixelProbe(checkpoint, mixture, one.frames, one.times)
    for maps in (probe.maps_now, probe.moving.loudness):
        loudest = maps.reshape(8, -1).max(1)
        assert loudest[6:].max() < 0.05 < loudest[:4].max() and 0 <= maps.min() <= maps.max() <= 1
    assert probe.maps_now[:4].reshape(4, -1).max(1).min() > 0.3
    assert probe.moving.by_source.shape == (8, 0, 8, 8) and probe.moving.levels.shape == (8, 0)


def test_each_source_has_a_part_of_each_cell_and_sounds_when_it_plays(checkpoint):
    """The first player is heard in the first half only, the second in the other."""
    both = duet(3, "test", pair=("xylophone", "tuba"), samples=44100, size=96, times=np.arange(0, 4, 0.25))
    stems = both.stem_waveforms().numpy().copy()
    stems[0, 22050:], stems[1, :22050] = 0, 0
    boxes = [tuple(box) for box in both.boxes.mean(1).clip(0, 1).tolist()]
    moving = PixelProbe(checkpoint, stems.sum(0), both.frames, both.times, boxes).moving
    early, late = slice(0, 6), slice(10, 16)
    assert moving.levels[early, 0].mean() > 3 * moving.levels[early, 1].mean()
    assert moving.levels[late, 1].mean() > 3 * moving.levels[late, 0].mean()
    assert (moving.by_source >= 0).all()
    assert (moving.by_source.sum(1) <= moving.loudness * (1 + 1e-4) + 1e-9).all()
    energy = moving.by_source.sum((2, 3))
    assert energy[early, 0].sum() > 3 * energy[early, 1].sum() and energy[late, 1].sum() > 3 * energy[late, 0].sum()


def test_sources_move_with_their_order_and_the_loudness_does_not(checkpoint, two_playing):
    boxes = [tuple(box) for box in two_playing.boxes.mean(1).clip(0, 1).tolist()]
    arguments = checkpoint, two_playing.waveform().numpy(), two_playing.frames, two_playing.times
    first, turned = (PixelProbe(*arguments, order).moving for order in (boxes, boxes[::-1]))
    np.testing.assert_allclose(first.by_source, turned.by_source[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(first.levels, turned.levels[:, ::-1], atol=1e-6)
    np.testing.assert_allclose(first.loudness, turned.loudness, atol=1e-6)


def test_what_the_browser_gets_is_compact_and_says_the_same(probe):
    sent, cells = probe._scene, 88
    for name, values in {"maps": 1, "loudness": 1, "who": 2}.items():
        assert len(sent[name]) == 6 * values * cells
    assert len(sent["levels"]) == 12 and len(sent["spectrogram"]) == 256 * 65
    shares = (np.frombuffer(sent["maps"], np.uint8) / 255) ** 2
    np.testing.assert_allclose(shares, probe.maps.ravel(), atol=0.004)
    decibels = sent["quietest"] * (1 - np.frombuffer(sent["loudness"], np.uint8) / 255)
    expected = 10 * np.log10(np.maximum(probe.moving.loudness.ravel(), 1e-12))
    np.testing.assert_allclose(decibels, expected.clip(-30, 0), atol=0.06)
    for coded, shown in zip(sent["pictures"], probe.stretch.pictures, strict=True):
        picture = Image.open(io.BytesIO(coded))
        assert picture.format == "JPEG" and np.abs(np.asarray(picture).astype(int) - shown).mean() < 12


def test_the_browser_asks_and_python_answers(probe):
    said = asks(probe, kind="listen", place=[0.23, 0.44])
    assert said["text"] == probe.answer.text and not said["alert"] and said["request"] == 7
    assert probe.answer.name == "point 0.23, 0.44" and probe._shown["request"] == 7
    asks(probe, kind="listen", cells=[13, 14])
    rows, columns = np.nonzero(probe.answer.place)
    assert probe.answer.name == "2 painted cells" and (rows.tolist(), columns.tolist()) == ([1, 1], [2, 3])
    with wave.open(io.BytesIO(probe._shown["sound"])) as file:
        assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (11025, 33075, 2)
        played = from_int16(np.frombuffer(file.readframes(33075), "<i2"))
    np.testing.assert_allclose(played, probe.answer.waveform, atol=1e-4)
    assert len(probe._shown["spectrogram"]) == len(probe._shown["mask"]) == probe.answer.mask.size


@pytest.mark.parametrize("place", [[0.2, 0.2, 0.2, 0.9], [0, 0, 2, 1], [float("nan"), 0.5], [0.5]])
def test_no_place_is_said_in_the_status_and_raised_in_python(probe, place):
    before = probe.listen((0.5, 0.5))
    said = asks(probe, kind="listen", place=place)
    assert said["alert"] and "\n" not in said["text"] and probe.answer is before
    with pytest.raises(SopeduError, match="fractions of width and height"):
        probe.listen(tuple(place))


def test_any_error_is_shown(probe, monkeypatch):
    assert "nothing is kept" in asks(probe, kind="keep")["text"]
    assert "unknown" in asks(probe, kind="dance")["text"]
    assert "painted cells float64 (8, 11)" in asks(probe, kind="listen", cells=[])["text"]
    monkeypatch.setattr(probe.stretch, "heard", lambda _: 1 / 0)
    said = asks(probe, kind="listen", place=[0.5, 0.5])
    assert said["alert"] and said["text"].startswith("ZeroDivisionError")


def test_kept_regions_are_mixed_as_their_sliders_say(probe):
    with pytest.raises(SopeduError, match="nothing to mix"):
        probe.remix()
    answers = []
    for box in probe.boxes.values():
        answers.append(probe.listen(box))
        assert "kept as region" in asks(probe, kind="keep")["text"]
    probe.volumes = [0.5]
    with pytest.raises(SopeduError, match="1 volumes for 2 kept regions"):
        probe.remix()
    probe.volumes = [0.5, 0.0]
    np.testing.assert_allclose(probe.remix(), 0.5 * answers[0].waveform, atol=1e-7)
    asks(probe, kind="drop", number=0)
    assert probe.kept == answers[1:] and probe.volumes == [0.0] and len(probe._shelf) == 1
    with pytest.raises(SopeduError, match="region 3"):
        probe.drop(3)
    for _ in range(5):
        probe.keep()
    with pytest.raises(SopeduError, match="no more fit"):
        probe.keep()


def test_moments_are_those_that_there_are(probe):
    probe.moment = 5
    for missing in (-1, 6):
        with pytest.raises(SopeduError, match="pictures 0 to 5"):
            probe.moment = missing
    assert probe.moment == 5


def test_a_saved_notebook_shows_a_picture(probe):
    for place in [None, (0.3, 0.6), (0.1, 0.2, 0.5, 0.9), np.ones((8, 11))]:
        if place is not None:
            probe.listen(place)
        figure = probe.static_figure()
        titles = [axes.get_title() for axes in figure.axes]
        assert ("heard: the mixture" if place is None else f"heard: {probe.answer.name}") in titles
    data, _ = probe._repr_mimebundle_()
    assert data["text/plain"] == "PixelProbe(3.00 s, 6 pictures, 8 × 11 cells)"
    assert data["image/png"].startswith("iVBOR") and len(data["image/png"]) < 120_000
    assert "application/vnd.jupyter.widget-view+json" in data


def test_plain_buttons_give_the_same_answers(checkpoint, two_playing, probe):
    plain = PixelProbe.from_scene(checkpoint, two_playing, front_end="gridbox")
    grid, whole, slider, status, sounds, picture = plain._grid.children
    button = grid.children[3 * 11 + 2]
    assert button.tooltip == f"row 4, column 3, {percent(plain.maps[0, 3, 2])}"
    before = bytes(picture.value)
    button.click()
    expected = probe.listen(((2 + 0.5) / 11, (3 + 0.5) / 8))
    np.testing.assert_array_equal(plain.answer.waveform, expected.waveform)
    assert expected.text in unescape(status.value)
    assert sounds.value.count("<audio") == 2 and bytes(picture.value) != before
    whole.click()
    assert plain.answer.name == "the whole picture"
    slider.value = 4
    assert plain.moment == 4 and button.tooltip == f"row 4, column 3, {percent(plain.maps[4, 3, 2])}"
    data, _ = plain._repr_mimebundle_()
    shown = data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert shown == plain._grid.model_id and "image/png" in data


def test_a_video_is_probed_in_its_proportions(checkpoint, two_playing, tmp_path):
    path = tmp_path / "duet.mp4"
    write_video(path, two_playing.frames, 2, two_playing.waveform().numpy(), 11025)
    probe = PixelProbe.from_video(checkpoint, path, start=0.5, seconds=2)
    assert probe.stretch.pictures.shape == (4, 120, 160, 3) and probe.stretch.grid == (8, 11)
    assert probe.stretch.seconds == pytest.approx(2, abs=0.01)
    assert np.abs(probe.stretch.pictures[0].astype(int) - two_playing.frames[1]).mean() < 12
    write_video(path, two_playing.frames, 2)
    with pytest.raises(SopeduError, match="has no sound"):
        PixelProbe.from_video(checkpoint, path)


def test_what_does_not_fit_is_refused(checkpoint, two_playing):
    wave_3s, pictures = two_playing.waveform().numpy(), two_playing.frames
    with pytest.raises(SopeduError, match="the last picture begins at 0.50 s, but the sound lasts 3.00 s"):
        PixelProbe(checkpoint, wave_3s, pictures[:2], (0, 0.5))
    with pytest.raises(SopeduError, match="cut both"):
        PixelProbe(checkpoint, wave_3s[:11025], pictures, two_playing.times)
    with pytest.raises(SopeduError, match="one picture at least"):
        PixelProbe(checkpoint, wave_3s, pictures[:0], ())
    with pytest.raises(SopeduError, match="box 0.5,0,0.2,1"):
        PixelProbe(checkpoint, wave_3s, pictures, two_playing.times, boxes=[(0.5, 0, 0.2, 1)])
    with pytest.raises(SopeduError, match="anywidget or gridbox"):
        PixelProbe(checkpoint, wave_3s, pictures, two_playing.times, front_end="tk")
    # A picture that stands for all of the sound is no mistake.
    assert PixelProbe(checkpoint, wave_3s, pictures[:1], (0.0,)).maps.shape == (1, 8, 11)


def test_a_cell_alone_is_the_point_in_its_middle(probe):
    row, column = np.unravel_index(probe.maps[0].argmax(), (8, 11))
    painted = np.zeros((8, 11))
    painted[row, column] = 1
    x0, y0, x1, y1 = box_of_cell(int(row), int(column), 8, 11)
    point = answer_of(probe.stretch, ((x0 + x1) / 2, (y0 + y1) / 2), pooling="area")
    cell = answer_of(probe.stretch, painted, pooling="area")
    np.testing.assert_allclose(point.mask, cell.mask, atol=1e-5)


def test_silence_has_a_share_of_nothing(checkpoint):
    probe = PixelProbe(checkpoint, np.zeros(16384, np.float32), np.zeros((1, 64, 64, 3), np.uint8), (0.0,))
    assert probe.listen((0.5, 0.5)).text == "point 0.50, 0.50: 0 % of the mixture's energy (silent)"
    assert np.isfinite(probe.maps_now).all()
