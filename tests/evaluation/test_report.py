"""The report: whole, offline, true to its numbers, safe with strange names, and usable with a screen reader."""

from __future__ import annotations

import base64
import io
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from sopedu.cli import commands as cli
from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation.baselines import class_spectra, estimates_by_row
from sopedu.evaluation.listening import evaluate_listening
from sopedu.evaluation.listening_tables import listening_tables
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.evaluation.report import _next_steps, write_report
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.plots import ROW_NAMES
from sopedu.toyband.scenes import duet

NAMES = ("violin", "flute", "trumpet", "xylophone")
EVIL = '<script>alert("1")</script> & $x_{$'
VOID = {"meta", "img", "br", "hr", "input", "link"}
HISTORY = [{"step": i, "loss": 1 / i, "learning_rate": 1e-3, "seconds": 2.0 * i} for i in range(1, 31)]
FIGURES = {
    "sdr": 6.54, "sdr_mixture": 0.21, "sdr_improvement": 6.33, "sdr_static_mask": 3.07, "sdr_swapped": -7.89,
    "sdr_ideal_ratio_mask": 13.46, "leak_blank": -31.25, "leak_absent": -22.5, "counted_silent": 3, "seed": 7,
    "protocol": "64 mixtures <of> toys", "sdr_nmf_by_class": 8.04, "sdr_nmf_by_class_best": 9.11,
    "nmf_best": {"n_fft": 2046, "hop_length": 512, "power": 2}, "class_accuracy_seen": 0.984,
    "table": {
        name: {"sdr": sdr, "sir": sdr + 1.01, "sar": sdr + 2.02, "si_sdr": sdr - 3.03}
        for name, sdr in zip(ROW_NAMES, (0.21, 3.07, 8.04, 8, 9.11, 9, 6.54, 7, 6.5, 12.35, 13.46, -7.89), strict=True)
    },
    "intervals": {name: {"sdr": [-1.25, 7.5] if name == "model" else [None, None]} for name in ROW_NAMES},
    "differences": {"static_mask": {"mean": 3.47, "low": 2.5, "high": 4.25}},
    "by_classes": {"flute": {"violin": 5.0}, "violin": {"flute": None}}, "by_class": {"flute": 5.0, "violin": None},
}  # fmt: skip


class Page(HTMLParser):
    """Reads a page and keeps what the tests ask for; a tag closed out of order is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words, self.rows = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def material(own_cache):
    """An untrained model, three pairs and their estimates; enough to fill a report."""
    torch.manual_seed(0)
    config = with_values(preset("tiny"), ["model.frame_weights=none"])
    config = replace(config, toyband=replace(config.toyband, instruments=NAMES, empty_scenes=0))
    checkpoint = Checkpoint(SoundOfPixels(config).eval(), NAMES, {"data": "toyband", "steps": 30})
    pairs = held_out_pairs(ToyBandClips(config, "validation", 6), 3)
    rows = estimates_by_row(checkpoint, pairs, class_spectra(ToyBandClips(config, "train", 8, seed=900)))
    rows["nmf_by_class"] = rows["static_mask"]  # any sound will do
    return checkpoint, pairs, rows


def a_duet(checkpoint: Checkpoint, **how):
    sound = checkpoint.config.spectrogram
    settings = {"pair": ("violin", "trumpet"), "samples": sound.samples, "size": 128, "times": (0.4, 1.0)} | how
    return duet(3, "validation", **settings)


@pytest.fixture(scope="module")
def report(material, tmp_path_factory):
    checkpoint, pairs, rows = material
    figures, before = pyplot.get_fignums(), set(Path.cwd().iterdir())
    path = tmp_path_factory.mktemp("run") / "report.html"
    written = write_report(
        path, checkpoint, HISTORY, FIGURES, pairs, rows, examples=2, duet=a_duet(checkpoint), title="A <report> & more"
    )
    assert written == path and list(path.parent.iterdir()) == [path]
    assert pyplot.get_fignums() == figures and set(Path.cwd().iterdir()) == before
    return path


@pytest.fixture(scope="module")
def page(report) -> Page:
    return Page(report.read_text(encoding="utf-8"))


def test_report_is_one_file_that_asks_nobody(report, page) -> None:
    text = report.read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    assert text.startswith("<!DOCTYPE html>") and page.all("html") == [{"lang": "en"}]
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
    sources = [attributes["src"] for _, attributes in page.tags if "src" in attributes]
    assert sources and all(re.match(r"data:(image/webp|audio/mpeg);base64,", source) for source in sources)
    assert "{{" not in page.text and "{%" not in page.text


def test_table_holds_the_figures(page) -> None:
    head, *lines = page.rows
    assert head == ["Row", "SDR", "SIR", "SAR", "SI-SDR", "SDR improvement"]
    values = {line[0]: line[-5:] for line in lines}
    assert list(values) == list(ROW_NAMES.values())
    assert values["model"] == ["6.54", "7.55", "8.56", "3.51", "6.33"]
    assert values["mixture"] == ["0.21", "1.22", "2.23", "−2.82", "0.00"]
    assert values["swapped pictures"] == ["−7.89", "−6.88", "−5.87", "−10.92", "−8.10"]
    assert page.text.count("−1.25 … 7.50") == 1
    assert [attributes.get("class") for attributes in page.all("tr")].count("model") == 1


def test_summary_says_what_the_figures_mean(page) -> None:
    assert "a mean SDR of 6.54 dB" in page.text and "improves it by 6.33 dB" in page.text
    assert "the model is 3.47 dB better (95 % interval of the difference: 2.50 … 4.25 dB)." in page.text
    assert "8.04 dB at the model’s STFT: the model is 1.50 dB worse" in page.text
    assert "windows of 2046 samples, a hop of 512 and squared masks, it reaches 9.11 dB" in page.text
    assert "names 98% of the pictures rightly" in page.text
    assert "reaches −7.89 dB: the picture decides which sound comes out" in page.text
    assert "lets −31.25 dB through, one of an instrument that is not heard −22.50 dB" in page.text
    assert "64 mixtures <of> toys. Seed 7. Silent estimates, scored −30 dB: 3." in page.text
    assert "30 steps, 60 s" in page.text


def test_summary_does_not_praise_a_model_that_fails(material, tmp_path) -> None:
    checkpoint, pairs, rows = material
    figures = FIGURES | {"sdr": -2.0, "sdr_improvement": -2.21, "sdr_swapped": -2.1, "leak_absent": None}
    path = write_report(tmp_path / "report.html", checkpoint, [], figures, pairs, rows, examples=0)
    text = Page(path.read_text(encoding="utf-8")).text
    assert "the model makes it worse by 2.21 dB" in text and "5.07 dB worse" in text
    assert "the picture decides nothing yet" in text
    assert "lets −31.25 dB through. This" in text and "left no history" in text


def test_every_promised_sound_has_a_player_that_plays(page, material) -> None:
    checkpoint, pairs, _ = material
    players = page.all("audio")
    # Per example a mixture, and of both sources truth, estimate, static mask, NMF; of the duet two boxes and itself.
    assert len(players) == 2 * (1 + 2 * 4) + 1 + 2 * 2
    labels = [attributes["aria-label"] for attributes in players]
    name = pairs.class_names[pairs.labels[0, 0]]
    for kind in ("alone (reference)", "the model’s estimate", "static mask, to compare", "supervised NMF, to compare"):
        assert f"{name}, {kind}" in labels
    assert "box 1 (violin), the model’s estimate" in labels and "box 2 (trumpet), alone (reference)" in labels
    assert all("controls" in attributes for attributes in players)
    import soundfile

    mixture = next(attributes["src"] for attributes in players if attributes["aria-label"].startswith("mixture of"))
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(mixture.partition(",")[2])))
    assert rate == checkpoint.config.spectrogram.sample_rate
    expected = pairs.mixture[0].square().mean().sqrt().item()
    length = checkpoint.config.spectrogram.samples
    assert np.sqrt(np.square(heard).sum() / length) == pytest.approx(expected, rel=0.1)


def test_every_figure_can_be_seen_and_is_described(page) -> None:
    pictures = page.all("img")
    assert len(pictures) == 3 + 2 + 1  # scores, pairs of classes, learning curve, two examples, sound map
    assert len({attributes["alt"] for attributes in pictures}) == 6
    assert "mean of each class: flute 5.00 dB." in pictures[1]["alt"]
    assert all(len(attributes["alt"]) > 40 for attributes in pictures)
    assert "model 6.54 dB" in pictures[0]["alt"]
    for attributes in pictures:
        with Image.open(io.BytesIO(base64.b64decode(attributes["src"].partition(",")[2]))) as picture:
            assert picture.width > 500 and np.asarray(picture.convert("L")).std() > 5


def test_headings_are_in_order_and_regions_have_names(page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(levels, levels[1:], strict=False))
    regions = [attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "region"]
    assert len(set(regions)) == len(regions) == 7
    assert "viewport" in [attributes.get("name") for attributes in page.all("meta")]
    assert all("scope" in attributes for attributes in page.all("th"))


def test_names_are_text_and_never_markup(material, tmp_path) -> None:
    checkpoint, pairs, rows = material
    names = tuple(f"{EVIL}{i}" for i in range(len(NAMES)))
    checkpoint = replace(checkpoint, class_names=names, trained_on={"data": EVIL, "steps": EVIL})
    shown = replace(a_duet(checkpoint), labels=names[:2])
    path = write_report(
        tmp_path / "report.html", checkpoint, HISTORY, FIGURES, replace(pairs, class_names=names), rows, 1, shown, EVIL
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.all("script")
    assert page.text.count('<script>alert("1")</script>') > 10
    assert any(attributes["aria-label"].startswith("box 1 (<script>") for attributes in page.all("audio"))


def test_examples_show_every_combination_of_classes_before_one_comes_again(material, tmp_path, monkeypatch) -> None:
    checkpoint, pairs, rows = material
    monkeypatch.setattr("sopedu.plots.plot_separation", lambda *what: Figure())
    labels = np.array([[0, 1], [1, 0], [2, 3]])
    path = write_report(
        tmp_path / "report.html", checkpoint, HISTORY, FIGURES, replace(pairs, labels=labels), rows, examples=2
    )
    text = Page(path.read_text(encoding="utf-8")).text
    assert "Mixture 1: violin and flute" in text and "Mixture 2: trumpet and xylophone" in text
    assert "Mixture 3" not in text and "A duet" not in text


def test_binary_targets_are_shown_as_binary_masks(material, tmp_path, monkeypatch) -> None:
    checkpoint, pairs, rows = material
    config = with_values(checkpoint.config, ["loss.target=binary", "loss.kind=bce"])
    model = SoundOfPixels(config).eval()
    drawn = []
    monkeypatch.setattr("sopedu.plots.plot_separation", lambda *what: drawn.append(what) or Figure())
    write_report(tmp_path / "report.html", replace(checkpoint, model=model), [], FIGURES, pairs, rows, examples=1)
    _, _, _, frames, true, predicted, _, names = drawn[0]
    assert set(true.unique().tolist()) == {0, 1} and set(predicted.unique().tolist()) <= {0, 1}
    assert frames.shape == (2, 3, 64, 64) and len(names) == 2


def test_what_the_model_keeps_of_sounds_is_shown_if_it_was_measured(material, tmp_path) -> None:
    checkpoint, pairs, rows = material
    found = evaluate_listening(checkpoint, pairs=2, dictionaries=False, progress=False)
    shown = FIGURES | {"listening": found}
    page = Page(write_report(tmp_path / "report.html", checkpoint, [], shown, pairs, rows, 0).read_text("utf-8"))
    assert "Does it listen?" in page.text and found["protocol"] in page.text
    assert f"the model keeps {found['own_alone']:.0%} of the energy" in page.text
    for _, head, lines in listening_tables(found):
        shown = [[cell for cell in row if cell] for row in page.rows]
        assert all([cell.replace("-", "−") if i else cell for i, cell in enumerate(line) if cell] in shown
                   for line in lines) and list(head[1:] if not head[0] else head) in shown  # fmt: skip
    regions = [attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "region"]
    assert len(set(regions)) == len(regions)


def test_faults_are_named_and_leave_nothing_behind(material, tmp_path) -> None:
    checkpoint, pairs, rows = material
    faulty = replace(a_duet(checkpoint, samples=8000), sample_rate=8000)
    with pytest.raises(SopeduError, match="8000 Hz.*sample_rate=11025"):
        write_report(tmp_path / "report.html", checkpoint, [], FIGURES, pairs, rows, 0, faulty)
    with pytest.raises(SopeduError, match="does not exist"):
        write_report(tmp_path / "nowhere" / "report.html", checkpoint, [], FIGURES, pairs, rows, 0)
    assert list(tmp_path.iterdir()) == []


def test_localization_is_told_if_it_was_measured(material, tmp_path) -> None:
    checkpoint, pairs, rows = material
    found = {"peak_in_player": 0.74, "peak_chance": 0.21, "peak_in_player_unrelated_audio": 0.5, "scenes": 100}
    path = write_report(
        tmp_path / "report.html", checkpoint, [], FIGURES | {"localization": found}, pairs, rows, examples=0
    )
    assert "in 74% of 100 such scenes" in Page(path.read_text(encoding="utf-8")).text


@pytest.mark.parametrize("target", ["ratio", "binary"])
def test_commands_to_try_next_are_ones_that_sopedu_has(material, tmp_path, target) -> None:
    checkpoint = material[0]
    config = with_values(checkpoint.config, [f"loss.target={target}"])
    (tmp_path / "checkpoint").mkdir()
    commands = typer.main.get_command(cli.app).commands
    steps = _next_steps(replace(checkpoint, model=SoundOfPixels(config)), tmp_path / "report.html")
    for _, line in steps:
        program, name, *arguments = shlex.split(line)
        parsed = commands[name].make_context(name, arguments).params
        assert program == "sopedu"
        assert parsed.get("checkpoint") in (None, str(tmp_path / "checkpoint"))
        with_values(config, parsed.get("changes") or [])
    assert ("loss.target=binary" in steps[-1][1]) == (target == "ratio")
