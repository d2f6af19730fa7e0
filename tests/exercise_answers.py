"""What learners hand in: for each check right answers in several styles, and wrong ones that are plausible."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from typing import Any

import numpy as np
import torch

import sopedu
from sopedu.localization.places import intersection_over_union


def _forgetful(*arguments: Any) -> None:
    """Compute and forget to return."""
    sum(1 for _ in arguments)


# --- 00, 01


SHAPES = {"frames": (2, 64, 64, 3), "mixture": (11025,), "stems": (3, 11025), "boxes": (3, 2, 4)}


def _harmonics(amplitude: Any, orders: Any = range(1, 6), wave: Any = torch.sin) -> Any:
    def harmonic_tone(frequency: float, seconds: float, rate: int) -> Any:
        time = torch.arange(round(seconds * rate)) / rate
        return sum(amplitude(n) * wave(2 * torch.pi * n * frequency * time) for n in orders)

    return harmonic_tone


def _tone_of_numpy(frequency: float, seconds: float, rate: int) -> Any:
    orders, time = np.arange(1, 6)[:, None], np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * orders * frequency * time) / orders).sum(axis=0).astype(np.float32)


def _tone_of_loops(frequency: float, seconds: float, rate: int) -> Any:
    for sample in range(round(seconds * rate)):
        yield sum(math.sin(2 * math.pi * n * frequency * sample / rate) / n for n in range(1, 6))


def _tone_to_the_end(frequency: float, seconds: float, rate: int) -> Any:
    time = torch.linspace(0, seconds, round(seconds * rate))
    return sum(torch.sin(2 * torch.pi * n * frequency * time) / n for n in range(1, 6))


# --- 02 … 05


def _si_sdr(scale: Any, energy: Any = lambda x: (x**2).sum(), factor: float = 10) -> Any:
    def si_sdr_by_hand(reference: Any, estimate: Any) -> Any:
        target = scale((estimate * reference).sum() / (reference**2).sum()) * reference
        return factor * np.log10(energy(target) / energy(estimate - target))

    return si_sdr_by_hand


def _si_sdr_of_torch(reference: Any, estimate: Any) -> Any:
    return sopedu.si_sdr(torch.from_numpy(reference)[None], torch.from_numpy(estimate)[None])[0]


def _si_sdr_without_mean(reference: Any, estimate: Any) -> Any:
    return _si_sdr(lambda a: a)(reference - reference.mean(), estimate - estimate.mean())


def _honest_loop(scores: Any) -> Any:
    kept = []
    for score in scores:
        if not math.isnan(score):
            kept.append(score)
    return [statistics.mean(map(float, kept)), np.int64(len(scores) - len(kept))]


def _windows(of: Any, more: int = 0) -> Any:
    def running_median(row: Any, span: int) -> Any:
        return [of(row[i : i + span]) for i in range(len(row) - span + 1 + more)]

    return running_median


def _mixed_in_place(waveforms: Any, gains: Any) -> Any:
    waveforms *= gains[:, None]
    return waveforms.mean(0)


def _sorted_neighbours(members: Any, labels: Any) -> Any:
    classes = np.sort(labels[members], axis=1)
    return (classes[:, 1:] == classes[:, :-1]).any(axis=1).sum()


def _trios(fields: Any, name: str = "tiny", change: Any = lambda *batch: batch) -> Any:
    def mix_trios(*batch: Any) -> Any:
        waveforms, labels, generator = change(*batch)
        return sopedu.mix(waveforms, labels, sopedu.with_values(sopedu.preset(name), fields).mixing, generator)

    return mix_trios


# --- 06 … 09


def _parameters(doubled: bool = True, norms: bool = True, bias: bool = True) -> Any:
    def unet_parameters(channels: Any, components: int) -> int:
        depth, total = len(channels), 2 * norms
        for level, out in enumerate(channels):
            total += 16 * (channels[level - 1] if level else 1) * out + 2 * out * (norms and 0 < level < depth - 1)
        for level in range(depth):
            inputs = channels[level] * (1 if level == depth - 1 or not doubled else 2)
            total += 9 * inputs * (channels[level - 1] if level else components)
            total += 2 * channels[level - 1] * norms if level else components * bias
        return total

    return unet_parameters


def _field(first: str = "pixels", start: int = 1, dilate: bool = True) -> Any:
    def receptive_field(layers: Any) -> int:
        pixels, step = start, 1
        for kernel, stride, dilation in layers:
            step *= stride if first == "step" else 1
            pixels += (kernel - 1) * (dilation if dilate else 1) * step
            step *= stride if first == "pixels" else 1
        return pixels

    return receptive_field


def _place(cells: Any, offset: float = 0.5) -> tuple[float, float]:
    height, width = cells.shape
    row, column = divmod(int(cells.argmax()), width)
    return (column + offset) / width, (row + offset) / height


def _last_place(cells: Any) -> Any:
    height, width = cells.shape
    row, column = (cells == cells.max()).nonzero()[-1]
    return torch.stack([(column + 0.5) / width, (row + 0.5) / height])


def _gap(moved: Any) -> Any:
    return lambda references, estimates: sopedu.si_sdr(references, estimates).mean() - moved(references, estimates)


def _rate(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + np.cos(np.pi * (step - warmup) / (steps - warmup)))


def _questions(*order: str) -> Any:
    def diagnosis(loudest: float, weights: float, gap: float) -> str:
        answers = {"input": loudest < 0.001, "learning rate": weights > 2, "pictures": gap < 1, "healthy": gap >= 1}
        return next((fault for fault in order if answers[fault]), "healthy")

    return diagnosis


# --- 10 … 15


def _corner_mix(corners: Any, across: float, down: float) -> Any:
    rows = (1 - across) * corners[:, 0] + across * corners[:, 1]
    return (1 - down) * rows[0] + down * rows[1]


def _of_torch_interpolation(corners: Any, across: float, down: float) -> Any:
    place = 2 * torch.tensor([[[[across, down]]]]) - 1
    layers = corners.flatten(2).permute(2, 0, 1)[None]
    picture = torch.nn.functional.grid_sample(layers, place.float(), align_corners=True)
    return picture.reshape(corners.shape[2:])


def _energy_loop(masks: Any, magnitude: Any) -> Any:
    total, weights = 0, 0
    for mask in masks:
        weight = float(((mask * magnitude) ** 2).sum())
        total, weights = total + weight * mask, weights + weight
    return (total / weights).numpy()


def _cell(x: float, y: float, height: int, width: int) -> tuple[int, int]:
    return min(int(y * height), height - 1), min(int(x * width), width - 1)


def _overlap(sides: Any = lambda side: max(0, side), over: Any = lambda a, b, shared: a + b - shared) -> Any:
    def overlap_by_hand(first: Any, second: Any) -> Any:
        width = sides(min(first[2], second[2]) - max(first[0], second[0]))
        height = sides(min(first[3], second[3]) - max(first[1], second[1]))
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
        return width * height / over(*areas, width * height)

    return overlap_by_hand


def _keep(boxes: Any, scores: Any, overlap: float, rank: float = -1) -> list[int]:
    shared, kept = intersection_over_union(boxes, boxes), []
    for i in np.argsort(rank * scores):
        if all(shared[i, j] <= overlap for j in kept):
            kept.append(i)
    return kept


def _keep_tensor(boxes: Any, scores: Any, overlap: float) -> Any:
    from torchvision.ops import nms

    return nms(torch.from_numpy(boxes), torch.from_numpy(scores), overlap)


def _keep_suppressed(boxes: Any, scores: Any, overlap: float) -> Any:
    shared = intersection_over_union(boxes, boxes)
    return [i for i in np.argsort(-scores) if not any(shared[i, scores > scores[i]] > overlap)]


def _keep_after_the_last(boxes: Any, scores: Any, overlap: float) -> Any:
    order = np.argsort(-scores)
    shared = intersection_over_union(boxes, boxes)
    return [order[0], *(i for last, i in zip(order, order[1:], strict=False) if shared[i, last] <= overlap)]


def _around(change: Any, above: float = 20, end: int = 1) -> Any:
    def moving_box(frames: Any) -> Any:
        height, width = frames.shape[1:3]
        rows, columns = (change(frames) > above).nonzero()
        return columns.min() / width, rows.min() / height, (columns.max() + end) / width, (rows.max() + end) / height

    return moving_box


def _flop(passes: int = 3, operations: int = 2, kernel_power: int = 2) -> Any:
    return lambda b, c, d, k, h, w: passes * operations * b * c * d * k**kernel_power * h * w


def _reach(layer: Any, rate: float, bandwidth: float, size: int = 2, weights: int = 1, limit: Any = min) -> Any:
    batch, inputs, outputs, kernel, rows, columns = layer
    numbers = batch * rows * columns * (inputs + outputs) + weights * inputs * outputs * kernel**2
    return limit(rate, bandwidth * 2 * batch * rows * columns * inputs * outputs * kernel**2 / (size * numbers))


RIGHT: dict[str, list[Any]] = {
    "check_shapes": [
        SHAPES,
        {name: list(shape) for name, shape in SHAPES.items()},
        {name: torch.Size(shape) for name, shape in SHAPES.items()},
        {name: tuple(np.int64(side) for side in shape) for name, shape in SHAPES.items()},
    ],
    "check_seconds_to_samples": [
        lambda s, r: round(s * r),
        lambda s, r: int(s * r + 0.5),
        lambda s, r: np.rint(s * r),
        lambda s, r: torch.tensor(s * r, dtype=torch.float64).round().int(),
        lambda s, r: math.floor(Fraction(s) * r + Fraction(1, 2)),
        lambda s, r: math.ceil(s * r - 0.5),
        lambda s, r: np.array(s * r).round().astype(np.int32),
    ],
    "check_harmonic_tone": [_harmonics(lambda n: 1 / n), _tone_of_numpy, _tone_of_loops],
    "check_spectrogram_shape": [
        lambda samples, n, hop: (n // 2 + 1, 1 + samples // hop),
        lambda samples, n, hop: [n / 2 + 1, len(range(0, samples + 1, hop))],
        lambda samples, n, hop: np.array([n // 2 + 1, math.floor(samples / hop) + 1]),
        lambda samples, n, hop: (
            torch.stft(torch.zeros(samples), n, hop, window=torch.ones(n), return_complex=True).shape
        ),
    ],
    "check_bins_never_read": [
        lambda m: int((m == 0).all(dim=0).sum()),
        lambda m: (m.sum(0) == 0).sum(),
        lambda m: m.shape[1] - len(np.unique(m.numpy().nonzero()[1])),
        lambda m: sum(not any(row[i] for row in m.tolist()) for i in range(m.shape[1])),
    ],
    "check_binary_mask": [
        lambda s, x: s > 0.5 * x,
        lambda s, x: (2 * s > x).float(),
        lambda s, x: np.where(s.numpy() > x.numpy() / 2, 1, 0),
        lambda s, x: torch.where(s / x > 0.5, 1.0, 0.0),
        lambda s, x: (s > x - s).tolist(),
    ],
    "check_power_shares": [
        lambda s: s**2 / (s**2).sum(dim=0),
        lambda s: [one.square() / s.square().sum(0) for one in s],
        lambda s: s.numpy() ** 2 / np.sum(s.numpy() ** 2, axis=0, keepdims=True),
        lambda s: torch.softmax(2 * s.log(), 0),
    ],
    "check_best_real_mask": [
        lambda s, x: (s * x.conj()).real / x.abs() ** 2,
        lambda s, x: (s / x).real,
        lambda s, x: s.abs() / x.abs() * torch.cos(s.angle() - x.angle()),
        lambda s, x: (s.real * x.real + s.imag * x.imag) / (x * x.conj()),
        lambda s, x: np.real(s.numpy() / x.numpy()).tolist(),
    ],
    "check_si_sdr_by_hand": [
        _si_sdr(lambda a: a),
        _si_sdr(lambda a: a, lambda x: np.linalg.norm(x) + 1e-9, 20),
        _si_sdr(lambda a: a, lambda x: np.mean(x * x)),
        _si_sdr_of_torch,
    ],
    "check_honest_mean": [
        lambda scores: (float(np.nanmean(scores)), int(np.isnan(scores).sum())),
        _honest_loop,
        lambda scores: np.array([np.nanmean(scores), np.isnan(scores).sum()]),
        lambda scores: (torch.from_numpy(scores).nanmean(), torch.from_numpy(scores).isnan().sum()),
    ],
    "check_running_median": [
        lambda row, span: np.array([np.median(row[i : i + span]) for i in range(len(row) - span + 1)]),
        _windows(statistics.median),
        lambda row, span: np.median(np.lib.stride_tricks.sliding_window_view(row, span), axis=1),
        lambda row, span: torch.from_numpy(row).unfold(0, span, 1).quantile(0.5, dim=1),
        lambda row, span: (np.median(row[i : i + span]) for i in range(len(row) - span + 1)),
    ],
    "check_update_activations": [
        lambda v, w, h: h * (w.T @ v) / (w.T @ w @ h),
        lambda v, w, h: h.mul_(w.T @ v).div_(w.T @ (w @ h.div(w.T @ v)) + 1e-9),
        lambda v, w, h: (
            h.numpy() * np.dot(w.T.numpy(), v.numpy()) / np.linalg.multi_dot([w.T.numpy(), w.numpy(), h.numpy()])
        ),
    ],
    "check_mix_by_hand": [
        lambda waves, gains: (gains[:, None] * waves / len(waves)).sum(dim=0),
        lambda waves, gains: gains @ waves / len(gains),
        _mixed_in_place,
        lambda waves, gains: torch.einsum("n,nl->l", gains, waves).numpy() / waves.shape[0],
        lambda waves, gains: [sum(g * x for g, x in zip(gains, c, strict=True)) / len(gains) for c in waves.T],
    ],
    "check_same_class_mixtures": [
        lambda members, labels: sum(len(set(row)) < len(row) for row in labels[members].tolist()),
        _sorted_neighbours,
        lambda members, labels: np.int64(sum(np.unique(labels[row]).size < len(row) for row in members)),
        lambda members, labels: torch.tensor([max(map(list(r).count, r)) > 1 for r in labels[members].tolist()]).sum(),
    ],
    "check_trios": [_trios(["mixing.sources=3"]), _trios(["mixing.sources=3"], "laptop")],
    "check_dead_clips": [
        lambda x: [i for i, clip in enumerate(x) if clip.abs().max() == 0],
        lambda x: [i for i in range(len(x)) if not x[i].any()],
        lambda x: (x == 0).all(dim=1).nonzero().flatten(),
        lambda x: np.flatnonzero(np.abs(x.numpy()).sum(axis=1) == 0),
        lambda x: tuple(i for i, clip in enumerate(x.tolist()) if set(clip) == {0.0}),
        lambda x: {i for i, clip in enumerate(x) if (clip**2).sum() == 0},
    ],
    "check_sizes_down": [
        lambda rows, columns, steps: [(rows // 2**n, columns // 2**n) for n in range(1, steps + 1)],
        lambda rows, columns, steps: tuple([rows >> n, columns >> n] for n in range(1, steps + 1)),
        lambda rows, columns, steps: np.array([rows, columns]) / 2 ** np.arange(1, steps + 1)[:, None],
        lambda rows, columns, steps: ((rows / 2**n, columns / 2**n) for n in range(1, steps + 1)),
    ],
    "check_unet_parameters": [_parameters(), lambda channels, k: float(_parameters()(list(channels), k))],
    "check_receptive_field": [_field(), lambda layers: np.int64(_field()(layers))],
    "check_winning_place": [
        _place,
        _last_place,
        lambda cells: np.array(_place(cells)),
        lambda cells: list(map(torch.tensor, _place(cells))),
    ],
    "check_inner_product": [
        lambda v, s, scale, bias: torch.einsum("k,nk,kqt->nqt", scale, v, s) + bias,
        lambda v, s, scale, bias: torch.stack([((scale * one)[:, None, None] * s).sum(0) + bias for one in v]),
        lambda v, s, scale, bias: ((v * scale) @ s.flatten(1)).unflatten(1, s.shape[1:]) + bias,
        lambda v, s, scale, bias: np.tensordot((v * scale).numpy(), s.numpy(), 1) + float(bias),
    ],
    "check_swap_gap": [
        _gap(lambda references, estimates: sopedu.si_sdr(references, estimates.roll(1, dims=0)).mean()),
        _gap(lambda references, estimates: sopedu.si_sdr(references, estimates.roll(1, 0)).mean().item()),
        _gap(lambda r, e: np.mean([sopedu.si_sdr(r[i], e[i - 1]) for i in range(len(r))])),
        _gap(lambda references, estimates: sopedu.si_sdr(references.roll(-1, 0), estimates).mean()),
    ],
    "check_volume_map": [
        lambda m, x: (m.square() * x.square()).sum((2, 3)) / x.square().sum(),
        lambda m, x: torch.einsum("hwqt,qt->hw", m**2, x**2).numpy() / float((x**2).sum()),
        lambda m, x: [[float(((c * x) ** 2).sum() / (x**2).sum()) for c in row] for row in m],
        lambda m, x: torch.linalg.norm(m * x, dim=(2, 3)) ** 2 / torch.linalg.norm(x) ** 2,
    ],
    "check_hours_of_mixtures": [
        lambda steps, batch, seconds: steps * batch * seconds / 3600,
        lambda steps, batch, seconds: torch.tensor(steps * batch * seconds / 60 / 60),
    ],
    "check_rate_factor": [
        _rate,
        lambda step, steps, warmup: min((step + 1) / (warmup + 1), _rate(max(step, warmup), steps, warmup)),
        lambda step, steps, warmup: torch.tensor(_rate(step, steps, warmup)),
    ],
    "check_frame_rate": [
        lambda counts, seconds: np.median([c / s for c, s in zip(counts, seconds, strict=True) if s > 0]),
        lambda counts, seconds: statistics.median(c / s for c, s in zip(counts, seconds, strict=True) if s),
        lambda counts, seconds: float(
            np.nanmedian(np.array(counts) / np.where(np.array(seconds) > 0, np.array(seconds), np.nan))
        ),
    ],
    "check_diagnosis": [
        _questions("input", "learning rate", "pictures"),
        _questions("learning rate", "input", "pictures"),
    ],
    "check_point_mask": [
        _corner_mix,
        _of_torch_interpolation,
        lambda m, x, y: torch.einsum("rcqt,r,c->qt", m, torch.tensor([1 - y, y]), torch.tensor([1 - x, x])),
        lambda m, x, y: torch.lerp(*torch.lerp(m[0], m[1], y), x).numpy(),
    ],
    "check_energy_mean": [
        lambda m, x: torch.einsum("c,cqt->qt", (m * x).square().sum((1, 2)), m) / (m * x).square().sum(),
        _energy_loop,
        lambda m, x: np.average(m, axis=0, weights=((m * x) ** 2).sum((1, 2))),
        lambda m, x: ((m * x).square().sum((1, 2), keepdim=True) * m).sum(0) / ((m * x) ** 2).sum(),
    ],
    "check_cell_of_point": [
        _cell,
        lambda x, y, height, width: [min(math.floor(y * height), height - 1), min(math.floor(x * width), width - 1)],
        lambda x, y, height, width: np.clip(np.array([y * height, x * width]).astype(int), 0, [height - 1, width - 1]),
        lambda x, y, height, width: (torch.tensor(i) for i in _cell(x, y, height, width)),
    ],
    "check_noisy_or": [
        lambda m, w: 1 - (1 - w[:, None, None] * m).prod(0),
        lambda m, w: 1 - np.prod([1 - float(a) * b.numpy() for a, b in zip(w, m, strict=True)], axis=0),
        lambda m, w: 1 - torch.exp(torch.log1p(-w[:, None, None] * m).sum(0)),
    ],
    "check_share_in_db": [
        lambda heard, mixture: 10 * np.log10((heard**2).sum() / (mixture**2).sum()),
        lambda heard, mixture: 20 * np.log10(np.linalg.norm(heard) / np.linalg.norm(mixture)),
        lambda heard, mixture: 10 * math.log10(sum(x * x for x in heard) / sum(x * x for x in mixture)),
        lambda heard, mixture: 10 * torch.log10(torch.tensor(np.mean(heard**2) / np.mean(mixture**2))),
    ],
    "check_remix_in_db": [
        lambda waves, db: 10 ** (db / 20) @ waves,
        lambda waves, db: np.sum(10 ** (db[:, None] / 20) * waves, axis=0).tolist(),
        lambda waves, db: torch.from_numpy(10 ** (db / 20)) @ torch.from_numpy(waves),
        lambda waves, db: sum(w * 10 ** (d / 20) for w, d in zip(waves, db, strict=True)),
    ],
    "check_sound_of_box": [
        lambda s, c: np.einsum("hw,hwl->l", c, s) / c.sum(),
        lambda s, c: np.average(s.reshape(-1, s.shape[2]), axis=0, weights=c.ravel()),
        lambda s, c: (torch.from_numpy(c)[..., None] * torch.from_numpy(s)).sum((0, 1)) / c.sum(),
        lambda s, c: sum(c[p] * s[p] for p in np.ndindex(c.shape)) / sum(map(sum, c)),
    ],
    "check_overlap_by_hand": [
        _overlap(),
        lambda a, b: intersection_over_union(a, b)[0, 0],
        lambda a, b: torch.tensor(_overlap(lambda side: side if side > 0 else 0)(a, b), dtype=torch.float64),
    ],
    "check_keep_surest": [
        _keep,
        _keep_tensor,
        lambda *a: tuple(int(i) for i in _keep(*a)),
        lambda *a: np.array(_keep(*a)),
    ],
    "check_moving_box": [
        _around(lambda f: (f.max(axis=0) - f.min(axis=0)).max(axis=-1)),
        _around(lambda f: np.ptp(f.astype(int), axis=0).max(-1)),
        lambda f: list(_around(lambda f: np.abs(f[:, None].astype(int) - f[None]).max((0, 1, 4)))(f)),
        lambda f: torch.tensor(_around(lambda f: np.ptp(f, axis=0).max(axis=-1), above=20.5)(f)),
    ],
    "check_conv_flop": [_flop(), lambda *layer: float(_flop()(*layer)), lambda *layer: np.float64(_flop()(*layer))],
    "check_within_reach": [_reach, lambda *a: torch.tensor(_reach(*a), dtype=torch.float64)],
    "check_hours_to_plan": [
        lambda m, speed, batch, every, kills: (m + kills * every * batch) / speed / 3600,
        lambda m, speed, batch, every, kills: np.float64(m / speed + kills * batch * every / speed) / 60**2,
    ],
    "check_mean_and_spread": [
        lambda scores: (np.mean(scores), np.std(scores, ddof=1)),
        lambda scores: [torch.tensor(scores).mean(), torch.tensor(scores).std()],
        lambda scores: (statistics.mean(scores.tolist()), statistics.stdev(scores.tolist())),
    ],
}

WRONG: dict[str, dict[str, Any]] = {
    "check_shapes": {
        "one frame": SHAPES | {"frames": (64, 64, 3)},
        "channels first": SHAPES | {"frames": (2, 3, 64, 64)},
        "a number": SHAPES | {"mixture": 11025},
        "a row per performer": SHAPES | {"mixture": (3, 11025)},
        "turned": SHAPES | {"stems": (11025, 3)},
        "frames first": SHAPES | {"boxes": (2, 3, 4)},
        "one missing": {name: SHAPES[name] for name in ("frames", "mixture", "stems")},
        "one still open": SHAPES | {"boxes": ...},
        "a list": list(SHAPES.values()),
        "None": None,
    },
    "check_seconds_to_samples": {
        "cuts off": lambda s, r: int(s * r),
        "rounds up": lambda s, r: math.ceil(s * r),
        "not rounded": lambda s, r: s * r,
        "whole seconds": lambda s, r: round(s) * r,
        "divided": lambda s, r: s / r,
        "a list": lambda s, r: [round(s * r)],
        "text": lambda s, r: str(round(s * r)),
        "no return": _forgetful,
    },
    "check_harmonic_tone": {
        "equally loud": _harmonics(lambda n: 1),
        "four": _harmonics(lambda n: 1 / n, range(1, 5)),
        "six": _harmonics(lambda n: 1 / n, range(1, 7)),
        "odd ones": _harmonics(lambda n: 1 / n, range(1, 10, 2)),
        "squared": _harmonics(lambda n: 1 / n**2),
        "cosines": _harmonics(lambda n: 1 / n, wave=torch.cos),
        "last sample at the end": _tone_to_the_end,
        "mean": lambda *a: _tone_of_numpy(*a) / 5,
        "a row per harmonic": lambda f, s, r: [_harmonics(lambda n: 1 / n, [n])(f, s, r) for n in range(1, 6)],
    },
    "check_spectrogram_shape": {
        "one less": lambda samples, n, hop: (n // 2, samples // hop),
        "rounded up": lambda samples, n, hop: (n // 2 + 1, math.ceil(samples / hop)),
        "rounded": lambda samples, n, hop: (n // 2 + 1, round(samples / hop) + 1),
        "whole windows": lambda samples, n, hop: (n // 2 + 1, 1 + (samples - n) // hop),
        "turned": lambda samples, n, hop: (1 + samples // hop, n // 2 + 1),
        "all frequencies": lambda samples, n, hop: (n, 1 + samples // hop),
        "only one": lambda samples, n, hop: n // 2 + 1,
    },
    "check_bins_never_read": {
        "zeros": lambda m: int((m == 0).sum()),
        "rows": lambda m: int((m == 0).all(dim=1).sum()),
        "any": lambda m: int((m == 0).any(dim=0).sum()),
        "read": lambda m: int((m != 0).any(dim=0).sum()),
        "first row": lambda m: int((m[0] == 0).sum()),
        "which": lambda m: (m == 0).all(dim=0),
        "sizes": lambda m: max(0, m.shape[1] - m.shape[0]),
    },
    "check_binary_mask": {
        "half counts": lambda s, x: s >= 0.5 * x,
        "fixed threshold": lambda s, x: s > 0.5,
        "larger than all": lambda s, x: s > x,
        "half of the mean": lambda s, x: s > x.mean() / 2,
        "rounded share": lambda s, x: torch.round(s / x),
        "share": lambda s, x: s / x,
        "two of one": lambda s, x: 2 * (s > x / 2).float(),
        "count": lambda s, x: (s > x / 2).sum(),
    },
    "check_power_shares": {
        "of all": lambda s: s**2 / (s**2).sum(),
        "magnitude": lambda s: s / s.sum(0),
        "squared sum": lambda s: s**2 / s.sum(0) ** 2,
        "axis 1": lambda s: s**2 / (s**2).sum(1, keepdim=True),
        "axis 1, dropped": lambda s: s**2 / (s**2).sum(1),
        "root": lambda s: s.sqrt() / s.sqrt().sum(0),
        "softmax": lambda s: torch.softmax(s, 0),
        "shares squared": lambda s: (s / s.sum(0)) ** 2,
    },
    "check_best_real_mask": {
        "lengths": lambda s, x: s.abs() / x.abs(),
        "complex": lambda s, x: s / x,
        "no conjugate": lambda s, x: (s * x).real / x.abs() ** 2,
        "clamped": lambda s, x: (s / x).real.clamp(0, 1),
        "positive": lambda s, x: (s / x).real.abs(),
        "real parts": lambda s, x: s.real / (x.real + 1e-9),
        "not divided": lambda s, x: (s * x.conj()).real,
        "imaginary": lambda s, x: (s * x.conj()).imag / x.abs() ** 2,
    },
    "check_si_sdr_by_hand": {
        "not scaled": _si_sdr(lambda a: 1),
        "absolute scale": _si_sdr(abs),
        "rounded scale": _si_sdr(round),
        "factor 20": _si_sdr(lambda a: a, factor=20),
        "amplitudes": _si_sdr(lambda a: a, lambda x: np.abs(x).sum()),
        "variances": _si_sdr(lambda a: a, np.var),
        "without the mean": _si_sdr_without_mean,
        "turned": lambda reference, estimate: _si_sdr(lambda a: 1)(estimate, reference),
        "a ratio": lambda reference, estimate: 10 ** (_si_sdr(lambda a: a)(reference, estimate) / 10),
    },
    "check_honest_mean": {
        "NaN as zero": lambda scores: (np.nan_to_num(scores).mean(), int(np.isnan(scores).sum())),
        "nothing counted": lambda scores: (np.nanmean(scores), 0),
        "kept counted": lambda scores: (np.nanmean(scores), (~np.isnan(scores)).sum()),
        "failed ones left out": lambda scores: (scores[scores > -20].mean(), int(np.isnan(scores).sum())),
        "positive ones": lambda scores: (scores[scores >= 0].mean(), int((~(scores >= 0)).sum())),
        "median": lambda scores: (np.nanmedian(scores), int(np.isnan(scores).sum())),
        "turned": lambda scores: (int(np.isnan(scores).sum()), np.nanmean(scores)),
        "mean alone": np.nanmean,
        "mean of all": lambda scores: (float(np.mean(scores)), 0),
    },
    "check_running_median": {
        "upper of the middle two": _windows(lambda w: sorted(w)[len(w) // 2]),
        "lower of the middle two": lambda row, span: torch.from_numpy(row).unfold(0, span, 1).median(dim=1).values,
        "mean": _windows(np.mean),
        "one more": _windows(np.median, 1),
        "one less": _windows(np.median, -1),
        "same length": lambda row, span: [
            np.median(row[max(0, i - span // 2) : i + span // 2 + 1]) for i in range(len(row))
        ],
        "middle, not sorted": _windows(lambda w: w[len(w) // 2]),
        "one number": lambda row, span: np.median(row),
        "not overlapping": lambda row, span: [np.median(row[i : i + span]) for i in range(0, len(row), span)],
    },
    "check_update_activations": {
        "not divided": lambda v, w, h: h * (w.T @ v),
        "turned over": lambda v, w, h: h * (w.T @ w @ h) / (w.T @ v),
        "factor alone": lambda v, w, h: (w.T @ v) / (w.T @ w @ h),
        "of W": lambda v, w, h: w * (v @ h.T) / (w @ h @ h.T),
        "Kullback-Leibler": lambda v, w, h: h * (w.T @ (v / (w @ h))) / w.sum(0)[:, None],
        "added": lambda v, w, h: h + (w.T @ v) - (w.T @ w @ h),
        "unchanged": lambda v, w, h: h,
        "root": lambda v, w, h: h * ((w.T @ v) / (w.T @ w @ h)).sqrt(),
    },
    "check_mix_by_hand": {
        "by the sum of gains": lambda waves, gains: gains @ waves / gains.sum(),
        "by two": lambda waves, gains: gains @ waves / 2,
        "sum": lambda waves, gains: gains @ waves,
        "no gains": lambda waves, gains: waves.mean(0),
        "mean gain": lambda waves, gains: gains.mean() * waves.mean(0),
        "gains along time": lambda waves, gains: (gains * waves).mean(0),
        "each source": lambda waves, gains: gains[:, None] * waves / len(waves),
        "by the loudest": lambda waves, gains: gains @ waves / (gains @ waves).abs().max(),
        "by samples": lambda waves, gains: gains @ waves / waves.shape[1],
    },
    "check_same_class_mixtures": {
        "duplicates": lambda members, labels: sum(len(r) - len(set(r)) for r in labels[members].tolist()),
        "pairs": lambda members, labels: sum((r[:, None] == r).sum() // 2 - len(r) // 2 for r in labels[members]),
        "first two": lambda members, labels: sum(r[0] == r[1] for r in labels[members].tolist()),
        "neighbours": lambda members, labels: int((labels[members][:, 1:] == labels[members][:, :-1]).any(1).sum()),
        "the same solo": lambda members, labels: sum(len(set(row)) < len(row) for row in members.tolist()),
        "all alike": lambda members, labels: sum(len(set(row)) == 1 for row in labels[members].tolist()),
        "different ones": lambda members, labels: sum(len(set(row)) == len(row) for row in labels[members].tolist()),
        "any": lambda members, labels: any(len(set(row)) < len(row) for row in labels[members].tolist()),
        "in the batch": lambda members, labels: len(labels) - len(set(labels.tolist())),
        "three at most": lambda members, labels: sum(r[0] in r[1:] or r[1] in r[2:3] for r in labels[members].tolist()),
    },
    "check_trios": {
        "pairs": _trios([]),
        "quartets": _trios(["mixing.sources=4"]),
        "preset paper": _trios(["mixing.sources=3"], "paper"),
        "silence": _trios(["mixing.sources=3"], change=lambda x, labels, chance: (0 * x, labels, chance)),
        "own generator": _trios(["mixing.sources=3"], change=lambda x, y, _: (x, y, np.random.default_rng(0))),
        "no labels": _trios(["mixing.sources=3"], change=lambda x, y, chance: (x, np.arange(len(y)), chance)),
        "louder": _trios(["mixing.sources=3", "mixing.gain_high=3"]),
        "the sound alone": lambda *batch: _trios(["mixing.sources=3"])(*batch).mixture,
        "no return": _forgetful,
    },
    "check_dead_clips": {
        "sum": lambda x: [i for i, clip in enumerate(x) if clip.sum() == 0],
        "largest": lambda x: [i for i, clip in enumerate(x) if clip.max() == 0],
        "smallest": lambda x: [i for i, clip in enumerate(x) if clip.min() == 0],
        "no spread": lambda x: [i for i, clip in enumerate(x) if clip.std() == 0],
        "soft": lambda x: [i for i, clip in enumerate(x) if clip.abs().max() < 1e-3],
        "very soft": lambda x: [i for i, clip in enumerate(x) if clip.square().sum() < 1e-8],
        "first sample": lambda x: [i for i, clip in enumerate(x) if clip[0] == 0],
        "any sample": lambda x: [i for i, clip in enumerate(x) if (clip == 0).any()],
        "how many": lambda x: int((x == 0).all(1).sum()),
        "truth values": lambda x: (x == 0).all(1),
        "the living": lambda x: [i for i, clip in enumerate(x) if clip.any()],
        "from 1": lambda x: [i + 1 for i, clip in enumerate(x) if not clip.any()],
    },
    "check_sizes_down": {
        "begins too early": lambda rows, columns, steps: [(rows // 2**n, columns // 2**n) for n in range(steps)],
        "one more": lambda rows, columns, steps: [(rows // 2**n, columns // 2**n) for n in range(steps + 1)],
        "divided by n": lambda rows, columns, steps: [
            (rows // (2 * n), columns // (2 * n)) for n in range(1, steps + 1)
        ],
        "once": lambda rows, columns, steps: [(rows // 2, columns // 2)] * steps,
        "last": lambda rows, columns, steps: (rows // 2**steps, columns // 2**steps),
        "turned": lambda rows, columns, steps: [(columns // 2**n, rows // 2**n) for n in range(1, steps + 1)],
        "rows alone": lambda rows, columns, steps: [rows // 2**n for n in range(1, steps + 1)],
        "upwards": lambda rows, columns, steps: [(rows // 2**n, columns // 2**n) for n in range(steps, 0, -1)],
    },
    "check_unet_parameters": {
        "no skip connections": _parameters(doubled=False),
        "no normalisation": _parameters(norms=False),
        "no bias": _parameters(bias=False),
        "downwards alone": lambda channels, k: sum(16 * a * b for a, b in zip((1, *channels), channels, strict=False)),
    },
    "check_receptive_field": {
        "step first": _field("step"),
        "no strides": _field(""),
        "from 0": _field(start=0),
        "no dilation": _field(dilate=False),
        "kernels multiplied": lambda layers: math.prod(k for k, _, _ in layers),
        "added strides": lambda layers: 1 + sum((k - 1) * d * s for k, s, d in layers),
    },
    "check_winning_place": {
        "turned": lambda cells: _place(cells)[::-1],
        "corner": lambda cells: _place(cells, 0),
        "far corner": lambda cells: _place(cells, 1),
        "sides mixed up": lambda cells: _place(cells.T.reshape(cells.shape)),
        "largest amount": lambda cells: _place(cells.abs()),
        "square": lambda c: (
            (int(c.argmax()) % c.shape[0] + 0.5) / c.shape[0],
            (int(c.argmax()) // c.shape[0] + 0.5) / c.shape[0],
        ),
        "cells": lambda cells: divmod(int(cells.argmax()), cells.shape[1]),
        "one number": lambda cells: cells.argmax(),
    },
    "check_inner_product": {
        "no scale": lambda v, s, scale, bias: torch.einsum("nk,kqt->nqt", v, s) + bias,
        "no bias": lambda v, s, scale, bias: torch.einsum("k,nk,kqt->nqt", scale, v, s),
        "a bias each": lambda v, s, scale, bias: torch.einsum("nk,kqt->nqt", scale * v, s) + len(s) * bias,
        "mean": lambda v, s, scale, bias: torch.einsum("nk,kqt->nqt", scale * v, s) / len(s) + bias,
        "sigmoid": lambda v, s, scale, bias: torch.sigmoid(torch.einsum("nk,kqt->nqt", scale * v, s) + bias),
        "scale squared": lambda v, s, scale, bias: torch.einsum("k,nk,kqt->nqt", scale**2, v, s) + bias,
        "bias scaled": lambda v, s, scale, bias: torch.einsum("nk,kqt->nqt", scale * v, s + bias),
        "K kept": lambda v, s, scale, bias: torch.einsum("k,nk,kqt->nkqt", scale, v, s) + bias,
        "axes turned": lambda v, s, scale, bias: torch.einsum("k,nk,kqt->ntq", scale, v, s) + bias,
    },
    "check_swap_gap": {
        "not moved": lambda r, e: sopedu.si_sdr(r, e).mean(),
        "turned": lambda r, e: -_gap(lambda r, e: sopedu.si_sdr(r, e.roll(1, 0)).mean())(r, e),
        "the other way": _gap(lambda r, e: sopedu.si_sdr(r, e.roll(-1, 0)).mean()),
        "along time": _gap(lambda r, e: sopedu.si_sdr(r, e.roll(1, 1)).mean()),
        "flat": _gap(lambda r, e: sopedu.si_sdr(r, e.roll(1)).mean()),
        "reversed": _gap(lambda r, e: sopedu.si_sdr(r, e.flip(0)).mean()),
        "a gap each": lambda r, e: sopedu.si_sdr(r, e) - sopedu.si_sdr(r, e.roll(1, 0)),
        "sum": lambda r, e: (sopedu.si_sdr(r, e) - sopedu.si_sdr(r, e.roll(1, 0))).sum(),
        "median": lambda r, e: np.median(sopedu.si_sdr(r, e)) - np.median(sopedu.si_sdr(r, e.roll(1, 0))),
        "absolute": lambda r, e: (abs(sopedu.si_sdr(r, e)) - abs(sopedu.si_sdr(r, e.roll(1, 0)))).mean(),
    },
    "check_volume_map": {
        "mean mask": lambda m, x: m.mean((2, 3)),
        "amplitudes": lambda m, x: (m * x).sum((2, 3)) / x.sum(),
        "mask not squared": lambda m, x: (m * x.square()).sum((2, 3)) / x.square().sum(),
        "not divided": lambda m, x: (m * x).square().sum((2, 3)),
        "first axes": lambda m, x: (m * x).square().sum((0, 1)) / x.square().sum(),
        "middle axes": lambda m, x: (m * x).square().sum((1, 2)) / x.square().sum(),
        "shares of cells": lambda m, x: (m * x).square().sum((2, 3)) / (m * x).square().sum(),
        "sum squared": lambda m, x: (m * x).sum((2, 3)) ** 2 / x.sum() ** 2,
        "one number": lambda m, x: (m * x).square().sum() / x.square().sum(),
    },
    "check_hours_of_mixtures": {
        "one per step": lambda steps, batch, seconds: steps * seconds / 3600,
        "seconds": lambda steps, batch, seconds: steps * batch * seconds,
        "minutes": lambda steps, batch, seconds: steps * batch * seconds / 60,
        "half": lambda steps, batch, seconds: steps * batch / 2 * seconds / 3600,
        "whole hours": lambda steps, batch, seconds: steps * batch * seconds // 3600,
    },
    "check_frame_rate": {
        "mean": lambda counts, seconds: np.mean([c / s for c, s in zip(counts, seconds, strict=True) if s > 0]),
        "of the sums": lambda counts, seconds: sum(counts) / sum(seconds),
        "silent clips count as 0": lambda counts, seconds: np.median(
            [c / s if s else 0.0 for c, s in zip(counts, seconds, strict=True)]
        ),
        "first clip": lambda counts, seconds: counts[0] / max(seconds[0], 1e-9),
        "rounded": lambda counts, seconds: round(
            np.median([c / s for c, s in zip(counts, seconds, strict=True) if s > 0])
        ),
        "upper of two": lambda counts, seconds: sorted(c / s for c, s in zip(counts, seconds, strict=True) if s > 0)[
            sum(s > 0 for s in seconds) // 2
        ],
        "upside down": lambda counts, seconds: np.median(
            [s / c for c, s in zip(counts, seconds, strict=True) if s > 0]
        ),
    },
    "check_rate_factor": {
        "no warm-up": lambda step, steps, warmup: 0.5 * (1 + math.cos(math.pi * step / steps)),
        "from 0": lambda step, steps, warmup: step / warmup if step < warmup else _rate(step, steps, warmup),
        "one too fast": lambda step, steps, warmup: (
            (step + 1) / warmup if step < warmup else _rate(step, steps, warmup)
        ),
        "share of all": lambda step, steps, warmup: (
            _rate(step, steps, warmup) if step < warmup else 0.5 * (1 + math.cos(math.pi * step / steps))
        ),
        "whole cosine": lambda step, steps, warmup: (
            _rate(step, steps, warmup)
            if step < warmup
            else 0.5 * (1 + math.cos(2 * math.pi * (step - warmup) / (steps - warmup)))
        ),
        "line down": lambda step, steps, warmup: (
            _rate(step, steps, warmup) if step < warmup else (steps - step) / (steps - warmup)
        ),
        "upside down": lambda step, steps, warmup: 1 - _rate(step, steps, warmup),
        "over steps": lambda step, steps, warmup: (
            _rate(step, steps, warmup) if step < warmup else 0.5 * (1 + math.cos(math.pi * (step - warmup) / steps))
        ),
    },
    "check_diagnosis": {
        "pictures first": _questions("pictures", "input", "learning rate"),
        "healthy first": _questions("healthy", "input", "learning rate", "pictures"),
        "healthy second": _questions("input", "healthy", "learning rate", "pictures"),
        "healthy before pictures": _questions("learning rate", "pictures", "input"),
        "no pictures": _questions("input", "learning rate"),
        "no weights": _questions("input", "pictures"),
        "capital": lambda *a: _questions("input", "learning rate", "pictures")(*a).title(),
        "silence": lambda loudest, w, gap: _questions("input", "learning rate", "pictures")(loudest or 1, w, gap),
        "the border counts": lambda loudest, w, gap: (
            "input" if loudest <= 0.001 else _questions("learning rate", "pictures")(loudest, w, gap)
        ),
        "doubled": lambda loudest, w, gap: _questions("input", "learning rate", "pictures")(loudest, w + 1e-9, gap),
        "amount of the gap": lambda loudest, w, gap: _questions("input", "learning rate", "pictures")(
            loudest, w, abs(gap)
        ),
    },
    "check_point_mask": {
        "nearest": lambda corners, across, down: corners[round(down), round(across)],
        "mean": lambda corners, across, down: corners.mean((0, 1)),
        "turned": lambda corners, across, down: _corner_mix(corners, down, across),
        "axes mixed up": lambda corners, across, down: _corner_mix(corners.transpose(0, 1), across, down),
        "from the right": lambda corners, across, down: _corner_mix(corners, 1 - across, down),
        "from below": lambda corners, across, down: _corner_mix(corners, across, 1 - down),
        "one row": lambda corners, across, down: (1 - across) * corners[0, 0] + across * corners[0, 1],
        "both rows": lambda corners, across, down: (1 - across) * corners[:, 0] + across * corners[:, 1],
        "not weighted": lambda corners, across, down: _corner_mix(corners, across, 0.5),
    },
    "check_energy_mean": {
        "plain": lambda m, x: m.mean(0),
        "amplitudes": lambda m, x: np.average(m, axis=0, weights=(m * x).sum((1, 2))),
        "mask alone": lambda m, x: np.average(m, axis=0, weights=(m**2).sum((1, 2))),
        "mask not squared": lambda m, x: np.average(m, axis=0, weights=(m * x**2).sum((1, 2))),
        "per bin": lambda m, x: ((m * x) ** 2 * m).sum(0) / ((m * x) ** 2).sum(0),
        "not divided": lambda m, x: torch.einsum("c,cqt->qt", (m * x).square().sum((1, 2)), m),
        "by the cells": lambda m, x: torch.einsum("c,cqt->qt", (m * x).square().sum((1, 2)), m) / len(m),
        "the loudest": lambda m, x: m[(m * x).square().sum((1, 2)).argmax()],
    },
    "check_cell_of_point": {
        "turned": lambda x, y, h, w: _cell(y, x, w, h)[::1],
        "x first": lambda x, y, h, w: _cell(x, y, h, w)[::-1],
        "past the border": lambda x, y, h, w: (int(y * h), int(x * w)),
        "rounded": lambda x, y, h, w: (min(round(y * h), h - 1), min(round(x * w), w - 1)),
        "one less": lambda x, y, h, w: (int(y * (h - 1)), int(x * (w - 1))),
        "from below": lambda x, y, h, w: _cell(x, 1 - y, h, w),
        "not whole": lambda x, y, h, w: (y * h, x * w),
        "rows alone held": lambda x, y, h, w: (min(int(y * h), h - 1), int(x * w)),
        "held by the wrong side": lambda x, y, h, w: (min(int(y * h), w - 1), min(int(x * w), h - 1)),
    },
    "check_noisy_or": {
        "largest": lambda m, w: (w[:, None, None] * m).amax(0),
        "clipped sum": lambda m, w: (w[:, None, None] * m).sum(0).clamp(0, 1),
        "mean": lambda m, w: (w[:, None, None] * m).mean(0),
        "as powers": lambda m, w: 1 - ((1 - m) ** w[:, None, None]).prod(0),
        "none": lambda m, w: (1 - w[:, None, None] * m).prod(0),
        "all": lambda m, w: (w[:, None, None] * m).prod(0),
        "no weights": lambda m, w: 1 - (1 - m).prod(0),
        "weights outside": lambda m, w: w.mean() * (1 - (1 - m).prod(0)),
        "switched": lambda m, w: 1 - (1 - m[w > 0.5]).prod(0),
    },
    "check_share_in_db": {
        "factor 20": lambda heard, mixture: 20 * np.log10((heard**2).sum() / (mixture**2).sum()),
        "mean amplitude": lambda heard, mixture: 20 * np.log10(np.abs(heard).mean() / np.abs(mixture).mean()),
        "peak": lambda heard, mixture: 20 * np.log10(np.abs(heard).max() / np.abs(mixture).max()),
        "variance": lambda heard, mixture: 10 * np.log10(heard.var() / mixture.var()),
        "spread": lambda heard, mixture: 20 * np.log10(heard.std() / mixture.std()),
        "projection": lambda h, x: 20 * np.log10(abs((h * x).sum()) / (x * x).sum()),
        "factor 10 of amplitudes": lambda h, x: 10 * np.log10(np.linalg.norm(h) / np.linalg.norm(x)),
        "natural": lambda heard, mixture: 10 * np.log((heard**2).sum() / (mixture**2).sum()),
        "turned": lambda heard, mixture: 10 * np.log10((mixture**2).sum() / (heard**2).sum()),
        "no logarithm": lambda heard, mixture: (heard**2).sum() / (mixture**2).sum(),
        "the rest": lambda h, x: 10 * np.log10((h**2).sum() / (((x - h) ** 2).sum() + 1e-9)),
        "first sample": lambda heard, mixture: 20 * np.log10(abs(heard[0] / mixture[0])),
    },
    "check_remix_in_db": {
        "factors": lambda waves, db: db @ waves,
        "energies": lambda waves, db: 10 ** (db / 10) @ waves,
        "natural": lambda waves, db: np.exp(db / 20) @ waves,
        "doubled per 6": lambda waves, db: 2 ** (db / 6) @ waves,
        "mean": lambda waves, db: 10 ** (db / 20) @ waves / len(db),
        "not mixed": lambda waves, db: 10 ** (db[:, None] / 20) * waves,
        "softer": lambda waves, db: 10 ** (-db / 20) @ waves,
        "all alike": lambda waves, db: 10 ** (db.mean() / 20) * waves.sum(0),
    },
    "check_sound_of_box": {
        "all alike": lambda s, c: s[c > 0].mean(0),
        "sum": lambda s, c: np.einsum("hw,hwl->l", c, s),
        "by the cells": lambda s, c: np.einsum("hw,hwl->l", c, s) / c.size,
        "by the cells touched": lambda s, c: np.einsum("hw,hwl->l", c, s) / (c > 0).sum(),
        "mean": lambda s, c: s.mean((0, 1)),
        "squared": lambda s, c: np.einsum("hw,hwl->l", c**2, s) / (c**2).sum(),
        "more than half": lambda s, c: s[c > 0.5].mean(0),
        "turned": lambda s, c: np.einsum("wh,hwl->l", c.reshape(c.shape[::-1]), s) / c.sum(),
        "rows left": lambda s, c: np.einsum("hw,hwl->hl", c, s) / c.sum(),
        "along time": lambda s, c: (c * s).sum((0, 1)) / c.sum() if s.shape[1:] == c.shape else s.mean((0, 1)),
    },
    "check_overlap_by_hand": {
        "negative sides": _overlap(lambda side: side),
        "absolute sides": _overlap(abs),
        "only one side held": lambda a, b: _overlap(lambda side: side)(a, b) if a[0] < b[2] else 0,
        "over the first": _overlap(over=lambda a, b, shared: a),
        "over the smaller": _overlap(over=lambda a, b, shared: min(a, b)),
        "over the larger": _overlap(over=max),
        "over both": _overlap(over=lambda a, b, shared: a + b),
        "the shared area": _overlap(over=lambda a, b, shared: 1),
        "held at 0": lambda a, b: max(0, _overlap(lambda side: side)(a, b)),
    },
    "check_keep_surest": {
        "suppressed ones suppress": _keep_suppressed,
        "as they come": lambda boxes, scores, overlap: sorted(_keep(boxes, scores, overlap)),
        "the least sure first": lambda boxes, scores, overlap: _keep(boxes, scores, overlap, 1),
        "not sorted": lambda boxes, scores, overlap: _keep(boxes, np.zeros(len(scores)), overlap),
        "all": lambda boxes, scores, overlap: np.argsort(-scores),
        "the surest": lambda boxes, scores, overlap: [np.argmax(scores)],
        "scores": lambda boxes, scores, overlap: scores[_keep(boxes, scores, overlap)],
        "always a half": lambda boxes, scores, overlap: _keep(boxes, scores, 0.5),
        "boxes": lambda boxes, scores, overlap: boxes[_keep(boxes, scores, overlap)],
        "against the last": _keep_after_the_last,
    },
    "check_moving_box": {
        "wraps": _around(lambda f: np.diff(f, axis=0).max((0, 3))),
        "wraps down": _around(lambda f: np.abs(f[1:] - f[:-1]).max((0, 3))),
        "neighbours": _around(lambda f: np.abs(np.diff(f.astype(int), axis=0)).max((0, 3))),
        "only brighter": _around(lambda f: np.diff(f.astype(int), axis=0).max((0, 3))),
        "against the first": _around(lambda f: np.abs(f.astype(int) - f[0]).max((0, 3))),
        "first and last": _around(lambda f: np.abs(f[-1].astype(int) - f[0]).max(-1)),
        "grey": _around(lambda f: np.ptp(f.mean(-1), axis=0)),
        "mean of channels": _around(lambda f: np.ptp(f.astype(int), axis=0).mean(-1)),
        "sum of channels": _around(lambda f: np.ptp(f.astype(int), axis=0).sum(-1)),
        "first channel": _around(lambda f: np.ptp(f[..., 0].astype(int), axis=0)),
        "20 counts": _around(lambda f: np.ptp(f, axis=0).max(-1), above=19.5),
        "30": _around(lambda f: np.ptp(f, axis=0).max(-1), above=30),
        "on the last pixel": _around(lambda f: np.ptp(f, axis=0).max(-1), end=0),
        "spread": _around(lambda f: f.std(axis=0).max(-1)),
        "turned": lambda f: [_around(lambda f: np.ptp(f, axis=0).max(-1))(f)[i] for i in (1, 0, 3, 2)],
        "in pixels": lambda f: [x * f.shape[2] for x in _around(lambda f: np.ptp(f, axis=0).max(-1))(f)],
    },
    "check_conv_flop": {
        "forward": _flop(passes=1),
        "two passes": _flop(passes=2),
        "products": _flop(operations=1),
        "one side of the kernel": _flop(kernel_power=1),
        "one map": lambda b, c, d, k, h, w: 6 * c * d * k**2 * h * w,
        "outputs alone": lambda b, c, d, k, h, w: 6 * b * d * k**2 * h * w,
    },
    "check_within_reach": {
        "rate": lambda layer, rate, bandwidth: rate,
        "no roof": lambda *a: _reach(*a, limit=lambda rate, memory: memory),
        "larger": lambda *a: _reach(*a, limit=max),
        "float32": lambda *a: _reach(*a, size=4),
        "one byte": lambda *a: _reach(*a, size=1),
        "no weights": lambda *a: _reach(*a, weights=0),
    },
    "check_hours_to_plan": {
        "steps": lambda m, speed, batch, every, kills: (m + kills * every) / speed / 3600,
        "no kills": lambda m, speed, batch, every, kills: m / speed / 3600,
        "seconds": lambda m, speed, batch, every, kills: (m + kills * every * batch) / speed,
        "one kill": lambda m, speed, batch, every, kills: (m + (kills > 0) * every * batch) / speed / 3600,
        "half on average": lambda m, speed, batch, every, kills: (m + kills * every * batch / 2) / speed / 3600,
        "less": lambda m, speed, batch, every, kills: (m - kills * every * batch) / speed / 3600,
        "seconds per mixture": lambda m, speed, batch, every, kills: (m + kills * every * batch) * speed / 3600,
    },
    "check_mean_and_spread": {
        "over n": lambda scores: (scores.mean(), scores.std()),
        "variance": lambda scores: (scores.mean(), scores.var(ddof=1)),
        "of the mean": lambda scores: (scores.mean(), scores.std(ddof=1) / len(scores) ** 0.5),
        "median": lambda scores: (np.median(scores), scores.std(ddof=1)),
        "range": lambda scores: (scores.mean(), scores.max() - scores.min()),
        "mean deviation": lambda scores: (scores.mean(), abs(scores - scores.mean()).mean()),
        "turned": lambda scores: (scores.std(ddof=1), scores.mean()),
        "mean alone": lambda scores: scores.mean(),
    },
}
