"""From objects to their sounds: regions move with what a detector finds, and the tour shows each with its own sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.objects.detection import Detections
from sopedu.objects.tracks import Track
from sopedu.separation.films import highlight, with_caption
from sopedu.separation.regions import Region, regions_asked_for, regions_of_objects
from sopedu.separation.video import separate_video
from sopedu.video.probing import probe
from sopedu.video.reading import iterate_frames, read_sound
from sopedu.video.writing import write_video

RATE, FRAME_RATE, SECONDS = 11025, 10, 6
CLAP = 2.5  # seconds at which a flash and a click come together
HEIGHT, WIDTH = 96, 160
VALUES = "model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4"


def place_of_square(time: float) -> tuple[float, float, float, float]:
    """A bright square that walks from left to right in the lower half."""
    left = 0.05 + 0.1 * time
    return left, 0.5, left + 0.2, 0.9


def picture_at(time: float) -> np.ndarray:
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    x0, y0, x1, y1 = place_of_square(time)
    picture[round(y0 * HEIGHT) : round(y1 * HEIGHT), round(x0 * WIDTH) : round(x1 * WIDTH)] = (200, 120, 40)
    picture[:20] = 255 if abs(time - CLAP) < 1e-6 else 60
    return picture


def find_square(frames: np.ndarray) -> list[Detections]:
    """A detector: what is red there."""
    found = []
    for frame in frames:
        red = (frame[..., 0].astype(int) - frame[..., 2] > 80) & (np.arange(len(frame))[:, None] > len(frame) / 3)
        rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        if not len(rows):
            found.append(Detections(np.zeros((0, 4)), (), np.zeros(0)))
            continue
        edges = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], float)
        height, width = frame.shape[:2]
        found.append(Detections(edges / [width, height, width, height], ("tuba",), np.array([0.9])))
    return found


def find_nothing(frames: np.ndarray) -> list[Detections]:
    return [Detections(np.zeros((0, 4)), (), np.zeros(0)) for _ in frames]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    times = np.arange(SECONDS * FRAME_RATE) / FRAME_RATE
    sound = 0.01 * np.random.default_rng(0).normal(size=SECONDS * RATE)
    sound[round(CLAP * RATE)] = 0.9
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, [picture_at(round(float(time), 3)) for time in times], FRAME_RATE, sound, RATE)
    return path


def checkpoint_of(bias: float) -> Checkpoint:
    torch.manual_seed(0)
    model = SoundOfPixels(with_values(preset("tiny"), VALUES.split())).eval()
    with torch.no_grad():
        model.frame_net.head.weight.mul_(20)
        model.synthesizer.bias.fill_(bias)
    return Checkpoint(model, ("tuba", "violin"), {"data": "toyband", "steps": 5})


@pytest.fixture(scope="module")
def separated(film, tmp_path_factory) -> Path:
    """The film separated by a model that lets nearly everything through, so that a click is heard in every section."""
    out = tmp_path_factory.mktemp("objects") / "out"
    separate_video(film, checkpoint_of(8.0), out, detector=find_square, progress=False)
    return out


def test_an_object_gets_its_sound_its_video_a_tour_and_a_place_on_the_page(separated):
    result = json.loads((separated / "result.json").read_text())
    names = "mixture.wav sound_map.mp4 tour.mp4 tuba.mp4 tuba.wav report.html result.json"
    assert {path.name for path in separated.iterdir()} == set(names.split())
    [tuba] = result["sounds"]
    assert (tuba["label"], tuba["chosen"]) == ("tuba", "object") and tuba["score"] == pytest.approx(0.9)
    for time, *box in tuba["track"]:
        assert box == pytest.approx(place_of_square(round(time, 1)), abs=0.03)
    assert "tour.mp4" in (separated / "report.html").read_text()


def test_the_highlight_moves_with_the_object(separated):
    for time, picture in iterate_frames(separated / "tuba.mp4"):
        x0, y0, x1, y1 = place_of_square(time)
        inside = picture[round(0.62 * HEIGHT) : round(0.78 * HEIGHT), round((x0 + 0.08) * WIDTH) :][:, :8]
        assert np.abs(inside.mean((0, 1)) - (200, 120, 40)).max() < 25, time
        assert abs(picture[30:40].mean() - 30) < 8  # above the object: half as bright


def test_the_tour_shows_everything_in_turn_in_step_with_its_sound(separated):
    sections = json.loads((separated / "result.json").read_text())["tour"]
    assert [section["name"] for section in sections] == ["all together", "tuba"]
    bright = {time: picture[2:16, :40].mean() for time, picture in iterate_frames(separated / "tour.mp4")}
    heard = np.abs(read_sound(separated / "tour.mp4", 44100))
    assert probe(separated / "tour.mp4").duration == pytest.approx(2 * SECONDS, abs=0.2)
    for section in sections:
        span = section["at"], section["at"] + section["seconds"]
        flash = max((time for time in bright if span[0] <= time < span[1]), key=bright.get)
        start = round(span[0] * 44100)
        click = (start + int(heard[start : round(span[1] * 44100)].argmax())) / 44100
        assert flash - section["at"] == pytest.approx(CLAP, abs=0.5 / FRAME_RATE)
        assert abs(click - flash) < 1 / FRAME_RATE


def test_a_long_video_gets_a_tour_of_its_loudest_stretch(film, tmp_path, monkeypatch):
    monkeypatch.setattr("sopedu.separation.films._TOUR_WHOLE_SECONDS", 1.0)
    monkeypatch.setattr("sopedu.separation.films._TOUR_SECONDS", 2.0)
    result = separate_video(film, checkpoint_of(8.0), tmp_path / "out", detector=find_square, progress=False)
    for number, section in enumerate(result["tour"]):
        assert section["from"] <= CLAP < section["from"] + section["seconds"]
        assert (section["seconds"], section["at"]) == (2.0, 2.0 * number)
    assert probe(tmp_path / "out" / "tour.mp4").duration == pytest.approx(4, abs=0.2)


def test_an_object_that_stands_still_sounds_like_its_box(film, tmp_path):
    box = (0.1, 0.4, 0.5, 0.9)
    still = {"time": 0.0, "label": "thing", "box": box}
    (tmp_path / "boxes.json").write_text(json.dumps([still, still | {"time": 5.5}]))
    for name, how in (("a", {"boxes": {"thing": box}}), ("b", {"detector": str(tmp_path / "boxes.json")})):
        separate_video(film, checkpoint_of(0.0), tmp_path / name, progress=False, **how)
    first, second = (soundfile.read(tmp_path / name / "thing.wav")[0] for name in "ab")
    assert np.abs(first).max() > 0.01
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_an_object_is_silent_where_it_is_not_seen(film, tmp_path):
    early = [{"time": time, "label": "thing", "box": [0.1, 0.4, 0.5, 0.9]} for time in (0.0, 0.5)]
    (tmp_path / "boxes.json").write_text(json.dumps(early))
    separate_video(film, checkpoint_of(8.0), tmp_path / "out", detector=str(tmp_path / "boxes.json"), progress=False)
    heard = soundfile.read(tmp_path / "out" / "thing.wav")[0]
    assert np.abs(heard[: RATE // 2]).max() > 0.01 and np.abs(heard[round(3.6 * RATE) :]).max() == 0


def test_where_nothing_is_found_that_is_said_and_the_map_is_written(film, tmp_path):
    result = separate_video(film, checkpoint_of(0.0), tmp_path / "out", detector=find_nothing, progress=False)
    assert any("found no object" in note for note in result["notes"])
    assert [sound["chosen"] for sound in result["sounds"]] == ["loudest", "loudest"]
    assert (tmp_path / "out" / "sound_map.mp4").exists() and (tmp_path / "out" / "tour.mp4").exists()


def test_what_a_region_cannot_be_pooled_by_is_refused(film, tmp_path):
    with pytest.raises(SopeduError, match="unknown pooling 'most': choose features, energy, area"):
        separate_video(film, checkpoint_of(0.0), tmp_path / "out", pooling="most", progress=False)
    assert not (tmp_path / "out").exists()


def test_names_of_objects_are_names_of_files_and_differ_from_other_results():
    def track(label: str, score: float = 0.5) -> Track:
        return Track(label, np.array([0.0, 1.0]), np.array([[0.1, 0.1, 0.4, 0.4]] * 2), score)

    names = [
        region.name for region in regions_of_objects([track("mixture"), track("../a b"), track("tuba"), track("tuba")])
    ]
    assert len(set(names)) == 4 and "mixture" not in names
    assert not any(set(name) & set("/\\. ") for name in names)
    many = regions_of_objects([track(f"thing{number}", number / 100) for number in range(30)])
    assert [region.name for region in many] == [f"thing{number}" for number in range(14, 30)]


def test_no_two_results_get_one_name():
    labels = ["mixture", "Mixture-object", "Tour", "cell_row1_column1", "object-cell_row1_column1", "CON"]
    track = [Track(label, np.array([0.0]), np.array([[0.1, 0.1, 0.4, 0.4]]), 0.5) for label in labels]
    names = [region.name.casefold() for region in regions_of_objects(track)]
    assert len(set(names)) == len(labels)
    assert not {"mixture", "tour", "con"} & set(names) and not any(name.startswith("cell_row") for name in names)


@pytest.mark.parametrize("name", ["Mixture", "REPORT", "cell_row4_column3", "nul", 1])
def test_a_box_is_not_called_like_another_result(name):
    with pytest.raises(SopeduError, match="call it by letters"):
        regions_asked_for({name: (0, 0, 1, 1)})


@pytest.mark.parametrize("boxes", [None, (0, 0, 1, 1), ["0,0,1,1"], {"a": None}])
def test_boxes_that_are_none_are_told(boxes):
    with pytest.raises(SopeduError, match="box"):
        regions_asked_for(boxes)


def box_file(folder: Path, *entries: tuple[float, str]) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps([{"time": time, "label": name, "box": [0.1, 0.5, 0.4, 0.9]} for time, name in entries]))
    return path


def test_boxes_beside_the_time_of_the_part_are_told(film, tmp_path):
    path = box_file(tmp_path, (50, "tuba"), (60, "tuba"))
    with pytest.raises(SopeduError, match=r"there from 50\.00 to 60\.00 s, but this part goes from 0\.00 to 6\.0"):
        separate_video(film, checkpoint_of(0.0), tmp_path / "out", detector=path, progress=False)
    assert not (tmp_path / "out").exists()


def test_what_is_left_out_of_the_objects_is_told(film, tmp_path):
    path = box_file(tmp_path, (50, "late"), (60, "late"), (0, "tuba"), (0, "violin"), (0, "cello"))
    boxes = {"Tuba": (0, 0, 1, 1)} | {f"box{number}": (0, 0, 1, 1) for number in range(14)}
    result = separate_video(
        film, checkpoint_of(0.0), tmp_path / "out", boxes, detector=path, end=1.0, progress=False
    )  # fmt: skip
    assert len(result["sounds"]) == 16 and [one["chosen"] for one in result["sounds"]].count("object") == 1
    for said in (
        "1 of 4 objects are not there",
        "1 of 4 objects have the name of a box",
        "1 of 4 objects are too many",
    ):
        assert any(said in note for note in result["notes"]), said


def test_a_tour_is_held_to_the_end_where_pictures_end_before_the_sound(tmp_path):
    sound = 0.1 * np.random.default_rng(0).normal(size=4 * RATE)
    write_video(tmp_path / "short.mp4", [picture_at(0.0)] * 5, FRAME_RATE, sound, RATE)
    out = tmp_path / "out"
    separate_video(tmp_path / "short.mp4", checkpoint_of(0.0), out, detector=find_square, progress=False)
    *_, (last, _) = iterate_frames(out / "tour.mp4")
    assert last == pytest.approx(8 - 1 / FRAME_RATE, abs=0.15)


def test_an_object_is_where_its_track_is_and_nowhere_else():
    track = Track("tuba", np.array([2.0, 4.0]), np.array([[0.0, 0.0, 0.2, 0.2], [0.4, 0.0, 0.6, 0.2]]), 0.5)
    region = Region("tuba", (0.2, 0.0, 0.4, 0.2), "object", track=track)
    assert region.box_at(3.0) == pytest.approx((0.2, 0.0, 0.4, 0.2))
    assert region.box_at(1.2) == pytest.approx((0.0, 0.0, 0.2, 0.2))
    assert region.box_at(0.9) is None and region.box_at(5.1) is None
    once = Track("tuba", np.array([2.0]), np.array([[0.0, 0.0, 0.2, 0.2]]), 0.5)
    assert Region("tuba", (0.0, 0.0, 0.2, 0.2), "object", track=once).box_at(100.0) == (0.0, 0.0, 0.2, 0.2)


def test_a_highlight_keeps_the_box_and_halves_the_rest():
    frame = np.full((60, 100, 3), 200, np.uint8)
    shown = highlight(frame, (0.5, 0.0, 1.0, 0.5))
    assert (shown[8:22, 58:92] == 200).all() and (shown[40:] == 100).all() and (shown[:, :40] == 100).all()
    assert (highlight(frame, None) == 100).all() and (frame == 200).all()


@pytest.mark.parametrize("size", [(16, 24), (240, 320), (720, 1280)])
def test_a_caption_is_white_on_black_and_stays_in_the_picture(size):
    frame = np.full((*size, 3), 90, np.uint8)
    shown = with_caption(frame, "violin", (0.98, 0.98))
    changed = np.argwhere((shown != 90).any(-1))
    assert shown.shape == frame.shape and shown.max() > 200 and shown.min() < 10
    assert len(changed) and (changed[:, 0].min() > size[0] / 4 or size[0] < 50)


def test_the_page_says_when_objects_that_come_and_go_add_up(film, tmp_path):
    separate_video(film, checkpoint_of(0.0), tmp_path / "out", detector=find_square, normalise=True, progress=False)
    heard = [soundfile.read(tmp_path / "out" / f"{name}.wav")[0] for name in ("tuba", "mixture")]
    np.testing.assert_allclose(*heard, atol=2e-3)  # one object, there all the time: it is the whole sound
    assert "at every moment at which one of them is there" in (tmp_path / "out" / "report.html").read_text()
