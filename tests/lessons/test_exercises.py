"""Exercises: every stub is "not attempted", every solution passes its check, a typical wrong answer is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sopedu.lessons import exercises

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHECK = re.compile(r"^exercises\.(check_\w+)\((\w+)\)$", re.MULTILINE)
SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>\s*```python\n(.*?)```.*?</details>", re.DOTALL)
HINT = re.compile(r"<details>\s*<summary>Hint</summary>.+?</details>", re.DOTALL)

# What learners write before they have it: the name that the check is given, bound to a typical mistake.
TYPICAL_MISTAKES = {
    "check_share_in_db": (
        "def share_in_db(heard, mixture): return 20 * np.log10((heard**2).sum() / (mixture**2).sum())"
    ),
    "check_sound_of_box": "def sound_of_box(sounds, covered): return sounds[covered > 0].mean(0)",
    "check_remix_in_db": "def remix_in_db(waveforms, decibels): return (decibels[:, None] * waveforms).sum(0)",
    "check_shapes": "shapes = dict(frames=(64, 64, 3), mixture=(3, 11025), stems=(3, 11025), boxes=(3, 2, 4))",
    "check_trio": "trio = sopedu.scene(3, seed=7, playing=[2])",
    "check_seconds_to_samples": "def seconds_to_samples(seconds, sample_rate): return seconds / sample_rate",
    "check_harmonic_tone": (
        "def harmonic_tone(frequency, seconds, sample_rate):\n"
        "    time = torch.arange(round(seconds * sample_rate)) / sample_rate\n"
        "    return sum(torch.sin(2 * torch.pi * n * frequency * time) for n in range(1, 6))"
    ),
    "check_spectrogram_shape": "def spectrogram_shape(samples, n_fft, hop): return n_fft // 2, samples // hop",
    "check_bins_never_read": "def bins_never_read(matrix): return int((matrix == 0).sum())",
    "check_binary_mask": "def binary_mask(source, mixture): return source > 0.5",
    "check_power_shares": "def power_shares(sources): return sources**2 / (sources**2).sum()",
    "check_best_real_mask": "def best_real_mask(source, mixture): return source.abs() / mixture.abs()",
    "check_si_sdr_by_hand": (
        "def si_sdr_by_hand(reference, estimate):\n"
        "    rest = estimate - reference\n"
        "    return 10 * np.log10((reference**2).sum() / (rest**2).sum())"
    ),
    "check_honest_mean": "def honest_mean(scores): return np.nan_to_num(scores).mean(), 0",
    "check_hours_of_mixtures": "def hours_of_mixtures(steps, batch_size, clip_seconds): return steps * clip_seconds",
    "check_mean_and_spread": "def mean_and_spread(scores): return np.mean(scores), np.std(scores)",
    "check_rate_factor": "def rate_factor(step, steps, warmup): return 1 - step / steps",
    "check_diagnosis": (
        "def diagnosis(loudest, weights, gap):\n"
        "    if gap < 1: return 'pictures'\n"
        "    return 'input' if loudest < 0.001 else 'learning rate' if weights > 2 else 'healthy'"
    ),
    "check_conv_flop": (
        "def conv_flop(batch, inputs, outputs, kernel, rows, columns):\n"
        "    return 3 * batch * inputs * outputs * kernel**2 * rows * columns"
    ),
    "check_within_reach": "def within_reach(layer, rate, bandwidth): return rate",
    "check_hours_to_plan": (
        "def hours_to_plan(mixtures, mixtures_per_second, batch_size, save_every, kills):\n"
        "    return (mixtures + kills * save_every) / mixtures_per_second / 3600"
    ),
    "check_running_median": (
        "def running_median(row, span): return [np.mean(row[i : i + span]) for i in range(len(row) - span + 1)]"
    ),
    "check_update_activations": (
        "def update_activations(magnitude, spectra, activations): return activations * (spectra.T @ magnitude)"
    ),
    "check_mix_by_hand": "def mix_by_hand(waveforms, gains): return (gains[:, None] * waveforms).sum(dim=0) / 2",
    "check_same_class_mixtures": (
        "def same_class_mixtures(members, labels): return sum(row[0] == row[1] for row in members.tolist())"
    ),
    "check_trios": (
        "def mix_trios(waveforms, labels, generator):\n"
        "    return sopedu.mix(waveforms, labels, sopedu.preset('tiny').mixing, generator)"
    ),
    "check_dead_clips": (
        "def dead_clips(waveforms): return [i for i, waveform in enumerate(waveforms) if waveform.sum() == 0]"
    ),
    "check_sizes_down": "def sizes_down(rows, columns, steps): return [(rows / 2, columns / 2)] * steps",
    "check_unet_parameters": (
        "def unet_parameters(channels, components):\n"
        "    inputs = (1, *channels[:-1])\n"
        "    return sum(25 * a * b for a, b in zip(inputs, channels))"
    ),
    "check_receptive_field": "def receptive_field(layers): return 1 + sum((k - 1) * d for k, s, d in layers)",
    "check_winning_place": (
        "def winning_place(cells):\n"
        "    row, column = divmod(int(cells.argmax()), cells.shape[1])\n"
        "    return (row + 0.5) / cells.shape[0], (column + 0.5) / cells.shape[1]"
    ),
    "check_inner_product": "def inner_product(v, s, scale, bias): return torch.einsum('nk,kqt->nqt', v, s) + bias",
    "check_swap_gap": "def swap_gap(references, estimates): return sopedu.si_sdr(references, estimates).mean()",
    "check_overlap_by_hand": (
        "def overlap_by_hand(first, second):\n"
        "    sides = [min(first[i + 2], second[i + 2]) - max(first[i], second[i]) for i in (0, 1)]\n"
        "    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]\n"
        "    return sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])"
    ),
    "check_keep_surest": (
        "def keep_surest(boxes, scores, overlap):\n"
        "    shared = intersection_over_union(boxes, boxes)\n"
        "    return [i for i in np.argsort(-scores) if not any(shared[i, scores > scores[i]] > overlap)]"
    ),
    "check_moving_box": (
        "def moving_box(frames):\n"
        "    rows, columns = ((frames.max(axis=0) - frames.min(axis=0)).max(axis=-1) > 20).nonzero()\n"
        "    height, width = frames.shape[1:3]\n"
        "    return columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height"
    ),
    "check_volume_map": "def volume_map(cell_masks, magnitude): return cell_masks.mean((2, 3))",
    "check_point_mask": (
        "def point_mask(corners, across, down): return corners[round(down), round(across)]"  # the nearest cell
    ),
    "check_energy_mean": "def energy_mean(masks, magnitude): return masks.mean(0)",
    "check_cell_of_point": "def cell_of_point(x, y, height, width): return int(x * width), int(y * height)",
    "check_noisy_or": "def noisy_or(masks, weights): return (weights[:, None, None] * masks).amax(0)",
}


def exercises_of(path: Path) -> list[Any]:
    """Every exercise of a notebook: its check, the learner's name, its stub and the text with hint and solution."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    setup = next(source for cell, source in zip(cells, sources, strict=True) if cell["cell_type"] == "code")
    return [
        pytest.param(setup, *match.groups(), source, sources[index + 1], id=f"{path.stem}-{match[1]}")
        for index, source in enumerate(sources)
        if cells[index]["cell_type"] == "code"
        for match in CHECK.finditer(source)
    ]


ALL = [exercise for path in sorted(NOTEBOOKS.glob("*.ipynb")) for exercise in exercises_of(path)]


def namespace_after(setup: str) -> dict[str, Any]:
    """The names that a notebook's set-up cell leaves behind, run as plain Python."""
    names: dict[str, Any] = {"plt": plt, "np": np}
    exec(re.sub(r"^%.*$", "", setup, flags=re.MULTILINE), names)
    return names


def verdict_on(code: str, check: str, answer: str, names: dict[str, Any]) -> exercises.Verdict:
    exec(code, names)
    return getattr(exercises, check)(names[answer])


@pytest.mark.parametrize("setup, check, answer, stub, text", ALL)
def test_stub_mistake_and_solution(setup, check, answer, stub, text):
    names = namespace_after(setup)
    verdict = verdict_on(CHECK.sub("", stub), check, answer, names)
    assert verdict.status == "not attempted", "a stub must not hold an answer"

    assert check in TYPICAL_MISTAKES, f"add a typical mistake for {check}"
    verdict = verdict_on(TYPICAL_MISTAKES[check], check, answer, names)
    assert verdict.status == "fail"
    assert len(verdict.message) > 20, "a failure says what to look at"

    assert HINT.search(text), "hint and solution stand in the cell after the exercise"
    solutions = SOLUTION.findall(text)
    assert len(solutions) == 1
    verdict = verdict_on(solutions[0], check, answer, names)
    assert verdict.status == "pass", verdict


def test_every_check_has_its_exercise_and_its_notebook():
    checks = {name: getattr(exercises, name).__doc__ for name in exercises.__all__ if name.startswith("check_")}
    used = {exercise.values[1]: exercise.id.split("-")[0] for exercise in ALL}
    assert set(used) == set(checks)
    assert [name for name, notebook in used.items() if notebook not in checks[name]] == []


def test_a_verdict_is_one_line_with_a_mark_and_a_word():
    for status, mark in (("pass", "✓"), ("fail", "✗"), ("not attempted", "○")):
        assert repr(exercises.Verdict(status, "text")) == f"{mark} {status}: text"


@pytest.mark.parametrize("answer", [None, ..., {"frames": ...}], ids=["None", "dots", "dictionary of dots"])
def test_nothing_is_not_attempted(answer):
    assert exercises.check_shapes(answer).status == "not attempted"


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda seconds, rate: seconds * wrong_name, "NameError"),  # noqa: F821
        (lambda seconds, rate: "many", "expected numbers"),
        (lambda seconds, rate: [1, 2], "shape"),
        (lambda seconds, rate: 1e9, "different, not 1000000000.0"),
        (lambda: 0, "TypeError"),
    ],
    ids=["raises", "words", "list", "number", "arguments"],
)
def test_a_failure_says_what_was_found(answer, said):
    verdict = exercises.check_seconds_to_samples(answer)
    assert verdict.status == "fail"
    assert said in verdict.message
    assert "11025 samples in one second" in verdict.message


def test_an_imaginary_part_is_not_dropped_in_silence():
    verdict = exercises.check_best_real_mask(lambda source, mixture: source / mixture)
    assert verdict.status == "fail"
    assert "real numbers, found complex" in verdict.message


@pytest.mark.parametrize("answer", ["three", [1, 2]], ids=["word", "list"])
def test_answers_of_another_kind_are_refused_kindly(answer):
    assert exercises.check_shapes(answer).status == "fail"
    assert exercises.check_trio(answer).status == "fail"
