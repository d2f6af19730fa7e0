"""From a decoded picture to an array: upright, scaled, in RGB."""

from __future__ import annotations

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
    """Turns the decoded pictures of one film into arrays, upright; FFmpeg's scalers are set up once per film.

    Args:
        path: the film, for errors.
        quick: scale before the colours are converted, with those at half the resolution, as a JPEG keeps them, and in
            one thread: four times as fast.
    """

    def __init__(self, path: Path, quick: bool = False) -> None:
        from av.video.reformatter import VideoReformatter

        self._path, self._quick, self._threads = path, quick, int(quick)  # 0 threads: as many as there are cores
        self._scaler, self._converter = VideoReformatter(), VideoReformatter()

    def rgb(self, frame: Any, size: tuple[int, int] | None) -> np.ndarray:
        """Return a decoded picture as an array.

        Args:
            frame: PyAV's.
            size: (height, width) in pixels to scale to; None keeps the picture's own size.

        Returns:
            (H, W, 3) uint8, RGB.

        Raises:
            SopeduError: the picture has no area or more than 8192 px on a side.
        """
        check_size(self._path, frame.width, frame.height)
        mirrored, turns = upright(frame)
        stored = size[::-1] if size is not None and turns % 2 else size
        height, width = stored or (frame.height, frame.width)
        if self._quick and frame.format.name in ("yuv420p", "yuvj420p"):
            frame = self._scaler.reformat(frame, width, height, frame.format.name, threads=self._threads)
        pixels = self._converter.reformat(frame, width, height, "rgb24", threads=self._threads).to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, turns))
