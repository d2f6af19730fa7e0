"""What all tests share: no window for figures, and threads that fit a small machine."""

from __future__ import annotations

import contextlib

# Not through the environment: notebook kernels that the same pytest run starts would inherit that.
with contextlib.suppress(ImportError):
    import matplotlib

    matplotlib.use("Agg")

with contextlib.suppress(ImportError):
    import torch

    torch.set_num_threads(2)
