"""float32 unless bf16 is asked for and works; bf16 that fails later ends in float32, and nothing is lost."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.model.modes import untrained
from sopedu.training import loop as training
from sopedu.training.loop import train
from sopedu.training.precision import choose_precision
from sopedu.training.run import Callback, Run

CPU = torch.device("cpu")
VALUES = """model.frame_weights=none model.audio_channels=8,8,8 model.frame_width=8 model.components=8
toyband.solos=16 toyband.empty_scenes=2 toyband.instruments=violin,tuba,xylophone training.steps=8
training.batch_size=4"""
SMALL = with_values(preset("tiny"), VALUES.split())
BF16 = with_values(SMALL, ["training.precision=bf16"])


pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


def in_bf16() -> bool:
    return torch.is_autocast_enabled("cpu")


def spoil_under_bf16(monkeypatch: pytest.MonkeyPatch, spoil, from_call: int = 0) -> list[int]:
    """Let the loss of every step in bf16 from one call on pass through ``spoil``; returns the list of all calls."""
    calls, honest = [], training.mixture_loss

    def spoilt(*arguments):
        calls.append(len(calls))
        loss, mixtures = honest(*arguments)
        return (spoil(loss) if in_bf16() and calls[-1] >= from_call else loss), mixtures

    monkeypatch.setattr(training, "mixture_loss", spoilt)
    return calls


def run_of(config: Config, record_every: int = 2, callbacks: tuple[Callback, ...] = ()) -> Run:
    return train(config, ToyBandClips(config), None, callbacks, record_every)


def test_on_the_cpu_auto_is_float32_and_no_step_is_tried(monkeypatch):
    monkeypatch.setattr("sopedu.training.precision.mixture_loss", None)  # it would fail if it were called
    assert SMALL.training.precision == "auto"
    assert choose_precision(untrained(SMALL), SMALL, CPU) == ("float32", "")


@pytest.mark.parametrize(("has_bf16", "chosen"), [(True, "bf16"), (False, "float32")])
def test_on_a_gpu_auto_asks_for_bf16_that_is_not_emulated(monkeypatch, has_bf16, chosen):
    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or has_bf16  # a Turing card: yes by emulation, else no

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr("sopedu.training.precision._trial_of_bf16", lambda *_: ("", 9.0))
    assert choose_precision(untrained(SMALL), SMALL, torch.device("cuda")) == (chosen, "")


@pytest.mark.parametrize(
    ("seconds", "note"),
    [(1, ""), (3, "a step in bf16 takes 3.0 times as long as in float32 on this processor")],
    ids=["as fast as float32", "imitated"],
)
def test_bf16_that_is_asked_for_and_works_is_used(monkeypatch, seconds, note):
    import sopedu.training.precision as precision

    honest, clock = precision.mixture_loss, [0.0]

    def timed(*arguments):
        clock[0] += seconds if in_bf16() else 1
        return honest(*arguments)

    monkeypatch.setattr(precision, "mixture_loss", timed)
    monkeypatch.setattr(precision, "perf_counter", lambda: clock[0])
    assert choose_precision(untrained(BF16), BF16, CPU) == ("bf16", note)


def test_trying_bf16_changes_neither_the_model_nor_the_random_numbers():
    model, before = untrained(BF16), torch.get_rng_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    choose_precision(model, BF16, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


FACTORS = cycle([1, 1, float("nan")])


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda loss: loss * float("nan"), "gives numbers that are not finite"),
        (lambda loss: loss * next(FACTORS), "gives numbers that are not finite"),
        (lambda loss: loss.detach() + (loss - loss.detach()) * float("inf"), "gives numbers that are not finite"),
        (lambda loss: loss * 1.5, "gives another loss than float32"),
    ],
    ids=["loss", "one run of three", "gradients only", "another number"],
)
def test_bf16_that_fails_its_trial_is_told_in_one_line_and_float32_is_used(monkeypatch, spoil, found):
    import sopedu.training.precision as precision

    honest = precision.mixture_loss

    def spoilt(*arguments):
        loss, mixtures = honest(*arguments)
        return (spoil(loss) if in_bf16() else loss), mixtures

    monkeypatch.setattr(precision, "mixture_loss", spoilt)
    chosen, note = choose_precision(untrained(BF16), BF16, CPU)
    assert chosen == "float32" and found in note and "float32" in note and "\n" not in note
    run = run_of(BF16)
    assert run.precision == "float32" and [text for text in run.notes if found in text] == run.notes


def test_a_training_whose_bf16_failed_its_trial_is_the_float32_training(monkeypatch):
    expected = [entry["loss"] for entry in run_of(with_values(SMALL, ["training.precision=float32"])).history]
    monkeypatch.setattr("sopedu.training.precision._trial_of_bf16", lambda *_: ("fails", 1.0))
    assert [entry["loss"] for entry in run_of(BF16).history] == expected


def test_a_loss_that_stops_being_finite_in_bf16_is_retried_in_float32_from_the_last_finite_state(monkeypatch):
    calls = spoil_under_bf16(monkeypatch, lambda loss: loss * float("nan"), from_call=5)
    states = []

    class Watch(Callback):
        def on_record(self, run: Run) -> None:
            states.append((run.step, run.precision))

    run = run_of(BF16, callbacks=(Watch(),))
    assert (run.step, run.precision, run.failed) == (8, "float32", False)
    # Two steps between records: the sixth call fails, the record after it finds that, the fourth step is the last good.
    assert states == [(2, "bf16"), (4, "bf16"), (6, "float32"), (8, "float32")]
    assert len(calls) == 6 + 4 and [entry["step"] for entry in run.history] == [2, 4, 6, 8]
    [note] = run.notes
    assert "step 6" in note and "from step 4" in note and "float32" in note
    assert all(bool(value.isfinite().all()) for value in run.model.state_dict().values())


def test_the_retry_repeats_the_steps_that_float32_would_have_taken(monkeypatch):
    """Failing at once in bf16 leaves nothing behind: weights, optimizer, averages and mixtures are those of float32."""
    average = ["training.average_decay=0.9"]
    expected = run_of(with_values(SMALL, [*average, "training.precision=float32"]))
    monkeypatch.setattr("sopedu.training.precision._trial_of_bf16", lambda *_: ("", 1.0))
    spoil_under_bf16(monkeypatch, lambda loss: loss * float("nan"))
    run = run_of(with_values(BF16, average))
    assert [entry["loss"] for entry in run.history] == [entry["loss"] for entry in expected.history]
    assert run.same_class_mixtures == expected.same_class_mixtures
    for one, other in ((run.model, expected.model), (run.result, expected.result)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_weights_that_are_not_finite_under_a_finite_loss_are_noticed_before_they_are_kept(monkeypatch):
    """A gradient may overflow while its loss does not: the loss shows it only one step later."""

    def last_gradient_overflows(loss: torch.Tensor) -> torch.Tensor:
        return loss.detach() + (loss - loss.detach()) * float("inf")

    spoil_under_bf16(monkeypatch, last_gradient_overflows, from_call=3)  # the fourth step, at which a record is due
    run = run_of(with_values(BF16, ["training.clip_gradient=0"]))
    assert run.precision == "float32" and "from step 2" in run.notes[0]
    assert all(np.isfinite(entry["loss"]) for entry in run.history) and len(run.history) == 4
