"""Players: an MP3 with the level and the length of the sound, in an HTML element that says what it is."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from tones import inner, sine

from sopedu.audio.player import Player, encode_mp3, player


@pytest.mark.parametrize("rate, mp3_rate", [(11025, 11025), (10000, 11025), (96000, 48000)])
def test_mp3_keeps_level_and_time(rate, mp3_rate):
    encoded = encode_mp3(sine(440, 3.0, rate), rate)
    decoded, decoded_rate = soundfile.read(io.BytesIO(encoded), dtype="float32")
    assert decoded_rate == mp3_rate
    assert len(decoded) / mp3_rate == pytest.approx(3.0, abs=0.001)
    # The encoder's own error is below 0.05 at this quality; one sample too late would be off by 0.12 at 11 025 Hz.
    np.testing.assert_allclose(inner(decoded, mp3_rate), inner(sine(440, 3.0, mp3_rate), mp3_rate), atol=0.05)


def test_six_seconds_are_small_enough_for_a_notebook():
    noise = np.random.default_rng(4).normal(0, 0.1, 6 * 11025)
    assert len(encode_mp3(noise, 11025)) < 35_000


def test_the_player_holds_its_sound_and_says_what_it_is():
    waveform = sine(440, 0.5, 11025)
    page = player(waveform, 11025, 'flute & "violin" <duet>')
    assert "<figcaption>flute &amp; &quot;violin&quot; &lt;duet&gt;</figcaption>" in page
    assert 'aria-label="flute &amp; &quot;violin&quot; &lt;duet&gt;"' in page
    assert "controls" in page
    (encoded,) = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', page)
    assert soundfile.info(io.BytesIO(base64.b64decode(encoded))).format == "MP3"
    shown = Player(waveform, 11025, "a flute")
    assert shown._repr_html_() == player(waveform, 11025, "a flute")
    assert repr(shown) == "Player(0.50 s, 11025 Hz, 'a flute')"
    assert "figcaption" not in player(waveform, 11025)
