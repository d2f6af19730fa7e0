"""The plain step computes the same as the training's, and each measure is what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sopedu.config import Config, preset, with_values
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.loss import mixture_loss
from tools.step_measures import PLAIN, MeasuredStep, Measures, main, plain_loss

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=4
training.batch_size=8 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())


def batch_of(config: Config) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    count = config.training.batch_size * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    generator, size = torch.Generator().manual_seed(0), config.frames.size
    waveforms = 0.1 * torch.randn(count, config.spectrogram.samples, generator=generator)
    frames = torch.randint(256, (count, config.frames.count, 3, size, size), dtype=torch.uint8, generator=generator)
    return waveforms, frames, np.arange(count) % 4


@pytest.mark.parametrize("changes", [[], ["mixing.pairing=independent"], ["mixing.sources=3"]])
def test_the_plain_step_computes_the_same_loss_and_gradients(changes):
    """With fixed statistics of the frame net: some pictures are repeated more often than others."""
    config = with_values(TINY, changes)
    torch.manual_seed(0)  # in some draws rounding of the spectrograms moves a value over the kink of a ReLU
    model, batch = SoundOfPixels(config).double().train(), batch_of(config)
    model.frame_net.eval()
    results = []
    for measures in (None, PLAIN, Measures(frames_once=False), Measures(spectrograms_once=False)):
        generator, double = np.random.default_rng(3), _InDouble(model)
        if measures is None:
            loss, _ = mixture_loss(double, *batch, config, generator)
        else:
            loss = plain_loss(double, *batch, config, generator, measures)
        results.append((loss.detach(), torch.autograd.grad(loss, [*model.parameters()])))
    for loss, gradients in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-5, atol=0)
        for ours, theirs in zip(gradients, results[0][1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * theirs.abs().max().item() + 1e-9)


class _InDouble:
    def __init__(self, model: SoundOfPixels) -> None:
        self.model = model

    def __call__(self, heard: torch.Tensor, frames: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        return self.model(heard.double(), frames.double(), shown)


@pytest.mark.parametrize("measures", [Measures(), PLAIN])
def test_a_step_moves_the_weights_and_takes_only_its_measures(measures):
    step = MeasuredStep(TINY, torch.device("cpu"), "bf16", measures)
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    step()
    assert any(not torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))
    weight = step.model.audio_net.down[1].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == measures.channels_last
    assert weight.dtype == torch.float32 and (step.trainer.run.precision == "bf16") == measures.bf16
    one_by_one = all(group["fused"] is group["foreach"] is False for group in step.trainer.optimizer.param_groups)
    assert one_by_one != measures.optimizer


def test_the_command_writes_a_figure_for_each_measure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tools.step_measures._RENDERED", 1)
    monkeypatch.setattr("tools.step_measures.measure_bss_eval", lambda turns: {"bss_eval_seconds_per_pair": 0.5})
    path, values = tmp_path / "measures.json", [word for value in VALUES.split() for word in ("--set", value)]
    main(["--steps", "1", "--json", str(path), *values])
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert {f"speedup_with_{name}" for name in vars(PLAIN)} < set(figures) and min(figures.values()) > 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(figures)
