"""What a state to resume from holds: written between two steps, and restored exactly.

How states are kept on the disk is in :mod:`sopedu.training.resume`.

Notebook: 13_train_full.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sopedu.config import to_dict
from sopedu.errors import SopeduError
from sopedu.training.resume import State, different_settings, load_state, optimizer_tensors, restore_optimizer

if TYPE_CHECKING:
    from sopedu.training.loop import Trainer

# Settings that change how often something is written, but nothing that is learned.
_HARMLESS = ("training.save_every", "training.validate_every", "training.workers")


def save(trainer: Trainer) -> None:
    """Write the state of a training; nothing is written if a loss or weight is not finite.

    Args:
        trainer: between two steps.
    """
    run = trainer.run
    losses = trainer.accelerator.reduce(torch.stack(trainer.losses), "mean").tolist() if trainer.losses else []
    if not trainer.accelerator.is_main_process:
        return
    tensors = {f"model.{name}": value for name, value in run.model.state_dict().items()}
    finite = torch.stack([torch.isfinite(value).all() for value in tensors.values()]).all()
    if not np.isfinite(losses).all() or not bool(finite):
        return  # the next record reports it, and the older states can still be resumed from
    tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(trainer.optimizer).items()}
    if run.average:
        tensors |= {f"average.{name}": value for name, value in run.average.model.state_dict().items()}
    values = {
        "config": to_dict(run.config),
        "made_of": _made_of(trainer),
        "precision": run.precision,
        "seconds": trainer.seconds_before + time.perf_counter() - trainer.began,
        "same_class_mixtures": run.same_class_mixtures,
        "best": dict(run.best),
        "history": [dict(entry) for entry in run.history],  # copied, for it grows while this is written
        "losses_since": losses,
        "torch_generator": base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode(),
    }
    trainer.writer.write(State(run.step, tensors, values))


def restore(trainer: Trainer) -> None:
    """Restore model, optimizer, moving average and random state from the newest state of the run's folder.

    Args:
        trainer: before its first step.

    Raises:
        SopeduError: there is no folder or no state, or the settings differ.
    """
    run = trainer.run
    if run.folder is None:
        raise SopeduError("to resume, name the folder of the run")
    state, damaged = load_state(run.folder / "resume", trainer.device)
    run.notes += damaged
    values = state.values
    differences = different_settings(values["config"], to_dict(run.config))
    differences += different_settings({"data": values["made_of"]}, {"data": _made_of(trainer)})
    if differences := [text for text in differences if not text.startswith(_HARMLESS)]:
        raise SopeduError(f"{run.folder}: cannot resume with other settings: {'; '.join(differences)}")
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "average": {}}
    for name, value in state.tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    run.model.load_state_dict(parts["model"])
    restore_optimizer(trainer.optimizer, parts["optimizer"])
    if run.average:
        run.average.model.load_state_dict(parts["average"])
    run.step, run.precision, run.best = state.step, values["precision"], values["best"]
    run.history[:], run.same_class_mixtures = values["history"], values["same_class_mixtures"]
    run.seconds = trainer.seconds_before = values["seconds"]
    trainer.losses = [torch.tensor(loss, device=trainer.device) for loss in values["losses_since"]]
    generator = np.frombuffer(base64.b64decode(values["torch_generator"]), np.uint8).copy()
    torch.set_rng_state(torch.from_numpy(generator))


def _made_of(trainer: Trainer) -> dict[str, Any]:
    """What besides the configuration has to be the same when a run is resumed."""
    clips = trainer.clips
    return {"processes": trainer.run.processes, "clips": len(clips), "class_names": list(clips.class_names)}
