"""The toy band's melodies and sounds: in range, in tune, alias-free, varied, the same bytes on every CPU."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from sopedu.toyband.instruments import BAND, INSTRUMENTS
from sopedu.toyband.melody import compose
from sopedu.toyband.performance import perform
from sopedu.toyband.synthesis import synthesize, voice
from sopedu.toyband.voices import Note, frequency_of

SAMPLE_RATE = 11025

# Made by `python tests/test_toyband_sound.py` (numpy 2.4.6, x86-64 with AVX-512). Whoever changes the sound
# on purpose runs that again, pastes what it prints, and says so in the changelog: models trained on the old
# sound have not heard the new one.
HASHES = {
    "accordion": "376db4774736b94a",
    "acoustic_guitar": "41623fd9cf2b454b",
    "cello": "11b03bf9da21edab",
    "clarinet": "290972144901aa74",
    "erhu": "e25d0030a48003f0",
    "flute": "3c608a9b288db48d",
    "saxophone": "a671ac4c99399f94",
    "trumpet": "3ba838513a277d9b",
    "tuba": "5aa467d43594e6c6",
    "violin": "527e6bf1086777ae",
    "xylophone": "8d7dcf50f789e3dc",
}


# The same with all properties of lifelike sounds.
LIFELIKE_HASHES = {
    "accordion": "5f342c49b333b41d",
    "acoustic_guitar": "ebb6bf962dae4016",
    "cello": "a16ed1cb6fde437b",
    "clarinet": "687a37ad5af117f0",
    "erhu": "36bf3a131d72cafe",
    "flute": "fb7219d4b3b4dc8e",
    "saxophone": "7a44bb9c3ddc0b59",
    "trumpet": "f7c1746f6bafac8b",
    "tuba": "159a182007f2209f",
    "violin": "a9ed2f85e2bc10c5",
    "xylophone": "617681a3e72397cc",
}


def solo(instrument: str, identity: int, seconds: float = 1.5) -> np.ndarray:
    samples = int(seconds * SAMPLE_RATE)
    notes = compose(instrument, identity, seconds)
    return synthesize(instrument, notes, voice(instrument, identity), samples, SAMPLE_RATE, identity)


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and magnitudes under a Hann window."""
    magnitude = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE), magnitude


def plain(instrument: str, identity: int) -> np.ndarray:
    return solo(instrument, identity, 3.0)


def lifelike(instrument: str, identity: int) -> np.ndarray:
    notes = compose(instrument, identity, 3.0, phrasing=True)
    return perform(instrument, notes, identity, identity, 3 * SAMPLE_RATE, SAMPLE_RATE, place=("test", identity))


def hashes(sound) -> dict[str, str]:
    """For each instrument the start of the SHA-256 of six solos, rounded to int16 as the renderer does."""
    result = {}
    for instrument in INSTRUMENTS:
        clips = [np.rint(32767 * sound(instrument, identity)).astype("<i2") for identity in range(6)]
        result[instrument] = hashlib.sha256(np.concatenate(clips).tobytes()).hexdigest()[:16]
    return result


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_melody_is_ordered_in_range_and_covers_the_clip(instrument):
    lowest, highest = BAND[instrument].pitch_range
    for identity in range(20):
        notes = compose(instrument, identity, 1.5)
        starts = [note.start for note in notes]
        assert starts == sorted(starts)
        assert all(lowest <= note.pitch <= highest and 0 < note.loudness <= 1 for note in notes)
        assert all(note.start < 1.5 and note.start + note.duration > 0 for note in notes)


@pytest.mark.parametrize("phrasing", [False, True])
def test_a_melody_can_be_sent_into_another_register(phrasing):
    for instrument in INSTRUMENTS:
        pitches = [
            note.pitch for k in range(12) for note in compose(instrument, k, 3.0, phrasing, pitch_range=(86, 99))
        ]
        assert 86 <= min(pitches) <= 91 and 94 <= max(pitches) <= 99


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_longer_melody_begins_like_the_shorter_one(instrument):
    short, long = compose(instrument, 3, 1.5), compose(instrument, 3, 6.0)
    assert long[: len(short)] == short


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_sound_in_nearly_every_half_second(instrument):
    pieces = np.concatenate([solo(instrument, k)[: 3 * 5512].reshape(3, 5512) for k in range(12)])
    loudness = np.sqrt((pieces**2).mean(1))
    assert (loudness > 0.02).mean() >= 0.95


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_level_and_peak(instrument):
    for identity in range(8):
        sound = solo(instrument, identity)
        assert sound.shape == (16537,) and sound.dtype == np.float64
        assert 0.07 <= np.sqrt(np.mean(sound**2)) <= 0.125
        assert np.abs(sound).max() <= 0.95


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize("pitch", [57, 62])
def test_fundamental_of_a_steady_note(instrument, pitch):
    sound = synthesize(instrument, [Note(0.0, 1.5, pitch, 0.8)], voice(instrument, 0), 16537, SAMPLE_RATE)
    # Leave out the first 0.3 s, where a saxophone scoops; a struck bar is nearly silent by then.
    sound = sound if instrument == "xylophone" else sound[3300:]
    frequency, magnitude = spectrum(sound)
    expected = frequency_of(pitch)
    near = np.abs(frequency - expected) < 0.35 * expected
    found = np.average(frequency[near], weights=magnitude[near] ** 2)
    # An accordion key has a second reed up to 6 Hz higher.
    assert found == pytest.approx(expected, abs=4.0 if instrument == "accordion" else 0.012 * expected)
    assert magnitude[near].max() > 0.1 * magnitude.max()


@pytest.mark.parametrize("instrument", sorted(set(INSTRUMENTS) - {"acoustic_guitar", "xylophone"}))
def test_no_partial_is_mirrored_at_the_nyquist_frequency(instrument):
    # No vibrato, glide or noise: all energy must stand on multiples of the fundamental.
    build = replace(
        voice(instrument, 1),
        vibrato_depth=0.0,
        tremolo=0.0,
        glide=0.0,
        noise=0.0,
        brightness=0.95,
        detune=0.0,
    )
    pitch = 75.3
    sound = synthesize(instrument, [Note(-1.0, 4.0, pitch, 1.0)], build, 16537, SAMPLE_RATE)
    frequency, magnitude = spectrum(sound)
    multiple = frequency / frequency_of(pitch)
    between = np.abs(multiple - np.rint(multiple)) * frequency_of(pitch) > 20
    assert magnitude[between].max() < 1e-3 * magnitude.max()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_a_pitch_that_the_sample_rate_cannot_hold_is_silent(instrument):
    sound = synthesize(instrument, [Note(0.0, 0.5, 125, 1.0)], voice(instrument, 1), 5000, SAMPLE_RATE)
    assert not sound.any()


def test_struck_bar_has_its_inharmonic_partials_and_no_others():
    sound = synthesize("xylophone", [Note(0.0, 0.5, 60, 1.0)], voice("xylophone", 1), 5512, SAMPLE_RATE)
    frequency, magnitude = spectrum(sound)
    for ratio in (1, 3, 6):
        near = np.abs(frequency - ratio * frequency_of(60)) < 40
        between = np.abs(frequency - (ratio + 0.6) * frequency_of(60)) < 40
        assert magnitude[near].max() > 3 * magnitude[between].max()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_identities_differ_and_repeat(instrument):
    assert voice(instrument, 1) == voice(instrument, 1) != voice(instrument, 2)
    assert compose(instrument, 1, 3.0) == compose(instrument, 1, 3.0) != compose(instrument, 2, 3.0)
    assert np.array_equal(solo(instrument, 1), solo(instrument, 1))
    assert np.abs(solo(instrument, 1) - solo(instrument, 2)).max() > 0.05


def test_no_notes_is_silence():
    assert not synthesize("flute", [], voice("flute", 0), 100).any()


@pytest.mark.parametrize(
    "call",
    [
        lambda: compose("kazoo", 0, 1.0),
        lambda: voice("kazoo", 0),
        lambda: synthesize("kazoo", [], voice("tuba", 0), 9),
    ],
)
def test_unknown_instrument_lists_the_choices(call):
    with pytest.raises(ValueError, match="unknown instrument 'kazoo': choose one of accordion, .*xylophone$"):
        call()


def test_the_same_bytes_as_ever():
    assert hashes(plain) == HASHES
    assert hashes(lifelike) == LIFELIKE_HASHES


@pytest.mark.skipif(sys.platform != "linux", reason="NPY_DISABLE_CPU_FEATURES is tried on Linux only")
def test_the_same_bytes_without_wide_vector_units():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    # All instruction sets that this numpy can do without; with none of them it computes on its baseline.
    disabled = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(disabled)}
    run = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == [repr(HASHES), repr(LIFELIKE_HASHES)]


if __name__ == "__main__":
    print(repr(hashes(plain)))
    print(repr(hashes(lifelike)))
