"""The report page of a separated video: it plays the results and explains them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sopedu.pages import figure_html, write_page
from sopedu.plots import plot_levels, plot_sound_map
from sopedu.separation.parts import DiskWaveform

_POINTS = 400  # per line of the timeline: more could not be seen


def write_separation_page(
    path: Path,
    result: Mapping[str, Any],
    still: np.ndarray,
    sound_map: np.ndarray,
    mixture: DiskWaveform,
    estimates: Sequence[DiskWaveform],
) -> Path:
    """Write ``report.html`` beside the sounds and videos that ``result`` names.

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
    cells = [sound for sound in result["sounds"] if not sound["video"]]
    names = [sound["name"] for sound in regions]
    chosen = {sound["chosen"] for sound in regions}
    boxes = [sound["box"] for sound in regions]
    still_figure = plot_sound_map(still, sound_map, boxes, title="Mean over the whole length")
    return write_page(
        path,
        "separation.html",
        title=escape(f"What sounds in {result['video']}"),
        summary=f"{_time(result['seconds'])}{_from(result['start'])}, heard in {result['windows']} windows.",
        model=escape(result["model"]),
        hint=escape(result["hint"][0].upper() + result["hint"][1:]),
        notes=_notes(result["notes"]),
        map_video=quote(result["sound_map"]),
        mixture=quote(result["mixture"]),
        still=figure_html(still_figure, "sound map", f"Mean sound map over a picture, with boxes: {_said(regions)}"),
        tour=_tour(result["tour"]),
        regions_intro=_intro(chosen, result["normalised"]),
        regions="\n".join(_region(number, sound) for number, sound in enumerate(regions, 1)),
        cells=_cells(cells),
        timeline=figure_html(
            plot_levels(_levels(mixture, estimates[: len(regions)]), result["seconds"], ["whole sound", *names]),
            "loudness over time",
            f"Lines of the level in dB over {_time(result['seconds'])}: the whole sound and {_said(regions)}",
        ),
        settings=escape(json.dumps(result, indent=2, ensure_ascii=False)),
    )


def _tour(sections: Sequence[Mapping[str, Any]] | None) -> str:
    if sections is None:
        return ""
    names = ", ".join(f"{escape(section['name'])} at {_time(section['at'])}" for section in sections)
    shown = f"{_time(sections[0]['seconds'])}{_from(sections[0]['from'])}"
    return (
        "<h2>A tour of what was found</h2>\n<section>\n"
        '<video controls preload="metadata" src="tour.mp4" aria-label="Tour: everything together, then each alone">'
        f"</video>\n<p>The same {shown} again and again: {names}.</p></section>\n"
    )


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "\n".join(f"<li>{escape(note[0].upper() + note[1:])}.</li>" for note in notes)
    return f'<div class="notes"><p>To know about this video:</p><ul>\n{items}\n</ul></div>'


def _intro(chosen: set[str], normalised: bool) -> str:
    ways = {"asked for": "The regions that were asked for.", "object": "The objects that the detector found."}
    ways["loudest"] = "The two loudest places of the map, chosen by it."
    text = " ".join(words for way, words in ways.items() if way in chosen)
    if normalised:
        while_there = ", at every moment at which one of them is there" if chosen == {"object"} else ""
        return text + f" Their masks were divided by their sum, so that together they are the whole sound{while_there}."
    return text + " Regions are heard each for itself: two can let the same sound through."


def _region(number: int, sound: Mapping[str, Any]) -> str:
    name, video, wav = escape(sound["name"]), quote(sound["video"]), quote(sound["wav"])
    return (
        f"<section><h3>{number}. {name}: {_place(sound['box'])}</h3>\n"
        f'<video controls preload="metadata" src="{video}" aria-label="{name} marked, its sound alone"></video>\n'
        f'<audio controls preload="metadata" src="{wav}" aria-label="The sound of {name}"></audio>\n'
        f"<p>{sound['energy_share']:.1%} of the energy. Files: "
        f'<a href="{video}">{video}</a>, <a href="{wav}">{wav}</a>.</p></section>'
    )


def _cells(cells: Sequence[Mapping[str, Any]]) -> str:
    if not cells:
        return ""
    players = "\n".join(
        f'<figure><audio controls preload="metadata" src="{quote(cell["wav"])}" aria-label="{cell["name"]}"></audio>'
        f'<figcaption><a href="{quote(cell["wav"])}">{cell["wav"]}</a>, {cell["energy_share"]:.1%} of the energy'
        "</figcaption></figure>"
        for cell in cells
    )
    return (
        "<h3>Single cells</h3>\n<p>The loudest cells of the map, each for itself; rows and columns count from the left "
        f'top.</p>\n<div class="players">\n{players}\n</div>'
    )


def _place(box: Sequence[float]) -> str:
    """Where a box lies, in words: "left", "middle top" and so on."""
    if box[2] - box[0] > 0.9 and box[3] - box[1] > 0.9:
        return "the whole picture"
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    across = "left" if x < 0.4 else "right" if x > 0.6 else "middle"
    down = " top" if y < 0.4 else " bottom" if y > 0.6 else ""
    return across + down


def _said(regions: Sequence[Mapping[str, Any]]) -> str:
    return escape(", ".join(f"{sound['name']} ({_place(sound['box'])})" for sound in regions))


def _levels(mixture: DiskWaveform, estimates: Sequence[DiskWaveform]) -> np.ndarray:
    """Energy in dB of the whole sound and of estimates over time ``(1 + R, n)``; 0 dB is the loudest moment."""
    count = -(-mixture.length // _POINTS)
    energies = [[np.square(block).mean() for block in spool.blocks(length=count)] for spool in (mixture, *estimates)]
    energies = np.array(energies, dtype=np.float64)
    return 10 * np.log10(np.maximum(energies / energies[0].max(), 1e-6))


def _from(start: float) -> str:
    return f" from {_time(start)} on" if start else ""


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(float(seconds), 1), 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
