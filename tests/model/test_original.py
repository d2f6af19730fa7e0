"""Weights of the original code: its masks to 1e-4, by a second implementation of its nets that keeps its names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command import sopedu
from torch import nn
from torchvision.models import resnet18

from sopedu.audio.spectrogram import log_magnitude, stft, warp
from sopedu.config import preset
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.model.original import import_original
from sopedu.model.sound_of_pixels import normalise_frames
from sopedu.toyband import duet
from sopedu.toyband.export import write_scene_video

ACTIVATIONS: dict[str, Callable] = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, 1),
    "tanh": torch.tanh,
    "no": lambda x: x,
}


class Block(nn.Module):
    """One level of the original's U-Net around the next smaller one; its leaky ReLU changes what the skip carries."""

    def __init__(self, inputs: int, inner: int, outputs: int, within: Block | None, outermost: bool, inplace: bool):
        super().__init__()
        layers: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2, inplace)]
        layers.append(nn.Conv2d(inputs, inner, 4, stride=2, padding=1, bias=False))
        if within is not None:
            layers += [within] if outermost else [nn.BatchNorm2d(inner), within]
        layers += [nn.ReLU(inplace), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)]
        layers.append(nn.Conv2d(inner * (1 if within is None else 2), outputs, 3, padding=1, bias=outermost))
        self.model = nn.Sequential(*layers, *([] if outermost else [nn.BatchNorm2d(outputs)]))
        self.outermost = outermost

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.model(x)
        return made if self.outermost else torch.cat([x, made], dim=1)


class Ears(nn.Module):
    def __init__(self, components: int, depth: int, width: int, inplace: bool = True):
        super().__init__()
        widths = [width * min(2**level, 8) for level in range(depth)]
        block = None
        for level in reversed(range(1, depth)):
            block = Block(widths[level - 1], widths[level], widths[level - 1], block, False, inplace)
        self.bn0 = nn.BatchNorm2d(1)
        self.unet_block = Block(1, width, components, block, True, inplace)

    def forward(self, heard: torch.Tensor) -> torch.Tensor:
        return self.unet_block(self.bn0(heard))


class Eyes(nn.Module):
    def __init__(self, components: int, kind: str):
        super().__init__()
        self.features = nn.Sequential(*list(resnet18(weights=None).children())[:-2])
        self.fc = nn.Conv2d(512, components, 3, padding=1)
        self.kind = kind

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, H, W) → (B, K, S, h, w)."""
        count, x = frames.shape[2], frames.transpose(1, 2).flatten(0, 1)
        if self.kind == "resnet18fc":
            x = self.features(x)
        else:
            x = self.features[:-1](x)
            for number, block in enumerate(self.features[-1]):
                # No stride is left; the convolution that had it reaches as far as ever, all behind it twice as far.
                reach, same = (
                    (1, block.downsample[1](F.conv2d(x, block.downsample[0].weight))) if not number else (2, x)
                )
                x = F.relu(block.bn1(F.conv2d(x, block.conv1.weight, padding=reach, dilation=reach)))
                x = F.relu(block.bn2(F.conv2d(x, block.conv2.weight, padding=2, dilation=2)) + same)
        return self.fc(x).unflatten(0, (-1, count)).transpose(1, 2)


class Product(nn.Module):
    def __init__(self, components: int):
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.ones(components)), nn.Parameter(torch.zeros(1))

    def forward(self, seen: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bk,k,bkqt->bqt", seen, self.scale, heard)[:, None] + self.bias


class Original:
    """The three nets with random weights and statistics, and how the original makes masks with them."""

    def __init__(self, components=8, depth=5, width=4, kind="resnet18dilated", inplace=True, seed=0):
        with torch.device("meta"):  # no time for torch's own random numbers
            self.nets = {
                "frame": Eyes(components, kind),
                "sound": Ears(components, depth, width, inplace),
                "synthesizer": Product(components),
            }
        torch.manual_seed(seed)
        for net in self.nets.values():
            net.to_empty(device="cpu").eval()
            for name, value in net.state_dict().items():
                if value.dim() == 4:
                    nn.init.kaiming_normal_(value)
                elif name.endswith("running_var"):
                    nn.init.uniform_(value, 0.7, 1.5)
                elif name.endswith("num_batches_tracked"):
                    value.fill_(7)
                else:
                    nn.init.normal_(value, 1.0 if name.endswith(".weight") else 0.0, 0.25)
        nn.init.normal_(self.nets["synthesizer"].scale)

    def save(self, folder: Path, change: Callable[[dict], Any] = lambda tensors: tensors, **options) -> list[Path]:
        for name, net in self.nets.items():
            torch.save(change(net.state_dict()), folder / f"{name}.pth", **options)
        return [folder / f"{name}.pth" for name in self.nets]

    @torch.inference_mode()
    def masks(self, magnitude, frames, pool="maxpool", visual="sigmoid", sound="no") -> torch.Tensor:
        """Magnitudes (B, 1, 512, T) and normalised frames (B, 3, S, H, W) → masks (B, 1, 256, T).

        The warp is as exact as the magnitudes' type; the original rounds where it reads to float32.
        """
        rows = (21 ** ((torch.linspace(-1, 1, 256, dtype=torch.float64) + 1) / 2) - 11) / 10
        columns = torch.linspace(-1, 1, magnitude.shape[-1], dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).to(magnitude.dtype)
        warped = F.grid_sample(magnitude + 1e-10, grid.expand(len(magnitude), -1, -1, -1), align_corners=True)
        components = ACTIVATIONS[sound](self.nets["sound"](torch.log(warped).float()))
        cells = self.nets["frame"](frames)
        pooled = (F.adaptive_max_pool3d if pool == "maxpool" else F.adaptive_avg_pool3d)(cells, 1).flatten(1)
        return torch.sigmoid(self.nets["synthesizer"](ACTIVATIONS[visual](pooled), components))


def inputs(columns: int = 32, pixels: int = 48, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    magnitude = torch.randn(1, 1, 512, columns, generator=generator).exp()
    return magnitude, torch.randn(1, 3, count, pixels, pixels, generator=generator)


@torch.inference_mode()
def our_masks(checkpoint: Checkpoint, magnitude: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    sound = checkpoint.config.spectrogram
    return torch.sigmoid(
        checkpoint.model(log_magnitude(warp(magnitude, sound), sound), frames.transpose(1, 2)[:, None])
    )


def refusal(*arguments, **options) -> str:
    with pytest.raises(SopeduError) as caught:
        import_original(*arguments, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.fixture(scope="module")
def small() -> Original:
    return Original()


@pytest.fixture(scope="module")
def files(small, tmp_path_factory) -> list[Path]:
    return small.save(tmp_path_factory.mktemp("original"))


def test_the_papers_nets_separate_a_duet_as_the_original_does(tmp_path):
    original = Original(components=32, depth=7, width=64, seed=1)
    checkpoint = import_original(*original.save(tmp_path, lambda net: {f"module.{name}": net[name] for name in net}))
    assert checkpoint.config.model == replace(preset("paper").model, frame_weights="none")
    scene = duet(2, size=64, times=[0.0, 0.75, 1.5], samples=256 * 127)
    magnitude = stft(scene.waveform(), checkpoint.config.spectrogram).abs()[None, None]
    frames = normalise_frames(torch.from_numpy(scene.frames).permute(0, 3, 1, 2)).transpose(0, 1)[None]
    ours, theirs = our_masks(checkpoint, magnitude, frames), original.masks(magnitude, frames)
    assert theirs.std() > 0.1  # masks that are all the same would prove nothing
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    # Most of what is left is the original's rounding of where its warp reads.
    torch.testing.assert_close(ours, original.masks(magnitude.double(), frames), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("sizes", "ours", "theirs"),
    [
        ({"depth": 6, "width": 6, "components": 3}, {"audio_activation": "tanh"}, {"sound": "tanh"}),
        (
            {"kind": "resnet18fc"},
            {"frame_net": "resnet18fc", "pooling": "avgpool", "visual_activation": "no", "target": "ratio"},
            {"pool": "avgpool", "visual": "no"},
        ),
        ({}, {"pooling": "mean", "visual_activation": "softmax"}, {"pool": "avgpool", "visual": "softmax"}),
    ],
)
def test_other_nets_and_choices_give_the_originals_masks(tmp_path, sizes, ours, theirs):
    original = Original(**sizes)
    checkpoint = import_original(*original.save(tmp_path), **ours)
    heard, seen = inputs(columns=64)
    expected = original.masks(heard.double(), seen, **theirs)
    assert expected.std() > 0.05
    torch.testing.assert_close(our_masks(checkpoint, heard, seen), expected, rtol=0, atol=1e-4)
    assert checkpoint.config.loss.target == ours.get("target", "binary")


def test_what_the_in_place_leaky_relu_leaves_to_the_skip_does_not_matter(small):
    # Every skip meets a ReLU on the way up, and relu(leaky_relu(x)) = relu(x).
    heard, seen = inputs()
    assert torch.equal(Original(inplace=False).masks(heard, seen), small.masks(heard, seen))


def test_every_wrapping_gives_the_same_model(tmp_path, small, files):
    plain = import_original(*files).model.state_dict()

    def import_saved_as(change: Callable[[dict], Any], **options) -> dict[str, torch.Tensor]:
        for name in ("sound", "synthesizer"):
            torch.save(change(small.nets[name].state_dict()), tmp_path / name, **options)
        return import_original(files[0], tmp_path / "sound", tmp_path / "synthesizer").model.state_dict()

    def same(other: dict[str, torch.Tensor], but: str = "-") -> bool:
        return all(torch.equal(plain[name], value) for name, value in other.items() if but not in name)

    assert same(
        import_saved_as(lambda net: {"epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}, "state_dict": net})
    )
    assert same(import_saved_as(lambda net: {f"module.module.{name}": value for name, value in net.items()}))
    of_0_4_0 = import_saved_as(
        lambda net: {name: value for name, value in net.items() if not name.endswith("tracked")},
        _use_new_zipfile_serialization=False,
    )
    assert same(of_0_4_0, but="tracked")
    assert of_0_4_0["audio_net.input_norm.num_batches_tracked"] == 0
    whole = {f"module.net_{n}.{key}": t for n, net in small.nets.items() for key, t in net.state_dict().items()}
    torch.save(whole, tmp_path / "whole.pth")
    assert same(import_original(*[tmp_path / "whole.pth"] * 3).model.state_dict())


def test_the_synthesizer_without_a_scale_has_a_scale_of_one(tmp_path, files):
    torch.save({"bias": torch.tensor([0.25])}, tmp_path / "bias.pth")
    synthesizer = import_original(*files[:2], tmp_path / "bias.pth").model.synthesizer
    assert (synthesizer.scale.tolist(), synthesizer.bias.tolist()) == ([1.0] * 8, [0.25])


def test_a_saved_import_is_an_ordinary_checkpoint(tmp_path, files):
    imported = import_original(*files, class_names=["cello", "tuba"])
    loaded = load_checkpoint(save_checkpoint(tmp_path / "model", imported))
    assert torch.equal(our_masks(loaded, *inputs()), our_masks(imported, *inputs()))
    assert (loaded.config, loaded.class_names) == (imported.config, ("cello", "tuba"))
    assert loaded.trained_on["imported_from_original_code"]["audio_net"] == "sound.pth"
    assert (loaded.config.model.components, loaded.config.model.audio_channels) == (8, (4, 8, 16, 32, 32))


def test_from_weights_to_a_separated_video_on_the_command_line(tmp_path, files):
    folder, video = tmp_path / "model", tmp_path / "duet.mp4"
    write_scene_video(video, duet(2, size=64, times=np.arange(8) / 8, samples=11025), 8.0)
    status, said, error = sopedu(f"import-original {' '.join(map(str, files))} --out {folder} --classes cello,tuba")
    assert (status, error) == (0, "")
    assert "K = 8, 5 steps down" in said
    status, said, error = sopedu(f"separate {video} --checkpoint {folder} --out {tmp_path / 'out'} --device cpu")
    assert (status, "cello, tuba" in said) == (0, True), error
    assert (tmp_path / "out" / "report.html").exists()
    status, _, error = sopedu(f"import-original {' '.join(map(str, files))} --out {folder}")
    assert (status, len(error.splitlines())) == (2, 1)


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def replaced(name, make):
    return lambda tensors: tensors | {name: make(tensors.get(name))}


INNER = "unet_block.model.1.model.3.model"


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        (0, without("fc.weight"), "no tensor fc.weight in it"),
        (0, without("features.4.0.conv1.weight"), "features.4.0.conv1.weight': expected (64, 64, 3, 3), found nothing"),
        (
            0,
            replaced("features.7.2.conv1.weight", lambda _: torch.ones(2)),
            "conv1.weight': expected nothing, found (2,)",
        ),
        (0, replaced("fc.weight", lambda t: t[..., :2, :2]), "odd frame_head_kernel"),
        (0, replaced("fc.weight", lambda t: t[:6]), "K differs: 6 in "),
        (1, without("bn0.weight"), "no tensor bn0.weight in it"),
        (1, without("unet_block.model.4.weight"), "unet_block.model.4.weight: expected four axes, found nothing"),
        (1, without(f"{INNER}.2.running_var"), f"{INNER}.2.running_var': expected (16,), found nothing"),
        (1, replaced(f"{INNER}.6.weight", lambda t: t[:, :3]), "expected (8, 32, 3, 3), found (8, 3, 3, 3)"),
        (1, replaced(f"{INNER}.2.weight", lambda t: t * float("nan")), f"{INNER}.2.weight holds values that are not"),
        (1, replaced("bn0.bias", lambda t: t / 0), "bn0.bias holds values that are not finite"),
        (1, replaced("bn0.bias", lambda t: torch.zeros(1, dtype=torch.complex64)), "found a tensor of another kind"),
        (1, replaced("bn0.bias", lambda t: 3), "found a int"),
        (1, replaced("unet_block.model.0.weight", lambda t: t[:1].expand(10**9, 1, 4, 4)), "claims more numbers"),
        (2, without("bias"), "no tensor bias in it"),
        (2, replaced("scale", lambda t: t[:7]), "K differs: 8 in"),
        (2, replaced("bias", lambda t: t.new_zeros(2)), "'bias': expected (1,), found (2,)"),
        (2, replaced("scale", lambda t: t.new_tensor(1.0)), "K differs: 8 in"),
        (2, lambda tensors: [1, 2], "no tensor bias in it"),
        (2, lambda tensors: {"a\nb": {"bias": 1}}, "no tensor bias in it"),
    ],
)
def test_what_is_not_the_originals_is_refused_by_file_and_tensor(tmp_path, small, files, which, change, said):
    changed = list(files)
    changed[which] = tmp_path / "changed.pth"
    torch.save(change(list(small.nets.values())[which].state_dict()), changed[which])
    message = refusal(*changed)
    assert said in message
    assert "changed.pth" in message or "odd" in said


def test_files_in_another_order_are_refused(files):
    assert "order frame, sound, synthesizer" in refusal(files[1], files[0], files[2])


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not really", "half", "folder", "nothing"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, files, content):
    path = tmp_path / "some.pth"
    if content == "folder":
        path.mkdir()
    elif content == "half":
        path.write_bytes(files[1].read_bytes()[: files[1].stat().st_size // 2])
    elif content != "nothing":
        path.write_bytes(content)
    assert "some.pth" in refusal(files[0], path, files[2])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path, files, zipped):
    marker = tmp_path / "executed"

    class Malicious:
        def __reduce__(self):
            return Path.touch, (marker,)

    content = {"scale": torch.ones(8), "bias": torch.zeros(1), "more": Malicious()}
    torch.save(content, tmp_path / "poison.pth", _use_new_zipfile_serialization=zipped)
    assert "holds more than tensors" in refusal(*files[:2], tmp_path / "poison.pth")
    assert not marker.exists()


@pytest.mark.parametrize("argument", ["frame_net", "pooling", "visual_activation", "audio_activation", "target"])
def test_an_unknown_word_is_refused_by_name(files, argument):
    assert re.search(rf"{argument}.*'wrong'", refusal(*files, **{argument: "wrong"}))


def test_masks_that_are_no_sigmoids_are_refused(files):
    assert "sigmoid" in refusal(*files, mask_activation="no")
