"""Places in pictures side by side: an ideal model finds them, one that ignores pictures or sounds is at chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from noise_clips import CONFIG

from sopedu.evaluation import side_by_side as module
from sopedu.evaluation.mask_curve import THRESHOLDS
from sopedu.evaluation.side_by_side import PLACES, map_of_solo, side_by_side, sounds_of_places

FRAMES = torch.stack([torch.full((1, 3, 64, 64), colour, dtype=torch.uint8) for colour in (10, 200)])
SOLOS = 0.1 * torch.randn(2, CONFIG.spectrogram.samples, generator=torch.Generator().manual_seed(0))


class Ideal:
    """Separates perfectly, and its map is even over the place of the solo that sounds."""

    def __init__(self, model, mixture, frames) -> None:
        assert torch.equal(frames, torch.cat(list(FRAMES), -1))
        self.mixture = mixture

    def separate_all(self, boxes):
        return torch.stack([SOLOS[round(2 * left)] for left, *_ in boxes])

    def separate(self, box):
        return self.mixture

    def sound_map(self, noise):
        volume = np.zeros((1, 4, 8))
        volume[..., 4 * int(torch.equal(self.mixture, SOLOS[1])) :][..., :4] = 0.5
        return volume


class Even(Ideal):
    """Its map is the same everywhere, whatever is heard."""

    def sound_map(self, noise):
        return np.full((1, 4, 8), 0.3)


class Dark(Ideal):
    """Its map is dark."""

    def sound_map(self, noise):
        return np.zeros((1, 4, 8))


def test_pictures_stand_in_the_order_of_the_solos():
    wide = side_by_side(FRAMES)
    assert wide.shape == (1, 3, 64, 128)
    assert (wide[..., :64] == 10).all() and (wide[..., 64:] == 200).all()


def test_each_place_gives_its_solo_and_the_whole_frame_gives_both_the_same(monkeypatch):
    monkeypatch.setattr(module, "PixelSounds", Ideal)
    found = sounds_of_places(None, SOLOS.sum(0), FRAMES)
    assert tuple(found) == PLACES
    assert torch.equal(found["own_place"], SOLOS) and torch.equal(found["other_place"], SOLOS.flip(0))
    for name in ("whole_frame", "centre_box"):
        assert torch.equal(found[name], SOLOS.sum(0).expand(2, -1))


@pytest.mark.parametrize(
    ("model", "peaks", "shares", "chosen"), [(Ideal, 1, 1, 0.5), (Even, 0.5, 0.5, 1), (Dark, 0, 0, 0)]
)
def test_the_map_of_one_solo(monkeypatch, model, peaks, shares, chosen):
    monkeypatch.setattr(module, "PixelSounds", model)
    found = [map_of_solo(None, SOLOS[place], FRAMES, place) for place in range(2)]
    assert np.mean([one["peak_in_place"] for one in found]) == peaks
    assert np.mean([one["map_in_place"] for one in found]) == pytest.approx(shares)
    for one in found:
        np.testing.assert_array_equal(one["chosen"], np.full(len(THRESHOLDS), chosen))
        np.testing.assert_array_equal(one["right"], np.full(len(THRESHOLDS), shares or np.nan))
