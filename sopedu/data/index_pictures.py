"""Read frames of an index and resize them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np

from sopedu.errors import SopeduError
from sopedu.video.resizing import resize_frames, size_in_proportion

_LONGEST_SHAPE = 16  # a frame longer than this many times its shorter side is no picture


def read_pictures(frames: Sequence[tuple[str, str | io.BytesIO]], short_side: int) -> np.ndarray:
    """Read frames of a clip and resize them.

    Args:
        frames: S times the name of a frame for errors, and its path or its content.
        short_side: pixels of the shorter side in the result.

    Returns:
        ``(S, h, w, 3)`` uint8.

    Raises:
        SopeduError: a frame cannot be read, or they differ in size.
    """
    import torch  # here, because the processes that pack or prepare clips do without it

    sizes, pictures = zip(*(_picture(name, source, short_side) for name, source in frames), strict=True)
    if len(set(sizes)) > 1:
        raise SopeduError(
            f"{frames[0][0]}: frames of different sizes in this clip ({sizes[0]}, …); prepare the clip again"
        )
    # Resizing whole frames with torch's vector instructions is faster than resizing only the crop with Pillow.
    resized = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return resize_frames(resized, _resized(sizes[0], short_side)[::-1], "bicubic").permute(0, 2, 3, 1).numpy()


def _resized(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    return size_in_proportion(*size, short_side, _LONGEST_SHAPE)


def _picture(name: str, source: str | io.BytesIO, short_side: int) -> tuple[tuple[int, int], np.ndarray]:
    """Return the size of a JPEG as stored, and its pixels ``(h, w, 3)``, decoded at 1/2, 1/4 … if that is enough."""
    from PIL import Image

    try:
        with Image.open(source) as image:
            size = image.size
            if max(size) > _LONGEST_SHAPE * min(size):
                raise ValueError(f"{size[0]} × {size[1]} pixels are too long for a picture")
            image.draft(None, _resized(size, short_side))
            return size, np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.isfile(os.path.dirname(name)):
            raise SopeduError(
                f"{os.path.dirname(name)}: is a file, not a folder of frames 000001.jpg …; cut it into frames first"
            ) from error
        there = sorted(listing(os.path.dirname(name)))
        found = f"{len(there)} files from {there[0]} to {there[-1]} are there" if there else "the folder is empty"
        raise SopeduError(
            f"{name}: no such frame ({found}); frames are numbered from 000001.jpg to the index's frame_count"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SopeduError(f"{name}: this frame cannot be read ({reason(error)}); prepare the clip again") from error


def listing(folder: str) -> set[str]:
    """Return the names in a folder; none if there is no such folder.

    Args:
        folder: its path.
    """
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def reason(error: Exception) -> str:
    """Return why a file cannot be read, without the end of the sentence.

    Args:
        error: that was raised.
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return " ".join((getattr(error, "strerror", None) or str(error)).split()).strip(" .")
