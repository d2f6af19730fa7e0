"""The benchmark: operations counted by hand, timings in turns, and a training step that waits for no value."""

from __future__ import annotations

import json
from contextlib import nullcontext
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode
from typer.testing import CliRunner

from sopedu.audio.spectrogram import warp
from sopedu.cli.commands import app
from sopedu.config import PRESETS, Config, preset, with_values
from sopedu.data.batches import Clip
from sopedu.data.clips import ClipDataset
from sopedu.data.mixing import NOBODY
from sopedu.errors import SopeduError
from sopedu.model import layers, nets
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband.export import render_dataset
from sopedu.training import benchmark
from sopedu.training.benchmark import Step, flop_per_mixture, seconds_in_turns
from sopedu.training.loss import mixture_loss
from sopedu.training.optimizer import MovingAverage, make_optimizer
from sopedu.training.pasted_loss import pasted_scene_loss

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=4
training.batch_size=8 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())
CPU = torch.device("cpu")
FIELDS = """mixtures_per_second loader_mixtures_per_second step_mixtures_per_second gflop_per_mixture
share_of_matrix_rate matrix_tflops peak_memory_gib projected_hours_music projected_hours_vggsound
device threads precision preset batch_size"""


def gflop_by_hand(config: Config) -> float:
    """2 operations a multiply-add, once forward and twice backward; the pictures themselves need no gradient."""
    model, size, width = config.model, config.frames.size // 2, config.model.frame_width
    frame, stem, channels = 0, 3 * width * 5 * 5 * size**2, width
    for multiple, stride in ((1, 1), (2, 2), (4, 2), (4, 1)):  # dilated, the last stage keeps its resolution
        size, out = size // stride, width * multiple
        shortcut = 0 if multiple == 1 else channels * out
        frame += (9 * channels * out + 9 * out * out + shortcut) * size**2
        channels = out
    frame += channels * model.components * model.frame_head_kernel**2 * size**2
    solos = 1 if config.mixing.pairing == "in-batch" else config.mixing.sources
    total = (6 * frame + 4 * stem) * solos * config.frames.count
    cells, before = config.spectrogram.log_frequency_bins * config.spectrogram.time_frames, 1
    for level, out in enumerate(model.audio_channels):
        innermost = level == len(model.audio_channels) - 1
        total += 6 * 16 * before * out * cells // 4 ** (level + 1)
        upwards = model.components if level == 0 else before
        total += 6 * 9 * out * (1 if innermost else 2) * upwards * cells // 4**level
        before = out
    total += 6 * (config.mixing.sources + config.mixing.absent) * model.components * cells
    return total / 1e9


@pytest.mark.parametrize("name", ["tiny", "laptop"])
@pytest.mark.parametrize("changes", [[], ["mixing.pairing=independent"], ["mixing.sources=3", "mixing.absent=0"]])
def test_operations_are_those_counted_by_hand(name, changes):
    config = with_values(preset(name), changes)
    assert flop_per_mixture(config) / 1e9 == pytest.approx(gflop_by_hand(config), rel=1e-9)


@pytest.mark.parametrize(("pairing", "gflop"), [("in-batch", 133.9), ("independent", 188.5)])
def test_the_papers_model_takes_what_the_roofline_says(pairing, gflop):
    assert flop_per_mixture(with_values(preset("paper"), [f"mixing.pairing={pairing}"])) / 1e9 == pytest.approx(
        gflop, rel=2e-3
    )


def batch_of(config: Config, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    count = config.training.batch_size * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    generator, size = torch.Generator().manual_seed(0), config.frames.size
    waveforms = 0.1 * torch.randn(count, config.spectrogram.samples, generator=generator)
    frames = torch.randint(256, (count, config.frames.count, 3, size, size), dtype=torch.uint8, generator=generator)
    return waveforms.to(device), frames.to(device), np.arange(count) % 4


class _NothingReadBack(TorchDispatchMode):
    """Fails where a value of the device would have to be waited for."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = function.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "masked_select"), name
        given = [value for value in arguments if isinstance(value, torch.Tensor)]
        result = function(*arguments, **(named or {}))
        if name == "_to_copy" and given[0].device.type != "cpu":
            assert result.device == given[0].device, "a tensor is fetched from the device"
        if name == "_to_copy" and result.device != given[0].device:
            assert (named or {}).get("non_blocking"), "a copy that everything queued before is waited for"
        return result


SMALL = "model.frame_weights=none frames.size=32 frames.resize=36 training.batch_size=6 mixing.colour_jitter=0.1"
STEPS = [
    *(("tiny", *kind) for kind in product((2, 3), ("in-batch", "independent"), (False, True))),
    *((name, 2, "in-batch", False) for name in PRESETS if name != "tiny"),
    *((name, 3, "independent", preset(name).loss.kind == "bce") for name in PRESETS if name != "tiny"),
]


@pytest.mark.parametrize(("name", "sources", "pairing", "pasted"), STEPS)
def test_no_step_waits_for_a_value(name, sources, pairing, pasted, monkeypatch):
    """Tensors of torch's meta device hold no values: whoever would wait for a GPU to tell one fails."""
    monkeypatch.setattr(layers, "_for_gpu", lambda _: True)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no meta device
    monkeypatch.setattr(layers, "_for_gpu", lambda features: True)
    config = with_values(preset(name), [*SMALL.split(), f"mixing.sources={sources}", f"mixing.pairing={pairing}"])
    with torch.device("meta"):
        model = SoundOfPixels(config)
    average, (waveforms, frames, labels) = MovingAverage(model, 0.9), batch_of(config, "meta")
    optimizer = make_optimizer(model, config.training)
    labels[-1] = NOBODY  # an empty room, on whose picture others are pasted
    warp(
        torch.empty(1, config.spectrogram.linear_bins, 2, device="meta"), config.spectrogram
    )  # copies its matrix once and keeps it
    with _NothingReadBack():
        loss, _ = mixture_loss(
            model, waveforms, frames, labels, config, np.random.default_rng(0), pasted_scene_loss if pasted else None
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        average.update(model, 3)
        if config.training.optimizer == "sgd":  # AdamW counts its steps on the CPU where it is not fused
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def test_a_value_read_back_or_a_copy_waited_for_is_found():
    with pytest.raises(AssertionError, match="_local_scalar_dense"), _NothingReadBack():
        torch.ones(()).item()
    with pytest.raises(AssertionError, match="waited for"), _NothingReadBack():
        torch.ones(2).to("meta")


@pytest.mark.parametrize("on_a_gpu", [False, True])
def test_the_model_compiles_as_one_graph(on_a_gpu, monkeypatch):
    """For solos and for pasted scenes; a break would be an error."""
    monkeypatch.setattr(layers, "_for_gpu", lambda features: on_a_gpu)
    model = SoundOfPixels(TINY).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    heard, frames = torch.randn(2, 1, 128, 32), torch.randn(4, 1, 3, 64, 64)
    for arguments in ((heard, frames, torch.tensor([[0, 1], [2, 3]])), (heard, frames[:2], None, True)):
        torch.testing.assert_close(compiled(*arguments), model(*arguments))
    torch._dynamo.reset()


@pytest.mark.parametrize("on_a_gpu", [False, True])
def test_an_audio_net_compiled_for_a_gpu_adds_up_nothing_cell_by_cell(on_a_gpu, monkeypatch):
    """Such a gradient takes atomics on a GPU, and torch.compile makes one of its own bilinear interpolation."""
    monkeypatch.setattr(layers, "_for_gpu", lambda features: on_a_gpu)
    operations = set()

    def collect(graph: torch.fx.GraphModule, _: object) -> object:
        operations.update(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    audio_net, heard = nets.AudioUNet(with_values(TINY, ["model.audio_channels=4,4"]).model), torch.randn(2, 1, 8, 16)
    compiled = torch.compile(audio_net, backend=aot_autograd(fw_compiler=collect), fullgraph=True, dynamic=False)
    compiled(heard).sum().backward()
    torch._dynamo.reset()
    assert any("convolution_backward" in name for name in operations)
    assert any("index_put" in name or "upsample" in name for name in operations) != on_a_gpu


def test_what_is_compared_is_measured_turn_by_turn():
    called = []
    works = {name: (lambda name=name: called.append(name)) for name in "abc"}
    assert seconds_in_turns(works, 3, CPU).shape == (3, 3) and called == [*"abc"] * 4  # the first warms up


def test_a_step_moves_the_weights():
    step = Step(TINY, CPU)
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    step()
    assert any(not torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True))


class _Counted(ClipDataset):
    def __init__(self, config: Config) -> None:
        super().__init__(config, ("a", "b", "c", "d"), np.arange(20) % 4)
        self.read = 0

    def __getitem__(self, visit):
        self.read += 1
        size = self.config.frames.size
        return Clip(torch.zeros(9), torch.zeros(1, 3, size, size, dtype=torch.uint8), int(self.labels[visit.index]))


def test_the_loader_is_timed_over_the_batches_after_the_first(monkeypatch):
    clips = _Counted(TINY)
    clock = SimpleNamespace(perf_counter=lambda: clips.read)  # a clip takes a second
    monkeypatch.setattr(benchmark, "time", clock)
    assert benchmark._loader_speed(clips, 5) == pytest.approx(1.0) and clips.read == 6 * 8
    clips = _Counted(with_values(TINY, ["mixing.pairing=independent"]))  # a mixture takes two clips
    assert benchmark._loader_speed(clips, 5) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return render_dataset(tmp_path_factory.mktemp("data"), 12, seconds=2.0, size=72, progress=False)


def test_the_command_measures_a_users_own_data(index, tmp_path):
    values = [word for value in VALUES.split() for word in ("--set", value)]
    path = tmp_path / "speed.json"
    command = ["benchmark", "--data", str(index), "--steps", "1", "--json", str(path), *values]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    figures = json.loads(path.read_text())
    assert set(FIELDS.split()) <= set(figures) and all(f"\n{name}" in f"\n{done.output}" for name in figures)
    assert min(value for value in figures.values() if type(value) is float) > 0
    assert (figures["batch_size"], figures["precision"], figures["data"]) == (8, "float32", str(index))
    speed = figures["mixtures_per_second"]
    assert figures["projected_hours_music"] == pytest.approx(4.7e6 / speed / 3600, rel=2e-3)
    assert figures["projected_hours_vggsound"] == pytest.approx(7e6 / speed / 3600, rel=2e-3)
    assert figures["gflop_per_mixture"] == pytest.approx(gflop_by_hand(TINY), rel=1e-3)


def test_a_long_step_is_measured_with_a_smaller_batch_and_says_so():
    work = type("Work", (), {"flop": 1e9, "__call__": lambda self: None})()
    assert benchmark._bearable(preset("paper"), 1.0, work).training.batch_size == 80
    assert benchmark._bearable(preset("paper"), 1e30, work).training.batch_size == 5


def test_memory_that_does_not_suffice_is_one_line(monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(benchmark, "Step", full)
    with pytest.raises(SopeduError, match="does not hold a batch of 8: --set training.batch_size=4"):
        benchmark.run_benchmark(TINY, 1)
