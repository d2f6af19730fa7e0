"""A model on a GPU, without one: torch's fake tensors have a device, no values, and refuse to meet another device."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from sopedu.audio import spectrogram
from sopedu.config import Config, preset, with_values
from sopedu.evaluation.pairs import predict_masks
from sopedu.localization import pixel_sounds as localization
from sopedu.localization.maps import cell_vectors, volume_over_time
from sopedu.localization.pixel_sounds import MAP_KINDS, PixelSounds
from sopedu.model import layers
from sopedu.model import sound_of_pixels as model
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import REGION_POOLINGS, SoundOfPixels
from sopedu.separation.domain_shift import DomainShift

GPU = torch.device("cuda:0")
VALUES = "model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=4 frames.count=2"
CONFIG = with_values(preset("tiny"), VALUES.split())


def forget() -> None:
    """What is kept of a device belongs to these tests only."""
    for kept in (model._image_statistics, spectrogram._device_matrix, layers._doubling_matrix):
        kept.cache_clear()


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Makes models on a GPU that is not there."""
    monkeypatch.setattr(localization, "check_clip", lambda *_: None)  # asks for values of the sound

    def numpy(tensor: torch.Tensor) -> np.ndarray:
        assert tensor.device.type == "cpu", "NumPy wants a tensor of the CPU"
        return np.zeros(tensor.shape)

    def istft(flat: torch.Tensor, *_: int, window: torch.Tensor, length: int) -> torch.Tensor:
        """In place of torch's, which asks whether the windows add up."""
        return (flat.real.sum((1, 2)) * window.sum())[:, None].expand(-1, length)

    def made(config: Config) -> SoundOfPixels:
        with GPU:
            return SoundOfPixels(config).eval()

    forget()
    with FakeTensorMode(allow_non_fake_inputs=True):
        monkeypatch.setattr(torch.Tensor, "numpy", numpy)
        monkeypatch.setattr(torch, "istft", istft)
        yield made
    forget()


def clip(config: Config = CONFIG) -> tuple[torch.Tensor, torch.Tensor]:
    size = config.frames.size
    return torch.zeros(config.spectrogram.samples), torch.zeros(2, 3, size, size, dtype=torch.uint8)


@pytest.mark.parametrize("pooling", ["features", "energy"])
def test_pairs_are_separated_on_the_device_of_the_model(pooling, on_a_gpu):
    waveform, frames = clip()
    config = replace(CONFIG, model=replace(CONFIG.model, region_pooling=pooling))
    masks = predict_masks(on_a_gpu(config), waveform.expand(3, -1), frames.expand(3, 2, -1, -1, -1, -1))
    assert masks.shape == (3, 2, 128, 32) and masks.device.type == "cpu"


@pytest.mark.parametrize("pooling", REGION_POOLINGS)
def test_places_are_heard_on_the_device_of_the_model(pooling, on_a_gpu):
    ears_and_eyes = on_a_gpu(CONFIG)
    with DomainShift(ears_and_eyes) as watched:
        pixels = PixelSounds(ears_and_eyes, *clip())
    assert all(value.device == GPU for found in watched._measured.values() for value in found)
    painted = np.zeros(pixels.grid)
    painted[2, 3:5] = 0.5
    for place in ((0.3, 0.6), (0.1, 0.2, 0.6, 0.9), painted):
        assert pixels.mask(place, pooling).device == GPU
        assert pixels.separate(place, pooling, frame=1).device.type == "cpu"
    assert pixels.separate_all([(0.3, 0.6), (0.1, 0.2, 0.6, 0.9)], True, pooling).device.type == "cpu"
    assert pixels.mixture().device.type == "cpu"


@pytest.mark.parametrize("kind", MAP_KINDS)
def test_maps_are_made_on_the_device_of_the_model(kind, on_a_gpu):
    pixels = PixelSounds(on_a_gpu(CONFIG), *clip())
    assert pixels.sound_map(kind).shape == (2, 8, 8)
    assert volume_over_time(pixels).shape == (32, 8, 8) and cell_vectors(pixels).shape[:2] == (8, 8)


def test_a_tensor_left_on_the_cpu_is_found(on_a_gpu):
    pixels = PixelSounds(on_a_gpu(CONFIG), *clip())
    pixels.heard = torch.zeros(128, 32)
    with pytest.raises(RuntimeError, match="cuda:0"):
        pixels.mask((0.1, 0.2, 0.6, 0.9), "energy")


def test_a_checkpoint_says_where_it_works():
    weight = SimpleNamespace(device=GPU)
    there = SimpleNamespace(parameters=lambda: iter([weight]))
    assert Checkpoint(SoundOfPixels(CONFIG), ()).device == "cpu" and Checkpoint(there, ()).device == "cuda:0"
