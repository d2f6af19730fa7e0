"""A report on a model as one HTML file: figures, tables and sounds in the file itself, for any browser, offline.

The words and the style lie in ``report.html``; here its gaps are filled. Its numbers are explained in notebook
03_measuring_separation.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sopedu import plots
from sopedu.audio.masks import ideal_binary_mask, ideal_ratio_mask, threshold
from sopedu.audio.metrics import bss_eval
from sopedu.audio.player import player
from sopedu.audio.spectrogram import stft, warp
from sopedu.config import to_dict
from sopedu.errors import SopeduError
from sopedu.evaluation.pairs import TestPairs, predict_masks
from sopedu.localization.maps import peak
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import inside
from sopedu.model.checkpoints import Checkpoint
from sopedu.pages import figure_html, write_page
from sopedu.plots import two_digits
from sopedu.toyband.scenes import Scene, from_int16
from sopedu.video.resizing import resize_frames, size_in_proportion

_EXPLANATIONS = {
    "mixture": "Nothing is separated: improvements are measured from here. Its SAR is no merit.",
    "static_mask": "One fixed filter a class, from its mean spectrum: no picture, no learning.",
    "model": "Masks predicted from the mixture and a picture of every source.",
    "ideal_binary_mask": "Every cell goes to the louder source. Needs the true sources.",
    "ideal_ratio_mask": "Every cell is shared as the true sources share it. Needs them too.",
    "swapped": "The model with the two pictures exchanged: it must fail, or pictures play no part.",
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
        history: of its training, as ``Run.history`` holds it; may be empty.
        figures: what :func:`sopedu.evaluation.pairs.evaluate` returns; ``localization`` may stand in it too.
        pairs: held-out mixtures to look at and listen to: ``examples`` of them, of varied classes, not the best.
        rows: what :func:`sopedu.evaluation.pairs.estimates_by_row` returns for these pairs.
        duet: a scene at the model's sample rate, to show what sounds where. It may be drawn larger than the
            model's frames; the model then sees it reduced.

    Returns:
        the path.

    Raises:
        SopeduError: if the folder does not exist, or the duet has another sample rate than the model.

    Notebook: 03_measuring_separation.
    """
    table = figures["table"]
    spoken = ", ".join(f"{plots.ROW_NAMES[name]} {two_digits(table[name]['sdr'])} dB" for name in _EXPLANATIONS)
    notes = {"trained_on": checkpoint.trained_on, "config": to_dict(checkpoint.config)}
    return write_page(
        path,
        "report.html",
        title=escape(title),
        model=escape(checkpoint.describe()),
        summary=_summary(figures),
        table="\n".join(_table_line(name, table) for name in _EXPLANATIONS),
        chart=figure_html(plots.plot_scores(table), "SDR of every row", f"Bar chart of the SDR: {spoken}."),
        protocol=escape(figures["protocol"]),
        seed=figures["seed"],
        counted_silent=figures["counted_silent"],
        leaks=_leaks(figures),
        localization=_localization(figures.get("localization")),
        training=_training(checkpoint, history),
        examples="\n".join(_examples(checkpoint, pairs, rows, min(examples, len(pairs.mixture)))),
        duet="" if duet is None else _duet(checkpoint, duet),
        configuration=escape(json.dumps(notes, indent=2, ensure_ascii=False)),
        next_steps="\n".join(
            f'<li>{why}<pre tabindex="0">{escape(line)}</pre></li>' for why, line in next_steps(checkpoint, Path(path))
        ),
    )


def next_steps(checkpoint: Checkpoint, path: Path) -> list[tuple[str, str]]:
    """Why and with which command to go on, given where the report lies (its ``checkpoint`` stands beside it)."""
    beside = path.parent / "checkpoint"
    folder = shlex.quote(str(beside)) if beside.is_dir() else "CHECKPOINT"
    data = shlex.quote(str(checkpoint.trained_on.get("data", "toyband")))
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


def _summary(figures: Mapping[str, Any]) -> str:
    sdr, static, swapped = figures["sdr"], figures["sdr_static_mask"], figures["sdr_swapped"]
    gained = two_digits(abs(figures["sdr_improvement"]))
    done = (
        f"improves it by <strong>{gained}" if figures["sdr_improvement"] > 0 else f"makes it <strong>worse by {gained}"
    )
    trust = "the picture decides which sound comes out" if sdr - swapped > 1 else "the picture decides nothing yet"
    return (
        f"From mixtures of two it brings back each source with a mean SDR of <strong>{two_digits(sdr)} dB</strong>. "
        f"The mixture as it is scores {two_digits(figures['sdr_mixture'])} dB, so the model {done} dB</strong>. "
        f"A fixed filter that knows only the two classes reaches {two_digits(static)} dB: the model is "
        f"{two_digits(abs(sdr - static))} dB {'better' if sdr > static else 'worse'}. Ratio masks made from the true "
        f"sources reach {two_digits(figures['sdr_ideal_ratio_mask'])} dB, about as much as masks can give. "
        f"With its two pictures exchanged the model reaches {two_digits(swapped)} dB: {trust}."
    )


def _table_line(name: str, table: Mapping[str, Mapping[str, float]]) -> str:
    scores = table[name]
    values = [scores["sdr"], scores["sir"], scores["sar"], scores["sdr"] - table["mixture"]["sdr"]]
    return (
        f'<tr{" class=model" if name == "model" else ""}><th scope="row">{plots.ROW_NAMES[name]}'
        f"<small>{_EXPLANATIONS[name]}</small></th>"
        + "".join(f"<td>{two_digits(value)}</td>" for value in values)
        + "</tr>"
    )


def _leaks(figures: Mapping[str, Any]) -> str:
    text = f"A picture of an empty room lets {two_digits(figures['leak_blank'])} dB through"
    if figures["leak_absent"] is None:
        return text
    return f"{text}, one of an instrument that is not heard {two_digits(figures['leak_absent'])} dB"


def _localization(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    player, chance, other = (found[f"peak_{key}"] for key in ("in_player", "chance", "in_player_unrelated_audio"))
    return (
        f"<p>Two instruments are drawn and one of them plays: in {player:.0%} of {found['scenes']} such scenes the "
        f"loudest place of the sound map lies in the player’s box. Chance is {chance:.0%}; with the sound of another "
        f"instrument, that is not in the picture, it is {other:.0%}.</p>"
    )


def _training(checkpoint: Checkpoint, history: Sequence[Mapping[str, float]]) -> str:
    if not history:
        return "<p>This training left no history.</p>"
    loss, first, last = checkpoint.config.loss, history[0], history[-1]
    alt = (
        f"Learning curve: the loss goes from {first['loss']:.2g} at step {first['step']} to {last['loss']:.2g} "
        f"at step {last['step']}; below it the learning rate."
    )
    text = (
        f"{loss.kind.upper()} between predicted and {loss.target} masks, {last['step']} steps, {last['seconds']:.0f} s"
    )
    return f"<p>Loss: {text}.</p>\n{figure_html(plots.plot_history(history), 'learning curve', alt)}"


def _examples(checkpoint: Checkpoint, pairs: TestPairs, rows: Mapping[str, torch.Tensor], count: int) -> Iterator[str]:
    sound, binary = checkpoint.config.spectrogram, checkpoint.config.loss.target == "binary"
    for number, index in enumerate(_varied(pairs.labels)[:count], 1):
        names = [pairs.class_names[label] for label in pairs.labels[index]]
        heard, sources, estimates = pairs.mixture[index], pairs.sources[index], rows["model"][index]
        frames, both = pairs.frames[index], " and ".join(names)
        mixture, reference, separated = (warp(stft(wave, sound).abs(), sound) for wave in (heard, sources, estimates))
        predicted = predict_masks(checkpoint.model, heard[None], frames[None])[0]
        true = ideal_binary_mask(reference, mixture) if binary else ideal_ratio_mask(reference, mixture)
        figure = plots.plot_separation(
            mixture, reference, separated, frames[:, frames.shape[1] // 2], true,
            threshold(predicted) if binary else predicted, sound, names,
        )  # fmt: skip
        scores = bss_eval(sources[:, : sound.counted_samples].numpy(), estimates.numpy()).sdr
        scored = " and ".join(f"{name} {two_digits(score)} dB" for name, score in zip(names, scores, strict=True))
        alt = (
            f"Spectrogram of the mixture of {both}; below, for each of them: its picture, its own spectrogram, the "
            f"true mask, the predicted mask, the spectrogram of the estimate."
        )
        kinds = {"alone (reference)": sources, "the model’s estimate": estimates}
        kinds["static mask, to compare"] = rows["static_mask"][index]
        sounds = [(f"{name}, {kind}", waves[i]) for i, name in enumerate(names) for kind, waves in kinds.items()]
        yield (
            f"<h3>Mixture {number}: {escape(both)}</h3>\n<p>SDR of the estimates: {escape(scored)}.</p>\n"
            f"{figure_html(figure, f'mixture {number}', alt)}\n"
            f"{_players([(f'mixture of {both}', heard)], sound.sample_rate)}\n{_players(sounds, sound.sample_rate)}"
        )


def _varied(labels: np.ndarray) -> list[int]:
    """Pairs in an order that shows every combination of classes once before it shows one again."""
    seen: Counter[tuple[int, ...]] = Counter()
    times = []
    for pair in labels:
        combination = tuple(sorted(int(label) for label in pair))
        times.append(seen[combination])
        seen[combination] += 1
    return sorted(range(len(labels)), key=times.__getitem__)


def _duet(checkpoint: Checkpoint, scene: Scene) -> str:
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
    boxes = [tuple(float(value) for value in box) for box in scene.boxes[:, frame]]
    labels = [f"box {number} ({name})" for number, name in enumerate(scene.labels, 1)]
    loudest = [label for label, box in zip(labels, boxes, strict=True) if inside(peak(volume[frame]), box)]
    where = f"The loudest place lies in {' and '.join(loudest) or 'no box'}."
    sounds = [("the duet", pixels.mixture())]
    for label, box, stem in zip(labels, boxes, scene.stems, strict=True):
        sounds.append((f"{label}, the model’s estimate", pixels.separate(box)))
        sounds.append((f"{label}, alone (reference)", from_int16(stem)))
    figure = plots.plot_sound_map(scene.frames[frame], volume[frame], boxes, title="What sounds where")
    alt = f"Sound map over a picture of {' and '.join(scene.labels)}, with a box around each. {where}"
    return (
        "<h2>A duet: what sounds where</h2>\n<p>Nobody tells the model where the performers stand. Every cell of the "
        f"picture gets a mask of its own; a bright cell lets much of the mixture through. {escape(where)}</p>\n"
        f"{figure_html(figure, 'sound map', alt)}\n{_players(sounds[:1], rate)}\n"
        f"{_players(sounds[1:], rate, columns=2)}"
    )


def _players(sounds: Sequence[tuple[str, torch.Tensor]], sample_rate: int, columns: int = 3) -> str:
    kind = "players" if columns == 3 else "players pairs"
    return "\n".join([f'<div class="{kind}">', *(player(wave, sample_rate, name) for name, wave in sounds), "</div>"])
