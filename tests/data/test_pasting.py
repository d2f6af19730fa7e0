"""Pasted scenes: who was pasted where, and losses that are what their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sopedu.config import LossConfig, preset, with_values
from sopedu.data.mixing import NOBODY
from sopedu.data.pasting import PastedScenes, paste
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.training.loss import mixture_loss
from sopedu.training.pasted_loss import pasted_loss, pasted_scene_loss

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=4
model.frame_dilation=1 model.frame_head_kernel=1 mixing.pasted_share=0.5"""
TINY = with_values(preset("tiny"), VALUES.split())


def flat_pictures(count: int, size: int = 64) -> torch.Tensor:
    """Pictures of one value each: 10, 20, 30 …; normalised frames never hold such values."""
    return (10.0 * torch.arange(1, count + 1)).view(-1, 1, 1, 1, 1).expand(count, 1, 3, size, size)


@pytest.mark.parametrize("sources", [2, 3])
def test_every_source_is_seen_in_its_own_strip_and_nowhere_else(sources):
    generator = np.random.default_rng(0)
    members = torch.from_numpy(np.stack([generator.permutation(6)[:sources] for _ in range(40)]))
    scenes = paste(flat_pictures(6), members, np.arange(6), generator)
    strips, nobody = scenes.regions(64, 64)  # of pixels here
    assert (strips.sum(1) == 1).all()  # the strips share the picture out
    values = scenes.frames[:, 0, 0]
    for number in range(6):
        seen = (values - 10 * (number + 1)).abs() < 1e-3
        mine = (strips & (members == number)[..., None, None]).any(1)
        assert not (seen & ~mine).any()
        assert (seen == mine & ~nobody).all()
    drawn = values[~nobody]
    assert (drawn > 9).all() and (values[nobody] < 9).all()
    share = (~nobody).flatten(1).float().mean(1)
    assert 0.25 / sources < share.min() < share.max() < 0.999


def test_a_solo_is_shrunk_not_cut_out_of_scale():
    # A ramp from 0 to 1 over the solo's width must come out as a ramp from 0 to 1 over the width it was drawn at.
    ramp = ((torch.arange(64) + 0.5) / 64).expand(2, 1, 3, 64, 64)
    scenes = paste(ramp, torch.tensor([[0, 1]] * 30), np.array([0, 1]), np.random.default_rng(1))
    x = (torch.arange(64) + 0.5) / 64
    strips, nobody = scenes.regions(64, 64)
    for scene in range(30):
        for source in range(2):
            x0, _, x1, _ = scenes.corners[scene, source]
            there = strips[scene, source] & ~nobody[scene]
            expected = ((x - x0) / (x1 - x0)).expand(64, 64)[there]
            torch.testing.assert_close(scenes.frames[scene, 0, 0][there], expected, atol=0.02, rtol=0)


def test_an_empty_room_of_the_batch_serves_as_ground():
    pictures = flat_pictures(3)
    scenes = paste(pictures, torch.tensor([[0, 1]] * 50), np.array([0, 1, NOBODY]), np.random.default_rng(0))
    _, nobody = scenes.regions(64, 64)
    in_room = [(scenes.frames[i, 0, 0][nobody[i]] == 30).all().item() for i in range(50)]
    assert 10 < sum(in_room) < 40


def slow_loss(model, features, components, strips, nobody, target, mixture, weight, chosen, bins):
    """The loss cell by cell and bin by bin, with products of probabilities where the module adds logarithms."""
    mixtures, _, _, height, width = features.shape
    total, silent, counts = 0.0, {"quiet": 0.0, "nobody": 0.0}, {"quiet": 0, "nobody": 0}
    z = model.synthesizer(torch.sigmoid(features.flatten(2)).transpose(1, 2), components).flatten(2)[..., bins]
    cells = {(m, r, c): z[m, r * width + c] for m in range(mixtures) for r in range(height) for c in range(width)}
    heard, w, t = (part.flatten(2)[..., bins] for part in (mixture, weight, target.clamp(0, 1)))
    either, answers = 0.0, {"strip": [], "cell": []}
    for m in range(mixtures):
        for n in range(strips.shape[1]):
            mine = [(m, r, c) for r in range(height) for c in range(width) if strips[m, n, r, c]]
            energy = {cell: ((torch.sigmoid(cells[cell]) * heard[m, 0]) ** 2).sum() for cell in mine}
            for cell in mine:
                if energy[cell] < 0.25 * max(energy.values()):
                    silent["quiet"] += (w[m, 0] * -torch.log(1 - torch.sigmoid(cells[cell]))).sum()
                    counts["quiet"] += len(bins)
            nothing = torch.stack([1 - torch.sigmoid(cells[cell]) for cell in mine]).prod(0)
            either += (w[m, 0] * F.binary_cross_entropy(1 - nothing, t[m, n], reduction="none")).sum()
            pooled = torch.stack([features[m, :, 0, r, c] for _, r, c in mine]).amax(0)
            answers["strip"].append(model.synthesizer(torch.sigmoid(pooled)[None, None], components[m : m + 1])[0, 0])
            cell = mine[0] if chosen is None else chosen
            alone = torch.sigmoid(features[m, :, 0, cell[1], cell[2]])
            answers["cell"].append(model.synthesizer(alone[None, None], components[m : m + 1])[0, 0])
        for r in range(height):
            for c in range(width):
                if nobody[m, r, c]:
                    silent["nobody"] += (w[m, 0] * -torch.log(1 - torch.sigmoid(cells[m, r, c]))).sum()
                    counts["nobody"] += len(bins)
    for given in answers.values():
        z = torch.stack(given).view_as(target)
        total += (weight * F.binary_cross_entropy_with_logits(z, target.clamp(0, 1), reduction="none")).mean()
    total = (total + either / t.numel()) / 3
    return total + 0.1 * silent["quiet"] / max(1, counts["quiet"]) + 0.3 * silent["nobody"] / counts["nobody"]


def test_the_loss_is_what_its_formula_says():
    torch.manual_seed(0)
    model, generator = SoundOfPixels(TINY), np.random.default_rng(3)
    features, components = 2 * torch.randn(2, 4, 1, 2, 2), torch.randn(2, 4, 8, 6)
    target, mixture, weight = torch.rand(2, 2, 8, 6), torch.rand(2, 1, 8, 6), torch.rand(2, 1, 8, 6) + 0.1
    strips = torch.tensor([[[0.0, 0, 0.5, 1], [0.5, 0, 1, 1]]] * 2)
    corners = torch.tensor([[[0.0, 0, 0.5, 0.5], [0.5, 0, 1, 1]]] * 2)  # in each, the lower left cell is nobody's
    scenes = PastedScenes(torch.zeros(2, 1, 3, 8, 8), corners, strips)
    # Both cells of a strip alike, so that whichever loud one is drawn answers the same.
    features[..., 1, :] = features[..., 0, :]
    arguments = (model, features, components)
    found = pasted_loss(*arguments, scenes, target, mixture, weight, LossConfig(kind="bce"), generator)
    bins = torch.from_numpy(np.random.default_rng(3).integers(0, 48, 512))
    regions = scenes.regions(2, 2)
    expected = slow_loss(*arguments, *regions, target, mixture, weight, None, bins)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_cell_that_owns_a_sound_alone_makes_the_noisy_or_content():
    # One cell of each strip answers with the true mask and all others with one half: pooled vector and loud cell are
    # right. The same cells in each other's strips are wrong.
    model = SoundOfPixels(with_values(TINY, ["model.components=2", "model.visual_activation=none"]))
    target = (torch.rand(1, 2, 16, 8, generator=torch.manual_seed(0)) < 0.5).float()
    target[:, 1] = 1 - target[:, 0]
    components = 16 * target - 8
    right, wrong = torch.zeros(1, 2, 1, 4, 4), torch.zeros(1, 2, 1, 4, 4)
    for maps, places in ((right, (0, 3)), (wrong, (3, 0))):
        maps[0, 0, 0, 1, places[0]], maps[0, 1, 0, 1, places[1]] = 1.0, 1.0
    strips = torch.tensor([[[0.0, 0, 0.5, 1], [0.5, 0, 1, 1]]])
    scenes = PastedScenes(torch.zeros(1, 1, 3, 8, 8), strips, strips)
    ones = torch.ones(1, 1, 16, 8)
    loss = [
        pasted_loss(model, maps, components, scenes, target, ones, ones, LossConfig(), np.random.default_rng(0)).item()
        for maps in (right, wrong)
    ]
    assert loss[0] < 0.5 * loss[1]


def test_a_pasted_step_teaches_every_part_of_the_model():
    torch.manual_seed(0)
    model = SoundOfPixels(TINY).train()
    waveforms = 0.1 * torch.randn(6, TINY.spectrogram.samples)
    frames = torch.randint(0, 256, (6, 1, 3, 64, 64), dtype=torch.uint8)
    labels = np.array([0, 1, 2, 0, 1, NOBODY])
    waveforms[5] = 0
    loss, mixtures = mixture_loss(model, waveforms, frames, labels, TINY, np.random.default_rng(0), pasted_scene_loss)
    loss.backward()
    assert torch.isfinite(loss) and mixtures.members.shape == (6, 2)
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_pasting_needs_cross_entropy():
    from sopedu.errors import SopeduError

    with pytest.raises(SopeduError, match=r"loss\.kind=bce where scenes are pasted"):
        with_values(TINY, ["loss.kind=l1"])
