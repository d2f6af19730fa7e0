"""The page for blind listening: all versions equally loud and without loss, and nothing in it that gives them away."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sopedu.audio.loudness import BROADCAST_LEVEL, level_of
from sopedu.config import preset
from sopedu.errors import SopeduError
from sopedu.evaluation import TestPairs, Trial, trials_of_pairs, write_sheet
from sopedu.evaluation.sheet import CONDITIONS

SOUND = preset("tiny").spectrogram
PICTURE = np.zeros((30, 40, 3), np.uint8)


def tones(**peaks: float) -> dict[str, np.ndarray]:
    """A tone per version, each of another pitch."""
    clock = np.arange(11025) / 11025
    return {name: peak * np.sin(2 * np.pi * 200 * n * clock) for n, (name, peak) in enumerate(peaks.items(), 2)}


def content(path: Path) -> tuple[dict, dict]:
    """What the page holds, and its key."""
    data = re.search(r'id="data">(.+?)</script>', path.read_text(encoding="utf-8"), re.S)[1]
    return json.loads(data), json.loads(path.with_suffix(".key.json").read_text(encoding="utf-8"))


def decoded(text: str) -> np.ndarray:
    return soundfile.read(io.BytesIO(base64.b64decode(text)))[0]


def test_every_version_is_there_at_one_level_and_only_the_key_names_it(tmp_path):
    path, versions = tmp_path / "page.html", tones(reference=0.5, mixture=0.05, model=0.002)
    key_path = write_sheet(path, [Trial("cello, mixed with tuba", "cello", PICTURE, versions)] * 2, SOUND, "a model")
    page, key = content(path)
    assert key_path == tmp_path / "page.key.json" and key["sheet"] == page["sheet"] and key["model"] == "a model"
    assert key["conditions"] == {name: CONDITIONS[name] for name in versions}
    names = [name for trial in page["trials"] for name in (trial["id"], *trial["sounds"])]
    assert len(set(names)) == 8 and not any(condition in json.dumps(names) for condition in CONDITIONS)
    for trial in page["trials"]:
        assert trial["asked"] == "cello" and set(trial) == {"id", "asked", "picture", "sounds", "reference"}
        found = {key["trials"][trial["id"]]["sounds"][name]: decoded(text) for name, text in trial["sounds"].items()}
        assert np.array_equal(found["reference"], decoded(trial["reference"]))
        for name, version in versions.items():
            level = float(level_of(torch.from_numpy(found[name]), SOUND))
            assert level == pytest.approx(
                min(BROADCAST_LEVEL, 20 * np.log10(np.abs(version).max()) - 3.01 + 30), abs=0.1
            )
            inner = slice(200, -200)  # without the fades
            gain = found[name][inner] @ version[inner] / (version[inner] @ version[inner])
            assert np.abs(found[name] - gain * version)[inner].max() < 1e-4


def test_what_would_clip_makes_all_versions_of_a_trial_softer_and_silence_stays_silent(tmp_path):
    click = np.zeros(11025)
    click[500::1000] = 0.9
    path, versions = tmp_path / "page.html", tones(reference=0.5) | {"mixture": click, "model": 0 * click}
    write_sheet(path, [Trial("", "", PICTURE, versions)], SOUND)
    page, key = content(path)
    (trial,), (hidden,) = page["trials"], key["trials"].values()
    found = {hidden["sounds"][name]: decoded(text) for name, text in trial["sounds"].items()}
    assert np.abs(found["mixture"]).max() == pytest.approx(0.98, abs=1e-3) and not found["model"].any()
    levels = [float(level_of(torch.from_numpy(found[name]), SOUND)) for name in ("reference", "mixture")]
    assert levels[0] == pytest.approx(levels[1], abs=0.1) and levels[0] < BROADCAST_LEVEL


def test_other_seeds_give_other_names_and_pages_know_their_key(tmp_path):
    trial = Trial("", "", PICTURE, tones(reference=0.5, model=0.5))
    pages = [tmp_path / f"{number}.html" for number in range(3)]
    for path, seed in zip(pages, (0, 0, 1), strict=True):
        write_sheet(path, [trial], SOUND, seed=seed)
    first, again, other = (content(path)[1] for path in pages)
    assert first["trials"] == again["trials"] and first["sheet"] == again["sheet"]
    assert not first["trials"].keys() & other["trials"].keys() and first["sheet"] != other["sheet"]


def test_without_a_reference_the_page_says_so(tmp_path):
    write_sheet(tmp_path / "page.html", [Trial("", "", PICTURE, tones(mixture=0.5, model=0.5))], SOUND)
    page, _ = content(tmp_path / "page.html")
    assert page["trials"][0]["reference"] is None and "There is no reference" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("name", "trials", "message"),
    [
        ("page.txt", [tones(reference=1, model=1)], r"page.txt: a page for listening is called NAME.html"),
        ("page.html", [], "0 trials of 0 versions"),
        ("page.html", [tones(model=1)], "1 trials of 1 versions"),
    ],
)
def test_what_cannot_be_a_page_is_refused_and_nothing_is_written(name, trials, message, tmp_path):
    with pytest.raises(SopeduError, match=message):
        write_sheet(tmp_path / name, [Trial("", "", PICTURE, versions) for versions in trials], SOUND)
    assert list(tmp_path.iterdir()) == []


def test_sources_of_held_out_pairs_are_asked_for_in_turn_and_silent_ones_left_out():
    sources = torch.randn(4, 2, 4000, generator=torch.Generator().manual_seed(0))
    sources[2, 0] = 0
    frames = torch.arange(8, dtype=torch.uint8).view(4, 2, 1, 1, 1, 1).expand(-1, -1, 3, 3, 8, 8)
    labels = np.array([[0, 1]] * 4)
    pairs = TestPairs(sources, sources.sum(1), frames, labels, None, frames[:, 0], ("acoustic_guitar", "tuba"))
    rows = {"mixture": sources.sum(1, keepdim=True).expand(-1, 2, -1)[..., :3900], "model": sources[..., :3900] / 2}
    found = trials_of_pairs(pairs, rows | {"blank": sources[:, :1]})
    assert [trial.about for trial in found] == [
        "acoustic_guitar, mixed with tuba",
        "tuba, mixed with acoustic_guitar",
        "tuba, mixed with acoustic_guitar",
    ]
    assert [int(trial.picture[0, 0, 0]) for trial in found] == [0, 3, 7] and found[0].asked == "acoustic guitar"
    assert set(found[0].versions) == {"reference", "mixture", "model"}
    assert {len(version) for version in found[0].versions.values()} == {3900}
    assert len(trials_of_pairs(pairs, rows, trials=2)) == 2
