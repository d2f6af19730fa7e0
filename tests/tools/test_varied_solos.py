"""Varied solos to train on: their pitch and register, who plays them, and how they differ; the command."""

from __future__ import annotations

import numpy as np
import pytest
from command import tool

from sopedu.audio import load_waveform
from sopedu.errors import SopeduError
from sopedu.toyband import INSTRUMENTS
from sopedu.toyband.melody import compose
from sopedu.toyband.voices import Note
from tools import varied_solos as varied
from tools.sampled_instruments import SAMPLE_RATE


def pluck(program: int, events: list, seconds: float) -> np.ndarray:
    """A stand-in for a synthesizer: sine tones at the keys' pitches, one after the other."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros(len(time))
    for start, key, velocity in events:
        if velocity:
            after = time - start
            sine = np.sin(880 * np.pi * 2 ** ((key - 69) / 12) * after)
            sound += (after > 0) * velocity * sine * np.exp(-5 * abs(after))
    return sound


def test_solos_are_off_pitch_by_up_to_50_cents_and_of_all_programs_of_sources_in_turn(tmp_path, monkeypatch):
    asked: list[tuple[str, int]] = []

    def spy(who: str):
        def play(program: int, events: list, seconds: float) -> np.ndarray:
            asked.append((who, program))
            return pluck(program, events, seconds)

        return play

    # One note of 440 Hz without vibrato, noise or room, so that the pitch of each file can be read from its spectrum.
    monkeypatch.setattr(varied, "compose", lambda *_, **__: [Note(0.0, 1.0, 69, 1.0)])
    monkeypatch.setattr(varied, "recorded", lambda sound, *_: sound)
    monkeypatch.setattr(varied, "_VIBRATO", {})
    first, second = varied.soundfont_source(spy("one")), {"violin": [(spy("two"), 7)]}
    names = ("saxophone", "violin")
    out = varied.render_varied(tmp_path / "out", [first, second], 48, 1.0, instruments=names, progress=False)
    assert {program for who, program in asked[0::2] if who == "one"} == {64, 65, 66, 67} and len(asked) == 48
    assert [who for who, _ in asked[0::2]] == ["one"] * 24 and [who for who, _ in asked[1::2]] == ["one", "two"] * 12
    cents = []
    for path in sorted(out.rglob("train0-*.wav")):
        waveform = load_waveform(path, 11025)
        assert len(waveform) == 11025 and 0.02 < np.sqrt(np.mean(waveform**2)) < 0.13
        highest = np.abs(np.fft.rfft(waveform, 1 << 18)).argmax()
        cents.append(1200 * np.log2(highest * 11025 / (1 << 18) / 440))
    assert len(cents) == 48 and np.abs(cents).max() < 51 and np.ptp(cents) > 50


def test_melodies_are_of_the_training_split_and_fill_the_compass(tmp_path, monkeypatch):
    composed: dict[str, list[Note]] = {}

    def spy(name: str, identity: int, seconds: float, **options) -> list[Note]:
        assert identity % 10 < 8 and options["phrasing"]
        lowest, highest = options["pitch_range"]
        assert 14 <= highest - lowest <= 20
        composed.setdefault(name, []).extend(compose(name, identity, seconds, **options))
        return compose(name, identity, seconds, **options)

    monkeypatch.setattr(varied, "compose", spy)
    monkeypatch.setattr(varied, "recorded", lambda sound, *_: sound)
    varied.render_varied(tmp_path / "out", [varied.soundfont_source(pluck)], 300, 1.0, progress=False)
    assert set(composed) == set(varied.COMPASS) == set(INSTRUMENTS) - {"erhu"}
    for name, notes in composed.items():
        lowest, highest = varied.COMPASS[name]
        pitches = [note.pitch for note in notes]
        assert lowest <= min(pitches) <= lowest + 9 and highest - 9 <= max(pitches) <= highest


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_sounds(tmp_path):
    source = [varied.soundfont_source(pluck)]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        varied.render_varied(tmp_path / name, source, 10, 0.5, seed, progress=False)
    files = [sorted((tmp_path / name).rglob("*.wav")) for name in "abc"]
    first, again, other = ([path.read_bytes() for path in some] for some in files)
    assert first == again and len(set(first) & set(other)) == 0 and len(set(first)) == 10


def test_vibrato_changes_the_pitch_by_no_more_than_45_cents():
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    deviations = []
    for seed in range(8):
        sound = varied._with_vibrato(np.sin(2 * np.pi * 440 * time), np.random.default_rng(seed))
        crossings = time[1:][(sound[:-1] < 0) & (sound[1:] >= 0)]
        deviations.append(np.abs(1200 * np.log2(np.diff(crossings[2:-2]) * 440)).max())
    assert 10 < max(deviations) < 50


def test_the_command_says_how_to_train_and_a_mistake_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "some.sf2").write_bytes(b"RIFF")
    monkeypatch.setattr(varied, "soundfont_synthesizer", lambda path: pluck)
    args = f"--soundfont {tmp_path}/some.sf2 --seconds 1 --solos 2"
    status, said, _ = tool(varied, f"{args} --out {tmp_path}/out")
    assert status == 0 and said.endswith(f"next: sopedu train --data toyband+{tmp_path}/out\n")
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.wav")} == {"accordion", "acoustic_guitar"}
    for wrong, message in (
        (f"{args} --out {tmp_path}/out", "not an empty"),
        (f"--soundfont {tmp_path}/none.sf2 --out {tmp_path}/new", "none.sf2: no such file"),
        (f"{args} --out {tmp_path}/new --notes {tmp_path}", "holds no folder tonejs-instrument-"),
    ):
        status, _, err = tool(varied, wrong)
        assert status == 2 and message in err and err.count("\n") == 1 and not (tmp_path / "new").exists()


def test_an_instrument_that_no_source_plays_is_told(tmp_path):
    with pytest.raises(SopeduError, match="no source plays tuba"):
        varied.render_varied(tmp_path / "out", [{"violin": [(pluck, 0)]}], 2, 1.0, 0, ("violin", "tuba"), False)
    assert not (tmp_path / "out").exists()
