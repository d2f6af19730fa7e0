"""The pixel probe made of plain ipywidgets, for front ends that do not know anywidget (11_listen_to_pixels)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from matplotlib import colormaps
from matplotlib.colors import to_hex

from sopedu.lessons.place_answers import percent
from sopedu.localization.places import box_of_cell, centre
from sopedu.plots import encode_figure

if TYPE_CHECKING:
    from sopedu.lessons.pixel_probe import PixelProbe


def cell_grid(probe: PixelProbe) -> widgets.VBox:
    """Show a probe as a button per cell, coloured by the map, with players and pictures below.

    Args:
        probe: computes what the buttons show and play.

    Returns:
        the widget; it follows the probe's moment and last answer.

    Notebook: 11_listen_to_pixels.
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
