"""Training and judging the toy band's detector (``sopedu toyband detector``; notebook 12_objects_and_their_sounds)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss
from tqdm.auto import tqdm

from sopedu.errors import whole_number
from sopedu.localization.places import intersection_over_union
from sopedu.model.sound_of_pixels import normalise_frames
from sopedu.objects.detection import Detections, make_detections
from sopedu.objects.toyband_detector import ToyBandDetector, ToyBandNet, boxes_of_cells
from sopedu.toyband.melody import INSTRUMENTS
from sopedu.toyband.scenes import scene
from sopedu.toyband.splits import generator_for

# Height and width of the scenes: square, landscape and portrait.
_SIZES = ((128, 128), (128, 176), (128, 224), (176, 128))
_TIMES = (0.15, 0.75)
_MOST = 3  # performers in a scene
_NEAR = 0.3  # cells where the peak of a player's map is still so high answer for the box


def detector_scene(
    number: int, split: str, performers: int | None = None, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, list[Detections]]:
    """A scene with up to three players of any instruments, each playing or not, and where they are.

    Returns:
        pictures ``(2, H, W, 3)`` uint8 at two times, and the truth of each as detections of score 1.
    """
    generator = generator_for("detector scene", split, number)
    count = int(generator.choice(_MOST + 1, p=(0.15, 0.25, 0.3, 0.3))) if performers is None else performers
    names = [INSTRUMENTS[i] for i in generator.integers(len(INSTRUMENTS), size=count)]
    playing = np.flatnonzero(generator.random(count) < 0.7).tolist()
    # One second of sound, which nobody hears: it decides how the players move.
    rendered = scene(
        names, number, split, playing=playing, samples=11025, size=size or _SIZES[number % len(_SIZES)], times=_TIMES
    )
    boxes = rendered.boxes.clip(0, 1)
    return rendered.frames, [make_detections(boxes[:, time], names, np.ones(count)) for time in range(len(_TIMES))]


def train_toyband_detector(
    scenes: int = 4000, steps: int = 2000, batch_size: int = 32, seed: int = 0, progress: bool = True
) -> ToyBandDetector:
    """Render scenes of the training split and teach the small detector to find the players.

    Args:
        scenes: how many, two pictures each; a picture takes about 70 kB of memory.
        steps: batches of pictures of one size, mirrored, tinted and blurred at random.
        seed: decides scenes, weights and batches; two runs with one seed agree on one machine and thread count.
        progress: show bars with the time left.
    """
    scenes, steps = whole_number(scenes, "scenes", 4), whole_number(steps, "steps", 1)
    batch_size, seed = whole_number(batch_size, "batch_size", 2), whole_number(seed, "seed", 0)
    sets = _rendered(scenes, seed, progress)
    torch.manual_seed(seed)
    net = ToyBandNet().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=max(0.1, 2 / steps))
    generator = torch.Generator().manual_seed(seed)
    bar = tqdm(range(steps), desc="training", unit="step", disable=not progress)
    for step in bar:
        pictures, boxes, labels = sets[step % len(sets)]
        chosen = torch.randint(len(pictures), (batch_size,), generator=generator)
        seen, sides = _varied(pictures[chosen], boxes[chosen], generator)
        loss = detection_loss(*net(seen.contiguous(memory_format=torch.channels_last)), sides, labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.2f}")
    return ToyBandDetector(net.eval())


def _rendered(scenes: int, seed: int, progress: bool) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For every size: pictures (n, 3, H, W) uint8, boxes (n, 3, 4), labels (n, 3), −1 where there is nobody."""
    groups: list[tuple[list, list, list]] = [([], [], []) for _ in _SIZES]
    for number in tqdm(range(scenes), desc="rendering", unit="scene", disable=not progress):
        pictures, boxes, labels = groups[number % len(_SIZES)]
        shown, truth = detector_scene(seed * 1_000_000 + number, "train", size=_SIZES[number % len(_SIZES)])
        for picture, one in zip(shown, truth, strict=True):
            nobody = _MOST - len(one)
            pictures.append(torch.from_numpy(picture).permute(2, 0, 1))
            boxes.append(torch.from_numpy(np.pad(one.boxes, ((0, nobody), (0, 0)))).float())
            labels.append(torch.tensor([INSTRUMENTS.index(label) for label in one.labels] + [-1] * nobody))
    return [tuple(torch.stack(values) for values in group) for group in groups if group[0]]


def _varied(
    pictures: torch.Tensor, boxes: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirrored, tinted, and half of the batches drawn from fewer pixels, as a small or compressed video is."""
    count, _, height, width = pictures.shape
    seen = pictures.float()
    if torch.rand((), generator=generator) < 0.5:
        share = 0.4 + 0.6 * float(torch.rand((), generator=generator))
        fewer = [round(height * share), round(width * share)]
        seen = F.interpolate(seen, fewer, mode="bilinear", antialias=True)
        seen = F.interpolate(seen, [height, width], mode="bilinear")
    seen = normalise_frames(seen) * (0.8 + 0.4 * torch.rand(count, 3, 1, 1, generator=generator))
    mirrored = torch.rand(count, generator=generator) < 0.5
    flipped = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], -1)
    return (
        torch.where(mirrored[:, None, None, None], seen.flip(-1), seen),
        torch.where(mirrored[:, None, None], flipped, boxes),
    )


def targets(
    boxes: torch.Tensor, labels: torch.Tensor, classes: int, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the net shall answer: maps ``(B, classes, h, w)``, boxes of cells ``(B, h, w, 4)``, weights ``(B, h, w)``.

    Args:
        boxes: ``(B, N, 4)`` in fractions; labels: ``(B, N)``, −1 where there is nobody.

    A player's map is a bell as wide as a tenth of the box, 1 in the cell in which its middle lies.
    """
    scale = torch.tensor([width, height])
    spread = ((boxes[..., 2:] - boxes[..., :2]) * scale * 0.1).clamp_min(0.5)[..., None]
    middle = ((boxes[..., :2] + boxes[..., 2:]) / 2 * scale).floor()
    middle = torch.minimum(middle, scale - 1)[..., None]
    across = torch.exp(-0.5 * ((torch.arange(width) - middle[:, :, 0]) / spread[:, :, 0]).square())
    down = torch.exp(-0.5 * ((torch.arange(height) - middle[:, :, 1]) / spread[:, :, 1]).square())
    bells = down[..., :, None] * across[..., None, :] * (labels >= 0)[..., None, None]
    maps = torch.zeros(len(boxes), classes, height, width)
    maps.scatter_reduce_(1, labels.clamp_min(0)[..., None, None].expand_as(bells), bells, "amax")
    nearest, who = bells.max(1)
    meant = boxes[torch.arange(len(boxes))[:, None, None], who]
    return maps, meant, torch.where(nearest > _NEAR, nearest, 0)


def detection_loss(
    logits: torch.Tensor, distances: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """CenterNet's penalty-reduced focal loss of the maps, and generalised IoU of the boxes, twice as heavy.

    Args:
        logits: ``(B, classes, h, w)``; distances: ``(B, 4, h, w)``.
        boxes: ``(B, N, 4)``; labels: ``(B, N)``, −1 where there is nobody.
    """
    classes, height, width = logits.shape[1:]
    maps, meant, weights = targets(boxes, labels, classes, height, width)
    likely, middle = torch.sigmoid(logits), (maps == 1).float()
    hit = -F.logsigmoid(logits) * (1 - likely).square() * middle
    miss = -F.logsigmoid(-logits) * likely.square() * (1 - maps) ** 4 * (1 - middle)
    apart = generalized_box_iou_loss(boxes_of_cells(distances), meant) * weights
    return (hit + miss).sum() / middle.sum().clamp_min(1) + 2 * apart.sum() / weights.sum().clamp_min(1)


def mean_average_precision(
    answers: Sequence[Detections], truth: Sequence[Detections], overlap: float = 0.5
) -> tuple[float, dict[str, float]]:
    """Mean over labels of the area under the curve of precision over recall (PASCAL VOC, all points).

    A detection is right if it overlaps a thing of its label, not yet found by a surer one, by at least ``overlap``.

    Args:
        answers, truth: one a picture.

    Returns:
        the mean over the labels that the truth holds, and the figure of each.
    """
    figures = {}
    for label in sorted({label for one in truth for label in one.labels}):
        there = [np.flatnonzero([name == label for name in one.labels]) for one in truth]
        claims = sorted(
            ((one.scores[i], picture, i) for picture, one in enumerate(answers) for i in range(len(one))
             if one.labels[i] == label), key=lambda claim: -claim[0],
        )  # fmt: skip
        taken: set[tuple[int, int]] = set()
        right = np.zeros(len(claims))
        for place, (_, picture, i) in enumerate(claims):
            known = there[picture]
            shared = intersection_over_union(answers[picture].boxes[i], truth[picture].boxes[known])[0]
            if len(known) and shared.max() >= overlap and (picture, int(shared.argmax())) not in taken:
                taken.add((picture, int(shared.argmax())))
                right[place] = 1
        hits = right.cumsum()
        precision = hits / np.arange(1, len(claims) + 1)
        best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
        figures[label] = float((best_from_here * right).sum() / sum(map(len, there)))
    return float(np.mean(list(figures.values()))) if figures else float("nan"), figures


def judge_toyband_detector(detector: ToyBandDetector, scenes: int = 200, seed: int = 0) -> dict[str, Any]:
    """Judge a detector on held-out scenes of one, two and three players in turn, two pictures each.

    Returns:
        ``map_50`` and ``average_precision`` of every instrument (all scores above 0.02 count), and at the detector's
        own ``least_score``: ``found`` (share of players with a box of IoU ≥ 0.5 of any label), ``named`` (share of
        those whose surest such box bears the right name), ``false_alarms`` a picture, ``confusions``; ``protocol``.
    """
    pictures, truth = [], []
    for number in range(scenes):
        shown, there = detector_scene(seed * 1_000_000 + number, "validation", performers=1 + number % _MOST)
        pictures.append(shown)
        truth += there
    claims = [one for shown in pictures for one in replace(detector, least_score=0.02)(shown)]
    mean, figures = mean_average_precision(claims, truth)
    met, alarms, confusions = 0, 0, Counter()
    for answer, known in zip((one for shown in pictures for one in detector(shown)), truth, strict=True):
        shared = intersection_over_union(known.boxes, answer.boxes) >= 0.5
        alarms += int((~shared.any(0)).sum())
        for label, near in zip(known.labels, shared, strict=True):
            if near.any():
                met += 1
                named = answer.labels[int(near.argmax())]  # answers begin with the surest
                confusions[f"{label} as {named}"] += named != label
    players = sum(map(len, truth))
    return {
        "map_50": round(mean, 4),
        "average_precision": {label: round(value, 3) for label, value in figures.items()},
        "found": round(met / players, 4),
        "named": round(1 - sum(confusions.values()) / max(met, 1), 4),
        "false_alarms": round(alarms / len(truth), 4),
        "confusions": {pair: count for pair, count in confusions.most_common() if count},
        "least_score": detector.least_score,
        "pictures": len(truth),
        "players": players,
        "seed": seed,
        "protocol": f"{scenes} held-out scenes of 1 to 3 players, 2 pictures each, four proportions; IoU 0.5",
    }
