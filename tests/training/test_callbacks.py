"""Callbacks look on: they show what happens, go on where a resumed run goes on, and change nothing."""

from __future__ import annotations

import io
import json
import random
import re
import sys
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from sopedu.audio.spectrogram import stft
from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.model.modes import evaluating
from sopedu.plots import NotebookFigure, encode_figure
from sopedu.training.callbacks import JsonLinesHistory, LivePlot, Progress, TensorBoard, read_history
from sopedu.training.loop import train
from sopedu.training.run import Callback, Run
from sopedu.training.setup import new_model
from sopedu.training.validation_preview import ValidationPreview

VALUES = """model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4
toyband.solos=12 toyband.empty_scenes=0 toyband.instruments=violin,tuba,xylophone mixing.silent_share=0
training.steps=4 training.batch_size=4 training.precision=float32"""
TINY = with_values(preset("tiny"), VALUES.split())


pytestmark = pytest.mark.usefixtures("one_thread", "own_cache")


@pytest.fixture(scope="module")
def held_out():
    return ToyBandClips(TINY, "validation", 6)


def run_at(step: int, history: list[dict] = (), steps: int = 100, model: torch.nn.Module | None = None) -> Run:
    return Run(TINY, model, ("violin", "tuba", "xylophone"), steps, step=step, history=list(history))


def record(run: Run, step: int, *watching: Callback, **more: float) -> None:
    run.step = step
    run.history.append({"step": step, "loss": 1 / step, "learning_rate": 1e-3, "seconds": step / 10, **more})
    for callback in watching:
        callback.on_record(run)


def random_states() -> tuple:
    numpys = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), numpys[1].tolist(), numpys[2:]


# --- progress -----------------------------------------------------------------------------------------------------


def test_the_time_left_counts_only_the_steps_of_this_part_of_a_resumed_run(monkeypatch, capsys):
    clock = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])  # what the bar takes for the time
    bar, run = Progress(), run_at(60, [{"step": 60, "loss": 0.5}])
    bar.on_start(run)
    clock[0] += 20
    record(run, 70, bar, mixtures_per_second=123.4, validation_loss=0.25, validation_sdr=-1.5)
    shown = bar.bar.format_dict
    # Ten steps took twenty seconds, so thirty more take sixty; had the first sixty counted, it would be seven.
    assert (shown["n"], shown["total"], shown["initial"], shown["elapsed"]) == (70, 100, 60, 20)
    assert "70/100 [00:20<01:00" in str(bar.bar)
    record(run, 71, bar)
    for said in ("loss=0.0141", "mixtures/s=123", "validation_loss=0.2500", "validation_SDR=-1.5 dB"):
        assert said in str(bar.bar)  # the last of each, though the last record had no validation
    run.step = 75  # stopped between two records
    bar.on_end(run)
    assert bar.bar.n == 75 and "training:" in capsys.readouterr().err


def test_a_run_without_validation_shows_none():
    bar, run = Progress(), run_at(0)
    bar.on_start(run)
    record(run, 10, bar)
    assert "validation" not in str(bar.bar) and "mixtures" not in str(bar.bar)
    bar.on_end(run)


# --- history ------------------------------------------------------------------------------------------------------


def test_every_record_is_a_line_that_lies_in_the_file_at_once(tmp_path):
    path, run = tmp_path / "new" / "history.jsonl", run_at(0)
    kept = JsonLinesHistory(path)
    kept.on_start(run)
    assert path.read_text() == ""
    for step in (10, 20):
        record(run, step, kept, **({"validation_sdr": float("nan")} if step == 20 else {}))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(10, step + 1, 10))
    assert "validation_sdr" not in lines[1]  # NaN is no JSON, and no figure
    assert read_history(path) == read_history(tmp_path / "new") == lines == [run.history[0], lines[1]]


def test_a_resumed_run_cuts_what_it_makes_again_and_no_step_occurs_twice(tmp_path):
    path = tmp_path / "history.jsonl"
    entries = [{"step": step, "loss": 1.0} for step in (10, 20, 30, 40)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"step": 50, "lo')
    for restored in (entries[:2], []):  # whether or not the checkpoint brought the history
        run, kept = run_at(20, restored), JsonLinesHistory(path)
        kept.on_start(run)
        assert read_history(path) == entries[:2]
        record(run, 30, kept)
        assert [entry["step"] for entry in read_history(path)] == [10, 20, 30]
    JsonLinesHistory(path).on_start(run_at(0))  # a new run begins anew
    assert path.read_text() == "" and [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]
    JsonLinesHistory(path).on_start(run_at(20, entries[:2]))  # a file that was lost is made again
    assert read_history(path) == entries[:2]


def test_a_history_is_read_in_both_forms_and_a_torn_end_is_left_out(tmp_path):
    entries = [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.25, "validation_sdr": 3.0}]
    (tmp_path / "history.json").write_text(json.dumps(entries))
    assert read_history(tmp_path) == read_history(tmp_path / "history.json") == entries
    whole = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    for length in range(len(whole) + 1):  # wherever kill -9 cut it
        (tmp_path / "history.jsonl").write_bytes(whole[:length])
        complete = sum(end <= length for end in (whole.index(b"\n"), len(whole) - 1))
        assert read_history(tmp_path) == entries[:complete]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("history.jsonl", b'{"step": 1}\n{"step": 2, "loss": 1}\n', "record 1 has no step and loss"),
        ("history.jsonl", b'nonsense\n{"step": 2, "loss": 1}\n', "record 1 has no step and loss: nonsense; remove"),
        ("history.json", b'[{"step": 2}]', "record 1 has no step and loss"),
        ("history.json", b"[1", "not readable as a history"),
        ("history.json", b"3", "not readable as a history"),
    ],
)
def test_what_is_no_history_is_said_in_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SopeduError, match=re.escape(said)) as error:
        read_history(tmp_path)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_a_folder_without_history_and_a_full_disk_are_said(tmp_path):
    with pytest.raises(SopeduError, match=r"holds no history\.jsonl"):
        read_history(tmp_path)
    with pytest.raises(SopeduError, match="no such history"):
        read_history(tmp_path / "no.jsonl")
    kept, run = JsonLinesHistory(tmp_path / "history.jsonl"), run_at(0)
    kept.on_start(run)
    kept.path = tmp_path / "gone" / "history.jsonl"
    with pytest.raises(SopeduError, match="cannot be written"):
        record(run, 10, kept)


# --- one pair, watched --------------------------------------------------------------------------------------------


def test_looking_at_a_pair_changes_neither_model_nor_random_states(held_out):
    model = new_model(TINY).train()
    model.frame_net.body.eval()  # a frozen part stays in the mode that it was in
    modes = [module.training for module in model.modules()]
    weights, states = {name: value.clone() for name, value in model.state_dict().items()}, random_states()
    pair = ValidationPreview(held_out)
    figure, estimates = pair.draw_separation(model)
    pair.draw_masks(model, NotebookFigure())
    assert [module.training for module in model.modules()] == modes and len(set(modes)) == 2
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert random_states() == states
    with pytest.raises(KeyboardInterrupt), evaluating(model):
        assert not model.training
        raise KeyboardInterrupt
    assert [module.training for module in model.modules()] == modes
    assert estimates.shape == (2, TINY.spectrogram.counted_samples)
    assert len(figure.axes) >= 15 and encode_figure(figure, "png", dpi=40)[:4] == b"\x89PNG"


def test_the_predicted_masks_are_those_of_the_model_in_evaluation_mode(held_out):
    model, pairs = new_model(TINY), held_out_pairs(held_out, 3)
    pair = ValidationPreview(pairs)
    assert pair.names == [pairs.class_names[label] for label in pairs.labels[0]]
    model.synthesizer.bias.data.fill_(100.0)  # masks of one let everything through
    figure, estimates = pair.draw_separation(model)
    whole = torch.istft(
        stft(pairs.mixture[0], TINY.spectrogram), TINY.spectrogram.n_fft, TINY.spectrogram.hop_length,
        window=torch.hann_window(TINY.spectrogram.n_fft), length=estimates.shape[1],
    )  # fmt: skip
    assert torch.allclose(estimates[0], estimates[1]) and torch.allclose(estimates[0], whole, atol=1e-4)
    below = NotebookFigure()
    pair.draw_masks(model, below)
    titles = ["mixture", *(f"{name}: {kind}" for name in pair.names for kind in ("true", "predicted"))]
    assert [axes.get_title() for axes in below.axes] == titles
    assert np.allclose(below.axes[2].images[0].get_array(), 1) and below.axes[1].images[0].get_array().std() > 0.1


class Recorded(list):
    """Stands in for the place in a notebook that a figure is replaced in."""

    update = list.append


def test_the_live_plot_replaces_one_figure_of_one_size(monkeypatch, held_out):
    shown = Recorded()
    monkeypatch.setattr("IPython.display.display", lambda display_id: shown)
    run, live = run_at(0, model=new_model(TINY).train()), LivePlot(40, held_out)
    live.on_start(run)
    assert shown == []
    for step in range(10, 101, 10):
        record(run, step, live, **({"validation_loss": 0.5, "validation_sdr": -2.0} if step == 40 else {}))
    assert len(shown) == 3 and run.model.training  # at 40, 80 and 100
    assert len({Image.open(io.BytesIO(figure._repr_png_())).size for figure in shown[::2]}) == 1
    curve = shown[-1].axes[0]
    assert "loss 0.01 at step 100, validation SDR −2.0 dB" in curve.get_title()
    assert [list(line.get_xdata()) for line in curve.lines][-1] == [40]
    again = LivePlot(20)
    again.on_start(run_at(50, run.history[:5]))  # a resumed run is seen before it has gone on
    assert len(shown) == 4


def test_an_entry_needs_only_step_and_loss(monkeypatch, tmp_path):
    monkeypatch.setattr("IPython.display.display", lambda display_id: Recorded())
    run = run_at(0)
    watching = [Progress(), LivePlot(1), JsonLinesHistory(tmp_path / "h.jsonl"), TensorBoard(tmp_path)]
    for callback in watching:
        callback.on_start(run)
    run.step, run.history = 1, [{"step": 1, "loss": 0.5}]
    for callback in watching:
        callback.on_record(run)
        callback.on_end(run)


# --- tensorboard --------------------------------------------------------------------------------------------------


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0, "audio": 0, "scalars": 0}).Reload()


def steps_of(found) -> list[int]:
    return [event.step for event in found]


def test_tensorboard_holds_scalars_pictures_and_players_and_the_run_is_the_same(tmp_path, held_out, monkeypatch):
    # What stands in the picture is shown above; here an empty one of its size is drawn, which is faster.
    monkeypatch.setattr(
        "sopedu.training.validation_preview.plot_separation", lambda *_: NotebookFigure(figsize=(10, 6.7))
    )
    clips = ToyBandClips(TINY)
    plain = train(TINY, clips, record_every=1)
    run = train(TINY, clips, callbacks=[TensorBoard(tmp_path, held_out, every=3)], record_every=1)
    losses = [entry["loss"] for entry in run.history]
    assert losses == [entry["loss"] for entry in plain.history]  # watched or not, to the last bit
    found = events(tmp_path)
    scalars = found.Scalars("loss/training")
    assert steps_of(scalars) == [1, 2, 3, 4] and [event.value for event in scalars] == pytest.approx(losses)
    assert "loss/validation" not in found.Tags()["scalars"]
    pictures = found.Images("one held-out pair")
    assert steps_of(pictures) == [0, 3, 4]  # untrained, every three steps, and at the end
    with Image.open(io.BytesIO(pictures[0].encoded_image_string)) as picture:
        assert picture.size == (pictures[0].width, pictures[0].height) == (900, 603)
    pair = ValidationPreview(held_out)
    kinds = {f"players/{name}, {kind}" for name in pair.names for kind in ("alone", "estimated")}
    assert set(found.Tags()["audio"]) == kinds | {"players/mixture"}
    assert steps_of(found.Audio(f"players/{pair.names[0]}, estimated")) == [0, 3, 4]
    (heard,) = found.Audio("players/mixture")
    with wave.open(io.BytesIO(heard.encoded_audio_string)) as sound:
        assert sound.getframerate() == TINY.spectrogram.sample_rate
        samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16) / 32767
    np.testing.assert_allclose(samples, pair.mixture[0], atol=1e-4)


def test_a_resumed_run_purges_what_it_makes_again(tmp_path):
    first = TensorBoard(tmp_path)
    run = run_at(0)
    first.on_start(run)
    for step in (10, 20, 30):
        record(run, step, first, validation_sdr=float(step), mixtures_per_second=5.0)
    first.writer.flush()  # and then it is killed: on_end is never called
    run, second = run_at(10, run.history[:1]), TensorBoard(tmp_path)
    second.on_start(run)
    record(run, 20, second, validation_sdr=-1.0)
    second.on_end(run)
    first.writer.close()
    found = events(tmp_path).Scalars("validation SDR in dB")
    assert [(event.step, event.value) for event in found] == [(10, 10.0), (20, -1.0)]


def test_where_tensorboard_is_missing_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SopeduError, match="pip install tensorboard"):
        TensorBoard(tmp_path)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(SopeduError, match="pip install ipython"):
        LivePlot().on_start(run_at(0))
