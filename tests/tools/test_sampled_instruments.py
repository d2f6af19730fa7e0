"""Melodies on sampled instruments: key events, files in time and at their level, SoundFonts that do not work."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command import tool

from sopedu.audio import load_waveform
from sopedu.config import preset, with_values
from sopedu.data import SoundFolderClips
from sopedu.errors import SopeduError
from sopedu.toyband import INSTRUMENTS
from sopedu.toyband.melody import compose
from sopedu.toyband.voices import Note
from tools import sampled_instruments as sampled

CONFIG = with_values(preset("tiny"), ["model.audio_channels=4,4,4", "spectrogram.samples=8191"])


def test_a_key_is_let_go_before_it_is_struck_again_and_every_key_in_the_end():
    notes = [Note(0.0, 0.5, 60, 1.0), Note(0.2, 0.5, 60, 0.001), Note(0.2, 0.1, 64, 0.5), Note(1.0, 1.0, 60, 0.5)]
    assert sampled.midi_events(notes) == [
        (0.0, 60, 127), (0.2, 60, 0), (0.2, 60, 1), (0.2, 64, 64), (pytest.approx(0.3), 64, 0),
        (pytest.approx(0.7), 60, 0), (1.0, 60, 64), (2.0, 60, 0),
    ]  # fmt: skip
    for name in INSTRUMENTS:
        notes = compose(name, 8, 6.0)
        events = sampled.midi_events(notes)
        assert events == sorted(events, key=lambda event: event[0])
        assert sum(velocity > 0 for *_, velocity in events) == len(notes)
        for key in {key for _, key, _ in events}:
            struck = [velocity > 0 for _, other, velocity in events if other == key]
            assert struck == [True, False] * (len(struck) // 2)


def clicks(program: int, events: list, seconds: float) -> np.ndarray:
    """A stand-in for a synthesizer: a click and an offset for every key struck."""
    sound = np.full(round(seconds * sampled.SAMPLE_RATE), 0.2)
    for time, _, velocity in events:
        if velocity and time < seconds:
            sound[min(round(time * sampled.SAMPLE_RATE), len(sound) - 1)] += 1.0
    return sound


def test_held_out_melodies_are_written_in_time_at_the_level_of_the_toy_band_without_an_offset(tmp_path, monkeypatch):
    composed = []

    def spy(name: str, identity: int, seconds: float) -> list[Note]:
        composed.append((name, identity, compose(name, identity, seconds)))
        return composed[-1][2]

    monkeypatch.setattr(sampled, "compose", spy)
    out = sampled.render_sampled(tmp_path / "out", clicks, solos=12, seconds=2.0, seed=3, progress=False)
    assert [name for name, *_ in composed] == [*INSTRUMENTS, INSTRUMENTS[0]] and composed[0][1] != composed[11][1]
    assert all(identity % 10 == 8 for _, identity, _ in composed)  # of the validation split
    for number, (name, _, notes) in enumerate(composed):
        waveform = load_waveform(out / name / f"validation3-{number:06d}.wav", sampled.SAMPLE_RATE)
        assert len(waveform) == 2 * sampled.SAMPLE_RATE
        expected = {round(note.start * sampled.SAMPLE_RATE) for note in notes if note.start >= 0}
        found = np.flatnonzero(waveform > 0.5 * waveform.max())
        assert len(found) == len(expected) and np.abs(found - sorted(expected)).max() <= 1
        assert abs(waveform[sampled.SAMPLE_RATE // 2 :].mean()) < 2e-3
    assert len(list(out.rglob("*.wav"))) == 12
    clips = SoundFolderClips(out, CONFIG, INSTRUMENTS, 11)
    assert clips.class_names == INSTRUMENTS and not clips.notes


def test_a_soundfont_that_plays_nothing_leaves_no_folder(tmp_path):
    with pytest.raises(SopeduError, match=r"plays nothing for accordion \(program 21\)"):
        sampled.render_sampled(tmp_path / "out", lambda *_: np.full(300_000, 0.5) * 0, solos=1, progress=False)
    assert not list(tmp_path.iterdir())


class StandIn:
    """What is used of ``tinysoundfont.Synth``: its sound counts the keys that are down, twice as loud on the right."""

    def __init__(self, samplerate: int) -> None:
        assert samplerate == 44100
        self.down: set[int] = set()

    def sfload(self, path: str) -> int:
        if Path(path).read_bytes()[:4] != b"RIFF":
            raise RuntimeError("could not load")
        return 5

    def program_select(self, channel: int, number: int, bank: int, program: int) -> None:
        if (channel, number, bank) != (0, 5, 0) or program == 21:
            raise RuntimeError("no such program")

    def sounds_off(self) -> None:
        self.down.clear()

    def noteon(self, channel: int, key: int, velocity: int) -> None:
        self.down.add(key)

    def noteoff(self, channel: int, key: int) -> None:
        self.down.remove(key)

    def generate(self, samples: int) -> memoryview:
        return memoryview(np.tile(np.array([1, 2], np.float32) * len(self.down), samples).tobytes())


def test_a_soundfont_plays_events_at_their_samples(tmp_path, monkeypatch):
    (tmp_path / "good.sf2").write_bytes(b"RIFF")
    (tmp_path / "bad.sf2").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(SopeduError, match="pip install --no-deps tinysoundfont"):
        sampled.soundfont_synthesizer(tmp_path / "good.sf2")
    module = SimpleNamespace(Synth=StandIn, SoundFontException=type("SoundFontException", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "tinysoundfont", module)
    with pytest.raises(SopeduError, match=r"bad.sf2: cannot be read as a SoundFont \(could not load\)"):
        sampled.soundfont_synthesizer(tmp_path / "bad.sf2")
    play = sampled.soundfont_synthesizer(tmp_path / "good.sf2")
    events = sampled.midi_events([Note(0.25, 0.5, 60, 1.0), Note(0.5, 9.0, 64, 1.0)])
    for _ in range(2):  # nothing of the first time is left in the second
        sound = play(40, events, 1.0)
        assert len(sound) == 44100 and sound.dtype == np.float32
        np.testing.assert_array_equal(sound[[0, 11024, 11025, 22049, 22050, 33074, 33075]] / 1.5, [0, 0, 1, 1, 2, 2, 1])
    status, said, err = tool(sampled, f"--soundfont {tmp_path}/good.sf2 --out {tmp_path}/out --solos 11 --seconds 1")
    assert said.startswith("plan: play 11 solos of 1 s by ") and said.endswith(f"; they go to {tmp_path}/out\n")
    assert status == 2 and err.endswith("good.sf2: has no program 21; take a General MIDI SoundFont\n")
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_one_line_before_the_soundfont_is_opened(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "some.sf2").write_bytes(b"RIFF")
    for soundfont, out, message in (("no.sf2", "new", "no.sf2: no such file"), ("some.sf2", "full", "not an empty")):
        status, _, err = tool(sampled, f"--soundfont {tmp_path / soundfont} --out {tmp_path / out}")
        assert status == 2 and message in err and err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_command_says_how_to_evaluate_on_what_it_wrote(tmp_path, monkeypatch):
    (tmp_path / "some.sf2").write_bytes(b"RIFF")
    monkeypatch.setattr(sampled, "soundfont_synthesizer", lambda path: clicks)
    status, said, _ = tool(sampled, f"--soundfont {tmp_path}/some.sf2 --out {tmp_path}/out --solos 2 --seconds 1")
    assert status == 0 and said.endswith(f"next: sopedu evaluate CHECKPOINT --sounds {tmp_path}/out\n")
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.wav")} == set(INSTRUMENTS[:2])
