"""PixelProbe: choose a place in a picture and play its sound (notebook 11_listen_to_pixels).

    >>> probe = PixelProbe.from_scene("toyband", duet(3, "test"))
    >>> probe                                       # click, drag, paint; by mouse, touch or keyboard
    >>> probe.listen((0.3, 0.6)).text               # the same from Python

`pixel_probe.js` draws in the browser; sounds, maps and texts are computed here, from a
:class:`sopedu.localization.long_clips.LongClip`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from sopedu.audio.player import Player
from sopedu.audio.resampling import resample
from sopedu.errors import SopeduError
from sopedu.lessons.moving_maps import moving_maps
from sopedu.lessons.pixel_probe_figure import plot_probe
from sopedu.lessons.pixel_probe_page import SHOWN_PIXELS, answer_on_page, scene_on_page, warped_magnitude
from sopedu.lessons.place_answers import PlaceAnswer, answer_of, check_lengths
from sopedu.lessons.plain_probe import cell_grid
from sopedu.lessons.widgets import browser_part
from sopedu.localization.long_clips import LongClip
from sopedu.localization.places import Box, Place, check_box
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.plots import NotebookFigure, encode_figure
from sopedu.separation.parts import VideoPart
from sopedu.toyband.scenes import Scene
from sopedu.video.probing import probe as probe_video

_PICTURES_PER_SECOND = 10  # pictures per second that are read from a video
_MOST_KEPT = 6  # colours that can be told apart, besides that of the chosen place


class PixelProbe(anywidget.AnyWidget):
    """Pictures with their sound map: click a point, drag a box or paint cells, and the sound of that place plays.

    While it plays, picture, map and the cursors follow the sound. Keys in the picture: arrows move the cursor, with
    Shift they grow a box, B paints a cell, Enter listens, Space plays and pauses, Escape clears, A compares with the
    mixture, K keeps a region, M changes the map, Page Up, Page Down, Home and End seek, 1 to 9 listen to the boxes.

    Args:
        checkpoint: the model, or its folder or name.
        waveform: mono ``(L,)`` at the model's sample rate, of any length.
        pictures: ``(n, H, W, 3)`` uint8, in the order of their times.
        times: seconds from the start of the sound at which each picture begins to show.
        boxes: places to try, drawn with their numbers; a mapping gives them names.
        pooling: how the masks of a region's cells are joined, see :meth:`sopedu.PixelSounds.mask`; None for the model's
            own.
        front_end: ``anywidget``, or ``gridbox`` where the front end knows only ipywidgets: see :func:`cell_grid`.

    Attributes:
        stretch: sound, pictures and model, see :class:`sopedu.localization.long_clips.LongClip`.
        maps: sound map of every picture, ``(n, h, w)``, over the clip around it.
        maps_now: the share of the energy at the moment of every picture, ``(n, h, w)``.
        moving: maps that follow the sound, see :class:`sopedu.lessons.moving_maps.MovingMaps`.
        loudest: largest magnitude of the mixture, the 0 dB of spectrograms.
        answer: the result for the last place; None at first.
        kept: results that were kept.
        moment: number of the picture that is shown, from 0.
        volumes: of the kept regions, 0…1, as set with the sliders.

    Raises:
        SopeduError: no pictures, or of another type; times and sound that do not fit; a box outside the picture; an
            unknown front end.

    Example:
        >>> probe = PixelProbe(checkpoint, waveform, pictures, times=(0.0, 0.25, 0.5))
        >>> probe.listen((0.1, 0.2, 0.5, 0.9)).share

    Notebook: 11_listen_to_pixels.
    """

    _esm = browser_part("pixel_probe.js")
    _css = browser_part("pixel_probe.css")

    moment = traitlets.Int(0).tag(sync=True)
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
        self.maps, self.moving = self.stretch.maps(), moving_maps(self.stretch, list(self.boxes.values()), pooling)
        self.maps_now = self.moving.shares
        self.answer: PlaceAnswer | None = None
        self.kept: list[PlaceAnswer] = []
        self.loudest = float(warped_magnitude(self.stretch, self.stretch.waveform).max())
        hello = {
            "text": "Press play, or click or drag in the picture to hear a place.",
            "alert": False,
            "request": 0,
        }
        scene = scene_on_page(self.stretch, self.maps, self.moving, self.boxes, self.loudest)
        super().__init__(_scene=scene, _said=hello)
        self.on_msg(self._asked)
        self._grid = cell_grid(self) if front_end == "gridbox" else None

    @classmethod
    def from_scene(cls, checkpoint: Checkpoint | str | Path, scene: Scene, **arguments: Any) -> PixelProbe:
        """Probe a scene of the toy band, with its performers' mean boxes.

        Args:
            checkpoint: the model, or its folder or name.
            scene: of any length.
            arguments: the others of the class; ``boxes`` replaces those of the performers.
        """
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
        """Probe a part of a video file, with up to ten pictures per second.

        Args:
            checkpoint: the model, or its folder or name.
            path: of the video.
            start: of the part, in seconds.
            seconds: length of the part; the video may end earlier.
            arguments: the others of the class.

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
        rate = min(_PICTURES_PER_SECOND, max(1.0, info.frame_rate or _PICTURES_PER_SECOND))
        times = np.arange(0, max(lasting, 1e-3), 1 / rate)
        across, down = float(info.width * info.pixel_aspect), float(info.height)
        scale = min(1.0, SHOWN_PIXELS / max(across, down))
        size = max(1, round(down * scale)), max(1, round(across * scale))
        return cls(checkpoint, waveform, np.stack(list(part.frames_at(times, size))), times, **arguments)

    def listen(self, place: Place) -> PlaceAnswer:
        """Separate the sound of a place, show it, and return it.

        Args:
            place: a point ``(x, y)``, a box ``(x0, y0, x1, y1)``, or weights of the cells ``(h, w)``.

        Raises:
            SopeduError: it lies outside the picture, is empty, or not a number.
        """
        return self._listen(place, request=0)

    def keep(self) -> None:
        """Keep the last result; each kept region has its own volume.

        Raises:
            SopeduError: there is no result yet, or too many regions are kept.
        """
        if self.answer is None:
            raise SopeduError("nothing is kept: listen to a place first")
        if len(self.kept) == _MOST_KEPT:
            raise SopeduError(f"{_MOST_KEPT} regions are kept, no more fit: remove one first")
        self.kept.append(self.answer)
        self.volumes = [*self.volumes, 1.0]
        self._shelf = [*self._shelf, answer_on_page(self.stretch, self.answer, self.loudest, 0)]

    def drop(self, number: int) -> None:
        """Remove a kept region.

        Args:
            number: of the region, from 0.

        Raises:
            SopeduError: there is no such region.
        """
        if not 0 <= number < len(self.kept):
            raise SopeduError(f"region {number}: {len(self.kept)} are kept, counted from 0")
        for name in ("volumes", "_shelf"):
            left = list(getattr(self, name))
            del left[number]
            setattr(self, name, left)
        del self.kept[number]

    def remix(self) -> np.ndarray:
        """Mix the kept regions, each at the volume of its slider.

        Returns:
            ``(L,)`` float32.

        Raises:
            SopeduError: nothing is kept, or there are not as many volumes as kept regions.
        """
        if not self.kept:
            raise SopeduError("nothing is kept, so there is nothing to mix: listen and keep a region first")
        if len(self.volumes) != len(self.kept):
            raise SopeduError(f"{len(self.volumes)} volumes for {len(self.kept)} kept regions: give one for each")
        return sum(np.float32(v) * answer.waveform for v, answer in zip(self.volumes, self.kept, strict=True))

    def static_figure(self) -> NotebookFigure:
        """Draw the picture with its map and the chosen place, its sound and its mask: for saved notebooks."""
        return plot_probe(self)

    def players(self) -> list[Player]:
        """Make players of the mixture and of the last result, if there is one, for pages without the widget."""
        rate = self.stretch.sound.sample_rate
        heard = [] if self.answer is None else [Player(self.answer.waveform, rate, self.answer.text)]
        return [Player(self.stretch.waveform, rate, "the mixture"), *heard]

    def export_html(self, path: str | Path, title: str = "Hear any pixel") -> Path:
        """Write a page with the sound of every cell that needs neither Python nor a network, 8 MB at most.

        Args:
            path: of the page; its folder must exist.
            title: heading of the page.

        Returns:
            the path.

        Raises:
            SopeduError: the sound is too long for such a page, or the page cannot be written.
        """
        from sopedu.lessons.pixel_page import export_stretch

        return export_stretch(path, self.stretch, title, boxes=self.boxes)

    def __repr__(self) -> str:
        """Length, number of pictures and cells."""
        rows, columns = self.stretch.grid
        count = len(self.stretch.pictures)
        return f"PixelProbe({self.stretch.seconds:.2f} s, {count} pictures, {rows} × {columns} cells)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and a static picture for saved notebooks."""
        shown = super() if self._grid is None else self._grid
        bundle = shown._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        picture = encode_figure(self.static_figure(), "png", dpi=72, colours=64)
        return {**data, "text/plain": repr(self), "image/png": b64encode(picture).decode("ascii")}, metadata

    @traitlets.validate("moment")
    def _moment_there(self, proposal: dict[str, Any]) -> int:
        if not 0 <= proposal["value"] < len(self.stretch.pictures):
            raise SopeduError(f"moment {proposal['value']}: there are pictures 0 to {len(self.stretch.pictures) - 1}")
        return proposal["value"]

    def _listen(self, place: Place, request: int) -> PlaceAnswer:
        self.answer = answer_of(self.stretch, place, self.boxes, self.pooling)
        self._shown = answer_on_page(self.stretch, self.answer, self.loudest, request)
        self._say(self.answer.text, request=request)
        return self.answer

    def _asked(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Handle a message of the browser; an error is shown there, because tracebacks in a log are not visible."""
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
