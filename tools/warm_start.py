"""Train the warm start: a small frame net that is trained on random objects without instruments.

It replaces the ResNet trained on ImageNet from which the paper starts. Features are max-pooled over the picture,
as in training later, so the net learns to recognise an object wherever it stands. Notebook: 07_eyes.ipynb.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import nn
from tqdm.auto import tqdm

from sopedu.cli import run_command
from sopedu.config import PRESETS, Config, preset
from sopedu.errors import SopeduError, whole_number
from sopedu.files import require_place, write_tensors
from sopedu.model import FrameNet, normalise_frames
from sopedu.toyband.backgrounds import paint
from sopedu.toyband.raster import Canvas, Placement
from sopedu.toyband.splits import draw_identity, generator_for
from tools import procedural_objects as objects

_HELD_OUT, _HELD_OUT_PICTURES = 900_000_000, 500  # seeds of the pictures that measure the accuracy, and how many

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Weights file; an existing one is replaced.")] = Path(
        "runs/warm_start.safetensors"
    ),
    preset_name: Annotated[
        str, typer.Option("--preset", help=f"Whose frame net to train ({', '.join(PRESETS)}); it must be a small one.")
    ] = "tiny",
    pictures: Annotated[int, typer.Option(help="How many random objects to draw.", min=100)] = 20_000,
    steps: Annotated[int, typer.Option(help="Training steps of 32 pictures.", min=10)] = 5_000,
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.", min=0)] = 0,
) -> None:
    """Train the warm start on random objects, no instruments. With the defaults: 6 minutes on one core."""
    config = preset(preset_name)
    require_place(out)
    typer.echo(f"plan: draw {pictures} pictures, train {steps} steps; the weights go to {out}")

    def report(step: int, loss: float, accuracy: float) -> None:
        typer.echo(f"step {step}/{steps}  loss {loss:.2f}  accuracy {accuracy:.0%}")

    net, accuracy = pretrain(config, pictures, steps, seed=seed, report=report)
    typer.echo(f"{accuracy:.1%} of {_HELD_OUT_PICTURES} new objects recognised\n{save_warm_start(net, out)}")


def object_picture(seed: int, size: int = 64) -> tuple[np.ndarray, int]:
    """Draw one random object on a cluttered background.

    Args:
        seed: decides everything.
        size: width and height in pixels.

    Returns:
        The picture, ``(size, size, 3)`` uint8, and the index of the object's family.
    """
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
    """Train a small frame net to recognise random objects.

    Args:
        config: whose frame net is trained; default: preset ``tiny``.
        pictures: how many are drawn; each step takes a random batch of them, mirrored and tinted at random.
        steps: training steps.
        batch_size: pictures per step.
        seed: decides pictures, weights and batches.
        report: called every 50 steps with the step, its loss, and the accuracy since the last call.

    Returns:
        The frame net, whose head scores the object families, and its accuracy on 500 new pictures.

    Raises:
        SopeduError: the configuration has no small frame net, or a number is not valid.
    """
    pictures, steps = whole_number(pictures, "pictures", 1), whole_number(steps, "steps", 1)
    batch_size, seed = whole_number(batch_size, "batch_size", 2), whole_number(seed, "seed", 0)
    config = config or preset("tiny")
    if config.model.frame_net != "small":
        raise SopeduError(f"preset {config.name} starts from ImageNet; a warm start is for small frame nets (tiny)")
    frames, families = _pictures(range(seed * 1_000_000, seed * 1_000_000 + pictures), config.frames.size)
    torch.manual_seed(seed)
    net = FrameNet(config.model)
    net.head = nn.Conv2d(net.head.in_channels, len(objects.CLASSES), net.head.kernel_size, padding="same")
    net.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    correct, seen = 0, 0
    for step in range(1, steps + 1):
        index = torch.randint(pictures, (batch_size,), generator=generator)
        scores = net(_augment(normalise_frames(frames[index]), generator)).amax((2, 3))
        loss = F.cross_entropy(scores, families[index], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        correct, seen = correct + int((scores.argmax(1) == families[index]).sum()), seen + batch_size
        if step % 50 == 0 or step == steps:
            report(step, loss.item(), correct / seen)
            correct, seen = 0, 0
    return net.eval(), _accuracy(net, config.frames.size, seed)


def _pictures(seeds: range, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures ``(n, 3, size, size)`` uint8 and families ``(n,)``."""
    drawn = [object_picture(seed, size) for seed in tqdm(seeds, desc="drawing", unit="picture", leave=False)]
    frames = torch.from_numpy(np.stack([picture for picture, _ in drawn])).permute(0, 3, 1, 2)
    return frames, torch.tensor([family for _, family in drawn])


def _augment(frames: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the pictures and tint all of them."""
    mirrored = torch.rand(len(frames), generator=generator) < 0.5
    frames = torch.where(mirrored[:, None, None, None], frames.flip(-1), frames)
    return frames * (0.8 + 0.4 * torch.rand(len(frames), 3, 1, 1, generator=generator))


@torch.inference_mode()
def _accuracy(net: FrameNet, size: int, seed: int) -> float:
    first = _HELD_OUT + seed * 1_000_000
    frames, families = _pictures(range(first, first + _HELD_OUT_PICTURES), size)
    guesses = net(normalise_frames(frames)).amax((2, 3)).argmax(1)
    return float((guesses == families).float().mean())


def save_warm_start(net: FrameNet, path: str | Path) -> Path:
    """Write the body of a frame net, without its head, in half precision.

    Args:
        net: the frame net.
        path: the file; its folder is made if need be, and an existing file is replaced when all is written.

    Returns:
        The path of the file.

    Raises:
        SopeduError: the file cannot be written.
    """
    body = {name: value.half() if value.is_floating_point() else value for name, value in net.body.state_dict().items()}
    write_tensors(path, body)
    return Path(path)


if __name__ == "__main__":
    run_command(app)
