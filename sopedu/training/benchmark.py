"""Training speed on this machine: the step, the loader, both together, and the arithmetic that would be possible.

``sopedu benchmark`` prints what :func:`run_benchmark` returns. The gain of each optimization is measured by
``tools/step_measures.py``; the figures are in ``docs/measurements.md``.

Notebook: 13_train_full.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate.utils import parse_flag_from_env
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from sopedu.config import Config
from sopedu.data.batches import Batch, Failures, collate
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.index_clips import IndexClips
from sopedu.data.opening import open_clips
from sopedu.data.sampling import TrainingSampler
from sopedu.errors import SopeduError, whole_number
from sopedu.machine import compile_mode, fastest_convolutions, full_float32, loading_processes
from sopedu.model.modes import count_parameters, untrained
from sopedu.toyband.export import render_dataset
from sopedu.training.loop import Trainer, train
from sopedu.training.optimizer import MovingAverage, freeze, make_optimizer, training_mode
from sopedu.training.precision import choose_precision
from sopedu.training.run import Run
from sopedu.training.setup import Prepared

#: Mixtures of a whole training: the paper's on MUSIC, and an assumption for VGGSound.
MUSIC_MIXTURES = 4_700_000
VGGSOUND_MIXTURES = 7_000_000
_SOLOS = 44  # rendered to measure the loader
_LONG_STEP = 8.0  # seconds; on the CPU a longer step is measured with a smaller batch


class Step:
    """The step of a training, on random clips that lie on the device; call it to do a step and get its loss.

    Args:
        config: of the training; scenes are not pasted.
        device: where to compute.
        precision: ``float32`` or ``bf16``.

    Attributes:
        model: that is trained.
        batch: of clips, on the device except for its labels.
        trainer: whose :meth:`~sopedu.training.loop.Trainer.step` is done.
    """

    def __init__(self, config: Config, device: torch.device, precision: str = "float32") -> None:
        config = replace(config, mixing=replace(config.mixing, pasted_share=0.0))
        settings, size, solos = config.training, config.frames.size, _solos_per_batch(config)
        self.config, self.device, self.model = config, device, untrained(config)
        frozen = freeze(self.model, settings.freeze)
        self.model.to(device, memory_format=torch.channels_last)
        training_mode(self.model, frozen)
        average = MovingAverage(self.model, settings.average_decay) if settings.average_decay else None
        run = Run(config, self.model, (), settings.steps, precision=precision, device=str(device), average=average)
        optimizer, process = make_optimizer(self.model, settings), SimpleNamespace(process_index=0)
        self.trainer = Trainer(Prepared(run, optimizer, frozen, process, device), None, None, 1, 1)
        mode, _ = compile_mode(config, device)
        self.trainer.net = self.model if mode == "none" else torch.compile(self.model, mode=mode, dynamic=False)
        self.trainer.batches = SimpleNamespace(to_device=lambda *parts: parts)  # nothing to load or to copy
        waveforms = 0.1 * torch.randn(solos, config.spectrogram.samples, device=device)
        frames = torch.randint(256, (solos, config.frames.count, size, size, 3), dtype=torch.uint8, device=device)
        frames = frames.permute(0, 1, 4, 2, 3)  # the memory layout of batches of clips
        self.batch = Batch(waveforms, frames, torch.arange(solos) % 4, [])

    def __call__(self) -> torch.Tensor:
        """Do the step and return its loss, still on the device."""
        self.trainer.step(self.batch)
        return self.trainer.losses.pop()


class MatrixProduct:
    """One large matrix product, the fastest arithmetic of a device.

    Args:
        device: where to compute.
        precision: ``float32`` or ``bf16``.

    Attributes:
        flop: floating-point operations of one product.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        size = 8192 if device.type == "cuda" else 2048
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        self._left, self._right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        self._product, self.flop = torch.empty_like(self._left), 2 * size**3

    def __call__(self) -> None:
        """Compute the product."""
        torch.mm(self._left, self._right, out=self._product)


def flop_per_mixture(config: Config) -> float:
    """Count the floating-point operations of the nets for one mixture, forward and backward.

    A multiplication and an addition are two operations. Nothing is computed and no memory is taken (torch's ``meta``
    device). STFT and warp, which are not counted, add a thousandth with preset ``paper``.

    Args:
        config: of the training.
    """
    mixing, sound, size, count = config.mixing, config.spectrogram, config.frames.size, config.training.batch_size
    with torch.device("meta"):
        model = untrained(config)
        heard = torch.empty(count, 1, sound.log_frequency_bins, sound.time_frames)
        frames = torch.empty(_solos_per_batch(config), config.frames.count, 3, size, size)
        shown = torch.zeros(count, mixing.sources + mixing.absent, dtype=torch.long)
    freeze(model, config.training.freeze)
    with FlopCounterMode(display=False) as counter:
        model(heard, frames, shown).sum().backward()
    return counter.get_total_flops() / count


def seconds_in_turns(works: Mapping[str, Callable[[], object]], turns: int, device: torch.device) -> np.ndarray:
    """Time several functions in turns, one after the other, so that other load slows all of them equally.

    On a GPU each function is queued ten times before the clock is read, because a training does not wait for its steps.

    Args:
        works: name → function to time; the first call of each is not counted.
        turns: number of turns.
        device: where the functions compute.

    Returns:
        seconds per call, ``(len(works), turns)``.
    """
    repeats = 10 if device.type == "cuda" else 1

    def seconds(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / repeats

    for work in works.values():
        seconds(work)  # the first call allocates memory and builds tables
    return np.array([[seconds(work) for work in works.values()] for _ in range(turns)]).T


def peak_memory_gib(device: torch.device) -> float | None:
    """Return the largest memory use so far in GiB: of tensors on a GPU, of this process on the CPU.

    Args:
        device: whose memory.

    Returns:
        None where the system does not report it (Windows).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure_step(config: Config, steps: int = 5, precision: str | None = None) -> float:
    """Measure the median seconds of a training step on random data, on the device that a training would use.

    Args:
        config: of the training.
        steps: number of steps to time.
        precision: ``float32`` or ``bf16``; None: what a training would choose.
    """
    device = _device()
    precision = precision or choose_precision(untrained(config), config, device)[0]
    return float(np.median(seconds_in_turns({"step": Step(config, device, precision)}, steps, device)))


def run_benchmark(config: Config, steps: int = 5, data: str | None = None) -> dict[str, Any]:
    """Measure how fast a training would be on this machine.

    Args:
        config: of the training. On the CPU the batch is halved until a step takes a few seconds at most.
        steps: number of turns; figures are medians over them.
        data: index CSV to read from; None: a few solos are rendered, as files where pictures are large.

    Returns:
        figures for JSON. ``mixtures_per_second`` is the speed of a short training, loader and step together;
        ``loader_mixtures_per_second`` and ``step_mixtures_per_second`` are those of each alone. ``gflop_per_mixture``
        is counted, forward and backward; ``matrix_tflops`` is the rate of a large matrix product in the same
        precision, and ``share_of_matrix_rate`` what the step reaches of it. The projected hours are those of 4.7 and
        7 million mixtures.

    Raises:
        SopeduError: the GPU's memory is too small, or the data cannot be read.
    """
    steps, device = whole_number(steps, "steps", 1), _device()
    full_float32(device)
    model = untrained(config)
    precision, flop = choose_precision(model, config, device)[0], flop_per_mixture(config)
    matrix = MatrixProduct(device, precision)
    if device.type == "cpu":
        config = _bearable(config, flop, matrix)
    batch = config.training.batch_size
    figures = {
        "preset": config.name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": precision,
        "pairing": config.mixing.pairing,
        "batch_size": batch,
        "workers": loading_processes(config, device)[0],
    }
    try:
        with fastest_convolutions(device):
            figures |= _step_figures(Step(config, device, precision), matrix, flop * batch, steps)
        with tempfile.TemporaryDirectory() as folder:
            clips = _clips(config, data, Path(folder))
            speed, loader = _training_speed(clips, config, precision, steps), _loader_speed(clips, steps)
    except torch.OutOfMemoryError as error:
        raise SopeduError(
            f"the GPU's memory does not hold a batch of {batch}: --set training.batch_size={batch // 2}"
        ) from error
    figures |= {
        "data": data or f"{len(clips)} rendered clips",
        "mixtures_per_second": speed,
        "loader_mixtures_per_second": loader,
        "gflop_per_mixture": flop / 1e9,
        "projected_hours_music": MUSIC_MIXTURES / speed / 3600,
        "projected_hours_vggsound": VGGSOUND_MIXTURES / speed / 3600,
        "parameters_frame_net": count_parameters(model.frame_net),
        "parameters_audio_net": count_parameters(model.audio_net),
    }
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}


def _step_figures(step: Step, matrix: MatrixProduct, flop: float, turns: int) -> dict[str, float | None]:
    """Compare a step of ``flop`` operations with a matrix product."""
    step_seconds, matrix_seconds = seconds_in_turns({"step": step, "matrix": matrix}, turns, step.device)
    rates = flop / step_seconds, matrix.flop / matrix_seconds
    return {
        "step_mixtures_per_second": step.config.training.batch_size / float(np.median(step_seconds)),
        "matrix_tflops": float(np.median(rates[1])) / 1e12,
        "share_of_matrix_rate": float(np.median(rates[0] / rates[1])),
        "peak_memory_gib": peak_memory_gib(step.device),
    }


def _device() -> torch.device:
    """Return the device that a training would use."""
    gpu = torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU")
    return torch.device("cuda" if gpu else "cpu")


def _solos_per_batch(config: Config) -> int:
    return config.training.batch_size * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)


def _bearable(config: Config, flop: float, matrix: MatrixProduct) -> Config:
    """Halve the batch until a step takes seconds instead of minutes."""
    seconds = statistics.median(seconds_in_turns({"matrix": matrix}, 2, torch.device("cpu"))[0])
    rate = matrix.flop / seconds / 2  # a step reaches half of the matrix rate at best
    batch = config.training.batch_size
    while batch * flop / rate > _LONG_STEP and batch // 2 >= max(4, config.mixing.sources):
        batch //= 2
    return replace(config, training=replace(config.training, batch_size=batch))


def _clips(config: Config, data: str | None, folder: Path) -> ClipDataset:
    """Open the user's clips, or render some into a folder."""
    if data is not None:
        return open_clips(data, config)
    if config.frames.size < 200:  # small presets train on the toy band in memory
        return ToyBandClips(replace(config, toyband=replace(config.toyband, solos=_SOLOS, empty_scenes=4)))
    long = max(1.0, config.spectrogram.seconds)
    index = render_dataset(folder, _SOLOS // 2, seconds=long, size=max(256, config.frames.resize), progress=False)
    return IndexClips(index, config)


def _loader_speed(clips: ClipDataset, batches: int) -> float:
    """Measure for how many mixtures per second the loader alone delivers clips, with ``training.workers`` processes."""
    device, settings = _device(), clips.config.training
    workers = loading_processes(clips.config, device)[0]
    ahead = max(1, 2 * workers)  # batches that are prepared at once, before the pace is steady
    batches += -batches % max(1, workers)
    loader = DataLoader(
        clips,
        batch_sampler=TrainingSampler(clips, ahead + batches),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
    )
    failures, arrivals = Failures(len(clips)), []
    for batch in loader:
        failures.new(batch)
        arrivals.append(time.perf_counter())
    return batches * settings.batch_size / (arrivals[-1] - arrivals[ahead - 1])


def _training_speed(clips: ClipDataset, config: Config, precision: str, turns: int) -> float:
    """Measure the mixtures per second of a short training: the real loop with loader and step."""
    device = _device()
    every = 10 if device.type == "cuda" else 1
    warm = -(-max(1, 2 * loading_processes(config, device)[0]) // every)  # records until the pace is steady
    mode, _ = compile_mode(config, device)
    steps = every * (warm + turns)
    short = replace(config.training, steps=steps, precision=precision, compile=mode, validate_every=0)
    short = replace(config, training=short, model=replace(config.model, frame_weights="none"))
    history = train(short, clips, record_every=every).history
    first, last = history[warm - 1], history[-1]
    return (last["step"] - first["step"]) * config.training.batch_size / (last["seconds"] - first["seconds"])
