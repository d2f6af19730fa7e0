"""A wider audio net computes the same as the narrower one, and its copies learn different things."""

from __future__ import annotations

import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.model.modes import untrained
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.model.widening import widened
from sopedu.training.run_folder import train_run

SMALL = """model.audio_channels=4,6,8 model.frame_width=4 model.components=4 model.frame_weights=none
training.batch_size=4 training.precision=float32 toyband.solos=12 toyband.empty_scenes=2 training.validate_every=0"""


@pytest.fixture
def narrow() -> SoundOfPixels:
    torch.manual_seed(3)
    model = untrained(with_values(preset("tiny"), SMALL.split()))
    model.train()
    model.audio_net(torch.randn(4, 1, 32, 32) * 2 + 1)  # statistics of normalisation that are not the first ones
    return model


def wider(model: SoundOfPixels, channels: str) -> SoundOfPixels:
    return widened(model, with_values(model.config, [f"model.audio_channels={channels}"]))


# All doubled; one level only; numbers that are no multiples, among them more than three copies of a channel.
@pytest.mark.parametrize("channels", ["8,12,16", "4,6,9", "4,7,8", "5,6,8", "9,20,27"])
@pytest.mark.parametrize("training", [False, True])
def test_a_wider_net_computes_the_same(narrow, channels, training):
    wide = wider(narrow, channels)
    assert wide.config.model.audio_channels == tuple(map(int, channels.split(",")))
    narrow.train(training)
    wide.train(training)
    sound = torch.randn(3, 1, 32, 64)
    torch.testing.assert_close(wide.audio_net(sound), narrow.audio_net(sound), rtol=1e-4, atol=1e-4)


def test_copies_of_a_channel_get_different_gradients(narrow):
    wide = wider(narrow, "8,12,16").train()
    wide.audio_net(torch.randn(3, 1, 32, 32)).square().mean().backward()
    for level, convolution in enumerate(wide.audio_net.down):
        half = len(convolution.weight) // 2
        first, second = convolution.weight.grad[:half], convolution.weight.grad[half:]
        # Adam divides by the size of a gradient, so another direction is needed, not only another size.
        likeness = torch.cosine_similarity(first.flatten(1), second.flatten(1))
        assert likeness.max() < 0.999, f"the copies of a channel on level {level} would stay the same"


def test_what_cannot_be_widened_is_refused(narrow):
    for channels in ("4,6", "4,6,8,10", "3,12,16", "4,6,8"):
        with pytest.raises(SopeduError, match="as many levels and no narrower one"):
            wider(narrow, channels)
    with pytest.raises(SopeduError, match=r"only model.audio_channels may differ .* differs too"):
        widened(narrow, with_values(narrow.config, ["model.audio_channels=8,12,16", "model.components=5"]))


def test_a_training_goes_on_from_a_narrower_checkpoint(narrow, tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    save_checkpoint(tmp_path / "narrow", Checkpoint(narrow, ("tuba", "violin")))
    # A rate of zero: the weights after one step are those before it.
    small = [*SMALL.split(), "model.audio_channels=8,12,16", "training.steps=1", "training.learning_rate=0"]
    small += ["training.frame_learning_rate=0", "training.weight_decay=0", "training.average_decay=0"]
    said = list[str]()
    config = with_values(preset("tiny"), [*small, "toyband.instruments=tuba,violin"])
    run = train_run(tmp_path / "run", config, start_from=tmp_path / "narrow", say=said.append)
    assert any("gets more channels" in line for line in said) and not any("begins anew" in line for line in said)
    weights = widened(narrow, config).state_dict()
    for name, value in run.model.state_dict().items():
        if "running" not in name and "batches" not in name:
            torch.testing.assert_close(value, weights[name])
