"""Interactive parts of the notebooks: controls that update a picture and its sounds.

    >>> def draw(threshold):
    ...     mask = sopedu.threshold(ratio, threshold)
    ...     return View(plots.plot_mask(mask, config), text=f"{mask.mean():.0%} of the cells are let through")
    >>> explorer = Explorer(draw, threshold=slider("threshold", 0.5, 0, 1))

The picture is replaced in place. A saved notebook keeps what the explorer showed when its cell ran: picture, text and
players. ``explorer.set(threshold=0.9)`` moves the control from Python, ``explorer.view`` is what is shown now.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from sopedu.audio.player import Player
from sopedu.plots import NOTEBOOK_DPI, encode_figure, figure_width

_CONTROL = {"continuous_update": False, "style": {"description_width": "9em"}, "layout": {"width": "28em"}}


@dataclass(frozen=True)
class View:
    """What an :class:`Explorer` shows.

    Args:
        figure: None leaves the figure before it.
        sounds: players with their captions.
        text: one line.
    """

    figure: Figure | None = None
    sounds: Sequence[Player] = ()
    text: str = ""


class Explorer(widgets.VBox):
    """Controls, and below them what a function draws from their values.

    Args:
        draw: called with the controls' values by name; returns a :class:`View`. An error in it is shown instead of the
            text, and the picture before it stays.
        enabled: called with the controls' values by name; returns the names of controls that change something now, and
            the others are disabled. By default all are enabled.
        controls: any ipywidgets with a ``value``, see :func:`slider` and :func:`choice`.
    """

    def __init__(
        self,
        draw: Callable[..., View],
        enabled: Callable[..., Collection[str]] | None = None,
        **controls: widgets.Widget,
    ) -> None:
        self._draw, self._enabled, self.controls, self.view = draw, enabled, controls, View()
        self.picture, self.sounds = widgets.Image(format="png", layout={"max_width": "100%"}), widgets.HTML()
        self.words = widgets.HTML()
        super().__init__([*controls.values(), self.words, self.picture, self.sounds])
        self._quiet = False
        for control in controls.values():
            control.observe(self._changed, "value")
        self.refresh()

    @property
    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> View:
        """Move controls from Python, redraw once, and return what is shown then.

        Args:
            values: new values of controls by name; the others stay.

        Raises:
            KeyError: there is no control of that name.
        """
        self._quiet = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._quiet = False
        self.refresh()
        return self.view

    def refresh(self) -> None:
        """Draw again with the current values."""
        if self._enabled is not None:
            useful = self._enabled(**self.values)
            for name, control in self.controls.items():
                control.disabled = name not in useful
        try:
            view = self._draw(**self.values)
        except Exception as error:  # tracebacks in the log of a widget are not visible
            self.words.value = f'<p role="alert">⚠ {escape(type(error).__name__)}: {escape(str(error))}</p>'
            return
        self.view = view
        self.words.value = f'<p aria-live="polite">{escape(view.text)}</p>'
        if view.figure is not None:
            # Twice the pixels of the page, for dense screens, and never wider than it was drawn.
            self.picture.layout.width = f"{figure_width(view.figure)}px"
            self.picture.value = encode_figure(view.figure, "png", dpi=2 * NOTEBOOK_DPI)
        self.sounds.value = "\n".join(sound._repr_html_() for sound in view.sounds)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and for saved notebooks what it shows now."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": self.view.text or "Explorer", "text/html": self._still()}, metadata

    def _still(self) -> str:
        """Text, picture and players as HTML."""
        parts, figure = [self.words.value], self.view.figure
        if figure is not None:
            colours = getattr(figure, "colours", 64)
            picture = b64encode(encode_figure(figure, "png", dpi=NOTEBOOK_DPI, colours=colours)).decode("ascii")
            titles = ", ".join(filter(None, (axes.get_title() for axes in figure.axes))) or "picture of the explorer"
            parts.append(f'<img alt="{escape(titles)}" src="data:image/png;base64,{picture}">')
        return "\n".join([*parts, self.sounds.value])

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self.refresh()


def slider(description: str, value: float, low: float, high: float, step: float | None = None) -> widgets.Widget:
    """Make a labelled slider, which redraws when it is released.

    Args:
        description: the label.
        value: at first.
        low: smallest value.
        high: largest value.
        step: between values; by default 1 for whole numbers, else a twentieth of the range.

    Returns:
        a slider of whole numbers if `value`, `low` and `high` are whole numbers.
    """
    if all(isinstance(number, int) for number in (value, low, high)):
        return widgets.IntSlider(value=value, min=low, max=high, step=step or 1, description=description, **_CONTROL)
    step = step or (high - low) / 20
    return widgets.FloatSlider(value=value, min=low, max=high, step=step, description=description, **_CONTROL)


def choice(description: str, options: Sequence[Any], value: Any = None) -> widgets.Widget:
    """Make labelled buttons to choose one option with.

    Not a drop-down list: JupyterLab captures the arrow keys, so a list cannot be used with the keyboard.

    Args:
        description: the label.
        options: the values to choose from.
        value: the chosen one at first; by default the first.
    """
    how = {name: setting for name, setting in _CONTROL.items() if name not in ("continuous_update", "layout")}
    how["style"] = {**_CONTROL["style"], "button_width": "auto"}
    chosen = options[0] if value is None else value
    return widgets.ToggleButtons(options=list(options), value=chosen, description=description, **how)


def browser_part(name: str) -> str:
    """Return a widget's script or style, with what all widgets share before it.

    Args:
        name: of the file in this folder, which ends in ``.js`` or ``.css``.
    """
    folder = files("sopedu.lessons")
    shared = f"widget.{name.rpartition('.')[2]}"
    return "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in (shared, name))
