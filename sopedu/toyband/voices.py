"""How each instrument of the toy band is built (explained in notebook 01_sound_and_spectrograms)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from sopedu.toyband.melody import check_instrument
from sopedu.toyband.splits import generator_for


@dataclass(frozen=True)
class Voice:
    """The build of one individual instrument; its player's habits are in here too.

    Attributes:
        formants: resonances of body or bore: (frequency in Hz, gain on top of 1, half width in Hz).
        tilt: partial n starts from the amplitude 1 / n**tilt.
        even: weight of the even harmonics, small for a tube closed at one end (clarinet).
        brightness: weight of partial n against partial n-1, at full loudness.
        swell: how far brightness and loudness grow towards the middle of a note, 0…1.
        vibrato_rate, vibrato_depth: in Hz, and the largest deviation of the pitch in semitones.
        tremolo: depth of the amplitude vibrato, 0…1.
        detune: difference between the two reeds of an accordion, in Hz.
        glide: seconds to slide from the last pitch, or from ``scoop`` semitones below, to the new one.
        attack, release: seconds until a note is at full loudness, and of fading out.
        decay: seconds until a plucked or struck tone has fallen to 1/e.
        noise: level of breath or bow noise against the tone.
    """

    formants: tuple[tuple[float, float, float], ...] = ()
    tilt: float = 0.5
    even: float = 1.0
    brightness: float = 0.8
    swell: float = 0.0
    vibrato_rate: float = 5.5
    vibrato_depth: float = 0.0
    tremolo: float = 0.0
    detune: float = 0.0
    glide: float = 0.0
    scoop: float = 0.0
    attack: float = 0.03
    release: float = 0.04
    decay: float = 0.5
    noise: float = 0.0


#: The typical build of each instrument.
TYPICAL: dict[str, Voice] = {
    "accordion": Voice(((600, 1.5, 300),), tilt=0.6, detune=5.0, attack=0.04, release=0.05),
    "acoustic_guitar": Voice(brightness=0.5, decay=0.55),
    "cello": Voice(
        ((450, 2.0, 200), (900, 1.0, 200)), tilt=0.7, swell=0.8, vibrato_rate=5.0, vibrato_depth=0.3,
        attack=0.12, release=0.12, noise=0.01),
    "clarinet": Voice(tilt=0.5, even=0.1, brightness=0.85, attack=0.02, release=0.03),
    "erhu": Voice(
        ((700, 2.0, 250),), tilt=0.8, vibrato_rate=6.0, vibrato_depth=0.7, glide=0.2, attack=0.06,
        noise=0.01),
    "flute": Voice(
        tilt=0.8, brightness=0.5, vibrato_rate=5.0, vibrato_depth=0.1, tremolo=0.5, attack=0.06, release=0.06,
        noise=0.05),
    "saxophone": Voice(
        ((600, 1.5, 250),), tilt=0.4, brightness=0.8, vibrato_depth=0.1, scoop=1.0, glide=0.08, noise=0.01),
    "trumpet": Voice(((1000, 1.0, 400),), tilt=0.2, brightness=0.8, swell=0.5, attack=0.015, release=0.03),
    "tuba": Voice(((450, 3.0, 200),), tilt=0.1, brightness=0.8, swell=0.3, attack=0.03, release=0.05),
    "violin": Voice(
        ((450, 1.0, 100), (900, 1.0, 200)), tilt=0.7, vibrato_rate=6.0, vibrato_depth=0.4, attack=0.06,
        release=0.05, noise=0.01),
    "xylophone": Voice(brightness=0.5, decay=0.06),
}  # fmt: skip


def voice(instrument: str, identity: int) -> Voice:
    """Build one individual: the typical instrument with every number changed by up to 15 % (formants 8 %).

    An unknown instrument raises a ValueError.
    """
    check_instrument(instrument)
    generator = generator_for("voice", instrument, identity)
    typical = TYPICAL[instrument]
    shifts = generator.uniform(0.92, 1.08, len(typical.formants))
    names = [field.name for field in fields(Voice) if field.name != "formants"]
    changed = {name: getattr(typical, name) * float(generator.uniform(0.85, 1.15)) for name in names}
    changed["brightness"] = min(changed["brightness"], 0.95)
    pairs = zip(typical.formants, shifts, strict=True)
    formants = tuple((centre * float(shift), gain, width) for (centre, gain, width), shift in pairs)
    return replace(typical, formants=formants, **changed)


def resonance(frequency: np.ndarray, formants: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """Gain of body or bore at frequencies in Hz: 1 plus a bump at each formant; shaped like ``frequency``."""
    gain = np.ones_like(frequency)
    for centre, height, width in formants:
        gain += height / (1 + ((frequency - centre) / width) ** 2)
    return gain
