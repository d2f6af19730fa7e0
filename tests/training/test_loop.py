"""Training: the same seed gives the same run, it learns, it stops when asked and says when it goes wrong."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from sopedu.audio.masks import ideal_ratio_mask
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import TrainingConfig, preset, with_values
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.mixing import NOBODY
from sopedu.data.sampling import TrainingSampler
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training import loop as training
from sopedu.training.callbacks import KeepCheckpoint
from sopedu.training.level import training_level
from sopedu.training.loop import train
from sopedu.training.loss import mixture_loss
from sopedu.training.optimizer import make_optimizer, rate_factor
from sopedu.training.run import Callback, Run
from sopedu.training.setup import new_model

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0.25
training.steps=6 training.batch_size=4 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())
# Four solos of two classes, mixed always in the same way.
FOUR_SOLOS = """toyband.solos=4 toyband.empty_scenes=0 toyband.instruments=tuba,xylophone mixing.gain_low=1
mixing.gain_high=1 mixing.absent=0 mixing.flip=false loss.weighted=false training.learning_rate=1e-2"""


pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def run_with(*values: str, callbacks: tuple[Callback, ...] = (), record_every: int = 1) -> Run:
    config = with_values(TINY, values)
    return train(config, ToyBandClips(config), None, callbacks, record_every)


def losses(*values: str) -> list[float]:
    return [entry["loss"] for entry in run_with(*values).history]


@pytest.fixture(scope="module")
def reference() -> list[float]:
    return losses()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_seed_gives_the_same_losses_to_the_last_bit(reference, workers):
    assert len(reference) == 6
    assert losses(f"training.workers={workers}") == reference


def test_another_seed_gives_other_losses(reference):
    assert not set(losses("training.seed=1")) & set(reference)


def test_it_learns_which_of_four_solos_sounds_like_what():
    # Who cannot see gives both sources the same mask m, and |m − t₁| + |m − t₂| is never below |t₁ − t₂|:
    # only with eyes can the loss fall below the mean of half of that.
    values, sound = [*FOUR_SOLOS.split(), "loss.kind=l1", "training.steps=80"], TINY.spectrogram
    solos = [clip.waveform / 2 for clip in map(ToyBandClips(with_values(TINY, values)).__getitem__, range(4))]
    pairs = torch.stack([torch.stack([solos[i], solos[j]]) for i in (0, 2) for j in (1, 3)])
    mixture = warp(stft(pairs.sum(1, keepdim=True), sound).abs(), sound)
    target = ideal_ratio_mask(warp(stft(pairs, sound).abs(), sound), mixture)
    blind = (target[:, 0] - target[:, 1]).abs().mean().item() / 2
    history = losses(*values)
    assert history[0] > blind
    assert np.mean(history[-5:]) < 0.8 * blind


def test_learning_rates_follow_their_formulas():
    cosine = replace(TrainingConfig(), steps=100, schedule="cosine", warmup_share=0.1)
    expected = [(step + 1) / 11 for step in range(10)] + [(1 + math.cos(math.pi * i / 90)) / 2 for i in range(91)]
    assert [rate_factor(step, cosine) for step in range(101)] == pytest.approx(expected)
    paper = replace(preset("paper").training, steps=100)  # of 100 epochs, ×0.1 at 40 and 80
    assert [rate_factor(step, paper) for step in range(100)] == pytest.approx([1] * 40 + [0.1] * 40 + [0.01] * 20)


def test_the_body_of_the_eyes_learns_at_its_own_rate_and_nothing_is_left_out():
    model = new_model(TINY)
    body = {id(p) for p in model.frame_net.body.parameters()}
    rates = {id(p): group["lr"] for group in make_optimizer(model, TINY.training).param_groups for p in group["params"]}
    assert rates == {id(p): 1e-3 if id(p) in body else 3e-3 for p in model.parameters()}


@pytest.mark.parametrize(("pairing", "in_batch"), [("in-batch", 4), ("independent", 8)])
def test_an_epoch_visits_every_playing_clip_exactly_once(pairing, in_batch):
    labels = np.array([0, 1, 2] * 4 + [NOBODY] * 3)
    clips = ClipDataset(with_values(TINY, [f"mixing.pairing={pairing}"]), (), labels)
    batches = list(TrainingSampler(clips, 24))
    silent = [sum(visit.index >= 12 for visit in batch) for batch in batches]
    assert {(len(batch), count) for batch, count in zip(batches, silent, strict=True)} == {(in_batch, in_batch // 4)}
    visits = [visit for batch in batches for visit in batch]
    assert len({visit[1:] for visit in visits}) == len(visits)  # no two share (epoch, position): their randomness
    playing = [visit.index for visit in visits if visit.index < 12]
    epochs = [playing[i : i + 12] for i in range(0, len(playing) - 11, 12)]
    assert all(Counter(epoch) == dict.fromkeys(range(12), 1) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("skipped", [1, 7, 19])
def test_a_sampler_that_starts_later_yields_the_same_batches(skipped):
    clips = ClipDataset(TINY, (), np.array([0, 1, 2, 0, 1, NOBODY]))
    later = TrainingSampler(clips, 20, first_step=skipped)
    assert len(later) == 20 - skipped
    assert list(later) == list(islice(TrainingSampler(clips, 20), skipped, None))


class Witness(Callback):
    """Notes what it is told; at a step it interferes as Ctrl-C or a stop button would."""

    def __init__(self, step: int = 0, how: str = "") -> None:
        self.step, self.how, self.told = step, how, []

    def on_start(self, run):
        self.told.append("start")

    def on_record(self, run):
        self.told.append(run.step)
        if run.step == self.step and self.how == "Ctrl-C":
            raise KeyboardInterrupt
        run.stop = run.step == self.step

    def on_end(self, run):
        self.told.append("end")


def test_callbacks_hear_of_start_records_and_end():
    witness = Witness()
    run = run_with(callbacks=(witness,), record_every=4)
    assert witness.told == ["start", 4, 6, "end"]  # the last step is always recorded
    assert ([entry["step"] for entry in run.history], run.step, run.interrupted) == ([4, 6], 6, False)


@pytest.mark.parametrize("how", ["stop", "Ctrl-C"])
def test_a_run_that_is_stopped_ends_cleanly(how):
    witness = Witness(2, how)
    run = run_with(callbacks=(witness,))
    assert witness.told == ["start", 1, 2, "end"]
    assert (run.step, run.interrupted, run.model.training) == (2, how == "Ctrl-C", False)


def test_a_loss_that_is_not_a_number_stops_with_the_step(monkeypatch):
    factors = iter([1, 1, math.nan])

    def broken(*arguments):
        loss, mixtures = mixture_loss(*arguments)
        return loss * next(factors), mixtures

    monkeypatch.setattr(training, "mixture_loss", broken)
    with pytest.raises(SopeduError, match="^the loss was no longer finite at step 3: [^\n]*$"):
        run_with()


def loss_and_gradient(labels: list[int], absent: int) -> tuple[torch.Tensor, torch.Tensor]:
    config, generator = with_values(TINY, [f"mixing.absent={absent}"]), torch.manual_seed(0)
    model = new_model(config)
    waveforms = 0.1 * torch.randn(4, config.spectrogram.samples, generator=generator)
    frames = torch.randint(0, 256, (4, 1, 3, 64, 64), generator=generator, dtype=torch.uint8)
    loss, _ = mixture_loss(model, waveforms, frames, np.array(labels), config, np.random.default_rng(0))
    loss.backward()
    return loss.detach(), model.frame_net.head.weight.grad


def test_absent_places_that_nobody_fills_have_no_influence():
    # With two classes each pair holds both and nobody is absent. The mean is over three places, not two.
    without, filled = (loss_and_gradient([0, 0, 1, 1], absent) for absent in (0, 1))
    torch.testing.assert_close([3 / 2 * value for value in filled], list(without))
    # With four classes somebody is always absent, and counts.
    without, filled = (loss_and_gradient([0, 1, 2, 3], absent)[0] for absent in (0, 1))
    assert abs(3 / 2 * filled - without) > 1e-3 * without


class LeavesEvaluationMode(Callback):
    """Asks the model something and forgets to put it back."""

    def on_record(self, run: Run) -> None:
        run.model.eval()


def test_a_callback_that_leaves_evaluation_mode_changes_no_training(reference):
    run = run_with(callbacks=(LeavesEvaluationMode(),))
    assert [entry["loss"] for entry in run.history] == reference


def test_a_trained_model_knows_the_level_of_its_mixtures(tmp_path):
    run = run_with(
        "training.average_decay=0.9", "training.steps=2", callbacks=(KeepCheckpoint(tmp_path / "c", "toyband"),)
    )
    assert run.model.level_db == run.result.level_db == training_level(ToyBandClips(TINY))
    assert -30 < run.model.level_db < -15
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.model.level_db == loaded.trained_on["level_db"] == run.model.level_db
