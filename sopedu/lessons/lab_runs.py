"""The runs that the lab compares: what can be chosen, which finished runs there are, and how a run is called.

>>> finished = FinishedRuns()
>>> finished.find({"components": 4}, seed=1).name
'K=4, BCE, ratio, seed 1'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sopedu.config import Config, preset, with_values
from sopedu.errors import SopeduError
from sopedu.experiments.finished import Experiment, finished_experiments
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.heads import HEAD_STEPS

#: Estimates this far below the mixture, in dB, are called silent.
SILENT_DB = -30.0
#: Values of the choices by their names.
Values = dict[str, str]


@dataclass(frozen=True)
class Choice:
    """Something that can be chosen for a run.

    Attributes:
        field: of the configuration.
        label: before the values.
        options: value, as text → how it is called.
        in_name: how a value appears in the name of a run if it is not the usual one; ``{}`` is the value's name.
    """

    field: str
    label: str
    options: Mapping[str, str]
    in_name: str = "{}"


#: What can be chosen, by the names that Python uses.
CHOICES: dict[str, Choice] = {
    "components": Choice("model.components", "K (components)", {str(2**i): str(2**i) for i in range(1, 7)}, "K={}"),
    "loss": Choice("loss.kind", "loss", {"bce": "BCE", "l1": "L1", "l2": "L2"}),
    "target": Choice("loss.target", "mask", {"ratio": "ratio", "binary": "binary"}),
    "activation": Choice(
        "model.visual_activation",
        "activation",
        {name: name for name in ("sigmoid", "softmax", "relu", "tanh", "none")},
        "activation {}",
    ),
    "pooling": Choice("model.pooling", "pooling", {"max": "max", "mean": "mean"}, "{} pooling"),
    "synthesizer": Choice(
        "model.synthesizer", "synthesizer", {"product": "inner product", "attention": "attention"}, "{}"
    ),
    "empty_rooms": Choice(
        "mixing.silent_share", "empty rooms", {"0": "none", "0.08": "8 %", "0.25": "25 %"}, "{} empty rooms"
    ),
    "absent_pictures": Choice(
        "mixing.absent", "pictures of absent instruments", {"0": "no", "1": "one per mixture"}, "{} absent pictures"
    ),
}
_ALWAYS_NAMED = ("components", "loss", "target")
#: Steps of a training by its kind.
STEPS = {"heads": HEAD_STEPS, "scratch": 400}


@dataclass(eq=False)
class LabRun:
    """A run that the lab can show.

    Attributes:
        name: what it is, such as ``K=32, BCE, ratio, seed 0``.
        values: of all choices.
        seed: of the training.
        kind: ``heads`` (new heads on a trained trunk) or ``scratch``.
        steps: that were trained.
        load: gives the model.
        sdr_improvement: mean over held-out mixtures in dB; NaN until it is known.
        history: records with ``step``, ``loss`` of a live run also ``improvement`` in dB.
        live: whether it was trained in this lab.
    """

    name: str
    values: Values
    seed: int
    kind: str
    steps: int
    load: Callable[[], Checkpoint]
    sdr_improvement: float = math.nan
    history: list[dict[str, float]] = field(default_factory=list)
    live: bool = False

    @property
    def title(self) -> str:
        """The name, and whether the run was trained in this lab."""
        return f"{self.name} (trained here)" if self.live else self.name


class FinishedRuns:
    """The finished runs with models, by their choices and seeds.

    Args:
        folder: where they lie; None: those that come with sopedu.

    Raises:
        SopeduError: there are none.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        experiments = [one for one in finished_experiments("heads", folder) if one.has_model]
        if not experiments:
            raise SopeduError(f"{folder or 'sopedu'}: no finished run has a model; make them with make atlas")
        self._experiments, self._folder = experiments, folder
        usual = next((one for one in experiments if not one.values), experiments[0])
        #: Configuration that all finished runs share but for their choices.
        self.config: Config = usual.config
        self.usual: Values = values_of(usual.config)
        self.runs = [self._run(one) for one in experiments]

    def find(self, values: Mapping[str, Any], seed: int | None = None) -> LabRun | None:
        """Return a run by its choices, or None.

        Args:
            values: of some choices; the others are as usual.
            seed: of the training; None: the smallest.
        """
        found = self.seeds(values)
        return found.get(min(found) if seed is None and found else seed)

    def seeds(self, values: Mapping[str, Any]) -> dict[int, LabRun]:
        """Return all runs with these choices by their seeds.

        Args:
            values: of some choices; the others are as usual.
        """
        wanted = self.usual | as_texts(values)
        return {run.seed: run for run in self.runs if run.values == wanted}

    def offered(self, values: Values) -> dict[str, list[str]]:
        """Return the values of each choice that lead to a finished run if only this choice is changed.

        Args:
            values: of all choices.
        """
        known = {tuple(run.values.items()) for run in self.runs}
        return {
            name: [option for option in choice.options if tuple((values | {name: option}).items()) in known]
            for name, choice in CHOICES.items()
        }

    @cached_property
    def trunk(self) -> Checkpoint:
        """A checkpoint with the trunk that all share."""
        return self._experiments[0].load()

    def training_config(self, values: Values, seed: int, kind: str, steps: int, solos: int) -> Config:
        """Make the configuration of a training.

        Args:
            values: of all choices.
            seed: of the training.
            kind: ``heads`` or ``scratch``.
            steps: of the training.
            solos: to train on.
        """
        config = self.config
        if kind == "scratch":
            config = replace(config, training=preset(config.name).training)
        changes = [f"{CHOICES[name].field}={value}" for name, value in values.items()]
        usual = (f"training.steps={steps}", f"training.seed={seed}", "training.validate_every=0")
        data = (f"toyband.solos={solos}", f"toyband.empty_scenes={max(2, solos // 12)}", "training.precision=float32")
        return with_values(config, [*changes, *usual, *data])

    def _run(self, one: Experiment) -> LabRun:
        values = values_of(one.config)
        figures = [one.figures.get(key) for key in ("sdr", "sdr_mixture")]
        improvement = math.nan if None in figures else figures[0] - figures[1]
        history = [{key: entry[key] for key in ("step", "loss")} for entry in one.history]
        name, steps = name_of(values, one.seed, self.usual), one.config.training.steps
        return LabRun(name, values, one.seed, "heads", steps, one.load, improvement, history)


def values_of(config: Config) -> Values:
    """Return the values of all choices in a configuration.

    Args:
        config: any.
    """
    fields = ((name, choice.field.split(".")) for name, choice in CHOICES.items())
    return {name: _text(getattr(getattr(config, section), key)) for name, (section, key) in fields}


def as_texts(values: Mapping[str, Any]) -> Values:
    """Check values that were given in Python, and return them as texts.

    Args:
        values: of some choices by name, such as ``components=4``.

    Raises:
        SopeduError: there is no such choice or value.
    """
    texts = {}
    for name, value in values.items():
        if name not in CHOICES:
            raise SopeduError(f"the lab has no choice {name!r}: choose of {', '.join(CHOICES)}")
        texts[name] = _text(value)
        if texts[name] not in CHOICES[name].options:
            raise SopeduError(f"{name}={value!r} is not offered: choose of {', '.join(CHOICES[name].options)}")
    return texts


def name_of(values: Values, seed: int, usual: Values, kind: str = "heads") -> str:
    """Return what a run is, as text: K, loss, mask, all that is not as usual, and the seed.

    Args:
        values: of all choices.
        seed: of the training.
        usual: values that need not be named.
        kind: ``heads`` or ``scratch``.
    """
    named = [
        choice.in_name.format(choice.options.get(values[name], values[name]))
        for name, choice in CHOICES.items()
        if name in _ALWAYS_NAMED or values[name] != usual[name]
    ]
    named = [text.replace("none empty", "no empty").replace("one per mixture absent", "with absent") for text in named]
    return ", ".join([*named, *(["from scratch"] if kind == "scratch" else []), f"seed {seed}"])


def reason_for_silence(values: Values) -> str:
    """Explain why a run with these choices is silent; an empty text if the explanation is not known.

    Args:
        values: of all choices.
    """
    zeros = values["absent_pictures"] != "0" or values["empty_rooms"] != "0"
    if not zeros or not (values["loss"] == "l1" or values["target"] == "binary"):
        return ""
    shown = (
        "Of three pictures that are shown with a mixture, one shows an instrument that is not in it, and its target is "
        "0 everywhere; in most cells of the mixture, one of the two others is near 0 too. "
        if values["absent_pictures"] != "0"
        else "With empty rooms in the training, more than half of the values of the targets are near 0. "
    )
    if values["loss"] == "l1":
        return shown + "So more than half of all targets are near 0, and L1 is smallest at their median: a mask of 0."
    return shown + "So the best guess for a cell is below one half, and a binary mask turns this into 0."


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
