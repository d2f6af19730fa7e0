"""The objective: mixing spectrograms is mixing waveforms, and weights that move as the formulas say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sopedu.audio.spectrogram import stft, warp
from sopedu.config import preset, with_values
from sopedu.data.mixing import mix
from sopedu.errors import SopeduError
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.optimizer import MovingAverage, freeze, make_optimizer, training_mode

VALUES = "model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=4"
TINY = with_values(preset("tiny"), VALUES.split())


@pytest.mark.parametrize("sources", [2, 3])
def test_spectrograms_of_mixtures_are_sums_of_spectrograms(sources):
    sound = TINY.spectrogram
    waveforms = 0.3 * torch.randn(7, sound.samples, generator=torch.manual_seed(0))
    config = with_values(TINY, [f"mixing.sources={sources}"]).mixing
    mixtures = mix(waveforms, np.arange(7), config, np.random.default_rng(0))
    spectra = mixtures.spectra(sound)
    torch.testing.assert_close(spectra.source, warp(stft(mixtures.sources, sound).abs(), sound), rtol=1e-4, atol=1e-4)
    expected = warp(stft(mixtures.mixture, sound).abs(), sound)[:, None]
    torch.testing.assert_close(spectra.mixture, expected, rtol=1e-4, atol=1e-4)


def test_the_moving_average_is_the_weighted_sum_of_all_weights():
    model = SoundOfPixels(TINY)
    average, decay = MovingAverage(model, 0.9), 0.9
    name = "audio_net.down.1.weight"
    expected, steps = model.state_dict()[name].clone(), 12
    for step in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        average.update(model, step)
        share = min(decay, (1 + step) / (10 + step))  # early on the start is forgotten faster
        expected = share * expected + (1 - share) * model.state_dict()[name]
    torch.testing.assert_close(average.model.state_dict()[name], expected)
    assert not average.model.training and not any(p.requires_grad for p in average.model.parameters())


def test_what_is_frozen_stays_as_it_is_to_the_last_bit():
    model = SoundOfPixels(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    frozen = freeze(model, ("frame_net.body", "audio_net.down"))
    training_mode(model, frozen)
    optimizer = make_optimizer(model, TINY.training)
    model(torch.randn(4, 1, 128, 32), torch.randn(4, 2, 1, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    still = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    kept = {name for name in before if name.startswith(("frame_net.body", "audio_net.down."))}
    assert kept <= still  # running statistics too
    assert {"frame_net.head.weight", "audio_net.up.0.weight", "synthesizer.scale"}.isdisjoint(still)


@pytest.mark.parametrize(
    ("beginnings", "message"),
    [(("eyes",), "no parameter begins with 'eyes'; e.g. audio_net"), (("",), "leaves nothing to learn")],
)
def test_freezing_what_is_not_there_or_everything_is_refused(beginnings, message):
    with pytest.raises(SopeduError, match=message):
        freeze(SoundOfPixels(TINY), beginnings)
