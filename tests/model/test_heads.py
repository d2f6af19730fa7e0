"""New heads on a trunk: what begins anew, what stays, and that the trunk is the same after the training."""

from __future__ import annotations

import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import SopeduError
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.model.heads import head_names, heads_config, new_heads, trunk_names
from sopedu.model.modes import untrained
from sopedu.training.loop import train
from sopedu.training.run_folder import requested, train_run

SMALL = """model.audio_channels=4,4,4 model.frame_width=4 model.components=4 model.frame_weights=none
training.batch_size=4 training.precision=float32 toyband.solos=12 toyband.empty_scenes=2"""
FEW = ("toyband.solos=12", "toyband.empty_scenes=2")
NAMES = ("violin", "tuba", "xylophone")


@pytest.fixture(scope="module")
def trunk() -> Checkpoint:
    torch.manual_seed(7)
    return Checkpoint(untrained(with_values(preset("tiny"), SMALL.split())), NAMES)


@pytest.fixture(autouse=True)
def an_own_cache_and_one_core(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("sopedu.machine.os.sched_getaffinity", lambda _: {0}, raising=False)  # renders here
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("name", ["toyband", "toyband-tiny"])
def test_every_weight_is_of_the_heads_or_of_the_trunk(name):
    model = load_checkpoint(name).model
    for weight, _ in model.named_parameters():
        assert weight.startswith(head_names(model)) != weight.startswith(trunk_names(model))
    # What depends on K: the sizes of all other weights are the same for every K.
    other = untrained(with_values(model.config, ["model.components=5"])).state_dict()
    changed = {weight for weight, value in model.state_dict().items() if value.shape != other[weight].shape}
    assert changed and all(weight.startswith(head_names(model)) for weight in changed)


def test_training_new_heads_leaves_the_trunk_as_it_was(trunk):
    config = heads_config(trunk, ["model.components=2", "loss.kind=l1", "training.steps=3", *FEW])
    assert config.toyband.instruments == NAMES and config.training.steps == 3
    begun = new_heads(trunk, config)
    before = {name: value.clone() for name, value in begun.state_dict().items()}
    after = train(config, ToyBandClips(config), begun).model.state_dict()
    heads = head_names(begun)
    for name, value in after.items():  # running statistics too
        if name.startswith(heads):
            assert "num_batches" in name or not torch.equal(value, before[name]), name
        else:
            assert torch.equal(value, trunk.model.state_dict()[name]), name


def test_the_first_weights_of_the_heads_follow_from_the_seed_alone(trunk):
    first, again, other = (new_heads(trunk, heads_config(trunk, [f"training.seed={seed}"])) for seed in (1, 1, 2))
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    new_heads(trunk, heads_config(trunk))
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing is drawn from the program's own numbers
    weight = "frame_net.head.weight"
    assert torch.equal(first.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], trunk.model.state_dict()[weight])  # also where K is the same


def test_a_trunk_of_other_sizes_is_refused(trunk):
    for change in ("model.frame_width=8", "model.audio_channels=4,4", "model.audio_channels=4,4,8"):
        with pytest.raises(SopeduError, match="the trunk of preset tiny does not fit this model"):
            new_heads(trunk, with_values(trunk.config, [change]))


def test_a_run_in_a_folder_may_begin_with_new_heads_and_is_resumed_as_such(tmp_path, trunk):
    place, said = str(save_checkpoint(tmp_path / "trunk", trunk)), []
    config = heads_config(place, ["model.components=3", "training.steps=2", *FEW])
    train_run(tmp_path / "run", config, say=said.append, heads_of=place)
    assert f"the trunk of {place} with new heads" in said
    assert requested(tmp_path / "run").heads_of == place
    trained = load_checkpoint(tmp_path / "run").model
    for name, value in trunk.model.state_dict().items():
        assert name.startswith(head_names(trained)) or torch.equal(trained.state_dict()[name], value)
    with pytest.raises(SopeduError, match="cannot resume with another heads_of"):
        train_run(tmp_path / "run", resume=True, heads_of="toyband")
    with pytest.raises(SopeduError, match="name only one"):
        train_run(tmp_path / "new", start_from="toyband", heads_of="toyband")
