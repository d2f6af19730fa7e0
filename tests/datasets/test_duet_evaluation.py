"""Films of two players: read from files and from an index, players found in three ways, bad films named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from filming import write_clapper

from sopedu.datasets import evaluate_duets, prepare
from sopedu.datasets.duet_films import instruments_named
from sopedu.datasets.duet_sheet import trials_of_duets
from sopedu.errors import SopeduError
from sopedu.evaluation.duets import CHEATS, FIGURES
from sopedu.model.checkpoints import Checkpoint, load_checkpoint
from sopedu.toyband import duet
from sopedu.toyband.export import write_scene_video
from sopedu.video import read_sound

PAIRS = (("cello", "xylophone"), ("flute", "tuba"))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint("toyband-tiny")


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Two duets whose folders say who plays, of three seconds each, with plain sounds."""
    folder = tmp_path_factory.mktemp("films")
    for seed, pair in enumerate(PAIRS):
        (folder / " ".join(pair)).mkdir()
        how = {"samples": 33075, "size": (96, 160), "times": tuple(np.arange(24) / 8), "properties": ()}
        write_scene_video(folder / " ".join(pair) / f"{seed}.mp4", duet(seed, "test", pair, **how), 8.0)
    return folder


@pytest.fixture(scope="module")
def judged(checkpoint, films) -> dict:
    return evaluate_duets(checkpoint, films, progress=False)


def test_a_model_does_better_than_every_cheat_where_the_cheat_is_revealed(judged):
    assert judged["films"] == 2 and judged["left_out"] == []
    for row, cheat in CHEATS.items():
        name = cheat.revealed_by
        ours, theirs = (judged["table"][of][name] for of in ("model", row))
        assert (ours > theirs) if FIGURES[name].better == "high" else (ours < theirs), (row, name)
    assert judged["counts"]["absent"] == 2 and judged["table"]["model"]["absent"] < -3
    assert json.loads(json.dumps(judged, allow_nan=False)) == judged


def test_the_boxes_of_a_file_are_the_places_that_are_asked(checkpoint, films, judged, tmp_path):
    """Halves written as boxes give the same figures as halves; one box is not two players."""
    halves = [{"time": 0.0, "label": name, "box": box} for name, box in (("a", [0, 0, 0.5, 1]), ("b", [0.5, 0, 1, 1]))]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(halves[::-1]))
    found = evaluate_duets(checkpoint, films, str(path), progress=False)
    assert found["table"] == judged["table"] and found["regions"] == str(path)
    path.write_text(json.dumps(halves[:1]))
    with pytest.raises(SopeduError, match="none of 2 films can be used; the first: .*finds one object, not two"):
        evaluate_duets(checkpoint, films, str(path), progress=False)


def test_the_loudest_places_are_two_players(checkpoint, films):
    found = evaluate_duets(checkpoint, films, "places", progress=False)
    assert found["films"] == 2 and found["table"]["model"]["halves"] > found["table"]["model"]["a_and_b"]


def test_prepared_clips_give_nearly_the_figures_of_their_films(checkpoint, films, judged, tmp_path):
    """Another decoder, pictures that were stored as JPEG, and the shift of the sound by less than a frame."""
    prepare(films, tmp_path / "data", jobs=1, progress=False)
    index = tmp_path / "data" / "all.csv"
    splits = [path for name in ("train", "val", "test") if (path := index.with_name(f"{name}.csv")).exists()]
    index.write_text("".join(path.read_text() for path in splits))
    found = evaluate_duets(checkpoint, index, progress=False)
    assert found["films"] == 2 and found["counts"]["absent"] == 2
    for name, value in found["table"]["model"].items():
        assert value == pytest.approx(judged["table"]["model"][name], abs=2.0 if FIGURES[name].unit else 0.15), name


def test_films_that_cannot_be_used_are_named_and_the_others_counted(checkpoint, films, tmp_path):
    for path in films.rglob("*.mp4"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_clapper(tmp_path / "mute.mp4", sound=False)
    write_clapper(tmp_path / "blind.mp4", pictures=False)
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    found = evaluate_duets(checkpoint, tmp_path, progress=False)
    assert found["films"] == 2 and [line.split(":")[0].rsplit("/")[-1] for line in found["left_out"]] == [
        "blind.mp4",
        "broken.mp4",
        "mute.mp4",
    ]
    assert "3 of 5 films are left out" in found["notes"] and found["counts"]["absent"] == 0
    assert any(note.startswith("no absent instrument for 2 of 2 films") for note in found["notes"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SopeduError, match="holds no film"):
        evaluate_duets(checkpoint, tmp_path / "empty")


def test_one_film_has_no_other_and_no_interval(checkpoint, films):
    (path, *_) = sorted(films.rglob("*.mp4"))
    found = evaluate_duets(checkpoint, path, progress=False)
    assert found["table"]["model"]["other_film"] is None and found["intervals"]["model"]["rest"] == [None, None]


def test_parts_of_films_to_listen_to_have_one_player_each_and_no_reference(checkpoint, films):
    found = trials_of_duets(checkpoint, films)
    assert [trial.about for trial in found] == [
        "cello xylophone/0.mp4, the left player",
        "flute tuba/1.mp4, the right player",
    ]
    for trial, path, side in zip(found, sorted(films.rglob("*.mp4")), (0, 1), strict=True):
        heard = read_sound(path, checkpoint.config.spectrogram.sample_rate)
        assert set(trial.versions) == {"mixture", "model", "model_normalised", "by_pitch"}
        assert np.allclose(trial.versions["mixture"], heard, atol=1e-6)
        assert {len(version) for version in trial.versions.values()} == {len(heard)}
        shares = {name: np.square(version).sum() / np.square(heard).sum() for name, version in trial.versions.items()}
        assert all(0.05 < shares[name] < 0.95 for name in ("by_pitch", "model_normalised"))
        yellow = (trial.picture.astype(int) @ (1, 1, -2) > 400).mean(0).reshape(2, -1).sum(1)
        assert yellow.argmax() == side and yellow.min() == 0
    assert len(trials_of_duets(checkpoint, films, trials=1)) == 1


def test_names_say_which_instruments_play():
    known = ("acoustic_guitar", "cello", "flute", "guitar")
    assert instruments_named("acoustic guitar-cello/x.mp4", known) == ["acoustic_guitar", "cello", "guitar"]
    assert instruments_named("audio/acoustic_guitar violin/x.wav", known) == ["acoustic_guitar", "guitar"]
    assert instruments_named("flutes/Cellos.mp4", known) == []
    assert instruments_named("00-Flute-CELLO.mp4", known) == ["cello", "flute"]
