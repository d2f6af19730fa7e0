"""The rows that a separation is compared with: they are what their names say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from noise_clips import BAND, CONFIG, Noise, untrained
from PIL import Image

from sopedu.audio.soundfiles import save_waveform
from sopedu.audio.spectrogram import stft
from sopedu.evaluation import baselines
from sopedu.evaluation.baselines import class_spectra, static_masks
from sopedu.evaluation.pairs import held_out_pairs
from sopedu.evaluation.separation import evaluate
from sopedu.model.checkpoints import Checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(untrained(), BAND)


def test_the_static_mask_is_the_wiener_filter_of_the_class_means():
    spectra = np.array([[1.0, 9.0], [3.0, 1.0], [0.5, 0.5]])
    masks = static_masks(spectra, np.array([[0, 1], [2, 0]]))
    assert masks.shape == (2, 2, 2, 1)
    np.testing.assert_allclose(masks[0, :, :, 0], [[1 / 4, 9 / 10], [3 / 4, 1 / 10]], rtol=1e-6)
    np.testing.assert_allclose(masks[1, :, :, 0], [[1 / 3, 0.5 / 9.5], [2 / 3, 9 / 9.5]], rtol=1e-6)


def test_class_spectra_are_mean_powers_of_that_class():
    clips, sound = Noise([0, 1, 2, 0, 1, 2]), CONFIG.spectrogram
    for label, spectrum in enumerate(class_spectra(clips)):
        power = stft(torch.stack([clips[label].waveform, clips[label + 3].waveform]), sound).abs().square()
        np.testing.assert_allclose(spectrum, power.mean((0, 2)), rtol=1e-5)


def test_swapped_pictures_of_more_solos_are_all_wrong(checkpoint, monkeypatch):
    pairs, seen = held_out_pairs(Noise([0, 1, 2] * 2), 2, sources=3), []
    monkeypatch.setattr(
        baselines, "separate_pairs", lambda model, mixture, frames: seen.append(frames) or mixture[:, None]
    )
    baselines.estimates_by_row(checkpoint, pairs, np.ones((3, CONFIG.spectrogram.linear_bins)))
    right, swapped = (frames[:, :, 0, 0, 0, 0] for frames in (pairs.frames, seen[0]))
    assert (right != swapped).all()
    assert torch.equal(right.sort(1).values, swapped.sort(1).values)


def test_an_index_whose_held_out_part_lacks_a_class_keeps_the_classes_apart(checkpoint, tmp_path):
    # Sines of 300, 900 and 2500 Hz: with the right class means the static mask alone separates them.
    rows: dict[str, list[str]] = {"train.csv": [], "val.csv": []}
    for number, (table, name) in enumerate((table, name) for table in rows for name in sorted(BAND)):
        if (table, name) == ("val.csv", "tuba"):
            continue
        audio, frames = tmp_path / "audio" / name / f"{number}.wav", tmp_path / "frames" / name / f"{number}"
        audio.parent.mkdir(parents=True, exist_ok=True)
        frames.mkdir(parents=True)
        frequency = {"tuba": 300, "violin": 900, "xylophone": 2500}[name]
        save_waveform(audio, 0.3 * np.sin(2 * np.pi * frequency * np.arange(11025) / 11025), 11025)
        for picture in range(1, 9):
            Image.new("RGB", (80, 80)).save(frames / f"{picture:06d}.jpg")
        rows[table].append(f"{audio.relative_to(tmp_path)},{frames.relative_to(tmp_path)},8")
    for table, lines in rows.items():
        (tmp_path / table).write_text("\n".join(lines))
    assert evaluate(checkpoint, str(tmp_path / "train.csv"), pairs=1, dictionaries=False)["sdr_static_mask"] > 20
