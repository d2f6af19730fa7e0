"""From a decoded picture to an array or a JPEG file: upright, scaled, in RGB."""

from __future__ import annotations

import io
from math import atan2, pi
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.video.streams import check_size


def upright(frame: Any) -> tuple[bool, int]:
    """Return how a decoded picture is turned upright.

    Args:
        frame: PyAV's. Its display matrix is rounded to quarter turns.

    Returns:
        Whether it is mirrored left to right first, and the number of quarter turns counter-clockwise, 0 to 3.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, 0
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).astype(float)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return mirrored, round(atan2(c - b, a + d) / (pi / 2)) % 4


class Pictures:
    """Turns the decoded pictures of one film into arrays or JPEG files; FFmpeg's scalers are set up once per film.

    Args:
        path: the film, for errors.
    """

    def __init__(self, path: Path) -> None:
        from av.video.reformatter import VideoReformatter

        self._path = path
        self._scaler, self._converter = VideoReformatter(), VideoReformatter()

    def rgb(self, frame: Any, size: tuple[int, int] | None) -> np.ndarray:
        """Return a decoded picture as an array, upright.

        Args:
            frame: PyAV's.
            size: (height, width) in pixels to scale to; None keeps the picture's own size.

        Returns:
            (H, W, 3) uint8, RGB.

        Raises:
            SopeduError: the picture has no area or more than 8192 px on a side.
        """
        width, height, mirrored, turns = self._placed(frame, size)
        pixels = self._converter.reformat(frame, width, height, "rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))

    def jpeg(self, frame: Any, size: tuple[int, int], quality: int) -> bytes:
        """Return a decoded picture as a JPEG file, upright, with less work than from `rgb`.

        It is scaled before its colours are converted, with those at half the resolution, as a JPEG keeps them, and in
        one thread, because films are prepared in several processes. Pillow reads FFmpeg's memory without a copy.

        Args:
            frame: PyAV's.
            size: (height, width) in pixels to scale to.
            quality: of the JPEG file.

        Raises:
            SopeduError: as for `rgb`.
        """
        from PIL import Image

        width, height, mirrored, turns = self._placed(frame, size)
        if frame.format.name in ("yuv420p", "yuvj420p"):
            frame = self._scaler.reformat(frame, width, height, frame.format.name, threads=1)
        frame = self._converter.reformat(frame, width, height, "rgb0", threads=1)
        plane = frame.planes[0]
        picture = Image.frombuffer("RGBX", (width, height), plane, "raw", "RGBX", plane.line_size, 1)
        if mirrored:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if turns:
            picture = picture.transpose(Image.Transpose[f"ROTATE_{90 * turns}"])
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=quality)
        return encoded.getvalue()

    def _placed(self, frame: Any, size: tuple[int, int] | None) -> tuple[int, int, bool, int]:
        """Return the width and height to scale to before the picture is turned, and how it is turned."""
        check_size(self._path, frame.width, frame.height)
        mirrored, turns = upright(frame)
        stored = size[::-1] if size is not None and turns % 2 else size
        height, width = stored or (frame.height, frame.width)
        return width, height, mirrored, turns
