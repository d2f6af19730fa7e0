"""A report on a model as one HTML file: figures, tables and sounds in the file itself, for any browser, offline.

Text and layout are in `templates/report.html`; this module computes the values.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from sopedu import plots
from sopedu.audio.masks import Spectra, mask_from_values, threshold
from sopedu.audio.metrics import bss_eval
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import to_dict
from sopedu.data.opening import is_toyband
from sopedu.errors import SopeduError
from sopedu.evaluation.listening_tables import listening_tables
from sopedu.evaluation.pairs import TestPairs, predict_masks
from sopedu.evaluation.statistics import class_matrix
from sopedu.localization.maps import peak
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import inside
from sopedu.model.checkpoints import Checkpoint
from sopedu.pages import write_page
from sopedu.toyband.scenes import Scene
from sopedu.video.resizing import resize_frames, size_in_proportion

_EXPLANATIONS = {
    "mixture": "Nothing is separated: improvements are measured from here. Its SAR is no merit.",
    "static_mask": "One fixed filter per class, from its mean spectrum: no picture, no learning.",
    "nmf_by_class": "One dictionary of spectra per class, learnt from solos; the classes are told. Supervised NMF.",
    "nmf_seen": "The same, with the classes read from the pictures by the model’s frame net.",
    "nmf_by_class_best": "The same as the first, with the window, hop and mask that suit it best.",
    "nmf_seen_best": "And with the classes read from the pictures.",
    "model": "Masks predicted from the mixture and a picture of every source.",
    "model_normalised": "The same masks, squared and divided by their sum, as NMF’s are: all that play must be shown.",
    "same_class_picture": "The model with pictures of other players of the same classes: what it needs is the class.",
    "ideal_binary_mask": "Every cell goes to the louder source. Needs the true sources.",
    "ideal_ratio_mask": "Every cell is shared as the true sources share it. Needs them too.",
    "swapped": "The model with the pictures exchanged: it must fail, or pictures play no part.",
}


def write_report(
    path: str | Path,
    checkpoint: Checkpoint,
    history: Sequence[Mapping[str, float]],
    figures: Mapping[str, Any],
    pairs: TestPairs,
    rows: Mapping[str, torch.Tensor],
    examples: int = 4,
    duet: Scene | None = None,
    title: str = "What the model separates",
) -> Path:
    """Write one HTML file that shows, plays and explains what a model does.

    Args:
        path: the file; its folder must exist. It appears under its name only when it is complete.
        checkpoint: the model.
        history: records of its training, as in `Run.history`; may be empty.
        figures: what :func:`sopedu.evaluation.separation.evaluate` returns; with `localization` and `listening` (what
            :func:`sopedu.evaluation.evaluate_listening` returns), if they were measured.
        pairs: held-out mixtures to look at and listen to.
        rows: what :func:`sopedu.evaluation.baselines.estimates_by_row` returns for these pairs.
        examples: number of mixtures shown, of varied classes and not the best ones.
        duet: a scene at the model's sample rate, whose sound map is shown; None for none. It may be drawn larger than
            the model's frames, and the model then gets it reduced.
        title: heading of the page.

    Returns:
        the path.

    Raises:
        SopeduError: the folder does not exist, or the duet has another sample rate than the model.

    Notebook: 03_measuring_separation.
    """
    table, intervals = figures["table"], figures.get("intervals", {})
    notes = {"trained_on": checkpoint.trained_on, "config": to_dict(checkpoint.config)}
    named = [(row, plots.ROW_NAMES[row], text) for row, text in _EXPLANATIONS.items() if row in table]
    return write_page(
        path,
        "report.html",
        title=title,
        model=checkpoint.describe(),
        figures={"localization": None, "listening": None, "sources": 2, **figures},
        intervals={row: _ends(scores["sdr"]) for row, scores in intervals.items()},
        beyond=_beyond(figures),
        listening=_listening(figures.get("listening")),
        classes=_classes(figures) if figures.get("by_classes") else None,
        rows=named,
        chart=plots.plot_scores(table, intervals=intervals),
        spoken_scores=", ".join(f"{name} {plots.two_digits(table[row]['sdr'])} dB" for row, name, _ in named),
        spoken_classes=", ".join(
            f"{name} {plots.two_digits(gain)} dB"
            for name, gain in figures.get("by_class", {}).items()
            if gain is not None
        ),
        history=history,
        curve=plots.plot_history(history) if history else None,
        loss=checkpoint.config.loss,
        sample_rate=checkpoint.config.spectrogram.sample_rate,
        examples=_examples(checkpoint, pairs, rows, examples),
        duet=None if duet is None else _duet(checkpoint, duet),
        configuration=json.dumps(notes, indent=2, ensure_ascii=False),
        next_steps=_next_steps(checkpoint, Path(path)),
    )


def _ends(interval: Sequence[float | None]) -> str:
    """An interval as text; empty if it is not known."""
    return " … ".join(plots.two_digits(end) for end in interval if end is not None)


def _classes(figures: Mapping[str, Any]) -> Figure:
    return plots.plot_classes(*class_matrix(figures["by_classes"]), figures["by_class"])


def _listening(figures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Tables and curve of what the model keeps of sounds; None if it was not measured."""
    if figures is None:
        return None
    return {"tables": listening_tables(figures), "curve": plots.plot_thresholds(figures["curve"])}


def _beyond(figures: Mapping[str, Any]) -> str:
    """How far the model is beyond the static mask, as text; empty if it is not known."""
    apart = figures.get("differences", {}).get("static_mask")
    return "" if apart is None else _ends([apart["low"], apart["high"]])


def _next_steps(checkpoint: Checkpoint, path: Path) -> list[tuple[str, str]]:
    """What to try next and the command for it; `path` is the report's, beside which the checkpoint may lie."""
    beside = path.parent / "checkpoint"
    folder = shlex.quote(str(beside)) if beside.is_dir() else "CHECKPOINT"
    trained_on = str(checkpoint.trained_on.get("data", "toyband"))
    data = "toyband" if is_toyband(trained_on) else shlex.quote(trained_on)
    train = f"sopedu train --preset {shlex.quote(checkpoint.config.name)} --data {data}"
    half = max(1, checkpoint.config.model.components // 2)
    other = "loss.target=ratio --set loss.kind=l1"
    if checkpoint.config.loss.target == "ratio":
        other = "loss.target=binary --set loss.kind=bce"
    return [
        ("Separate a video of your own:", f"sopedu separate VIDEO.mp4 --checkpoint {folder} --out separated"),
        ("Judge the model on other mixtures:", f"sopedu evaluate {folder} --data {data} --seed 1"),
        ("Train with half as many components:", f"{train} --set model.components={half} --out runs/{half}-components"),
        ("Train with the other kind of mask:", f"{train} --set {other} --out runs/other-masks"),
    ]  # fmt: skip


def _examples(
    checkpoint: Checkpoint, pairs: TestPairs, rows: Mapping[str, torch.Tensor], count: int
) -> Iterator[dict[str, Any]]:
    """Figure, sounds and scores of one mixture after the other; only one figure is in memory at a time."""
    model, sound = checkpoint.model, checkpoint.config.spectrogram
    for number, index in enumerate(_varied(pairs.labels)[:count], 1):
        names = [pairs.class_names[label] for label in pairs.labels[index]]
        mixture, sources, estimates = pairs.mixture[index], pairs.sources[index], rows["model"][index]
        kinds = {
            "alone (reference)": sources,
            "the model’s estimate": estimates,
            "static mask, to compare": rows["static_mask"][index],
        }
        if "nmf_by_class" in rows:
            kinds["supervised NMF, to compare"] = rows["nmf_by_class"][index]
        scores = bss_eval(sources[:, : sound.counted_samples].numpy(), estimates.numpy()).sdr
        target = model.mask_kind.target(Spectra.of_sources(sources[None], sound))[0]
        predicted = predict_masks(model, mixture[None], pairs.frames[index][None])[0]
        yield {
            "number": number,
            "names": names,
            "scores": list(zip(names, scores, strict=True)),
            "mixture": mixture,
            "sounds": [
                [(f"{name}, {kind}", waves[i]) for kind, waves in kinds.items()] for i, name in enumerate(names)
            ],
            "figure": plots.plot_separation(
                *(warp(stft(waves, sound).abs(), sound) for waves in (mixture, sources, estimates)),
                pairs.frames[index][:, pairs.frames.shape[2] // 2],
                mask_from_values(target, model.mask_kind).abs(),
                threshold(predicted) if model.mask_kind.binary else predicted.abs(),
                sound,
                names,
            ),
        }


def _varied(labels: np.ndarray) -> list[int]:
    """Pairs in an order that shows every combination of classes once before it shows one again."""
    seen: Counter[tuple[int, ...]] = Counter()
    times = []
    for pair in labels:
        combination = tuple(sorted(int(label) for label in pair))
        times.append(seen[combination])
        seen[combination] += 1
    return sorted(range(len(labels)), key=times.__getitem__)


def _duet(checkpoint: Checkpoint, scene: Scene) -> dict[str, Any]:
    """Sound map of a scene, and the sound of every performer's box."""
    rate, samples = checkpoint.config.spectrogram.sample_rate, checkpoint.config.spectrogram.samples
    if scene.sample_rate != rate:
        raise SopeduError(
            f"the duet has a sample rate of {scene.sample_rate} Hz, the model one of {rate} Hz: "
            f"render it with sample_rate={rate}"
        )
    mixture = torch.nn.functional.pad(scene.waveform(), (0, max(0, samples - len(scene.mixture))))
    frames = scene.frames_tensor()
    seen = resize_frames(frames, size_in_proportion(*frames.shape[-2:], checkpoint.config.frames.size))
    pixels = PixelSounds(checkpoint.model, mixture[:samples], seen)
    volume = pixels.sound_map()
    frame = int(volume.max(axis=(1, 2)).argmax())
    boxes = [tuple(box) for box in scene.boxes[:, frame].tolist()]
    labels = [f"box {number} ({name})" for number, name in enumerate(scene.labels, 1)]
    loudest = [label for label, box in zip(labels, boxes, strict=True) if inside(peak(volume[frame]), box)]
    sounds = []
    for label, box, stem in zip(labels, boxes, scene.stem_waveforms(), strict=True):
        sounds += [(f"{label}, the model’s estimate", pixels.separate(box)), (f"{label}, alone (reference)", stem)]
    return {
        "names": scene.labels,
        "loudest": " and ".join(loudest) or "no box",
        "figure": plots.plot_sound_map(scene.frames[frame], volume[frame], boxes, title="What sounds where"),
        "mixture": pixels.mixture(),
        "sounds": sounds,
    }
