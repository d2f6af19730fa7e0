"""Localization metrics: an oracle scores what theory says, guesses score their areas, and darkness is dark."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_clips import BAND, CONFIG, untrained

from sopedu.cli import commands as cli
from sopedu.errors import SopeduError
from sopedu.evaluation import localization as localization_metrics
from sopedu.evaluation.localization import evaluate_localization, localization_table
from sopedu.evaluation.map_scores import (
    MAP_SCORES,
    guesses,
    loud_pixels,
    overlap,
    pixels_of_box,
    score_map,
    score_volume,
    success_area,
    summary,
)
from sopedu.localization.maps import peak
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.localization.places import WHOLE, cell_weights, inside, map_on_picture
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.toyband import scene, solo

TOYBAND = Path(__file__).parents[2] / "data_samples" / "checkpoints" / "toyband"
LEFT_TOP = (0.0, 0.0, 0.25, 0.5)  # two columns and four rows of 8 × 8 cells


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(untrained(), BAND)


@pytest.fixture(scope="module")
def figures(checkpoint) -> dict:
    return evaluate_localization(checkpoint, scenes=6, seed=1, duets=3)


def spots(*cells: tuple[int, int]) -> np.ndarray:
    drawn = np.zeros((8, 8))
    for loudness, (row, column) in enumerate(reversed(cells), 1):
        drawn[row, column] = loudness
    return drawn


def test_peak_and_five_loudest_cells_are_found_where_they_are():
    cells = spots((3, 1), (0, 0), (3, 0), (0, 3), (7, 7))  # three inside the box, the loudest first
    hit, five, _, _ = score_map(cells, LEFT_TOP, loud_pixels(cells))
    assert (hit, five) == (1, 0.6)
    # Rows are not columns: transposed, the loudest lies at (1, 3), outside, and of the five only (0, 0) and (3, 0).
    hit, five, _, _ = score_map(cells.T, LEFT_TOP, loud_pixels(cells.T))
    assert (hit, five) == (0, 0.4)


def test_overlaps_are_shares_of_areas():
    box = pixels_of_box(LEFT_TOP)
    assert box.sum() == 16 * 32 and box[0, 0] and box[31, 15] and not box[15, 31] and not box[32].any()
    assert overlap(box, box) == 1 and overlap(box, pixels_of_box((0, 0, 0.25, 1))) == 0.5
    assert overlap(box, ~box) == 0 and overlap(box & False, box & False) == 0
    drawn = np.zeros((64, 64))  # as fine as the picture, so that nothing is interpolated
    drawn[:32, :8] = 1
    assert score_map(drawn, LEFT_TOP, loud_pixels(drawn))[2] == 0.5
    drawn[:32, 8:16] = 0.05  # under a tenth: too quiet to count, but next in the order
    assert score_map(drawn, LEFT_TOP, loud_pixels(drawn)) == (1, 1, 0.5, 1)


def test_the_overlap_at_the_same_area_does_not_ask_how_loudness_is_scaled():
    cells = np.random.default_rng(0).random((8, 8))
    fine = map_on_picture(cells, WHOLE, 64, 64)
    first, squared = (score_map(values, LEFT_TOP, loud_pixels(values)) for values in (fine, fine**4))
    assert first[3] == squared[3] and first[2] != squared[2]


def test_a_dark_map_points_nowhere():
    assert score_map(np.zeros((8, 8)), (0, 0, 1, 1), loud_pixels(np.zeros((8, 8)))) == (0, 0, 0, 0)


def test_of_several_frames_the_loudest_cell_chooses_and_its_own_box_counts():
    volume = np.stack([spots((0, 0)), 2 * spots((7, 7)), spots((0, 0))])
    boxes = np.array([[0, 0, 0.2, 0.2], [0.8, 0.8, 1, 1], [0, 0, 0.2, 0.2]])
    assert score_volume(volume, boxes)[0] == 1 and score_volume(volume, boxes[[1, 0, 2]])[0] == 0


def test_the_area_under_the_rate_is_that_of_the_trapezoids():
    assert success_area([1.0]) == 1 and success_area([0.0]) == pytest.approx(0.025)
    overlaps = np.random.default_rng(1).random(200)
    rates = [(overlaps >= threshold).mean() for threshold in np.linspace(0, 1, 21)]
    assert success_area(overlaps) == pytest.approx(np.trapezoid(rates, dx=0.05))
    assert success_area(overlaps) == pytest.approx(overlaps.mean(), abs=0.01)  # the integral of P(IoU ≥ t) is the mean
    found = summary([(1.0, 0.4, 0.3, 0.5), (0.0, 0.2, 0.5, 0.1)])
    assert list(found) == list(MAP_SCORES)
    assert list(found.values())[:5] == [0.5, 0.3, 0.4, 1.0, 0.5] and found["iou_same_area"] == 0.3


def test_guesses_score_what_their_areas_say():
    generator = np.random.default_rng(2)
    box = (0.3, 0.25, 0.8, 0.75)
    scores = [guesses(box, (8, 8), generator) for _ in range(80)]
    mean = {name: np.mean([score[name] for score in scores], axis=0) for name in scores[0]}
    assert mean["whole_frame"][2] == pytest.approx(0.25, abs=0.02)
    assert mean["whole_frame"][0] == pytest.approx(0.25, abs=0.15)  # a cell at random; 3 standard errors
    assert mean["centre_box"][2] == pytest.approx(0.45 / 0.55, abs=0.05) and mean["centre_box"][0] == 1
    assert mean["random_box"][2] < mean["centre_box"][2]
    assert mean["ideal"][0] == 1 and mean["ideal"][3] > 0.9
    assert scores[0]["centre_box"][2] == scores[1]["centre_box"][2]


def test_every_figure_is_there_and_in_its_range(figures, checkpoint):
    asked = """peak_in_player peak_in_player_unrelated_audio peak_chance top5_in_player iou ciou_30 ciou_50 auc sdr_box
    sdr_centre sdr_other_box sdr_mixture silent_map_level off_screen_leak scenes duets seed protocol"""
    assert set(asked.split()) <= set(figures)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert (figures["scenes"], figures["duets"], figures["seed"]) == (6, 3, 1)
    assert figures["kind"] in figures["protocol"] and "6 held-out scenes" in figures["protocol"]
    assert figures["device"] == "cpu"
    assert set(figures["table"]) == {
        "model", "unrelated_audio", "whole_frame", "centre_box", "random_box", "ideal",
    }  # fmt: skip
    for scores in (*figures["table"].values(), *figures["map_kinds"].values()):
        assert list(scores) == list(MAP_SCORES) and all(0 <= value <= 1 for value in scores.values())
    assert figures["table"]["model"] == {name: figures[name] for name in MAP_SCORES}
    assert figures["table"]["model"] == figures["map_kinds"][MAP_KINDS[0]]
    assert set(figures["peak_by_instrument"]) <= set(BAND)
    assert all(0 <= level <= 1 for level in figures["map_levels"].values())
    assert figures["map_levels"]["silence"] == figures["map_levels"]["hiss"] == 0
    assert figures["map_levels"]["hiss_as_sound"] > 0
    assert figures["sdr_mixture"] == pytest.approx(0, abs=3)
    assert evaluate_localization(checkpoint, scenes=6, seed=1, duets=3) == figures
    text = localization_table(figures)
    assert "a box in the middle" in text and f"{figures['sdr_box']:.2f}" in text


def test_peaks_are_those_counted_by_hand(figures, checkpoint):
    sound, frames = CONFIG.spectrogram, CONFIG.frames
    how = {"samples": sound.samples, "size": frames.size, "times": frames.times(sound.seconds / 2)}
    generator, hits, unrelated, areas = np.random.default_rng([1, 29]), [], [], []
    for index in range(6):
        chosen, player = generator.permutation(3), int(generator.integers(2))
        shown = scene([BAND[i] for i in chosen[:2]], 1_500_000 + index, "validation", playing=[player], **how)
        other = solo(1_500_000 + index, "validation", BAND[chosen[2]], **how)
        x0, y0, x1, y1 = shown.boxes[player].mean(axis=0)
        areas.append((x1 - x0) * (y1 - y0))
        for heard, found in ((shown, hits), (other, unrelated)):
            pixels = PixelSounds(checkpoint.model, heard.waveform(), shown.frames_tensor())
            volume = pixels.sound_map()
            frame = int(volume.max(axis=(1, 2)).argmax())
            found.append(inside(peak(volume[frame]), tuple(shown.boxes[player, frame])))
    assert figures["peak_in_player"] == round(np.mean(hits), 3)
    assert figures["peak_in_player_unrelated_audio"] == round(np.mean(unrelated), 3)
    assert figures["peak_chance"] == round(np.mean(areas), 3)


class Oracle:
    """Hears and sees through everything: lights the boxes of those whose sound it hears, and returns their stems."""

    grid = (8, 8)
    scenes: list = []

    def __init__(self, model, mixture, frames) -> None:
        self.heard, self.count = mixture, model.config.spectrogram.counted_samples
        self.shown = next(shown for shown in reversed(self.scenes) if torch.equal(shown.frames_tensor(), frames))
        self.knows = torch.equal(self.shown.waveform(), mixture)

    def sound_map(self, kind: str, noise: bool = False) -> np.ndarray:
        volume = np.zeros((len(self.shown.frames), *self.grid))
        for who in self.shown.playing if self.knows else ():
            for frame, box in enumerate(self.shown.boxes[who]):
                volume[frame] += cell_weights(tuple(box), *self.grid)
        return volume

    def separate_all(self, places, pooling=None) -> torch.Tensor:
        if not self.knows:
            return torch.zeros(len(places), self.count)
        found = []
        for place in places:
            x, y = place if len(place) == 2 else ((place[0] + place[2]) / 2, (place[1] + place[3]) / 2)
            near = [abs((box[0] + box[2]) / 2 - x) for box in self.shown.boxes.mean(axis=1)]
            found.append(self.shown.stem_waveforms()[int(np.argmin(near))][: self.count])
        return torch.stack(found)

    def mixture(self) -> torch.Tensor:
        return self.heard[: self.count]


def test_who_knows_everything_scores_everything(checkpoint, monkeypatch):
    def recorded(*given, **how):
        Oracle.scenes.append(scene(*given, **how))
        return Oracle.scenes[-1]

    monkeypatch.setattr(Oracle, "scenes", [])
    monkeypatch.setattr(localization_metrics, "scene", recorded)
    monkeypatch.setattr(localization_metrics, "PixelSounds", Oracle)
    found = evaluate_localization(checkpoint, scenes=5, duets=3)
    assert found["peak_in_player"] == found["top5_in_player"] == found["ciou_30"] == 1
    assert found["iou"] == found["table"]["ideal"]["iou"] and found["iou_same_area"] > 0.7
    levels = found["map_levels"]
    assert found["peak_in_player_unrelated_audio"] == found["silent_map_level"] == 0
    assert levels["hiss"] == levels["hiss_as_sound"] == 0
    assert found["off_screen_leak"] == -100
    assert found["sdr_box"] == found["sdr_centre"] > 60 and found["sdr_other_box"] < 0
    assert set(found["peak_by_instrument"].values()) == {1.0}


def test_silence_is_dark_for_every_kind_that_weighs_with_sound():
    model = load_checkpoint(TOYBAND).model
    shown = scene(2, 5, "validation", samples=model.config.spectrogram.samples, size=64, times=(0.7,))
    pixels = PixelSounds(model, torch.zeros(model.config.spectrogram.samples), shown.frames_tensor())
    assert pixels.sound_map("energy").max() == pixels.sound_map("log").max() == 0
    assert pixels.sound_map(MAP_KINDS[0]).max() == 0


def test_with_two_instruments_nobody_is_off_screen(checkpoint):
    found = evaluate_localization(Checkpoint(checkpoint.model, BAND[:2]), scenes=2, duets=1)
    assert found["off_screen_leak"] is None and found["map_levels"]["off_screen"] is None
    assert found["silent_map_level"] == found["map_levels"]["empty_room"]
    assert "off screen –" in localization_table(found)


@pytest.mark.parametrize(
    ("names", "how", "said"),
    [
        (("dog", "tuba"), {}, "knows 1"),
        (BAND, {"scenes": 0}, "scenes=0: must be 1 or more"),
        (BAND, {"duets": 0}, "duets=0: must be 1 or more"),
        (BAND, {"kind": "loud"}, "unknown sound map 'loud': choose energy"),
        (BAND, {"scenes": 1, "duets": 1, "pooling": "sum"}, "unknown pooling 'sum'"),
    ],
)
def test_what_cannot_be_judged_is_refused(checkpoint, names, how, said):
    with pytest.raises(SopeduError, match=said):
        evaluate_localization(Checkpoint(checkpoint.model, names), **how)


def test_the_command_prints_the_table_and_writes_the_figures(checkpoint, tmp_path, monkeypatch, capsys):
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sopedu.evaluation.baselines._SOLOS_PER_CLASS", 2)
    monkeypatch.setattr(localization_metrics, "evaluate_localization", partial(evaluate_localization, duets=1))
    arguments = ["evaluate", "checkpoint", "--pairs", "1", "--no-dictionaries", "--localization", "--scenes", "2"]
    arguments += ["--json", "figures.json"]
    monkeypatch.chdir(tmp_path)
    cli.app(arguments, standalone_mode=False)
    said = capsys.readouterr().out
    written = json.loads((tmp_path / "figures.json").read_text())["localization"]
    assert localization_table(written) in said and (written["scenes"], written["duets"]) == (2, 1)
