"""What ``make gpu-check`` checks first: does a GPU compute what the CPU computes, and does it never have to wait?

Each check is a function that gets a :class:`Check` to write its figures and faults into, and the :class:`Place` it runs
at; it returns one line that says what holds. All call the project's own training, benchmark and evaluation.
"""

from __future__ import annotations

import copy
import math
import shutil
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.batches import collate
from sopedu.data.clips import ClipDataset, ToyBandClips
from sopedu.evaluation.localization import evaluate_localization
from sopedu.evaluation.pairs import held_out_pairs, predict_masks
from sopedu.evaluation.separation import evaluate
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.checkpoints import Checkpoint
from sopedu.training.loop import train
from sopedu.training.resume import load_state
from sopedu.training.run import Callback, Run
from sopedu.training.throughput import Step
from tools.gpu_check.host_waits import per_step

#: float32 on two devices: what tests/test_one_number.py allows between instruction sets and thread counts.
SAME_LOSS = 1e-4
#: bf16 and compiled steps against float32, relative, over ten steps. Training itself falls back to float32 from 5 % on.
NEAR_LOSS = 0.02
#: Masks (0…1) and waveforms (-1…1) of two devices, both in float32 without TF32; and scores in dB, with their rounding.
SAME_MASK, SAME_SCORE = 1e-4, 0.01
#: CUDA copies from pageable memory without waiting only up to this many bytes (CUDA runtime API, synchronization).
STAGED_BYTES = 64 * 1024

# On the CPU. Not AdamW: it reads its step count back there, which fused optimizers on a GPU do not.
_TINY = """model.audio_channels=8,8,8 model.frame_width=8 model.components=4 frames.size=32 frames.resize=35
spectrogram.samples=8191 training.batch_size=4 training.optimizer=sgd toyband.solos=9"""
# What the machine would choose is fixed here, and chosen by the checks that are about it.
_FIXED = """model.frame_weights=none training.compile=none training.workers=0
toyband.instruments=violin,tuba,xylophone toyband.empty_scenes=4"""


@dataclass
class Check:
    """One check: what it measured, and what it found wrong."""

    result: str = "ok"  # or "failed", "skipped", "out of time"
    line: str = ""
    seconds: float = 0.0
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    traceback: str = ""

    def figure(self, name: str, value: Any, unit: str) -> Any:
        """Keep a figure for the JSON file, to four digits, and return it as it was."""

        def kept(one: Any) -> Any:
            if not isinstance(one, float):
                return one
            return float(f"{one:.4g}") if math.isfinite(one) else str(one)

        self.figures[name] = {"value": [*map(kept, value)] if isinstance(value, list) else kept(value), "unit": unit}
        return value

    def require(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)

    @contextmanager
    def part(self, name: str = "") -> Iterator[None]:
        """Keep an error as a fault, so that what comes after this part is checked all the same."""
        try:
            yield
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
            self.faults.append(f"{name}: {said}" if name else said)
            self.traceback += traceback.format_exc(limit=-20)


@dataclass(frozen=True)
class Place:
    """Where checks run: the device, and a folder for their files."""

    device: torch.device
    folder: Path

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def presets(self) -> tuple[str, ...]:
        return ("tiny", "paper") if self.on_gpu else ("tiny",)

    @property
    def precisions(self) -> tuple[str, ...]:
        return ("float32", "bf16") if self.on_gpu else ("float32",)

    @property
    def turns(self) -> int:
        """How often what is timed is timed; on a GPU each time is that of ten steps."""
        return 4 if self.on_gpu else 1

    def config(self, name: str, *changes: str) -> Config:
        small = [] if self.on_gpu else _TINY.split()
        solos = ["toyband.solos=24", "training.batch_size=8"] if self.on_gpu else []
        return with_values(preset(name), [*_FIXED.split(), *solos, *small, *changes])

    def free(self) -> None:
        if self.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def rendered_step(config: Config, clips: ClipDataset, device: torch.device, precision: str = "float32") -> Step:
    """A step on rendered clips; weights, clips and mixtures are the same each time and on every device."""
    torch.manual_seed(0)  # weights are drawn on the CPU, before anything else
    step = Step(config, device, precision)
    batch = collate([clips[place % len(clips)] for place in range(len(step.labels))])
    step.waveforms, step.frames = batch.waveforms.to(device), batch.frames.to(device)
    step.labels = batch.labels.numpy()
    return step


def losses_of(step: Step, count: int) -> list[float]:
    return torch.stack([step() for _ in range(count)]).tolist()


def _apart(losses: list[float], others: list[float]) -> float:
    """Largest relative difference between two lists of losses; infinite where one is not a number."""
    apart = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(losses, others, strict=True)]
    return max(apart) if all(map(math.isfinite, apart)) else math.inf


def require_near(check: Check, name: str, losses: list[float], others: list[float]) -> None:
    check.figure(f"{name}_losses", losses, "loss")
    check.require(all(map(math.isfinite, losses)), f"{name}: a loss is not finite")
    apart = check.figure(f"{name}_from_float32", 100 * _apart(losses, others), "percent")
    check.require(apart <= 100 * NEAR_LOSS, f"{name}: losses differ from float32's by {apart:.3g} %")


def losses(check: Check, place: Place) -> str:
    """Ten steps in float32 and bf16: finite, near each other, and the first equal to the CPU's."""
    for name in place.presets:
        with check.part(name):
            _compare_losses(check, place, name)
        place.free()
    return f"finite, bf16 within {100 * NEAR_LOSS:g} % of float32 over ten steps"


def _compare_losses(check: Check, place: Place, name: str) -> None:
    config = place.config(name)
    clips = ToyBandClips(config)
    if place.on_gpu:
        there, here = (rendered_step(config, clips, device) for device in (place.device, torch.device("cpu")))
        first, same = losses_of(there, 1), losses_of(here, 1)
        apart = check.figure(f"{name}_first_loss_from_cpu", _apart(first, same), "relative difference")
        check.require(apart <= SAME_LOSS, f"{name}: the first loss {first[0]:.6g} is not the CPU's {same[0]:.6g}")
    plain = losses_of(rendered_step(config, clips, place.device), 10)
    check.figure(f"{name}_float32_losses", plain, "loss")
    check.require(all(map(math.isfinite, plain)), f"{name} float32: a loss is not finite")
    require_near(check, f"{name}_bf16", losses_of(rendered_step(config, clips, place.device, "bf16"), 10), plain)


def synchronisations(check: Check, place: Place) -> str:
    """No step waits for a value of the device: of a training, on solos and pasted scenes; on the CPU, of one alone."""
    for name in place.presets:
        config = place.config(name)
        step = rendered_step(config, ToyBandClips(config), place.device, "bf16" if place.on_gpu else "float32")
        if not place.on_gpu:  # there a training may look at its batches, which come from the CPU anyway
            with check.part(name):
                _watch(check, name, lambda count, step=step: losses_of(step, count), place)
            continue
        for kind, share in ((name, 0), (f"{name}_pasted", 1)):
            with check.part(kind):
                _watch(check, kind, partial(_train, place.config(name, f"mixing.pasted_share={share}")), place)
        with check.part(f"{name}, a step where waiting is an error"):
            step()
            torch.cuda.set_sync_debug_mode("error")
            try:
                step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        place.free()
    return "no step waits for the device" if place.on_gpu else "no value is read back in a step"


def _watch(check: Check, kind: str, work: Callable[[int], object], place: Place) -> None:
    steps, seen = per_step(work, place.device)
    reads = check.figure(f"{kind}_values_read_back", seen.reads.total() / steps, "per step")
    check.require(not reads, f"{kind}: {reads:g} values read back per step: {', '.join(seen.reads)}")
    if place.on_gpu:
        waits = check.figure(f"{kind}_waits", seen.waits / steps, "per step")
        check.require(waits <= 0, f"{kind}: CUDA waits {waits:g} times per step")


def copies(check: Check, place: Place) -> str:
    """Batches go to the device from pinned memory, and nobody waits for a copy."""
    for name in place.presets:
        with check.part(name):
            config = place.config(name, "training.workers=2", "mixing.pasted_share=0.5")
            steps, seen = per_step(partial(_train, config), place.device)
            for pinned, kind in ((True, "pinned"), (False, "pageable")):
                size = sum(count * copied.size for copied, count in seen.copies.items() if copied.pinned == pinned)
                check.figure(f"{name}_from_{kind}_memory", size / steps / 2**20, "MiB per step")
            waiting = sorted({copied.line for copied in seen.copies if copied.waits})
            large = {copied.line for copied in seen.copies if not copied.pinned and copied.size > STAGED_BYTES}
            check.require(bool(seen.copies), f"{name}: no copy to the device was seen")
            check.require(not waiting, f"{name}: copies that are waited for: {', '.join(waiting)}")
            check.require(not large, f"{name}: large copies from memory that is not pinned: {', '.join(sorted(large))}")
        place.free()
    return "batches come from pinned memory, no copy is waited for"


def _train(config: Config, steps: int) -> Run:
    config = replace(config, training=replace(config.training, steps=steps))
    return train(config, ToyBandClips(config), record_every=steps)


def queries(check: Check, place: Place) -> str:
    """Evaluation, localization and single places answer as on the CPU (there: as in the other memory layout)."""
    config = place.config("tiny", "training.steps=10")
    clips = ToyBandClips(config)
    model = train(config, clips).model
    usual = copy.deepcopy(model).to("cpu", memory_format=torch.contiguous_format).eval()
    pairs = held_out_pairs(clips, 4)
    answers: list[dict[str, Any]] = []
    for net in (model, usual):
        pixels = PixelSounds(net, pairs.mixture[0], pairs.frames[0, 0])
        known = Checkpoint(net, clips.class_names)
        answers.append(
            {
                "masks": predict_masks(net, pairs.mixture, pairs.frames),
                "sound_of_a_point": pixels.separate((0.3, 0.6)),
                "sound_of_a_box": pixels.separate((0.0, 0.2, 0.5, 0.9)),
                "sound_map": torch.from_numpy(pixels.sound_map()),
                "evaluation": _scores(evaluate(known, pairs=4)),
                "localization": _scores(evaluate_localization(known, scenes=2, duets=2)),
            }
        )
    for name, ours in answers[0].items():
        scores = name in ("evaluation", "localization")
        apart = (ours.cpu() - answers[1][name]).abs().max().item()
        check.figure(f"{name}_difference", apart, "dB" if scores else "of full scale")
        check.require(apart <= (SAME_SCORE if scores else SAME_MASK), f"{name}: differs by {apart:.3g}")
    return "evaluation, localization and places answer as " + ("on the CPU" if place.on_gpu else "in the other layout")


def _scores(figures: dict[str, Any]) -> torch.Tensor:
    return torch.tensor([value for name, value in figures.items() if "sdr" in name and isinstance(value, float)])


class _StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_record(self, run: Run) -> None:
        run.stop = run.step == self.step


def resume(check: Check, place: Place) -> str:
    """A training that is stopped halfway and resumed is the training that was not stopped."""
    says: list[str] = []
    for name in place.presets:
        for precision in place.precisions:
            with check.part(f"{name}_{precision}"):
                says.append(_compare_resumed(check, place, name, precision))
            place.free()
    return "; ".join(says)


def _compare_resumed(check: Check, place: Place, name: str, precision: str) -> str:
    kind, steps = f"{name}_{precision}", 40 if place.on_gpu else 8
    config = place.config(name, f"training.steps={steps}", f"training.precision={precision}")
    clips, folder = ToyBandClips(config), place.folder / kind

    def trained(halfway: bool = False) -> tuple[list[float], dict[str, torch.Tensor]]:
        stop = [_StopAt(steps // 2)] if halfway else []
        run = train(config, clips, callbacks=stop, record_every=1, folder=folder)
        if halfway:
            check.require(run.step == steps // 2, f"{kind}: stopped at step {run.step}")
            run = train(config, clips, record_every=1, folder=folder, resume=True)
        check.require(run.precision == precision, f"{kind}: trained in {run.precision}")
        tensors = load_state(folder / "resume")[0].tensors
        shutil.rmtree(folder)
        return [entry["loss"] for entry in run.history], tensors

    with _deterministic() as said:
        whole = trained()
        again, resumed = _difference(whole, trained()), _difference(whole, trained(halfway=True))
    check.figure(f"{kind}_two_runs", again, "largest difference")
    check.figure(f"{kind}_resumed", resumed, "largest difference")
    if place.on_gpu:
        check.figure(f"{kind}_not_deterministic", sorted(said), "operations")
        check.figure(f"{kind}_two_usual_runs", _difference(trained(), trained()), "largest difference")
    # Where two whole runs differ, a resumed one may differ as much; ten times is a margin for chance.
    check.require(resumed <= 10 * again, f"{kind}: resumed differs by {resumed:.3g}, two whole runs by {again:.3g}")
    return f"{kind} {'bit for bit' if resumed == 0 else f'differs by {resumed:.2g}, two whole runs by {again:.2g}'}"


def _difference(one: tuple[list[float], dict], other: tuple[list[float], dict]) -> float:
    """Largest difference of losses, weights and optimizer's tensors; infinite where they are not the same ones."""
    (losses, tensors), (others, tensors_too) = one, other
    if len(losses) != len(others) or tensors.keys() != tensors_too.keys():
        return math.inf
    apart = [(value.double() - tensors_too[name].double()).abs().max().item() for name, value in tensors.items()]
    return max(*apart, *(abs(a - b) for a, b in zip(losses, others, strict=True)))


@contextmanager
def _deterministic() -> Iterator[set[str]]:
    """Operations that repeat bit for bit, where torch has them; yields what it says of the others."""
    said: set[str] = set()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield said
        finally:
            torch.use_deterministic_algorithms(False)
            lines = (str(one.message) for one in warned)
            said.update(line.split(" ")[0] for line in lines if "deterministic" in line)
