"""Train, score and pack the experiments that the lessons show: K, loss, silence, pooling, activation (``make atlas``).

Every variant is trained with three seeds in two ways: ``heads``, new heads on a trained trunk in 100 steps, and
``scratch``, everything in 400 steps; on the demo's four instruments. The sweeps lie in ``OUT/heads`` and
``OUT/scratch`` and can be stopped and resumed; ``OUT/packed`` is for ``data_samples/experiments``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from sopedu.cli import run_command
from sopedu.cli.options import split_names
from sopedu.cli.sweep import parse_duration, parse_numbers
from sopedu.config import Config, preset, to_dict, with_values
from sopedu.errors import SopeduError
from sopedu.experiments.finished import FORMAT_VERSION, heads_of, rows_of_topic, trunk_of
from sopedu.experiments.grid import runs_of
from sopedu.experiments.plan import LEAKS, SweepPlan, SweepResult, read_results
from sopedu.experiments.plots import plot_sweep, plot_trade_off
from sopedu.experiments.sweep import Sweep, run_sweep
from sopedu.experiments.table import row_figures, summarise_sweep, write_tables
from sopedu.files import write_json, write_tensors
from sopedu.folders import folder_written_aside
from sopedu.model.checkpoints import Checkpoint, as_checkpoint, load_checkpoint
from sopedu.model.heads import HEAD_STEPS, heads_config
from sopedu.plots import save_figure
from sopedu.toyband import DEMO_INSTRUMENTS
from sopedu.training.callbacks import read_history
from sopedu.training.resume import RESUME_STATUS

#: What all variants share beside the recipe of their kind.
USUAL = (
    "model.components=16",
    "model.synthesizer=product",
    "model.pooling=max",
    "model.visual_activation=sigmoid",
    "loss.target=ratio",
    "loss.kind=bce",
    "mixing.silent_share=0.08",
    "mixing.absent=1",
    f"toyband.instruments={','.join(DEMO_INSTRUMENTS)}",
    "toyband.solos=3000",
    "toyband.empty_scenes=200",
    "training.precision=float32",
)
#: Plain sounds: toyband-tiny was trained on them, and 400 steps from scratch on lifelike ones show nothing yet.
PLAIN = "toyband.properties="
SCRATCH_STEPS = 400
_LARGEST = 10 * 2**20  # bytes of what is packed


@dataclass(frozen=True)
class Topic:
    """A question: fields, and the values that are compared."""

    title: str
    fields: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]

    def alternatives(self) -> list[dict[str, str]]:
        """The values by field."""
        return [dict(zip(self.fields, values, strict=True)) for values in self.values]


_SILENCE = ("mixing.silent_share", "mixing.absent")
TOPICS = {
    "components": Topic("How many components?", ("model.components",), tuple((str(2**i),) for i in range(1, 7))),
    "loss": Topic(
        "Which target and which loss?",
        ("loss.target", "loss.kind"),
        (("binary", "bce"), ("ratio", "bce"), ("ratio", "l1"), ("ratio", "l2")),
    ),
    "silence": Topic(
        "Empty rooms and pictures of absent instruments in the training: what do they cost?",
        _SILENCE,
        tuple(itertools.product(("0", "0.08", "0.25"), ("0", "1"))),
    ),
    "article": Topic(
        "The table of the article, on the toy band",
        ("loss.target", "loss.kind", *_SILENCE),
        (("binary", "bce", "0", "0"), ("binary", "bce", "0.08", "0"), ("ratio", "l2", "0", "0")),
    ),
    "l1": Topic(
        "Why L1 falls silent, and what cures it",
        ("loss.kind", *_SILENCE),
        (("l1", "0.08", "1"), ("l1", "0", "0"), ("bce", "0.08", "1"), ("bce", "0", "0")),
    ),
    "synthesizer": Topic(
        "Inner product, or a picture that attends to the sound?", ("model.synthesizer",), (("product",), ("attention",))
    ),
    "pooling": Topic("Maximum or mean over the cells?", ("model.pooling",), (("max",), ("mean",))),
    "activation": Topic(
        "Which activation of the visual features?",
        ("model.visual_activation",),
        (("sigmoid",), ("softmax",), ("relu",), ("tanh",), ("none",)),
    ),
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder of the sweeps; existing runs are kept.")] = Path("runs/atlas"),
    trunk: Annotated[str, typer.Option(help="Checkpoint whose trunk the heads share.")] = "toyband-tiny",
    topics: Annotated[str, typer.Option(help=f"Of {', '.join(TOPICS)}, with commas; default: all.")] = "",
    seeds: Annotated[str, typer.Option(help="With commas.")] = "0,1,2",
    heads_steps: Annotated[int, typer.Option(help="Steps of new heads; 0: none.", min=0)] = HEAD_STEPS,
    scratch_steps: Annotated[int, typer.Option(help="Steps from scratch; 0: none.", min=0)] = SCRATCH_STEPS,
    pairs: Annotated[int, typer.Option(help="Held-out mixtures for the scores.", min=1)] = 64,
    processes: Annotated[int | None, typer.Option(help="Runs at the same time; default: one per core.", min=1)] = None,
    budget: Annotated[str | None, typer.Option(help="For each of the two sweeps, such as 30m.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="Change a setting of all runs.")] = None,
) -> None:
    """Train, score and pack the experiments of the lessons. Takes about an hour on two cores."""
    chosen = {name: topic(name) for name in split_names(topics) or TOPICS}
    numbers = parse_numbers(seeds)
    swept = {}
    typer.echo(
        f"plan: train {len(variants(chosen))} variants with seeds {seeds}, {heads_steps} steps of new heads on "
        f"{trunk} and {scratch_steps} steps from scratch (the seconds follow); results go to {out}"
    )
    for kind, steps in (("heads", heads_steps), ("scratch", scratch_steps)):
        if steps:
            plan = atlas_plan(kind, trunk, chosen, numbers, steps, pairs, changes or ())
            seconds = None if budget is None else parse_duration(budget)
            swept[kind] = run_sweep(out / kind, plan=plan, processes=processes, budget=seconds, say=typer.echo)
            if swept[kind].interrupted:
                break
    for kind, sweep in swept.items():
        for name, reason in sweep.failed.items():
            typer.echo(f"failed: {kind}/{name}: {reason}")
        if sweep.left:
            typer.echo(f"not run: {len(sweep.left)} of {kind}; the same command goes on")
    usual = {kind: usual_config(kind, trunk, steps, changes or ()) for kind, steps in _steps(swept).items()}
    for kind, config in usual.items():
        write_answers(out / kind / "answers", read_results(out / kind), config, chosen)
    if not all(sweep.results for sweep in swept.values()):
        raise SopeduError(f"{out}: there is no result to pack")
    pack(out, usual, trunk, chosen, out / "packed")
    size = sum(path.stat().st_size for path in (out / "packed").iterdir())
    typer.echo(f"{out / 'packed'}: {size / 2**20:.1f} MiB; copy it to data_samples/experiments to ship it")
    if any(sweep.failed or sweep.left for sweep in swept.values()):
        raise typer.Exit(RESUME_STATUS)


def topic(name: str) -> Topic:
    """Return a topic by name.

    Args:
        name: a key of :data:`TOPICS`.

    Raises:
        SopeduError: there is no such topic.
    """
    if name not in TOPICS:
        raise SopeduError(f"no topic {name!r}: choose of {', '.join(TOPICS)}")
    return TOPICS[name]


def variants(topics: dict[str, Topic]) -> list[dict[str, str]]:
    """Return all variants, each once: the fields that differ from :data:`USUAL`, and their values.

    Args:
        topics: the questions.
    """
    usual = dict(value.split("=", 1) for value in USUAL)
    all_of_them = [{}]
    for one in topics.values():
        for values in one.alternatives():
            all_of_them.append({field: value for field, value in values.items() if usual[field] != value})
    return [values for i, values in enumerate(all_of_them) if values not in all_of_them[:i]]


def usual_config(kind: str, trunk: str | Checkpoint, steps: int, changes: Sequence[str] = ()) -> Config:
    """Return what all runs of a kind share.

    Args:
        kind: ``heads`` or ``scratch``.
        trunk: checkpoint whose trunk the heads share.
        steps: of the training.
        changes: of single fields.
    """
    validated = (*USUAL, PLAIN, f"training.validate_every={max(1, steps // (2 if kind == 'heads' else 4))}")
    if kind == "heads":
        return heads_config(trunk, [*validated, *changes], steps)
    return with_values(preset("tiny"), [*validated, f"training.steps={steps}", *changes])


def atlas_plan(
    kind: str, trunk: str, topics: dict[str, Topic], seeds: Sequence[int], steps: int, pairs: int,
    changes: Sequence[str] = (),
) -> SweepPlan:  # fmt: skip
    """List the runs of a kind.

    Args:
        kind: ``heads`` or ``scratch``.
        trunk: checkpoint whose trunk the heads share.
        topics: the questions.
        seeds: of the trainings.
        steps: of each.
        pairs: held-out mixtures.
        changes: of single fields.
    """
    runs = runs_of(usual_config(kind, trunk, steps, changes), variants(topics), seeds)
    return SweepPlan(tuple(runs), heads_of=trunk if kind == "heads" else None, pairs=pairs)


def write_answers(
    out: Path, results: Sequence[SweepResult], usual: Config, topics: dict[str, Topic]
) -> dict[str, list[dict[str, Any]]]:
    """Write tables and figures, a folder per topic.

    Args:
        out: folder for them.
        results: of the sweep of a kind.
        usual: settings of that kind.
        topics: the questions.

    Returns:
        topic → its rows, as JSON can hold them.
    """
    tables = answers(results, usual, topics)
    for name, rows in tables.items():
        write_tables(out / name, rows)
        save_figure(out / name / "figure.png", plot_sweep(rows, topics[name].fields))
        if set(_SILENCE) & set(topics[name].fields):
            for leak in LEAKS:
                if not math.isnan(rows[0].mean(leak)):
                    save_figure(out / name / f"trade_off_{leak}.png", plot_trade_off(rows, leak))
    return {name: [row_figures(row) for row in rows] for name, rows in tables.items()}


def answers(results: Sequence[SweepResult], usual: Config, topics: dict[str, Topic]) -> dict[str, Any]:
    """Return the rows of each topic that has some.

    Args:
        results: of the sweep of a kind.
        usual: settings of that kind.
        topics: the questions.
    """
    rows = summarise_sweep(results) if results else []
    found = {name: rows_of_topic(rows, usual, one.alternatives()) for name, one in topics.items()}
    return {name: chosen for name, chosen in found.items() if chosen}


def pack(out: Path, usual: dict[str, Config], trunk: str | Checkpoint, topics: dict[str, Topic], folder: Path) -> None:
    """Write figures, learning curves and heads as :func:`sopedu.experiments.finished.finished_experiments` reads them.

    Args:
        out: folder of the sweeps.
        usual: kind → what its runs share.
        trunk: checkpoint whose trunk the heads share.
        topics: the questions.
        folder: to write; an earlier one is replaced.

    Raises:
        SopeduError: a run has another trunk, or the whole is too large to ship.
    """
    shared, heads, runs, kinds = trunk_of(as_checkpoint(trunk).model), {}, [], {}
    for kind, config in usual.items():
        results = read_results(out / kind)
        tables = answers(results, config, topics)
        kinds[kind] = {
            "config": to_dict(config),
            "tables": {name: [row_figures(row) for row in rows] for name, rows in tables.items()},
        }
        for result in results:
            checkpoint = load_checkpoint(out / kind / result.run.name)
            runs.append(_packed_run(kind, out / kind, result, checkpoint))
            if kind == "heads":
                _require_trunk(checkpoint, shared, result.run.name)
                own = heads_of(checkpoint.model)
                heads |= {f"{result.run.name}/{name}": value for name, value in own.items()}
    with folder_written_aside(folder, replace=True) as unfinished:
        write_tensors(unfinished / "trunk.safetensors", shared)
        write_tensors(unfinished / "heads.safetensors", heads)
        about = {name: {"title": one.title, "fields": list(one.fields)} for name, one in topics.items()}
        index = {"format_version": FORMAT_VERSION, "topics": about, "kinds": kinds, "runs": runs}
        write_json(unfinished / "index.json", index)
        size = sum(path.stat().st_size for path in unfinished.iterdir())
        if size > _LARGEST:
            raise SopeduError(f"{folder}: would take {size / 2**20:.1f} MiB, {_LARGEST / 2**20:.0f} are possible")


def _packed_run(kind: str, sweep: Path, result: SweepResult, checkpoint: Checkpoint) -> dict[str, Any]:
    means = {name: result.mean(name) for name in result.scores}
    history = [
        {key: float(f"{entry[key]:.4g}") for key in ("step", "loss", "validation_sdr") if key in entry}
        for entry in read_history(sweep / result.run.name)
    ]
    return {
        "name": result.run.name,
        "kind": kind,
        "values": result.run.values,
        "seed": result.run.seed,
        "figures": {name: None if math.isnan(mean) else round(mean, 3) for name, mean in means.items()},
        "history": history,
        "seconds": round(result.seconds, 1),
        "has_model": kind == "heads",
        "notes": {"class_names": list(checkpoint.class_names), "level_db": checkpoint.model.level_db},
    }


def _require_trunk(checkpoint: Checkpoint, shared: dict[str, torch.Tensor], name: str) -> None:
    own = trunk_of(checkpoint.model)
    if own.keys() != shared.keys() or not all(torch.equal(value, own[key]) for key, value in shared.items()):
        raise SopeduError(f"{name}: has another trunk than the one to pack; train it with the same --trunk")


def _steps(swept: dict[str, Sweep]) -> dict[str, int]:
    return {kind: sweep.plan.runs[0].config.training.steps for kind, sweep in swept.items()}


if __name__ == "__main__":
    run_command(app)
