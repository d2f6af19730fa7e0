"""What ``make gpu-check`` measures last: how fast training is on this GPU, and what limits it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from sopedu.config import Config, preset
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.data.index_clips import IndexClips
from sopedu.machine import fastest_convolutions
from sopedu.toyband.export import render_dataset
from sopedu.training.throughput import (
    MatrixProduct,
    Step,
    flop_per_mixture,
    loader_speed,
    peak_memory_gib,
    seconds_in_turns,
    training_speed,
    workers_here,
)
from tools.gpu_check.correct import Check, Place, losses_of, rendered_step, require_near


def throughput(check: Check, place: Place) -> str:
    """How many mixtures per second the loader, the step and a training do, in float32 and bf16."""
    config = _fitting(place, "training.workers=auto")
    workers = workers_here(config)
    batch, speeds = config.training.batch_size, []
    clips: ClipDataset = ToyBandClips(config)
    if place.on_gpu:  # files, as real data has
        clips = IndexClips(render_dataset(place.folder / "clips", 12, seconds=6.0, size=256, progress=False), config)
    check.figure("batch_size", batch, "mixtures")
    check.figure("workers", workers, "processes")
    check.figure("loader", loader_speed(clips, 4 * max(1, workers)), "mixtures per second")
    for precision in place.precisions:
        place.free()
        step = Step(config, place.device, precision)
        alone = batch / float(np.median(_seconds({"step": step}, place)))
        check.figure(f"step_{precision}", alone, "mixtures per second")
        check.figure(f"peak_memory_{precision}", peak_memory_gib(place.device), "GiB")
        del step
        together = check.figure(
            f"training_{precision}", training_speed(clips, config, precision, place.turns), "mixtures per second"
        )
        check.figure(f"waiting_{precision}", max(0.0, 1 - together / alone), "share of the step's speed that is lost")
        speeds.append(f"{precision} {together:.3g} of {alone:.3g}")
    return f"{config.name}, batch {batch}, mixtures per second, training of step alone: {', '.join(speeds)}"


def roofline(check: Check, place: Place) -> str:
    """How many operations per second a step does, and which share that is of a large matrix product's."""
    config, shares = _fitting(place), []
    flop = check.figure("step", flop_per_mixture(config) * config.training.batch_size / 1e12, "TFLOP") * 1e12
    for precision in place.precisions:
        place.free()
        matrix = MatrixProduct(place.device, precision)
        works = {"step": Step(config, place.device, precision), "matrix": matrix}
        step_seconds, matrix_seconds = np.median(_seconds(works, place), axis=1)
        rate = check.figure(f"step_{precision}", float(flop / step_seconds / 1e12), "TFLOP per second")
        roof = check.figure(f"matrix_{precision}", float(matrix.flop / matrix_seconds / 1e12), "TFLOP per second")
        check.figure(f"share_{precision}", rate / roof, "share of the matrix rate")
        shares.append(f"{precision} {rate:.3g} of {roof:.3g}")
        del works, matrix
    return f"{config.name}, TFLOP per second, step of matrix product: {', '.join(shares)}"


def compiled(check: Check, place: Place) -> str:
    """Compiled steps give float32's losses nearly; how long compiling takes and how fast they are then."""
    says: list[str] = []
    for name in place.presets:
        with check.part(name):
            says.append(_compare_compiled(check, place, name))
        torch._dynamo.reset()
        place.free()
    return "; ".join(says)


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
    speeds = config.training.batch_size / np.median(_seconds(works, place), axis=1)
    for kind, speed in zip(works, speeds.tolist(), strict=True):
        check.figure(f"{name}_{kind}", speed, "mixtures per second")
    return f"{name} {speeds[0] / speeds[1]:.2f} times as fast as eager bf16 after {taken:.0f} s"


def _seconds(works: Mapping[str, Callable[[], object]], place: Place) -> np.ndarray:
    """What takes how long, ``(works, turns)``, with the convolutions that a training chooses."""
    with fastest_convolutions(place.device):
        return seconds_in_turns(works, place.turns, place.device)


def _fitting(place: Place, *changes: str) -> Config:
    """The largest preset with its own batch, halved until a float32 step fits into the device's memory."""
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
