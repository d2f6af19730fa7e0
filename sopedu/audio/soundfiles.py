"""Read sound files as mono waveforms, and write them.

A waveform is a float32 array of shape (L,), mono, in [-1, 1]; its sample rate in hertz is passed beside it.
Notebook: 01_sound_and_spectrograms.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from sopedu.audio.channels import ChannelLevels
from sopedu.audio.resampling import (
    as_waveform,
    filter_reach,
    rate_steps,
    resample,
    resample_blocks,
    whole_rate,
)
from sopedu.errors import SopeduError
from sopedu.files import require_file, written_aside

#: The integer for 1.0 in 16-bit sound files. The int16 arrays of the toy band have another scale.
FULL_SCALE = 32768
# A frame of MP3 may keep some of its bits in earlier frames: decoding begins 20 frames before the wanted part.
_RESERVOIR = 20 * 1152


def load_waveform(
    path: str | Path | io.RawIOBase, sample_rate: int = 11025, start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """Read a sound file (wav, flac, ogg, mp3) as a mono waveform.

    Channels are averaged; if they cancel each other out, only the loudest one is used. Levels are kept: a full-scale
    sample is 1.0 in every format. Only the wanted part is decoded; it equals the same part of the whole file.

    Args:
        path: the sound file, or one that is open.
        sample_rate: rate of the result in hertz.
        start: where to begin, in seconds.
        seconds: how much to read; None reads to the end. Where the file ends earlier, less is returned.

    Returns:
        (L,) float32 with L = round(seconds · sample_rate), or fewer at the end of the file.

    Raises:
        SopeduError: the file is missing, empty, a folder, not a sound file, damaged, holds NaN or infinite
            samples, or ends before `start`.

    Notebook: 01_sound_and_spectrograms.
    """
    path, sample_rate = path if isinstance(path, io.RawIOBase) else require_file(path), whole_rate(sample_rate)
    if start < 0 or (seconds is not None and seconds <= 0):
        raise SopeduError(f"{path}: cannot read {seconds} s from {start} s; start at 0 or later, read more than 0 s")
    with _opened(path) as (file_rate, file_length, read):
        first = round(start * file_rate)
        if first >= file_length:
            held = file_length / file_rate
            raise SopeduError(f"{path}: holds {held:.2f} s of sound, none from {start:.2f} s on; start earlier")
        wanted = file_length - first if seconds is None else min(ceil(seconds * file_rate), file_length - first)
        # The resampling filter reaches to both sides. A margin in whole steps of the rate ratio makes a part equal to
        # the same part of the whole file; without it, the part would fade at its ends.
        step_in, step_out = rate_steps(file_rate, sample_rate)
        steps = filter_reach(file_rate, sample_rate)
        steps_before = min(steps, first // step_in)
        samples = read(first - steps_before * step_in, steps_before * step_in + wanted + steps * step_in)
    if not np.isfinite(samples).all():
        raise SopeduError(f"{path}: holds samples that are not numbers (NaN or infinite); export the file again")
    levels = ChannelLevels()
    levels.add(samples.T)
    resampled = resample(levels.mix(with_silent=True).mono(samples.T), file_rate, sample_rate)[
        steps_before * step_out :
    ]
    if seconds is None:
        length = ceil(wanted * sample_rate / file_rate)
    else:
        length = min(round(seconds * sample_rate), ceil(wanted * sample_rate / file_rate))
    return np.ascontiguousarray(resampled[:length])


def save_waveform(path: str | Path, waveform: Any, sample_rate: int) -> float:
    """Write a waveform as a 16-bit WAV file.

    Clipping is audible, so a waveform whose peak is above 1 is scaled down to a peak of 1. The file appears under its
    name only when it is complete.

    Args:
        path: where to write; the folder must exist.
        waveform: (L,) array or tensor in [-1, 1].
        sample_rate: in hertz.

    Returns:
        The gain that was applied: 1.0 unless the peak was above 1.

    Raises:
        SopeduError: the waveform is empty, not one-dimensional or not finite, or the folder does not exist.

    Notebook: 01_sound_and_spectrograms.
    """
    samples, gain = peak_limited(waveform)
    save_waveform_blocks(path, [samples], sample_rate)
    return gain


def save_waveform_blocks(
    path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int, written_rate: int | None = None
) -> None:
    """Write a waveform that comes in blocks as a 16-bit WAV file; samples above full scale are clipped.

    Args:
        path: where to write; the folder must exist.
        blocks: (n,) arrays in [-1, 1], together of any length that a WAV file holds (4 GB).
        sample_rate: of the blocks, in hertz.
        written_rate: of the file, in hertz; None keeps that of the blocks.

    Raises:
        SopeduError: the folder does not exist, or the file cannot be written.

    Notebook: 01_sound_and_spectrograms.
    """
    sample_rate = whole_rate(sample_rate)
    written_rate = whole_rate(written_rate or sample_rate)
    if written_rate != sample_rate:
        blocks = resample_blocks(blocks, sample_rate, written_rate)
    with written_aside(path) as unfinished:
        _write_wav(str(unfinished), blocks, written_rate)


def _write_wav(file: Any, blocks: Iterable[np.ndarray], sample_rate: int) -> None:
    with wave.open(file, "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(sample_rate)
        for block in blocks:
            opened.writeframesraw(to_int16(block).tobytes())


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Return a waveform as samples of a 16-bit file; samples above full scale are clipped.

    Args:
        waveform: float array in [-1, 1], any shape.

    Returns:
        Little-endian int16 of the same shape. Levels are kept; only +1.0 becomes 32767, one step less.
    """
    return np.clip(np.round(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def from_int16(samples: np.ndarray) -> np.ndarray:
    """Return the samples of a 16-bit file as a waveform.

    Args:
        samples: int16, any shape.

    Returns:
        float32 in [-1, 1), of the same shape.
    """
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def encode_wav(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Encode a waveform as a 16-bit WAV file in memory; samples above full scale are clipped, so levels are kept.

    Args:
        waveform: (L,) float array in [-1, 1].
        sample_rate: in hertz, a whole number.

    Returns:
        The content of the file.
    """
    encoded = io.BytesIO()
    _write_wav(encoded, [waveform], sample_rate)
    return encoded.getvalue()


def peak_limited(waveform: Any) -> tuple[np.ndarray, float]:
    """Return a waveform scaled to a peak of at most 1.

    Args:
        waveform: (L,) array or tensor.

    Returns:
        (L,) float32, and the gain that was applied: 1.0 unless the peak was above 1.

    Raises:
        SopeduError: as for `as_waveform`.
    """
    samples = as_waveform(waveform)
    gain = float(1 / max(1.0, np.abs(samples).max()))
    return (samples if gain == 1.0 else samples * np.float32(gain)), gain


def held_file(file: io.RawIOBase) -> io.BytesIO:
    """Return all of an open file; a library in C may read it, which would swallow the errors of the file itself.

    Args:
        file: open for reading.

    Raises:
        SopeduError: it is damaged, as its class finds out.
    """
    file.seek(0)
    return io.BytesIO(file.read())


@contextmanager
def _opened(path: Path | io.RawIOBase) -> Iterator[tuple[int, int, Callable[[int, int], np.ndarray]]]:
    """Open a sound file; yield its sample rate, its length in samples, and read(first, count) → (≤ count, channels)."""
    try:
        import soundfile
    except ImportError:
        with _opened_wav(path) as opened:
            yield opened
        return
    source = path if isinstance(path, Path) else held_file(path)
    try:
        with soundfile.SoundFile(source) as file:

            def read(first: int, count: int) -> np.ndarray:
                before = min(first, _RESERVOIR) if file.format == "MP3" else 0
                file.seek(first - before)
                count = min(count, file.frames - first)
                return file.read(before + count, dtype="float32", always_2d=True)[before:]

            yield file.samplerate, file.frames, read
    except soundfile.LibsndfileError as error:
        raise SopeduError(
            f"{path}: cannot be read as wav, flac, ogg or mp3 ({error.error_string.strip(' .')}); "
            "if it is a video or an m4a file, read it with sopedu.read_sound"
        ) from error


@contextmanager
def _opened_wav(path: Path | io.RawIOBase) -> Iterator[tuple[int, int, Callable[[int, int], np.ndarray]]]:
    """Do the same with Python's own reader, for training machines without soundfile: 16-bit WAV only."""
    try:
        file = wave.open(str(path) if isinstance(path, Path) else held_file(path), "rb")  # noqa: SIM115
    except (wave.Error, EOFError) as error:
        raise SopeduError(f"{path}: only WAV can be read without soundfile ({error}); pip install soundfile") from error
    with file:
        if file.getsampwidth() != 2:
            raise SopeduError(f"{path}: is not 16-bit WAV, the only kind read without soundfile; pip install soundfile")

        def read(first: int, count: int) -> np.ndarray:
            file.setpos(first)
            samples = np.frombuffer(file.readframes(count), dtype="<i2").reshape(-1, file.getnchannels())
            return from_int16(samples)

        yield file.getframerate(), file.getnframes(), read
