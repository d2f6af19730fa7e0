"""The model: the paper's sizes, and every part against a second way to compute it."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import resnet18

from sopedu.audio.spectrogram import log_magnitude, stft, warp
from sopedu.config import ModelConfig, preset, with_values
from sopedu.errors import SopeduError
from sopedu.model import layers
from sopedu.model.modes import count_parameters
from sopedu.model.nets import AudioUNet, FrameNet, Synthesizer, activate
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames

SMALL = "model.frame_weights=none model.components=6 model.frame_width=8 model.audio_channels=8,8,8"


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small_model(*values: str) -> SoundOfPixels:
    torch.manual_seed(0)
    return SoundOfPixels(with_values(preset("tiny"), [*SMALL.split(), *values])).eval()


@pytest.fixture(scope="module")
def paper() -> SoundOfPixels:
    torch.manual_seed(0)
    return SoundOfPixels(with_values(preset("paper"), ["model.frame_weights=none"])).eval()


def test_the_papers_nets_have_the_papers_numbers_of_parameters(paper):
    assert count_parameters(paper.audio_net) == pytest.approx(30.27e6, abs=5e3)
    assert count_parameters(paper.frame_net) == pytest.approx(11.32e6, abs=5e3)
    assert count_parameters(paper.synthesizer) == 32 + 1


@torch.inference_mode()
def test_the_papers_sizes_from_waveform_to_mask(paper):
    sound = paper.config.spectrogram
    spectrogram = stft(0.1 * random(1, sound.samples), sound)
    assert spectrogram.shape == (1, 512, 256)
    heard = log_magnitude(warp(spectrogram.abs(), sound), sound)[:, None]
    frames = random(1, 2, 1, 3, 224, 224)
    assert paper.feature_map(frames[0]).shape == (2, 32, 1, 14, 14)
    assert paper(heard, frames).shape == (1, 2, 256, 256)


def test_the_paper_starts_its_ears_from_small_numbers(paper):
    # conv N(0, 0.001): the standard error of a spread estimated from 2 million weights is 5e-7.
    weights = paper.audio_net.down[3].weight
    assert weights.std().item() == pytest.approx(1e-3, rel=0.01)
    norm = paper.audio_net.down_norm[3]
    assert norm.weight.mean().item() == pytest.approx(1.0, abs=0.005)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert paper.synthesizer.scale.tolist() == [1.0] * 32
    assert paper.synthesizer.bias.item() == 0.0


@torch.inference_mode()
def test_dilation_only_fills_in_between_what_the_strided_resnet_sees(paper):
    # Yu et al. 2017: stride replaced by dilation keeps the strided outputs, at every second place.
    strided = torch.nn.Sequential(*list(resnet18().children())[:-2]).eval()
    strided.load_state_dict(paper.frame_net.body.state_dict())
    frames = random(2, 3, 96, 96)
    dilated = paper.frame_net.body(frames)
    assert dilated.shape == (2, 512, 6, 6)
    torch.testing.assert_close(dilated[..., ::2, ::2], strided(frames), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_tiny_eyes_see_eight_by_eight_cells_and_keep_proportions():
    model = small_model()
    assert model.feature_map(random(1, 2, 3, 64, 64)).shape == (1, 6, 2, 8, 8)
    assert model.feature_map(random(1, 1, 3, 64, 96)).shape == (1, 6, 1, 8, 12)


@torch.inference_mode()
def test_frames_shown_by_number_give_what_the_same_frames_written_out_give():
    model = small_model("frames.count=2")
    clips, heard = random(5, 2, 3, 64, 64), random(3, 1, 128, 32)
    shown = torch.tensor([[0, 1, 4], [2, 0, 4], [3, 3, 1]])
    torch.testing.assert_close(model(heard, clips, shown), model(heard, clips[shown]), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_synthesizer_is_an_inner_product():
    synthesizer = Synthesizer(5)
    synthesizer.scale.copy_(random(5))
    synthesizer.bias.fill_(0.3)
    visual, components = random(2, 7, 5, seed=1), random(2, 5, 4, 3, seed=2)
    expected = torch.einsum("k,bnk,bkqt->bnqt", synthesizer.scale, visual, components) + 0.3
    torch.testing.assert_close(synthesizer(visual, components), expected)


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "none"])
@torch.inference_mode()
def test_max_pooling_commutes_with_rising_activations(activation):
    model = small_model(f"model.visual_activation={activation}")
    frames = random(2, 3, 3, 64, 64)
    cells = model.visual_cells(frames)
    assert cells.shape == (2, 3, 8, 8, 6)
    torch.testing.assert_close(model.visual(frames), cells.flatten(1, 3).amax(1), atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_mean_pooling_averages_before_the_activation():
    model = small_model("model.pooling=mean")
    frames = random(2, 3, 3, 64, 64)
    raw = torch.stack([model.frame_net(frames[:, i]) for i in range(3)]).mean((0, 3, 4))
    torch.testing.assert_close(model.visual(frames), torch.sigmoid(raw), atol=1e-6, rtol=1e-5)


def test_activations_do_what_their_names_say():
    features = torch.tensor([[-1.0, 0.0, 2.0]])
    assert activate(features, "none").tolist() == [[-1, 0, 2]]
    assert activate(features, "relu").tolist() == [[0, 0, 2]]
    torch.testing.assert_close(activate(features, "sigmoid"), 1 / (1 + torch.exp(-features)))
    torch.testing.assert_close(activate(features, "softmax"), features.exp() / features.exp().sum())


@torch.inference_mode()
def test_softmax_shares_out_over_components_for_eyes_and_ears():
    model = small_model("model.visual_activation=softmax", "model.audio_activation=softmax")
    frames = random(2, 1, 3, 64, 64)
    torch.testing.assert_close(model.visual(frames).sum(1), torch.ones(2))
    torch.testing.assert_close(model.visual_cells(frames).sum(-1), torch.ones(2, 1, 8, 8))
    torch.testing.assert_close(model.components(random(2, 1, 128, 32)).sum(1), torch.ones(2, 128, 32))


@pytest.mark.parametrize("shape", [(120, 36), (36, 120), (128, 4)])
def test_a_spectrogram_that_cannot_be_halved_often_enough_is_refused(shape):
    with pytest.raises(SopeduError, match=r"3 steps needs .* multiples of 8, not \(\d+, \d+\)"):
        small_model().components(torch.zeros(1, 1, *shape))


def test_normalised_frames_have_imagenets_mean_and_spread_taken_out():
    white = normalise_frames(torch.full((2, 1, 3, 4, 4), 255, dtype=torch.uint8))
    expected = [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]
    assert white[1, 0, :, 3, 3].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("frame_net", ["small", "resnet18"])
def test_every_parameter_gets_a_gradient(frame_net):
    model = small_model(f"model.frame_net={frame_net}").train()
    model(random(2, 1, 128, 32), random(2, 2, 1, 3, 64, 64)).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_without_a_network_the_imagenet_start_says_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("sopedu.model.backbones.resnet18", offline)
    with pytest.raises(SopeduError, match="model.frame_weights=none"):
        SoundOfPixels(preset("paper"))


@pytest.mark.parametrize("width", [1, 3, 4, 6, 12])
def test_the_small_eyes_of_any_width_are_the_strided_resnet(width):
    eyes = FrameNet(ModelConfig(frame_net="small", frame_width=width, frame_weights="none", components=5))
    block, plain = eyes.body[2][0].downsample[0], nn.Conv2d(width, 2 * width, 1, 2, bias=False)
    plain.load_state_dict(block.state_dict())
    cells = torch.randn(2, width, 9, 12, requires_grad=True)
    answers = [conv(cells) for conv in (block, plain)]
    assert torch.allclose(*answers, atol=1e-6)
    gradients = [torch.autograd.grad(answer.square().sum(), cells)[0] for answer in answers]
    assert torch.allclose(*gradients, atol=1e-5)


def test_narrow_eyes_learn_without_writing_beyond_their_memory():
    """oneDNN's kernel for AVX2 did, where the channels were no multiple of 8: such a process ends with a crash."""
    step = (
        "import torch; from sopedu.config import ModelConfig; from sopedu.model.nets import FrameNet\n"
        "torch.set_num_threads(1)\n"
        "for width in (1, 2, 3, 4, 5, 6, 7, 12, 20):\n"
        "    eyes = FrameNet(ModelConfig(frame_net='small', frame_width=width, frame_weights='none', components=4))\n"
        "    eyes.to(memory_format=torch.channels_last)\n"
        "    for _ in range(5):\n"
        "        eyes(torch.randn(4, 3, 64, 64).to(memory_format=torch.channels_last)).sum().backward()\n"
        "print('done')\n"
    )
    checked = os.environ | {"MALLOC_PERTURB_": "165"}
    done = subprocess.run([sys.executable, "-c", step], env=checked, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-500:]


LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
EARS = ModelConfig(components=4, audio_channels=(8, 6, 8, 8), frame_weights="none")


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The ears take the way that they take on a GPU."""
    monkeypatch.setattr(layers, "_for_gpu", lambda features: True)


def by_torch(features: torch.Tensor) -> torch.Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "shape", [(2, 3, 1, 1), (2, 3, 1, 5), (2, 3, 7, 1), (1, 1, 4, 6), (2, 8, 16, 16), (1, 2, 96, 128)]
)
def test_doubling_by_matrices_is_bilinear_interpolation(shape, layout, as_on_a_gpu):
    features = random(*shape).to(memory_format=LAYOUTS[layout]).requires_grad_()
    exact = features.detach().clone().requires_grad_()
    answers = layers.twice_as_large(features), by_torch(exact)
    assert answers[0].dtype == torch.float32
    torch.testing.assert_close(*answers, rtol=0, atol=1e-6)
    weights = random(*answers[0].shape, seed=1)
    ours, theirs = (torch.autograd.grad(a, x, weights.to(a)) for a, x in zip(answers, (features, exact), strict=True))
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=3e-6)
    if shape[1] > 1 and shape[2:] != (1, 1):  # other shapes lie in memory alike in both layouts
        assert answers[0].is_contiguous(memory_format=LAYOUTS[layout]) and ours[0].stride() == features.stride()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 1, 3, 2), (1, 2, 4, 3)])
def test_doubling_in_float64_is_torchs_own_with_true_gradients(shape, layout, as_on_a_gpu):
    features = random(*shape).double().to(memory_format=LAYOUTS[layout]).requires_grad_()
    torch.testing.assert_close(layers.twice_as_large(features), by_torch(features), rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(layers.twice_as_large, features)


def test_on_the_cpu_doubling_is_torchs_own_to_the_bit():
    features = random(2, 8, 16, 24)
    assert torch.equal(layers.twice_as_large(features), by_torch(features))


def test_doubling_keeps_bf16_and_the_weights_of_the_neighbours_to_its_precision(as_on_a_gpu):
    features = random(2, 8, 16, 16).to(torch.bfloat16, memory_format=torch.channels_last)
    doubled = layers.twice_as_large(features)
    assert doubled.dtype == torch.bfloat16 and doubled.is_contiguous(memory_format=torch.channels_last)
    # Weights, half-way and end result are rounded to 8 bits each, four neighbours are at most as large as the largest.
    torch.testing.assert_close(doubled.float(), by_torch(features.float()), rtol=0, atol=4 * 2**-9 * 5)
    assert features.abs().max() < 5


class _Ops(TorchDispatchMode):
    """Notes the name of every operation, and the strides of gradients that reach a batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.dense = set(), []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = function.overloadpacket.__name__
        self.names.add(name)
        if name == "native_batch_norm_backward" or name == "cudnn_batch_norm_backward":
            gradient = arguments[0]
            self.dense.append(gradient.is_contiguous() or gradient.is_contiguous(memory_format=torch.channels_last))
        return function(*arguments, **(named or {}))


def step_of_ears(layout: torch.memory_format) -> tuple[_Ops, torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(0)
    ears = AudioUNet(EARS).double().to(memory_format=layout).train()
    with _Ops() as ops:
        answer = ears(random(3, 1, 32, 48).double())
        answer.square().sum().backward()
    return ops, answer.detach(), [value.grad for value in ears.parameters()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ears_on_a_gpu_compute_what_they_compute_on_the_cpu(layout, monkeypatch):
    here, *expected = step_of_ears(LAYOUTS[layout])
    monkeypatch.setattr(layers, "_for_gpu", lambda features: True)
    there, *found = step_of_ears(LAYOUTS[layout])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    # No kernel that adds up with atomics, none that autocast holds in float32, and dense gradients.
    assert "upsample_bilinear2d_backward" in here.names and not any("upsample" in name for name in there.names)
    assert len(there.dense) == 6 and all(there.dense) and not all(here.dense)


def test_a_graph_for_a_gpu_doubles_by_matrices():
    with FakeTensorMode(), torch.device("cuda:0"):
        ears = AudioUNet(EARS).train()
        with _Ops() as ops:
            answer = ears(torch.empty(3, 1, 32, 48))
    layers._doubling_matrix.cache_clear()  # what it kept holds no values
    assert answer.device.type == "cuda" and answer.shape == (3, 4, 32, 48) and "bmm" in ops.names
    assert not any("upsample" in name for name in ops.names)
