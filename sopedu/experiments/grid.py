"""The grid of a sweep: which fields are varied, which of them together, and what each run is called.

An axis is a list of alternatives, and an alternative sets one field, or several that belong together:

    >>> parse_axis("model.components=4,16")
    [{'model.components': '4'}, {'model.components': '16'}]
    >>> parse_axis("loss.target=binary+loss.kind=bce,loss.target=ratio+loss.kind=l1")
    [{'loss.target': 'binary', 'loss.kind': 'bce'}, {'loss.target': 'ratio', 'loss.kind': 'l1'}]

The grid is every combination of one alternative per axis.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sopedu.config import Config, with_values
from sopedu.errors import SopeduError

#: Fields → values, as ``--set`` takes them.
Values = Mapping[str, Any]

_FIELD = r"[a-z_]+\.[a-z_]+="
_HOW = "write field=value,value,… or for fields that belong together field=value+field=value,field=value+field=value,…"
_LONGEST_NAME = 120


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        name: of its folder, such as ``components-16_seed-0``.
        variant: the name without the seed; runs of one variant differ in their seeds only.
        values: the varied fields and their values.
        seed: of the training.
        config: of the run.
    """

    name: str
    variant: str
    values: dict[str, str]
    seed: int
    config: Config


def parse_axis(text: str) -> list[dict[str, str]]:
    """Read an axis of the grid.

    Args:
        text: ``field=value,value,…``. Fields that change together are joined by ``+``, and each alternative is written
            in full: ``field=value+field=value,field=value+field=value``. A value that is a list stands in brackets:
            ``model.audio_channels=[8,16,32],[12,24,48]``.

    Raises:
        SopeduError: the text is no axis.
    """
    alternatives: list[dict[str, str]] = []
    for piece in re.split(r",(?![^\[]*\])", text):
        if re.match(_FIELD, piece.strip()):
            alternatives.append(dict(_assignment(part, text) for part in re.split(rf"\+(?={_FIELD})", piece)))
        elif alternatives and len(alternatives[-1]) == 1 and piece.strip():
            (field,) = alternatives[-1]
            alternatives.append({field: _plain(piece)})
        else:
            raise SopeduError(f"--grid {text}: {_HOW}")
    return alternatives


def _assignment(part: str, whole: str) -> tuple[str, str]:
    field, _, value = part.strip().partition("=")
    if not value.strip():
        raise SopeduError(f"--grid {whole}: {field} has no value; {_HOW}")
    return field, _plain(value)


def _plain(value: Any) -> str:
    """A value as ``--set`` takes it; lists lose their brackets."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(_plain, value))
    return re.sub(r"^\[(.*)\]$", r"\1", str(value).strip())


def axes_of(grid: Mapping[str, Sequence[Any]] | Iterable[str | Sequence[Values]]) -> list[list[dict[str, str]]]:
    """Read a grid.

    Args:
        grid: field → values; or a list of axes, each as text (:func:`parse_axis`) or as a list of alternatives.

    Returns:
        its axes, each a list of alternatives, each field → value.

    Raises:
        SopeduError: an axis is empty or not readable, or two axes vary one field.
    """
    if isinstance(grid, str):
        raise SopeduError(f"a grid is a list of axes: give [{grid!r}]")
    if isinstance(grid, Mapping):
        axes = [[{field: _plain(value)} for value in values] for field, values in grid.items()]
    else:
        axes = [
            parse_axis(axis) if isinstance(axis, str) else [{f: _plain(v) for f, v in one.items()} for one in axis]
            for axis in grid
        ]
    if not all(axes):
        raise SopeduError("the grid has an axis without values; give it some, or leave it out")
    fields = [field for axis in axes for field in fields_of(axis)]
    if "training.seed" in fields:
        raise SopeduError("the grid varies training.seed; give seeds by --seeds")
    twice = [field for field in fields if fields.count(field) > 1]
    if twice:
        raise SopeduError(f"the grid varies {twice[0]} on two axes; name each field on one")
    return axes


def fields_of(axis: Sequence[Values]) -> tuple[str, ...]:
    """Return the fields that an axis varies.

    Args:
        axis: a list of alternatives.
    """
    return tuple(dict.fromkeys(field for alternative in axis for field in alternative))


def combined(axes: Sequence[Sequence[Values]]) -> list[dict[str, str]]:
    """Return every combination of one alternative per axis; the last axis changes fastest.

    Args:
        axes: from :func:`axes_of`.
    """
    return [dict(pair for one in chosen for pair in one.items()) for chosen in itertools.product(*axes)]


def runs_of(config: Config, variants: Sequence[Values], seeds: Sequence[int]) -> list[SweepRun]:
    """List the runs of a sweep: every variant with the first seed, then with the next; so a part is a whole picture.

    Args:
        config: what is not varied.
        variants: field → value of each; see :func:`combined`.
        seeds: of the trainings.

    Raises:
        SopeduError: there is no such field or value, or two runs would be the same.
    """
    variants = [{field: _plain(value) for field, value in one.items()} for one in variants]
    if not seeds or len(set(seeds)) < len(seeds):
        raise SopeduError("a sweep needs at least one seed, and each only once")
    fields = list(dict.fromkeys(field for one in variants for field in one))
    names = [_variant_name(one, fields) for one in variants]
    runs = []
    for seed in seeds:
        for name, values in zip(names, variants, strict=True):
            changes = [f"{field}={value}" for field, value in values.items()]
            changed = with_values(config, [*changes, f"training.seed={seed}"])
            runs.append(SweepRun("_".join(filter(None, (name, f"seed-{seed}"))), name, dict(values), seed, changed))
    same = [run.name for run in runs if sum(other.config == run.config for other in runs) > 1]
    same += [name for name in names if names.count(name) > 1]
    if same:
        raise SopeduError(f"the sweep would train {same[0]} twice; name each combination once")
    return runs


def _variant_name(values: Values, fields: Sequence[str]) -> str:
    """A name for a folder: ``components-16_kind-l1``, with the section where two fields have one name."""
    short = [field.partition(".")[2] for field in fields]
    parts = []
    for field, value in values.items():
        key = field.partition(".")[2]
        key = field.replace(".", "-") if short.count(key) > 1 else key
        parts.append(f"{key.replace('_', '-')}-{re.sub(r'[^A-Za-z0-9.+-]+', '-', str(value)).strip('-')}")
    return "_".join(parts)[:_LONGEST_NAME]
