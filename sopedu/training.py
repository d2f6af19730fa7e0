"""The training loop: mixtures in, masks out, compare, improve (notebooks 05_mix_and_separate and 09_train_live).

Runs on the CPU, on one GPU, and under ``accelerate launch`` on many. Whatever is random follows from (seed, step).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from sopedu.clips import ClipDataset, VisitSampler
from sopedu.config import Config, TrainingConfig
from sopedu.errors import SopeduError
from sopedu.losses import loss_weight, mask_loss, mask_targets
from sopedu.mixing import Mixtures, mix
from sopedu.model import SoundOfPixels, normalise_frames
from sopedu.spectrogram import log_magnitude, stft, warp


@dataclass
class Run:
    """What callbacks see of a running training, and how they stop it (``run.stop = True``)."""

    config: Config
    model: SoundOfPixels
    class_names: tuple[str, ...]
    steps: int
    step: int = 0
    seconds: float = 0.0
    precision: str = "float32"
    device: str = "cpu"
    same_class_mixtures: int = 0
    stop: bool = False
    failed: bool = False  # the loss was not finite: what the model has become is worth nothing
    interrupted: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


class Callback:
    """Override what you need; every callback gets the :class:`Run`."""

    def on_start(self, run: Run) -> None: ...

    def on_record(self, run: Run) -> None:
        """Called whenever a new entry (step, loss, learning_rate, seconds) stands in ``run.history``."""

    def on_end(self, run: Run) -> None: ...


def train(
    config: Config,
    clips: ClipDataset,
    model: SoundOfPixels | None = None,
    callbacks: Sequence[Callback] = (),
    record_every: int = 10,
) -> Run:
    """Train a model on solos and return the finished run.

    Args:
        config: everything that can be turned; the budget is ``config.training.steps``.
        clips: solos, see :mod:`sopedu.clips`.
        model: continue with this one; by default a new one with its starting weights.
        callbacks: progress, history, live plot, checkpoints: see :mod:`sopedu.callbacks`.
        record_every: steps between two entries of the history; the loss recorded is the mean since the last.

    Raises:
        SopeduError: if the loss is not finite, with the step at which it happened.
    """
    settings = config.training
    torch.manual_seed(settings.seed)
    model = model or new_model(config)
    # Accelerate fixes its own mixed precision for a whole process, but a notebook trains many models in one:
    # so autocast is entered here, and Accelerate is told to leave precision alone.
    accelerator = Accelerator(mixed_precision="no")
    device = accelerator.device
    precision = choose_precision(model, config, device)
    model.train().to(device, memory_format=torch.channels_last)
    optimizer = make_optimizer(model, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, settings))
    sampler = VisitSampler(clips, settings.steps)
    loader = DataLoader(clips, batch_sampler=sampler, num_workers=settings.workers, pin_memory=device.type == "cuda")
    net, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    run = Run(config, model, clips.class_names, settings.steps, precision=precision, device=str(device))
    for callback in callbacks:
        callback.on_start(run)
    began, losses = time.perf_counter(), []
    try:
        for step, (waveforms, frames, labels) in enumerate(loader):
            generator = np.random.default_rng([settings.seed, step, accelerator.process_index])
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss, mixtures = mixture_loss(net, waveforms, frames, labels.cpu().numpy(), config, generator)
            accelerator.backward(loss)
            if settings.clip_gradient:
                accelerator.clip_grad_norm_(model.parameters(), settings.clip_gradient)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
            run.step, run.same_class_mixtures = step + 1, run.same_class_mixtures + mixtures.same_class
            if run.step % record_every == 0 or run.step == run.steps:
                run.seconds = time.perf_counter() - began
                recorded = torch.stack(losses)
                losses.clear()
                if not _all_finite(run, recorded):
                    break
                run.history.append(
                    {
                        "step": run.step,
                        "loss": recorded.mean().item(),
                        "learning_rate": schedule.get_last_lr()[0],
                        "seconds": run.seconds,
                    }
                )
                for callback in callbacks:
                    callback.on_record(run)
            if run.stop:
                break
    except KeyboardInterrupt:
        run.interrupted = True
    if losses and not run.failed:
        _all_finite(run, torch.stack(losses))
    run.seconds = time.perf_counter() - began
    model.eval()
    for callback in callbacks:
        callback.on_end(run)
    if run.failed:
        raise SopeduError(
            f"the loss was no longer finite at step {run.step}: lower the learning rate, or train in float32 "
            "(--set training.precision=float32)"
        )
    return run


def mixture_loss(
    net: torch.nn.Module,
    waveforms: torch.Tensor,
    frames: torch.Tensor,
    labels: np.ndarray,
    config: Config,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, Mixtures]:
    """Mix a batch of solos, predict the masks of all sources, and compare them with the true ones.

    Args:
        waveforms: ``(B, L)`` float.
        frames: ``(B, S, 3, H, W)`` uint8.
        labels: ``(B,)``.

    Returns:
        the loss, a scalar, and the mixtures it was computed on.
    """
    mixtures = mix(waveforms, labels, config.mixing, generator)
    sound = config.spectrogram
    with torch.autocast(waveforms.device.type, enabled=False):  # spectrograms and targets stay float32
        source = warp(stft(mixtures.sources, sound).abs(), sound)  # (M, N, Q, T)
        mixture = warp(stft(mixtures.mixture, sound).abs(), sound)[:, None]  # (M, 1, Q, T)
    target, weight = mask_targets(source, mixture, config.loss), loss_weight(mixture, config.loss)
    shown = torch.cat([mixtures.members, mixtures.absent], dim=1)
    if config.mixing.absent:  # what is seen but not heard owns nothing; −1 says that nobody could be found
        nothing = torch.zeros_like(target[:, :1]).expand(-1, config.mixing.absent, -1, -1)
        target = torch.cat([target, nothing], dim=1)
        weight = weight * (shown >= 0)[..., None, None]
    pictures = augment(normalise_frames(frames), config, generator)
    logits = net(log_magnitude(mixture, sound), pictures, shown.clamp_min(0))
    return mask_loss(logits, target, weight, config.loss), mixtures


def augment(frames: torch.Tensor, config: Config, generator: np.random.Generator) -> torch.Tensor:
    """Mirror and tint whole clips of normalised frames ``(B, S, 3, H, W)`` at random."""
    count = len(frames)
    if config.mixing.flip:
        mirrored = torch.from_numpy(generator.random(count) < 0.5).to(frames.device)
        frames = torch.where(mirrored[:, None, None, None, None], frames.flip(-1), frames)
    if config.mixing.colour_jitter:
        jitter = config.mixing.colour_jitter
        gain = torch.from_numpy(generator.uniform(1 - jitter, 1 + jitter, (count, 1, 3, 1, 1)))
        shift = torch.from_numpy(generator.uniform(-jitter, jitter, (count, 1, 3, 1, 1)))
        frames = frames * gain.to(frames) + shift.to(frames)
    return frames


def new_model(config: Config) -> SoundOfPixels:
    """Build a model with the starting weights its configuration names."""
    model = SoundOfPixels(config)
    if config.model.frame_weights == "procedural":
        from sopedu.pretraining import load_warm_start

        load_warm_start(model.frame_net)
    return model


def make_optimizer(model: SoundOfPixels, settings: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW or SGD; the pre-trained body of the frame net learns at its own rate."""
    body = list(model.frame_net.body.parameters())
    rest = [p for part in (model.frame_net.head, model.audio_net, model.synthesizer) for p in part.parameters()]
    groups = [
        {"params": rest, "lr": settings.learning_rate},
        {"params": body, "lr": settings.frame_learning_rate},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, betas=settings.betas, weight_decay=settings.weight_decay)


def rate_factor(step: int, settings: TrainingConfig) -> float:
    """What the learning rates are multiplied with at a step: warm-up, then cosine to zero, or ×0.1 at 40 and 80 %."""
    warmup = settings.warmup_share * settings.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, settings.steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return 0.1 ** sum(step >= share * settings.steps for share in (0.4, 0.8))


def choose_precision(model: SoundOfPixels, config: Config, device: torch.device) -> str:
    """Resolve ``precision="auto"``: bf16 on GPUs that have it; on the CPU only if a short probe finds it faster.

    With AVX-512 bf16 instructions it is about 1.4 times as fast as float32, without them ten times slower.
    """
    wanted = config.training.precision
    if wanted != "auto":
        return wanted
    if device.type != "cpu":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    sound, size = config.spectrogram, config.frames.size
    probe = copy.deepcopy(model).train().to(memory_format=torch.channels_last)
    heard = torch.zeros(4, 1, sound.log_frequency_bins, sound.time_frames)
    seen = torch.zeros(4, 2, config.frames.count, 3, size, size)
    seconds = {}
    for precision in ("float32", "bf16", "float32", "bf16"):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = probe(heard, seen)
        logits.float().square().mean().backward()
        seconds[precision] = time.perf_counter() - began  # the second round counts: the first warms up
    return "bf16" if seconds["bf16"] < 0.95 * seconds["float32"] else "float32"


def _all_finite(run: Run, losses: torch.Tensor) -> bool:
    """Mark the run as failed, at the first step whose loss was not finite."""
    finite = torch.isfinite(losses).cpu()
    if not bool(finite.all()):
        run.failed = True
        run.step += 1 - len(losses) + int((~finite).nonzero()[0])
    return not run.failed
