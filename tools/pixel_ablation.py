"""Measure what each part of the pixel recipe contributes: the same fine-tuning, one part left out at a time.

Each variant is trained with three seeds from checkpoint ``toyband-tiny`` and evaluated. The shipped figures are in
``data_samples/recorded_runs/pixel_ablation.json``. Notebook: 14_limits_of_localization.ipynb.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from sopedu.cli import run_command
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.evaluation import evaluate, evaluate_localization
from sopedu.files import require_place, write_json
from sopedu.model import Checkpoint, load_checkpoint
from sopedu.training import train_run

#: The recipe on top of preset ``tiny``: pasted scenes and a smaller receptive field, on plain sounds.
RECIPE = (
    "model.frame_dilation=1",
    "model.frame_head_kernel=1",
    "model.region_pooling=energy",
    "mixing.pasted_share=0.5",
    "training.learning_rate=1.5e-3",
    "training.warmup_share=0.05",
    "training.precision=float32",
    "toyband.solos=8000",
    "toyband.empty_scenes=500",
    "toyband.properties=",
)
#: What each variant changes in the recipe.
VARIANTS: dict[str, tuple[str, ...]] = {
    "full": (),
    "nopaste": ("mixing.pasted_share=0",),
    "pooledonly": ("loss.pasted_terms=pooled",),
    "noany": ("loss.pasted_terms=pooled,cell,silence",),
    "nosilence": ("loss.pasted_terms=pooled,cell,any",),
    "wide": ("model.frame_dilation=2", "model.frame_head_kernel=3"),
}
SEEDS = (0, 1, 2)
_STEPS, _PAIRS, _SCENES, _DUETS = 1200, 64, 100, 60
_USUAL = (f"training.steps={_STEPS}", "training.validate_every=0", "training.average_decay=0.99")
_PLACES = ("peak_in_player", "peak_in_player_unrelated_audio", "sdr_box", "sdr_centre", "sdr_other_box")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder of the trainings; existing ones are not repeated.")] = Path(
        "runs/pixel_ablation"
    ),
    figures: Annotated[Path | None, typer.Option(help="JSON file to write; default: OUT/pixel_ablation.json.")] = None,
) -> None:
    """Train and evaluate the pixel recipe with one part left out at a time. Takes 90 minutes on one core."""
    torch.set_num_threads(1)  # the same figures on every machine with one kind of CPU
    figures = require_place(figures or out / "pixel_ablation.json")
    trainings = len(SEEDS) * len(VARIANTS)
    typer.echo(
        f"plan: {trainings} trainings of {_STEPS} steps, 5 minutes each on one core; the figures go to {figures}"
    )
    write_json(figures, run_ablation(out))
    typer.echo(figures)


def run_ablation(folder: str | Path) -> dict[str, Any]:
    """Train every variant with every seed and evaluate all of them; a training that is there already is kept.

    Args:
        folder: gets a folder per training.

    Returns:
        ``protocol``, ``changes`` of the settings per variant, and ``variants``: per variant and figure one number per
        seed.

    Raises:
        SopeduError: a folder holds a training with another number of steps.
    """
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in SEEDS:
        for name, changes in VARIANTS.items():
            out = Path(folder) / f"{name}-{seed}"
            config = with_values(preset("tiny"), [*RECIPE, *_USUAL, f"training.seed={seed}", *changes])
            if not (out / "checkpoint" / "model.safetensors").exists():
                train_run(out, config, start_from="toyband-tiny")
            elif json.loads((out / "run.json").read_text(encoding="utf-8"))["config"]["training"]["steps"] != _STEPS:
                raise SopeduError(f"{out}: holds another training; choose another folder")
            rows[name].append(_evaluate(load_checkpoint(out / "checkpoint")))
            typer.echo(f"{name}, seed {seed}: {rows[name][-1]}")
    return {
        "protocol": f"pasted scenes from toyband-tiny, plain sounds, {_STEPS} steps of 16 mixtures, seeds {SEEDS}; "
        f"{_PAIRS} held-out mixtures, {_SCENES} scenes of two drawn of which one plays, {_DUETS} duets; "
        "BSS Eval v3 without permutation. sdr, sdr_box: cells weighted by energy; "
        "sdr_features, sdr_box_features: features pooled",
        "changes": {name: list(changes) for name, changes in VARIANTS.items()},
        "variants": {name: {key: [row[key] for row in of_one] for key in of_one[0]} for name, of_one in rows.items()},
    }


def _evaluate(checkpoint: Checkpoint) -> dict[str, float]:
    """Figures of a checkpoint, in dB and shares, for whole pictures and for places, with both poolings."""
    config = checkpoint.config
    figures = {"sdr": evaluate(checkpoint, pairs=_PAIRS, dictionaries=False)["sdr"]}
    places = evaluate_localization(checkpoint, scenes=_SCENES, duets=_DUETS)
    figures |= {name: places[name] for name in _PLACES} | {"sdr_box_features": places["sdr_pooling"]["features"]}
    checkpoint.model.config = replace(config, model=replace(config.model, region_pooling="features"))
    return figures | {"sdr_features": evaluate(checkpoint, pairs=_PAIRS, dictionaries=False)["sdr"]}


if __name__ == "__main__":
    run_command(app)
