"""Values as the bytes that the widgets' pages draw: spectrograms, masks, maps, colours, the axis of frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps

from sopedu.audio.spectrogram import row_hertz
from sopedu.config import SpectrogramConfig
from sopedu.plots import TICKS_HERTZ, hertz_to_row

_FLOOR_DB = -80  # of spectrograms


def share_bytes(values: np.ndarray) -> bytes:
    """Return values in 0…1 as one byte each.

    Args:
        values: of any shape; what lies outside is clipped.
    """
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8).tobytes()


def decibel_bytes(magnitude: np.ndarray, loudest: float) -> bytes:
    """Return a spectrogram as one byte per value: 255 is the loudest magnitude, 0 lies 80 dB below it or lower.

    Args:
        magnitude: ``(Q, T)``.
        loudest: magnitude of 0 dB.
    """
    level = 20 * np.log10(np.maximum(magnitude / max(loudest, 1e-12), 1e-9))
    return share_bytes(1 - level / _FLOOR_DB)


def axes_on_page(sound: SpectrogramConfig) -> dict[str, Any]:
    """Return what a page needs to draw spectrograms and masks: rows, ticks, the floor in dB, and colours.

    Args:
        sound: the model's spectrogram.
    """
    ticks = [hertz for hertz in TICKS_HERTZ if hertz <= row_hertz(sound)[-1]]
    rows = [float(row) / (sound.log_frequency_bins - 1) for row in hertz_to_row(ticks, sound)]
    return {
        "rows": sound.log_frequency_bins,
        "ticks": [[hertz, row] for hertz, row in zip(ticks, rows, strict=True)],
        "floor": _FLOOR_DB,
        **{name: colour_bytes(name) for name in ("magma", "cividis")},
    }


def colour_bytes(name: str) -> bytes:
    """Return 256 colours of a colour map, three bytes each.

    Args:
        name: of the colour map.
    """
    return np.rint(colormaps[name](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes()
