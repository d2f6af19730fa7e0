"""The demo end to end with next to no training, and the callbacks that save and draw on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from sopedu import demo
from sopedu.audio.spectrogram import istft, stft
from sopedu.config import with_values
from sopedu.data.clips import ToyBandClips
from sopedu.demo import DEMO_INSTRUMENTS, demo_config, localization_line, run_demo, same_class_line, score_table
from sopedu.errors import SopeduError
from sopedu.evaluation import dictionaries, report
from sopedu.evaluation import separation as evaluation
from sopedu.evaluation.baselines import class_spectra, static_masks
from sopedu.evaluation.localization import evaluate_localization
from sopedu.model.checkpoints import load_checkpoint
from sopedu.training import callbacks
from sopedu.training.callbacks import KeepCheckpoint, LivePlot, Progress
from sopedu.training.run import Run

FEW = """toyband.solos=8 toyband.empty_scenes=2 training.batch_size=4 training.precision=float32
model.audio_channels=4,4,4 model.components=4"""
ROWS = ("mixture", "static_mask", "model", "ideal_binary_mask", "ideal_ratio_mask", "swapped")


@pytest.fixture(scope="module", autouse=True)
def little_to_do(one_thread, own_cache):
    """Few solos, a small net, and five scenes for the localization."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "demo_config", lambda steps, seed: with_values(demo_config(steps, seed), FEW.split()))
        patch.setattr(
            demo,
            "evaluate_localization",
            lambda checkpoint, seed, **_: evaluate_localization(checkpoint, 5, seed, duets=2),
        )
        for name, value in {"_SOLOS": 6, "_ATOMS": 4, "_LEARNING": 4, "_UPDATES": 8, "_PILOT": 2}.items():
            patch.setattr(dictionaries, name, value)
        yield


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory) -> SimpleNamespace:
    folder, said = tmp_path_factory.mktemp("demo"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        figures = run_demo(seed=1, steps=4, workers=1, say=said.append, pairs=4)
    return SimpleNamespace(folder=folder, figures=figures, said="\n".join(said))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_checkpoint_figures_and_report(demonstrated):
    run = demonstrated.folder / "runs" / "demo-001"
    kept = {f"checkpoint/{name}" for name in ("config.json", "metrics.json", "model.safetensors")}
    assert set(contents(demonstrated.folder / "runs")) == {
        f"demo-001/{name}" for name in kept | {"history.jsonl", "metrics.json", "report.html"}
    }
    not_a_number = Mock(side_effect=AssertionError("NaN or infinity"))
    figures = json.loads((run / "metrics.json").read_text(), parse_constant=not_a_number)
    assert figures == json.loads(json.dumps(demonstrated.figures))
    assert (figures["pairs"], figures["seed"], figures["localization"]["scenes"]) == (4, 1, 5)
    assert figures["instruments"] == list(DEMO_INSTRUMENTS) and figures["seconds"] > figures["training_seconds"] > 0
    loaded = load_checkpoint(run / "checkpoint")
    assert loaded.class_names == DEMO_INSTRUMENTS and loaded.metrics["sdr"] == figures["sdr"]
    assert (loaded.trained_on["steps"], loaded.trained_on["data"], loaded.trained_on["seed"]) == (4, "toyband", 1)
    assert [entry["step"] for entry in callbacks.read_history(run)] == [4]


def test_the_report_stands_alone_and_shows_and_plays(demonstrated):
    page = (demonstrated.folder / "runs" / "demo-001" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=(?!["']?(data:|#))""", page), "it loads something from outside"
    assert (
        page.count("<audio") >= 4 * 7 and page.count("<img") >= 4 + 3 and "$" not in re.sub(r"base64,[^\"]+", "", page)
    )


def test_it_says_what_it_does_and_where_everything_is(demonstrated):
    said = demonstrated.said
    assert re.search(r"^device: (cuda|cpu, \d+ threads)$", said, re.M) and re.search(r"about \d+ s", said)
    assert score_table(demonstrated.figures) in said and "chance " in said and "supervised NMF: the model" in said
    for name in ("checkpoint", "metrics.json", "report.html"):
        assert f"\n  runs/demo-001/{name}\n" in said
    assert "next:" in said and "sopedu separate VIDEO.mp4 --checkpoint runs/demo-001/checkpoint" in said


def test_a_second_run_leaves_the_first_as_it_was(demonstrated, monkeypatch):
    monkeypatch.chdir(demonstrated.folder)
    monkeypatch.setattr(report, "write_report", lambda path, *_, **__: path.write_text("short") and path)
    before = contents(Path("runs/demo-001"))
    run_demo(seed=2, steps=2, workers=1, say=lambda _: None, pairs=2)
    assert contents(Path("runs/demo-001")) == before
    assert contents(Path("runs/demo-002"))["report.html"] == b"short"


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(SopeduError, match="already exists and is not an empty folder"):
            run_demo(out)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_who_interrupts_keeps_the_checkpoint_and_gets_no_report(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Progress, "on_record", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "run", steps=12, workers=1, say=said.append)
    assert load_checkpoint(tmp_path / "run" / "checkpoint").trained_on["steps"] == 10
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"checkpoint", "history.jsonl"}
    assert "interrupted at step 10" in said[-1] and str(tmp_path / "run" / "checkpoint") in said[-1]


def test_the_table_has_a_line_for_every_row_and_one_for_the_leak():
    scores = {"sir": 10.25, "sar": -3.5, "si_sdr": -2.25}
    table = {row: {"sdr": float(number)} | scores for number, row in enumerate(ROWS, 1)}
    lines = score_table({"table": table, "leak_blank": -12.34, "leak_absent": -5.0}).splitlines()
    assert " ".join(lines[0].split()) == "dB SDR 95 % interval SIR SAR SI-SDR SDR improvement" and len(lines) == 8
    assert [line[26:].split() for line in lines[1:7]] == [
        [f"{number}.00", "–", "10.25", "-3.50", "-2.25", f"{number - 1}.00"] for number in range(1, 7)
    ]
    assert lines[7] == "leak: -12.3 dB to an empty room, -5.0 dB to an instrument that is not playing"
    assert score_table({"table": table, "leak_blank": -12.34, "leak_absent": None}).endswith(
        "-12.3 dB to an empty room"
    )
    sure = {
        "intervals": {row: {"sdr": [-123.456, 0.5]} for row in ROWS} | {"mixture": {"sdr": [None, None]}},
        "differences": {row: {"mean": 2.0, "low": -1.5, "high": 5.25} for row in ROWS if row != "model"},
    }
    lines = score_table({"table": table, "leak_blank": -12.34, "leak_absent": -5.0} | sure).splitlines()
    assert max(map(len, lines)) <= 100 and lines[1][26:].split()[1] == "–" and "-123.46 … 0.50" in lines[2]
    assert lines[7:-1] == ["model minus static mask (class only): 2.00 dB SDR, 95 % interval -1.50 … 5.25"]
    line = same_class_line({"table": table, "differences": sure["differences"]})
    assert "the model has 3.00 dB SDR, with their pictures swapped 6.00, the mixture 1.00" in line
    assert line.endswith("improvement 2.00 dB [-1.50 … 5.25]")
    table |= {"nmf_by_class": {"sdr": 7.0, "sir": 7.0, "sar": 7.0, "si_sdr": 7.0}}
    nmf = {"sdr": 3.0, "sdr_nmf_by_class": 2.4, "sdr_nmf_by_class_best": 7.0, "class_accuracy_seen": 0.99}
    nmf["nmf_best"] = {"n_fft": 2046, "hop_length": 512, "power": 2}
    lines = score_table({"table": table, "leak_blank": -12.34, "leak_absent": None, **nmf}).splitlines()
    assert lines[3].split() == ["NMF,", "classes", "told", "7.00", "–", "7.00", "7.00", "7.00", "6.00"]
    assert "0.6 dB above it at the model's STFT, 4.0 dB below it at its best (n_fft 2046, hop 512" in lines[-1]
    rates = {"peak_in_player": 0.7, "peak_chance": 0.25, "peak_in_player_unrelated_audio": 0.31, "scenes": 100}
    line = localization_line(rates | {"sdr_box": 3.25, "sdr_other_box": -2.0, "sdr_mixture": 0.3})
    assert "in 70% of 100 scenes (chance 25%, with unrelated audio 31%)" in line
    assert line.endswith("own box has 3.2 dB SDR, the other's -2.0, the mixture 0.3")


def test_the_demo_instruments_cannot_be_told_apart_by_their_mean_spectra():
    # Lifelike sounds; measured on 64 pairs with seed 0: 1.8 dB.
    config = with_values(demo_config(), ["toyband.empty_scenes=0"])
    known = ToyBandClips(config, "train", 24 * 4, seed=900)
    pairs = evaluation.held_out_pairs(ToyBandClips(config, "validation", 64), 32)
    masks = static_masks(class_spectra(known), pairs.labels)
    estimates = istft(masks * stft(pairs.mixture, config.spectrogram)[:, None], config.spectrogram)
    table, _ = evaluation.score_rows(pairs, {"static_mask": estimates}, config.spectrogram.counted_samples)
    assert 0 < table["static_mask"]["sdr"] <= 4


def walk(callback, steps: int, **state) -> None:
    run = Run(demo_config(), None, ("a", "b"), steps, **state)
    callback.on_start(run)
    for run.step in range(1, steps + 1):
        run.history.append({"step": run.step, "loss": 1.0, "learning_rate": 1.0, "seconds": 1.0})
        callback.on_record(run)
    callback.on_end(run)


def test_a_checkpoint_is_kept_every_so_many_steps_and_at_the_end_but_not_of_a_failure(monkeypatch, tmp_path):
    saved = []
    monkeypatch.setattr(
        callbacks, "save_checkpoint", lambda _, checkpoint: saved.append(checkpoint.trained_on["steps"])
    )
    walk(KeepCheckpoint(tmp_path / "checkpoint", "toyband", every=4), 10)
    assert saved == [4, 8, 10]
    walk(KeepCheckpoint(tmp_path / "other" / "checkpoint", "toyband", every=4), 10, failed=True)
    assert len(saved) == 3 and not (tmp_path / "other").exists()


def test_the_live_plot_replaces_one_figure_in_place(monkeypatch):
    shown, updates = [], []
    handle = SimpleNamespace(update=updates.append)
    monkeypatch.setattr("IPython.display.display", lambda *given, **how: shown.append((given, how)) or handle)
    before = pyplot.get_fignums()
    walk(LivePlot(every=4), 10)
    assert shown == [((), {"display_id": True})]
    assert len(updates) == 3 and all(isinstance(figure, Figure) for figure in updates)
    assert [axes.lines[0].get_xdata()[-1] for axes in (figure.axes[0] for figure in updates)] == [4, 8, 10]
    assert pyplot.get_fignums() == before
