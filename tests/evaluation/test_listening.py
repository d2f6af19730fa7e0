"""Does a model listen? Models that cheat are revealed, and an ideal one passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command import sopedu
from noise_clips import BAND, CONFIG, untrained
from torch import nn

from sopedu.audio.metrics import FLOOR
from sopedu.audio.soundfiles import save_waveform
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.evaluation import baselines, dictionaries, listening
from sopedu.evaluation.listening import COLUMNS, ROWS, SHARES, evaluate_listening
from sopedu.evaluation.listening_tables import listening_markdown, listening_tables, listening_text
from sopedu.evaluation.mask_curve import THRESHOLDS
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.evaluation.separation import evaluate
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.toyband.export import render_dataset

PAIRS, SEED = 4, 3
ALONE = ("own_alone", "swapped", "noise", "silence")


@pytest.fixture(scope="module", autouse=True)
def few_solos(own_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_SOLOS_PER_CLASS", 2)
        yield


def judged(model: SoundOfPixels, **how) -> dict:
    how = {"pairs": PAIRS, "seed": SEED, "dictionaries": False, "progress": False} | how
    return evaluate_listening(Checkpoint(model, BAND), **how)


@pytest.fixture(scope="module")
def figures() -> dict:
    return judged(untrained())


def constant(logit: float) -> SoundOfPixels:
    """A model whose masks have one value everywhere, whatever it sees and hears."""
    model = untrained()
    with torch.no_grad():
        model.synthesizer.scale.zero_()
        model.synthesizer.bias.fill_(logit)
    return model


class Blind(nn.Module):
    """A frame net that sees nothing."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(frames), CONFIG.model.components, 4, 4 * frames.shape[-1] // frames.shape[-2])


def test_a_model_that_ignores_the_picture_keeps_another_sound_like_its_own():
    model = untrained()
    model.frame_net = Blind()
    found = judged(model)
    table = found["table"]["model"]
    assert table["own_alone"] == table["swapped"] and table["own"] == pytest.approx(table["others"], abs=1e-4)
    assert table["mask_area"] == pytest.approx(0.5, abs=0.05)
    assert found["places"]["own_place"]["mean"] == pytest.approx(found["places"]["other_place"]["mean"], abs=1e-3)
    assert found["places"]["peak_in_place"]["mean"] == found["places"]["map_in_place"]["mean"] == 0.5


def test_a_model_that_always_gives_the_mixture_keeps_everything():
    found = judged(constant(40.0))
    assert all(found[column] == 1 for column in SHARES)
    assert found["mask_area"] == 0.5 and found["table"]["model"] == found["table"]["mixture"]
    assert found["curve"]["model"]["others"] == [1] * len(THRESHOLDS)


def test_a_model_that_is_silent_keeps_nothing_not_even_its_own():
    found = judged(constant(-80.0))
    assert all(found[column] == 0 for column in SHARES)
    assert found["mask_area"] == 0.5 and found["sdr"] == found["sdr_with_off_screen"] == FLOOR
    assert found["curve"]["model"]["own"] == [0] * len(THRESHOLDS)
    assert found["places"]["peak_in_place"]["mean"] == found["places"]["map_in_place"]["mean"] == 0


def test_a_model_that_knows_every_sound_of_its_picture_is_the_ideal_row(monkeypatch):
    pairs, sound = (
        held_out_pairs(ToyBandClips(CONFIG, "validation", 2 * PAIRS, seed=SEED), PAIRS, SEED),
        CONFIG.spectrogram,
    )
    solos = {
        frames.numpy().tobytes(): solo
        for frames, solo in zip(pairs.frames.flatten(0, 1), pairs.sources.flatten(0, 1), strict=True)
    }

    def oracle(model, mixture, frames):
        masks = torch.zeros(*frames.shape[:2], *warp(stft(mixture[:1], sound).abs(), sound).shape[1:])
        for place in np.ndindex(masks.shape[:2]):
            heard, solo = mixture[place[0]], solos[frames[place].numpy().tobytes()]
            if (heard @ solo) / (solo @ solo) > 0.5:  # it is in what is heard
                own, whole = (warp(stft(wave[None], sound).abs(), sound)[0] for wave in (solo, heard))
                masks[place] = (own / whole.clamp_min(1e-30)).clamp(0, 1)
        return masks

    monkeypatch.setattr(listening, "predict_masks", oracle)
    table = judged(untrained())["table"]
    for column in COLUMNS:
        assert table["model"][column] == pytest.approx(table["ideal_ratio_mask"][column], abs=2e-3), column
    assert table["model"]["own_alone"] == 1 and table["model"]["own"] > 0.8 > 0.1 > table["model"]["others"]
    assert table["model"]["swapped"] == table["model"]["noise"] == table["model"]["silence"] == 0
    assert table["model"]["mask_area"] > 0.97


def test_every_figure_is_there_and_the_baselines_are_where_theory_puts_them(figures):
    assert tuple(figures["table"]) == tuple(row for row in ROWS if row != "nmf_by_class") and all(
        tuple(row) == COLUMNS for row in figures["table"].values()
    )
    table = figures["table"]
    assert all(table["mixture"][column] == 1 and table["half_mask"][column] == 0.25 for column in SHARES)
    # A fixed mask does the same to a sound wherever it is heard, and lets white noise through at its own mean.
    static = table["static_mask"]
    assert static["own_alone"] == static["own"] == static["own_with_off_screen"]
    assert static["noise"] == static["silence"] and static["swapped"] == pytest.approx(static["others"], abs=1e-4)
    for row in ("mixture", "half_mask"):
        assert table[row]["mask_area"] == 0.5 and table[row]["sdr"] == table["mixture"]["sdr"]
    assert table["ideal_ratio_mask"]["sdr"] > table["mixture"]["sdr"] + 8 > table["mixture"]["sdr_with_off_screen"] + 9
    assert {name: figures[name] for name in COLUMNS} == table["model"]
    assert (figures["pairs"], figures["sources"], figures["seed"], figures["places"]["chance"]) == (PAIRS, 2, SEED, 0.5)
    assert "4 held-out mixtures of 2 solos" in figures["protocol"] and "notes" not in figures
    for low, high, mean in ((*figures["intervals"]["model"][name], figures[name]) for name in COLUMNS):
        assert low <= mean <= high
    json.dumps(figures, allow_nan=False)


def test_the_mixtures_are_those_of_evaluate(figures):
    scores = evaluate(Checkpoint(untrained(), BAND), pairs=PAIRS, seed=SEED, dictionaries=False)["table"]
    for row in ("model", "static_mask", "mixture"):
        assert figures["table"][row]["sdr"] == pytest.approx(scores[row]["sdr"], abs=1e-3)


def test_an_untrained_model_listens_to_nothing(figures):
    # All its masks are about one half everywhere: a quarter of the energy of whatever is heard.
    for column in SHARES:
        assert figures[column] == pytest.approx(0.25, abs=0.1)
    assert figures["mask_area"] == pytest.approx(0.5, abs=0.1)


def test_classes_together_hold_all_sounds(figures):
    counts = {name: found["sounds"] for name, found in figures["by_class"].items()}
    assert sum(counts.values()) == 2 * PAIRS and set(counts) <= set(BAND)
    mean = sum(counts[name] * found["own"]["mean"] for name, found in figures["by_class"].items()) / (2 * PAIRS)
    assert mean == pytest.approx(figures["own"], abs=1e-4)


def test_binary_masks_are_judged_as_they_are_applied(figures):
    binary = untrained().state_dict()
    model = SoundOfPixels(with_values(CONFIG, ["loss.target=binary"])).eval()
    model.load_state_dict(binary)
    found = judged(model)
    at_half = THRESHOLDS.index(0.5)
    assert found["sdr"] == pytest.approx(found["curve"]["model"]["sdr"][at_half], abs=1e-3)
    assert found["mask_area"] == figures["mask_area"]  # of the mask before the threshold


def test_a_trained_model_listens_and_so_do_dictionaries_but_not_to_what_nobody_told_them(monkeypatch, capsys):
    for name, value in {"_SOLOS": 8, "_ATOMS": 12, "_LEARNING": 30, "_UPDATES": 40, "_PILOT": 2}.items():
        monkeypatch.setattr(dictionaries, name, value)
    monkeypatch.setattr(dictionaries, "_OTHER_STFTS", ())
    monkeypatch.setattr(dictionaries, "usable_cores", lambda: 1)
    names = ("tuba", "xylophone", "flute")
    found = evaluate_listening("toyband-tiny", pairs=3, instruments=names, progress=False)
    assert capsys.readouterr() == ("", "")  # nor while solos are rendered and dictionaries learnt
    static, told = (found["table"][row] for row in ("static_mask", "nmf_by_class"))
    assert told["own_alone"] > 0.5 > 0.2 > told["swapped"] and told["mask_area"] > static["mask_area"]
    assert told["silence"] == 0.25  # no spectrum explains silence, so each of both classes gets one half of it
    assert told["off_screen"] > 0.1  # the classes that are told share everything
    assert found["differences"]["nmf_by_class"]["own"]["mean"] == pytest.approx(found["own"] - told["own"], abs=2e-4)
    assert listening_tables(found)[0].head[3:5] == ("minus NMF, told", "NMF, told")
    assert found["own_alone"] > 0.5 > 0.2 > found["swapped"] and found["swapped"] < static["swapped"]
    assert found["mask_area"] > max(0.8, static["mask_area"])
    assert found["places"]["own_place"]["mean"] > found["places"]["whole_frame"]["mean"]


def test_three_sounds_at_once_leave_nothing_off_screen():
    found = judged(untrained(), sources=3)
    assert found["places"]["chance"] == pytest.approx(1 / 3, abs=1e-4) and found["sources"] == 3
    assert (
        found["off_screen"] is found["sdr_with_off_screen"] is found["by_class"]["tuba"]["off_screen"]["mean"] is None
    )
    assert found["swapped"] is not None
    assert ("off-screen sound added: that one", *["–"] * 7) in listening_tables(found)[0].rows


def test_tables_hold_the_figures_in_text_and_markdown(figures):
    tables = listening_tables(figures)
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
    own = next(row for row in tables[0].rows if row[0] == "its own sound alone")
    assert own[1] == f"{100 * figures['own_alone']:.1f}" and own[-3:] == ("25.0", "100.0", "100.0")
    assert [row[0] for row in tables[3].rows] == [f"{at:g}" for at in THRESHOLDS]
    text, marked = listening_text(figures), listening_markdown(figures)
    assert all(table.title in text and f"{table.title}:" in marked for table in tables)
    assert max(map(len, text.splitlines())) <= 120
    assert f"| {' | '.join(own)} |".replace(" -", " −") in marked.splitlines()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, solos in (("train", 4), ("validation", 4)):
        render_dataset(folder, solos, split, instruments=BAND[:2], seconds=1, size=72, progress=False, properties=())
    return folder


def test_the_command_works_on_the_toy_band_and_on_an_index(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "model", Checkpoint(untrained(), BAND))
    begin = "evaluate model --listening --no-dictionaries --device cpu --json found.json --pairs 2"
    for more, said in (("", "3 classes in turn"), (f"--data {prepared / 'val.csv'}", "SHA-256 of the pairs")):
        status, shown, errors = sopedu(f"{begin} {more}")
        assert status == 0, errors
        found = json.loads(Path("found.json").read_text())
        assert found["listening"]["sdr"] == pytest.approx(found["sdr"], abs=1e-3)
        assert listening_text(found["listening"]) in shown and said in found["listening"]["protocol"]
        assert f"protocol: {found['listening']['protocol']}" in shown and "whether it listens" in shown


def test_silent_clips_are_left_out_and_nothing_but_silence_is_refused(prepared, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(prepared, folder)
    rows = [line.split(",")[0] for line in (folder / "val.csv").read_text().splitlines()]
    quiet = np.zeros(11025, np.float32)
    for row in rows[:2]:  # one of each class
        save_waveform(folder / row, quiet, 11025)
    found = judged(untrained(), data=str(folder / "val.csv"))
    assert found["table"]["mixture"]["own"] == found["table"]["mixture"]["own_alone"] == 1 > found["own"] > 0
    json.dumps(found, allow_nan=False)
    for row in rows:
        save_waveform(folder / row, quiet, 11025)
    with pytest.raises(SopeduError, match="all held-out clips are silent"):
        judged(untrained(), data=str(folder / "val.csv"))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("--vggss boxes.json --data clips", "--vggss needs --data FOLDER of clips, and goes with none of"),
        ("--pairs 0 --localization", "--pairs 0 scores the sound map alone"),
        ("--data gone.csv", "gone.csv"),
        ("--pair-list pairs.csv", "give --data INDEX.csv"),
    ],
)
def test_what_cannot_be_judged_is_told_in_one_line(command, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "model", Checkpoint(untrained(), BAND))
    status, _, errors = sopedu(f"evaluate model --listening --device cpu {command}")
    assert status == 2 and said in errors.splitlines()[-1] and "Traceback" not in errors
