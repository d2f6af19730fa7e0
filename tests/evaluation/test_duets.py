"""Figures of duets without references: what they are for known sounds, and that every way to cheat is revealed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sopedu.config import preset
from sopedu.evaluation import duet_figures, duet_table, summarise_duets
from sopedu.evaluation.duets import (
    CHEATS,
    FIGURES,
    FLOOR,
    SOUNDS,
    DuetWindow,
    halves_of,
    mirrored_box,
    not_told_apart,
    picture_features,
    window_products,
)
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband import duet

HALVES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))


def products(**sounds: np.ndarray) -> np.ndarray:
    """Inner products of some sounds; the others are missing."""
    rows = np.stack([sounds.get(name, np.full(4, np.nan)) for name in SOUNDS])
    return rows @ rows.T


def test_figures_of_known_sounds():
    a, b = np.array([3.0, 0, 0, 0]), np.array([0, 1.0, 0, 0])
    both = a + b
    found = duet_figures(products(
        mixture=both, a=a, b=b, a_1=a, a_2=a / 2, b_1=b, b_2=b + 1e-9, a_mirrored=2 * a, b_mirrored=both,
        a_other=b, b_other=b, absent=both / 10,
    ))  # fmt: skip
    assert found["rest"] == FLOOR  # nothing is left over
    assert found["balance"] == pytest.approx(10 * np.log10(9))
    assert found["a_and_b"] == 0 and found["halves"] == pytest.approx(1) and found["contrast"] == pytest.approx(1)
    assert found["mirrored"] == pytest.approx((1 + 1 / np.sqrt(10)) / 2)  # cosine of b and a + b
    assert found["other_film"] == pytest.approx(0.5) and found["absent"] == pytest.approx(-20)


def test_what_is_missing_or_silent_is_not_a_number_and_not_a_zero():
    a, silence = np.array([1.0, 0, 0, 0]), np.zeros(4)
    found = duet_figures(products(mixture=a, a=a, b=silence, a_1=a, a_2=a, b_1=silence, b_2=silence, a_mirrored=a))
    assert found["balance"] == -FLOOR and found["halves"] == found["mirrored"] == 1
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"a_and_b", "contrast", "other_film", "absent"}
    summary = summarise_duets([{"model": found}, {"model": found}])
    assert summary["counts"] == {name: 0 if name in missing else 2 for name in FIGURES}
    assert {name for name, value in summary["table"]["model"].items() if value is None} == missing


@pytest.fixture(scope="module")
def films() -> list[dict[str, np.ndarray]]:
    """Products of every row for three windows of an untrained model."""
    torch.manual_seed(0)
    model = SoundOfPixels(preset("tiny")).eval()
    sound, frames, found = model.config.spectrogram, model.config.frames, []
    for seed in range(3):
        scene = duet(seed, "test", samples=sound.samples, size=(64, 96), times=frames.times(sound.seconds / 2))
        shown = scene.frames_tensor()
        window = DuetWindow(
            own=PixelSounds(model, scene.waveform(), shown),
            shape=(64, 96),
            mirrored=picture_features(model, shown.flip(-1)),
            grey=picture_features(model, torch.full_like(shown, 127)),
            other=picture_features(model, shown.flip(0)),
        )
        found.append(window_products(window, HALVES, torch.Generator().manual_seed(seed)))
    return found


@pytest.mark.parametrize("row", [row for row in CHEATS if row != "grey"])
def test_every_cheat_is_revealed_by_its_figure(films, row):
    figure = CHEATS[row].revealed_by
    worst = {"contrast": 0.0, "balance": -FLOOR, "rest": 0.0, "mirrored": 0.0}[figure]
    values = [duet_figures(products[row])[figure] for products in films]
    assert values == pytest.approx([worst] * 3, abs=0.15)


def test_cheats_do_well_in_the_figures_that_do_not_reveal_them(films):
    """Otherwise one figure would do."""
    found = {row: duet_figures(films[0][row]) for row in CHEATS}
    assert found["half"]["rest"] == found["one_side"]["rest"] == found["by_pitch"]["rest"] == FLOOR
    assert (
        found["half"]["balance"] < 0.01 and found["by_pitch"]["contrast"] > 0.8 and found["by_pitch"]["a_and_b"] < 0.2
    )


def test_products_add_up_over_windows(films):
    """Figures of a long film are those of its windows played one after the other."""
    total = sum(products["random"] for products in films)
    assert np.allclose(total, total.T) and (np.linalg.eigvalsh(total[:11, :11]) > -1e-6 * total[0, 0]).all()
    energies = np.array([products["random"][0, 0] for products in films])
    alone = np.array([duet_figures(products["random"])["rest"] for products in films])
    mean = 10 * np.log10(energies @ 10 ** (alone / 10) / energies.sum())
    assert duet_figures(total)["rest"] == pytest.approx(mean)


def test_without_a_picture_there_is_no_figure(films):
    found = duet_figures(films[0]["model"])
    assert np.isnan(found["absent"]) and np.isfinite([value for name, value in found.items() if name != "absent"]).all()


def test_a_model_that_cheats_is_named_as_such(films):
    summary = summarise_duets([{row: duet_figures(found) for row, found in film.items()} for film in films])
    assert len(not_told_apart(summary | {"table": summary["table"]})) < len(CHEATS)
    cheating = summary | {"intervals": {"model": summary["intervals"]["half"]}}
    (first, *_) = not_told_apart(cheating)
    assert first.startswith("contrast does not tell this model from “half of the mixture everywhere”")
    lines = duet_table(summary).splitlines()
    assert len(lines) == 5 + len(CHEATS) and sum(line.count("*") for line in lines[:-1]) == len(CHEATS)


def test_boxes_are_cut_across_their_longer_side_and_mirrored_twice_are_as_before():
    assert halves_of((0.0, 0.0, 0.5, 1.0), (90, 160)) == ((0.0, 0.0, 0.5, 0.5), (0.0, 0.5, 0.5, 1.0))
    assert halves_of((0.0, 0.5, 1.0, 1.0), (90, 160)) == ((0.0, 0.5, 0.5, 1.0), (0.5, 0.5, 1.0, 1.0))
    box = (0.125, 0.0, 0.5, 0.75)
    assert mirrored_box(box) == (0.5, 0.0, 0.875, 0.75) and mirrored_box(mirrored_box(box)) == box
