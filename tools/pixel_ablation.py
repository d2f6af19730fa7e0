"""What of the pixel recipe pays: the same fine-tuning with one thing left out at a time (notebook 10_localize).

``python -m tools.pixel_ablation FOLDER`` (``make pixel-ablation``) trains every variant with three seeds from
``toyband-tiny`` and judges them all; the figures go to ``data_samples/recorded_runs/pixel_ablation.json``. About an
hour and a half on one core; what is already trained is not trained again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sopedu.config import preset, with_values
from sopedu.evaluation.localization import evaluate_localization
from sopedu.evaluation.separation import evaluate
from sopedu.files import write_json
from sopedu.model.checkpoints import Checkpoint, load_checkpoint
from sopedu.shipped import shipped_path
from sopedu.training.run_folder import train_run

RECORDED = shipped_path("data_samples/recorded_runs/pixel_ablation.json")
START = shipped_path("data_samples/checkpoints/toyband-tiny")

#: What each variant changes in preset ``toyband``.
VARIANTS: dict[str, tuple[str, ...]] = {
    "full": (),
    "nopaste": ("mixing.pasted_share=0",),
    "pooledonly": ("loss.pasted_terms=pooled",),
    "noany": ("loss.pasted_terms=pooled,cell,silence",),
    "nosilence": ("loss.pasted_terms=pooled,cell,any",),
    "wide": ("model.frame_dilation=2", "model.frame_head_kernel=3"),
}
SEEDS, STEPS, PAIRS, SCENES, DUETS = (0, 1, 2), 1200, 64, 100, 60
_USUAL = (f"training.steps={STEPS}", "training.validate_every=0", "training.average_decay=0.99")
_PLACES = ("peak_in_player", "peak_in_player_unrelated_audio", "sdr_box", "sdr_centre", "sdr_other_box")


def judge(checkpoint: Checkpoint) -> dict[str, float]:
    """Figures of a checkpoint in dB and shares: of whole pictures, both poolings, and of places."""
    config = checkpoint.config
    figures = {"sdr": evaluate(checkpoint, pairs=PAIRS)["sdr"]}
    places = evaluate_localization(checkpoint, scenes=SCENES, duets=DUETS)
    figures |= {name: places[name] for name in _PLACES} | {"sdr_box_features": places["sdr_pooling"]["features"]}
    checkpoint.model.config = replace(config, model=replace(config.model, region_pooling="features"))
    return figures | {"sdr_features": evaluate(checkpoint, pairs=PAIRS)["sdr"]}


def run_ablation(folder: str | Path, recorded: str | Path = RECORDED) -> dict[str, Any]:
    """Train every variant with every seed in a folder of its own, judge all of them, write the figures to a file.

    Returns:
        ``protocol``, and ``variants``: for each, lists of figures by name, one number a seed.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in SEEDS:
        for name, changes in VARIANTS.items():
            out = Path(folder) / f"{name}-{seed}"
            config = with_values(preset("toyband"), [*_USUAL, f"training.seed={seed}", *changes])
            if not (out / "checkpoint" / "model.safetensors").exists():
                train_run(out, config, start_from=START)
            elif json.loads((out / "run.json").read_text(encoding="utf-8"))["config"]["training"]["steps"] != STEPS:
                raise SystemExit(f"{out}: holds another training; choose another folder")
            found[name].append(judge(load_checkpoint(out / "checkpoint")))
            print(f"{name}, seed {seed}: {found[name][-1]}", flush=True)
    figures = {
        "protocol": f"preset toyband from toyband-tiny, {STEPS} steps of 16 mixtures, seeds {SEEDS}; {PAIRS} held-out "
        f"mixtures, {SCENES} scenes of two drawn of which one plays, {DUETS} duets; BSS Eval v3 without permutation. "
        "sdr, sdr_box: cells weighted by energy; sdr_features, sdr_box_features: features pooled",
        "changes": {name: list(changes) for name, changes in VARIANTS.items()},
        "variants": {
            name: {key: [row[key] for row in rows] for key in rows[0]} for name, rows in found.items() if rows
        },
    }
    write_json(recorded, figures)
    return figures


if __name__ == "__main__":
    torch.set_num_threads(1)  # the same figures on every machine with one kind of CPU
    run_ablation(*sys.argv[1:])
