"""The page of an examination: a table of what was found, and every faulty clip to look at and to listen to."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.data.prepared import ClipIndex
from sopedu.datasets.clip_facts import RATE
from sopedu.datasets.facts_table import Fault
from sopedu.datasets.health import KINDS, HealthReport
from sopedu.errors import SopeduError
from sopedu.pages import picture_source, write_page

_MOST = 80  # clips on a page
_SECONDS = 8.0  # of each sound
_PICTURES, _HEIGHT = 4, 120  # frames per clip, and the pixels of their shorter side


def write_health_page(path: str | Path, report: HealthReport, title: str = "Health of the data") -> Path:
    """Write a page with what was found; pictures and sounds are inside.

    Args:
        path: of the page; its folder must exist.
        report: of an examination.
        title: heading.

    Returns:
        the path.

    Raises:
        SopeduError: the page cannot be written.
    """
    indexes = {Path(index.path).stem: index for index in report.indexes}
    counts = Counter(fault.kind for fault in report.faults)
    first = islice(groupby(report.faults, lambda fault: fault.clip), _MOST)
    shown = [_shown(report, indexes, clip, list(faults)) for clip, faults in first]
    return write_page(
        path,
        "health.html",
        title=title,
        report=report,
        rate=f"{report.frame_rate:g}",
        rows=[(kind, KINDS[kind], counts[kind]) for kind in KINDS if counts[kind]],
        shown=shown,
        left_out=len(report.faulty) - len(shown),
        sample_rate=RATE,
    )


def _shown(report: HealthReport, indexes: dict[str, ClipIndex], number: int, faults: list[Fault]) -> dict[str, Any]:
    facts = report.clips[number]
    index = indexes[facts.split]
    return {
        "name": f"{facts.split}, {facts.label}: {facts.audio}",
        "faults": [(fault.kind, fault.detail) for fault in faults],
        "pictures": _pictures(index, facts.row, facts.counted),
        "sound": _sound(index, facts.row),
    }


def _pictures(index: ClipIndex, row: int, counted: int) -> list[str]:
    entry, pictures = index[row], []
    for number in np.unique(np.linspace(1, max(1, min(counted, entry.frame_count)), _PICTURES).astype(int)):
        try:
            picture = index.pictures(row, [int(number)], _HEIGHT)[0]
        except SopeduError:
            continue  # the fault says so
        pictures.append(picture_source(picture, "jpeg", 70))
    return pictures


def _sound(index: ClipIndex, row: int) -> np.ndarray | None:
    try:
        return index.sound(row, 0.0, round(_SECONDS * RATE), RATE)
    except SopeduError:
        return None
