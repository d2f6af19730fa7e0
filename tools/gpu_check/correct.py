"""What ``make gpu-check`` checks first: does a GPU give the CPU's results, and does no step wait for it?

Each check is a function that gets a :class:`Check` for its figures and faults, and the :class:`Place` where it runs. It
returns one line with the result. All of them use the project's own training, benchmark and evaluation.
"""

from __future__ import annotations

import copy
import math
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from sopedu.config import Config
from sopedu.data.clips import ToyBandClips
from sopedu.evaluation.localization import evaluate_localization
from sopedu.evaluation.pairs import held_out_pairs, predict_masks
from sopedu.evaluation.separation import evaluate
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.model.checkpoints import Checkpoint
from sopedu.training.loop import train
from sopedu.training.resume import load_state
from sopedu.training.run import Callback, Run
from tools.gpu_check.check import NEAR_LOSS, Check, Place, apart, losses_of, rendered_step, require_near
from tools.gpu_check.host_waits import per_step

# float32 on two devices: what tests/training/test_one_number.py allows between instruction sets and thread counts.
_SAME_LOSS = 1e-4
# Masks (0 … 1) and waveforms (−1 … 1) of two devices, both in float32 without TF32; scores in dB, which are rounded.
_SAME_MASK, _SAME_SCORE = 1e-4, 0.01
# CUDA copies from pageable memory without waiting only up to this many bytes (CUDA runtime API, synchronization).
_STAGED_BYTES = 64 * 1024


def losses(check: Check, place: Place) -> str:
    """Check ten steps in float32 and bf16: finite, near each other, and the first equal to the CPU's."""
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
        difference = check.figure(f"{name}_first_loss_from_cpu", apart(first, same), "relative difference")
        check.require(difference <= _SAME_LOSS, f"{name}: the first loss {first[0]:.6g} is not the CPU's {same[0]:.6g}")
    plain = losses_of(rendered_step(config, clips, place.device), 10)
    check.figure(f"{name}_float32_losses", plain, "loss")
    check.require(all(map(math.isfinite, plain)), f"{name} float32: a loss is not finite")
    require_near(check, f"{name}_bf16", losses_of(rendered_step(config, clips, place.device, "bf16"), 10), plain)


def synchronisations(check: Check, place: Place) -> str:
    """Check that no step waits for a value of the device.

    On a GPU whole trainings are checked, on solos and on pasted scenes; on the CPU single steps.
    """
    for name in place.presets:
        config = place.config(name)
        step = rendered_step(config, ToyBandClips(config), place.device, "bf16" if place.on_gpu else "float32")
        if not place.on_gpu:  # a training may read values of its batches, which are on the CPU anyway
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
    """Check that batches are copied to the device from pinned memory, and that no copy is waited for."""
    for name in place.presets:
        with check.part(name):
            config = place.config(name, "training.workers=2", "mixing.pasted_share=0.5")
            steps, seen = per_step(partial(_train, config), place.device)
            for pinned, kind in ((True, "pinned"), (False, "pageable")):
                size = sum(count * copied.size for copied, count in seen.copies.items() if copied.pinned == pinned)
                check.figure(f"{name}_from_{kind}_memory", size / steps / 2**20, "MiB per step")
            waiting = sorted({copied.line for copied in seen.copies if copied.waits})
            large = {copied.line for copied in seen.copies if not copied.pinned and copied.size > _STAGED_BYTES}
            check.require(bool(seen.copies), f"{name}: no copy to the device was seen")
            check.require(not waiting, f"{name}: copies that are waited for: {', '.join(waiting)}")
            check.require(not large, f"{name}: large copies from memory that is not pinned: {', '.join(sorted(large))}")
        place.free()
    return "batches come from pinned memory, no copy is waited for"


def _train(config: Config, steps: int) -> Run:
    config = replace(config, training=replace(config.training, steps=steps))
    return train(config, ToyBandClips(config), record_every=steps)


def queries(check: Check, place: Place) -> str:
    """Check that evaluation, localization and single places give the CPU's results (on the CPU: the other layout's)."""
    config = place.config("tiny", "training.steps=10")
    clips = ToyBandClips(config)
    model = train(config, clips).model
    usual = copy.deepcopy(model).to("cpu", memory_format=torch.contiguous_format).eval()
    pairs = held_out_pairs(clips, 4)
    results: list[dict[str, Any]] = []
    for net in (model, usual):
        pixels = PixelSounds(net, pairs.mixture[0], pairs.frames[0, 0])
        known = Checkpoint(net, clips.class_names)
        results.append(
            {
                "masks": predict_masks(net, pairs.mixture, pairs.frames),
                "sound_of_a_point": pixels.separate((0.3, 0.6)),
                "sound_of_a_box": pixels.separate((0.0, 0.2, 0.5, 0.9)),
                "sound_map": torch.from_numpy(pixels.sound_map()),
                "evaluation": _scores(evaluate(known, pairs=4, dictionaries=False)),
                "localization": _scores(evaluate_localization(known, scenes=2, duets=2)),
            }
        )
    for name, ours in results[0].items():
        scores = name in ("evaluation", "localization")
        difference = (ours.cpu() - results[1][name]).abs().max().item()
        check.figure(f"{name}_difference", difference, "dB" if scores else "of full scale")
        check.require(difference <= (_SAME_SCORE if scores else _SAME_MASK), f"{name}: differs by {difference:.3g}")
    return "evaluation, localization and places as " + ("on the CPU" if place.on_gpu else "in the other memory layout")


def _scores(figures: dict[str, Any]) -> torch.Tensor:
    return torch.tensor([value for name, value in figures.items() if "sdr" in name and isinstance(value, float)])


class _StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_record(self, run: Run) -> None:
        run.stop = run.step == self.step


def resume(check: Check, place: Place) -> str:
    """Check that a training that is stopped halfway and resumed equals the training that was not stopped."""
    lines: list[str] = []
    for name in place.presets:
        for precision in place.precisions:
            with check.part(f"{name}_{precision}"):
                lines.append(_compare_resumed(check, place, name, precision))
            place.free()
    return "; ".join(lines)


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

    with _deterministic() as others:
        whole = trained()
        again, resumed = _difference(whole, trained()), _difference(whole, trained(halfway=True))
    check.figure(f"{kind}_two_runs", again, "largest difference")
    check.figure(f"{kind}_resumed", resumed, "largest difference")
    if place.on_gpu:
        check.figure(f"{kind}_not_deterministic", sorted(others), "operations")
        check.figure(f"{kind}_two_usual_runs", _difference(trained(), trained()), "largest difference")
    # Where two whole runs differ, a resumed one may differ as much; ten times leaves room for chance.
    check.require(resumed <= 10 * again, f"{kind}: resumed differs by {resumed:.3g}, two whole runs by {again:.3g}")
    return f"{kind} {'bit for bit' if resumed == 0 else f'differs by {resumed:.2g}, two whole runs by {again:.2g}'}"


def _difference(one: tuple[list[float], dict], other: tuple[list[float], dict]) -> float:
    """Return the largest difference of losses, weights and optimizer's tensors; infinity where some are missing."""
    (losses, tensors), (others, tensors_too) = one, other
    if len(losses) != len(others) or tensors.keys() != tensors_too.keys():
        return math.inf
    differences = [(value.double() - tensors_too[name].double()).abs().max().item() for name, value in tensors.items()]
    return max(*differences, *(abs(a - b) for a, b in zip(losses, others, strict=True)))


@contextmanager
def _deterministic() -> Iterator[set[str]]:
    """Use operations that repeat bit for bit where torch has them; yield the names of the others."""
    others: set[str] = set()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield others
        finally:
            torch.use_deterministic_algorithms(False)
            lines = (str(one.message) for one in warned)
            others.update(line.split(" ")[0] for line in lines if "deterministic" in line)
