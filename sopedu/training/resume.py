"""States to resume a training from, bit by bit: a killed run loses at most the steps after its last state.

A run's ``resume/`` holds numbered states and a pointer ``latest``. Each state gets a temporary name, is synced to the
disk and renamed; then the pointer is replaced, and only then are older states removed. Tensors are stored as
safetensors, everything else as JSON: nothing is unpickled. Checksums detect a damaged state; the one before is used.

Notebook: 13_train_full.
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
from sopedu.files import write_json, write_tensors, written_aside
from sopedu.folders import folder_written_aside

#: Exit status of a training that was ended by SIGTERM and can be resumed: EX_TEMPFAIL of sysexits.h, "try again".
RESUME_STATUS = 75


@dataclass(frozen=True)
class State:
    """A training between two steps.

    Attributes:
        step: number of steps done.
        tensors: weights, their moving average, the optimizer's tensors, by name.
        values: everything else, for JSON.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


def save_state(folder: str | Path, state: State, keep: int = 2) -> Path:
    """Write a state and remove all but the newest ones.

    Args:
        folder: of the states, a run's ``resume/``.
        state: to write.
        keep: how many states stay.

    Returns:
        folder of the state.

    Raises:
        SopeduError: it cannot be written, e.g. because the disk is full; the earlier states stay.
    """
    folder = Path(folder)
    place = folder / f"{state.step:09d}"
    # A damaged state of the same step is replaced.
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
    """Return whether a folder holds a state, undamaged or not.

    Args:
        folder: of the states, a run's ``resume/``.
    """
    return bool(_numbered(Path(folder)))


def newest_step(folder: str | Path) -> int:
    """Return the step of the newest state, 0 if there is none.

    Args:
        folder: of the states, a run's ``resume/``.
    """
    return max((int(place.name) for place in _numbered(Path(folder))), default=0)


class StateWriter:
    """Writes states in a thread of its own, one after the other, while the training continues.

    Args:
        folder: of the states, a run's ``resume/``.
        keep: how many states stay.
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), keep
        self._thread = ThreadPoolExecutor(1, "states")
        self._last: Future[Path] | None = None

    def write(self, state: State) -> None:
        """Copy a state and begin to write it; the training may change its tensors meanwhile.

        Args:
            state: with tensors on any device.

        Raises:
            SopeduError: the state before could not be written.
        """
        self.wait()  # so that at most one copy is in memory
        copies = {name: value.detach().to("cpu", copy=True) for name, value in state.tensors.items()}
        self._last = self._thread.submit(save_state, self.folder, State(state.step, copies, state.values), self.keep)

    def wait(self) -> None:
        """Wait until the last state is written.

        Raises:
            SopeduError: it could not be written.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Finish writing and end the thread; errors are not raised, :meth:`wait` does that."""
        self._thread.shutdown()


def load_state(folder: str | Path, device: str | torch.device = "cpu") -> tuple[State, list[str]]:
    """Read the newest state that is not damaged.

    Args:
        folder: of the states, a run's ``resume/``.
        device: for the tensors.

    Returns:
        the state; and one line for each newer state that is damaged.

    Raises:
        SopeduError: there is no state, or all are damaged.
    """
    folder, notes = Path(folder), []
    places = sorted(_numbered(folder), reverse=True)
    pointer = folder / "latest"
    if pointer.is_file():  # states beyond the pointer were not finished
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
    """Collect the tensors that an optimizer keeps.

    Args:
        optimizer: of a training.

    Returns:
        name → tensor; a name is the parameter's number and the tensor's kind, such as ``0.exp_avg``.
    """
    return {
        f"{number}.{name}": value
        for number, kept in optimizer.state_dict()["state"].items()
        for name, value in kept.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Restore the tensors of an optimizer.

    Tensors with the shape of their parameter get its memory layout too, which fused updates on a GPU need.

    Args:
        optimizer: for the same parameters as the one that the tensors come from.
        tensors: from :func:`optimizer_tensors`.
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
    """Describe how two configurations differ, one text per field.

    Args:
        before: section → field → value.
        now: the same; only its sections and fields are compared.
    """
    return [
        f"{section}.{name} was {before[section].get(name)!r}, is {value!r}"
        for section, fields in now.items()
        if isinstance(fields, dict)
        for name, value in fields.items()
        if json.dumps(before[section].get(name)) != json.dumps(value)
    ]
