"""What all tests share: no window for figures, and threads that fit a small machine."""

from __future__ import annotations

import contextlib
import os

# Before torch: threads that spin long while they wait hardly move when anything else runs. Kernels inherit it gladly.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Trainings in tests are compared bit for bit, which holds on the CPU only: a GPU adds in an order that may change.
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

# Not through the environment: notebook kernels that the same pytest run starts would inherit that.
with contextlib.suppress(ImportError):
    import matplotlib

    matplotlib.use("Agg")

with contextlib.suppress(ImportError):
    import torch

    torch.set_num_threads(2)
