"""What limits the speed of a training: the step and what each measure brings it, the loader, the arithmetic.

``sopedu benchmark`` puts it together. Explained in notebook 13_train_full; figures in ``docs/design.md``, Throughput.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from sopedu.audio.masks import ideal_binary_mask, ideal_ratio_mask
from sopedu.audio.spectrogram import log_magnitude, stft, warp
from sopedu.config import Config
from sopedu.data.batches import Failures, collate
from sopedu.data.clips import ClipDataset
from sopedu.data.mixing import mix
from sopedu.data.sampling import TrainingSampler
from sopedu.machine import compile_mode, loading_processes
from sopedu.model.sound_of_pixels import normalise_frames, untrained
from sopedu.training.loop import train
from sopedu.training.loss import augment, loss_weight, mask_loss, mixture_loss
from sopedu.training.optimizer import MovingAverage, freeze, make_optimizer, training_mode


@dataclass(frozen=True)
class Measures:
    """What makes a training step faster; by default all that training does.

    Attributes:
        frames_once: a solo passes the frame net once, not once for every mixture it is shown with.
        spectrograms_once: a solo is transformed once, and mixtures are sums of spectrograms; otherwise every source
            and every mixture has an STFT of its own.
        channels_last: weights and pictures lie in memory with their channels together.
        bf16: convolutions in bf16, where training would choose it.
        optimizer: updates many parameters at once where training does, otherwise one by one.
    """

    frames_once: bool = True
    spectrograms_once: bool = True
    channels_last: bool = True
    bf16: bool = True
    optimizer: bool = True


PLAIN = Measures(False, False, False, False, False)


class Step:
    """A training step on random clips that can be repeated: the loss of a batch, its gradients, the update.

    Args:
        config: scenes are not pasted; ``training.compile`` holds where all measures are taken.
        precision: ``bf16`` or ``float32``.
        measures: what to do without.
    """

    def __init__(
        self, config: Config, device: torch.device, precision: str = "float32", measures: Measures = Measures()
    ) -> None:
        settings, size, memory = config.training, config.frames.size, torch.contiguous_format
        if measures.channels_last:
            memory = torch.channels_last
        self.config, self.device, self.measures, self.count = config, device, measures, 0
        self.bf16 = measures.bf16 and precision == "bf16"
        self.model = untrained(config)
        frozen = freeze(self.model, settings.freeze) if settings.freeze else []
        self.model.to(device, memory_format=memory)
        training_mode(self.model, frozen)
        self.average = MovingAverage(self.model, settings.average_decay) if settings.average_decay else None
        self.optimizer = make_optimizer(self.model, settings)
        if not measures.optimizer:
            for group in self.optimizer.param_groups:
                group.update(foreach=False, fused=False)
        self.net: torch.nn.Module = self.model
        mode, _ = compile_mode(config, device)
        if mode != "none" and measures == Measures():
            self.net = torch.compile(self.model, mode=mode, dynamic=False)
        solos = settings.batch_size * (1 if config.mixing.pairing == "in-batch" else config.mixing.sources)
        self.waveforms = 0.1 * torch.randn(solos, config.spectrogram.samples, device=device)
        pictures = torch.randint(256, (solos, config.frames.count, size, size, 3), dtype=torch.uint8, device=device)
        self.frames = pictures.permute(0, 1, 4, 2, 3)  # as batches of clips lie in memory
        if not measures.channels_last:
            self.frames = self.frames.contiguous()
        self.labels, self.generator = np.arange(solos) % 4, np.random.default_rng(0)

    def loss(self) -> torch.Tensor:
        """The loss of the batch, each time with new mixtures."""
        batch = self.waveforms, self.frames, self.labels, self.config, self.generator
        if self.measures.frames_once and self.measures.spectrograms_once:
            return mixture_loss(self.net, *batch)[0]
        return plain_loss(self.net, *batch, self.measures)

    def __call__(self) -> torch.Tensor:
        """Take the step; return its loss, still on the device."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = self.loss()
        loss.backward()
        if self.config.training.clip_gradient:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.model, self.count)
        self.count += 1
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
    """What :func:`~sopedu.training.loss.mixture_loss` returns, computed without sharing work between mixtures.

    Arguments as there. Every picture passes the frame net for each mixture that it is shown with, as a source or as an
    absent instrument; in training mode those that are shown more often then weigh more in its batch statistics.
    """
    if measures.spectrograms_once:
        return mixture_loss(_Repeating(net), waveforms, frames, labels, config, generator)[0]
    mixtures, sound = mix(waveforms, labels, config.mixing, generator), config.spectrogram
    with torch.autocast(waveforms.device.type, enabled=False):
        source = warp(stft(mixtures.sources, sound).abs(), sound)
        mixture = warp(stft(mixtures.mixture, sound).abs(), sound)[:, None]
    ideal = ideal_binary_mask if config.loss.target == "binary" else ideal_ratio_mask
    target, weight = ideal(source, mixture), loss_weight(mixture, config.loss)
    pictures = augment(normalise_frames(frames), config, generator)
    shown = torch.cat([mixtures.members, mixtures.absent], dim=1)
    silence = torch.zeros_like(target[:, :1]).expand(-1, mixtures.absent.shape[1], -1, -1)
    weight = weight * (shown >= 0)[..., None, None]
    shower = net if measures.frames_once else _Repeating(net)
    logits = shower(log_magnitude(mixture, sound), pictures, shown.clamp_min(0))
    return mask_loss(logits, torch.cat([target, silence], dim=1), weight, config.loss)


class _Repeating:
    """A net that is given a picture once for every mixture that it is shown with."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def __call__(self, heard: torch.Tensor, frames: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        places = torch.arange(shown.numel(), device=shown.device).view_as(shown)
        return self.net(heard, frames[shown.flatten()], places)


def flop_per_mixture(config: Config) -> float:
    """Floating point operations of the nets for one mixture, forward and backward; multiply and add are two.

    Counted where no memory is taken (torch's ``meta`` device). STFT and warp add a thousandth with preset ``paper``.
    """
    settings, mixing, sound = config.training, config.mixing, config.spectrogram
    mixtures, size = settings.batch_size, config.frames.size
    solos = mixtures * (1 if mixing.pairing == "in-batch" else mixing.sources)
    with torch.device("meta"):
        model = untrained(config)
        heard = torch.empty(mixtures, 1, sound.log_frequency_bins, sound.time_frames)
        frames = torch.empty(solos, config.frames.count, 3, size, size)
        shown = torch.zeros(mixtures, mixing.sources + mixing.absent, dtype=torch.long)
    if settings.freeze:
        freeze(model, settings.freeze)
    with FlopCounterMode(display=False) as counter:
        model(heard, frames, shown).sum().backward()
    return counter.get_total_flops() / mixtures


class MatrixProduct:
    """One large matrix product, the fastest arithmetic that a device does; ``flop`` says how much it is."""

    def __init__(self, device: torch.device, precision: str) -> None:
        size = 8192 if device.type == "cuda" else 2048
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        self.left, self.right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        self.product, self.flop = torch.empty_like(self.left), 2 * size**3

    def __call__(self) -> None:
        torch.mm(self.left, self.right, out=self.product)


def seconds_in_turns(works: Mapping[str, Callable[[], object]], turns: int, device: torch.device) -> np.ndarray:
    """Seconds of some works, ``(len(works), turns)``: in every turn one after the other, so that load slows all alike.

    On a GPU each is queued ten times before the clock is read, as in a training, where nobody waits for a step.
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
        seconds(work)  # the first time pays for memory and tables
    return np.array([[seconds(work) for work in works.values()] for _ in range(turns)]).T


def measure_by_measure(config: Config, device: torch.device, precision: str, turns: int = 5) -> dict[str, float]:
    """How many times as fast as the plain step it is with one measure, two measures, … and all of :class:`Measures`."""
    ladder, taken = {"plain": Step(config, device, precision, PLAIN)}, PLAIN
    for field in fields(Measures):
        taken = replace(taken, **{field.name: True})
        ladder[field.name] = Step(config, device, precision, taken)
    plain, *others = seconds_in_turns(ladder, turns, device)
    return {name: float(np.median(plain / other)) for name, other in zip(list(ladder)[1:], others, strict=True)}


def workers_here(config: Config) -> int:
    """How many processes would load clips in a training on this machine."""
    return loading_processes(config, torch.device("cuda" if torch.cuda.is_available() else "cpu"))[0]


def loader_speed(clips: ClipDataset, batches: int) -> float:
    """Mixtures a second for which the loader alone would have clips, with ``training.workers`` processes.

    Raises:
        SopeduError: if too many clips cannot be read.
    """
    settings, workers = clips.config.training, workers_here(clips.config)
    ahead = max(1, 2 * workers)  # so many are begun at once, before the pace is steady
    batches += -batches % max(1, workers)
    loader = DataLoader(
        clips,
        batch_sampler=TrainingSampler(clips, ahead + batches),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )
    failures, arrivals = Failures(len(clips)), []
    for batch in loader:
        failures.new(batch)
        arrivals.append(time.perf_counter())
    return batches * settings.batch_size / (arrivals[-1] - arrivals[ahead - 1])


def training_speed(clips: ClipDataset, config: Config, precision: str, turns: int) -> float:
    """Mixtures a second of a short training: loader and step together, as the training loop runs them."""
    every = 10 if torch.cuda.is_available() else 1
    warm = -(-max(1, 2 * workers_here(config)) // every)  # records until the pace is steady
    mode, _ = compile_mode(config, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    steps = every * (warm + turns)
    short = replace(config.training, steps=steps, precision=precision, compile=mode, validate_every=0)
    short = replace(config, training=short, model=replace(config.model, frame_weights="none"))
    history = train(short, clips, record_every=every).history
    first, last = history[warm - 1], history[-1]
    return (last["step"] - first["step"]) * config.training.batch_size / (last["seconds"] - first["seconds"])


def peak_memory_gib(device: torch.device) -> float | None:
    """Most memory that tensors took on a GPU so far; on the CPU, most that this process took, where that is known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
