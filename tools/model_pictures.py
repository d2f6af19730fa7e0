"""Draw the pictures of the model that stand at the heads of the notebooks, as SVG files in `notebooks/pictures`.

    python -m tools.model_pictures

One picture shows the whole model; notebooks 04 to 10 get it with their own part filled. A second one shows the steps of
the audio net. All sizes are read from the nets, built without memory from the presets of the shipped checkpoints. The
pictures have no ground, and their grey and their fill can be read on a white and on a black page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import torch

from sopedu.config import Config, preset
from sopedu.files import written_aside
from sopedu.model.modes import untrained
from sopedu.plots import INK

FOLDER = Path(__file__).parents[1] / "notebooks" / "pictures"
# White letters on this orange have a contrast of 5.1; the fill has 5.1 to a white page and 3.7 to a black one.
FILL = "#B84E00"


@dataclass(frozen=True)
class Lesson:
    """What a notebook's picture shows.

    Attributes:
        parts: that are filled.
        says: what they are, for the alternative text.
        preset: whose sizes are given.
        checkpoint: name of the shipped checkpoint with this preset.
    """

    parts: frozenset[str]
    says: str
    preset: str = "tiny"
    checkpoint: str = "toyband-tiny"


def _lesson(parts: str, says: str, **other: str) -> Lesson:
    return Lesson(frozenset(parts.split(", ")), says, **other)


LESSONS = {
    "04_without_learning": _lesson(
        "mixture, spectrogram, mask, estimate", "the way from the mixture through a mask to a sound, without any net"
    ),
    "05_mix_and_separate": _lesson("solos, mixture", "solos are added to a mixture"),
    "06_ears": _lesson("audio net, components", "the audio net and its K components"),
    "07_eyes": _lesson("frame, frame net, features, vector", "the frame net, its feature map and the visual vector"),
    "08_synthesizer": _lesson("synthesizer, mask", "the synthesizer and the mask that it computes"),
    "09_train_live": _lesson("true mask, loss", "the loss, which compares the mask with the true one"),
    "10_localize": _lesson(
        "features, vector, mask",
        "one vector per cell of the feature map gives one mask per cell",
        preset="toyband",
        checkpoint="toyband",
    ),  # fmt: skip
}


@dataclass(frozen=True)
class Sizes:
    """Shapes of what flows through the model, read from its nets.

    Attributes:
        components: K.
        frame: channels, height and width of a frame.
        cells: rows and columns of the feature map.
        samples: of a mixture.
        linear: bins and frames of the linear spectrogram.
        warped: rows and frames of the log-frequency spectrogram, and of a mask.
        down: shapes after each step down of the audio net.
        up: shapes after each step up.
        weights: of the audio net.
    """

    components: int
    frame: tuple[int, ...]
    cells: tuple[int, ...]
    samples: int
    linear: tuple[int, ...]
    warped: tuple[int, ...]
    down: list[tuple[int, ...]]
    up: list[tuple[int, ...]]
    weights: int

    @classmethod
    def of(cls, config: Config) -> Sizes:
        """Run the nets of a configuration on torch's ``meta`` device and note all shapes."""
        sound, size = config.spectrogram, config.frames.size
        seen: dict[str, list[tuple[int, ...]]] = {"down": [], "up": []}
        with torch.device("meta"):
            model = untrained(config)
            heard = torch.empty(1, 1, sound.log_frequency_bins, sound.time_frames)
            frames = torch.empty(1, 1, 3, size, size)
        for name, shapes in seen.items():
            for step in getattr(model.audio_net, name):
                step.register_forward_hook(lambda _, __, output, shapes=shapes: shapes.append(tuple(output.shape[1:])))
        components, features = model.components(heard), model.feature_map(frames)
        return cls(
            components=components.shape[1],
            frame=tuple(frames.shape[2:]),
            cells=tuple(features.shape[3:]),
            samples=sound.samples,
            linear=(sound.linear_bins, sound.time_frames),
            warped=tuple(components.shape[2:]),
            weights=sum(weight.numel() for weight in model.audio_net.parameters()),
            **seen,
        )


@dataclass
class Drawing:
    """An SVG picture in the making.

    Attributes:
        width: in CSS pixels.
        height: in CSS pixels.
        filled: names of the parts that are filled.
    """

    width: int
    height: int
    filled: frozenset[str] = frozenset()
    elements: list[str] = field(default_factory=list)

    def svg(self, title: str) -> str:
        """Return the file's text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img" font-family="system-ui, Helvetica, Arial, sans-serif" font-size="13" '
            f'text-anchor="middle" fill="{INK}" stroke-linejoin="round">\n<title>{escape(title)}</title>\n<defs>'
            '<marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>\n'
        )
        return head + "\n".join(self.elements) + "\n</svg>\n"

    def text(self, x: float, y: float, *lines: str, bold: bool = False, white: bool = False) -> None:
        """Write lines below each other, centred at x; y is the first baseline."""
        how = (' font-weight="bold"' if bold else "") + (' fill="#fff"' if white else "")
        for number, line in enumerate(lines):
            self.elements.append(f'<text x="{x:g}" y="{y + 16 * number:g}"{how}>{escape(line)}</text>')

    def rectangle(self, x: float, y: float, wide: float, high: float, filled: bool = False, dashed: bool = False,
                  round: int = 0) -> None:  # fmt: skip
        """Draw a rectangle, of the fill's colour or empty."""
        fill = f'fill="{FILL}" stroke="{FILL}"' if filled else f'fill="none" stroke="{INK}"'
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="{round}" {fill} stroke-width="1.5"'
            f"{dashes}/>"
        )

    def line(self, *points: tuple[float, float], dashed: bool = False, arrow: bool = True) -> None:
        """Draw a line through points, with an arrow at its end."""
        how = (' stroke-dasharray="5 4"' if dashed else "") + (' marker-end="url(#end)"' if arrow else "")
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.elements.append(f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.5"{how}/>')

    def net(self, part: str, x: float, y: float, wide: float, high: float, *lines: str) -> None:
        """Draw a box with rounded corners, a part's name in it, and lines below the name."""
        filled = part in self.filled
        self.rectangle(x, y, wide, high, filled, round=10)
        top = y + high / 2 + 5 - 8 * len(lines)
        self.text(x + wide / 2, top, part, bold=True, white=filled)
        self.text(x + wide / 2, top + 16, *lines, white=filled)

    def cells(self, x: float, y: float, wide: float, high: float, cells: Iterable[tuple[float, ...]],
              filled: bool) -> None:  # fmt: skip
        """Draw cells of a sheet, white on a filled one."""
        colour = "#fff" if filled else INK
        for left, top, width, height in cells:
            self.elements.append(
                f'<rect x="{x + left * wide:.1f}" y="{y + top * high:.1f}" width="{width * wide:.1f}" '
                f'height="{height * high:.1f}" fill="{colour}"/>'
            )

    def data(self, part: str, x: float, y: float, wide: float, high: float, cells: Iterable[tuple[float, ...]],
             *lines: str, layers: int = 1, dashed: bool = False) -> None:  # fmt: skip
        """Draw what flows between the nets as a sheet with some cells, or several, with its name and size below.

        Args:
            part: its name.
            x: of the left side.
            y: of the upper side.
            wide: width of the sheet.
            high: its height.
            cells: shares of the sheet ``(x, y, width, height)`` that are drawn.
            lines: below the name.
            layers: number of sheets behind each other.
            dashed: whether its outline is.
        """
        filled = part in self.filled
        for layer in range(layers - 1, 0, -1):
            self.line(
                (x + 5 * layer, y - 5 * layer), (x + wide + 5 * layer, y - 5 * layer),
                (x + wide + 5 * layer, y + high - 5 * layer), arrow=False,
            )  # fmt: skip
        self.rectangle(x, y, wide, high, filled, dashed)
        self.cells(x, y, wide, high, cells, filled)
        self.text(x + wide / 2, y + high + 17, part, bold=True)
        self.text(x + wide / 2, y + high + 33, *lines)


# Drawn by hand, as shares of a sheet: partials of two notes, the cells of one of them, two players, samples of a wave.
_NOTES = [(0.08, y, 0.34, 0.05) for y in (0.2, 0.45, 0.7, 0.84)] + [(0.5, y, 0.4, 0.05) for y in (0.3, 0.6, 0.76)]
_OF_ONE = _NOTES[4:]
_PLAYERS = [(0.14, 0.22, 0.12, 0.2), (0.1, 0.45, 0.2, 0.45), (0.68, 0.3, 0.12, 0.2), (0.64, 0.53, 0.2, 0.37)]
_GRID = [(0.62, 0.37, 0.12, 0.12), (0.62, 0.5, 0.12, 0.12), (0.75, 0.5, 0.12, 0.12)]


def _wave(heights: Iterable[float]) -> list[tuple[float, ...]]:
    """Bars of a waveform, as shares of a sheet."""
    heights = list(heights)
    step = 1 / (len(heights) + 1)
    return [(step * (n + 0.7), 0.5 - h / 2, step * 0.6, h) for n, h in enumerate(heights)]


_LOUD = (0.2, 0.5, 0.8, 0.6, 0.9, 0.5, 0.3, 0.6, 0.8, 0.4, 0.2)
_FIRST, _SECOND = _wave(_LOUD[:6] + (0.1,) * 5), _wave((0.1,) * 5 + _LOUD[5:])


def times(*sizes: int) -> str:
    """Write a shape as ``32 × 8 × 8``."""
    return " × ".join(f"{size:,}".replace(",", " ") for size in sizes)


def draw_model(sizes: Sizes, checkpoint: str, filled: frozenset[str] = frozenset()) -> Drawing:
    """Draw the whole model: eyes above, ears below, the synthesizer that joins them, and the loss.

    Args:
        sizes: of the model.
        checkpoint: named below the picture.
        filled: parts that are filled.
    """
    drawing = Drawing(1000, 440, filled)
    _draw_nets(drawing, sizes)
    _draw_masks(drawing, sizes)
    letters = {"K": sizes.components, "F": sizes.linear[0], "Q": sizes.warped[0], "T": sizes.warped[1]}
    named = ", ".join(f"{letter} = {times(value)}" for letter, value in letters.items())
    cells = times(*sizes.cells)
    drawing.text(500, 432, f"Sizes of {checkpoint}: {named}, {cells} cells. Dashed: only in training.")
    return drawing


def _draw_nets(drawing: Drawing, sizes: Sizes) -> None:
    """The two ways from frame and mixture to the synthesizer."""
    cells = f"{times(*sizes.cells)} cells"
    drawing.data("frame", 160, 40, 96, 72, _PLAYERS, times(*sizes.frame))
    drawing.net("frame net", 310, 38, 116, 76, "the eyes")
    drawing.data("features", 466, 50, 72, 62, _GRID, f"K = {sizes.components} in each of", cells, layers=4)
    numbers = [(0, n / 7, 1, 1 / 14) for n in range(7)]
    drawing.data("vector", 634, 32, 14, 84, numbers, "K numbers, of the", "picture or a cell")
    drawing.line((258, 76), (306, 76))
    drawing.line((428, 76), (462, 76))
    drawing.line((558, 76), (628, 76))
    drawing.text(591, 68, "pool")
    drawing.rectangle(8, 220, 100, 108, "solos" in drawing.filled, dashed=True, round=6)
    for y, wave in ((226, _FIRST), (282, _SECOND)):
        drawing.cells(14, y, 88, 40, wave, "solos" in drawing.filled)
    drawing.text(58, 345, "solos", bold=True)
    drawing.text(58, 361, "added up")
    drawing.line((110, 274), (152, 274), dashed=True)
    drawing.data("mixture", 156, 244, 92, 60, _wave(_LOUD), f"{times(sizes.samples)} samples")
    drawing.line((250, 274), (288, 274))
    drawing.text(269, 264, "STFT")
    drawing.data("spectrogram", 292, 232, 84, 84, _NOTES, f"F × T = {times(*sizes.linear)}",
                 f"→ Q × T = {times(*sizes.warped)}")  # fmt: skip
    drawing.line((378, 274), (416, 274))
    drawing.net("audio net", 420, 236, 116, 76, "the ears")
    drawing.line((538, 274), (582, 274))
    drawing.data("components", 586, 244, 78, 72, _NOTES[1:6], "K maps of Q × T:",
                 times(sizes.components, *sizes.warped), layers=4)  # fmt: skip
    drawing.line((654, 76), (766, 76), (766, 154))
    drawing.line((684, 274), (766, 274), (766, 238))


def _draw_masks(drawing: Drawing, sizes: Sizes) -> None:
    """From the synthesizer to the sound, and the loss."""
    drawing.net("synthesizer", 706, 158, 120, 76, "inner product,", "sigmoid")
    drawing.line((828, 186), (864, 186))
    drawing.data("mask", 868, 150, 72, 72, _OF_ONE, "")
    drawing.text(904, 255, f"Q × T = {times(*sizes.warped)}")
    drawing.data("true mask", 868, 8, 72, 50, _OF_ONE, dashed=True)
    drawing.net("loss", 874, 96, 60, 30)
    drawing.line((904, 80), (904, 93), dashed=True)
    drawing.line((904, 148), (904, 129), dashed=True)
    drawing.line((334, 368), (334, 396), (836, 396), (836, 290), (888, 290))
    drawing.text(577, 390, "the mixture's spectrogram, multiplied by the mask")
    drawing.text(904, 295, "×", bold=True)
    drawing.elements.append(f'<circle cx="904" cy="290" r="12" fill="none" stroke="{INK}" stroke-width="1.5"/>')
    drawing.line((904, 262), (904, 275))
    drawing.line((904, 303), (904, 328))
    drawing.data("estimate", 858, 332, 92, 46, _SECOND, "a sound again")


def draw_audio_net(sizes: Sizes) -> Drawing:
    """Draw the audio net as a U: steps down to the left, steps up to the right, and what goes across.

    Args:
        sizes: of the model.
    """
    steps, row = len(sizes.down), 62
    drawing = Drawing(860, row * (steps + 1) + 74)

    def place(level: int, right: bool) -> tuple[float, float]:
        inwards = level * 52
        return (860 - 150 - 60 - inwards if right else 60 + inwards), 30 + row * level

    def sheet(x: float, y: float, shape: tuple[int, ...], filled: bool = False) -> None:
        drawing.rectangle(x, y, 150, 34, filled, round=6)
        drawing.text(x + 75, y + 22, times(*shape), white=filled, bold=filled)

    left, right = [(1, *sizes.warped), *sizes.down], [*reversed(sizes.up)]
    for level, shape in enumerate(left[:-1]):
        x, y = place(level, False)
        sheet(x, y, shape)
        drawing.line((x + 100, y + 36), (x + 100, y + row - 3))
    x, y = 355, 30 + row * steps
    sheet(x, y, left[-1])
    for level, shape in enumerate(right):
        across, height = place(level, True)
        sheet(across, height, shape, filled=level == 0)
        below = height + row - 3
        drawing.line((across + 50, below), (across + 50, height + 38))
        if level:
            start = place(level, False)[0]
            drawing.line((start + 152, height + 17), (across - 4, height + 17))
    drawing.text(135, 20, "log magnitude of the mixture")
    drawing.text(725, 20, f"K = {sizes.components} components", bold=True)
    drawing.text(430, 40 + row, "across: joined to what comes up")
    drawing.text(150, y + 4, "down: convolution 4 × 4, stride 2,", "halves rows and frames")
    drawing.text(712, y + 4, "up: twice as large, then", "convolution 3 × 3")
    drawing.text(
        430, y + 66, f"Shapes are channels × rows × frames, of toyband-tiny: {times(sizes.weights)} weights in all."
    )
    return drawing


def alternative_text(lesson: str) -> str:
    """Return what the picture of a lesson shows, for those who do not see it."""
    return (
        "The model. A frame goes through the frame net to a feature map and a vector of K numbers; the mixture goes "
        "through its spectrogram and the audio net to K components; the synthesizer combines both into a mask, which "
        f"is laid over the mixture's spectrogram and gives a sound. Filled: {LESSONS[lesson].says}."
    )


def alternative_text_of_audio_net(sizes: Sizes) -> str:
    """Return what the picture of the audio net shows."""
    first, deepest, last = (times(*shape) for shape in ((1, *sizes.warped), sizes.down[-1], sizes.up[-1]))
    return (
        f"The audio net as a U. {len(sizes.down)} steps down lead from {first} to {deepest}, as many up to {last}. "
        "Each level but the deepest is also joined to its partner on the other side."
    )


def pictures() -> dict[str, str]:
    """Return all pictures: file name → text."""
    sizes = {name: Sizes.of(preset(name)) for name in {lesson.preset for lesson in LESSONS.values()}}
    found = {}
    for name, lesson in LESSONS.items():
        drawing = draw_model(sizes[lesson.preset], lesson.checkpoint, lesson.parts)
        found[f"model_{name[:2]}.svg"] = drawing.svg(alternative_text(name))
    found["audio_net.svg"] = draw_audio_net(sizes["tiny"]).svg(alternative_text_of_audio_net(sizes["tiny"]))
    return found


def main(folder: Path = FOLDER) -> None:
    """Write the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        with written_aside(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
