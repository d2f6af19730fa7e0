"""The ablation of the pixel recipe: what is recorded is what the tool trains."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from command import tool

from sopedu.config import preset, with_values
from sopedu.shipped import sample_path
from tools import pixel_ablation
from tools.pixel_ablation import SEEDS, VARIANTS


def test_the_recorded_ablation_is_of_the_variants_that_the_command_trains():
    recorded = json.loads(sample_path("recorded_runs/pixel_ablation.json").read_text(encoding="utf-8"))
    assert recorded["changes"] == {name: list(changes) for name, changes in VARIANTS.items()}
    usual = preset("toyband")
    for name, changes in VARIANTS.items():
        assert (with_values(usual, changes) == usual) == (name == "full")  # every other one leaves something out
        assert {len(values) for values in recorded["variants"][name].values()} == {len(SEEDS)}


@pytest.fixture
def trained(monkeypatch):
    """Configurations that were trained; nothing is trained or evaluated."""
    configs = {}

    def train(out, config, start_from):
        assert start_from == "toyband-tiny"
        (out / "checkpoint").mkdir(parents=True)
        (out / "checkpoint" / "model.safetensors").touch()
        steps = config.training.steps
        (out / "run.json").write_text(json.dumps({"config": {"training": {"steps": steps}}}), encoding="utf-8")
        configs[out.name] = config

    monkeypatch.setattr(pixel_ablation, "train_run", train)
    monkeypatch.setattr(pixel_ablation, "load_checkpoint", lambda folder: SimpleNamespace(name=folder.parent.name))
    monkeypatch.setattr(pixel_ablation, "_evaluate", lambda checkpoint: {"sdr": float(checkpoint.name[-1])})
    return configs


def test_every_variant_is_trained_once_per_seed_and_the_figures_are_written(trained, tmp_path):
    recorded = json.loads(sample_path("recorded_runs/pixel_ablation.json").read_text(encoding="utf-8"))
    for count in (18, 0):  # the second time nothing is trained
        status, said, _ = tool(pixel_ablation, f"--out {tmp_path}")
        assert status == 0 and said.startswith("plan: 18 trainings") and "full, seed 0: {'sdr': 0.0}" in said
        figures = json.loads((tmp_path / "pixel_ablation.json").read_text(encoding="utf-8"))
        assert all(figures[name] == recorded[name] for name in ("protocol", "changes"))
        assert figures["variants"] == {name: {"sdr": [0.0, 1.0, 2.0]} for name in VARIANTS}
        assert len(trained) == count
        trained.clear()


def test_a_folder_of_another_training_is_refused_in_one_line(trained, tmp_path):
    tool(pixel_ablation, f"--out {tmp_path}")
    (tmp_path / "full-0" / "run.json").write_text('{"config": {"training": {"steps": 3}}}', encoding="utf-8")
    status, _, said = tool(pixel_ablation, f"--out {tmp_path}")
    assert status == 2 and "full-0: holds another training; choose another folder" in said
