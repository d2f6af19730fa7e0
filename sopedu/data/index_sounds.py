"""Read the sounds of an index, whatever their format: parts of them, and how long they last."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from io import RawIOBase

import numpy as np

from sopedu.audio.soundfiles import from_int16, held_file, load_waveform
from sopedu.errors import SopeduError

#: Files with these endings are read as videos are.
VIDEO_SOUNDS = (".mp4", ".m4a", ".aac", ".mkv", ".webm", ".mov", ".avi", ".opus", ".m4v", ".wma")
#: Frame rates that are used for prepared data and for films.
FRAME_RATES = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 12.5, 15.0, 16.0, 20.0, 24.0, 25.0, 30.0, 50.0, 60.0)
_CLOSE, _CLOSE_FRAMES = 0.015, 1.5  # part of a clip, or frames: rounding, and rates such as 29.97
_LOOSE = 1.0  # seconds: pictures and sound of a clip that end at different times


def sound_part(path: str | RawIOBase, start: float, samples: int, sample_rate: int) -> np.ndarray:
    """Read a part of a sound file, or of the sound of a video file.

    Args:
        path: of the file, or one that is open (no video file).
        start: in seconds.
        samples: how many to read.
        sample_rate: of the result, in hertz.

    Returns:
        ``(n,)`` float32 with n = ``samples``, or fewer at the end of the file.

    Raises:
        SopeduError: it cannot be read.
    """
    if isinstance(path, str) and path.lower().endswith(VIDEO_SOUNDS):
        from sopedu.video.reading import read_sound

        return read_sound(path, sample_rate, start, (samples + 1) / sample_rate)[:samples]
    waveform = _pcm_part(path, start, samples, sample_rate)
    return load_waveform(path, sample_rate, start, samples / sample_rate)[:samples] if waveform is None else waveform


def sound_seconds(path: str | RawIOBase) -> float:
    """Return how long a sound lasts, in seconds; only the beginning of most files is read.

    Args:
        path: of a sound or video file, or a sound file that is open.

    Raises:
        SopeduError: it cannot be read.
    """
    if isinstance(path, str) and path.lower().endswith(VIDEO_SOUNDS):
        from sopedu.video.probing import probe

        return probe(path).duration
    try:
        with wave.open(path, "rb") as file:
            return file.getnframes() / file.getframerate()
    except (OSError, EOFError, wave.Error, ZeroDivisionError):
        pass  # no WAV
    import soundfile

    source = path if isinstance(path, str) else held_file(path)
    try:
        return float(soundfile.info(source).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        raise SopeduError(f"{path}: cannot be read as a sound file ({error})") from error


def find_frame_rate(counts: Sequence[int], seconds: Sequence[float], expected: float) -> float | None:
    """Find the frame rate at which the pictures of most clips last as long as their sounds.

    Args:
        counts: number of frames per clip.
        seconds: length of the sound per clip.
        expected: a rate that is tried first, in frames per second.

    Returns:
        The rate; None if most clips agree on none.
    """
    rates = np.array([expected, *FRAME_RATES])
    frames, lasting = np.array(counts, float)[:, None], np.array(seconds, float)[:, None]
    apart = np.abs(frames - lasting * rates)
    close = apart <= np.maximum(_CLOSE_FRAMES, _CLOSE * frames)
    for fitting in (close, apart <= _LOOSE * rates):
        votes = fitting.sum(0)
        if 2 * votes.max() > len(frames):
            best = np.flatnonzero(votes == votes.max())
            return float(rates[best[(apart / rates)[:, best].sum(0).argmin()]])
    return None


def _pcm_part(path: str | RawIOBase, start: float, samples: int, sample_rate: int) -> np.ndarray | None:
    """Read a part of a mono 16-bit WAV file of the right rate; None if the file is anything else."""
    try:
        with wave.open(path, "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, sample_rate):
                return None
            file.setpos(min(round(start * sample_rate), file.getnframes()))
            data = file.readframes(samples)
    except (OSError, EOFError, ValueError, wave.Error):
        return None  # load_waveform, which reads every format, reports what is wrong
    return from_int16(np.frombuffer(data, "<i2", len(data) // 2))
