"""How fast is it here? A training step, the loader, both, and what they are worth (``sopedu benchmark``)."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu.audio.metrics import batched_bss_eval, bss_eval
from sopedu.config import Config
from sopedu.data.clips import ClipDataset, ToyBandClips, open_clips
from sopedu.data.index_clips import IndexClips
from sopedu.errors import SopeduError, whole_number
from sopedu.machine import fastest_convolutions, full_float32
from sopedu.model.sound_of_pixels import count_parameters
from sopedu.toyband.export import render_dataset
from sopedu.toyband.scenes import solo
from sopedu.training.precision import choose_precision
from sopedu.training.throughput import (
    PLAIN,
    MatrixProduct,
    Step,
    flop_per_mixture,
    loader_speed,
    measure_by_measure,
    peak_memory_gib,
    seconds_in_turns,
    training_speed,
    untrained,
    workers_here,
)

MUSIC_MIXTURES, VGGSOUND_MIXTURES = 4_700_000, 7_000_000  # of a whole training; the second is an assumption
_SOLOS = 44  # of the data that is rendered to measure the loader
_LONG_STEP = 8.0  # seconds; on the CPU a longer step is measured with a smaller batch


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure_step(config: Config, steps: int = 5, precision: str | None = None) -> float:
    """Median seconds of a training step on random data, on the device that training would take."""
    precision = precision or choose_precision(untrained(config), config, _device())[0]
    return float(np.median(seconds_in_turns({"step": Step(config, _device(), precision)}, steps, _device())))


def measure_bss_eval(pairs: int = 4, times: int = 4) -> dict[str, float]:
    """Seconds that BSS Eval takes for two sources of 6 s at 11 025 Hz, ours and mir_eval's, on one thread each.

    Returns:
        figures for JSON; the speed-up is the median over turns in which both are measured, one after the other, for
        other work on the machine slows both. Empty where mir_eval is not installed.
    """
    try:
        import mir_eval  # noqa: F401
        from threadpoolctl import threadpool_limits  # comes with librosa
    except ImportError:
        return {}
    generator = np.random.default_rng(0)
    references = generator.normal(0, 0.1, (pairs, 2, 66150))
    estimates = references + 0.3 * references[:, ::-1]
    tensors = torch.from_numpy(references), torch.from_numpy(estimates)
    works = (lambda: batched_bss_eval(*tensors), lambda: [*map(bss_eval, references, estimates)])
    with threadpool_limits(1):  # ours limits itself
        turns = [[_seconds(work) / pairs for work in works] for _ in range(times + 1)]
    del turns[0]  # the first time pays for memory and tables
    ours, theirs = np.median(turns, axis=0)
    return {
        "bss_eval_seconds_per_pair": round(float(ours), 4),
        "mir_eval_seconds_per_pair": round(float(theirs), 4),
        "bss_eval_speedup_over_mir_eval": round(statistics.median(slow / fast for fast, slow in turns), 1),
    }


def run_benchmark(config: Config, steps: int = 5, data: str | None = None, everything: bool = False) -> dict[str, Any]:
    """Measure what a training of a preset would be like on this machine.

    Args:
        config: on the CPU a batch whose step would take longer than some seconds is halved; ``batch_size`` says so.
        steps: what is compared is measured so many times, turn by turn; ratios are medians over the turns.
        data: an index CSV to read from; by default a few solos are rendered, as files where pictures are large.
        everything: also measure both precisions, each measure, rendering and scoring.

    Returns:
        figures for JSON. ``mixtures_per_second`` is that of a short training, loader and step together;
        ``loader_mixtures_per_second`` and ``step_mixtures_per_second`` those of each alone. ``gflop_per_mixture`` is
        counted, forward and backward; ``share_of_matrix_rate`` is what the step does of ``matrix_tflops``, the rate of
        a large matrix product in the same precision. ``speedup_over_plain`` compares with the step without any of
        :class:`sopedu.training.throughput.Measures`. The projected hours are those of 4.7 and 7 million mixtures.

    Raises:
        SopeduError: if the GPU's memory does not suffice, or the data cannot be read.
    """
    steps = whole_number(steps, "steps", 1)
    device = _device()
    full_float32(device)
    model = untrained(config)
    (precision, _), flop = choose_precision(model, config, device), flop_per_mixture(config)
    matrix = MatrixProduct(device, precision)
    if device.type == "cpu":
        config = _bearable(config, flop, matrix)
    batch = config.training.batch_size
    try:
        with fastest_convolutions(device):
            step = Step(config, device, precision)
            step()
            memory = peak_memory_gib(device)  # before there is a plain step, which takes more
            works = {"plain": Step(config, device, "float32", PLAIN), "step": step, "matrix": matrix}
            plain_seconds, step_seconds, matrix_seconds = seconds_in_turns(works, steps, device)
        del works, step
        with tempfile.TemporaryDirectory() as folder:
            clips = _clips(config, data, Path(folder))
            speed, loader = training_speed(clips, config, precision, steps), loader_speed(clips, steps)
    except torch.OutOfMemoryError as error:
        raise SopeduError(
            f"the GPU's memory does not hold a batch of {batch}: --set training.batch_size={batch // 2}"
        ) from error
    rates = flop * batch / step_seconds, matrix.flop / matrix_seconds
    figures = {
        "preset": config.name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": precision,
        "pairing": config.mixing.pairing,
        "batch_size": batch,
        "workers": workers_here(config),
        "data": data or f"{len(clips)} rendered clips",
        "mixtures_per_second": speed,
        "loader_mixtures_per_second": loader,
        "step_mixtures_per_second": batch / float(np.median(step_seconds)),
        "gflop_per_mixture": flop / 1e9,
        "matrix_tflops": float(np.median(rates[1])) / 1e12,
        "share_of_matrix_rate": float(np.median(rates[0] / rates[1])),
        "peak_memory_gib": memory,
        "speedup_over_plain": float(np.median(plain_seconds / step_seconds)),
        "projected_hours_music": MUSIC_MIXTURES / speed / 3600,
        "projected_hours_vggsound": VGGSOUND_MIXTURES / speed / 3600,
        "parameters_frame_net": count_parameters(model.frame_net),
        "parameters_audio_net": count_parameters(model.audio_net),
    }
    if everything:
        figures |= _more_figures(config, device, precision, steps)
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}


def _more_figures(config: Config, device: torch.device, precision: str, steps: int) -> dict[str, Any]:
    works = {f"step_ms_{name}": Step(config, device, name) for name in ("float32", "bf16")}
    medians = 1000 * np.median(seconds_in_turns(works, steps, device), axis=1)
    ladder = measure_by_measure(config, device, precision, steps)
    seeds = iter(range(1000))
    return {
        **dict(zip(works, medians.tolist(), strict=True)),
        **{f"speedup_with_{name}": value for name, value in ladder.items()},
        "render_ms_solo_6s_3_frames_224px": 1000 * _median_seconds(lambda: solo(next(seeds)), 22),
        **measure_bss_eval(),
    }


def _bearable(config: Config, flop: float, matrix: MatrixProduct) -> Config:
    """The configuration with a batch whose step takes seconds, not minutes."""
    rate = matrix.flop / _median_seconds(matrix, 2) / 2  # half the matrix rate is what to hope for
    batch = config.training.batch_size
    while batch * flop / rate > _LONG_STEP and batch // 2 >= max(4, config.mixing.sources):
        batch //= 2
    return replace(config, training=replace(config.training, batch_size=batch))


def _clips(config: Config, data: str | None, folder: Path) -> ClipDataset:
    if data is not None:
        return open_clips(data, config)
    if config.frames.size < 200:  # small presets train on the toy band in memory
        return ToyBandClips(replace(config, toyband=replace(config.toyband, solos=_SOLOS, empty_scenes=4)))
    long = max(1.0, config.spectrogram.seconds)
    index = render_dataset(folder, _SOLOS // 2, seconds=long, size=max(256, config.frames.resize), progress=False)
    return IndexClips(index, config)


def _median_seconds(work: Callable[[], object], times: int) -> float:
    work()  # the first time pays for memory and tables
    return statistics.median(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
