"""How a melody is played by somebody, in a place: what makes the toy band's sounds as varied as real ones.

Each property in :data:`PROPERTIES` can be left out, to measure what it does:

>>> solo(1, instrument="violin", properties=("tuning", "room"))
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from sopedu.errors import SopeduError
from sopedu.toyband.acoustics import recorded
from sopedu.toyband.instruments import Articulation, instrument_named
from sopedu.toyband.splits import generator_for
from sopedu.toyband.synthesis import PlayedNote, normalized, sound_of, voice
from sopedu.toyband.voices import Note, Voice, free_reeds, sustained

#: What can differ from one recording to the next, and how.
PROPERTIES: dict[str, str] = {
    "phrasing": "melodies slower, faster or plainer than usual, an octave higher or lower",
    "tuning": "every individual up to 50 cents off 440 Hz, drifting; single notes slightly off",
    "bodies": "individuals with resonances, brightness and harmonics of their own",
    "dynamics": "from pp to ff, and softer is darker",
    "articulation": "passages played otherwise: pizzicato, staccato, muted, flutter tongue, tremolo, double stops",
    "ornaments": "vibrato of any depth that begins late, slides between notes",
    "noises": "breath, bow, key and finger noise",
    "room": "a room that reflects",
    "microphone": "a microphone with a response of its own",
    "background": "air and hum, 25 to 45 dB below the instrument",
}


def check_properties(properties: Collection[str]) -> tuple[str, ...]:
    """Return properties in their usual order.

    Args:
        properties: names in :data:`PROPERTIES`; ``all`` stands for all of them, ``plain`` for none.

    Returns:
        the names.

    Raises:
        SopeduError: for an unknown name.
    """
    if isinstance(properties, str):
        properties = (properties,)
    if "all" in properties:
        properties = {*PROPERTIES, *properties} - {"all"}
    properties = set(properties) - {"plain"}
    unknown = set(properties) - set(PROPERTIES)
    if unknown:
        raise SopeduError(
            f"unknown property {sorted(unknown)[0]!r} of sounds: choose from all, plain, {', '.join(PROPERTIES)}"
        )
    return tuple(name for name in PROPERTIES if name in properties)


def perform(
    instrument: str,
    notes: Sequence[Note],
    individual: int,
    melody: int,
    samples: int,
    sample_rate: int,
    properties: Collection[str] = tuple(PROPERTIES),
    place: tuple[int | str, ...] = (),
) -> np.ndarray:
    """Play notes on an individual instrument, and record them in a place.

    Args:
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        notes: in order of their start.
        individual: which individual plays.
        melody: decides the way of playing.
        samples: length of the clip.
        sample_rate: in Hz.
        properties: names in :data:`PROPERTIES`; none: the plain formulas.
        place: key of room and microphone; performers in one place share it.

    Returns:
        The waveform, float64 (samples,), in [-0.95, 0.95].
    """
    build = _build(instrument, individual, "bodies" in properties)
    played = played_notes(instrument, notes, build, individual, melody, properties)
    generator = generator_for("noise", instrument, melody)
    sound = sound_of(played, build, samples, sample_rate, generator)
    level = generator.uniform(0.08, 0.12)
    if not properties:
        return normalized(sound, level)
    if "dynamics" in properties:
        level = 0.1 * 10 ** (generator.uniform(-6.0, 2.0) / 20)
    body = generator_for("body", instrument, individual)
    noise = generator_for("background", instrument, melody)
    sound = recorded(sound, sample_rate, properties, body, generator_for("place", *place), noise)
    return normalized(sound, level)


@lru_cache(maxsize=64)
def _build(instrument: str, individual: int, wide: bool) -> Voice:
    """Return an individual's voice; a ``wide`` one differs much more from the typical voice."""
    build = voice(instrument, individual)
    if not wide:
        return build
    generator = generator_for("build", instrument, individual)

    def factor(spread: float) -> float:
        return float(np.exp(generator.uniform(-spread, spread)))

    formants = [
        (centre * factor(0.2), gain * factor(0.6), width * factor(0.4)) for centre, gain, width in build.formants
    ]
    # Recorded winds and strings are brighter than the plain formulas, plucked and struck ones are not.
    darkness = 0.3 if instrument_named(instrument).tone in (sustained, free_reeds) else 1.2
    for _ in range(int(generator.integers(1, 4))):
        centre = float(np.exp(generator.uniform(np.log(500), np.log(4000))))
        formants.append((centre, float(generator.uniform(0.5, 4.0)), centre * float(generator.uniform(0.08, 0.3))))
    return replace(
        build,
        formants=tuple(formants),
        tilt=build.tilt + float(generator.uniform(-0.5, 0.25)),
        even=min(1.2, build.even * factor(0.4) + float(generator.uniform(0.0, 0.15))),
        brightness=1 - min(0.8, (1 - build.brightness) * darkness * factor(0.55)),
        swell=min(0.9, build.swell * factor(0.5)),
        detune=build.detune * factor(1.0),
        octave=float(generator.uniform(0.0, 0.8)) if build.detune else 0.0,
        attack=build.attack * factor(0.4),
        release=build.release * factor(0.4),
        decay=build.decay * factor(0.35),
        pluck=float(generator.uniform(0.08, 0.35)),
        stretch=float(generator.choice([1.0, 1.26]) * generator.uniform(0.98, 1.02)),
    )


def played_notes(
    instrument: str,
    notes: Sequence[Note],
    build: Voice,
    individual: int,
    melody: int,
    properties: Collection[str],
) -> list[PlayedNote]:
    """Decide for each note of a melody how it is played.

    Args:
        instrument: a name in :data:`sopedu.toyband.instruments.BAND`.
        notes: in order of their start.
        build: of the individual.
        individual: which one.
        melody: decides the way of playing.
        properties: names in :data:`PROPERTIES`.

    Returns:
        the notes with their voices and tones; more than in the melody where a tremolo or a double stop adds some.
    """
    tone, typical = instrument_named(instrument).tone, Articulation()
    ways = instrument_named(instrument).articulations if "articulation" in properties else ()
    own = generator_for("habits", instrument, individual)
    tuning = own.uniform(-0.5, 0.5) if "tuning" in properties else 0.0
    drift = own.uniform(-0.02, 0.02) if "tuning" in properties else 0.0
    habits = {
        "vibrato": own.choice([0.0, 0.5, 1.0, 1.5]),
        "delay": own.uniform(0.1, 0.5),
        "slide": own.uniform(0.0, 0.4),
    }
    habits |= {"noise": np.exp(own.uniform(-1.0, 1.5)), "click": 10 ** (own.uniform(-40.0, -22.0) / 20)}
    habits |= {"dynamics": own.uniform(0.1, 0.45)}
    generator = generator_for("playing", instrument, melody)
    loudest, softest = generator.uniform(-6.0, 0.0), generator.uniform(-20.0, -8.0)
    way, left, played = typical, 0, list[PlayedNote]()
    for note in notes:
        if left == 0:
            left = int(generator.integers(3, 12))
            other = len(ways) > 0 and generator.random() < 0.35
            way = ways[int(generator.integers(len(ways)))] if other else typical
        left -= 1
        here = build
        if "bodies" in properties:
            here = replace(here, partials=_partials(instrument, individual, round(note.pitch)))
        if "dynamics" in properties:
            # Loudness 0.3 to 1 becomes softest to loudest, in dB.
            decibels = softest + (loudest - softest) * (note.loudness - 0.3) / 0.7
            note, here = (
                replace(note, loudness=10 ** (decibels / 20)),
                replace(here, dynamics=float(habits["dynamics"])),
            )
        if "ornaments" in properties and tone is sustained:
            here = _ornamented(here, habits, generator)
        if "noises" in properties:
            here = replace(here, noise=(here.noise or 0.003) * float(habits["noise"]), click=float(habits["click"]))
        if "tuning" in properties:
            note = replace(note, pitch=note.pitch + tuning + drift * note.start + generator.normal(0.0, 0.06))
        played += [PlayedNote(*parts) for parts in way.notes(note, here, tone)]
    return played


def _ornamented(build: Voice, habits: dict[str, float], generator: np.random.Generator) -> Voice:
    """Return a voice with a vibrato of its own depth and beginning, and sometimes a slide into the note."""
    depth = (build.vibrato_depth or 0.15) * habits["vibrato"] * generator.uniform(0.5, 1.3)
    # Strings slide; on keys and valves a note begins at its pitch.
    slides = generator.random() < habits["slide"] and build.vibrato_depth > 0.2
    return replace(
        build,
        vibrato_depth=float(depth),
        vibrato_rate=build.vibrato_rate * float(generator.uniform(0.9, 1.1)),
        vibrato_delay=float(habits["delay"] * generator.uniform(0.5, 1.5)),
        glide=float(generator.uniform(0.08, 0.3)) if slides else build.glide,
    )


@lru_cache(maxsize=1024)
def _partials(instrument: str, individual: int, pitch: int) -> tuple[float, ...]:
    """Draw how strongly an individual instrument sounds each harmonic of one pitch: no two keys sound alike."""
    gains = generator_for("partials", instrument, individual, pitch).normal(0.0, 2.5, 24)
    return tuple((10 ** (gains / 20)).tolist())
