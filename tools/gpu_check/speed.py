"""What ``make gpu-check`` measures last: how fast training is on this GPU, eager and compiled, and what limits it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.machine import fastest_convolutions
from sopedu.toyband.export import render_dataset
from sopedu.training.benchmark import Step, peak_memory_gib, run_benchmark, seconds_in_turns
from tools.gpu_check.check import Check, Place, losses_of, rendered_step, require_near

#: Figures of :func:`sopedu.training.benchmark.run_benchmark` that are kept, with their units.
_UNITS = {
    "batch_size": "mixtures",
    "workers": "processes",
    "mixtures_per_second": "mixtures per second",
    "loader_mixtures_per_second": "mixtures per second",
    "step_mixtures_per_second": "mixtures per second",
    "peak_memory_gib": "GiB",
    "gflop_per_mixture": "GFLOP",
    "matrix_tflops": "TFLOP per second",
    "share_of_matrix_rate": "share",
}


def speed(check: Check, place: Place) -> str:
    """Measure training, step and loader in float32 and bf16, and the share of a matrix product's rate."""
    config, lines = _fitting(place, "training.workers=auto"), []
    data = None  # on the CPU the toy band in memory; on a GPU files, as real data has
    if place.on_gpu:
        data = str(render_dataset(place.folder / "clips", 12, seconds=6.0, size=256, progress=False))
    for precision in place.precisions:
        place.free()
        figures = run_benchmark(with_values(config, [f"training.precision={precision}"]), place.turns, data)
        check.require(figures["precision"] == precision, f"measured {figures['precision']} instead of {precision}")
        for name, unit in _UNITS.items():
            check.figure(f"{precision}_{name}", figures[name], unit)
        together, alone = figures["mixtures_per_second"], figures["step_mixtures_per_second"]
        lines.append(f"{precision} {together:.3g} of {alone:.3g} ({figures['share_of_matrix_rate']:.0%})")
    return f"{config.name}, mixtures per second, training of step alone (share of matrix rate): {', '.join(lines)}"


def compiled(check: Check, place: Place) -> str:
    """Check that compiled steps give nearly float32's losses; measure the time for compiling and the speed after it."""
    lines: list[str] = []
    for name in place.presets:
        with check.part(name):
            lines.append(_compare_compiled(check, place, name))
        torch._dynamo.reset()
        place.free()
    return "; ".join(lines)


def _compare_compiled(check: Check, place: Place, name: str) -> str:
    config = _fitting(place) if name == place.presets[-1] else place.config(name)
    clips = ToyBandClips(config)
    plain = losses_of(rendered_step(config, clips, place.device), 10)
    place.free()
    compiling = replace(config, training=replace(config.training, compile="default"))
    began, step = time.perf_counter(), rendered_step(compiling, clips, place.device, "bf16")
    first = losses_of(step, 1)
    taken = check.figure(f"{name}_compiling", time.perf_counter() - began, "seconds")
    require_near(check, f"{name}_compiled", first + losses_of(step, 9), plain)
    check.figure(f"{name}_peak_memory", peak_memory_gib(place.device), "GiB")
    works = {"compiled": step, "eager": rendered_step(config, clips, place.device, "bf16")}
    with fastest_convolutions(place.device):
        seconds = np.median(seconds_in_turns(works, place.turns, place.device), axis=1)
    speeds = (config.training.batch_size / seconds).tolist()
    for kind, speed in zip(works, speeds, strict=True):
        check.figure(f"{name}_{kind}", speed, "mixtures per second")
    return f"{name} {speeds[0] / speeds[1]:.2f} times as fast as eager bf16 after {taken:.0f} s"


def _fitting(place: Place, *changes: str) -> Config:
    """Halve the batch of the largest preset until a float32 step fits into the device's memory."""
    name = place.presets[-1]
    batch = preset(name).training.batch_size if place.on_gpu else place.config(name).training.batch_size
    while True:
        config = place.config(name, f"training.batch_size={batch}", *changes)
        try:
            Step(config, place.device)()
            return config
        except torch.OutOfMemoryError:
            if batch <= 5:
                raise
            batch //= 2
        finally:
            place.free()
