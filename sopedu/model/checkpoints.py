"""Checkpoints are folders: weights in safetensors, configuration and scores in JSON. Nothing is unpickled."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sopedu.audio.loudness import BROADCAST_LEVEL, checked_level
from sopedu.config import Config, from_dict, to_dict
from sopedu.errors import SopeduError
from sopedu.files import write_json, write_tensors
from sopedu.folders import folder_written_aside
from sopedu.machine import full_float32
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.shipped import checkpoint_folder, checkpoint_names, shipped_path

#: Version of the format that is written, and the newest that is read.
FORMAT_VERSION = 1
#: Folder of the checkpoint that comes with the package.
SHIPPED = shipped_path("data_samples/checkpoints/toyband")


@dataclass(frozen=True)
class Checkpoint:
    """A model with its notes.

    Attributes:
        model: in evaluation mode.
        class_names: of the classes it was trained on, in the order of the labels.
        trained_on: notes of the training, such as data, steps and seed; ``level_db`` is the model's own.
        metrics: content of ``metrics.json``; empty if there is none.
    """

    model: SoundOfPixels
    class_names: tuple[str, ...]
    trained_on: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """Configuration of the model."""
        return self.model.config

    @property
    def device(self) -> str:
        """Where the model works: ``cpu``, or a GPU such as ``cuda:0``."""
        return str(next(self.model.parameters()).device)

    def describe(self) -> str:
        """Describe in one line what the model was trained on."""
        names = ", ".join(self.class_names) or "unknown classes"
        notes = self.trained_on
        data, length = notes.get("data", "unknown data"), f"{notes.get('steps', '?')} steps"
        if "steps" not in notes and "epochs" in notes:
            length = f"{notes['epochs']} epochs"
        return f"preset {self.config.name}, trained on {data} ({names}) for {length}"


def save_checkpoint(
    folder: str | Path, checkpoint: Checkpoint, dtype: torch.dtype | None = None, card: str | None = None
) -> Path:
    """Write a checkpoint to a temporary folder and rename it; an earlier one is replaced only when it is complete.

    Args:
        folder: where to write it.
        checkpoint: model, class names, notes; metrics are written if there are any.
        dtype: store floating-point weights in this type, e.g. ``torch.float16`` for half the size; None keeps theirs.
        card: text for ``README.md`` beside the weights, in Markdown.

    Returns:
        the folder.

    Raises:
        SopeduError: it cannot be written, e.g. because the disk is full; an earlier one stays.
    """
    folder, level = Path(folder), checkpoint.model.level_db
    tensors = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None)
        for name, value in checkpoint.model.state_dict().items()
    }
    notes = {
        "format_version": FORMAT_VERSION,
        "class_names": list(checkpoint.class_names),
        "trained_on": checkpoint.trained_on | ({} if level is None else {"level_db": level}),
        "config": to_dict(checkpoint.config),
    }
    with folder_written_aside(folder, replace=True) as unfinished:
        write_tensors(unfinished / "model.safetensors", tensors)
        write_json(unfinished / "config.json", notes)
        if checkpoint.metrics:
            write_json(unfinished / "metrics.json", checkpoint.metrics)
        if card is not None:
            (unfinished / "README.md").write_text(card, encoding="utf-8")
    return folder


def load_checkpoint(folder: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a checkpoint folder written by :func:`save_checkpoint`.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``; or the folder of a run, whose ``checkpoint/`` is read;
            or the name of a checkpoint: ``toyband`` and ``toyband-tiny`` come with sopedu, ``music`` can be fetched.
        device: where the model should work: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one. On a GPU
            float32 then means float32 for the whole process, without TF32.

    Returns:
        the checkpoint, its model in evaluation mode.

    Raises:
        SopeduError: there is no such device, the run has no checkpoint yet, a file is missing or damaged, the format is
            newer than this version, the configuration does not describe a model, or the weights do not fit it or are
            not finite.
    """
    folder, device = checkpoint_folder(folder), _chosen_device(device)
    _require_no_run_without_checkpoint(folder)
    notes = _read_notes(folder)
    model = _read_model(folder, notes["config"])
    model.level_db = notes["level_db"]
    metrics = _read_json(folder / "metrics.json") if (folder / "metrics.json").exists() else {}
    full_float32(device)
    return Checkpoint(model.to(device).eval(), notes["class_names"], notes["trained_on"], metrics)


def as_checkpoint(checkpoint: Checkpoint | str | Path) -> Checkpoint:
    """Return a checkpoint as it is, or load it from its name or folder, on the CPU.

    Args:
        checkpoint: a checkpoint, its folder, that of a run, or a name of one that comes with sopedu.

    Raises:
        SopeduError: it is none of these, or cannot be loaded, see :func:`load_checkpoint`.
    """
    if isinstance(checkpoint, str | os.PathLike):
        return load_checkpoint(checkpoint)
    if not isinstance(checkpoint, Checkpoint):
        raise SopeduError(
            f"{checkpoint!r:.60}: is no checkpoint; give what sopedu.load_checkpoint returns, or a folder or a name"
        )
    return checkpoint


def _require_no_run_without_checkpoint(folder: Path) -> None:
    """Refuse the folder of a run whose checkpoint is missing, and a folder of runs."""
    if not os.path.isdir(folder) or os.path.exists(folder / "config.json"):
        return
    if any(os.path.exists(folder / name) for name in ("run.json", "history.jsonl")):
        raise SopeduError(
            f"{folder}: this run has no complete checkpoint; sopedu train --out {folder} --resume continues it"
        )
    runs = sorted(path.parents[1].name for path in folder.glob("*/checkpoint/config.json"))
    if runs:
        raise SopeduError(f"{folder}: holds runs, choose one: {', '.join(runs[:5])}{' …' * (len(runs) > 5)}")


def _chosen_device(device: str | torch.device) -> torch.device:
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        known = str(device).partition(":")[0] in ("cpu", "cuda")
        return torch.zeros(1, device=device if known else "none").device  # fails if the device is missing
    except (RuntimeError, AssertionError) as error:
        raise SopeduError(f"device {device!s:.40}: cannot be used here; choose auto, cpu or cuda") from error


def _read_notes(folder: Path) -> dict[str, Any]:
    """Configuration, class names, notes of the training and level in `config.json`."""
    path = folder / "config.json"
    notes = _read_json(path)
    version = notes.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise SopeduError(
            f"{folder}: checkpoint format {version!r} is not known here (up to {FORMAT_VERSION}): update sopedu"
        )
    names, trained_on = notes.get("class_names", []), notes.get("trained_on", {})
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SopeduError(f"{path}: class_names must be a list of names, not {names!r:.60}")
    if not isinstance(trained_on, dict):
        raise SopeduError(f"{path}: trained_on must be a group of values, not {trained_on!r:.60}")
    try:
        config = from_dict(notes.get("config", {}))
        level = checked_level(trained_on.get("level_db", BROADCAST_LEVEL))
    except SopeduError as error:
        raise SopeduError(f"{path}: {error}") from error
    return {"config": config, "class_names": tuple(names), "trained_on": trained_on, "level_db": level}


def _read_model(folder: Path, config: Config) -> SoundOfPixels:
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise SopeduError(f"{path}: the weights cannot be read ({error}); copy them again") from error
    model = _empty_model(folder, config, tensors)
    for name, value in tensors.items():
        if value.is_complex() or (value.is_floating_point() and not bool(torch.isfinite(value).all())):
            raise SopeduError(f"{folder}: the weights {name} are not finite numbers: take another checkpoint")
    model.load_state_dict(tensors, assign=False)
    model.config = config  # as it was saved, with the name of the weights it once started from
    return model


def _empty_model(folder: Path, config: Config, tensors: dict[str, torch.Tensor]) -> SoundOfPixels:
    """Build the model after comparing its sizes with the weights' on `meta`, which takes no memory."""
    config = replace(config, model=replace(config.model, frame_weights="none"))
    try:
        with torch.device("meta"):
            blueprint = SoundOfPixels(config)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise SopeduError(f"{folder}: the configuration describes no model ({error})") from error
    expected = {name: tuple(value.shape) for name, value in blueprint.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        name = wrong[0]
        raise SopeduError(
            f"{folder}: {len(wrong)} weights do not fit the configuration, e.g. {name}: "
            f"expected {expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}; "
            "take config.json and model.safetensors of one model"
        )
    return SoundOfPixels(config)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SopeduError(
            f"{path}: no such file; a checkpoint is a folder that holds config.json and model.safetensors, "
            f"or one that comes with sopedu: {', '.join(checkpoint_names())}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SopeduError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise SopeduError(f"{path}: expected a group of named values")
    return values
