"""Replacements for torch's own layers where those are slow or faulty on some machine.

Results change by rounding errors at most. You may skip this module when you read the nets: each function replaces
the torch function that its docstring names.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn


class StridedPointwiseConv(nn.Conv2d):
    """A strided 1 × 1 ``nn.Conv2d``, computed as one without a stride on the cells that it reads.

    For channels_last input with a number of channels that is not a multiple of 8, oneDNN's backward kernel for AVX2
    writes beyond its memory (torch 2.14.1: a crash, or silent damage). The results are the same.
    """

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Convolve ``(B, C, H, W)``."""
        down, right = self.stride
        return nn.functional.conv2d(cells[..., ::down, ::right], self.weight, self.bias)


def twice_as_large(x: torch.Tensor) -> torch.Tensor:
    """Double rows and columns: ``F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)``.

    On a GPU this is two matrix products: there torch's own works in float32 even under bf16 autocast, and its gradient
    is added up in an order that changes from run to run.

    Args:
        x: ``(B, C, H, W)`` float.

    Returns:
        ``(B, C, 2 H, 2 W)``, same type.
    """
    if not _for_gpu(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    batch, channels, height, width = x.shape
    rows, columns = (_doubling(size, x.dtype, x.device) for size in (height, width))
    if x.is_contiguous():
        return torch.matmul(rows, torch.matmul(x, columns.T))
    # channels_last, as in training.
    wide = torch.matmul(columns, x.permute(0, 2, 3, 1))  # (B, H, 2 W, C)
    both = torch.matmul(rows, wide.reshape(batch, height, 2 * width * channels))
    return both.view(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _doubling(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the matrix ``(2 size, size)`` that doubles an axis by linear interpolation, corners aligned."""
    make = _doubling_matrix
    return (make.__wrapped__ if torch.compiler.is_compiling() else make)(size, dtype, device)


@lru_cache(maxsize=64)
def _doubling_matrix(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    with torch.inference_mode(False):  # a tensor made in inference mode could not be used in training
        exact = torch.promote_types(dtype, torch.float32)  # torch's own rounds positions like this
        places = torch.arange(2 * size, device=device, dtype=exact) * ((size - 1) / (2 * size - 1))
        distance = (places[:, None] - torch.arange(size, device=device, dtype=exact)).abs()
        return (1 - distance).clamp_min(0).to(dtype)


def _for_gpu(x: torch.Tensor) -> bool:
    return x.is_cuda


def dense_gradient(x: torch.Tensor) -> torch.Tensor:
    """Return ``x`` unchanged; make its gradient dense in memory.

    Behind ``torch.cat`` a gradient is a slice of a larger tensor, for which batch normalisation on a GPU is slow.

    Args:
        x: any float tensor.
    """
    if not _for_gpu(x) or torch.compiler.is_compiling():
        return x
    return _DenseGradient.apply(x)


class _DenseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        dense = gradient.is_contiguous() or gradient.is_contiguous(memory_format=torch.channels_last)
        return gradient if dense else gradient.clone()  # clone keeps the memory format
