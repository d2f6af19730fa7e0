"""Measure the gain of each optimization of the training step: ``python -m tools.step_measures --preset laptop``.

The plain step works in float32 on contiguous memory, sends each picture through the frame net for each mixture that it
is shown with, transforms each source and each mixture on its own, and updates parameters one by one. The measures of
:class:`Measures` are then added one after the other. Rendering and BSS Eval are timed too. The figures are in
``docs/measurements.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from sopedu.audio.masks import MASK_KINDS
from sopedu.audio.metrics import batched_bss_eval, bss_eval
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import Config, preset, with_values
from sopedu.data.augmentation import augment
from sopedu.data.mixing import mix
from sopedu.machine import fastest_convolutions, full_float32
from sopedu.model.sound_of_pixels import normalise_frames
from sopedu.toyband.scenes import solo
from sopedu.training.benchmark import Step, seconds_in_turns
from sopedu.training.loss import shown_loss

_RENDERED = 22  # solos to time


@dataclass(frozen=True)
class Measures:
    """What makes a training step faster; by default everything that a training does.

    Attributes:
        frames_once: each solo passes the frame net once, instead of once for each mixture that it is shown with.
        spectrograms_once: each solo is transformed once, and mixtures are sums of spectrograms; otherwise each source
            and each mixture has an STFT of its own.
        channels_last: weights and pictures keep the channels of a pixel together in memory.
        bf16: convolutions in bf16, if the step is asked for in bf16.
        optimizer: updates many parameters at once where training does, otherwise one by one.
    """

    frames_once: bool = True
    spectrograms_once: bool = True
    channels_last: bool = True
    bf16: bool = True
    optimizer: bool = True


PLAIN = Measures(False, False, False, False, False)


class MeasuredStep(Step):
    """A training step without some of the measures.

    Args:
        config: of the training; ``training.compile`` counts only with all measures.
        device: where to compute.
        precision: ``float32`` or ``bf16``.
        measures: that the step takes.
    """

    def __init__(self, config: Config, device: torch.device, precision: str, measures: Measures) -> None:
        if measures != Measures():
            config = replace(config, training=replace(config.training, compile="none"))
        super().__init__(config, device, precision if measures.bf16 else "float32")
        self.measures, run = measures, self.trainer.run
        if not measures.channels_last:
            self.batch = self.batch._replace(frames=self.batch.frames.contiguous())
            for model in (self.model, *([run.average.model] if run.average else [])):
                model.to(memory_format=torch.contiguous_format)
        if not measures.optimizer:
            for group in self.trainer.optimizer.param_groups:
                group.update(foreach=False, fused=False)

    def __call__(self) -> torch.Tensor:
        """Do the step and return its loss, still on the device."""
        if self.measures.frames_once and self.measures.spectrograms_once:
            return super().__call__()
        run, settings, optimizer = self.trainer.run, self.config.training, self.trainer.optimizer
        waveforms, frames, labels = self.batch[:3]
        generator = np.random.default_rng([settings.seed, run.step])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=run.precision == "bf16"):
            loss = plain_loss(self.model, waveforms, frames, labels.numpy(), self.config, generator, self.measures)
        loss.backward()
        if settings.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip_gradient)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if run.average:
            run.average.update(self.model, run.step)
        run.step += 1
        return loss.detach()


def plain_loss(
    net: torch.nn.Module,
    waveforms: torch.Tensor,
    frames: torch.Tensor,
    labels: np.ndarray,
    config: Config,
    generator: np.random.Generator,
    measures: Measures = PLAIN,
) -> torch.Tensor:
    """Compute what the training's ``mixture_loss`` returns without sharing work between mixtures.

    In training mode pictures that are shown more often then weigh more in the frame net's batch statistics.

    Args:
        net: model to train.
        waveforms: ``(B, L)`` float.
        frames: ``(B, S, 3, H, W)`` uint8.
        labels: class of each solo, ``(B,)``.
        config: of the training.
        generator: draws the mixtures.
        measures: of which ``frames_once`` and ``spectrograms_once`` count here.

    Returns:
        the loss, a scalar.
    """
    mixtures, sound = mix(waveforms, labels, config.mixing, generator), config.spectrogram
    with torch.autocast(waveforms.device.type, enabled=False):
        if measures.spectrograms_once:
            spectra = mixtures.spectra(sound)
        else:
            source, mixture = (warp(stft(waves, sound).abs(), sound) for waves in (mixtures.sources, mixtures.mixture))
            spectra = SimpleNamespace(source=source, mixture=mixture[:, None], config=sound)
        target = MASK_KINDS[config.loss.target].target(spectra)
    pictures = augment(normalise_frames(frames), config, generator)
    shown = torch.cat([mixtures.members, mixtures.absent], dim=1)
    net = net if measures.frames_once else _Repeating(net)
    return shown_loss(net, spectra, target, pictures, shown, config)


class _Repeating:
    """A net that gets each picture once for each mixture that it is shown with."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def __call__(self, heard: torch.Tensor, frames: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        places = torch.arange(shown.numel(), device=shown.device).view_as(shown)
        return self.net(heard, frames[shown.flatten()], places)


def measure_by_measure(config: Config, device: torch.device, precision: str, turns: int) -> dict[str, float]:
    """Measure how many times as fast as the plain step it is with one measure, two measures, … all of them.

    Args:
        config: of the training.
        device: where to compute.
        precision: ``float32`` or ``bf16``.
        turns: number of turns; the results are medians over them.

    Returns:
        name of the measure that was added → speed-up.
    """
    ladder, taken = {"plain": MeasuredStep(config, device, precision, PLAIN)}, PLAIN
    for field in fields(Measures):
        taken = replace(taken, **{field.name: True})
        ladder[field.name] = MeasuredStep(config, device, precision, taken)
    with fastest_convolutions(device):
        plain, *others = seconds_in_turns(ladder, turns, device)
    return {name: float(np.median(plain / other)) for name, other in zip(list(ladder)[1:], others, strict=True)}


def measure_bss_eval(turns: int, pairs: int = 4) -> dict[str, float]:
    """Measure the seconds of BSS Eval per pair of 6 s at 11 025 Hz, ours and mir_eval's, on one thread each.

    Args:
        turns: number of turns; the results are medians over them.
        pairs: of sources.
    """
    from threadpoolctl import threadpool_limits  # comes with librosa

    generator = np.random.default_rng(0)
    references = generator.normal(0, 0.1, (pairs, 2, 66150))
    estimates = references + 0.3 * references[:, ::-1]
    tensors = torch.from_numpy(references), torch.from_numpy(estimates)
    works = {
        "ours": lambda: batched_bss_eval(*tensors),  # limits itself to one thread
        "mir_eval": lambda: [*map(bss_eval, references, estimates)],
    }
    with threadpool_limits(1):
        ours, theirs = seconds_in_turns(works, turns, torch.device("cpu")) / pairs
    return {
        "bss_eval_seconds_per_pair": float(np.median(ours)),
        "mir_eval_seconds_per_pair": float(np.median(theirs)),
        "bss_eval_speedup_over_mir_eval": float(np.median(theirs / ours)),
    }


def run_measures(config: Config, turns: int, device: torch.device, precision: str) -> dict[str, float]:
    """Measure the step in both precisions, the gain of each measure, rendering and scoring.

    Args:
        config: of the training.
        turns: number of turns; the results are medians over them.
        device: where to compute.
        precision: of the steps whose measures are compared, ``float32`` or ``bf16``.
    """
    full_float32(device)
    steps = {f"step_ms_{name}": Step(config, device, name) for name in ("float32", "bf16")}
    with fastest_convolutions(device):
        medians = 1000 * np.median(seconds_in_turns(steps, turns, device), axis=1)
    ladder = measure_by_measure(config, device, precision, turns)
    seeds = iter(range(1000))
    render: dict[str, Callable[[], object]] = {"render": lambda: solo(next(seeds))}
    rendering = 1000 * float(np.median(seconds_in_turns(render, _RENDERED, torch.device("cpu"))))
    return {
        **dict(zip(steps, medians.tolist(), strict=True)),
        **{f"speedup_with_{name}": value for name, value in ladder.items()},
        "render_ms_solo_6s_3_frames_224px": rendering,
        **measure_bss_eval(turns),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print from a command line.

    Args:
        arguments: of the command line; None: those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.step_measures", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--preset", default="tiny", help="whose step to measure (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field")
    parser.add_argument("--steps", type=int, default=5, help="number of turns (default: %(default)s)")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="bf16", help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    asked = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = with_values(preset(asked.preset), asked.set)
    figures: dict[str, Any] = run_measures(config, asked.steps, device, asked.precision)
    figures = {name: float(f"{value:.4g}") for name, value in figures.items()}
    for name, value in figures.items():
        print(f"{name:36}{value}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
