"""Play a waveform in a notebook or a page, with no file beside it: the sound is part of the HTML, as MP3.

Notebook: 01_sound_and_spectrograms.
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from typing import Any

from sopedu.audio.resampling import resample, whole_rate
from sopedu.audio.soundfiles import peak_limited

_MP3_SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def mp3_rate(sample_rate: int) -> int:
    """Return the sample rate at which a waveform is stored as MP3: the next one that MP3 allows, or the highest.

    Args:
        sample_rate: of the waveform, in hertz, a whole number.

    Returns:
        The rate in hertz.
    """
    rate = whole_rate(sample_rate)
    return next((known for known in _MP3_SAMPLE_RATES if known >= rate), _MP3_SAMPLE_RATES[-1])


def encode_mp3(waveform: Any, sample_rate: int) -> bytes:
    """Encode a waveform as MP3, for players in notebooks and reports (six seconds at 11 025 Hz: some 20 kB).

    Args:
        waveform: (L,) array or tensor; a peak above 1 is scaled down to 1.
        sample_rate: in hertz; a rate that MP3 does not allow is raised to the next one, see `mp3_rate`.

    Returns:
        The content of the file.

    Raises:
        SopeduError: the waveform is empty, not one-dimensional or not finite, or the rate no whole number.

    Notebook: 01_sound_and_spectrograms.
    """
    import soundfile

    samples, rate = peak_limited(waveform)[0], mp3_rate(sample_rate)
    encoded = io.BytesIO()
    soundfile.write(
        encoded,
        resample(samples, sample_rate, rate),
        rate,
        format="MP3",
        bitrate_mode="VARIABLE",
        compression_level=0.5,  # 26 to 42 dB to the original on toy-band solos, at half the size of 0.0
    )
    return encoded.getvalue()


def player(waveform: Any, sample_rate: int, caption: str = "") -> str:
    """Make an HTML snippet that plays a waveform anywhere, with no file beside the page.

    Args:
        waveform: (L,) array or tensor in [-1, 1].
        sample_rate: in hertz.
        caption: text under the player, and its name for screen readers.

    Returns:
        A `<figure>` with an `<audio>` element that contains the sound itself, as MP3.

    Notebook: 01_sound_and_spectrograms.
    """
    sound = base64.b64encode(encode_mp3(waveform, sample_rate)).decode("ascii")
    label = html.escape(caption or "Sound", quote=True)
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><audio controls preload="metadata" aria-label="{label}" '
        f'src="data:audio/mpeg;base64,{sound}"></audio>{below}</figure>'
    )


@dataclass(frozen=True, eq=False)
class Player:
    """A waveform that a notebook shows as a player with its caption: `Player(waveform, 11025, "a flute")`.

    Args:
        waveform: (L,) array or tensor in [-1, 1].
        sample_rate: in hertz.
        caption: text under the player.

    Notebook: 01_sound_and_spectrograms.
    """

    waveform: Any
    sample_rate: int
    caption: str = ""

    def _repr_html_(self) -> str:  # shown by Jupyter
        return player(self.waveform, self.sample_rate, self.caption)

    def __repr__(self) -> str:
        """Return length, rate and caption, for shells without HTML."""
        return f"Player({len(self.waveform) / self.sample_rate:.2f} s, {self.sample_rate} Hz, {self.caption!r})"
