"""Read and check a configuration, and change single fields by name."""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from sopedu.config.fields import Config
from sopedu.config.registry import REGISTRIES
from sopedu.errors import SopeduError


def to_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as nested dictionaries that JSON can hold."""
    return dataclasses.asdict(config)


def from_dict(values: Mapping[str, Any]) -> Config:
    """Build a configuration from nested dictionaries; a missing, unknown or ill-typed field is an error by name."""
    config = _build(Config, values, "")
    sound, depth = config.spectrogram, len(config.model.audio_channels)
    for wrong, what in (
        (not 16 <= sound.n_fft <= 2**16, "an n_fft between 16 and 65536"),
        # With longer hops the windows hardly overlap, and the inverse STFT would divide by almost 0 between them.
        (not 1 <= sound.hop_length <= sound.n_fft // 2 + 1, "a hop_length of at most half of n_fft"),
        (not 1 <= sound.sample_rate <= 768_000, "a sample_rate between 1 and 768000"),
        (not sound.n_fft <= sound.samples <= 2**24, "samples between n_fft and 16777216"),
        (not 2 <= sound.log_frequency_bins <= 2**12, "log_frequency_bins between 2 and 4096"),
        (sound.floor <= 0, "a spectrogram.floor above 0, for the logarithm"),
        (not 8 <= config.frames.size <= 2048, "a frames.size between 8 and 2048"),
        (not 1 <= config.frames.count <= 64, "a frames.count between 1 and 64"),
        (not config.frames.size <= config.frames.resize <= 4096, "frames.resize between frames.size and 4096"),
        (config.frames.frame_rate <= 0, "frames.frame_rate above 0"),
        (config.model.components < 1 or config.model.frame_width < 1, "components ≥ 1 and frame_width ≥ 1"),
        (not 2 <= depth <= 12 or min(config.model.audio_channels) < 1, "2 to 12 audio_channels"),
        (
            depth <= 12 and (sound.log_frequency_bins % 2**depth or sound.time_frames % 2**depth),
            f"log_frequency_bins and time frames (1 + samples // hop_length) that can be halved {depth} times",
        ),
        (config.model.frame_head_kernel % 2 == 0, "an odd frame_head_kernel"),
        (config.mixing.sources < 2, "mixing.sources ≥ 2"),
        (config.mixing.gain_low > config.mixing.gain_high, "mixing.gain_low ≤ gain_high"),
        (config.mixing.silent_share > 0.9, "mixing.silent_share ≤ 0.9"),
        (config.training.batch_size < config.mixing.sources, "training.batch_size ≥ mixing.sources"),
        (config.training.steps < 1 or config.training.save_every < 1, "training.steps ≥ 1 and save_every ≥ 1"),
        (config.training.average_decay >= 1, "training.average_decay below 1"),
        (config.mixing.pasted_share > 1, "mixing.pasted_share ≤ 1"),
        (config.toyband.plain_share > 1, "toyband.plain_share ≤ 1"),
        (not set(config.loss.pasted_terms) - {"silence"}, "loss.pasted_terms with pooled, cell or any"),
        (config.mixing.pasted_share > 0 and config.loss.kind != "bce", "loss.kind=bce where scenes are pasted"),
    ):
        if wrong:
            raise SopeduError(f"configuration: these values fit no model or training; needed: {what}")
    return config


def with_values(config: Config, assignments: Iterable[str]) -> Config:
    """Change fields by name, e.g. ``["model.components=16", "loss.kind=bce"]``; values are JSON or plain words.

    Raises:
        SopeduError: if an assignment has no ``=``, names no field, or its value does not fit the field.
    """
    values = to_dict(config)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        section, _, key = name.strip().partition(".")
        if not equals or not key or not isinstance(values.get(section), dict) or key not in values[section]:
            fields = [f"{s}.{k}" for s, part in values.items() if isinstance(part, dict) for k in part]
            near = difflib.get_close_matches(name.strip(), fields)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise SopeduError(f"cannot set {assignment!r}: {meant}write field=value with one of {', '.join(fields)}")
        many = isinstance(values[section][key], (tuple, list)) and not text.lstrip().startswith("[")
        words = [word for word in text.split(",") if word.strip()]
        values[section][key] = [_parsed(word) for word in words] if many else _parsed(text)
    return from_dict(values)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build a dataclass, or check the value of one field: ``where`` is its name with a dot behind it."""
    if dataclasses.is_dataclass(kind):
        return _build_group(kind, value, where)
    name, origin, choices = where.rstrip("."), typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        allowed = tuple(REGISTRIES.get(name, choices))
        if not isinstance(value, str) or value not in allowed:
            raise SopeduError(f"configuration: {name} must be one of {', '.join(allowed)}, not {value!r}")
        return value
    if kind == int | str:  # a number, or the word "auto"
        return value if value == "auto" else _number(int, value, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or (choices[-1] is not Ellipsis and len(value) != len(choices)):
            raise SopeduError(f"configuration: {name} must be a list, not {value!r}")
        return tuple(_build(choices[0], entry, where) for entry in value)
    if kind in (int, float):
        return _number(kind, value, name)
    if not isinstance(value, kind):
        raise SopeduError(f"configuration: {name} must be {kind.__name__}, not {value!r}")
    return value


def _build_group(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise SopeduError(f"configuration: {where or 'the whole'} must be a group of fields, not {value!r}")
    hints = typing.get_type_hints(kind)
    later = {one.name: one.metadata["added"] for one in dataclasses.fields(kind) if "added" in one.metadata}
    for state, wrong in (("unknown", set(value) - set(hints)), ("missing", set(hints) - set(value) - set(later))):
        if wrong:
            names = " ".join(", ".join(sorted(f"{where}{name}" for name in wrong)).split())
            raise SopeduError(f"configuration: {state} field {names:.200}")
    return kind(
        **later | {name: _build(hints[name], value[name], f"{where}{name}.") for name in hints if name in value}
    )


def _number(kind: type[int] | type[float], value: Any, name: str) -> int | float:
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a number of NumPy or torch
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 10**9:
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SopeduError(f"configuration: {name} must be {kind.__name__}, not {value!r}")
    if not 0 <= value <= 1e9:
        raise SopeduError(f"configuration: {name} must lie between 0 and a billion, not {value!r}")
    return value
