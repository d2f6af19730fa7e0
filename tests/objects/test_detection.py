"""Detectors: wrong answers are told, overlaps suppressed, boxes land where they belong in every proportion."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.errors import SopeduError
from sopedu.localization.places import intersection_over_union
from sopedu.objects import pretrained as pretrained_detectors
from sopedu.objects.box_file import BoxFile, read_boxes
from sopedu.objects.detection import Detections, make_detections, suppress_overlaps, validate_detector
from sopedu.objects.pretrained import FasterRCNN, OpenVocabulary
from sopedu.objects.registry import named_detector

WIDE = np.zeros((2, 20, 40, 3), np.uint8)
TALL = np.zeros((1, 60, 30, 3), np.uint8)


def one_line(error: BaseException) -> str:
    assert isinstance(error, SopeduError) and "\n" not in str(error)
    return str(error)


# --- non-maximum suppression ---


def plain_suppression(seen: Detections, overlap: float, across: bool) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-seen.scores, kind="stable").tolist():
        rivals = [k for k in kept if across or seen.labels[k] == seen.labels[i]]
        if not any(intersection_over_union(seen.boxes[[k]], seen.boxes[[i]])[0, 0] > overlap for k in rivals):
            kept.append(i)
    return kept


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 25), overlap=st.sampled_from([0.1, 0.3, 0.5, 0.8]))
def test_suppression_equals_the_definition_written_out(seed, count, overlap):
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 0.6, (count, 2))
    boxes = np.concatenate([low, low + generator.uniform(0.1, 0.4, (count, 2))], 1).astype(np.float32)
    seen = make_detections(
        boxes, generator.choice(["violin", "tuba"], count).tolist(), generator.permutation(count) / 32
    )
    for across in (False, True):
        kept = suppress_overlaps(seen, overlap, across)
        expected = seen.only(plain_suppression(seen, overlap, across))
        assert kept.labels == expected.labels
        np.testing.assert_array_equal(kept.boxes, expected.boxes)
        np.testing.assert_array_equal(kept.scores, expected.scores)


def test_the_same_place_keeps_one_of_each_label_and_one_of_all_across_labels():
    seen = make_detections([[0, 0, 0.5, 0.5]] * 3, ["violin", "erhu", "violin"], [0.5, 0.6, 0.7])
    assert suppress_overlaps(seen).labels == ("violin", "erhu")
    assert suppress_overlaps(seen, across_labels=True).labels == ("violin",)
    assert len(suppress_overlaps(make_detections([], [], []))) == 0


# --- what a detector is given and returns ---


def test_boxes_are_cut_at_the_border_and_nothing_found_is_fine():
    detect = validate_detector(
        lambda frames: [make_detections([[-0.1, 0.2, 0.5, 1.2]], ["tuba"], [0.5]), make_detections([], [], [])]
    )
    first, second = detect(WIDE)
    np.testing.assert_array_equal(first.boxes, [[0, 0.2, 0.5, 1]])
    assert second.boxes.shape == (0, 4) and len(second) == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[]], "has to return a list of 2 Detections"),
        (None, "has to return a list of 2 Detections"),
        ([make_detections([], [], []), "tuba"], "picture 2: returned str"),
        ([Detections(np.zeros((1, 3)), ("tuba",), np.ones(1))] * 2, r"picture 1: boxes \(1, 3\)"),
        ([make_detections([[0, 0, 1, 1]], ["tuba", "flute"], [1])] * 2, "as many labels and scores as boxes"),
        ([make_detections([[0, 0, 1, 1]], ["tuba"], [1, 1])] * 2, "as many labels and scores as boxes"),
        ([make_detections([[0, 0, 1, np.nan]], ["tuba"], [1])] * 2, "is not a number"),
        ([make_detections([[0, 0, 1, 1]], ["tuba"], [np.inf])] * 2, "is not a number"),
        ([make_detections([[0, 0, 1, 1]], [7], [1])] * 2, "labels must be names"),
        ([make_detections([[0, 0, 1, 1]], [" "], [1])] * 2, "labels must be names"),
        ([make_detections([[0, 0, 320, 200]], ["tuba"], [1])] * 2, "box 0,0,320,200: .*not pixels"),
        ([make_detections([[0.5, 0, 0.5, 1]], ["tuba"], [1])] * 2, "x0 < x1"),
        ([make_detections([[1.1, 0, 1.4, 1]], ["tuba"], [1])] * 2, "x0 < x1"),
        ([Detections("ab", ("tuba",), np.ones(1))] * 2, "must be arrays of numbers"),
    ],
)
def test_a_wrong_answer_is_one_line_that_names_the_detector_and_the_picture(answer, said):
    with pytest.raises(SopeduError, match=said) as caught:
        validate_detector(lambda frames: answer, "mine")(WIDE)
    assert one_line(caught.value).startswith("detector mine")


@pytest.mark.parametrize("frames", [WIDE[0], WIDE.astype(float), WIDE[..., :2], np.zeros((1, 0, 5, 3), np.uint8)])
def test_wrong_pictures_are_told_before_the_detector_is_asked(frames):
    def never(frames):
        raise AssertionError("was asked")

    with pytest.raises(SopeduError, match=r"detector never: got .*pass pictures \(S, H, W, 3\) of uint8"):
        validate_detector(never)(frames)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(SopeduError, match="no detector is called 'yolo': choose toyband, faster-rcnn, owlv2") as caught:
        named_detector("yolo")
    one_line(caught.value)


# --- Faster R-CNN ---


class Answering(torch.nn.Module):
    """Answers the same boxes, in pixels of the picture it is given."""

    def __init__(self, boxes, labels, scores):
        super().__init__()
        self.answer = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), "scores": torch.tensor(scores)}

    def forward(self, pictures):
        (picture,) = pictures
        assert picture.dtype == torch.float32 and picture.shape[0] == 3 and picture.max() <= 1
        return [self.answer]


def test_pixels_become_fractions_of_width_and_height_and_unnamed_labels_go():
    net = Answering(
        [[10.0, 5.0, 20.0, 10.0], [0.0, 0.0, 40.0, 20.0], [0.0, 0.0, 9.0, 9.0], [1.0, 1.0, 1.0, 9.0]],
        [1, 2, 1, 1],
        [0.9, 0.8, 0.2, 0.9],
    )
    seen = validate_detector(FasterRCNN(net, ("__background__", "person", "N/A")))(WIDE)
    assert [one.labels for one in seen] == [("person",)] * 2  # "N/A", unsure, and without width go
    np.testing.assert_allclose(seen[0].boxes, [[0.25, 0.25, 0.5, 0.5]])


def small_faster_rcnn(classes: int = 3) -> torch.nn.Module:
    from torchvision.models.detection import FasterRCNN as Net
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 8, 1), torch.nn.ReLU())
    body.out_channels = 8
    anchors, pooled = AnchorGenerator(((8, 16),), ((0.5, 1.0),)), MultiScaleRoIAlign(["0"], 3, 2)
    net = Net(body, classes, min_size=32, max_size=64, rpn_anchor_generator=anchors, box_roi_pool=pooled)
    return net.eval()


def test_a_random_net_of_torchvision_answers_boxes_that_pass_the_check():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 24, 48, 3)).astype(np.uint8)
    seen = validate_detector(FasterRCNN(small_faster_rcnn(), ("__background__", "person", "dog"), least_score=0.0))(
        pictures
    )
    assert all(len(one) and set(one.labels) <= {"person", "dog"} for one in seen)


def test_weights_by_name_are_loaded_as_tensors_only_with_their_categories(monkeypatch):
    from torchvision.models import detection

    asked = {}

    def weights_here(self, **how):
        asked.update(how)
        return small_faster_rcnn(91).state_dict()

    monkeypatch.setattr(detection.FasterRCNN_ResNet50_FPN_V2_Weights, "get_state_dict", weights_here)
    monkeypatch.setattr(
        detection, "fasterrcnn_resnet50_fpn_v2", lambda num_classes, **how: small_faster_rcnn(num_classes)
    )
    detector = FasterRCNN.pretrained()
    assert asked["weights_only"] and asked["check_hash"]
    assert detector.categories[1] == "person" and len(detector.categories) == 91 and not detector.net.training


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_without_a_network_or_with_a_damaged_file_it_says_what_to_do_and_unpickles_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*given, **how):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(SopeduError, match="no network.*connect once.*TORCH_HOME moves.*toyband") as caught:
        named_detector("faster-rcnn")
    one_line(caught.value)
    name = re.search(r"fasterrcnn\S+\.pth", str(caught.value)).group()
    for content in (b"", b"half of it", pickle.dumps(Bomb(tmp_path / "exploded"))):
        (tmp_path / "hub" / "checkpoints" / name).write_bytes(content)
        with pytest.raises(SopeduError, match="cannot be downloaded or read") as caught:
            named_detector("faster-rcnn")
        one_line(caught.value)
    assert not (tmp_path / "exploded").exists()


# --- OWLv2 ---


@pytest.fixture(scope="module")
def owl(tmp_path_factory) -> OpenVocabulary:
    """A tiny random OWLv2 from a configuration, with a tokenizer that spells, saved and loaded as a downloaded one."""
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor
    from transformers.utils import logging

    logging.disable_progress_bar()
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=32)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    config = Owlv2Config(
        text_config={**small, "vocab_size": len(words), "max_position_embeddings": 32, **ids},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("owl")
    net = Owlv2ForObjectDetection(config)
    with torch.no_grad():  # random boxes are a patch wide and lie where their patch does, as at a training's start
        net.box_head.dense2.weight.mul_(0.01)
    net.save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return OpenVocabulary.pretrained(("violin", "acoustic_guitar"), str(folder), least_score=0.0)


@pytest.mark.parametrize("shape", [(20, 40), (60, 30), (32, 32)])
def test_its_boxes_agree_with_those_that_transformers_computes_in_pixels(owl, shape):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    texts = ["a photo of a violin", "a photo of a acoustic guitar"]
    given = owl.processor(text=[texts], images=[picture], return_tensors="pt")
    with torch.inference_mode():
        (expected,) = owl.processor.post_process_grounded_object_detection(
            owl.net(**given), threshold=0.0, target_sizes=[shape]
        )
    boxes = (expected["boxes"].numpy() / np.tile(shape[::-1], 2)).clip(0, 1)
    whole = (boxes[:, 2:] - boxes[:, :2] > 1e-3).all(1)
    names = [owl.words[i] for i in expected["labels"].tolist()]
    expected = suppress_overlaps(make_detections(boxes, names, expected["scores"].numpy()).only(np.flatnonzero(whole)))
    (seen,) = validate_detector(owl)(picture[None])
    assert len(seen) and seen.labels == expected.labels
    np.testing.assert_allclose(seen.boxes, expected.boxes, atol=1e-5)
    np.testing.assert_allclose(seen.scores, expected.scores, atol=1e-6)


@pytest.mark.parametrize("frames", [WIDE[:1], TALL])
def test_the_bars_of_its_square_lie_at_the_right_or_below(owl, frames):
    # What it is shown: a white picture, dark bars. What it answers: a box around what is white, in the square.
    shown = {}

    def answer(pixel_values, **rest):
        bright = (pixel_values[0].mean(0) > 0).numpy()
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 32
        shown["box"] = box
        sides = torch.tensor([[*((box[:2] + box[2:]) / 2), *(box[2:] - box[:2])]])
        return SimpleNamespace(logits=torch.tensor([[[-9.0, 4.0]]]), pred_boxes=sides[None])

    (seen,) = validate_detector(OpenVocabulary(answer, owl.processor, owl.words))(np.full_like(frames, 255))
    assert shown["box"][:2].tolist() == [0, 0] and shown["box"][2:].min() == pytest.approx(0.5, abs=1 / 32)
    assert seen.labels == ("acoustic_guitar",)
    np.testing.assert_allclose(seen.boxes, [[0, 0, 1, 1]], atol=1e-6)


def test_a_text_that_is_too_long_is_told(owl):
    with pytest.raises(SopeduError, match="owlv2: 'contra.*' is more than it reads; write shorter words") as caught:
        OpenVocabulary(owl.net, owl.processor, ("violin", "contrabass" * 4))(WIDE)
    one_line(caught.value)


def test_without_transformers_or_without_a_network_owlv2_says_what_to_do(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "transformers", None)
        with pytest.raises(SopeduError, match=r'pip install "sopedu\[detect\]"') as caught:
            named_detector("owlv2:violin,piano")
        one_line(caught.value)

    def no_network():
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.get_session", no_network)
    assert not pretrained_detectors._hub_reachable("sopedu/no-model-of-this-name")
    with pytest.raises(SopeduError, match="reaches no server.*connect once.*HF_HOME.*toyband") as caught:
        OpenVocabulary.pretrained(("violin",), "sopedu/no-model-of-this-name")
    one_line(caught.value)


def test_a_name_with_words_asks_for_them_and_without_words_for_the_eleven_instruments(monkeypatch):
    asked = []
    monkeypatch.setattr(OpenVocabulary, "pretrained", lambda words: asked.append(list(words)) or (lambda frames: []))
    named_detector("owlv2: violin ,grand piano,")
    named_detector("owlv2")
    assert asked[0] == ["violin", "grand piano"] and len(asked[1]) == 11 and "erhu" in asked[1]


# --- files of boxes ---

ENTRIES = [
    {"time": 2.5, "label": "violin", "box": [0.1, 0.2, 0.4, 0.9], "score": 0.75},
    {"time": 0, "label": "tuba", "box": [0.5, 0, 1, 1]},
    {"time": 2.5, "label": "tuba", "box": [0.55, 0, 1, 1]},
]
TABLE = (
    "label, time, x0,y0,x1,y1,score,who\nviolin,2.5,.1,.2,.4,.9,0.75,a\ntuba,0,.5,0,1,1,,b\ntuba,2.5,.55,0,1,1,1,c\n"
)


def test_json_and_csv_say_the_same_in_the_order_of_time(tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps(ENTRIES), encoding="utf-8")
    (tmp_path / "boxes.CSV").write_text("\ufeff" + TABLE, encoding="utf-8")
    for name in ("boxes.json", "boxes.CSV"):
        boxes = named_detector(str(tmp_path / name))
        assert isinstance(boxes, BoxFile) and boxes.times == (0.0, 2.5)
        assert [one.labels for one in boxes.detections] == [("tuba",), ("violin", "tuba")]
        np.testing.assert_array_equal(boxes.detections[1].boxes, [[0.1, 0.2, 0.4, 0.9], [0.55, 0, 1, 1]])
        assert boxes.detections[1].scores.tolist() == [0.75, 1.0]


def changed(**fields) -> str:
    return json.dumps([ENTRIES[0], {**ENTRIES[1], **fields}])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("b.json", '[{"time": 0,\n "label" "x"}]', "line 2: is no JSON"),
        ("b.json", "[" * 100_000, "is no JSON"),
        ("b.json", '{"time": 0}', "holds dict; write a list"),
        ("b.json", "[]", "holds no boxes"),
        ("b.json", "[3]", "entry 1: is 3"),
        ("b.json", '[{"time": 0, "label": "tuba"}]', "entry 1: lacks box"),
        ("b.json", changed(time="0:10"), "entry 2, time: '0:10' is no time"),
        ("b.json", changed(time=-1), "entry 2, time: -1"),
        ("b.json", changed(time=float("nan")), "entry 2, time: nan"),
        ("b.json", changed(label=""), "entry 2, label: ''"),
        ("b.json", changed(label=None), "entry 2, label: None"),
        ("b.json", changed(box="0,0,1,1"), "entry 2, box: '0,0,1,1' is not"),
        ("b.json", changed(box=[0, 0, 1]), "entry 2, box 0,0,1: write x0,y0,x1,y1"),
        ("b.json", changed(box=[0, 0, True, 1]), "entry 2, box: .*True"),
        ("b.json", changed(box=[0, 0, 640, 480]), "entry 2, box 0,0,640,480: .*fractions"),
        ("b.json", changed(box=[0.6, 0, 0.5, 1]), "entry 2, box 0.6,0,0.5,1"),
        ("b.json", changed(score=2), "entry 2, score: 2"),
        ("b.csv", "a,b\n1,2\n", "line 1: lacks time, label, x0, y0, x1, y1; begin with time,label"),
        ("b.csv", "\n", "line 1: lacks time"),
        ("b.csv", "time,label,x0,y0,x1,y1\n", "holds no boxes"),
        ("b.csv", "time,label,x0,y0,x1,y1\n0,tuba,0,0,1,1\n0,tuba,0,0,one,1\n", "line 3, x1: 'one' is no number"),
        ("b.csv", "time,label,x0,y0,x1,y1\n0,tuba,0,0,1\n", "line 2: has not as many fields as the header, 6"),
        ("b.csv", "time,label,x0,y0,x1,y1\n0,tuba,0,0,1,1,1\n", "line 2: has not as many fields"),
        ("b.csv", "time,label,x0,y0,x1,y1\n\n0,tuba,0,0,9,1\n", "line 3, box 0,0,9,1"),
        ("b.csv", "time,label,x0,y0,x1,y1\nsoon,tuba,0,0,1,1\n", "line 2, time: 'soon' is no number"),
        ("b.csv", "time,label,x0,y0,x1,y1,score\n0,tuba,0,0,1,1,high\n", "line 2, score: 'high' is no number"),
    ],
)
def test_a_malformed_box_file_is_one_line_with_file_place_and_field(tmp_path, name, text, said):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SopeduError, match=said) as caught:
        read_boxes(tmp_path / name)
    assert one_line(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("field", ["time", "score", "box"])
def test_numbers_beyond_all_measure_are_told(tmp_path, digits, field):
    entry = {"time": 0, "label": "violin", "box": [0, 0, 1, 1], "score": 1} | {field: "MUCH"}
    entry["box"] = [0, 0, "MUCH", 1] if field == "box" else entry["box"]
    (tmp_path / "much.json").write_text(json.dumps([entry]).replace('"MUCH"', "1" + "0" * digits))
    with pytest.raises(SopeduError, match=field if digits == 400 else "is no JSON") as caught:
        read_boxes(tmp_path / "much.json")
    assert len(one_line(caught.value)) < 400


def test_a_header_that_is_no_csv_is_told(tmp_path):
    (tmp_path / "long.csv").write_text("v" * 200_000 + "\n")
    with pytest.raises(SopeduError, match="line 1: is no CSV"):
        read_boxes(tmp_path / "long.csv")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": None}, "labels a list"),
        ({"boxes": torch.zeros(1, 4, requires_grad=True)}, "detach"),
        ({"scores": [1.5]}, "scores from 1.5 to 1.5; return 0 to 1"),
        ({"scores": [-50]}, "return 0 to 1"),
    ],
)
def test_labels_tensors_and_scores_that_are_none_are_told(changed, said):
    answer = Detections(**{"boxes": [[0.1, 0.1, 0.5, 0.5]], "labels": ("violin",), "scores": [1.0], **changed})
    with pytest.raises(SopeduError, match=said) as caught:
        validate_detector(lambda frames: [answer] * len(frames), "own")(WIDE)
    assert one_line(caught.value).startswith("detector own, picture 1")


def test_what_is_no_function_is_no_detector():
    with pytest.raises(SopeduError, match="is not a function"):
        validate_detector(5)


def test_a_file_that_is_missing_or_no_text_is_told(tmp_path):
    with pytest.raises(SopeduError, match=r"none\.json: no such file"):
        named_detector(str(tmp_path / "none.json"))
    (tmp_path / "bytes.csv").write_bytes(b"time,label\xff\xfe")
    with pytest.raises(SopeduError, match="is no text in UTF-8"):
        read_boxes(tmp_path / "bytes.csv")
