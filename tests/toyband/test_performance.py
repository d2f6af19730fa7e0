"""How melodies are played: each property does what it says, and nothing without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sopedu.errors import SopeduError
from sopedu.toyband import INSTRUMENTS, PROPERTIES, duet, solo
from sopedu.toyband.instruments import BAND, Articulation
from sopedu.toyband.melody import compose
from sopedu.toyband.performance import check_properties, perform, played_notes
from sopedu.toyband.synthesis import synthesize, voice
from sopedu.toyband.voices import Note, frequency_of, plucked

RATE = 11025
SMALL = {"size": 32, "times": (0.5,), "samples": 16383}


def played(instrument: str, properties, individual: int = 3, melody: int = 5, notes=None, seconds: float = 3.0):
    notes = compose(instrument, melody, seconds) if notes is None else notes
    return perform(instrument, notes, individual, melody, int(seconds * RATE), RATE, properties, ("train", 1))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_without_properties_the_plain_formulas_play(instrument):
    notes = compose(instrument, 5, 3.0)
    plain = synthesize(instrument, notes, voice(instrument, 3), 3 * RATE, RATE, 5)
    np.testing.assert_array_equal(played(instrument, ()), plain)


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_changes_sounds_and_repeats(name):
    changed = 0
    for seed, instrument in enumerate(INSTRUMENTS):
        plain, one = (
            solo(seed, "train", instrument, properties=(), **SMALL),
            solo(seed, "train", instrument, properties=(name,), **SMALL),
        )
        again = solo(seed, "train", instrument, properties=(name,), **SMALL)
        np.testing.assert_array_equal(one.mixture, again.mixture)
        changed += bool((one.mixture != plain.mixture).any())
        if name != "phrasing":  # only other melodies move other hands
            np.testing.assert_array_equal(one.frames, plain.frames)
    assert changed >= 5  # ornaments concern sustained notes only, phrasing some melodies


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_with_all_properties_players_sound_within_the_scale(instrument):
    for seed in range(6):
        sound = solo(seed, "train", instrument, properties="all", **SMALL).mixture / 32767
        assert np.isfinite(sound).all() and np.abs(sound).max() <= 0.95
        assert 0.03 < np.sqrt(np.mean(sound**2)) < 0.14


@pytest.mark.parametrize("sample_rate", [1, 8, 100, 48000])
def test_sounds_of_any_sample_rate_and_length_are_finite(sample_rate):
    for instrument in INSTRUMENTS:
        for samples in (1, 2, 1000):
            how = SMALL | {"samples": samples, "sample_rate": sample_rate}
            assert solo(3, "validation", instrument, **how).mixture.shape == (samples,)
    at_rest = solo(3, "train", "cello", **SMALL | {"samples": 9, "sample_rate": 8}).frames
    assert at_rest.any()  # pictures need no sound


def test_stems_add_up_to_the_mixture_with_all_properties():
    both = duet(4, "test", properties=("all",), **SMALL)
    np.testing.assert_array_equal(both.mixture, both.stems.sum(axis=0))
    assert both.stems.any(axis=1).all()


def test_properties_are_named_and_checked():
    assert check_properties(()) == ()
    assert check_properties("all") == check_properties(["all", "room"]) == tuple(PROPERTIES)
    assert check_properties(["room", "tuning"]) == ("tuning", "room")
    with pytest.raises(
        SopeduError, match="unknown property 'echo' of sounds: choose from all, plain, phrasing, tuning"
    ):
        solo(1, properties=["echo"], **SMALL)


def test_individuals_are_tuned_up_to_half_a_semitone_apart():
    """The fundamental of a long flute note, by the peak of a long spectrum."""
    cents = []
    for individual in range(24):
        sound = played("flute", ("tuning",), individual, notes=[Note(0.0, 3.0, 69, 0.8)])
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 19))
        frequency = np.fft.rfftfreq(1 << 19, 1 / RATE)
        near = (frequency > 400) & (frequency < 484)
        cents.append(1200 * np.log2(frequency[near][spectrum[near].argmax()] / 440))
    # 50 cents of tuning, and three standard deviations of 6 cents for the single note.
    assert np.ptp(cents) > 60 and np.abs(cents).max() < 50 + 20


def test_softer_notes_are_darker():
    def centroid(loudness: float) -> float:
        sound = played("trumpet", ("dynamics",), notes=[Note(0.0, 3.0, 60, loudness)])
        power = np.abs(np.fft.rfft(sound)) ** 2
        return float(np.average(np.fft.rfftfreq(len(sound), 1 / RATE), weights=power))

    assert centroid(0.3) < 0.7 * centroid(1.0)


def test_dynamics_span_several_decibels_within_a_melody():
    spans, levels = [], []
    for melody in range(20):
        notes = compose("violin", melody, 6.0)
        louds = [
            one.note.loudness for one in played_notes("violin", notes, voice("violin", 0), 0, melody, ("dynamics",))
        ]
        spans.append(20 * np.log10(max(louds) / min(louds)))
        levels += louds
    assert np.median(spans) > 2.5
    assert 20 * np.log10(max(levels) / min(levels)) > 14  # pp to ff over all melodies


def test_articulations_come_in_passages():
    notes = [Note(0.5 * i, 0.5, 60, 0.8) for i in range(200)]
    cello = [played_notes("cello", notes, voice("cello", 0), 0, melody, ("articulation",)) for melody in range(5)]
    tones = [one.tone for melody in cello for one in melody]
    share = np.mean([tone is plucked for tone in tones])
    assert 0.01 < share < 0.3  # pizzicato is one of seven other ways
    changes = np.mean([a is not b for a, b in zip(tones, tones[1:], strict=False)])
    assert changes < share  # in passages, not note by note


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_way_of_playing_is_heard(instrument):
    note, build, tone = Note(0.0, 1.0, 62, 0.8), voice(instrument, 1), BAND[instrument].tone
    usual = tone(note, build, RATE, RATE, 55, np.random.default_rng(1))[0]
    assert len(BAND[instrument].articulations) >= 3
    for way in BAND[instrument].articulations:
        total = np.zeros(2 * RATE)
        noise = np.zeros(2 * RATE)
        for one, changed, how in way.notes(note, build, tone):
            first, length = round(one.start * RATE), round(one.duration * RATE)
            sound, breath = how(one, changed, length, RATE, 55, np.random.default_rng(1))
            total[first : first + length] += sound
            noise[first : first + length] += changed.noise * breath
            assert changed.brightness <= 0.95
        assert np.isfinite(total).all() and total.any()
        louder = np.abs(total[:RATE] - usual).max() + np.abs(noise).max() + abs(len(way.notes(note, build, tone)) - 1)
        assert louder > 1e-3


def test_a_tremolo_divides_a_note_and_a_double_stop_doubles_it():
    note = Note(1.0, 0.5, 60, 0.8)
    strokes = [one for one, *_ in Articulation(repeats=10.0).notes(note, voice("violin", 1), plucked)]
    assert [round(one.start, 6) for one in strokes] == [1.0, 1.1, 1.2, 1.3, 1.4]
    both = [one for one, *_ in Articulation(second=7.0).notes(note, voice("violin", 1), plucked)]
    assert both == [note, replace(note, pitch=67.0)]


def test_ornaments_begin_late_and_differ_in_depth():
    notes = [Note(float(i), 1.0, 62, 0.8) for i in range(40)]
    depths, delays = set(), []
    for individual in range(8):
        for one in played_notes("violin", notes, voice("violin", individual), individual, 1, ("ornaments",)):
            depths.add(round(one.voice.vibrato_depth, 3))
            delays.append(one.voice.vibrato_delay)
    assert len(depths) > 100 and min(delays) > 0.04 and max(delays) < 0.8


def test_an_individual_keeps_its_tuning_and_its_body():
    """Two melodies of one individual have one tuning: the medians of their deviations agree."""
    notes = [Note(0.1 * i, 0.1, 60, 0.8) for i in range(60)]
    off = [
        np.median(
            [one.note.pitch - 60 for one in played_notes("flute", notes, voice("flute", 2), 2, melody, ("tuning",))]
        )
        for melody in (1, 2)
    ]
    others = [
        np.median([one.note.pitch - 60 for one in played_notes("flute", notes, voice("flute", i), i, 1, ("tuning",))])
        for i in range(3, 9)
    ]
    assert abs(off[0] - off[1]) < 0.06 < np.std(others)


def test_phrasing_changes_tempo_register_and_figure():
    usual = [compose("tuba", melody, 6.0) for melody in range(40)]
    other = [compose("tuba", melody, 6.0, phrasing=True) for melody in range(40)]
    counts, more = np.array([len(notes) for notes in usual]), np.array([len(notes) for notes in other])
    assert np.std(more / counts) > 0.2
    pitches = [note.pitch for notes in other for note in notes]
    assert min(pitches) >= 31 and max(pitches) > BAND["tuba"].pitch_range[1]
    assert frequency_of(max(pitches)) < RATE / 3
