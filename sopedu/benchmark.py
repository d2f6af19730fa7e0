"""How fast is it here? Training steps, rendering and scoring, measured on this machine (``sopedu benchmark``)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sopedu.config import Config
from sopedu.metrics import batched_bss_eval, bss_eval
from sopedu.model import SoundOfPixels, count_parameters
from sopedu.toyband.scenes import solo
from sopedu.training import choose_precision, make_optimizer, mixture_loss


def measure_step(config: Config, steps: int = 5, precision: str | None = None) -> float:
    """Median seconds of a training step on random data, on the device that training would take."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SoundOfPixels(replace(config, model=replace(config.model, frame_weights="none")))
    model.train().to(device, memory_format=torch.channels_last)
    precision = precision or choose_precision(model, config, device)
    solos = config.training.batch_size * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
    size, generator = config.frames.size, np.random.default_rng(0)
    waveforms = 0.1 * torch.randn(solos, config.spectrogram.samples, device=device)
    frames = torch.randint(255, (solos, config.frames.count, 3, size, size), dtype=torch.uint8, device=device)
    labels = np.arange(solos) % 4
    optimizer = make_optimizer(model, config.training)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss, _ = mixture_loss(model, waveforms, frames, labels, config, generator)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return _median_seconds(step, steps)


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


def run_benchmark(config: Config, steps: int = 5) -> dict[str, Any]:
    """Measure a preset's training step in both precisions, rendering of solos and scoring, on this machine.

    Returns:
        figures for JSON: ``mixtures_per_second`` in the precision that training would choose, milliseconds of a step
        in float32 and bf16, of a rendered 6 s solo with three frames of 224 px, what :func:`measure_bss_eval` returns,
        and the sizes of the nets.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = SoundOfPixels(replace(config, model=replace(config.model, frame_weights="none")))
    seconds = {name: measure_step(config, steps, name) for name in ("float32", "bf16")}
    chosen = choose_precision(model, config, device)
    seeds = iter(range(1000))
    return {
        "preset": config.name,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": chosen,
        "mixtures_per_second": round(config.training.batch_size / seconds[chosen], 1),
        "step_ms_float32": round(1000 * seconds["float32"], 1),
        "step_ms_bf16": round(1000 * seconds["bf16"], 1),
        "render_ms_solo_6s_3_frames_224px": round(1000 * _median_seconds(lambda: solo(next(seeds)), 22), 1),
        **measure_bss_eval(),
        "parameters_frame_net": count_parameters(model.frame_net),
        "parameters_audio_net": count_parameters(model.audio_net),
    }


def _median_seconds(work: Callable[[], object], times: int) -> float:
    work()  # the first time pays for memory and tables
    return statistics.median(_seconds(work) for _ in range(times))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
