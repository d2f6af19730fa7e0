"""Checks for notebooks 06_ears, 07_eyes and 08_synthesizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sopedu.lessons.exercises.differences import Either
from sopedu.lessons.exercises.judging import Verdict, judge


def check_sizes_down(function: Callable[[int, int, int], Any]) -> Verdict:
    """Rows and columns after every step down of a U-Net (notebook 06_ears)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        shapes = [(128, 32, 5), (256, 256, 7), (64, 128, 2), (6, 2, 1)]
        for steps in (1, 3, 4, 6):
            rows, columns = (int(side) << steps for side in chance.integers(1, 9, 2))
            shapes.append((rows, columns, steps))
        for rows, columns, steps in shapes:
            sizes, size = [], (rows, columns)
            for _ in range(steps):
                size = (size[0] >> 1, size[1] >> 1)
                sizes.append(size)
            yield (rows, columns, steps), sizes

    hint = "every step halves both sides; list the sizes after step 1, 2, …, not the one before them"
    return judge(function, cases, hint, "after n steps both sides are 2ⁿ times smaller.", tolerance=0.0)


def check_unet_parameters(function: Callable[[tuple[int, ...], int], int]) -> Verdict:
    """Number of parameters of an AudioUNet, from its channels and K alone (notebook 06_ears)."""
    import torch

    from sopedu.config import ModelConfig
    from sopedu.model.modes import count_parameters
    from sopedu.model.nets import AudioUNet

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        nets = [((8, 8, 8), 4), ((12, 24, 48, 64, 64), 32)]
        for depth in (3, 5):
            nets.append((tuple(int(width) for width in chance.integers(2, 40, depth)), int(chance.integers(1, 40))))
        for channels, components in (*nets, (ModelConfig().audio_channels, 32)):
            config = replace(ModelConfig(), audio_channels=channels, components=components)
            with torch.device("meta"):  # counts without memory for 30 million weights
                yield (channels, components), count_parameters(AudioUNet(config))

    hint = (
        "count apart: convolutions down (4 × 4), convolutions up (3 × 3, with twice the inputs where a skip connection "
        "joins), normalisations (the outermost and the innermost step down have none), and the biases of the last layer"
    )
    praise = "all U-Nets counted correctly, also the paper's of 30.27 million."
    return judge(function, cases, hint, praise, tolerance=0.0)


def check_receptive_field(function: Callable[[Any], int]) -> Verdict:
    """Pixels that one cell sees through layers of (kernel, stride, dilation) (notebook 07_eyes)."""

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        small = [(5, 2, 1), (3, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1)]
        stacks = [[(3, 1, 1)], [(3, 1, 1), (3, 1, 1)], [(3, 1, 2)], [(3, 2, 1), (3, 1, 1)], [(1, 2, 1), (3, 2, 1)], []]
        stacks.append([*small, (3, 1, 1), (3, 1, 2), (3, 1, 1)])
        for depth in (2, 4, 6):
            sizes = chance.choice([1, 3, 5, 7], depth), chance.integers(1, 4, depth), chance.integers(1, 4, depth)
            stacks.append([tuple(map(int, layer)) for layer in zip(*sizes, strict=True)])
        for layers in stacks:
            pixels = 1  # backwards: how many inputs a number of neighbouring outputs needs
            for kernel, stride, dilation in reversed(layers):
                pixels = (pixels - 1) * stride + (kernel - 1) * dilation + 1
            yield (layers,), pixels

    hint = "does a layer use the step that the layers *before* it left? And how far apart does its kernel read?"
    return judge(function, cases, hint, "113 pixels for the small frame net, as the gradient shows.", tolerance=0.0)


def check_winning_place(function: Callable[[Any], tuple[float, float]]) -> Verdict:
    """Place (x, y) of the centre of the strongest cell of a map (notebook 07_eyes)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        maps = [np.array([[0.0, 0, 1], [0, 0, 0]]), np.array([[-3.0, -1], [-2, -4], [-5, -6]]), np.ones((1, 1))]
        maps += [chance.normal(0, 2, shape) for shape in ((8, 8), (4, 10), (14, 7), (1, 6))]
        tied = chance.random((3, 5))
        tied[[0, 2], [4, 1]] = 2.0
        for cells in (*maps, tied):
            height, width = cells.shape
            places = [((c + 0.5) / width, (r + 0.5) / height) for r, c in np.argwhere(cells == cells.max())]
            yield (torch.from_numpy(cells).float(),), Either(places) if len(places) > 1 else places[0]

    hint = "x belongs to the column and the width, y to the row and the height; a cell's centre is half a cell further"
    return judge(function, cases, hint, "x to the right from the column, y down from the row.", tolerance=1e-6)


def check_inner_product(function: Callable[[Any, Any, Any, Any], Any]) -> Verdict:
    """Logits (N, Q, T) of visual vectors (N, K) and components (K, Q, T) (notebook 08_synthesizer)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for sources, components, rows, columns in ((1, 2, 1, 2), (2, 5, 4, 3), (3, 2, 2, 6), (3, 3, 3, 3)):
            scale, bias = chance.uniform(-1, 1.5, components), np.array([0.7])
            v, s = chance.random((sources, components)), chance.standard_normal((components, rows, columns))
            logits = np.zeros((sources, rows, columns)) + 0.7
            for n, k in np.ndindex(sources, components):
                logits[n] += scale[k] * v[n, k] * s[k]
            yield tuple(torch.from_numpy(part).float() for part in (v, s, scale, bias)), logits

    hint = (
        "scale, v and s share the axis k, over which the sum runs; the bias is added once, to the sum; no sigmoid yet"
    )
    return judge(function, cases, hint, "this is all that the synthesizer does.", tolerance=1e-4)


def check_swap_gap(function: Callable[[Any, Any], float]) -> Verdict:
    """Mean SI-SDR as it is, minus that of estimates moved one place on (notebook 08_synthesizer)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for sources, noise in ((2, 0.3), (3, 0.5), (4, 0.2)):
            # What all sources share keeps every score far above −30 dB, where sopedu.si_sdr ends.
            references = chance.standard_normal((sources, 200)) + chance.standard_normal(200)
            estimates = references + noise * chance.standard_normal((sources, 200)) * np.arange(1, sources + 1)[:, None]
            moved = np.concatenate([estimates[-1:], estimates[:-1]])
            gap = _mean_si_sdr(references, estimates) - _mean_si_sdr(references, moved)
            yield (torch.from_numpy(references).float(), torch.from_numpy(estimates).float()), gap
        same = torch.from_numpy(np.tile(references.sum(0), (sources, 1))).float()
        yield (torch.from_numpy(references).float(), same), 0.0

    hint = "two means and a difference; which axis holds the sources, and does the last estimate become the first?"
    praise = "large where the pictures matter, 0 on the symmetric plateau."
    return judge(function, cases, hint, praise, tolerance=1e-3)


def _mean_si_sdr(references: np.ndarray, estimates: np.ndarray) -> float:
    cosines = (references * estimates).sum(1) / np.linalg.norm(references, axis=1) / np.linalg.norm(estimates, axis=1)
    return float(np.mean(10 * np.log10(cosines**2 / (1 - cosines**2))))


def check_volume_map(function: Callable[[Any, Any], Any]) -> Verdict:
    """Energy that the mask of every cell lets through, (h, w) (notebook 08_synthesizer)."""
    import torch

    def cases(chance: np.random.Generator) -> Iterator[tuple[tuple, Any]]:
        for shape in ((1, 2, 2, 3), (2, 3, 5, 4), (4, 4, 3, 2), (3, 3, 3, 3)):
            masks, magnitude = chance.random(shape), chance.random(shape[2:]) * 3
            volume = np.zeros(shape[:2])
            for row, column in np.ndindex(shape[:2]):
                volume[row, column] = (np.linalg.norm(masks[row, column] * magnitude) / np.linalg.norm(magnitude)) ** 2
            yield (torch.from_numpy(masks).float(), torch.from_numpy(magnitude).float()), volume

    hint = "energy is squared magnitude; which axes are summed over, and whose energy is 1?"
    return judge(function, cases, hint, "one number per cell: the sound map.", tolerance=1e-5)
