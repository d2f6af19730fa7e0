"""Natural duets, whose true sounds nobody has: what can be said of their separation without references.

No figure here says that a separation is right. Some say that it is wrong: a right separation does well in all of them,
and each simple way to cheat (:data:`CHEATS`) does badly in one. Not every way is found: a fixed mask per class, used
wherever the class is seen, does well in all.

A model is asked for both players, for two halves of each, and for the same places in two other pictures: the mirrored
one and that of another film. All figures follow from inner products of these sounds. Inner products add up over
windows, so memory does not grow with a film.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sopedu.audio.masks import apply_mask
from sopedu.evaluation.statistics import means_with_intervals
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import WHOLE, Box
from sopedu.model.modes import evaluating
from sopedu.model.sound_of_pixels import SoundOfPixels, normalise_frames

#: The sounds of which inner products are kept, in this order. Player a is the left one, b the right one.
SOUNDS = (
    "mixture", "a", "b", "a_1", "a_2", "b_1", "b_2", "a_mirrored", "b_mirrored", "a_other", "b_other", "absent",
)  # fmt: skip
#: Levels below this, in dB relative to the mixture, count as this, and such sounds as silent.
FLOOR = -60.0
_SILENCE = 10 ** (FLOOR / 10)


@dataclass(frozen=True)
class DuetFigure:
    """One figure of a duet.

    Attributes:
        name: in a table.
        unit: ``dB``; empty for a likeness, which is the cosine between two waveforms: 1 is the same sound.
        better: ``low`` or ``high``.
        meaning: in one line.
    """

    name: str
    unit: str
    better: str
    meaning: str


#: Every figure, in the order of the table.
FIGURES: dict[str, DuetFigure] = {
    "rest": DuetFigure("rest", "dB", "low", "energy of the mixture minus both players, relative to the mixture"),
    "balance": DuetFigure("balance", "dB", "low", "difference in level between the two players"),
    "a_and_b": DuetFigure("A and B", "", "low", "how alike the two players sound"),
    "halves": DuetFigure("halves", "", "high", "how alike two halves of one player sound"),
    "contrast": DuetFigure("contrast", "", "high", "halves of one player minus halves of different players"),
    "mirrored": DuetFigure("mirrored", "", "high", "how alike a player sounds in the mirrored picture"),
    "other_film": DuetFigure("other film", "", "low", "how alike the same places sound in the picture of another film"),
    "absent": DuetFigure("absent", "dB", "low", "level for the picture of an instrument that does not play"),
}


@dataclass(frozen=True)
class Cheat:
    """A way to get good figures without separating anything.

    Attributes:
        name: in a table.
        revealed_by: the figure that tells it from a separation.
    """

    name: str
    revealed_by: str


#: Every cheat by the name of its row.
CHEATS: dict[str, Cheat] = {
    "half": Cheat("half of the mixture everywhere", "contrast"),
    "one_side": Cheat("all to the left side", "balance"),
    "by_pitch": Cheat("low notes left, high ones right", "mirrored"),
    "random": Cheat("random masks", "contrast"),
    "mixture": Cheat("the mixture for everyone", "rest"),
    "grey": Cheat("model, a grey picture", "contrast"),
}


@dataclass(frozen=True)
class DuetWindow:
    """One window of a duet, and the pictures that a model is shown with its sound, as features ``(K, S, h, w)``.

    Attributes:
        own: the window itself.
        shape: (height, width) of its frames.
        mirrored: its picture, left and right exchanged.
        grey: a grey picture.
        other: the picture of another film; None if there is no other.
        absent: the picture of an instrument that does not play; None if none is known.
    """

    own: PixelSounds
    shape: tuple[int, int]
    mirrored: torch.Tensor
    grey: torch.Tensor
    other: torch.Tensor | None = None
    absent: torch.Tensor | None = None

    def pictures(self) -> dict[str, PixelSounds | None]:
        """Return the window's sound with each picture."""
        shown = {"mirrored": self.mirrored, "other": self.other, "absent": self.absent}
        return {"own": self.own} | {name: _showing(self.own, features) for name, features in shown.items()}


@torch.inference_mode()
def picture_features(model: SoundOfPixels, frames: torch.Tensor) -> torch.Tensor:
    """Compute the features of a picture, ``(K, S, h, w)`` float32, without activation.

    Args:
        model: in any mode.
        frames: ``(S, 3, H, W)`` uint8.
    """
    with evaluating(model):
        device = next(model.parameters()).device
        return model.feature_map(normalise_frames(frames[None].to(device)))[0].float()


def _showing(pixels: PixelSounds, features: torch.Tensor | None) -> PixelSounds | None:
    """Return the same sound with another picture."""
    if features is None:
        return None
    other = copy.copy(pixels)
    other.features = features
    return other


def window_products(window: DuetWindow, players: tuple[Box, Box], generator: torch.Generator) -> dict[str, np.ndarray]:
    """Separate one window in every way, and return the inner products of the sounds.

    Args:
        window: its sound and pictures.
        players: the boxes of the two players, from left to right.
        generator: of the random masks.

    Returns:
        ``model`` and each of :data:`CHEATS` → ``(12, 12)`` float64, in the order of :data:`SOUNDS`; NaN where there is
        no picture.
    """
    asked = _asked(players, window.shape)
    mixture, pictures = window.own.mixture(), window.pictures()
    grey = {name: picture and _showing(window.own, window.grey) for name, picture in pictures.items()}
    rows = {"model": _separated(pictures, asked)} | _cheats(window.own, asked, generator)
    found = {}
    for name, separated in (rows | {"grey": _separated(grey, asked)}).items():
        sounds = torch.cat([mixture[None], separated]).double()
        found[name] = (sounds @ sounds.T).numpy()
    return found


def _asked(players: Sequence[Box], shape: tuple[int, int]) -> list[tuple[str, Box]]:
    """Name picture and place of each sound but the first one."""
    places = [("own", box) for box in players]
    places += [("own", half) for box in players for half in halves_of(box, shape)]
    places += [("mirrored", mirrored_box(box)) for box in players]
    return [*places, *(("other", box) for box in players), ("absent", WHOLE)]


def halves_of(box: Box, shape: tuple[int, int]) -> tuple[Box, Box]:
    """Cut a box in two across its longer side.

    Args:
        box: ``(x0, y0, x1, y1)``.
        shape: (height, width) of the picture.
    """
    x0, y0, x1, y1 = box
    if (x1 - x0) * shape[1] > (y1 - y0) * shape[0]:
        return (x0, y0, (x0 + x1) / 2, y1), ((x0 + x1) / 2, y0, x1, y1)
    return (x0, y0, x1, (y0 + y1) / 2), (x0, (y0 + y1) / 2, x1, y1)


def mirrored_box(box: Box) -> Box:
    """Return where a box lies when left and right are exchanged.

    Args:
        box: ``(x0, y0, x1, y1)``.
    """
    return 1 - box[2], box[1], 1 - box[0], box[3]


def _separated(pictures: Mapping[str, PixelSounds | None], asked: Sequence[tuple[str, Box]]) -> torch.Tensor:
    """Sounds ``(11, L)`` of the model; NaN where there is no picture."""
    own = pictures["own"]
    silence = torch.full((own.sound.counted_samples,), torch.nan)
    return torch.stack([silence if pictures[name] is None else pictures[name].separate(box) for name, box in asked])


def _cheats(own: PixelSounds, asked: Sequence[tuple[str, Box]], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Sounds ``(11, L)`` of those cheats that need no model."""
    mixture = own.mixture()
    left = torch.tensor([(min(box[2], 0.5) - min(box[0], 0.5)) / (box[2] - box[0]) for _, box in asked])[:, None]
    masks = torch.rand((len(asked), *own.magnitude.shape), generator=generator)
    low = low_notes(own)
    return {
        "half": mixture.expand(len(asked), -1) / 2,
        "one_side": left * mixture,
        "by_pitch": left * low + (1 - left) * (mixture - low),
        "random": apply_mask(masks, own.spectrogram.cpu(), own.sound),
        "mixture": mixture.expand(len(asked), -1),
    }


def low_notes(pixels: PixelSounds) -> torch.Tensor:
    """Return the lower half of a window's sound ``(L,)``: the frequencies below which half of its energy lies.

    Args:
        pixels: the window.
    """
    power = pixels.magnitude.square().sum(1).cumsum(0).cpu()
    mask = (power <= power[-1] / 2).float()[:, None].expand(pixels.magnitude.shape)
    return apply_mask(mask, pixels.spectrogram.cpu(), pixels.sound)


def duet_figures(products: np.ndarray) -> dict[str, float]:
    """Compute the figures of one duet.

    Args:
        products: inner products ``(12, 12)`` of its :data:`SOUNDS`, added up over its windows.

    Returns:
        one value per name in :data:`FIGURES`; NaN where a sound is missing, or a silent one would have to be compared
        with another.
    """
    place = {name: number for number, name in enumerate(SOUNDS)}

    def energy(**weights: float) -> float:
        """Energy of a weighted sum of sounds, relative to the mixture."""
        signs = np.zeros(len(SOUNDS))
        for name, weight in weights.items():
            signs[place[name]] = weight
        used = np.flatnonzero(signs)
        return float(signs[used] @ products[np.ix_(used, used)] @ signs[used] / products[0, 0])

    def level(value: float) -> float:
        return float(np.maximum(10 * np.log10(max(value, _SILENCE / 10)), FLOOR)) if value == value else np.nan

    def alike(first: str, second: str) -> float:
        loudness = np.array([energy(**{first: 1.0}), energy(**{second: 1.0})])
        if np.isnan(loudness).any() or loudness.min() < _SILENCE:
            return 1.0 if (loudness < _SILENCE).all() else np.nan  # two silent sounds are alike
        return float(products[place[first], place[second]] / products[0, 0] / np.sqrt(loudness.prod()))

    within = _mean([alike("a_1", "a_2"), alike("b_1", "b_2")])
    between = _mean([alike(first, second) for first in ("a_1", "a_2") for second in ("b_1", "b_2")])
    return {
        "rest": level(energy(mixture=1.0, a=-1.0, b=-1.0)),
        "balance": abs(level(energy(a=1.0)) - level(energy(b=1.0))),
        "a_and_b": alike("a", "b"),
        "halves": within,
        "contrast": within - between,
        "mirrored": _mean([alike("a", "a_mirrored"), alike("b", "b_mirrored")]),
        "other_film": _mean([alike("a", "a_other"), alike("b", "b_other")]),
        "absent": level(energy(absent=1.0)),
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else np.nan


def summarise_duets(films: Sequence[Mapping[str, Mapping[str, float]]], seed: int = 0) -> dict[str, Any]:
    """Compute means over films with their 95 % bootstrap intervals.

    Args:
        films: of each film row → figure → value, as :func:`duet_figures` returns them.
        seed: of the bootstrap.

    Returns:
        ``table``: row → figure → mean; ``intervals``: row → figure → lower and upper end; ``counts``: figure → how many
        films have the model's. None where there is no value.
    """
    rows = list(films[0])
    values = np.array([[[film[row][name] for name in FIGURES] for row in rows] for film in films])  # (P, R, figures)
    table, intervals = {}, {}
    for i, row in enumerate(rows):
        found = dict(zip(FIGURES, means_with_intervals(values[:, None, i], seed), strict=True))
        table[row] = {name: one["mean"] for name, one in found.items()}
        intervals[row] = {name: [one["low"], one["high"]] for name, one in found.items()}
    known = np.isfinite(values[:, rows.index("model")]).sum(0)
    return {"table": table, "intervals": intervals, "counts": dict(zip(FIGURES, known.tolist(), strict=True))}


def not_told_apart(figures: Mapping[str, Any]) -> list[str]:
    """Return one line per cheat that the model cannot be told from, by the figure that should reveal the cheat.

    Args:
        figures: what :func:`summarise_duets` returns.
    """
    lines = []
    for row, cheat in CHEATS.items():
        figure, name = FIGURES[cheat.revealed_by], cheat.revealed_by
        ends, other = figures["intervals"]["model"][name], figures["table"][row][name]
        if None in ends or other is None:
            continue
        if (ends[1] >= other) if figure.better == "low" else (ends[0] <= other):
            lines.append(f"{figure.name} does not tell this model from “{cheat.name}”: do not trust its sounds")
    return lines


def duet_table(figures: Mapping[str, Any]) -> str:
    """Lay out the figures of duets as text: the model with its intervals, then the cheats.

    Args:
        figures: what :func:`summarise_duets` returns.
    """
    names = {"model": "model", **{row: cheat.name for row, cheat in CHEATS.items()}}
    width = max(map(len, names.values())) + 1
    heads = [f"{figure.name}, {figure.unit}" if figure.unit else figure.name for figure in FIGURES.values()]
    lines = [" " * width + "".join(f"{head:>14}" for head in heads)]
    lines.append(f"{'better':{width}}" + "".join(f"{figure.better:>14}" for figure in FIGURES.values()))
    for row, name in names.items():
        cells = [
            _cell(value) + ("*" if row in CHEATS and CHEATS[row].revealed_by == figure else " ")
            for figure, value in figures["table"][row].items()
        ]
        lines.append(f"{name:{width}}" + "".join(f"{cell:>14}" for cell in cells))
        if row == "model":
            both_ends = figures["intervals"][row].values()
            ends = ["–" if None in both else " … ".join(map(_cell, both)) for both in both_ends]
            lines.append(f"{'  95 % interval':{width}}" + "".join(f"{both:>14}" for both in ends))
    lines.append("* reveals this way to cheat")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:z.2f}" if abs(value) < 9.995 else f"{value:.1f}"
