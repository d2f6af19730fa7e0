"""Sounds of any format beside frames of any rate, which follows from how many frames there are per second of sound."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_clips import CONFIG, RATE

from sopedu.audio.soundfiles import load_waveform, save_waveform
from sopedu.data.clips import SampleKey
from sopedu.data.index_clips import IndexClips
from sopedu.data.index_sounds import FRAME_RATES, find_frame_rate, sound_part, sound_seconds
from sopedu.errors import SopeduError
from sopedu.video.writing import write_video


def clip(root: Path, name: str, seconds: float, count: int) -> str:
    """A clip whose frames get brighter from 0 to 250 while its sound is a ramp from 0.1 to 0.9."""
    audio, frames = root / "audio" / "tuba" / f"{name}.wav", root / "frames" / "tuba" / name
    audio.parent.mkdir(parents=True, exist_ok=True)
    frames.mkdir(parents=True)
    save_waveform(audio, np.linspace(0.1, 0.9, round(seconds * RATE), dtype=np.float32), RATE)
    for number in range(count):
        level = round(250 * number / count)
        Image.new("RGB", (16, 16), (level, level, level)).save(frames / f"{number + 1:06d}.png")
    return f"audio/tuba/{name}.wav,frames/tuba/{name},{count}\n"


@pytest.mark.parametrize("rate", [1, 8, 12.5, 25, 30])
def test_the_rate_of_the_frames_is_found_and_pictures_stay_with_their_sound(tmp_path, rate):
    rows = [clip(tmp_path, f"{number}", 12, math.floor(12 * rate)) for number in range(3)]
    (tmp_path / "train.csv").write_text("".join(rows), encoding="utf-8")
    clips = IndexClips(tmp_path / "train.csv", CONFIG)
    assert clips.frame_rate == rate
    told = [note for note in clips.check_files() if "frames per second" in note]
    said = f"{tmp_path}/train.csv: {rate:g} frames per second, as their numbers and the sounds' lengths say"
    assert told == ([] if rate == 8 else [said])
    for epoch in range(8):
        got = clips[SampleKey(0, epoch, 0)]
        heard = float(got.waveform[len(got.waveform) // 2] - 0.1) / 0.8 * 12  # seconds, in the middle
        seen = got.frames.float().mean((1, 2, 3)) / 250 * 12
        for time, wanted in zip(seen.tolist(), CONFIG.frames.times(heard), strict=True):
            assert abs(time - wanted) <= 0.6 / rate + 0.1


def test_a_rate_that_is_given_is_taken_and_one_that_nothing_tells_is_asked_for(tmp_path):
    (tmp_path / "train.csv").write_text(clip(tmp_path, "0", 60, 639), encoding="utf-8")  # 79.9 s at 8 per second
    with pytest.raises(
        SopeduError, match=r"agree on no frame rate, such as 639 frames in 60\.0 s; [^\n]*--frame-rate$"
    ):
        IndexClips(tmp_path / "train.csv", CONFIG).check_files()
    clips = IndexClips(tmp_path / "train.csv", CONFIG, frame_rate=8)
    assert clips.frame_rate == 8 and clips[0].waveform.all()
    with pytest.raises(SopeduError, match="frame_rate=0: must be 0.1 or more"):
        IndexClips(tmp_path / "train.csv", CONFIG, frame_rate=0)


@given(
    st.sampled_from(FRAME_RATES),
    st.lists(st.tuples(st.floats(4, 60), st.floats(-1, 1)), min_size=3, max_size=9),
    st.sampled_from([8.0, 25.0, 1.0]),
)
def test_rates_are_told_apart_though_counts_are_rounded(rate, clips, expected):
    seconds = [length for length, _ in clips]
    counts = [max(1, round(length * rate + off)) for length, off in clips]
    found = find_frame_rate([*counts, 999], [*seconds, 3.0], expected)  # one clip is wrong
    apart = [abs(count - length * found) for count, length in zip(counts, seconds, strict=True)]
    assert found == rate or sum(apart) <= 1.51 * len(clips) + 0.015 * sum(counts)  # 24 or 25 in four seconds


def test_sounds_of_films_and_mp3_are_read_as_their_wav_is(tmp_path):
    import soundfile

    wave = np.sin(np.arange(4 * RATE) * 0.05).astype(np.float32) * np.linspace(0.1, 0.8, 4 * RATE, dtype=np.float32)
    soundfile.write(tmp_path / "a.mp3", wave, RATE, format="MP3")
    save_waveform(tmp_path / "a.wav", wave, RATE)
    write_video(tmp_path / "a.mp4", np.zeros((32, 16, 16, 3), np.uint8), 8.0, wave, RATE)
    whole = load_waveform(tmp_path / "a.wav", RATE)
    for name in ("a.wav", "a.mp3", "a.mp4"):
        path = str(tmp_path / name)
        assert sound_seconds(path) == pytest.approx(4, abs=0.12)
        part = sound_part(path, 1.5, RATE, RATE)
        assert part.shape == (RATE,) and np.corrcoef(part, whole[round(1.5 * RATE) :][:RATE])[0, 1] > 0.97
    (tmp_path / "b.mp3").write_bytes(b"no sound")
    for read in (sound_seconds, lambda path: sound_part(path, 0, 9, RATE)):
        with pytest.raises(SopeduError, match=r"b\.mp3: [^\n]*$"):
            read(str(tmp_path / "b.mp3"))
