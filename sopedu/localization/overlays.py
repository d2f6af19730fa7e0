"""Draw on the frames of a video: a sound map as a glow with its legend, a box as a line (notebook 10_localize)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sopedu.localization.maps import smooth_over_time
from sopedu.localization.places import Box

_LEAST_WIDTH, _LEAST_HEIGHT = 200, 90  # pixels of a frame in which words can be read and leave room for the picture
_DARK = 0.1  # share of the mixture's energy below which not even the loudest cell is shown at full brightness


class MapOverlay:
    """Lay sound maps over frames at any time; between two maps they are blended.

    The loudest cell of all gets the brightest colour, but a map that hardly lets anything through stays dark.

    Args:
        maps: ``(W, h, w)``, not negative.
        times: of each map, in seconds, ascending.
        legend: draw the scale of colours, quiet … loud, into the frame's left top; frames too small for words get none.
        smooth: seconds over which maps are averaged first, see ``smooth_over_time`` in :mod:`sopedu.localization.maps`;
            0 leaves them.

    Raises:
        SopeduError: not as many times as maps.
    """

    def __init__(self, maps: np.ndarray, times: Sequence[float], legend: bool = True, smooth: float = 0.3) -> None:
        maps = smooth_over_time(maps, times, smooth)
        self._maps = maps / max(float(maps.max()), _DARK)
        self._times, self._legend = times, legend
        self._drawn: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]] | None = None

    def at(self, time: float) -> np.ndarray:
        """Return the map ``(h, w)`` in 0…1 at a time.

        Args:
            time: in seconds.
        """
        position = float(np.interp(time, self._times, np.arange(len(self._times))))
        low = min(int(position), len(self._maps) - 1)
        high = min(low + 1, len(self._maps) - 1)
        return self._maps[low] + (position - low) * (self._maps[high] - self._maps[low])

    def __call__(self, time: float, frame: np.ndarray) -> np.ndarray:
        """Return a frame in grey with the map of its time over it, ``(H, W, 3)`` uint8.

        Args:
            time: in seconds.
            frame: ``(H, W, 3)`` uint8.
        """
        wanted = self.at(time)
        # Scaling the map up costs more than blending it, so it is repeated only when a change would be visible.
        if self._drawn is None or np.abs(self._drawn[0] - wanted).max() > 1 / 256:
            self._drawn = wanted, _layers(wanted, frame.shape[:2])
        covered = _laid_over(frame, *self._drawn[1])
        if self._legend and frame.shape[0] >= _LEAST_HEIGHT and frame.shape[1] >= _LEAST_WIDTH:
            plate = _legend(*frame.shape[:2])
            margin = plate.shape[0] // 3
            covered[margin : margin + plate.shape[0], margin : margin + plate.shape[1]] = plate
        return covered


def overlay_map(frame: np.ndarray, sound_map: np.ndarray) -> np.ndarray:
    """Lay a map over a frame in grey: loud places glow in the colours of magma.

    Args:
        frame: ``(H, W, 3)`` uint8.
        sound_map: ``(h, w)`` in 0…1.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    return _laid_over(frame, *_layers(sound_map, frame.shape[:2]))


def _layers(sound_map: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The factor of a frame and the colour added to it, in 256ths: ``(H, W, 1)`` and ``(H, W, 3)`` uint16."""
    small = torch.from_numpy(np.ascontiguousarray(sound_map, np.float32))[None, None]
    large = torch.nn.functional.interpolate(small, tuple(shape), mode="bilinear", align_corners=False)
    level = (255 * large[0, 0].clamp(0, 1)).to(torch.uint8).numpy()
    layers = _colours()[level].view(np.uint16).reshape(*shape, 4)
    return layers[..., 3:], layers[..., :3]


def in_grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture without its colours, so that a magenta shirt is not taken for a sound.

    Args:
        picture: ``(H, W, 3)`` uint8.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L").convert("RGB"))


def _laid_over(frame: np.ndarray, kept: np.ndarray, added: np.ndarray) -> np.ndarray:
    blended = kept * in_grey(frame)  # at most 256 · 255: it fits in 16 bits, which are several times faster than floats
    blended += added
    blended >>= 8
    return blended.astype(np.uint8)


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """For each of 256 levels what is added (red, green, blue) and kept, packed so that one look-up finds all four."""
    from matplotlib import colormaps

    magma = np.rint(colormaps["magma"](np.arange(256))[:, :3] * 255)
    opacity = np.rint(256 * (0.25 + 0.55 * np.arange(256) / 255))
    added = magma * opacity[:, None] + 128  # half a step, so that the shift rounds
    return np.column_stack([added, 256 - opacity]).astype(np.uint16).view(np.uint64)[:, 0]


@lru_cache(maxsize=4)
def _legend(height: int, width: int) -> np.ndarray:
    """The words quiet and loud with the colours between them, ``(h, w, 3)`` uint8, as large as suits a frame's size.

    Magma grows lighter all the way, so the scale can be read in any kind of colour vision, and in grey.
    """
    from matplotlib import colormaps

    size = max(12, min(height, width) // 26)  # pixels; smaller text is unreadable after compression
    font, bar, pad = ImageFont.load_default(size), width // 5, size // 3
    lengths = [int(np.ceil(font.getlength(word))) for word in ("quiet", "loud")]
    plate = Image.new("RGB", (sum(lengths) + bar + 4 * pad, size + 2 * pad))
    draw, middle = ImageDraw.Draw(plate), plate.height // 2
    draw.text((pad, middle), "quiet", fill="white", font=font, anchor="lm")
    draw.text((plate.width - pad, middle), "loud", fill="white", font=font, anchor="rm")
    left, top, bottom = lengths[0] + 2 * pad, pad, plate.height - pad
    draw.rectangle((left - 1, top - 1, left + bar, bottom), outline="white")
    pixels = np.array(plate)
    pixels[top:bottom, left : left + bar] = colormaps["magma"](np.linspace(0, 1, bar), bytes=True)[:, :3]
    return pixels


def draw_box(frame: np.ndarray, box: Box) -> np.ndarray:
    """Mark a box with a white line in a black one, visible on any background.

    Args:
        frame: ``(H, W, 3)`` uint8.
        box: ``(x0, y0, x1, y1)`` in fractions of width and height.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    height, width = frame.shape[:2]
    marked, thickness = frame.copy(), max(2, min(height, width) // 160)
    x0, x1 = (int(round(value * (width - 1))) for value in (box[0], box[2]))
    y0, y1 = (int(round(value * (height - 1))) for value in (box[1], box[3]))
    for inset, colour in ((0, 0), (thickness, 255)):
        left, right, top, bottom = x0 + inset, x1 - inset + 1, y0 + inset, y1 - inset + 1
        for rows, columns in (
            (slice(top, top + thickness), slice(left, right)),
            (slice(bottom - thickness, bottom), slice(left, right)),
            (slice(top, bottom), slice(left, left + thickness)),
            (slice(top, bottom), slice(right - thickness, right)),
        ):
            marked[rows, columns] = colour
    return marked
