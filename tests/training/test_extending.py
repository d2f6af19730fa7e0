"""A mask kind, a loss, an activation: one entry each, and the whole path from training to sound runs with it."""

from __future__ import annotations

import typing

import numpy as np
import pytest
import torch

from sopedu.audio.masks import MASK_KINDS, MaskKind, Spectra
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import LossConfig, ModelConfig, preset, with_values
from sopedu.config.registry import REGISTRIES
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import held_out_pairs, separate_pairs
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.nets import ACTIVATIONS
from sopedu.training.loop import train
from sopedu.training.loss import LOSSES
from sopedu.training.validation import Validation
from sopedu.training.validation_preview import ValidationPreview

SMALL = """model.audio_channels=8,8,8 model.frame_width=8 model.components=4 model.frame_weights=none
toyband.instruments=violin,tuba,xylophone toyband.solos=16 toyband.empty_scenes=2 training.batch_size=4
training.steps=2 training.precision=float32"""
SOUND = preset("tiny").spectrogram


pytestmark = pytest.mark.usefixtures("own_cache")


def in_phase(spectra: Spectra) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources divided by the phase of their mixture, on linear bins, and the mixture's magnitude on log rows."""
    mixture = spectra.mixture_stft
    return spectra.source_stft * mixture.conj() / mixture.abs().clamp_min(1e-9), spectra.mixture.clamp_min(1e-9)


def phase_sensitive(spectra: Spectra) -> torch.Tensor:
    """|S| cos(phase difference) / |X| (Erdogan et al. 2015), limited to 0 … 1."""
    source, mixture = in_phase(spectra)
    return (warp(source.real, spectra.config) / mixture).clamp(0, 1)


def complex_ratio(spectra: Spectra) -> torch.Tensor:
    """S / X (Williamson et al. 2016), limited to -1 … 1: its real rows, then its imaginary ones."""
    source, mixture = in_phase(spectra)
    return torch.cat([warp(part, spectra.config) / mixture for part in (source.real, source.imag)], dim=-2).clamp(-1, 1)


ADDED = {
    "phase-sensitive": MaskKind(phase_sensitive),
    "complex": MaskKind(complex_ratio, torch.tanh, parts=2),
}


@pytest.mark.parametrize(("name", "loss"), [("phase-sensitive", "bce"), ("phase-sensitive", "l2"), ("complex", "l1")])
@pytest.mark.parametrize("pooling", ["features", "energy"])
def test_a_mask_kind_is_one_entry_and_runs_from_training_to_sound(name, loss, pooling, monkeypatch):
    monkeypatch.setitem(MASK_KINDS, name, ADDED[name])
    values = [*SMALL.split(), f"loss.target={name}", f"loss.kind={loss}", f"model.region_pooling={pooling}"]
    config = with_values(preset("tiny"), values)
    clips = ToyBandClips(config)
    pairs = held_out_pairs(ToyBandClips(config, "validation", 6), 3)
    scores = Validation(ToyBandClips(config, "validation", 6), 3)
    model = train(config, clips, record_every=1).result
    assert scores.scores(model).isfinite().all()
    estimates = separate_pairs(model, pairs.mixture, pairs.frames)
    assert estimates.shape == (3, 2, SOUND.counted_samples) and estimates.isfinite().all() and estimates.any()
    pixels = PixelSounds(model, pairs.mixture[0], pairs.frames[0, 0])
    mask = pixels.mask((0.2, 0.2, 0.8, 0.8))
    assert mask.shape == (SOUND.log_frequency_bins, SOUND.time_frames) and mask.is_complex() == (name == "complex")
    assert pixels.separate((0.5, 0.5)).isfinite().all() and np.isfinite(pixels.sound_map()).all()
    figure, shown = ValidationPreview(pairs).draw_separation(model)
    assert len(figure.axes) >= 5 and shown.shape == (2, SOUND.counted_samples)


@pytest.mark.parametrize("name", [*MASK_KINDS, *ADDED])
def test_the_target_of_every_kind_separates_better_than_the_mixture_when_it_is_applied(name, monkeypatch):
    monkeypatch.setitem(MASK_KINDS, name, kind := {**MASK_KINDS, **ADDED}[name])
    config = with_values(preset("tiny"), [*SMALL.split(), f"loss.target={name}"])
    pairs = held_out_pairs(ToyBandClips(config, "validation", 6), 3)
    sources = pairs.sources
    spectra = Spectra.of_sources(sources, SOUND)
    from sopedu.audio.masks import apply_mask, mask_from_values

    masks = mask_from_values(kind.target(spectra), kind)
    estimates = apply_mask(masks, stft(pairs.mixture, SOUND)[:, None], SOUND, kind.binary)
    error = (estimates - sources[..., : SOUND.counted_samples]).square().sum(-1)
    unseparated = (pairs.mixture[:, None] - sources)[..., : SOUND.counted_samples].square().sum(-1)
    assert (error < 0.2 * unseparated).all()


def test_spectra_of_a_batch_are_those_of_its_sources():
    waveforms = 0.3 * torch.randn(3, 2, SOUND.samples, generator=torch.manual_seed(0))
    of_sources = Spectra.of_sources(waveforms, SOUND)
    shuffled = torch.tensor([4, 2, 0, 5, 1, 3])
    members = shuffled.argsort().view(3, 2)
    gains = torch.tensor([[0.5, 2.0], [1.0, 4.0], [0.25, 1.0]])
    solos = stft((waveforms / gains[..., None]).flatten(0, 1)[shuffled], SOUND)
    of_batch = Spectra(solos, members, gains, SOUND)
    for name in ("source", "mixture", "source_stft", "mixture_stft"):
        torch.testing.assert_close(getattr(of_batch, name), getattr(of_sources, name), rtol=1e-4, atol=1e-3)


def test_a_loss_is_one_entry(monkeypatch):
    def huber(logits, target, activation):
        return torch.nn.functional.huber_loss(activation(logits), target, reduction="none", delta=0.1)

    monkeypatch.setitem(LOSSES, "huber", huber)
    config = with_values(preset("tiny"), [*SMALL.split(), "loss.kind=huber"])
    run = train(config, ToyBandClips(config), record_every=1)
    assert len(run.history) == 2 and 0 < run.history[-1]["loss"] < 0.5


def test_an_activation_is_one_entry(monkeypatch):
    seen = []
    monkeypatch.setitem(ACTIVATIONS, "softplus", lambda x: seen.append(x.shape) or torch.nn.functional.softplus(x))
    config = with_values(preset("tiny"), [*SMALL.split(), "model.visual_activation=softplus"])
    assert train(config, ToyBandClips(config), record_every=1).step == 2 and (4, 4) in [tuple(shape) for shape in seen]


def test_an_unknown_name_is_one_line_that_lists_those_there_are(monkeypatch):
    with pytest.raises(SopeduError, match=r"loss\.target must be one of binary, ratio, not 'complex'"):
        with_values(preset("tiny"), ["loss.target=complex"])
    monkeypatch.setitem(MASK_KINDS, "complex", ADDED["complex"])
    assert with_values(preset("tiny"), ["loss.target=complex"]).loss.target == "complex"
    with pytest.raises(SopeduError, match="no 'huber'; choose one of bce, l1, l2"):
        LOSSES["huber"]


def test_cross_entropy_needs_masks_between_0_and_1(monkeypatch):
    monkeypatch.setitem(MASK_KINDS, "complex", ADDED["complex"])
    config = with_values(preset("tiny"), [*SMALL.split(), "loss.target=complex", "loss.kind=bce"])
    with pytest.raises(SopeduError, match="use l1 or l2"):
        train(config, ToyBandClips(config))


def test_the_choices_beside_the_fields_are_the_registries_names():
    """Before the registries are imported, the fields' own choices hold: they must say the same."""
    for kind, section in ((ModelConfig, "model"), (LossConfig, "loss")):
        for field, hint in typing.get_type_hints(kind).items():
            if f"{section}.{field}" in REGISTRIES:
                assert typing.get_args(hint) == tuple(REGISTRIES[f"{section}.{field}"])
    assert set(REGISTRIES) == {
        "loss.target",
        "loss.kind",
        "model.visual_activation",
        "model.audio_activation",
        "model.synthesizer",
    }
