"""Sound files: levels, parts, writing, and errors that help."""

from __future__ import annotations

import sys
import wave

import numpy as np
import pytest
import soundfile
from tones import RATE, inner, sine

from sopedu.audio import resampling
from sopedu.audio import soundfiles as sound
from sopedu.errors import SopeduError


@pytest.mark.parametrize("suffix, tolerance", [("wav", 1e-3), ("flac", 1e-3), ("ogg", 0.02), ("mp3", 0.02)])
def test_levels_are_those_of_the_file_in_every_format(tmp_path, suffix, tolerance):
    path = tmp_path / f"sine.{suffix}"
    soundfile.write(path, sine(440, 2.0), RATE)
    waveform = sound.load_waveform(path)
    assert waveform.dtype == np.float32
    assert waveform.shape == (22050,)
    assert np.sqrt(np.mean(inner(waveform) ** 2)) == pytest.approx(0.5 / np.sqrt(2), abs=tolerance)
    np.testing.assert_allclose(inner(waveform), inner(sine(440, 2.0, 11025)), atol=max(tolerance, 2e-3))


def test_channels_are_averaged(tmp_path):
    left, right = sine(440, 1.0, 11025), sine(660, 1.0, 11025, amplitude=0.2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 11025, subtype="FLOAT")
    np.testing.assert_allclose(sound.load_waveform(tmp_path / "stereo.wav"), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [11025, 44100, 48000])
def test_a_part_equals_that_part_of_the_whole(tmp_path, suffix, rate):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (3 * rate, 2))
    soundfile.write(tmp_path / f"noise.{suffix}", noise, rate)
    whole = sound.load_waveform(tmp_path / f"noise.{suffix}")
    part = sound.load_waveform(tmp_path / f"noise.{suffix}", start=1.0, seconds=0.5)
    assert part.shape == (round(0.5 * 11025),)
    np.testing.assert_allclose(part, whole[11025 : 11025 + len(part)], atol=1e-5)


def test_the_clip_of_the_paper_has_its_length_and_the_end_of_a_file_gives_less(tmp_path):
    soundfile.write(tmp_path / "long.wav", sine(440, 8.0), RATE)
    assert sound.load_waveform(tmp_path / "long.wav", seconds=65535 / 11025).shape == (65535,)
    assert sound.load_waveform(tmp_path / "long.wav", start=7.0, seconds=5.0).shape == (11025,)


def test_saved_and_loaded_is_the_same_to_half_a_16_bit_step(tmp_path):
    waveform = np.random.default_rng(1).uniform(-0.99, 0.99, 5000).astype(np.float32)
    assert sound.save_waveform(tmp_path / "noise.wav", waveform, 11025) == 1.0
    loaded = sound.load_waveform(tmp_path / "noise.wav")
    np.testing.assert_allclose(loaded, waveform, atol=0.51 / 32768)
    assert soundfile.info(tmp_path / "noise.wav").subtype == "PCM_16"


def test_a_peak_above_one_is_scaled_and_not_clipped(tmp_path):
    loud = 2.5 * sine(440, 0.5, 11025, amplitude=1.0)
    gain = sound.save_waveform(tmp_path / "loud.wav", loud, 11025)
    assert gain == pytest.approx(1 / np.abs(loud).max())
    np.testing.assert_allclose(sound.load_waveform(tmp_path / "loud.wav"), loud * gain, atol=1.01 / 32768)


def test_tensors_are_taken_too(tmp_path):
    torch = pytest.importorskip("torch")
    waveform = torch.linspace(-0.5, 0.5, 1000, requires_grad=True)
    sound.save_waveform(tmp_path / "ramp.wav", waveform, 11025)
    np.testing.assert_allclose(sound.load_waveform(tmp_path / "ramp.wav"), waveform.detach(), atol=1e-4)


def test_16_bit_wav_is_read_the_same_without_soundfile(tmp_path, monkeypatch):
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (RATE, 2))
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    soundfile.write(tmp_path / "noise.flac", noise, RATE)
    soundfile.write(tmp_path / "noise24.wav", noise, RATE, subtype="PCM_24")
    with_soundfile = sound.load_waveform(tmp_path / "noise.wav", start=0.25, seconds=0.5)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    without = sound.load_waveform(tmp_path / "noise.wav", start=0.25, seconds=0.5)
    np.testing.assert_array_equal(without, with_soundfile)
    for name in ("noise.flac", "noise24.wav"):
        with pytest.raises(SopeduError, match="pip install soundfile"):
            sound.load_waveform(tmp_path / name)


@pytest.mark.parametrize(
    "name, says",
    [
        ("missing.wav", "no such file"),
        ("folder", "is a folder"),
        ("empty.wav", "is empty"),
        ("text.wav", "cannot be read as wav"),
        ("not_finite.wav", "NaN"),
        ("no_samples.wav", "holds 0.00 s"),
    ],
)
def test_a_bad_file_gives_one_line_with_its_name(tmp_path, name, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound\n" * 20)
    soundfile.write(tmp_path / "not_finite.wav", np.array([0.0, np.nan, np.inf]), 11025, subtype="FLOAT")
    soundfile.write(tmp_path / "no_samples.wav", np.zeros(0), 11025)
    with pytest.raises(SopeduError, match=says) as caught:
        sound.load_waveform(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_flac_gives_an_error_that_names_it(tmp_path):
    soundfile.write(tmp_path / "cut.flac", np.random.default_rng(3).uniform(-0.5, 0.5, RATE), RATE)
    content = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[:100])
    with pytest.raises(SopeduError, match=r"cut\.flac"):
        sound.load_waveform(tmp_path / "cut.flac")


def test_a_start_past_the_end_or_a_part_of_nothing_is_an_error(tmp_path):
    soundfile.write(tmp_path / "short.wav", sine(440, 1.0), RATE)
    with pytest.raises(SopeduError, match=r"holds 1\.00 s"):
        sound.load_waveform(tmp_path / "short.wav", start=1.0)
    for part in ({"start": -1.0}, {"seconds": 0.0}):
        with pytest.raises(SopeduError, match="start at 0 or later"):
            sound.load_waveform(tmp_path / "short.wav", **part)


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan])])
def test_what_is_no_waveform_is_not_written(tmp_path, bad):
    with pytest.raises(SopeduError, match="waveform"):
        sound.save_waveform(tmp_path / "bad.wav", bad, 11025)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(SopeduError, match="nowhere does not exist"):
        sound.save_waveform(tmp_path / "nowhere" / "a.wav", np.zeros(10), 11025)


def test_python_own_reader_sees_what_was_written(tmp_path):
    sound.save_waveform(tmp_path / "steps.wav", np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), 8000)
    with wave.open(str(tmp_path / "steps.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        samples = np.frombuffer(file.readframes(5), dtype="<i2")
    assert samples.tolist() == [-32768, -16384, 0, 16384, 32767]
    assert sound.encode_wav(np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), 8000) == (tmp_path / "steps.wav").read_bytes()


def test_every_sample_of_16_bits_survives_reading_and_writing():
    samples = np.arange(-32768, 32768).astype("<i2")
    waveform = sound.from_int16(samples)
    assert waveform.dtype == np.float32 and waveform.min() == -1 and waveform.max() == 32767 / 32768
    assert np.array_equal(sound.to_int16(waveform), samples)


def test_a_wav_written_in_blocks_at_another_rate_is_the_resampled_whole(tmp_path):
    tone = sine(440, 3.0, 11025)
    sound.save_waveform_blocks(tmp_path / "tone.wav", np.array_split(tone, 5), 11025, 44100)
    found, rate = soundfile.read(tmp_path / "tone.wav", dtype="float32")
    assert (rate, len(found)) == (44100, 4 * len(tone))
    np.testing.assert_allclose(found, np.clip(resampling.resample(tone, 11025, 44100), -1, 1), atol=1e-4)


@pytest.mark.parametrize("rate", [11025, 44100])
def test_a_part_of_an_mp3_is_the_same_part_of_the_whole(tmp_path, rate):
    """A tone needs few bits, so frames keep theirs in earlier ones, which a decoder that begins there has not seen."""

    tone = np.sin(np.arange(4 * rate) * 0.05).astype(np.float32) * np.linspace(0.1, 0.8, 4 * rate, dtype=np.float32)
    soundfile.write(tmp_path / "a.mp3", tone, rate, format="MP3")
    whole = sound.load_waveform(tmp_path / "a.mp3", rate)
    for start in (0.0, 0.3, 1.5, 3.2):
        part, first = sound.load_waveform(tmp_path / "a.mp3", rate, start, 0.7), round(start * rate)
        assert np.abs(part - whole[first : first + len(part)]).max() < 1e-5
