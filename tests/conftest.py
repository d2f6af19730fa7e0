"""What all tests share: no window for figures, and threads that fit a small machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory) -> Iterator[Path]:
    """A cache of rendered solos for one module: what an earlier run left neither helps nor harms."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("SOPEDU_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """With more threads, sums are added in an order that may change, and small nets are slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
