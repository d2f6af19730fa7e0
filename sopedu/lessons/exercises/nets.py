"""Checks for notebooks 06_ears, 07_eyes and 08_synthesizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sopedu.lessons.exercises.judging import Verdict, judge


def check_sizes_down(function: Callable[[int, int, int], Any]) -> Verdict:
    """Rows and columns after every step down of a U-Net (notebook 06_ears)."""
    cases = []
    for rows, columns, steps in ((128, 32, 5), (256, 256, 7), (64, 128, 2)):
        cases.append(((rows, columns, steps), [(rows >> step, columns >> step) for step in range(1, steps + 1)]))
    hint = "every step halves both sides; list the sizes after step 1, 2, …, not the one before them"
    return judge(function, cases, hint, "after n steps both sides are 2ⁿ times smaller.", tolerance=0.0)


def check_unet_parameters(function: Callable[[tuple[int, ...], int], int]) -> Verdict:
    """Number of parameters of an AudioUNet, from its channels and K alone (notebook 06_ears)."""
    import torch

    from sopedu.config import ModelConfig
    from sopedu.model.modes import count_parameters
    from sopedu.model.nets import AudioUNet

    cases = []
    for channels, components in (((8, 8, 8), 4), ((12, 24, 48, 64, 64), 32), (ModelConfig().audio_channels, 32)):
        config = replace(ModelConfig(), audio_channels=channels, components=components)
        with torch.device("meta"):  # counts without memory for 30 million weights
            cases.append(((channels, components), count_parameters(AudioUNet(config))))
    hint = (
        "down 16 · in · out; up 9 · in · out, all but the innermost of twice the channels; K biases at the end; "
        "norms: 2 for the input, and 2 · out of every step but the first, the innermost down and the last up"
    )
    praise = "three U-Nets counted correctly, also the paper's of 30.27 million."
    return judge(function, cases, hint, praise, tolerance=0.0)


def check_receptive_field(function: Callable[[Any], int]) -> Verdict:
    """Pixels that one cell sees through layers of (kernel, stride, dilation) (notebook 07_eyes)."""
    small = [(5, 2, 1), (3, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1)]
    cases: list[tuple[tuple, int]] = [
        (([(3, 1, 1)],), 3),
        (([(3, 1, 1), (3, 1, 1)],), 5),
        (([(3, 1, 2)],), 5),
        (([(3, 2, 1), (3, 1, 1)],), 7),
        (([*small, (3, 1, 1), (3, 1, 2), (3, 1, 1)],), 113),
    ]
    hint = "a layer adds (kernel − 1) · dilation · step, and step is the product of the strides of the layers before it"
    return judge(function, cases, hint, "113 pixels for the small frame net, as the gradient shows.", tolerance=0.0)


def check_winning_place(function: Callable[[Any], tuple[float, float]]) -> Verdict:
    """Place (x, y) of the centre of the strongest cell of a map (notebook 07_eyes)."""
    import torch

    cases = []
    for height, width, row, column in ((8, 8, 1, 6), (4, 10, 3, 2), (2, 3, 0, 0)):
        cells = torch.zeros(height, width)
        cells[row, column] = 2.5
        cases.append(((cells,), ((column + 0.5) / width, (row + 0.5) / height)))
    hint = "x belongs to the column and the width, y to the row and the height; a cell's centre lies at index + 0.5"
    return judge(function, cases, hint, "x to the right from the column, y down from the row.", tolerance=1e-6)


def check_inner_product(function: Callable[[Any, Any, Any, Any], Any]) -> Verdict:
    """Logits (N, Q, T) of visual vectors (N, K) and components (K, Q, T) (notebook 08_synthesizer)."""
    import torch

    from sopedu.model.nets import Synthesizer

    chance, cases = torch.Generator().manual_seed(8), []
    for sources, components, rows, columns in ((2, 5, 4, 3), (3, 2, 2, 6)):
        synthesizer = Synthesizer(components).requires_grad_(False)
        synthesizer.scale.copy_(torch.rand(components, generator=chance) + 0.5)
        synthesizer.bias.fill_(0.7)
        v = torch.rand(sources, components, generator=chance)
        s = torch.randn(components, rows, columns, generator=chance)
        cases.append(((v, s, synthesizer.scale, synthesizer.bias), synthesizer(v[None], s[None])[0]))
    hint = "sum over k of scale[k] · v[n, k] · s[k, q, t], the bias added once to the sum; no sigmoid yet"
    return judge(function, cases, hint, "this is all that the synthesizer does.", tolerance=1e-4)


def check_swap_gap(function: Callable[[Any, Any], float]) -> Verdict:
    """Mean SI-SDR as it is, minus that of estimates moved one place on (notebook 08_synthesizer)."""
    import torch

    from sopedu.audio.metrics import si_sdr

    chance, cases = torch.Generator().manual_seed(8), []
    for sources, noise in ((2, 0.3), (3, 0.5)):
        references = torch.randn(sources, 400, generator=chance)
        estimates = references + noise * torch.randn(sources, 400, generator=chance)
        moved = si_sdr(references, estimates.roll(1, dims=0)).mean()
        cases.append(((references, estimates), float(si_sdr(references, estimates).mean() - moved)))
    plateau = references.sum(0).expand_as(references)
    cases.append(((references, plateau), 0.0))
    hint = "mean of sopedu.si_sdr(references, estimates), minus the mean with estimates.roll(1, dims=0)"
    return judge(function, cases, hint, "large where the pictures matter, 0 on the symmetric plateau.", tolerance=1e-3)


def check_volume_map(function: Callable[[Any, Any], Any]) -> Verdict:
    """Energy that the mask of every cell lets through, (h, w) (notebook 08_synthesizer)."""
    import torch

    chance, cases = torch.Generator().manual_seed(8), []
    for shape in ((2, 3, 5, 4), (4, 4, 3, 2)):
        masks, magnitude = torch.rand(shape, generator=chance), torch.rand(shape[2:], generator=chance)
        energy = (masks * magnitude).square().flatten(2).sum(2)
        cases.append(((masks, magnitude), energy / magnitude.square().sum()))
    hint = "square mask and magnitude, sum over the last two axes only, and divide by the mixture's energy"
    return judge(function, cases, hint, "one number per cell: the sound map.", tolerance=1e-5)
