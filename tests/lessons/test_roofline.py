"""Operations and bytes of layers: counted a second time by torch, and by hand."""

from __future__ import annotations

import pytest

from sopedu.config import preset, with_values
from sopedu.lessons.roofline import LayerCost, convolution_costs, least_seconds, plot_roofline
from sopedu.training.benchmark import flop_per_mixture


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_layers_add_up_to_what_torch_counts(name):
    config = with_values(preset(name), ["training.batch_size=4"])
    counted = flop_per_mixture(config) * 4
    sound, mixing = config.spectrogram, config.mixing
    cells = 4 * sound.log_frequency_bins * sound.time_frames
    synthesizer = 3 * 2 * cells * config.model.components * (mixing.sources + mixing.absent)
    assert sum(cost.flop for cost in convolution_costs(config)) + synthesizer == counted


def test_a_layer_by_hand():
    config = with_values(preset("tiny"), ["training.batch_size=4", "model.components=16"])
    head = next(cost for cost in convolution_costs(config, 4) if cost.name == "frame_net.head")
    cells, weights = 4 * 8 * 8, 64 * 16 * 9
    assert head.flop == 3 * 2 * cells * weights
    assert head.bytes_moved == 3 * 4 * (cells * 64 + cells * 16 + weights)


def test_a_layer_whose_input_needs_no_gradient_has_two_passes():
    first = next(cost for cost in convolution_costs(preset("paper")) if cost.name == "frame_net.body.0")
    assert first.flop == 2 * 2 * (80 * 3) * 112 * 112 * 64 * 3 * 49


def test_each_layer_is_slowed_by_its_own_limit():
    costs = [LayerCost("frame_net.a", 100.0, 1.0), LayerCost("audio_net.b", 10.0, 10.0)]
    assert least_seconds(costs, rate=10.0, bandwidth=1.0) == 10 + 10
    axes = plot_roofline(costs, rate=10.0, bandwidth=1.0, filled="audio_net.b").axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    reached = [dots.get_offsets()[0].tolist() for dots in axes.collections]
    assert reached == [[100.0, 10.0 / 1e12], [1.0, 1.0 / 1e12]]
    assert [dots.get_facecolors()[0, 3] for dots in axes.collections] == [0, 1]  # the named layer is filled
