"""The atlas: every question is trained once, and what is packed gives back figures, curves and models."""

from __future__ import annotations

import json

import pytest
import torch
from command import tool
from sweeping import WorkerHere

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.evaluation.pair_scores import pairs_for
from sopedu.evaluation.pairs import predict_masks
from sopedu.experiments import pool as sweep_pool
from sopedu.experiments.finished import experiment_rows, experiment_topics, finished_experiments
from sopedu.experiments.plan import read_results
from sopedu.experiments.plots import plot_sweep
from sopedu.experiments.table import summarise_sweep
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.model.modes import untrained
from sopedu.plots import encode_figure
from sopedu.training.callbacks import read_history
from tools import atlas
from tools.atlas import TOPICS, pack, usual_config, variants

SMALL = """model.audio_channels=4,4,4 model.frame_width=4 model.components=4 model.frame_weights=none
training.batch_size=4"""
FEW = "--set toyband.solos=12 --set toyband.empty_scenes=2 --set training.batch_size=4 --set training.validate_every=0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny atlas: its folder, and the trunk."""
    out, threads = tmp_path_factory.mktemp("atlas"), torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    small = " ".join(f"--set {value}" for value in SMALL.split() if "components" not in value)
    trunk = Checkpoint(untrained(with_values(preset("tiny"), SMALL.split())), ("violin", "tuba"))
    save_checkpoint(out / "trunk", trunk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOPEDU_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setattr("sopedu.machine.os.sched_getaffinity", lambda _: {0}, raising=False)
        patch.setattr(sweep_pool, "_Worker", WorkerHere)
        options = "--topics pooling,article --seeds 0,1 --heads-steps 3 --scratch-steps 2 --pairs 3 --processes 1"
        status, said, err = tool(atlas, f"--out {out} --trunk {out / 'trunk'} {options} {FEW} {small}")
        assert status == 0, said + err
        assert said.startswith("plan: train 5 variants with seeds 0,1, 3 steps of new heads on ")
        yield out, trunk
    torch.set_num_threads(threads)


def test_every_variant_is_another_configuration_and_every_topic_finds_its_rows():
    chosen = variants(TOPICS)
    usual = usual_config("scratch", "", 400)
    configs = [with_values(usual, [f"{field}={value}" for field, value in one.items()]) for one in chosen]
    assert chosen[0] == {} and len({str(config) for config in configs}) == len(configs)
    for topic in TOPICS.values():
        for values in topic.alternatives():
            assert with_values(usual, [f"{field}={value}" for field, value in values.items()]) in configs


def test_what_is_packed_has_the_figures_and_curves_of_the_runs(made):
    out, _ = made
    for kind, steps in (("heads", 3), ("scratch", 2)):
        packed, results = finished_experiments(kind, out / "packed"), read_results(out / kind)
        assert len(packed) == len(results) == 10
        for run, result in zip(packed, results, strict=True):
            assert (run.name, run.seed, run.values) == (result.run.name, result.run.seed, result.run.values)
            assert run.config == result.run.config and run.config.training.steps == steps
            assert run.figures["sdr"] == pytest.approx(result.mean("sdr"), abs=1e-3)
            losses = [entry["loss"] for entry in read_history(out / kind / run.name)]
            assert [entry["loss"] for entry in run.history] == pytest.approx(losses, rel=1e-3)
    assert len(finished_experiments(folder=out / "packed")) == 20
    assert sum(path.stat().st_size for path in (out / "packed").iterdir()) < 10 * 2**20


def test_a_packed_model_is_the_model_of_its_run_in_half_precision(made):
    out, trunk = made
    for run in finished_experiments("heads", out / "packed")[:3]:
        whole, loaded = load_checkpoint(out / "heads" / run.name), run.load()
        assert loaded.class_names == whole.class_names and loaded.config == whole.config
        assert loaded.model.level_db == whole.model.level_db and not loaded.model.training
        for name, value in loaded.model.state_dict().items():
            torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=2**-10, atol=1e-6)
        pairs = pairs_for(whole, pairs=3)
        masks = [predict_masks(one.model, pairs.mixture, pairs.frames) for one in (whole, loaded)]
        assert (masks[0] - masks[1]).abs().max() < 5e-3  # a mask is at most 1, half precision has 11 bits
        assert masks[0].std() > 0


def test_only_figures_are_kept_of_what_was_trained_from_scratch(made):
    out, _ = made
    with pytest.raises(SopeduError, match="only the figures of this experiment are kept"):
        finished_experiments("scratch", out / "packed")[0].load()


def test_a_topic_has_a_row_per_value_with_the_intervals_of_the_sweep(made):
    out, _ = made
    assert set(experiment_topics(out / "packed")) == {"pooling", "article"}
    rows = experiment_rows("heads", "article", out / "packed")
    fields = TOPICS["article"].fields
    assert [tuple(row.values[field] for field in fields) for row in rows] == list(TOPICS["article"].values)
    of_sweep = {row.variant: row for row in summarise_sweep(read_results(out / "heads"))}
    for row in rows:
        assert row.seeds == (0, 1)
        assert row.intervals["sdr"] == pytest.approx(of_sweep[row.variant].intervals["sdr"], abs=1e-3)
        assert row.spread("sdr") == pytest.approx(of_sweep[row.variant].spread("sdr"), abs=1e-3)
    assert len(encode_figure(plot_sweep(rows, fields), "png")) > 1000
    with pytest.raises(SopeduError, match="no experiments 'heads' on 'volume': choose of"):
        experiment_rows("heads", "volume", out / "packed")
    for kind in ("heads", "scratch"):
        for name in ("pooling/table.md", "pooling/figure.png", "article/trade_off_leak_blank.png"):
            assert (out / kind / "answers" / name).stat().st_size > 100


def test_heads_of_another_trunk_are_not_packed(made, tmp_path):
    out, trunk = made
    torch.manual_seed(8)
    other = Checkpoint(untrained(trunk.config), trunk.class_names)
    with pytest.raises(SopeduError, match="has another trunk than the one to pack"):
        pack(out, {"heads": usual_config("heads", trunk, 3)}, other, TOPICS, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_damaged_and_missing_experiments_are_named(made, tmp_path):
    with pytest.raises(SopeduError, match="index.json: no such file, so there are no experiments"):
        finished_experiments(folder=tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(SopeduError, match="format 99 are not known"):
        finished_experiments(folder=tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"format_version": 1, "runs": [{}]}))
    with pytest.raises(SopeduError, match="not readable as experiments"):
        finished_experiments(folder=tmp_path)


def test_an_unknown_topic_is_refused():
    status, _, err = tool(atlas, "--topics volume")
    assert status == 2 and "no topic 'volume': choose of components, loss" in err
