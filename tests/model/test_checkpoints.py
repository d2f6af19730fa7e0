"""Checkpoints: what is saved comes back; anything else is refused in one line and never executed."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sopedu.audio.loudness import BROADCAST_LEVEL
from sopedu.config import preset, to_dict, with_values
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels

SIZES = "model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4"
CONFIG = with_values(preset("tiny"), SIZES.split())
WRONG_NOTES = {"format_version": [2, "1", None], "class_names": [3, [1, 2]], "trained_on": [[1]]}
NOTES = {"data": "toyband", "steps": 7, "seed": 3}


def new_checkpoint(seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    model = SoundOfPixels(CONFIG)
    model.train()(torch.randn(2, 1, 128, 32), torch.randn(2, 2, 1, 3, 64, 64))  # moves the running statistics
    return Checkpoint(model.eval(), ("violin", "tuba"), dict(NOTES), {"sdr": 5.5})


@torch.inference_mode()
def masks(checkpoint: Checkpoint) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    heard = torch.randn(2, 1, 128, 32, generator=generator)
    return torch.sigmoid(checkpoint.model(heard, torch.randn(2, 2, 1, 3, 64, 64, generator=generator)))


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_checkpoint(tmp_path / "model", new_checkpoint())


def refusal(folder: Path) -> str:
    with pytest.raises(SopeduError) as caught:
        load_checkpoint(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def change_notes(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_saved_comes_back(folder):
    loaded = load_checkpoint(folder)
    assert torch.equal(masks(loaded), masks(new_checkpoint()))
    assert (loaded.config, loaded.class_names, loaded.model.training) == (CONFIG, ("violin", "tuba"), False)
    assert (loaded.trained_on, loaded.metrics) == (NOTES, {"sdr": 5.5})
    assert "toyband (violin, tuba) for 7 steps" in loaded.describe()


def test_half_precision_storage_is_half_as_large_and_close(tmp_path, folder):
    half = save_checkpoint(tmp_path / "half", new_checkpoint(), torch.float16)
    difference = (masks(load_checkpoint(half)) - masks(load_checkpoint(folder))).abs().max()
    assert 0 < difference < 0.02  # 11 bits of mantissa, a dozen layers
    small, large = ((path / "model.safetensors").stat().st_size for path in (half, folder))
    assert small < 0.7 * large
    assert load_checkpoint(half).model.synthesizer.scale.dtype == torch.float32


def test_saving_replaces_an_earlier_checkpoint_whole_and_leaves_nothing_beside(tmp_path, folder):
    (folder / "left.txt").write_text("from before")
    other = replace(new_checkpoint(seed=1), metrics={})
    save_checkpoint(folder, other)
    assert torch.equal(masks(load_checkpoint(folder)), masks(other))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failed_save_keeps_the_earlier_checkpoint(tmp_path, folder):
    with pytest.raises(TypeError):
        save_checkpoint(folder, replace(new_checkpoint(seed=1), trained_on={"steps": object()}))
    assert torch.equal(masks(load_checkpoint(folder)), masks(new_checkpoint()))
    save_checkpoint(folder, new_checkpoint(seed=2))
    assert list(tmp_path.iterdir()) == [folder]


def test_a_pickle_is_refused_and_never_executed(tmp_path, folder):
    marker = tmp_path / "executed"

    class Malicious:
        def __reduce__(self):
            return Path.touch, (marker,)

    poison = pickle.dumps(Malicious())
    pickle.loads(poison)
    assert marker.exists()  # the poison works
    marker.unlink()
    (folder / "model.safetensors").write_bytes(poison)
    assert "weights cannot be read" in refusal(folder)
    torch.save({"weights": Malicious()}, folder / "model.safetensors")
    refusal(folder)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
@pytest.mark.parametrize("text", ['{"a": 1', "[1]", "", "\x00", pytest.param("[" * 100_000, id="deep")])
def test_broken_json_is_named(folder, name, text):
    (folder / name).write_text(text)
    assert name in refusal(folder)


def test_weights_that_do_not_fit_are_refused_by_name(folder):
    weights = load_file(folder / "model.safetensors")
    without = {name: value for name, value in weights.items() if name != "synthesizer.bias"}
    for changed, found in (
        (without, "synthesizer.bias: expected (1,), found nothing"),
        (weights | {"zebra": torch.zeros(2)}, "zebra: expected nothing, found (2,)"),
        (weights | {"synthesizer.scale": torch.zeros(5)}, "synthesizer.scale: expected (4,), found (5,)"),
        (weights | {"synthesizer.bias": torch.tensor([float("nan")])}, "synthesizer.bias are not finite"),
        (weights | {"synthesizer.bias": torch.tensor([float("inf")])}, "synthesizer.bias are not finite"),
    ):
        save_file(changed, folder / "model.safetensors")
        assert found in refusal(folder)


@pytest.mark.parametrize("size", ["components=100000000", "frame_width=999999999", "audio_channels=8,999999999"])
def test_absurd_sizes_are_refused_before_memory_is_taken(folder, size):
    change_notes(folder, config=to_dict(with_values(CONFIG, [f"model.{size}"])))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, values in WRONG_NOTES.items() for v in values])
def test_notes_of_a_newer_format_or_the_wrong_kind_are_refused(folder, name, value):
    change_notes(folder, **{name: value})
    assert ("update sopedu" in refusal(folder)) == (name == "format_version")


def test_the_level_of_its_training_comes_back_and_nonsense_is_refused(tmp_path, folder):
    assert load_checkpoint(folder).model.level_db == BROADCAST_LEVEL  # nothing was stated
    checkpoint = new_checkpoint()
    checkpoint.model.level_db = -17.5
    stated = save_checkpoint(tmp_path / "stated", checkpoint)
    loaded = load_checkpoint(stated)
    assert loaded.model.level_db == loaded.trained_on["level_db"] == -17.5
    assert load_checkpoint(save_checkpoint(tmp_path / "again", loaded)).model.level_db == -17.5
    for wrong in ("loud", None, 3, -1e9, float("nan"), [1], True):
        change_notes(stated, trained_on={"level_db": wrong})
        assert "level_db" in refusal(stated) and "config.json" in refusal(stated)


def test_a_full_disk_is_one_line_and_leaves_the_earlier_checkpoint_as_it_was(tmp_path, folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code = (
        "import resource, sys; from sopedu.model.checkpoints import load_checkpoint, save_checkpoint\n"
        "loaded = load_checkpoint(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: save_checkpoint(sys.argv[1], loaded)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=120)
    assert (
        done.stdout.startswith(f"SopeduError {folder}/model.safetensors: cannot be written")
        and done.stdout.count("\n") == 1
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]


def test_weights_may_be_read_by_whoever_may_read_other_new_files(folder):
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"]
