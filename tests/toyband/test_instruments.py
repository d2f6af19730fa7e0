"""A new instrument is one entry: it is composed, synthesized, drawn, and becomes a class of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from sopedu.config import preset, with_values
from sopedu.data.clips import ToyBandClips
from sopedu.toyband import BAND, INSTRUMENTS, Instrument, Style, Voice, duet, solo
from sopedu.toyband.bodies import arm, head, standing
from sopedu.toyband.export import render_dataset
from sopedu.toyband.voices import sustained

SMALL = {"size": 64, "times": (0.2, 1.2), "samples": 22050}


def draw_theremin(pen, look, motion):
    """Draw a player whose hand moves towards the antenna with the pitch."""
    standing(pen, look)
    head(pen, look)
    pen.box(0.1, 0.0, 0.45, 0.12, look.body, 0.02)
    pen.line([(0.4, 0.0), (0.4, -0.4)], 0.02, look.metal)
    arm(pen, look, 1, (0.2 + 0.1 * motion.pitch, -0.1))


THEREMIN = Instrument(
    pitch_range=(60, 84),
    style=Style("line", (0.8, 1.2), rest=0.0),
    voice=Voice(tilt=1.0, vibrato_depth=0.5, glide=0.4),
    tone=sustained,
    material="wood",
    draw=draw_theremin,
)


@pytest.fixture
def theremin(monkeypatch):
    monkeypatch.setitem(BAND, "theremin", THEREMIN)
    return "theremin"


def test_the_eleven_of_music_are_the_band_in_alphabetical_order():
    assert all(name in BAND for name in INSTRUMENTS)  # an added one is not among the eleven, whose places are labels
    assert tuple(sorted(INSTRUMENTS)) == INSTRUMENTS and len(INSTRUMENTS) == 11


def test_a_twelfth_instrument_is_one_entry(theremin):
    alone = solo(5, "train", theremin, **SMALL)
    assert alone.labels == ("theremin",) and 0.05 < np.sqrt(np.mean((alone.mixture / 32767) ** 2)) < 0.15
    assert (alone.boxes[0, :, 2:] - alone.boxes[0, :, :2] > 0.1).all()
    both = duet(5, "test", ("cello", theremin), **SMALL)
    assert both.labels == ("cello", "theremin") and both.stems.any(axis=1).all()
    np.testing.assert_array_equal(both.mixture, both.stems.sum(axis=0))


def test_a_twelfth_instrument_is_a_class_of_a_data_set(theremin, monkeypatch, tmp_path):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    config = with_values(preset("tiny"), ["toyband.instruments=theremin,tuba"])
    clips = ToyBandClips(config, "validation", solos=2)
    assert clips.class_names == ("theremin", "tuba") and clips[0].label == 0 and clips[0].waveform.any()
    index = render_dataset(tmp_path, 1, "test", instruments=[theremin], seconds=0.5, size=32, progress=False)
    assert index.read_text().startswith("audio/theremin/test0-000000.wav,")


def test_the_band_as_it_was_does_not_change_with_another_entry(monkeypatch):
    before = duet(3, "train", **SMALL)
    monkeypatch.setitem(BAND, "theremin", THEREMIN)
    after = duet(3, "train", **SMALL)
    assert before.labels == after.labels
    np.testing.assert_array_equal(before.frames, after.frames)
    np.testing.assert_array_equal(before.mixture, after.mixture)
