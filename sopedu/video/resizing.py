"""The size of the pictures that a model gets, and the one function that resizes decoded pictures to it.

A video is scaled by FFmpeg while it is decoded (`frames_at` with a `size`); pictures that are in memory already are
resized here, with antialiasing. Training frames stored as JPEG use the bicubic filter, all else the bilinear one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from sopedu.video.probing import VideoInfo

# A picture much longer than wide is squeezed to this many times its shorter side for the model.
_LONGEST_SHAPE = 4


def size_in_proportion(
    height: float, width: float, shorter: int, longest_shape: int = _LONGEST_SHAPE
) -> tuple[int, int]:
    """Return the size of a picture whose shorter side is scaled to `shorter` pixels.

    Args:
        height: of the picture as it is shown, in any unit.
        width: in the same unit.
        shorter: pixels of the shorter side in the result.
        longest_shape: the longer side is cut to this many times the shorter one, which squeezes the picture.

    Returns:
        (height, width) in whole pixels.
    """
    scale, longest = shorter / min(width, height), longest_shape * shorter
    return min(max(1, round(height * scale)), longest), min(max(1, round(width * scale)), longest)


def frame_size(info: VideoInfo, shorter: int) -> tuple[int, int]:
    """Return the size at which the model gets a video, in the proportions of the picture as it is shown.

    Args:
        info: what :func:`sopedu.probe` returns for the video.
        shorter: pixels of the shorter side.

    Returns:
        (height, width) in whole pixels.
    """
    return size_in_proportion(float(info.height), float(info.width * info.pixel_aspect), shorter)


def resize_frames(
    frames: torch.Tensor, size: tuple[int, int], interpolation: Literal["bilinear", "bicubic"] = "bilinear"
) -> torch.Tensor:
    """Resize frames with an antialiasing filter; frames of that size are returned as they are.

    Args:
        frames: ``(S, 3, H, W)`` uint8.
        size: (height, width) of the result in pixels.
        interpolation: the filter.

    Returns:
        ``(S, 3, height, width)`` uint8.
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    import torch

    return torch.nn.functional.interpolate(frames, size, mode=interpolation, antialias=True)
