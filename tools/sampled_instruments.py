"""Play the toy band's held-out melodies on sampled instruments, to evaluate on. Those to train on: `varied_solos.py`.

A SoundFont holds recordings of single notes of real instruments; a General MIDI program chooses one. `tinysoundfont`
plays it without a sound device. Install it by ``pip install --no-deps tinysoundfont``: it needs PyAudio only for
loudspeakers, and PyAudio needs portaudio's headers. Debian's ``fluid-soundfont-gm`` is a SoundFont under the MIT
licence. Notebook: 13_train_full.ipynb.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.signal import butter, sosfiltfilt
from tqdm.auto import tqdm

from sopedu.audio import save_waveform
from sopedu.cli import run_command
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.files import require_file
from sopedu.folders import folder_written_aside, require_new_folder
from sopedu.toyband import BAND, INSTRUMENTS, Note
from sopedu.toyband.melody import compose
from sopedu.toyband.splits import draw_identity, generator_for
from sopedu.toyband.synthesis import normalized

SAMPLE_RATE = 44100
#: Time in seconds, MIDI key, and velocity 1 to 127; velocity 0 releases the key.
Event = tuple[float, int, int]
#: Plays events on a program for a duration in seconds: ``(L,)`` float at 44 100 Hz.
Synthesizer = Callable[[int, Sequence[Event], float], np.ndarray]
#: What can be played: synthesizers of a class, each with a program; to draw from.
Source = Mapping[str, Sequence[tuple[Synthesizer, int]]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    soundfont: Annotated[Path, typer.Option(help="A General MIDI SoundFont, .sf2 or .sf3.")],
    out: Annotated[Path, typer.Option(help="New folder for OUT/<class>/*.wav.")],
    solos: Annotated[int, typer.Option(help="How many, of the eleven instruments in turn.", min=1)] = 132,
    seconds: Annotated[float, typer.Option(help="Length of a solo.", min=1.0, max=600.0)] = 6.0,
    seed: Annotated[int, typer.Option(help="Which melodies.", min=0)] = 0,
) -> None:
    """Play held-out melodies on sampled instruments, for sopedu evaluate --sounds. Takes seconds to minutes."""
    require_file(soundfont)
    require_new_folder(out)
    typer.echo(f"plan: play {solos} solos of {seconds:g} s by {soundfont}, seconds to minutes; they go to {out}")
    render_sampled(out, soundfont_synthesizer(soundfont), solos, seconds, seed)
    typer.echo(f"{out}\nnext: sopedu evaluate CHECKPOINT --sounds {out}")


def render_sampled(
    out: str | Path,
    synthesizer: Synthesizer,
    solos: int = 132,
    seconds: float = 6.0,
    seed: int = 0,
    instruments: Sequence[str] = INSTRUMENTS,
    progress: bool = True,
) -> Path:
    """Write solos of the instruments in turn as ``OUT/<class>/<id>.wav``, for ``sopedu evaluate --sounds``.

    The melodies are of the validation split. A high-pass filter at 30 Hz removes the offset that recorded notes may
    have; the level is that of the toy band's solos.

    Args:
        out: a new folder; it appears when all is written.
        synthesizer: plays the notes, see :func:`soundfont_synthesizer`.
        solos: how many.
        seconds: length of each.
        seed: which melodies.
        instruments: names of the toy band's instruments, played in turn.
        progress: show a bar with the time left.

    Returns:
        The folder.

    Raises:
        SopeduError: the folder holds something already, or the synthesizer plays nothing for an instrument.
    """
    solos, seed = whole_number(solos, "solos", 1), whole_number(seed, "seed", 0)
    seconds = real_number(seconds, "seconds", 0.1)
    with folder_written_aside(out) as folder:
        for number in tqdm(range(solos), desc="rendering", unit="solo", disable=not progress):
            name = instruments[number % len(instruments)]
            generator = generator_for("sampled", seed, number)
            events = midi_events(compose(name, draw_identity(generator, "validation"), seconds))
            # Notes that begin before the clip are played from their beginning; the clip is cut out afterwards.
            early = max(0.0, -events[0][0])
            events = [(time + early, key, velocity) for time, key, velocity in events]
            sound = played(synthesizer, name, _program(name), events, early, seconds)
            path = folder / name / f"validation{seed}-{number:06d}.wav"
            path.parent.mkdir(exist_ok=True)
            save_waveform(path, normalized(sound, generator.uniform(0.08, 0.12)), SAMPLE_RATE)
    return Path(out)


def _program(name: str) -> int:
    program = BAND[name].midi_program
    if program is None:
        raise SopeduError(f"{name}: has no General MIDI program; choose other instruments")
    return program


def played(
    synthesizer: Synthesizer, name: str, program: int, events: Sequence[Event], early: float, seconds: float
) -> np.ndarray:
    """Play events and cut ``seconds`` out, beginning ``early`` seconds after the first; without an offset."""
    high_pass = butter(2, 30.0, "highpass", fs=SAMPLE_RATE, output="sos")
    played = sosfiltfilt(high_pass, synthesizer(program, events, early + seconds))
    sound = played[round(early * SAMPLE_RATE) :][: round(seconds * SAMPLE_RATE)]
    if np.abs(sound).max() < 1e-4:
        raise SopeduError(f"the SoundFont plays nothing for {name} (program {program}); take another")
    return sound


def midi_events(notes: Sequence[Note]) -> list[Event]:
    """Turn notes into key events in order of time.

    A key that is struck again while it sounds is released first, because synthesizers differ in what they do otherwise.

    Args:
        notes: of one melody; notes may overlap.
    """
    events, sounding = list[Event](), dict[int, float]()  # key → time of its release
    for note in sorted(notes, key=lambda one: one.start):
        key, velocity = round(note.pitch), int(np.clip(round(127 * note.loudness), 1, 127))
        if key in sounding:
            events.append((min(sounding[key], note.start), key, 0))
        events.append((note.start, key, velocity))
        sounding[key] = note.start + note.duration
    events += [(time, key, 0) for key, time in sounding.items()]
    return sorted(events, key=lambda event: (event[0], event[2] > 0))


def soundfont_synthesizer(soundfont: str | Path) -> Synthesizer:
    """Open a SoundFont.

    Args:
        soundfont: a file, .sf2 or .sf3.

    Returns:
        A function that plays events on one of its programs; it raises SopeduError if there is no such program.

    Raises:
        SopeduError: the file is missing or no SoundFont, or `tinysoundfont` is not installed.
    """
    path = require_file(soundfont)
    try:
        import tinysoundfont
    except ImportError as error:
        raise SopeduError(
            "sampled instruments need tinysoundfont: pip install --no-deps tinysoundfont (it plays into files; "
            "without --no-deps pip also wants PyAudio, which needs portaudio's headers)"
        ) from error
    unplayable = (tinysoundfont.SoundFontException, RuntimeError, OSError)
    synth = tinysoundfont.Synth(samplerate=SAMPLE_RATE)
    try:
        number = synth.sfload(str(path))
    except unplayable as error:
        raise SopeduError(f"{path}: cannot be read as a SoundFont ({error}); take an .sf2 or .sf3 file") from error

    def play(program: int, events: Sequence[Event], seconds: float) -> np.ndarray:
        try:
            synth.program_select(0, number, 0, program)
        except unplayable as error:
            raise SopeduError(f"{path}: has no program {program}; take a General MIDI SoundFont") from error
        synth.sounds_off()
        length, blocks, now = round(seconds * SAMPLE_RATE), list[np.ndarray](), 0

        def sound_until(sample: int) -> None:
            nonlocal now
            if sample > now:
                stereo = np.frombuffer(synth.generate(sample - now), np.float32).reshape(-1, 2)
                blocks.append(stereo.mean(axis=1))
                now = sample

        for time, key, velocity in events:
            sound_until(min(round(time * SAMPLE_RATE), length))
            if velocity:
                synth.noteon(0, key, velocity)
            else:
                synth.noteoff(0, key)
        sound_until(length)
        synth.sounds_off()
        return np.concatenate(blocks)

    return play


if __name__ == "__main__":
    run_command(app)
