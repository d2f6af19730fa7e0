"""Training: the same seed gives the same run, it learns, it stops when asked, and it says when it goes wrong."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from sopedu import training
from sopedu.clips import ClipDataset, ToyBandClips, Visit, VisitSampler
from sopedu.config import TrainingConfig, preset, with_values
from sopedu.errors import SopeduError
from sopedu.masks import ideal_ratio_mask
from sopedu.mixing import NOBODY
from sopedu.spectrogram import stft, warp
from sopedu.training import Callback, make_optimizer, mixture_loss, new_model, rate_factor, train

VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=24 toyband.empty_scenes=4 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0.25
training.steps=6 training.batch_size=4 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())


@pytest.fixture(scope="module", autouse=True)
def one_thread_and_an_own_cache(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, sums are added in an order that may change
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOPEDU_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(threads)


def losses(*values: str, **how) -> list[float]:
    config = with_values(TINY, values)
    return [entry["loss"] for entry in train(config, ToyBandClips(config), record_every=1, **how).history]


def labelled(labels: list[int], *values: str) -> ClipDataset:
    return ClipDataset(with_values(TINY, values), (), np.array(labels))


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
    # Who cannot see gives both sources the same mask m, and |m − t₁| + |m − t₂| is never below |t₁ − t₂|: only
    # with eyes can the loss fall below the mean of half of that.
    values = ["toyband.solos=4", "toyband.empty_scenes=0", "toyband.instruments=tuba,xylophone"]
    values += ["mixing.gain_low=1", "mixing.gain_high=1", "mixing.absent=0", "mixing.flip=false"]
    values += ["loss.weighted=false", "training.steps=80", "training.learning_rate=1e-2"]
    clips = ToyBandClips(with_values(TINY, values))
    pairs = torch.stack(
        [torch.stack([clips[i].waveform, clips[j].waveform]) / 2 for i in (0, 2) for j in (1, 3)]
    )
    sound = TINY.spectrogram
    mixture = warp(stft(pairs.sum(1, keepdim=True), sound).abs(), sound)
    target = ideal_ratio_mask(warp(stft(pairs, sound).abs(), sound), mixture)
    blind = (target[:, 0] - target[:, 1]).abs().mean().item() / 2
    history = losses(*values)
    assert history[0] > blind
    assert np.mean(history[-5:]) < 0.8 * blind


def test_the_learning_rate_warms_up_and_follows_a_cosine():
    settings = replace(TrainingConfig(), steps=100, schedule="cosine", warmup_share=0.1)
    factors = [rate_factor(step, settings) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10:] == pytest.approx([(1 + math.cos(math.pi * i / 90)) / 2 for i in range(91)])


def test_the_papers_learning_rate_falls_tenfold_at_40_and_80_percent():
    settings = replace(preset("paper").training, steps=100)
    expected = [1.0] * 40 + [0.1] * 40 + [0.01] * 20
    assert [rate_factor(step, settings) for step in range(100)] == pytest.approx(expected)


def test_the_pretrained_body_learns_at_its_own_rate_and_nothing_is_left_out():
    model = new_model(TINY)
    groups = make_optimizer(model, TINY.training).param_groups
    body = {id(p) for p in model.frame_net.body.parameters()}
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rates == {id(p): 1e-3 if id(p) in body else 3e-3 for p in model.parameters()}
    sgd = make_optimizer(model, preset("paper").training)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (0.9, 1e-4)


@pytest.mark.parametrize(("pairing", "in_batch"), [("in-batch", 4), ("independent", 8)])
def test_an_epoch_visits_every_playing_clip_exactly_once(pairing, in_batch):
    clips = labelled([0, 1, 2] * 4 + [NOBODY] * 3, f"mixing.pairing={pairing}")
    batches = list(VisitSampler(clips, 24))
    assert all(len(batch) == in_batch for batch in batches)
    silent = [[visit.index >= 12 for visit in batch].count(True) for batch in batches]
    assert set(silent) == {in_batch // 4}  # a quarter of each batch
    playing = [visit for batch in batches for visit in batch if visit.index < 12]
    epochs = [playing[i : i + 12] for i in range(0, len(playing) - 11, 12)]
    assert all(Counter(v.index for v in epoch) == dict.fromkeys(range(12), 1) for epoch in epochs)
    assert {visit.epoch for visit in epochs[1]} == {1}
    assert [v.index for v in epochs[0]] != [v.index for v in epochs[1]]
    visits = [visit for batch in batches for visit in batch]
    assert len({(v.epoch, v.position) for v in visits}) == len(visits)  # no two draw the same randomness


@pytest.mark.parametrize("skipped", [1, 7, 19])
def test_a_sampler_that_starts_later_yields_the_same_batches(skipped):
    clips = labelled([0, 1, 2, 0, 1, NOBODY])
    later = VisitSampler(clips, 20, first_step=skipped)
    assert len(later) == 20 - skipped
    assert list(later) == list(islice(VisitSampler(clips, 20), skipped, None))


def test_clips_without_sound_alone_are_refused():
    with pytest.raises(SopeduError, match="no clip with sound"):
        VisitSampler(labelled([NOBODY, NOBODY]), 5)


def test_what_is_cut_from_a_clip_follows_from_the_visit_alone():
    clips = ToyBandClips(TINY)
    first, again, other = (clips[Visit(3, *place)] for place in ((2, 5), (2, 5), (2, 6)))
    assert torch.equal(first.frames, again.frames)
    assert not torch.equal(first.frames, other.frames)
    assert first.frames.shape == (1, 3, 64, 64)
    assert first.waveform.shape == (TINY.spectrogram.samples,)


class Witness(Callback):
    """Notes what it is told, and does ``act`` at every record."""

    def __init__(self, act=lambda run: None) -> None:
        self.act, self.told = act, []

    def on_start(self, run):
        self.told.append("start")

    def on_record(self, run):
        self.told.append(run.step)
        self.act(run)

    def on_end(self, run):
        self.told.append("end")


def test_callbacks_hear_of_start_records_and_end():
    witness = Witness()
    run = train(TINY, ToyBandClips(TINY), callbacks=[witness], record_every=4)
    assert witness.told == ["start", 4, 6, "end"]  # the last step is always recorded
    assert [entry["step"] for entry in run.history] == [4, 6]
    assert (run.step, run.stop, run.interrupted, run.model.training) == (6, False, False, False)


def test_a_callback_stops_the_run():
    witness = Witness(lambda run: setattr(run, "stop", run.step == 2))
    run = train(TINY, ToyBandClips(TINY), callbacks=[witness], record_every=1)
    assert witness.told == ["start", 1, 2, "end"]
    assert (run.step, run.interrupted) == (2, False)


def test_ctrl_c_ends_the_run_cleanly():
    def press(run):
        if run.step == 3:
            raise KeyboardInterrupt

    witness = Witness(press)
    run = train(TINY, ToyBandClips(TINY), callbacks=[witness], record_every=1)
    assert witness.told == ["start", 1, 2, 3, "end"]
    assert (run.step, run.interrupted, run.model.training) == (3, True, False)


def test_a_loss_that_is_not_a_number_stops_with_the_step(monkeypatch):
    def broken(*arguments):
        loss, mixtures = mixture_loss(*arguments)
        calls.append(1)
        return loss * (math.nan if len(calls) == 3 else 1), mixtures

    calls: list[int] = []
    monkeypatch.setattr(training, "mixture_loss", broken)
    with pytest.raises(SopeduError, match="loss is nan at step 3") as caught:
        train(TINY, ToyBandClips(TINY), record_every=1)
    assert "\n" not in str(caught.value)


def loss_and_gradient(labels: list[int], absent: int) -> tuple[torch.Tensor, torch.Tensor]:
    config = with_values(TINY, [f"mixing.absent={absent}"])
    torch.manual_seed(0)
    model = new_model(config)
    generator = torch.Generator().manual_seed(1)
    waveforms = 0.1 * torch.randn(4, config.spectrogram.samples, generator=generator)
    frames = torch.randint(0, 256, (4, 1, 3, 64, 64), generator=generator, dtype=torch.uint8)
    loss, _ = mixture_loss(model, waveforms, frames, np.array(labels), config, np.random.default_rng(0))
    loss.backward()
    return loss.detach(), model.frame_net.head.weight.grad


def test_absent_places_that_nobody_fills_have_no_influence():
    # With two classes in all, each pair holds both, so nobody is absent. The mean is over three places, not two.
    for without, filled in zip(
        loss_and_gradient([0, 0, 1, 1], 0), loss_and_gradient([0, 0, 1, 1], 1), strict=True
    ):
        torch.testing.assert_close(filled * 3 / 2, without)
    # With four classes somebody is always absent, and then it counts.
    without, filled = loss_and_gradient([0, 1, 2, 3], 0)[0], loss_and_gradient([0, 1, 2, 3], 1)[0]
    assert abs(filled * 3 / 2 - without) > 1e-3 * without
