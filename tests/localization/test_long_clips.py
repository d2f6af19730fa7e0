"""Windows of a recording are joined without a seam, and nothing of it is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sopedu.localization.long_clips import crossfade


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 200), st.integers(0, 2**32))
def test_unchanged_windows_add_up_to_the_signal(half, length, seed):
    signal = np.random.default_rng(seed).normal(size=(2, length))
    padded = np.pad(signal, ((0, 0), (0, 2 * half)))
    pieces = ((start, padded[:, start : start + 2 * half]) for start in range(0, max(1, length - half), half))
    blocks = list(crossfade(pieces, length))
    assert max(block.shape[1] for block in blocks) <= 2 * half  # what is done is given out at once
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), signal, atol=1e-6)


def test_a_seam_is_faded_and_not_cut():
    # From a window of ones to one of zeros, half a window later: the step falls smoothly along sin².
    faded = np.concatenate(list(crossfade([(0, np.ones(100)), (50, np.zeros(100))], 160)))
    np.testing.assert_allclose(faded[:50], 1, atol=1e-6)
    np.testing.assert_allclose(faded[50:100], np.sin(np.pi * (np.arange(50, 100) + 0.5) / 100) ** 2, atol=1e-6)
    np.testing.assert_allclose(faded[100:], 0, atol=1e-6)
    assert len(faded) == 160
