"""The report page of a separated video: it plays the results and explains them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.pages import write_page
from sopedu.plots import plot_levels, plot_sound_map
from sopedu.separation.parts import DiskWaveform

_POINTS = 400  # points per line of the timeline; more would not be visible


def write_separation_page(
    path: Path,
    result: Mapping[str, Any],
    still: np.ndarray,
    sound_map: np.ndarray,
    mixture: DiskWaveform,
    estimates: Sequence[DiskWaveform],
) -> Path:
    """Write `report.html` beside the sounds and videos that `result` names.

    Args:
        path: of the page.
        result: what ``result.json`` holds.
        still: a picture of the video ``(H, W, 3)`` uint8.
        sound_map: mean map of the whole video ``(h, w)``.
        mixture: the whole sound.
        estimates: the sound of every entry of ``result["sounds"]``.

    Returns:
        the path.

    Raises:
        SopeduError: the page cannot be written.
    """
    regions = [sound for sound in result["sounds"] if sound["video"]]
    boxes, names = [sound["box"] for sound in regions], [sound["name"] for sound in regions]
    levels = _levels(mixture, estimates[: len(regions)])
    return write_page(
        path,
        "separation.html",
        title=f"What sounds in {result['video']}",
        result=result,
        regions=regions,
        cells=[sound for sound in result["sounds"] if not sound["video"]],
        still=plot_sound_map(still, sound_map, boxes, title="Mean over the whole length"),
        timeline=plot_levels(levels, result["seconds"], ["whole sound", *names]),
        settings=json.dumps(result, indent=2, ensure_ascii=False),
        place=_place,
        time=_time,
        sentence=lambda text: f"{text[0].upper()}{text[1:]}.",
    )


def _place(box: Sequence[float]) -> str:
    """Where a box lies, in words: "left", "middle top" and so on."""
    if box[2] - box[0] > 0.9 and box[3] - box[1] > 0.9:
        return "the whole picture"
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across = "left" if x < 0.4 else "right" if x > 0.6 else "middle"
    down = " top" if y < 0.4 else " bottom" if y > 0.6 else ""
    return across + down


def _levels(mixture: DiskWaveform, estimates: Sequence[DiskWaveform]) -> np.ndarray:
    """Energy in dB of the whole sound and of estimates over time `(1 + R, n)`; 0 dB is the loudest moment."""
    count = -(-mixture.length // _POINTS)
    energies = [[np.square(block).mean() for block in sound.blocks(length=count)] for sound in (mixture, *estimates)]
    energies = np.array(energies, dtype=np.float64)
    return 10 * np.log10(np.maximum(energies / energies[0].max(), 1e-6))


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(float(seconds), 1), 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
