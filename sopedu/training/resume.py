"""States to resume a training from, exactly: what a killed run lost is at most what came after the last one.

A run's folder ``resume/`` holds numbered states and a pointer ``latest``. Each is written aside, synced to the disk
and renamed; the pointer is replaced last, and older states are removed only then. Tensors lie in safetensors, all else
in JSON: nothing is unpickled. A state that is damaged is noticed by its checksums, and the one before it is used.
Explained in notebook 13_train_full.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from sopedu.errors import SopeduError
from sopedu.files import folder_written_aside, write_json, write_tensors, written_aside

#: Exit status of a training that was told to end (SIGTERM) and can go on: EX_TEMPFAIL of sysexits.h, "try again".
RESUME_STATUS = 75


@dataclass(frozen=True)
class State:
    """A training in between two steps.

    Attributes:
        step: how many steps are done.
        tensors: weights, their moving average, the optimizer's tensors, by name.
        values: everything else, as JSON can hold it.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


def save_state(folder: str | Path, state: State, keep: int = 2) -> Path:
    """Write a state into ``folder`` (a run's ``resume/``) and remove all but the newest ``keep``.

    Raises:
        SopeduError: it cannot be written, e.g. because the disk is full; the states that were there stay.
    """
    folder = Path(folder)
    place = folder / f"{state.step:09d}"
    # Replaced is a state of that step which proved damaged.
    with folder_written_aside(place, replace=True, synced=True) as unfinished:
        tensors = unfinished / "tensors.safetensors"
        write_tensors(tensors, state.tensors)
        values = json.dumps({**state.values, "step": state.step, "tensors_sha256": _checksum(tensors)}, allow_nan=False)
        write_json(unfinished / "state.json", {"sha256": _text_checksum(values), "values": values})
    with written_aside(folder / "latest", synced=True) as pointer:
        pointer.write_text(place.name, encoding="utf-8")
    for old in sorted(_numbered(folder), reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def holds_state(folder: str | Path) -> bool:
    """Whether any state, whole or damaged, was ever finished in ``folder`` (a run's ``resume/``)."""
    return bool(_numbered(Path(folder)))


def newest_step(folder: str | Path) -> int:
    """The step of the newest state in ``folder``, 0 if there is none."""
    return max((int(place.name) for place in _numbered(Path(folder))), default=0)


class StateWriter:
    """Writes states in a thread of its own, one after the other, while the training goes on.

    Args:
        folder: a run's ``resume/``.
        keep: how many states stay.
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), keep
        self._thread = ThreadPoolExecutor(1, "states")
        self._last: Future[Path] | None = None

    def write(self, state: State) -> None:
        """Copy a state and begin to write it; the training may go on changing its tensors.

        Raises:
            SopeduError: the state before could not be written.
        """
        self.wait()  # so that at most one copy is in memory
        copies = {name: value.detach().to("cpu", copy=True) for name, value in state.tensors.items()}
        self._last = self._thread.submit(save_state, self.folder, State(state.step, copies, state.values), self.keep)

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            SopeduError: it could not be written.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Finish what is being written and end the thread; an error that nobody waited for is not raised."""
        self._thread.shutdown()


def load_state(folder: str | Path, device: str | torch.device = "cpu") -> tuple[State, list[str]]:
    """Read the newest state that is whole.

    Returns:
        the state, and one line for each newer state that was found damaged.

    Raises:
        SopeduError: there is none, or none is whole.
    """
    folder, notes = Path(folder), []
    places = sorted(_numbered(folder), reverse=True)
    pointer = folder / "latest"
    if pointer.is_file():  # what lies beyond the pointer was not finished
        named = pointer.read_text(encoding="utf-8", errors="replace").strip()
        places = [place for place in places if place.name <= named] or places
    for place in places:
        try:
            return _read(place, device), notes
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            notes.append(f"{place}: damaged ({' '.join(str(error).split()):.100}), so the state before it is used")
    if notes:
        raise SopeduError(f"{folder}: all {len(notes)} states are damaged; start anew with another --out")
    raise SopeduError(f"{folder}: holds no state to resume from; train without --resume, or check the folder's name")


def _read(place: Path, device: str | torch.device) -> State:
    outer = json.loads((place / "state.json").read_text(encoding="utf-8"))
    if _text_checksum(outer["values"]) != outer["sha256"]:
        raise ValueError("the checksum of state.json is wrong")
    values = json.loads(outer["values"])
    if _checksum(place / "tensors.safetensors") != values["tensors_sha256"]:
        raise ValueError("the checksum of tensors.safetensors is wrong")
    return State(values["step"], load_file(place / "tensors.safetensors", device=str(device)), values)


def _numbered(folder: Path) -> list[Path]:
    return [place for place in folder.iterdir() if place.name.isdigit()] if folder.is_dir() else []


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text_checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """All tensors an optimizer keeps, named ``0.exp_avg``: number of the parameter and what it is."""
    return {
        f"{number}.{name}": value
        for number, kept in optimizer.state_dict()["state"].items()
        for name, value in kept.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give an optimizer its tensors back, from :func:`optimizer_tensors`.

    What has the shape of its parameter gets that parameter's memory layout: fused updates on a GPU want it.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def different_settings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two configurations as nested dictionaries, one text a field."""
    return [
        f"{section}.{name} was {before[section].get(name)!r}, is {value!r}"
        for section, fields in now.items()
        if isinstance(fields, dict)
        for name, value in fields.items()
        if json.dumps(before[section].get(name)) != json.dumps(value)
    ]
