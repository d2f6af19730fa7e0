"""The authors' weights in one command, from a local server to a separated film.

The stand-ins hold random weights of the paper's sizes; the nets that keep the original's names are in `test_original`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import sopedu
from odd_names import ODD
from served import cut, page, served, status
from test_original import Original

from sopedu.config import preset
from sopedu.errors import SopeduError
from sopedu.model import fetch_weights
from sopedu.model.checkpoints import load_checkpoint
from sopedu.model.original import import_original
from sopedu.model.published import PUBLISHED
from sopedu.separation.notes import domain_hint
from sopedu.shipped import FETCHED, checkpoint_folder
from sopedu.toyband import duet
from sopedu.toyband.export import write_scene_video

FILES = PUBLISHED["music"].files


def release(folder: Path, original: Original) -> Path:
    """The three files as the authors publish them: saved by an old torch, from nets on several GPUs."""
    for name, net in original.nets.items():
        tensors = {f"module.{key}": value for key, value in net.state_dict().items()}
        torch.save(tensors, folder / f"{name}_best.pth", _use_new_zipfile_serialization=False)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Small files, for tests of what goes wrong."""
    return release(tmp_path_factory.mktemp("release"), Original())


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty cache, a working folder, and no proxy."""
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SOPEDU_WEIGHTS_URL", raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "checkpoints"


@pytest.fixture
def small(files, monkeypatch):
    """Expect the small model instead of the paper's."""
    expected = import_original(*(files / name for name in FILES), **PUBLISHED["music"].options).config
    monkeypatch.setattr("sopedu.model.published.preset", {"paper": expected}.__getitem__)


@pytest.fixture
def server(files, small):
    with served(**contents(files)) as server:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {f"release/{path.name}": path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["", *ODD.values()], ids=["empty", *ODD])
def test_an_odd_name_is_no_model_and_leaves_nothing_behind(place, tmp_path, name):
    with pytest.raises(SopeduError, match="no such published model") as unknown:
        fetch_weights(name, progress=False)
    assert "\n" not in str(unknown.value) and list(tmp_path.iterdir()) == []
    if name not in (".", "..", ""):  # folders that are there
        with pytest.raises(SopeduError) as missing:
            load_checkpoint(name)
        assert len(str(missing.value).splitlines()) == 1


def test_a_model_of_the_published_sizes_is_fetched_by_one_command(place, tmp_path):
    (tmp_path / "release").mkdir()
    files = release(tmp_path / "release", Original(components=32, depth=7, width=64))
    assert f"{sum(path.stat().st_size for path in files.iterdir()) / 1e6:.0f}" == f"{PUBLISHED['music'].megabytes}"
    with served(**contents(files)) as server:
        server.answers = [cut(10**6)]
        status_, said, shown = sopedu(f"weights music --url {server.url}/release/")
    assert status_ == 0, shown
    assert "plan: fetch about 166 MB once; licence: none is stated" in said and f"from {server.url}/release/" in said
    assert "frame_best.pth: the connection ended after 1000000 of" in shown  # and it went on
    assert [path for path, _ in server.asked] == [f"/release/{name}" for name in (FILES[0], *FILES)]
    found, expected = load_checkpoint("music"), import_original(*(files / name for name in FILES)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.model.state_dict().items())
    assert found.config.model == replace(preset("paper").model, frame_weights="none")
    assert (
        "trained on MUSIC (accordion, acoustic_guitar, cello," in said and "violin, xylophone) for 100 epochs" in said
    )
    assert sorted(path.name for path in place.iterdir() if path.is_dir()) == ["music"]  # the downloads are gone


def test_once_fetched_the_name_separates_a_film(place, server, tmp_path):
    assert sopedu(f"weights music --url {server.url}/release")[0] == 0
    write_scene_video("film.mp4", duet(2, size=64, times=np.arange(8) / 8, samples=11025), 8.0)
    status_, said, shown = sopedu("separate film.mp4 --checkpoint music --out parts --device cpu")
    assert status_ == 0 and "this model knows accordion, acoustic_guitar," in said, shown
    assert (tmp_path / "parts" / "report.html").exists()
    assert "sopedu weights music" not in said  # which a model of drawings recommends
    for name, heard in (("toyband", "synthesized and sampled"), ("toyband-tiny", "synthesized")):
        assert domain_hint(load_checkpoint(name)).startswith(
            f"this model has seen drawings and heard {heard} instruments only: "
        )
    assert domain_hint(load_checkpoint("toyband")).endswith(
        "sopedu weights music fetches a model of filmed instruments, then --checkpoint music"
    )
    status_, said, _ = sopedu("weights music")  # a second time nothing is asked
    assert status_ == 0 and "music is there already" in said and len(server.asked) == 3
    assert f"music         in {place / 'music'}" in sopedu("weights")[1]


def test_its_card_says_where_it_is_from_and_what_is_not_known(place, files, server):
    fetch_weights("music", address=f"{server.url}/release", progress=False, say=lambda _: None)
    card = (place / "music" / "README.md").read_text(encoding="utf-8")
    notes = json.loads((place / "music" / "config.json").read_text(encoding="utf-8"))["trained_on"]
    for name in FILES:
        digest = hashlib.sha256((files / name).read_bytes()).hexdigest()
        assert f"`{name}`: `{digest}`" in card and notes["sha256"][name] == digest
    assert PUBLISHED["music"].address in card and f"{server.url}/release, fetched on {notes['fetched']}" in card
    assert "**Licence.** None is stated with the files" in card and notes["licence"].startswith("none is stated")


def test_files_that_are_there_already_are_read_where_they_are(place, small, files, tmp_path):
    status_, said, shown = sopedu(f"weights music --from {files}")
    assert status_ == 0 and "plan" not in said, shown
    assert checkpoint_folder("music") == place / "music" and len(list(files.iterdir())) == 3
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / FILES[0]).write_bytes((files / FILES[0]).read_bytes())
    status_, _, shown = sopedu("weights music --from some")
    assert (status_, len(shown.splitlines())) == (2, 1)
    assert f"some: does not hold {FILES[1]}, {FILES[2]}; fetch them from http://sound-of-pixels.csail.mit.edu" in shown


def test_a_damaged_checkpoint_is_fetched_again(place, server, files, monkeypatch):
    monkeypatch.setenv("SOPEDU_WEIGHTS_URL", f"{server.url}/release")
    fetch_weights(progress=False, say=lambda _: None)
    whole = (place / "music" / "model.safetensors").read_bytes()
    (place / "music" / "model.safetensors").write_bytes(whole[:-100])
    fetch_weights(progress=False, say=lambda _: None)
    assert (place / "music" / "model.safetensors").read_bytes() == whole and len(server.asked) == 6


def test_without_a_network_one_line_says_what_to_fetch_by_hand(place, server):
    gone = f"{server.url}/elsewhere"
    status_, _, shown = sopedu(f"weights music --url {gone}")
    (line,) = [line for line in shown.splitlines() if line.startswith("sopedu: ")]
    assert status_ == 2 and line == (
        f"sopedu: frame_best.pth: answers 404 (Not Found). By hand: fetch {', '.join(FILES)} from {gone}/ into a "
        "folder, then sopedu weights music --from FOLDER"
    )
    for command in ("separate film.mp4 --checkpoint music --out parts", "evaluate music", "train --out o --from music"):
        status_, _, shown = sopedu(command)
        assert status_ == 2
        assert (
            shown.splitlines()[-1] == "sopedu: music: is not on this machine yet; sopedu weights music fetches it once"
        )
    assert "music         not here yet: sopedu weights music fetches it" in sopedu("weights")[1]


def other_model(files: Path) -> bytes:
    """A synthesizer that tells K = 16."""
    torch.save({"scale": torch.ones(16), "bias": torch.zeros(1)}, files.parent / "other.pth")
    return (files.parent / "other.pth").read_bytes()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda _: b"<html>not found</html>", "synthesizer_best.pth: is no file of torch.save, or damaged"),
        (lambda _: b"", "synthesizer_best.pth: is empty"),
        (lambda files: (files / FILES[1]).read_bytes(), "is not the original code's synthesizer"),
        (other_model, "K differs: 8 in"),
    ],
)
def test_wrong_content_is_refused_and_not_taken_again(place, server, files, wrong, said):
    right = server.files[f"/release/{FILES[2]}"]
    server.files[f"/release/{FILES[2]}"] = wrong(files)
    status_, _, shown = sopedu(f"weights music --url {server.url}/release")
    assert status_ == 2 and said in shown.splitlines()[-1] and f"(it is from {server.url}/release)" in shown
    assert not (place / "music").exists()
    server.files[f"/release/{FILES[2]}"] = right
    assert sopedu(f"weights music --url {server.url}/release")[0] == 0


def test_a_page_instead_of_the_file_and_another_model_are_told(place, server, tmp_path):
    server.answers = [page]
    assert "frame_best.pth: answers with a web page" in sopedu(f"weights music --url {server.url}/release")[2]
    server.answers = [status(403)]
    assert "frame_best.pth: answers 403 (Forbidden)" in sopedu(f"weights music --url {server.url}/release")[2]
    for name, net in Original(components=8, depth=6, width=4).nets.items():
        torch.save(net.state_dict(), tmp_path / f"{name}_best.pth")
    status_, _, shown = sopedu(f"weights music --from {tmp_path}")
    assert status_ == 2 and "another model (K = 8, channels (4, 8, 16, 32, 32, 32)) than the published one" in shown
    assert "'jazz': no such published model is known; there is music" in sopedu("weights jazz")[2]


def test_two_processes_do_not_fetch_at_once(place, server):
    from filelock import FileLock

    place.mkdir(parents=True)
    with FileLock(place / ".music.lock"), pytest.raises(SopeduError, match="music: another process is fetching it"):
        fetch_weights(address=f"{server.url}/release", progress=False)
    assert server.asked == []


def test_a_user_without_a_home_is_told_where_it_could_be_kept(place, monkeypatch):
    for name in ("SOPEDU_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home")))
    with pytest.raises(SopeduError, match="music: this user has no home folder to keep it in; SOPEDU_CACHE=FOLDER"):
        load_checkpoint("music")


def test_every_published_model_has_a_name_that_is_known():
    assert tuple(PUBLISHED) == FETCHED
