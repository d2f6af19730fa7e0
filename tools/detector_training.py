"""Train and score the detector of the toy band's players. Notebook: 12_objects_and_their_sounds.ipynb."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torchvision.ops import generalized_box_iou_loss
from tqdm.auto import tqdm

from sopedu.cli import run_command
from sopedu.errors import whole_number
from sopedu.folders import require_new_folder
from sopedu.localization import intersection_over_union
from sopedu.model import normalise_frames
from sopedu.objects import (
    Detections,
    ToyBandDetector,
    ToyBandNet,
    boxes_of_cells,
    make_detections,
    save_toyband_detector,
)
from sopedu.toyband import INSTRUMENTS, scene
from sopedu.toyband.splits import generator_for

# Height and width of the scenes: square, landscape and portrait.
_SIZES = ((128, 128), (128, 176), (128, 224), (176, 128))
_TIMES = (0.15, 0.75)
_MOST_PLAYERS = 3  # in a scene
_NEAR = 0.3  # cells where a player's map is above this value learn the player's box

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="New folder for weights and config.json.")] = Path("runs/detector"),
    scenes: Annotated[int, typer.Option(help="How many scenes to render, two pictures each.", min=4)] = 4000,
    steps: Annotated[int, typer.Option(help="Training steps of 32 pictures.", min=10)] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.", min=0)] = 0,
) -> None:
    """Train and score the toy band's detector. With the defaults: 7 minutes on one core."""
    require_new_folder(out)
    typer.echo(f"plan: render {scenes} scenes, train {steps} steps; the detector goes to {out}")
    detector = train_toyband_detector(scenes, steps, seed=seed)
    figures = evaluate_toyband_detector(detector)
    notes = {"trained_on": {"data": "toyband", "scenes": scenes, "steps": steps, "seed": seed}, "metrics": figures}
    save_toyband_detector(out, detector, notes)
    typer.echo(
        f"mean average precision {figures['map_50']:.3f} on {figures['pictures']} held-out pictures (IoU 0.5), "
        f"{figures['named']:.1%} of the players found are named correctly\n{out}"
    )


def detector_scene(
    number: int, split: str, performers: int | None = None, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, list[Detections]]:
    """Render a scene with up to three players of any instruments, each playing or silent.

    Args:
        number: seed of the scene.
        split: ``train``, ``validation`` or ``test``.
        performers: how many players; default: drawn at random, 0 to 3.
        size: height and width in pixels; default: one of four, by the number.

    Returns:
        Pictures ``(2, H, W, 3)`` uint8 at two times, and the truth of each as detections of score 1.
    """
    generator = generator_for("detector scene", split, number)
    count = int(generator.choice(_MOST_PLAYERS + 1, p=(0.15, 0.25, 0.3, 0.3))) if performers is None else performers
    names = [INSTRUMENTS[i] for i in generator.integers(len(INSTRUMENTS), size=count)]
    playing = np.flatnonzero(generator.random(count) < 0.7).tolist()
    # One second of sound, which is not used, decides how the players move.
    rendered = scene(
        names, number, split, playing=playing, samples=11025, size=size or _SIZES[number % len(_SIZES)], times=_TIMES
    )
    boxes = rendered.boxes.clip(0, 1)
    return rendered.frames, [make_detections(boxes[:, time], names, np.ones(count)) for time in range(len(_TIMES))]


def train_toyband_detector(
    scenes: int = 4000, steps: int = 2000, batch_size: int = 32, seed: int = 0, progress: bool = True
) -> ToyBandDetector:
    """Train the detector on rendered scenes of the training split.

    Args:
        scenes: how many, two pictures each; a picture takes about 70 kB of memory.
        steps: training steps; each batch holds pictures of one size, mirrored, tinted and blurred at random.
        batch_size: pictures per step.
        seed: decides scenes, weights and batches; two runs agree if machine and thread count do.
        progress: show bars with the time left.

    Returns:
        The trained detector.

    Raises:
        SopeduError: a number is not valid.
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
        seen, sides = _augment(pictures[chosen], boxes[chosen], generator)
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
    """For each size: pictures (n, 3, H, W) uint8, boxes (n, 3, 4), labels (n, 3), −1 beyond the last player."""
    groups: list[tuple[list, list, list]] = [([], [], []) for _ in _SIZES]
    for number in tqdm(range(scenes), desc="rendering", unit="scene", disable=not progress):
        pictures, boxes, labels = groups[number % len(_SIZES)]
        shown, truth = detector_scene(seed * 1_000_000 + number, "train", size=_SIZES[number % len(_SIZES)])
        for picture, one in zip(shown, truth, strict=True):
            absent = _MOST_PLAYERS - len(one)
            pictures.append(torch.from_numpy(picture).permute(2, 0, 1))
            boxes.append(torch.from_numpy(np.pad(one.boxes, ((0, absent), (0, 0)))).float())
            labels.append(torch.tensor([INSTRUMENTS.index(label) for label in one.labels] + [-1] * absent))
    return [tuple(torch.stack(values) for values in group) for group in groups if group[0]]


def _augment(
    pictures: torch.Tensor, boxes: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror, tint, and make half of the batches as unsharp as a small or compressed video."""
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
    """Return the target outputs of the net.

    A player's map is a bell as wide as a tenth of the box, 1 in the cell that holds the box's middle.

    Args:
        boxes: ``(B, N, 4)`` in fractions of width and height.
        labels: ``(B, N)``, −1 beyond the last player.
        classes: how many maps.
        height: rows of cells.
        width: columns of cells.

    Returns:
        Maps ``(B, classes, h, w)``, the box that each cell should give ``(B, h, w, 4)``, and the cells' weights in the
        loss of boxes ``(B, h, w)``.

    Source:
        Zhou, Wang and Krähenbühl, Objects as Points, 2019, section 3.
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
    nearest, player = bells.max(1)
    true_boxes = boxes[torch.arange(len(boxes))[:, None, None], player]
    return maps, true_boxes, torch.where(nearest > _NEAR, nearest, 0)


def detection_loss(
    logits: torch.Tensor, distances: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the loss: penalty-reduced focal loss of the maps plus twice the generalised-IoU loss of the boxes.

    Args:
        logits: ``(B, classes, h, w)``, of the maps.
        distances: ``(B, 4, h, w)``, from a cell's middle to the sides of the box.
        boxes: ``(B, N, 4)`` in fractions of width and height, the truth.
        labels: ``(B, N)``, −1 beyond the last player.

    Source:
        Zhou, Wang and Krähenbühl, Objects as Points, 2019, equation 1.
    """
    classes, height, width = logits.shape[1:]
    maps, true_boxes, weights = targets(boxes, labels, classes, height, width)
    probability, middle = torch.sigmoid(logits), (maps == 1).float()
    hit = -F.logsigmoid(logits) * (1 - probability).square() * middle
    miss = -F.logsigmoid(-logits) * probability.square() * (1 - maps) ** 4 * (1 - middle)
    apart = generalized_box_iou_loss(boxes_of_cells(distances), true_boxes) * weights
    return (hit + miss).sum() / middle.sum().clamp_min(1) + 2 * apart.sum() / weights.sum().clamp_min(1)


def mean_average_precision(
    answers: Sequence[Detections], truth: Sequence[Detections], overlap: float = 0.5
) -> tuple[float, dict[str, float]]:
    """Return the mean over labels of the area under the curve of precision over recall.

    A detection is correct if it overlaps an object of its label that no better detection was assigned to.

    Args:
        answers: predicted detections, one item per picture.
        truth: the objects that are there, one item per picture.
        overlap: least IoU of a detection and its object.

    Returns:
        The mean over the labels in the truth, and the value of each label.

    Source:
        PASCAL VOC, area under all points.
    """
    figures = {label: _average_precision(label, answers, truth, overlap) for label in _labels(truth)}
    return float(np.mean(list(figures.values()))) if figures else float("nan"), figures


def _labels(truth: Sequence[Detections]) -> list[str]:
    return sorted({label for one in truth for label in one.labels})


def _average_precision(label: str, answers: Sequence[Detections], truth: Sequence[Detections], overlap: float) -> float:
    objects = [np.flatnonzero([name == label for name in one.labels]) for one in truth]
    claims = sorted(
        ((one.scores[i], picture, i) for picture, one in enumerate(answers) for i in range(len(one))
         if one.labels[i] == label), key=lambda claim: -claim[0],
    )  # fmt: skip
    taken: set[tuple[int, int]] = set()
    right = np.zeros(len(claims))
    for place, (_, picture, i) in enumerate(claims):
        there = objects[picture]
        shared = intersection_over_union(answers[picture].boxes[i], truth[picture].boxes[there])[0]
        if len(there) and shared.max() >= overlap and (picture, int(shared.argmax())) not in taken:
            taken.add((picture, int(shared.argmax())))
            right[place] = 1
    precision = right.cumsum() / np.arange(1, len(claims) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_from_here * right).sum() / sum(map(len, objects)))


def evaluate_toyband_detector(detector: ToyBandDetector, scenes: int = 200, seed: int = 0) -> dict[str, Any]:
    """Score a detector on held-out scenes of one, two and three players in turn, two pictures each.

    Args:
        detector: the detector.
        scenes: how many.
        seed: which scenes.

    Returns:
        ``map_50`` and ``average_precision`` of every instrument, from all detections with a score above 0.02. At the
        detector's own ``least_score``: ``found`` (share of players with a box of IoU ≥ 0.5 of any label), ``named``
        (share of those whose best such box has the right label), ``false_alarms`` per picture, ``confusions``. Then
        the sizes of the test and its ``protocol``.
    """
    pictures, truth = [], []
    for number in range(scenes):
        shown, there = detector_scene(seed * 1_000_000 + number, "validation", performers=1 + number % _MOST_PLAYERS)
        pictures.append(shown)
        truth += there
    answers = [one for shown in pictures for one in replace(detector, least_score=0.02)(shown)]
    mean, figures = mean_average_precision(answers, truth)
    found, false_alarms, confusions = _matches([one for shown in pictures for one in detector(shown)], truth)
    players = sum(map(len, truth))
    return {
        "map_50": round(mean, 4),
        "average_precision": {label: round(value, 3) for label, value in figures.items()},
        "found": round(found / players, 4),
        "named": round(1 - sum(confusions.values()) / max(found, 1), 4),
        "false_alarms": round(false_alarms / len(truth), 4),
        "confusions": {pair: count for pair, count in confusions.most_common() if count},
        "least_score": detector.least_score,
        "pictures": len(truth),
        "players": players,
        "seed": seed,
        "protocol": f"{scenes} held-out scenes of 1 to 3 players, 2 pictures each, four proportions; IoU 0.5",
    }


def _matches(answers: Sequence[Detections], truth: Sequence[Detections]) -> tuple[int, int, Counter[str]]:
    """Count players found, detections of nobody, and wrong labels as ``"tuba as cello"``."""
    found, false_alarms, confusions = 0, 0, Counter[str]()
    for answer, known in zip(answers, truth, strict=True):
        shared = intersection_over_union(known.boxes, answer.boxes) >= 0.5
        false_alarms += int((~shared.any(0)).sum())
        for label, near in zip(known.labels, shared, strict=True):
            if near.any():
                found += 1
                named = answer.labels[int(near.argmax())]  # detections are sorted by score
                confusions[f"{label} as {named}"] += named != label
    return found, false_alarms, confusions


if __name__ == "__main__":
    run_command(app)
