"""VGG-SS: broken boxes are counted, the protocol is the published one, missing clips are no zeros."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sopedu.cli import commands as cli
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.evaluation.map_scores import pixels_of_box
from sopedu.evaluation.vggss import _map_of_clip, _upper_half, evaluate_vggss, read_vggss, score_vggss
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.video.writing import write_video

VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
spectrogram.samples=8191"""
CONFIG = with_values(preset("tiny"), VALUES.split())
FAR = -2.8823037615171176e16  # as in the published file
ENTRIES = [
    {"file": "aaa_000010", "class": "playing cello", "bbox": [[0.0, 0.0, 0.5, 1.0]]},
    {"file": "bbb_000020", "class": "dog barking", "bbox": [[0.5, 0.25, 1.0, 0.5], [0.75, 0.25, FAR, 0.5]]},
    {"file": "ccc_000030", "class": "thunder", "bbox": [[0.2, 1.0, 0.7, 1.0]]},
    {"file": "ddd_000040", "class": "cat purring", "bbox": []},
    {"file": "eee_000050", "class": "train horning", "bbox": [[0.1, 0.1, 0.2, 0.2], [0.4, 0.4, 0.4, 0.4], [0.1, 0.2]]},
    {
        "file": "fff_000060",
        "class": "sea waves",
        "bbox": [[0, 0.5, 1, 1], None, ["a", 0, 1, 1], [0, 0, float("nan"), 1]],
    },
    {"file": "ggg_000070", "class": "hail", "bbox": [[FAR, 0, 10**400, 1]]},
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("annotations") / "vggss.json"
    path.write_text(json.dumps(ENTRIES))
    return path


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(SoundOfPixels(CONFIG).eval(), ("a", "b"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """One clip in the folder, one below it, one silent, one that is no video, one that nobody asks for."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "test").mkdir()
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (12, 64, 96, 3), dtype=np.uint8)
    noise = 0.1 * generator.standard_normal(2 * 11025).astype(np.float32)
    for name, sound in (("aaa_000010", noise), ("test/bbb_000020", noise), ("eee_000050", 0 * noise), ("zzz", noise)):
        write_video(folder / f"{name}.mp4", pictures, 6, sound, 11025)
    (folder / "fff_000060.mp4").write_bytes(b"no video at all")
    return folder


def test_broken_boxes_are_counted_and_left_out(file):
    known = read_vggss(file)
    assert list(known.boxes) == ["aaa_000010", "bbb_000020", "eee_000050", "fff_000060"]
    assert [len(boxes) for boxes in known.boxes.values()] == [1, 1, 1, 1]
    assert known.broken == ("bbb_000020", "ccc_000030", "eee_000050", "fff_000060", "ggg_000070")
    assert known.without_box == ("ccc_000030", "ddd_000040", "ggg_000070")
    assert len(known.notes) == 2 and "5 entries hold broken boxes" in known.notes[0]
    assert known.notes[1].endswith("ccc_000030, ddd_000040, ggg_000070")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("[{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("\udcff".encode("utf-8", "surrogateescape"), "is no JSON"),
        ('{"file": "a", "bbox": []}', "holds no list"),
        ("[]", "none of its 0 entries"),
        ('[{"file": "a", "bbox": [[0, 0, 0, 0]]}]', "none of its 1 entries has a usable box"),
        ('[{"file": "a", "bbox": [[0, 0, 1, 1]]}, 7]', "entry 2: expected"),
        ('[{"file": "a", "bbox": "none"}]', "entry 1: expected"),
        ('[{"file": "a", "bbox": [[0, 0, 1, 1]]}, {"file": "a", "bbox": []}]', "entry 2: expected a file that was not"),
    ],
)
def test_what_is_no_annotation_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "wrong.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SopeduError, match=said) as refused:
        read_vggss(path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400
    with pytest.raises(SopeduError, match="no such file"):
        read_vggss(tmp_path / "nowhere.json")


def published(values: np.ndarray, boxes: list) -> float:
    """The evaluation as published, by other means: bilinear torch, sorted values, boxes in whole pixels."""
    fine = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], (224, 224), mode="bilinear")[
        0, 0
    ].numpy()
    predicted = fine > np.sort(fine.flatten())[224 * 224 // 2]
    truth = np.zeros((224, 224))
    for x0, y0, x1, y1 in (np.array(boxes) * 224).astype(int):
        truth[y0:y1, x0:x1] = 1
    return (predicted * truth).sum() / (truth.sum() + (predicted * (truth == 0)).sum())


def test_scores_are_those_of_the_published_evaluation(tmp_path):
    generator = np.random.default_rng(3)
    entries, maps = [], {}
    for number in range(40):
        corners = np.sort(generator.integers(0, 8, (2, 2, 2)), axis=1) / 8  # multiples of 28 pixels
        boxes = [[*low, *(high + 0.125)] for low, high in corners]
        entries.append({"file": f"clip{number}", "bbox": boxes})
        maps[f"clip{number}"] = generator.random((7, 14)) + pixels_of_box(tuple(boxes[0]), 14)[::2]
    (tmp_path / "vggss.json").write_text(json.dumps(entries))
    found = score_vggss(maps, read_vggss(tmp_path / "vggss.json"))
    overlaps = np.array([published(maps[entry["file"]], entry["bbox"]) for entry in entries])
    assert found["iou"] == pytest.approx(overlaps.mean(), abs=1e-4)
    assert found["ciou_50"] == pytest.approx(np.mean(overlaps >= 0.5), abs=1e-4)
    rates = [np.mean(overlaps >= 0.05 * step) for step in range(21)]
    assert found["auc"] == pytest.approx(np.trapezoid(rates, dx=0.05), abs=1e-4)
    assert found["clips"] == 40


def test_a_map_on_the_right_half_and_guesses_that_need_no_ears(file):
    known = read_vggss(file)
    left = np.tile(np.linspace(1, 0, 14), (14, 1))
    found = score_vggss({"aaa_000010": left, "nobody": left}, known)
    assert found["iou"] == pytest.approx(1, abs=0.01) and found["ciou_50"] == 1
    assert (found["clips"], found["missing"], found["broken"], found["without_box"]) == (1, 3, 5, 3)
    assert found["table"]["whole_frame"]["iou"] == 0.5
    assert found["table"]["centre_box"]["iou"] == pytest.approx(0.125 / 0.625)
    # What lies left must not be found at the top.
    assert score_vggss({"aaa_000010": left.T}, known)["iou"] == pytest.approx(1 / 3, abs=0.01)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_map_of_one_value_predicts_nothing(file):
    for value in (0.0, 0.3, -2.0):
        assert not _upper_half(np.full((8, 8), value)).any()
    few = np.zeros((8, 8))
    few[0, 0] = 1  # less than half of the pixels are above the median: they are all there is
    assert 0 < _upper_half(few).mean() < 0.1
    assert _upper_half(np.random.default_rng(0).random((8, 8))).mean() == pytest.approx(0.5, abs=1e-3)


def test_maps_that_cannot_be_scored_are_refused(file):
    known = read_vggss(file)
    with pytest.raises(SopeduError, match="none of 1 maps"):
        score_vggss({"other": np.eye(3)}, known)
    for values in (np.full((3, 3), np.nan), np.zeros(4), np.zeros((0, 3))):
        with pytest.raises(SopeduError, match="aaa_000010 has shape"):
            score_vggss({"aaa_000010": values}, known)


def test_clips_that_are_not_there_are_missing_not_zero(checkpoint, file, clips):
    found = evaluate_vggss(checkpoint, file, clips, progress=False)
    assert (found["clips"], found["missing"], found["unusable"], found["device"]) == (2, 2, 2, "cpu")
    assert "silent" in found["notes"][-1] and "fff_000060" in found["notes"][-1]
    maps = {name: _map_of_clip(checkpoint, next(clips.rglob(f"{name}.mp4"))) for name in ("aaa_000010", "bbb_000020")}
    assert maps["aaa_000010"].shape == (8, 12)  # the whole picture, in its proportions
    assert found["table"] == score_vggss(maps, read_vggss(file))["table"]


def test_folders_without_clips_are_refused(checkpoint, file, clips, tmp_path):
    with pytest.raises(SopeduError, match=r"none of the 4 clips is there, such as aaa_000010\.mp4"):
        evaluate_vggss(checkpoint, file, tmp_path, progress=False)
    with pytest.raises(SopeduError, match="is no folder"):
        evaluate_vggss(checkpoint, file, tmp_path / "nowhere", progress=False)
    with pytest.raises(SopeduError, match="unknown sound map"):
        evaluate_vggss(checkpoint, file, clips, "loud", progress=False)
    (tmp_path / "aaa_000010.mp4").write_bytes(b"no video")
    with pytest.raises(SopeduError, match="none of 1 clips can be used; the first"):
        evaluate_vggss(checkpoint, file, tmp_path, progress=False)


def test_the_command_judges_clips_and_says_what_is_missing(checkpoint, file, clips, tmp_path, capsys):
    save_checkpoint(tmp_path / "model", checkpoint)
    given = ["evaluate", str(tmp_path / "model"), "--vggss", str(file)]
    cli.app([*given, "--data", str(clips), "--json", str(tmp_path / "figures.json")], standalone_mode=False)
    said = capsys.readouterr().out
    assert "a box in the middle" in said and "2 clips are missing" in said and "5 entries hold broken" in said
    assert json.loads((tmp_path / "figures.json").read_text())["clips"] == 2
    for more in ([], ["--data", str(clips), "--localization"], ["--data", str(clips), "--sounds", str(clips)]):
        with pytest.raises(SopeduError, match="--vggss needs --data FOLDER"):
            cli.app([*given, *more], standalone_mode=False)
