"""The finished experiments that come with sopedu: their settings, figures and learning curves, and models to listen to.

    >>> for run in finished_experiments("heads"):
    ...     print(run.values, run.seed, run.figures["sdr"])
    >>> plot_sweep(experiment_rows("heads", "components"), ("model.components",))

Experiments of the kind ``heads`` share one trunk (:mod:`sopedu.model.heads`), and the heads of each are kept, so that
:meth:`Experiment.load` gives its model; of the kind ``scratch``, only figures are kept. ``make atlas`` makes all anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from sopedu.config import Config, from_dict, with_values
from sopedu.errors import SopeduError
from sopedu.experiments.table import SweepRow
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.heads import head_names
from sopedu.model.modes import untrained
from sopedu.shipped import sample_path

#: Version of the format that :func:`finished_experiments` reads.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Experiment:
    """A finished training with its scores.

    Attributes:
        name: of its run, such as ``components-4_seed-0``.
        kind: ``heads`` (new heads on a trained trunk) or ``scratch``.
        values: fields that differ from the usual settings of its kind, as text.
        seed: of the training.
        config: of the run.
        figures: means over the held-out pairs in dB, such as ``sdr`` and ``leak_absent``; None where there is none.
        history: records with ``step``, ``loss`` and where known ``validation_sdr``.
        seconds: that the training took.
        has_model: whether its weights are kept.
    """

    name: str
    kind: str
    values: dict[str, str]
    seed: int
    config: Config
    figures: dict[str, float | None]
    history: list[dict[str, float]]
    seconds: float
    has_model: bool
    _folder: Path
    _notes: dict[str, Any]

    def load(self) -> Checkpoint:
        """Return the model: the shared trunk with the heads of this experiment, on the CPU.

        Raises:
            SopeduError: its weights are not kept, or a file is damaged.
        """
        if not self.has_model:
            raise SopeduError(f"{self.name}: only the figures of this experiment are kept; take one of the kind heads")
        trunk, model = _tensors(self._folder / "trunk.safetensors"), untrained(self.config)
        try:
            with safe_open(self._folder / "heads.safetensors", "pt") as file:
                names = [name for name in file.keys() if name.startswith(f"{self.name}/")]  # noqa: SIM118
                heads = {name.partition("/")[2]: file.get_tensor(name).float() for name in names}
            model.load_state_dict(trunk | heads)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise SopeduError(f"{self._folder}: the weights of {self.name} cannot be read ({error})") from error
        model.config, model.level_db = self.config, self._notes["level_db"]
        notes = {"data": "toyband", "steps": self.config.training.steps, "seed": self.seed}
        return Checkpoint(model.eval(), tuple(self._notes["class_names"]), notes | {"level_db": model.level_db})


def finished_experiments(kind: str | None = None, folder: str | Path | None = None) -> list[Experiment]:
    """Return the finished experiments.

    Args:
        kind: ``heads`` or ``scratch``; None: all.
        folder: where they lie; None: those that come with sopedu.

    Raises:
        SopeduError: there are none, or the index is damaged.
    """
    folder = _folder(folder)
    index, found = _index(folder), []
    try:
        for run in index["runs"]:
            usual = from_dict(index["kinds"][run["kind"]]["config"])
            changes = [f"{field}={value}" for field, value in run["values"].items()]
            config = with_values(usual, [*changes, f"training.seed={run['seed']}"])
            known = [run[key] for key in ("figures", "history", "seconds", "has_model")]
            found.append(
                Experiment(run["name"], run["kind"], run["values"], run["seed"], config, *known, folder, run["notes"])
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise SopeduError(f"{folder / 'index.json'}: not readable as experiments ({error!r}); copy it again") from error
    return [run for run in found if kind in (None, run.kind)]


def experiment_rows(kind: str, topic: str, folder: str | Path | None = None) -> list[SweepRow]:
    """Return the rows of a question's table, for :func:`sopedu.experiments.format_sweep` and its plots.

    Args:
        kind: ``heads`` or ``scratch``.
        topic: such as ``components`` or ``loss``, see :func:`experiment_topics`.
        folder: where the experiments lie; None: those that come with sopedu.

    Raises:
        SopeduError: there is no such kind or topic.
    """
    folder = _folder(folder)
    tables = _index(folder)["kinds"].get(kind, {}).get("tables", {})
    if topic not in tables:
        raise SopeduError(f"no experiments {kind!r} on {topic!r}: choose of {', '.join(tables) or 'another kind'}")
    return [_row(row) for row in tables[topic]]


def experiment_topics(folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the questions that the experiments answer: topic → ``title`` and ``fields``, those that are varied.

    Args:
        folder: where the experiments lie; None: those that come with sopedu.
    """
    return dict(_index(_folder(folder))["topics"])


def heads_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of a model's heads by name, in half precision.

    Args:
        model: a :class:`sopedu.model.sound_of_pixels.SoundOfPixels`.
    """
    names = head_names(model)
    return {name: value.half() for name, value in model.state_dict().items() if name.startswith(names)}


def trunk_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights and statistics of a model's trunk by name, in half precision where they are floating-point.

    Args:
        model: a :class:`sopedu.model.sound_of_pixels.SoundOfPixels`.
    """
    names, state = head_names(model), model.state_dict()
    kept = {name: value for name, value in state.items() if not name.startswith(names)}
    return {name: value.half() if value.is_floating_point() else value for name, value in kept.items()}


def _folder(folder: str | Path | None) -> Path:
    return sample_path("experiments") if folder is None else Path(folder)


def _index(folder: Path) -> dict[str, Any]:
    path = folder / "index.json"
    try:
        return _read_index(path, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise SopeduError(f"{path}: no such file, so there are no experiments; make them with make atlas") from error
    except (OSError, ValueError) as error:
        raise SopeduError(f"{path}: not readable as JSON ({error}); copy it again") from error


@lru_cache(maxsize=2)
def _read_index(path: Path, changed: int) -> dict[str, Any]:
    index = json.loads(path.read_text(encoding="utf-8"))
    version = index.get("format_version") if isinstance(index, dict) else None
    if version != FORMAT_VERSION:
        raise SopeduError(f"{path}: experiments of format {version!r} are not known here ({FORMAT_VERSION})")
    return index


@lru_cache(maxsize=1)
def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return {name: v.float() if v.is_floating_point() else v for name, v in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise SopeduError(f"{path}: the trunk cannot be read ({error}); copy it again") from error


def _row(figures: dict[str, Any]) -> SweepRow:
    """A row from what :func:`sopedu.experiments.table.row_figures` wrote."""

    def number(value: float | None) -> float:
        return float("nan") if value is None else float(value)

    scores = figures["scores"]
    return SweepRow(
        figures["variant"], figures["values"], tuple(figures["seeds"]),
        {name: [number(value) for value in score["by_seed"]] for name, score in scores.items()},
        {name: (number(score["interval"][0]), number(score["interval"][1])) for name, score in scores.items()},
        number(figures["seconds"]), figures["pairs"],
    )  # fmt: skip


def rows_of_topic(rows: list[SweepRow], usual: Config, alternatives: list[dict[str, str]]) -> list[SweepRow]:
    """Choose the rows of a question, and name each by all fields of the question, also those that are as usual.

    Args:
        rows: of a sweep whose values are those that differ from the usual settings.
        usual: settings.
        alternatives: of the question: field → value, all with the same fields.

    Returns:
        the rows in the order of the alternatives; those that are missing are left out.
    """
    by_config = {with_values(usual, [f"{f}={v}" for f, v in row.values.items()]): row for row in rows}
    chosen = []
    for values in alternatives:
        row = by_config.get(with_values(usual, [f"{field}={value}" for field, value in values.items()]))
        if row is not None:
            chosen.append(replace(row, values=dict(values)))
    return chosen
