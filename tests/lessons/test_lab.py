"""The lab compares finished runs, trains others in the background, stops at once and says what goes wrong."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.lessons import judge_quickly, lab_training
from sopedu.lessons.lab import Lab
from sopedu.plots import encode_figure

pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture
def lab():
    lab = Lab(solos=24, judged=3)
    yield lab
    lab.stop()
    lab.wait(60)


def press(lab: Lab, **message) -> str:
    """Send what the page sends; return the error that it then shows."""
    lab._asked(None, message, None)
    return lab._said["text"]


def test_it_opens_with_two_runs_that_sound_different(lab):
    assert (lab.a.name, lab.b.name) == ("K=2, BCE, ratio, seed 0", "K=16, BCE, ratio, seed 0")
    assert len(lab._a["scores"]) == 3 and sum(chosen for _, chosen in lab._a["scores"]) == 1
    few, many = (np.frombuffer(side["shown"]["sounds"][0], "<i2").astype(float) for side in (lab._a, lab._b))
    assert np.corrcoef(few, many)[0, 1] < 0.98
    assert lab.b.sdr_improvement > lab.a.sdr_improvement + 3


def test_a_choice_changes_one_side_and_leaves_the_other(lab):
    before = lab._b
    assert press(lab, kind="choose", side="a", values={"components": "8"}) == ""
    assert lab.a.name == "K=8, BCE, ratio, seed 0" and lab._b is before
    assert press(lab, kind="run", side="a", run="seed:2") == ""
    assert lab.a.seed == 2
    press(lab, kind="choose", side="a", values={"components": "4"})
    assert lab.a.seed == 2, "the seed stays where there is a run with it"


def test_another_pair_and_source_are_shown(lab):
    names, sound = lab._mixture["names"], lab._a["shown"]["sounds"]
    lab.pair = 3
    assert lab._mixture["names"] != names and lab._a["shown"]["sounds"] != sound
    with pytest.raises(SopeduError, match="pair 6: choose 0 to 5"):
        lab.pair = 6


def test_choices_without_a_finished_run_lead_to_a_training(lab):
    press(lab, kind="choose", side="a", values={"components": "4", "loss": "l2"})
    assert lab.a is None and lab._a["name"] == "" and lab._a["shown"] == {}
    assert lab._a["offered"]["loss"] == ["bce"] and lab._a["offered"]["components"] == ["16"]
    message = {"side": "a", "values": lab._a["values"], "seed": 1, "trained": "heads", "steps": 20}
    assert press(lab, kind="start", **message) == ""
    assert press(lab, kind="start", **message).startswith("a run is being trained: stop it")
    lab.wait(60)
    assert lab.a is lab.runs[0] and lab.a.name == "K=4, L2, ratio, seed 1, 20 steps"
    assert np.isfinite(lab.a.sdr_improvement) and lab._a["name"].endswith("(trained here)")
    press(lab, kind="choose", side="a", values={"components": "16"})
    press(lab, kind="run", side="b", run="live:0")
    assert lab.b is lab.runs[0] and lab.a.name == "K=16, L2, ratio, seed 1"


def test_python_compares_too(lab):
    figure = lab.compare({"components": 64, "seed": 1}, {"loss": "l1"})
    assert (lab.a.name, lab.b.name) == ("K=64, BCE, ratio, seed 1", "K=16, L1, ratio, seed 0")
    assert encode_figure(figure, "png")[:4] == b"\x89PNG"
    lab.compare(b="K=2, BCE, ratio, seed 2")
    assert lab.a.seed == 1 and lab.b.seed == 2
    with pytest.raises(SopeduError, match=r"no finished run has components=4, loss='l1': train it, lab.start\("):
        lab.compare({"components": 4, "loss": "l1"})
    with pytest.raises(SopeduError, match="no run is called 'K=3'"):
        lab.compare("K=3")
    data, _ = lab._repr_mimebundle_()
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(data)
    assert data["text/plain"].startswith("Lab(A: K=64")


def test_a_silent_run_is_explained_and_cured_by_a_switch(lab):
    press(lab, kind="choose", side="b", values={"loss": "l1"})
    assert lab._b["silent"] and "median" in lab._b["reason"]
    press(lab, kind="choose", side="b", values={"empty_rooms": "0", "absent_pictures": "0"})
    assert not lab._b["silent"] and lab.b.sdr_improvement > 5


def test_a_live_run_is_watched_scored_and_kept(lab):
    previews, said = [], []
    lab.observe(lambda change: previews.append(change["new"].get("step")), "_preview")
    lab.observe(lambda change: said.append(change["new"]["text"]), "_training")
    lab.start(components=8, seed=3, steps=30)
    assert lab.running
    lab.wait(60)
    assert [step for step in previews if step is not None] == [0, 20, 30]
    assert any("step 20 of 30, about" in text for text in said)
    (run,) = lab.runs
    assert run.name == "K=8, BCE, ratio, seed 3, 30 steps"
    assert [entry["step"] for entry in run.history] == [10, 20, 30]
    assert [entry["step"] for entry in run.history if "improvement" in entry] == [20, 30]
    assert "done after 30 steps, SDR improvement" in lab._training["text"] and not lab._training["running"]
    assert lab.b is run


def test_runs_of_one_seed_are_equal_and_each_has_its_curve(lab):
    for seed in (3, 3, 4):
        lab.start(components=8, seed=seed, steps=20)
        lab.wait(60)
    first, same, other = lab.runs
    assert first.history[0]["loss"] == same.history[0]["loss"] != other.history[0]["loss"]
    assert first.sdr_improvement == same.sdr_improvement != other.sdr_improvement
    assert same.name == f"{first.name} (2)"
    curves = lab._curves
    assert len({(curve["colour"], tuple(curve["dashes"])) for curve in curves}) == len(curves) == 4
    legend = [text.get_text() for text in lab.curves().legends[0].get_texts()]
    assert legend == [curve["name"] for curve in curves]


def test_stop_ends_a_run_after_the_step_it_is_in(lab, monkeypatch):
    began = threading.Event()
    monkeypatch.setattr(Lab, "looked", lambda *_: began.set())
    lab.start(steps=2000)
    assert began.wait(60)
    lab.stop()
    lab.wait(60)
    assert not lab.running and lab.runs == [] and lab.b.name == "K=16, BCE, ratio, seed 0"
    assert "too early to keep it" in lab._training["text"]


def test_stop_ends_the_rendering_of_solos():
    lab = Lab(solos=1000, judged=3)
    said = []

    def stop(change):
        said.append(change["new"]["text"])
        if said[-1].endswith("once: 10 %"):
            lab.stop()

    lab.observe(stop, "_training")
    lab.start()
    lab.wait(60)
    assert not lab.running and lab.runs == [] and not lab._training["alert"]
    assert said[-1].endswith("stopped before its first step") and not any("once: 20 %" in text for text in said)


def test_a_run_stopped_later_is_kept_and_says_so(lab, monkeypatch):
    watched = Lab.looked
    monkeypatch.setattr(Lab, "looked", lambda lab, run, model: (watched(lab, run, model), run.history and lab.stop()))
    lab.start(steps=2000)
    lab.wait(60)
    (run,) = lab.runs
    assert run.name == "K=16, BCE, ratio, seed 0, 2000 steps, stopped at step 20" and run.steps == 20


def test_the_second_of_two_labs_ends_the_training_of_the_first(lab, monkeypatch):
    training, most, now = lab_training.train, [0], [0]

    def counted(*args, **kwargs):
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            return training(*args, **kwargs)
        finally:
            now[0] -= 1

    monkeypatch.setattr(lab_training, "train", counted)
    second = Lab(solos=24, judged=3)
    lab.start(steps=2000)
    second.start(steps=20)
    second.wait(60)
    lab.wait(60)
    assert most == [1] and len(second.runs) == 1
    assert all(run.steps < 2000 for run in lab.runs)


def test_from_scratch_trains_everything(lab):
    lab.start(kind="scratch", steps=20)
    lab.wait(120)
    (run,) = lab.runs
    trunk = lab.finished.trunk.model.state_dict()
    learned = run.load().model.state_dict()
    assert not torch.equal(learned["audio_net.down.1.weight"], trunk["audio_net.down.1.weight"])
    assert "from scratch" in run.name and lab._a["kind"] == "heads" and lab._b["kind"] == "scratch"
    assert len(lab._b["scores"]) == 1, "heads and whole nets are not one spread"


def test_what_fails_is_said_in_the_lab(lab, monkeypatch):
    def fails(*_, **__):
        raise SopeduError("loss is nan")

    monkeypatch.setattr(lab_training, "train", fails)
    lab.start()
    lab.wait(60)
    assert lab._training["alert"] and "loss is nan" in lab._training["text"] and not lab._training["running"]
    assert lab.runs == []
    assert press(lab, kind="dance").startswith("the page asked for 'dance'")
    assert press(lab, kind="run", side="a", run="live:7").startswith("IndexError")


def test_wrong_arguments_are_named(lab):
    with pytest.raises(SopeduError, match="kind='all', show_as='b': choose heads or scratch"):
        lab.start(kind="all")
    with pytest.raises(SopeduError, match="no choice 'K'"):
        lab.start(K=3)
    with pytest.raises(SopeduError, match="seed"):
        lab.start(seed=-1)
    assert not lab.running


def test_exchanged_pictures_exchange_the_scores(lab):
    checkpoint = lab.b.load()
    clips = ToyBandClips(checkpoint.config, "validation", 4)
    pairs = held_out_pairs(clips, 2)
    gained, swapped, estimates = judge_quickly(checkpoint.model, pairs)
    exchanged = type(pairs)(**{**vars(pairs), "frames": pairs.frames.flip(1)})
    assert judge_quickly(checkpoint.model, exchanged)[:2] == pytest.approx((swapped, gained), abs=1e-3)
    assert estimates.shape == (2, checkpoint.config.spectrogram.counted_samples)
