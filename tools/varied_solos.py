"""Play varied melodies on sampled instruments, to train on: `sopedu train --data toyband+OUT`.

Melodies lie anywhere in an instrument's compass, unlike the toy band's, whose registers overlap so that pitch tells
little. Each solo is off pitch, louder or softer, in a room of its own and before a microphone of its own; some have
vibrato, or swell and fade.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.signal import resample_poly
from tqdm.auto import tqdm

from sopedu.audio import save_waveform
from sopedu.cli import run_command
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.files import require_file
from sopedu.folders import folder_written_aside, require_new_folder
from sopedu.toyband.acoustics import recorded
from sopedu.toyband.melody import compose
from sopedu.toyband.splits import draw_identity, generator_for
from sopedu.toyband.synthesis import normalized
from tools.sampled_instruments import SAMPLE_RATE, Source, Synthesizer, midi_events, played, soundfont_synthesizer
from tools.sampled_notes import notes_source

_RATE = 11025
#: MIDI pitches that players use; of saxophones, those from tenor to soprano. There is no erhu among the programs of
#: General MIDI, and a fiddle in its place would teach that violins are erhus.
COMPASS = {
    "accordion": (53, 88),
    "acoustic_guitar": (40, 76),
    "cello": (36, 70),
    "clarinet": (50, 86),
    "flute": (60, 93),
    "saxophone": (44, 80),
    "trumpet": (54, 84),
    "tuba": (28, 56),
    "violin": (55, 92),
    "xylophone": (65, 98),
}
#: General MIDI programs of a class; one that stands twice is drawn twice as often.
PROGRAMS = {
    "accordion": (21, 21, 23),
    "acoustic_guitar": (24, 25, 25),
    "cello": (42,),
    "clarinet": (71,),
    "flute": (73, 73, 73, 72),
    "saxophone": (65, 66, 66, 64, 67),
    "trumpet": (56, 56, 56, 59),
    "tuba": (58,),
    "violin": (40, 40, 110),
    "xylophone": (13, 13, 12),
}
#: How often a solo has vibrato.
_VIBRATO = {"violin": 0.6, "cello": 0.6, "flute": 0.5, "saxophone": 0.4, "trumpet": 0.3, "clarinet": 0.1, "tuba": 0.1}
_PLUCKED = ("acoustic_guitar", "xylophone")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    soundfont: Annotated[list[Path], typer.Option(help="A General MIDI SoundFont, .sf2 or .sf3; repeat for more.")],
    out: Annotated[Path, typer.Option(help="New folder for OUT/<class>/*.wav.")],
    notes: Annotated[Path | None, typer.Option(help="A folder with npm's tonejs-instrument-…-mp3 packages.")] = None,
    solos: Annotated[int, typer.Option(help="How many, of ten instruments in turn.", min=1)] = 11_000,
    seconds: Annotated[float, typer.Option(help="Length of a solo.", min=1.0, max=600.0)] = 6.0,
    seed: Annotated[int, typer.Option(help="Which melodies and sounds.", min=0)] = 0,
) -> None:
    """Play varied melodies on sampled instruments, to train on. Takes minutes."""
    for path in soundfont:
        require_file(path)
    require_new_folder(out)
    by = ", ".join(str(path) for path in [*soundfont, *([notes] if notes else [])])
    typer.echo(f"plan: play {solos} solos of {seconds:g} s by {by}, minutes; they go to {out}")
    sources = [soundfont_source(soundfont_synthesizer(path)) for path in soundfont]
    render_varied(out, sources + ([notes_source(notes)] if notes else []), solos, seconds, seed)
    typer.echo(f"{out}\nnext: sopedu train --data toyband+{out}")


def render_varied(
    out: str | Path,
    sources: Sequence[Source],
    solos: int = 11_000,
    seconds: float = 6.0,
    seed: int = 0,
    instruments: Sequence[str] = tuple(COMPASS),
    progress: bool = True,
) -> Path:
    """Write varied solos of the training split as ``OUT/<class>/<id>.wav``, for ``sopedu train --data toyband+OUT``.

    Args:
        out: a new folder; it appears when all is written.
        sources: take turns; one that does not know an instrument is passed over.
        solos: how many.
        seconds: length of each.
        seed: which melodies and sounds.
        instruments: names in :data:`COMPASS`, played in turn.
        progress: show a bar with the time left.

    Returns:
        The folder.

    Raises:
        SopeduError: the folder holds something already, no source plays an instrument, or one plays only silence.
    """
    solos, seed = whole_number(solos, "solos", 1), whole_number(seed, "seed", 0)
    for name in instruments:
        if not any(name in source for source in sources):
            raise SopeduError(f"no source plays {name}; add a SoundFont, which plays all")
    seconds = real_number(seconds, "seconds", 0.1)
    with folder_written_aside(out) as folder:
        for number in tqdm(range(solos), desc="rendering", unit="solo", disable=not progress):
            name = instruments[number % len(instruments)]
            able = [source for source in sources if name in source]
            source = able[number // len(instruments) % len(able)]
            path = folder / name / f"train{seed}-{number:06d}.wav"
            path.parent.mkdir(exist_ok=True)
            save_waveform(path, _solo(name, source, seconds, seed, number), _RATE)
    return Path(out)


def _solo(name: str, source: Source, seconds: float, seed: int, number: int) -> np.ndarray:
    generator = generator_for("sampled", "train", seed, number)
    ratio = 2 ** (generator.uniform(-0.5, 0.5) / 12)  # played at another rate, it is as many cents off
    melody, register = draw_identity(generator, "train"), _register(COMPASS[name], generator)
    events = midi_events(compose(name, melody, seconds * ratio, phrasing=True, pitch_range=register))
    early, softer = max(0.0, -events[0][0]), generator.uniform(0.35, 1.0)
    events = [(time + early, key, velocity and max(1, round(velocity * softer))) for time, key, velocity in events]
    synthesizer, program = source[name][int(generator.integers(len(source[name])))]
    # A little longer, because the rate is rounded to a fraction.
    sound = played(synthesizer, name, program, events, early, seconds * ratio * 1.002 + 0.05)
    if generator.random() < _VIBRATO.get(name, 0.0):
        sound = _with_vibrato(sound, generator)
    if generator.random() < 0.5 and name not in _PLUCKED:
        decibels = np.interp(np.linspace(0, 7, len(sound)), np.arange(8), generator.uniform(-8.0, 2.0, 8))
        sound = sound * 10 ** (decibels / 20)
    rate = Fraction(_RATE / SAMPLE_RATE / ratio).limit_denominator(400)
    sound = resample_poly(sound, rate.numerator, rate.denominator)[: round(seconds * _RATE)]
    properties = ["bodies", "microphone", "background"] + ["room"] * (generator.random() < 0.7)
    body, place = (generator_for(key, "train", seed, number) for key in ("b", "p"))
    sound = recorded(sound, _RATE, properties, body, place, generator)
    return normalized(sound, 0.1 * 10 ** (generator.uniform(-6.0, 2.0) / 20))


def _register(compass: tuple[int, int], generator: np.random.Generator) -> tuple[int, int]:
    """Draw a range of 14 to 20 semitones within a compass; most lie near its middle."""
    lowest, highest = compass
    width = int(generator.integers(14, 21))
    place = generator.triangular(0.0, 0.5, 1.0) if generator.random() < 0.7 else generator.random()
    start = lowest + round(place * max(1, highest - lowest - width))
    return start, min(highest, start + width)


def _with_vibrato(sound: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Read a sound at a speed that goes up and down, by 45 cents at most, at times more and at times less."""
    time = np.arange(len(sound)) / SAMPLE_RATE
    hertz, cents = generator.uniform(4.5, 6.8), generator.uniform(5.0, 45.0)
    depth = np.interp(time, np.linspace(0, time[-1], 9), generator.uniform(0.0, 1.0, 9)) * (2 ** (cents / 1200) - 1)
    shift = depth / (2 * np.pi * hertz) * np.sin(2 * np.pi * hertz * time + generator.uniform(0, 2 * np.pi))
    return np.interp(time + shift, time, sound)


def soundfont_source(synthesizer: Synthesizer) -> Source:
    """Return what a General MIDI SoundFont can play, for :func:`render_varied`.

    Args:
        synthesizer: of the SoundFont.
    """
    return {name: [(synthesizer, program) for program in programs] for name, programs in PROGRAMS.items()}


if __name__ == "__main__":
    run_command(app)
