"""Render data, train a model and evaluate it, in a few minutes on a laptop: what ``make demo`` runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sopedu.config import Config, preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.errors import whole_number
from sopedu.evaluation.localization import evaluate_localization
from sopedu.evaluation.pairs import TestPairs
from sopedu.evaluation.separation import evaluate_with_examples
from sopedu.files import write_json
from sopedu.folders import new_run_folder, require_new_folder, through_links
from sopedu.model.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from sopedu.toyband import DEMO_INSTRUMENTS, duet
from sopedu.training.callbacks import JsonLinesHistory, KeepCheckpoint, Progress
from sopedu.training.loop import train
from sopedu.training.run import Run

_NO_RIVALS = (
    "model_normalised",
    "same_class_picture",
    "mixture",
    "ideal_binary_mask",
    "ideal_ratio_mask",
    "swapped",
)  # rows that no method of separation reached


def demo_config(steps: int | None = None, seed: int = 0) -> Config:
    """Make the configuration of the demo: preset ``tiny`` on four instruments, lifelike sounds, from the warm start.

    Args:
        steps: length of the training; None for that of preset ``tiny``.
        seed: of the training.
    """
    config = with_values(preset("tiny"), [f"training.seed={seed}"])
    config = replace(config, toyband=replace(config.toyband, instruments=DEMO_INSTRUMENTS))
    return config if steps is None else with_values(config, [f"training.steps={steps}"])


def run_demo(
    out: str | Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    workers: int = 2,
    say: Callable[[str], None] = print,
    pairs: int = 64,
) -> dict[str, Any]:
    """Render the toy band, train, evaluate, localize, and write a report.

    Args:
        out: folder of the run, new or empty; None for a new one under ``runs/``.
        seed: of the training and of the held-out mixtures.
        steps: length of the training; None for that of preset ``tiny``.
        workers: number of processes that render, see :func:`sopedu.toyband.cache.rendered_set`.
        say: function that prints a line of text.
        pairs: number of held-out mixtures.

    Returns:
        the scores, as in ``metrics.json``.

    Raises:
        SopeduError: a number is too small, or the folder holds files.
    """
    seed, pairs = whole_number(seed, "seed", 0), whole_number(pairs, "pairs", 1)
    workers = whole_number(workers, "workers", 0)
    config = demo_config(None if steps is None else whole_number(steps, "steps", 1), seed)
    folder = new_run_folder() if out is None else require_new_folder(through_links(out))
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    _say_plan(config, pairs, folder, say)
    run = _train(config, folder, workers, say)
    say("evaluating on instruments, melodies and rooms that are not in the training …")
    checkpoint = load_checkpoint(folder / "checkpoint")
    figures, examples, rows = evaluate_with_examples(checkpoint, pairs=pairs, seed=seed)
    figures["localization"] = evaluate_localization(checkpoint, scenes=100, seed=seed, duets=24)
    figures["training_seconds"] = round(run.seconds, 1)
    save_checkpoint(folder / "checkpoint", replace(checkpoint, metrics=figures))
    write_json(folder / "metrics.json", figures)
    _report(folder, replace(checkpoint, metrics=figures), run.history, figures, examples, rows)
    figures["seconds"] = round(time.perf_counter() - began, 1)
    write_json(folder / "metrics.json", figures)
    _say_results(folder, figures, say)
    return figures


def _say_plan(config: Config, pairs: int, folder: Path, say: Callable[[str], None]) -> None:
    from sopedu.training.benchmark import measure_step

    seconds = measure_step(config, 3) * config.training.steps
    device = "cuda" if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    say(f"device: {device}")
    say(
        f"plan: render {config.toyband.solos} solos once (about 20 s), train {config.training.steps} steps "
        f"(about {max(10, round(seconds, -1)):.0f} s), evaluate on {pairs} held-out mixtures and report (about 90 s); "
        f"results go to {folder}"
    )


def _train(config: Config, folder: Path, workers: int, say: Callable[[str], None]) -> Run:
    clips = ToyBandClips(config, workers=workers)
    keep = KeepCheckpoint(folder / "checkpoint", "toyband", every=300)
    history = JsonLinesHistory(folder / "history.jsonl")
    run = train(config, clips, callbacks=[Progress(), history, keep])
    if run.interrupted:
        say(f"interrupted at step {run.step}: the model so far is in {folder / 'checkpoint'}; no report is written")
        raise KeyboardInterrupt
    return run


def _report(
    folder: Path,
    checkpoint: Checkpoint,
    history: list[dict[str, float]],
    figures: dict[str, Any],
    examples: TestPairs,
    rows: dict[str, torch.Tensor],
) -> None:
    from sopedu.evaluation.report import write_report

    sound, frames = checkpoint.config.spectrogram, checkpoint.config.frames
    drawing = {"samples": sound.samples, "size": 320, "times": frames.times(sound.seconds / 2)}
    drawing["properties"] = checkpoint.config.toyband.properties
    shown = duet(checkpoint.config.training.seed, "validation", pair=("cello", "trumpet"), **drawing)
    write_report(folder / "report.html", checkpoint, history, figures, examples, rows, duet=shown)


def _say_results(folder: Path, figures: dict[str, Any], say: Callable[[str], None]) -> None:
    say(score_table(figures))
    say(f"localization: {localization_line(figures['localization'])}")
    say(f"\nin {figures['seconds']:.0f} s, written to {folder}:")
    for name in ("checkpoint", "metrics.json", "report.html"):
        say(f"  {folder / name}")
    say(
        "\nnext: open the report in a browser; then try\n"
        "  make lab\n"
        f"  sopedu separate VIDEO.mp4 --checkpoint {folder / 'checkpoint'} --out separated\n"
        "  sopedu train --preset tiny --data toyband --set model.components=4 --out runs/four-components"
    )


def score_table(figures: dict[str, Any]) -> str:
    """Lay out the scores of :func:`sopedu.evaluate` as text, in dB, with the 95 % interval of each mean SDR."""
    names = {
        "mixture": "mixture, not separated",
        "static_mask": "static mask (class only)",
        "nmf_by_class": "NMF, classes told",
        "nmf_seen": "NMF, classes seen",
        "nmf_by_class_best": "NMF at its best, told",
        "nmf_seen_best": "NMF at its best, seen",
        "model": "model",
        "model_normalised": "model, masks normalised",
        "same_class_picture": "model, other players",
        "ideal_binary_mask": "ideal binary mask",
        "ideal_ratio_mask": "ideal ratio mask",
        "swapped": "model, pictures swapped",
    }
    table, mixture = figures["table"], figures["table"]["mixture"]["sdr"]
    lines = [f"{'dB':26}{'SDR':>8}{'95 % interval':>16}{'SIR':>8}{'SAR':>8}{'SI-SDR':>8}{'SDR improvement':>18}"]
    for row, name in names.items():
        if row not in table:
            continue
        scores, ends = table[row], figures.get("intervals", {}).get(row, {}).get("sdr", [])
        cells = "".join(f"{scores[key]:z8.2f}" for key in ("sir", "sar", "si_sdr"))
        lines.append(f"{name:26}{scores['sdr']:8.2f}{_interval(ends):>16}{cells}{scores['sdr'] - mixture:18.2f}")
    for row, name in names.items():
        if row in figures.get("differences", {}) and row not in _NO_RIVALS:
            apart = figures["differences"][row]
            ends = _interval([apart["low"], apart["high"]])
            lines.append(f"model minus {name}: {apart['mean']:.2f} dB SDR, 95 % interval {ends}")
    absent = figures["leak_absent"]
    lines.append(
        f"leak: {figures['leak_blank']:.1f} dB to an empty room"
        + (f", {absent:.1f} dB to an instrument that is not playing" if absent is not None else "")
    )
    if "nmf_best" in figures:
        lines.append(nmf_line(figures))
    return "\n".join(lines)


def _interval(ends: Sequence[float | None]) -> str:
    """Lower and upper end; a dash if they are not known."""
    known = [f"{end:.2f}" for end in ends if end is not None]
    return " … ".join(known) or "–"


def same_class_line(figures: dict[str, Any]) -> str:
    """Summarise what :func:`sopedu.evaluate` measured on mixtures of one class in one line."""
    table, gain = figures["table"], figures["differences"]["mixture"]
    return (
        f"players of one class: the model has {table['model']['sdr']:.2f} dB SDR, with their pictures swapped "
        f"{table['swapped']['sdr']:.2f}, the mixture {table['mixture']['sdr']:.2f}, the ideal ratio mask "
        f"{table['ideal_ratio_mask']['sdr']:.2f}; improvement {gain['mean']:.2f} dB "
        f"[{_interval([gain['low'], gain['high']])}]"
    )


def nmf_line(figures: dict[str, Any]) -> str:
    """Compare the model with supervised NMF in one line, and say which way of NMF was the best."""
    best, gain = figures["nmf_best"], figures["sdr"] - figures["sdr_nmf_by_class"]
    gain_of_best = figures["sdr"] - figures["sdr_nmf_by_class_best"]
    return (
        f"supervised NMF: the model is {abs(gain):.1f} dB {'above' if gain > 0 else 'below'} it at the model's STFT, "
        f"{abs(gain_of_best):.1f} dB {'above' if gain_of_best > 0 else 'below'} it at its best (n_fft {best['n_fft']}, "
        f"hop {best['hop_length']}, masks to the power {best['power']}); the frame net's features name "
        f"{figures['class_accuracy_seen']:.0%} of the classes"
    )


def localization_line(figures: dict[str, Any]) -> str:
    """Summarise :func:`sopedu.evaluate_localization` in one line: the map's peak, and boxes in duets."""
    return (
        f"one of two drawn instruments plays, the peak is in its box in {figures['peak_in_player']:.0%} of "
        f"{figures['scenes']} scenes (chance {figures['peak_chance']:.0%}, with unrelated audio "
        f"{figures['peak_in_player_unrelated_audio']:.0%}); where both play, a player's own box has "
        f"{figures['sdr_box']:.1f} dB SDR, the other's {figures['sdr_other_box']:.1f}, the mixture "
        f"{figures['sdr_mixture']:.1f}"
    )
