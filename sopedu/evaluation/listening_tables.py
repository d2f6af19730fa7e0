"""The figures of :func:`sopedu.evaluation.evaluate_listening` as tables, for the terminal, Markdown and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_HEARD = {
    "own_alone": "its own sound alone",
    "swapped": "another clip's sound alone",
    "noise": "white noise alone",
    "silence": "silence (how open masks are)",
    "own": "mixture: its own sound",
    "others": "mixture: the others' sound",
    "own_with_off_screen": "off-screen sound added: its own",
    "off_screen": "off-screen sound added: that one",
}
_MIXED = {
    "mask_area": "area under the curve of thresholds",
    "sdr": "SDR of mixtures, dB",
    "sdr_with_off_screen": "SDR, off-screen sound added, dB",
}
_METHODS = {
    "nmf_by_class": "NMF, told",
    "static_mask": "static",
    "half_mask": "half",
    "mixture": "mixture",
    "ideal_ratio_mask": "ideal",
}
_PLACES = {
    "own_place": "SDR of its own place, dB",
    "other_place": "SDR of the other place, dB",
    "whole_frame": "SDR of the whole frame, dB",
    "centre_box": "SDR of a box in the middle, dB",
    "peak_in_place": "heard alone: the map's peak is in its place, %",
    "map_in_place": "heard alone: share of the map in its place, %",
}
_BY_CLASS = {
    "own_alone": "own alone",
    "swapped": "another's alone",
    "own": "own, mixed",
    "others": "others', mixed",
    "off_screen": "off screen",
}


class ListeningTable(NamedTuple):
    """A table of texts.

    Attributes:
        title: what is in it, with the unit.
        head: names of the columns; the first is that of the rows and empty.
        rows: each with as many cells as the head.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def listening_tables(figures: Mapping[str, Any]) -> list[ListeningTable]:
    """Lay out everything that was measured.

    Args:
        figures: what :func:`sopedu.evaluation.evaluate_listening` returns.
    """
    curve, places, chosen = figures["curve"], figures["places"], figures["map_curve"]
    model, static, percent = curve["model"], curve["static_mask"], 100.0
    rival = _rival(figures)
    methods = [name for row, name in _METHODS.items() if row in figures["table"]]
    against = ("", "model", "95 % interval", f"minus {_METHODS[rival]}", *methods)
    names = ("kept", "own", "others", "right")
    thresholds = [
        (f"{at:g}", *(_cell(model[name][i], percent) for name in names), _cell(model["sdr"][i], 1, 2),
         _cell(static["right"][i], percent), _cell(static["sdr"][i], 1, 2))
        for i, at in enumerate(curve["thresholds"])
    ]  # fmt: skip
    maps = [
        (f"{at:g}", _cell(chosen["chosen"][i], percent), _cell(chosen["right"][i], percent))
        for i, at in enumerate(chosen["thresholds"])
    ]
    return [
        ListeningTable("A picture and what is heard with it: share of the energy that the masks let through, in %",
                       against, tuple(_against(figures, key, name, percent, 1) for key, name in _HEARD.items())),
        ListeningTable("Masks of mixtures", against,
                       tuple(_against(figures, key, name, 1.0, 2) for key, name in _MIXED.items())),
        ListeningTable("The model by class, in % with 95 % intervals", ("", "sounds", *_BY_CLASS.values()),
                       tuple(_of_class(name, found) for name, found in figures["by_class"].items())),
        ListeningTable("Thresholds of the mask: energy let through, and energy treated rightly, in %; SDR in dB",
                       ("above", "of the mixture", "of own cells", "of other cells", "right", "SDR",
                        "static mask: right", "SDR"), tuple(thresholds)),
        ListeningTable("Places, pictures side by side", ("", "model", "95 % interval", "by chance"),
                       tuple(_of_place(places, key, name) for key, name in _PLACES.items())),
        ListeningTable(f"Thresholds of the map, heard alone, in % (by chance {percent * places['chance']:.0f} right)",
                       ("from", "of the picture", "of this right"), tuple(maps)),
    ]  # fmt: skip


def _cell(value: float | None, unit: float, digits: int = 1) -> str:
    return "–" if value is None else f"{unit * value:z.{digits}f}"


def _interval(ends: Sequence[float | None], unit: float, digits: int) -> str:
    return "–" if None in ends else " … ".join(_cell(end, unit, digits) for end in ends)


def _against(figures: Mapping[str, Any], key: str, name: str, unit: float, digits: int) -> tuple[str, ...]:
    """A row with the model and everything that it is compared with."""
    table, apart = figures["table"], figures["differences"][_rival(figures)][key]
    return (
        name,
        _cell(table["model"][key], unit, digits),
        _interval(figures["intervals"]["model"][key], unit, digits),
        _interval([apart["low"], apart["high"]], unit, digits),
        *(_cell(table[row][key], unit, digits) for row in _METHODS if row in table),
    )


def _rival(figures: Mapping[str, Any]) -> str:
    """The strongest of the simple methods, from which the model's distance is shown."""
    return "nmf_by_class" if "nmf_by_class" in figures["table"] else "static_mask"


def _of_class(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    cells = []
    for key in _BY_CLASS:
        interval = _interval([found[key]["low"], found[key]["high"]], 100, 0)
        cells.append(_cell(found[key]["mean"], 100, 0) + ("" if interval == "–" else f" [{interval}]"))
    return (name, str(found["sounds"]), *cells)


def _of_place(places: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
    unit, digits = (1.0, 2) if "SDR" in name else (100.0, 1)
    found = places[key]
    chance = "" if "SDR" in name else _cell(places["chance"], unit, digits)
    return name, _cell(found["mean"], unit, digits), _interval([found["low"], found["high"]], unit, digits), chance


def listening_text(figures: Mapping[str, Any]) -> str:
    """Lay out the tables as text.

    Args:
        figures: what :func:`sopedu.evaluation.evaluate_listening` returns.
    """
    blocks = []
    for title, head, rows in listening_tables(figures):
        widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
        lines = [
            "  ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(wide) for cell, wide in zip(row[1:], widths[1:], strict=True))]
            )
            for row in (head, *rows)
        ]
        blocks.append("\n".join([title, *(line.rstrip() for line in lines)]))
    return "\n\n".join(blocks)


def listening_markdown(figures: Mapping[str, Any]) -> str:
    """Lay out the tables in Markdown, each below its title.

    Args:
        figures: what :func:`sopedu.evaluation.evaluate_listening` returns.
    """
    blocks = []
    for title, head, rows in listening_tables(figures):
        lines = [f"| {' | '.join(row)} |".replace(" -", " −") for row in (head, *rows)]
        lines.insert(1, "|---" * len(head) + "|")
        blocks.append("\n".join([f"{title}:", "", *lines]))
    return "\n\n".join(blocks)
