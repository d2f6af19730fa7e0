"""What a command is going to do, about how long it takes and where its results go: one line before the work begins.

A plan is a guess from the size of the task: from a measurement of a moment where that is cheap, else from rates that
were measured on one core of a busy machine. It may be wrong by a factor of two or three; bars show the time left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from sopedu.config import Config
from sopedu.evaluation.pairs import predict_masks
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.nets import FrameNet
from sopedu.model.warm_start import object_picture
from sopedu.objects.toyband_detector import SIDE, ToyBandNet
from sopedu.toyband.scenes import solo
from sopedu.training.benchmark import measure_step
from sopedu.video.reading import VideoInfo

_START = 5.0  # seconds until a command has loaded what it needs
_FEW = 4  # mixtures of the step that is measured
_SCORED = 0.12  # seconds per held-out mixture
_RENDERED = 5.0  # seconds for the solos that a model is judged on
_LOCALIZED = 0.08  # seconds per scene
_SEPARATED = 0.5  # seconds per second of sound
_DECODED, _WRITTEN = 0.02, 0.03  # seconds per million pixels, decoded in three walks, and written to one video
_MEASURED = 15.0  # seconds of a benchmark


def spoken(seconds: float) -> str:
    """A duration as one says it: ``about 20 s``, ``about 3 min``, ``about 2.5 h``, ``about 12 days``."""
    for limit, unit, step, name in ((90, 1, 5, "s"), (5400, 60, 1, "min"), (172_800, 3600, 0.5, "h")):
        if seconds < limit:
            return f"about {max(step, round(seconds / unit / step) * step):g} {name}"
    return f"about {seconds / 86400:.0f} days"


def training_seconds(config: Config, steps: int) -> float:
    """Guess what training steps take here, from a step on random data with few mixtures; processes share them.

    Random numbers that the training draws afterwards are what they would have been.
    """
    settings = config.training
    few = min(settings.batch_size, max(_FEW, config.mixing.sources))
    small = replace(config, training=replace(settings, batch_size=few, compile="none"))
    with torch.random.fork_rng():
        precision = None if torch.cuda.is_available() else "float32"
        seconds = measure_step(small, 1, precision) * settings.batch_size / few
    return seconds * steps / int(os.environ.get("WORLD_SIZE", 1))


def evaluation_seconds(checkpoint: Checkpoint, pairs: int, scenes: int = 0, rendered: bool = True) -> float:
    """Guess what it takes to judge a model on held-out mixtures and scenes, from one of its predictions."""
    config = checkpoint.config
    size, device = config.frames.size, next(checkpoint.model.parameters()).device
    heard = torch.zeros(1, config.spectrogram.samples, device=device)
    seen = torch.zeros(1, 2, config.frames.count, 3, size, size, dtype=torch.uint8)
    prediction = seconds_of(lambda: predict_masks(checkpoint.model, heard, seen))
    seconds = pairs * (_SCORED + 4 * prediction) + scenes * (_LOCALIZED + 6 * prediction)
    return _START + seconds + (_RENDERED if rendered else 0.0)


def rendering_seconds(solos: int, seconds: float, size: int, frame_rate: float) -> float:
    """Guess what it takes to render solos and write them, from drawing the first second of one."""
    times = tuple(i / frame_rate for i in range(max(1, round(frame_rate))))
    drawn = seconds_of(lambda: solo(0, samples=11025, size=size, times=times))
    return 2 + 1.3 * solos * seconds * drawn


def pretraining_seconds(config: Config, pictures: int, steps: int) -> float:
    """Guess what it takes to make a warm start, from a few pictures and two steps of 32."""
    drawn = seconds_of(lambda: [object_picture(number, config.frames.size) for number in range(8)]) / 8
    with torch.random.fork_rng():
        net = FrameNet(replace(config.model, frame_weights="none"))
    return _START + (pictures + 500) * drawn + steps * _step_seconds(net, config.frames.size, config.frames.size)


def detector_seconds(scenes: int, steps: int) -> float:
    """Guess what it takes to train the detector of the toy band's players and to judge it, from one scene and step."""
    drawn = seconds_of(lambda: solo(0, samples=1, size=(SIDE, 2 * SIDE), times=(0.0, 1.0)))
    with torch.random.fork_rng():
        net = ToyBandNet()
    return _START + 1.2 * scenes * drawn + steps * _step_seconds(net, SIDE, 3 * SIDE // 2)


def _step_seconds(net: torch.nn.Module, height: int, width: int) -> float:
    def step() -> None:
        answer = net(pictures)
        sum(part.mean() for part in (answer if isinstance(answer, tuple) else [answer])).backward()

    pictures = torch.zeros(32, 3, height, width)
    step()  # the first one pays for memory
    return seconds_of(step)


def benchmark_seconds(steps: int) -> float:
    """Guess what a benchmark takes that measures every step so many times."""
    return _MEASURED * (0.5 + steps / 10)


def separation_seconds(info: VideoInfo, seconds: float, videos: int) -> float:
    """Guess what it takes to separate ``seconds`` of a video and to write so many videos of it."""
    megapixels = info.width * info.height / 1e6 * (info.frame_rate or 25.0)
    return _START + seconds * (_SEPARATED + megapixels * (_DECODED + _WRITTEN * videos))


def seconds_of(work: Callable[[], object]) -> float:
    """How long some work takes, done once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
