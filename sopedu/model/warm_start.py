"""The warm start: eyes that have seen things, but never an instrument.

The paper starts from a ResNet that knows ImageNet. The small frame net starts from one that learned to tell apart
random procedural objects (mugs, keys, trees …). Features are max-pooled over the picture, as they will be later, so
that the net learns to find a thing wherever it stands. Explained in notebook 07_eyes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sopedu.config import Config, preset
from sopedu.errors import SopeduError, whole_number
from sopedu.files import write_tensors
from sopedu.model.nets import FrameNet
from sopedu.model.sound_of_pixels import normalise_frames
from sopedu.shipped import shipped_path
from sopedu.toyband import objects
from sopedu.toyband.backgrounds import paint
from sopedu.toyband.raster import Canvas, Placement
from sopedu.toyband.splits import draw_identity, generator_for

WARM_START = shipped_path("data_samples/warm_start/frame_net_tiny.safetensors")


def object_picture(seed: int, size: int = 64) -> tuple[np.ndarray, int]:
    """Draw one random object on a cluttered background: picture ``(size, size, 3)`` uint8, index of its family."""
    generator = generator_for("object picture", seed)
    canvas = Canvas(size, size)
    paint(canvas, draw_identity(generator, "train"))
    family = int(generator.integers(len(objects.CLASSES)))
    height = generator.uniform(0.4, 0.9)
    place = generator.uniform(0.4 * height, 1 - 0.4 * height, 2)
    placement = Placement(*place, height, generator.uniform(-0.4, 0.4), bool(generator.integers(2)))
    objects.draw(canvas, objects.CLASSES[family], generator, placement)
    return canvas.image(), family


def pretrain(
    config: Config | None = None,
    pictures: int = 6000,
    steps: int = 1200,
    batch_size: int = 32,
    seed: int = 0,
    report: Callable[[int, float, float], None] = lambda step, loss, accuracy: None,
) -> tuple[FrameNet, float]:
    """Train the small frame net to name random objects.

    Args:
        config: whose frame net is trained; ``tiny`` by default.
        pictures: how many are drawn; every step takes a random batch of them, mirrored and tinted at random.
        report: called every 50 steps with step, loss, accuracy since the last call.

    Returns:
        the frame net, its head still that of the object families, and the accuracy on 500 pictures not seen before.
    """
    pictures, steps = whole_number(pictures, "pictures", 1), whole_number(steps, "steps", 1)
    batch_size, seed = whole_number(batch_size, "batch_size", 2), whole_number(seed, "seed", 0)
    config = config or preset("tiny")
    if config.model.frame_net != "small":
        raise SopeduError(f"preset {config.name} starts from ImageNet; a warm start is for small frame nets (tiny)")
    size = config.frames.size
    drawn = [object_picture(seed * 1_000_000 + index, size) for index in range(pictures)]
    frames = torch.from_numpy(np.stack([picture for picture, _ in drawn])).permute(0, 3, 1, 2)
    families = torch.tensor([family for _, family in drawn])
    torch.manual_seed(seed)
    net = FrameNet(config.model)
    net.head = nn.Conv2d(net.head.in_channels, len(objects.CLASSES), net.head.kernel_size, padding="same")
    net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    right, seen = 0, 0
    for step in range(1, steps + 1):
        index = torch.randint(pictures, (batch_size,), generator=generator)
        batch = normalise_frames(frames[index])
        mirrored = torch.rand(batch_size, generator=generator) < 0.5
        batch = torch.where(mirrored[:, None, None, None], batch.flip(-1), batch)
        batch = batch * (0.8 + 0.4 * torch.rand(batch_size, 3, 1, 1, generator=generator))
        scores = net(batch).amax((2, 3))
        loss = F.cross_entropy(scores, families[index], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        right, seen = right + int((scores.argmax(1) == families[index]).sum()), seen + batch_size
        if step % 50 == 0 or step == steps:
            report(step, loss.item(), right / seen)
            right, seen = 0, 0
    return net.eval(), _accuracy(net, size, seed)


@torch.inference_mode()
def _accuracy(net: FrameNet, size: int, seed: int) -> float:
    drawn = [object_picture(900_000_000 + seed * 1_000_000 + index, size) for index in range(500)]
    frames = torch.from_numpy(np.stack([picture for picture, _ in drawn])).permute(0, 3, 1, 2)
    found = net(normalise_frames(frames)).amax((2, 3)).argmax(1)
    return float((found == torch.tensor([family for _, family in drawn])).float().mean())


def save_warm_start(net: FrameNet, path: str | Path = WARM_START) -> Path:
    """Keep the body of a frame net (not its head) in half precision, written aside and renamed."""
    path = Path(path)
    halved = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in net.body.state_dict().items()
    }
    write_tensors(path, halved)
    return path


def load_warm_start(net: FrameNet, path: str | Path = WARM_START) -> None:
    """Give a small frame net the body trained on random objects; its head keeps its random start.

    Raises:
        SopeduError: if the file is missing, or was made for a net of another width.
    """
    if not Path(path).exists():
        raise SopeduError(
            f"{path}: no warm start there; make it with `sopedu toyband pretrain`, "
            "or start without: --set model.frame_weights=none"
        )
    try:
        net.body.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (RuntimeError, OSError, SafetensorError) as error:
        raise SopeduError(
            f"{path}: no warm start for this net: it fits the frame net of preset tiny only; make another with "
            "`sopedu toyband pretrain --preset …` or use --set model.frame_weights=none"
        ) from error
