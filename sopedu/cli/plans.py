"""Estimates of how long a command takes, printed before its work begins.

An estimate comes from the size of the task and from a short measurement where that is cheap, otherwise from rates
measured on one core of a busy machine. It may be wrong by a factor of two or three; progress bars show the time left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch

from sopedu.config import Config
from sopedu.evaluation import predict_masks
from sopedu.model import Checkpoint
from sopedu.toyband import solo
from sopedu.training.estimate import seconds_per_mixture
from sopedu.video import VideoInfo

_START = 5.0  # seconds until a command has loaded what it needs
_SCORING = 0.12  # seconds per held-out mixture
_DICTIONARIES = 0.3  # seconds per held-out mixture
_LISTENING = 0.4  # seconds per held-out mixture
LEARNING = 12.0  # seconds per class, to learn the dictionaries
_RENDERING = 5.0  # seconds for the solos that a model is scored on
_LOCALIZATION = 0.08  # seconds per scene
_DUETS = 0.05  # seconds per second of film, to decode it and to compare its sounds
_SEPARATION = 0.5  # seconds per second of sound
_DECODING, _WRITING = 0.02, 0.03  # seconds per million pixels: decoded three times, and written to one video
_BENCHMARK = 15.0  # seconds of a benchmark


def training_seconds(config: Config, steps: int) -> float:
    """Estimate the seconds of a training from one step on random data with few mixtures.

    Random numbers that the training draws afterwards stay the same.

    Args:
        config: of the training.
        steps: training steps; several processes share the work.
    """
    seconds = seconds_per_mixture(config) * config.training.batch_size
    return seconds * steps / int(os.environ.get("WORLD_SIZE", 1))


def evaluation_seconds(
    checkpoint: Checkpoint,
    pairs: int,
    scenes: int = 0,
    rendered: bool = True,
    sources: int = 2,
    dictionaries: bool = False,
) -> float:
    """Estimate the seconds of an evaluation from one prediction of the model.

    Args:
        checkpoint: the model.
        pairs: held-out mixtures.
        scenes: scenes of the localization; 0: none.
        rendered: the solos are rendered first (toy band).
        sources: per mixture.
        dictionaries: pairs are also separated by dictionaries, which are in the cache already.
    """
    prediction = _prediction(checkpoint)
    each = _SCORING * (sources / 2) ** 2 + 5 * prediction + (_DICTIONARIES if dictionaries else 0.0)
    seconds = pairs * each + scenes * (_LOCALIZATION + 6 * prediction)
    return _START + seconds + (_RENDERING if rendered else 0.0)


def duets_seconds(checkpoint: Checkpoint, seconds: float) -> float:
    """Estimate the seconds of an evaluation on duets.

    Args:
        checkpoint: the model.
        seconds: length of all films.
    """
    sound = checkpoint.config.spectrogram
    windows = seconds * sound.sample_rate / sound.counted_samples
    return _START + seconds * _DUETS + windows * 8 * _prediction(checkpoint)


def listening_seconds(checkpoint: Checkpoint, pairs: int, sources: int = 2, dictionaries: bool = True) -> float:
    """Estimate the seconds that :func:`sopedu.evaluation.evaluate_listening` takes, from one prediction of the model.

    Args:
        checkpoint: the model.
        pairs: held-out mixtures.
        sources: per mixture.
        dictionaries: as for :func:`evaluation_seconds`.
    """
    each = _LISTENING * (sources / 2) ** 2 + (2 * _DICTIONARIES if dictionaries else 0.0)
    return pairs * (each + 12 * _prediction(checkpoint))


def rendering_seconds(solos: int, seconds: float, size: int, frame_rate: float) -> float:
    """Estimate the seconds to render and write solos, from drawing the first second of one.

    Args:
        solos: how many.
        seconds: length of each.
        size: width and height in pixels.
        frame_rate: pictures per second.
    """
    times = tuple(i / frame_rate for i in range(max(1, round(frame_rate))))
    return 2 + 1.3 * solos * seconds * _duration(lambda: solo(0, samples=11025, size=size, times=times))


def benchmark_seconds(steps: int) -> float:
    """Estimate the seconds of a benchmark.

    Args:
        steps: how many times each step is measured.
    """
    return _BENCHMARK * (0.5 + steps / 10)


def separation_seconds(info: VideoInfo, seconds: float, videos: int) -> float:
    """Estimate the seconds to separate a part of a video.

    Args:
        info: of the video.
        seconds: length of the part.
        videos: how many videos are written.
    """
    megapixels = info.width * info.height / 1e6 * (info.frame_rate or 25.0)
    return _START + seconds * (_SEPARATION + megapixels * (_DECODING + _WRITING * videos))


def _prediction(checkpoint: Checkpoint) -> float:
    """Return the seconds that the masks of one mixture of two take."""
    config = checkpoint.config
    size, device = config.frames.size, next(checkpoint.model.parameters()).device
    waveform = torch.zeros(1, config.spectrogram.samples, device=device)
    frames = torch.zeros(1, 2, config.frames.count, 3, size, size, dtype=torch.uint8)
    return _duration(lambda: predict_masks(checkpoint.model, waveform, frames))


def _duration(work: Callable[[], object]) -> float:
    """Return the seconds that one call of a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
