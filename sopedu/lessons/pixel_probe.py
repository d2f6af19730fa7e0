"""PixelProbe: touch a picture and hear what sounds there (notebook 11_listen_to_pixels).

    >>> probe = PixelProbe.from_scene("toyband", duet(3, "test"))
    >>> probe                                       # click, drag, paint; by mouse, touch or keyboard
    >>> probe.listen((0.3, 0.6)).text               # the same from Python

What it shows is drawn by `pixel_probe.js`; what it says is computed here, from a
:class:`sopedu.localization.long_clips.LongClip`.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image

from sopedu.audio.player import Player
from sopedu.audio.soundfiles import encode_wav, resample
from sopedu.audio.spectrogram import row_hertz, stft, warp
from sopedu.errors import SopeduError
from sopedu.lessons.place_answers import PlaceAnswer, answer_of, check_lengths, maps_of_moments, outlines, percent
from sopedu.localization.long_clips import LongClip
from sopedu.localization.places import Box, Place, box_of_cell, centre, check_box
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.plots import (
    TICKS_HERTZ,
    NotebookFigure,
    encode_figure,
    hertz_to_row,
    plot_mask,
    plot_sound_map,
    plot_spectrogram,
)
from sopedu.separation.parts import VideoPart
from sopedu.toyband.scenes import Scene
from sopedu.video.reading import probe as probe_video

_SHOWN_PIXELS = 640  # longer side of a picture as the browser gets it
_PICTURES_A_SECOND = 4  # of a video: enough to scrub through, and half of what prepared data has
_FLOOR_DB = -80
_CHOSEN = "#56B4E9"  # the sky blue of Okabe and Ito, as in pixel_probe.css
_MOST_KEPT = 6  # as many colours as everybody can tell apart, beside the one of the chosen place


class PixelProbe(anywidget.AnyWidget):
    """A picture with its sound map: point at a place, drag a box or paint cells, and hear what sounds there.

    Keys in the picture: arrows move the cursor, with Shift they grow a box, Space paints a cell, Enter listens, Escape
    clears, A compares with the mixture, K keeps a region, P plays and pauses, M changes the map, Page Up and Page Down
    scrub, 1 to 9 listen to the given boxes.

    Args:
        checkpoint: whose model looks and listens.
        waveform: mono ``(L,)`` at the model's sample rate, of any length.
        pictures: ``(n, H, W, 3)`` uint8, in the order of their times.
        times: seconds from the start of the sound at which each picture begins to show.
        boxes: places worth a touch, drawn with their numbers; a mapping gives them names.
        pooling: how the cells of a region answer together, see :meth:`sopedu.PixelSounds.mask`.
        front_end: ``anywidget``, or ``gridbox`` where the front end knows only ipywidgets: see :func:`cell_grid`.

    Raises:
        SopeduError: no pictures, or of another type; times and sound that do not fit; a box outside the picture; an
            unknown front end.

    Example:
        >>> probe = PixelProbe(checkpoint, waveform, pictures, times=(0.0, 0.25, 0.5))
        >>> probe.listen((0.1, 0.2, 0.5, 0.9)).share
    """

    _esm = files("sopedu.lessons").joinpath("pixel_probe.js").read_text(encoding="utf-8")
    _css = files("sopedu.lessons").joinpath("pixel_probe.css").read_text(encoding="utf-8")

    #: Number of the picture that is looked at.
    moment = traitlets.Int(0).tag(sync=True)
    #: How loud each kept region is, 0…1, as set with the sliders.
    volumes = traitlets.List(traitlets.Float()).tag(sync=True)

    # What the browser draws. Sounds are WAV: encoding one takes 0.2 ms, an MP3 of six seconds 22 ms (and a gap).
    _scene = traitlets.Dict().tag(sync=True)
    _shown = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    _shelf = traitlets.List().tag(sync=True)
    _said = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        checkpoint: Checkpoint | str | Path,
        waveform: np.ndarray,
        pictures: np.ndarray,
        times: Sequence[float],
        boxes: Sequence[Box] | Mapping[str, Box] = (),
        pooling: str | None = None,
        front_end: str = "anywidget",
    ) -> None:
        if front_end not in ("anywidget", "gridbox"):
            raise SopeduError(f"unknown front end {front_end!r}: choose anywidget or gridbox")
        if not isinstance(boxes, Mapping):
            boxes = {f"box {number}": box for number, box in enumerate(boxes, 1)}
        self.boxes: dict[str, Box] = {name: check_box(tuple(map(float, box))) for name, box in boxes.items()}
        self.stretch, self.pooling = LongClip(checkpoint, waveform, pictures, times), pooling
        check_lengths(self.stretch)
        self.maps, self.maps_now = self.stretch.maps(), maps_of_moments(self.stretch)
        self.answer: PlaceAnswer | None = None
        self.kept: list[PlaceAnswer] = []
        self._loudest = float(self._magnitude(self.stretch.waveform).max())
        hello = {"text": "Click or drag in the picture to hear what sounds there.", "alert": False, "request": 0}
        super().__init__(_scene=self._drawn_scene(), _said=hello)
        self.on_msg(self._asked)
        self._grid = cell_grid(self) if front_end == "gridbox" else None

    @classmethod
    def from_scene(cls, checkpoint: Checkpoint | str | Path, scene: Scene, **arguments: Any) -> PixelProbe:
        """Probe a scene of the toy band; its performers' boxes, where they are on average, come with it."""
        checkpoint = as_checkpoint(checkpoint)
        names = [f"{label} {scene.labels[:i].count(label) + 1}" for i, label in enumerate(scene.labels)]
        names = [name.removesuffix(" 1") if name.endswith(" 1") else name for name in names]
        boxes = {name: tuple(box) for name, box in zip(names, scene.boxes.mean(1).clip(0, 1).tolist(), strict=True)}
        rate = checkpoint.config.spectrogram.sample_rate
        waveform = resample(scene.waveform().numpy(), scene.sample_rate, rate)
        return cls(checkpoint, waveform, scene.frames, scene.times, **{"boxes": boxes, **arguments})

    @classmethod
    def from_video(
        cls,
        checkpoint: Checkpoint | str | Path,
        path: str | Path,
        start: float = 0.0,
        seconds: float = 6.0,
        **arguments: Any,
    ) -> PixelProbe:
        """Probe a part of a video file, four pictures a second.

        Raises:
            SopeduError: the file cannot be read, has no sound or no pictures, or ends before ``start``.
        """
        checkpoint, info = as_checkpoint(checkpoint), probe_video(path)
        if not info.has_sound or not info.has_picture:
            missing = "sound" if info.has_picture else "pictures"
            raise SopeduError(f"{path}: has no {missing}; a probe needs a video with sound")
        part = VideoPart(info, start, start + seconds)
        waveform = np.concatenate(list(part.sound(checkpoint.config.spectrogram.sample_rate)))
        lasting = len(waveform) / checkpoint.config.spectrogram.sample_rate
        times = np.arange(0, max(lasting, 1e-3), 1 / _PICTURES_A_SECOND)
        across, down = float(info.width * info.pixel_aspect), float(info.height)
        scale = min(1.0, _SHOWN_PIXELS / max(across, down))
        size = max(1, round(down * scale)), max(1, round(across * scale))
        return cls(checkpoint, waveform, np.stack(list(part.frames_at(times, size))), times, **arguments)

    def listen(self, place: Place) -> PlaceAnswer:
        """Hear a place, show it, and return the answer.

        Args:
            place: a point ``(x, y)``, a box ``(x0, y0, x1, y1)``, or weights of the cells ``(h, w)``.

        Raises:
            SopeduError: it lies outside the picture, is empty, or not a number.
        """
        return self._listen(place, request=0)

    def keep(self) -> None:
        """Put the answer on the shelf of kept regions, each with a volume of its own.

        Raises:
            SopeduError: nothing was listened to yet, or the shelf is full.
        """
        if self.answer is None:
            raise SopeduError("nothing is kept: listen to a place first")
        if len(self.kept) == _MOST_KEPT:
            raise SopeduError(f"{_MOST_KEPT} regions are kept, no more fit: remove one first")
        self.kept.append(self.answer)
        self.volumes = [*self.volumes, 1.0]
        self._shelf = [*self._shelf, self._drawn_answer(self.answer, 0)]

    def drop(self, number: int) -> None:
        """Take a kept region, counted from 0, off the shelf."""
        if not 0 <= number < len(self.kept):
            raise SopeduError(f"region {number}: {len(self.kept)} are kept, counted from 0")
        for name in ("volumes", "_shelf"):
            left = list(getattr(self, name))
            del left[number]
            setattr(self, name, left)
        del self.kept[number]

    def remix(self) -> np.ndarray:
        """The kept regions together, each as loud as its slider says, ``(L,)``.

        Raises:
            SopeduError: nothing is kept, or there are not as many volumes as kept regions.
        """
        if not self.kept:
            raise SopeduError("nothing is kept, so there is nothing to mix: listen and keep a region first")
        if len(self.volumes) != len(self.kept):
            raise SopeduError(f"{len(self.volumes)} volumes for {len(self.kept)} kept regions: give one for each")
        return sum(np.float32(v) * answer.waveform for v, answer in zip(self.volumes, self.kept, strict=True))

    def static_figure(self) -> NotebookFigure:
        """The picture with its map and the chosen place, what is heard there and its mask: for saved notebooks.

        Before anything was listened to, the mixture stands in its place.
        """
        sound, answer = self.stretch.sound, self.answer
        picture, sound_map = self.stretch.pictures[self.moment], self.maps[self.moment]
        figure = NotebookFigure(figsize=(11, 3.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
        plot_sound_map(picture, sound_map, list(self.boxes.values()), left, f"the picture at {self._seconds()}")
        heard, name = (self.stretch.waveform, "the mixture") if answer is None else (answer.waveform, answer.name)
        plot_spectrogram(self._magnitude(heard), sound, middle, f"heard: {name}", reference=self._loudest)
        if answer is None:
            right.set_axis_off()
            right.text(0.5, 0.5, "listen to a place to see its mask", ha="center", va="center")
            return figure
        plot_mask(answer.mask, sound, right, f"its mask: {percent(answer.share)} of the energy")
        size = np.array([picture.shape[1], picture.shape[0]])
        for box in outlines(answer.place, self.stretch.grid):
            corner, reach = np.array(box[:2]) * size - 0.5, (np.array(box[2:]) - box[:2]) * size
            for colour, width in (("black", 4.5), (_CHOSEN, 2.2)):
                left.add_patch(Rectangle(corner, *reach, fill=False, color=colour, linewidth=width))
        return figure

    def players(self) -> list[Player]:
        """Players of the mixture and of the answer, if there is one, for pages without the widget."""
        rate = self.stretch.sound.sample_rate
        heard = [] if self.answer is None else [Player(self.answer.waveform, rate, self.answer.text)]
        return [Player(self.stretch.waveform, rate, "the mixture"), *heard]

    def export_html(self, path: str | Path, title: str = "Hear any pixel") -> Path:
        """Write a page with the sound of every cell that needs neither Python nor a network, 8 MB at most.

        Raises:
            SopeduError: the sound is too long for such a page, or the page cannot be written.
        """
        from sopedu.lessons.pixel_page import export_stretch

        return export_stretch(path, self.stretch, title)

    def __repr__(self) -> str:
        rows, columns = self.stretch.grid
        count = len(self.stretch.pictures)
        return f"PixelProbe({self.stretch.seconds:.2f} s, {count} pictures, {rows} × {columns} cells)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and beside it a picture for readers of the notebook who have none running."""
        shown = super() if self._grid is None else self._grid
        bundle = shown._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        picture = encode_figure(self.static_figure(), "png", dpi=72, colours=128)
        return {**data, "text/plain": repr(self), "image/png": b64encode(picture).decode("ascii")}, metadata

    @traitlets.validate("moment")
    def _moment_there(self, proposal: dict[str, Any]) -> int:
        if not 0 <= proposal["value"] < len(self.stretch.pictures):
            raise SopeduError(f"moment {proposal['value']}: there are pictures 0 to {len(self.stretch.pictures) - 1}")
        return proposal["value"]

    def _listen(self, place: Place, request: int) -> PlaceAnswer:
        self.answer = answer_of(self.stretch, place, self.boxes, self.pooling)
        self._shown = self._drawn_answer(self.answer, request)
        self._say(self.answer.text, request=request)
        return self.answer

    def _asked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """What the browser wants; an error is shown there, for a traceback in a log is seen by nobody."""
        kind, request = content.get("kind"), int(content.get("request", 0))
        try:
            if kind == "listen" and "cells" in content:
                painted = np.zeros(self.stretch.grid)
                painted.flat[content["cells"]] = 1
                self._listen(painted, request)
            elif kind == "listen":
                self._listen(tuple(content["place"]), request)
            elif kind == "keep":
                self.keep()
                self._say(f"kept as region {len(self.kept)}: {self.kept[-1].text}", request=request)
            elif kind == "drop":
                self.drop(int(content["number"]))
                self._say("region removed", request=request)
            else:
                raise SopeduError(f"the page asked for {kind!r}, which is unknown: reload it")
        except SopeduError as error:
            self._say(str(error), True, request)
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}", True, request)

    def _say(self, text: str, alert: bool = False, request: int = 0) -> None:
        self._said = {"text": text, "alert": alert, "request": request, "number": self._said.get("number", 0) + 1}

    def _seconds(self) -> str:
        return f"{self.stretch.times[self.moment]:.2f} s".replace("-", "−")

    def _magnitude(self, waveform: np.ndarray) -> np.ndarray:
        """Warped magnitude ``(Q, T)`` of a waveform."""
        spectrogram = stft(torch.from_numpy(waveform), self.stretch.sound)
        return warp(spectrogram.abs(), self.stretch.sound).numpy()

    def _drawn_scene(self) -> dict[str, Any]:
        stretch, sound = self.stretch, self.stretch.sound
        ticks = [hertz for hertz in TICKS_HERTZ if hertz <= row_hertz(sound)[-1]]
        rows = [float(row) / (sound.log_frequency_bins - 1) for row in hertz_to_row(ticks, sound)]
        colours = {name: np.rint(colormaps[name](np.arange(256))[:, :3] * 255) for name in ("magma", "cividis")}
        return {
            "pictures": [_encoded(picture) for picture in stretch.pictures],
            "times": stretch.times.tolist(),
            "seconds": stretch.seconds,
            "grid": list(stretch.grid),
            "maps": self.maps.astype("<f4").tobytes(),
            "maps_now": self.maps_now.astype("<f4").tobytes(),
            "boxes": [{"name": name, "box": list(box)} for name, box in self.boxes.items()],
            "mixture": encode_wav(stretch.waveform, sound.sample_rate),
            "rows": sound.log_frequency_bins,
            "ticks": [[hertz, row] for hertz, row in zip(ticks, rows, strict=True)],
            "floor": _FLOOR_DB,
            **{name: values.astype(np.uint8).tobytes() for name, values in colours.items()},
        }

    def _drawn_answer(self, answer: PlaceAnswer, request: int) -> dict[str, Any]:
        """What the browser needs to draw and play an answer."""
        level = 20 * np.log10(np.maximum(self._magnitude(answer.waveform) / max(self._loudest, 1e-12), 1e-9))
        painted = isinstance(answer.place, np.ndarray) and answer.place.ndim == 2
        return {
            "name": answer.name,
            "text": answer.text,
            "place": [] if painted else [float(value) for value in answer.place],
            "cells": np.flatnonzero(answer.place).tolist() if painted else [],
            "sound": encode_wav(answer.waveform, self.stretch.sound.sample_rate),
            "spectrogram": np.rint(255 * (1 - level / _FLOOR_DB).clip(0, 1)).astype(np.uint8).tobytes(),
            "mask": np.rint(255 * answer.mask.clip(0, 1)).astype(np.uint8).tobytes(),
            "request": request,
        }


def cell_grid(probe: PixelProbe) -> widgets.VBox:
    """The probe of plain ipywidgets: a button a cell, coloured by the map, players and pictures below.

    For front ends that do not know anywidget. The answers are those of the probe, whichever way it is asked.
    """
    rows, columns = probe.stretch.grid
    buttons = [
        widgets.Button(layout={"width": "auto", "height": "2em", "border": "1px solid #888"})
        for _ in range(rows * columns)
    ]
    box = {"grid_template_columns": f"repeat({columns}, minmax(1.2em, 3em))", "grid_gap": "1px"}
    status, sounds = widgets.HTML(), widgets.HTML()
    picture = widgets.Image(format="png", layout={"max_width": "100%"})
    last = len(probe.stretch.pictures) - 1
    slider = widgets.IntSlider(max=last, description="moment", continuous_update=False, disabled=last == 0)
    whole = widgets.Button(description="Hear the whole picture", layout={"width": "14em"})

    def colour(_: Any = None) -> None:
        shares = probe.maps[probe.moment]
        for number, (button, share) in enumerate(zip(buttons, shares.ravel(), strict=True)):
            button.style.button_color = to_hex(colormaps["magma"](share / max(shares.max(), 1e-9)))
            row, column = divmod(number, columns)
            button.tooltip = f"row {row + 1}, column {column + 1}, {percent(share)}"
        picture.value = encode_figure(probe.static_figure(), "png", dpi=80)

    def answered(_: Any = None) -> None:
        said = probe._said
        role = "alert" if said["alert"] else "status"
        status.value = f'<p role="{role}">{"⚠ " if said["alert"] else ""}{escape(said["text"])}</p>'
        picture.value = encode_figure(probe.static_figure(), "png", dpi=80)
        sounds.value = "".join(player._repr_html_() for player in probe.players())

    for number, button in enumerate(buttons):
        point = list(centre(box_of_cell(*divmod(number, columns), rows, columns)))
        button.on_click(lambda _, place=point: probe._asked(None, {"kind": "listen", "place": place}, None))
    whole.on_click(lambda _: probe._asked(None, {"kind": "listen", "place": [0, 0, 1, 1]}, None))
    widgets.link((slider, "value"), (probe, "moment"))
    probe.observe(colour, "moment")
    probe.observe(answered, "_said")
    colour()
    answered()
    return widgets.VBox([widgets.GridBox(buttons, layout=box), whole, slider, status, sounds, picture])


def _encoded(picture: np.ndarray) -> bytes:
    """A picture ``(H, W, 3)`` as WebP, no larger than the page shows it."""
    image, encoded = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    image.save(encoded, "WEBP", quality=85, method=2)
    return encoded.getvalue()
