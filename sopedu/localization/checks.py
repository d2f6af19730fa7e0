"""Check what a user passes as a clip: a mixture, frames, and the part of the picture that they show."""

from __future__ import annotations

import torch

from sopedu.errors import SopeduError
from sopedu.localization.places import Box


def check_clip(mixture: torch.Tensor, frames: torch.Tensor, samples: int, view: Box) -> None:
    """Refuse a clip that a model cannot take.

    Args:
        mixture: waveform ``(L,)`` float.
        frames: ``(S, 3, H, W)`` uint8.
        samples: the length that the model takes.
        view: x0, y0, x1, y1.

    Raises:
        SopeduError: a wrong type, shape, length or value.
    """
    for name, given, shape in (("mixture", mixture, "(L,)"), ("frames", frames, "(S, 3, H, W)")):
        if not isinstance(given, torch.Tensor):
            raise SopeduError(
                f"the {name} came as {type(given).__name__}: pass a torch tensor {shape}; "
                "scene.waveform() and scene.frames_tensor() give both"
            )
    if mixture.shape != (samples,):
        raise SopeduError(
            f"the mixture has shape {tuple(mixture.shape)}, the model takes ({samples},): cut it or add silence"
        )
    if not mixture.is_floating_point() or not mixture.isfinite().all():
        found = "NaN or infinity" if mixture.is_floating_point() else mixture.dtype
        raise SopeduError(f"the mixture holds {found}: pass finite floats from -1 to 1")
    if frames.ndim != 4 or frames.shape[1] != 3 or not frames.numel() or frames.dtype != torch.uint8:
        raise SopeduError(
            f"the frames are {frames.dtype} {tuple(frames.shape)}: pass (S, 3, H, W) uint8, one frame at least"
        )
    if not (len(view) == 4 and view[0] < view[2] and view[1] < view[3]):
        raise SopeduError(f"view {','.join(f'{value:g}' for value in view)}: write x0,y0,x1,y1, x0 < x1 and y0 < y1")
