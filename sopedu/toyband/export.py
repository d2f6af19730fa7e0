"""Write the toy band to files: a contact sheet to look at, videos, or a data set in the layout of real ones."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.audio.soundfiles import save_waveform
from sopedu.audio.spectrogram import stft
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.files import written_aside
from sopedu.folders import folder_written_aside
from sopedu.toyband.instruments import BAND, INSTRUMENTS
from sopedu.toyband.performance import check_properties
from sopedu.toyband.scenes import SAMPLE_RATE, Scene, duet, solo
from sopedu.toyband.splits import check_split
from sopedu.video.writing import write_video

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def contact_sheet(path: str | Path, individuals: int = 4, size: int = 224, split: str = "train") -> Path:
    """Draw the eleven instruments several times, their boxes marked and a spectrogram below, into one picture file.

    Args:
        path: ends in .png, .jpg, .svg or .pdf; the folder must exist.
        individuals: pictures per instrument.
        size: height and width of each picture in pixels.
        split: ``train``, ``validation`` or ``test``.

    Returns:
        The path.

    Raises:
        SopeduError: if the file cannot be written, or its ending is another.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    path = require_picture_name(path)
    figure = Figure(figsize=(2 * len(INSTRUMENTS), 2 * (individuals + 1)), layout="constrained")
    axes = figure.subplots(individuals + 1, len(INSTRUMENTS))
    for column, name in enumerate(INSTRUMENTS):
        for row in range(individuals):
            drawn = solo(row, split, name, size=size, times=(1.5,), samples=32768)
            axes[row, column].imshow(drawn.frames[0])
            x0, y0, x1, y1 = drawn.boxes[0, 0] * size
            axes[row, column].add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="white", lw=0.8))
            axes[row, column].axis("off")
        axes[0, column].set_title(name.replace("_", " "))
        _draw_spectrogram(axes[-1, column], drawn, first=column == 0)
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=80, format=path.suffix.lstrip("."))
    return path


def _draw_spectrogram(axes: Axes, scene: Scene, first: bool) -> None:
    magnitude = stft(torch.from_numpy(scene.mixture.astype("float32")), SpectrogramConfig()).abs().numpy()
    decibels = 20 * np.log10(magnitude / magnitude.max() + 1e-4)
    extent = (0, len(scene.mixture) / scene.sample_rate, 0, scene.sample_rate / 2)
    axes.imshow(decibels, cmap="magma", origin="lower", aspect="auto", extent=extent, vmin=-70)
    axes.set(ylim=(0, 4000), xlabel="time (s)")
    if first:
        axes.set_ylabel("frequency (Hz)")
    else:
        axes.set_yticklabels([])


def require_picture_name(path: str | Path) -> Path:
    """Return the path of a picture file.

    Args:
        path: of the file.

    Returns:
        The path.

    Raises:
        SopeduError: if its ending is not that of a picture.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".pdf", ".svg", ".jpg"):
        raise SopeduError(f"{path}: a picture file ends in .png, .jpg, .svg or .pdf")
    return path


def render_dataset(
    out: str | Path,
    solos: int,
    split: str = "train",
    *,
    instruments: Sequence[str] = INSTRUMENTS,
    seconds: float = 6.0,
    frame_rate: float = 8.0,
    size: int = 224,
    seed: int = 0,
    properties: Collection[str] = ("all",),
    progress: bool = True,
) -> Path:
    """Render solos as a data set in the layout of prepared real data.

    Writes ``audio/<class>/<id>.wav``, ``frames/<class>/<id>/000001.jpg`` … and, last, the index ``<split>.csv``
    (``val.csv`` for the validation split) with ``audio_path,frames_path,frame_count``.

    Args:
        out: folder of the data set; made if it is not there.
        solos: number of solos, of the instruments in turn.
        split: ``train``, ``validation`` or ``test``.
        instruments: names in :data:`sopedu.toyband.BAND`.
        seconds: length of each solo.
        frame_rate: frames per second.
        size: height and width of the frames in pixels.
        seed: chooses the solos.
        properties: of the sounds, see :func:`sopedu.toyband.scene`.
        progress: whether to show a bar.

    Returns:
        The path of the index CSV.

    Raises:
        SopeduError: if the index is already there, an argument is out of range, or a file cannot be written.
    """
    from PIL import Image

    check_split(split)
    solos, seconds, frame_rate, size, seed = _checked(solos, seconds, frame_rate, size, seed, instruments)
    properties = check_properties(properties)
    out = _folder(out)
    index = out / ("val.csv" if split == "validation" else f"{split}.csv")
    if index.exists():
        raise SopeduError(f"{index}: already there; choose another --out or move it away")
    rows = []
    for number, name, scene in _solos(solos, split, instruments, seconds, frame_rate, size, seed, properties, progress):
        clip = f"{split}{seed}-{number:06d}"
        audio, frames = out / "audio" / name / f"{clip}.wav", out / "frames" / name / clip
        audio.parent.mkdir(parents=True, exist_ok=True)
        save_waveform(audio, scene.waveform(), scene.sample_rate)
        with folder_written_aside(frames, replace=True) as unfinished:
            for place, frame in enumerate(scene.frames, 1):
                Image.fromarray(frame).save(unfinished / f"{place:06d}.jpg", "JPEG", quality=92)
        rows.append([f"audio/{name}/{clip}.wav", f"frames/{name}/{clip}", len(scene.frames)])
    with written_aside(index) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return index


def render_videos(
    out: str | Path,
    solos: int,
    split: str = "train",
    *,
    instruments: Sequence[str] = INSTRUMENTS,
    seconds: float = 6.0,
    frame_rate: float = 25.0,
    size: int = 224,
    seed: int = 0,
    properties: Collection[str] = ("all",),
    progress: bool = True,
) -> list[Path]:
    """Render solos as mp4 files ``<split><seed>-<number>-<instrument>.mp4`` into a folder.

    Args:
        out: the folder; made if it is not there.
        solos: number of solos, of the instruments in turn.
        split: ``train``, ``validation`` or ``test``.
        instruments: names in :data:`sopedu.toyband.BAND`.
        seconds: length of each solo.
        frame_rate: frames per second.
        size: height and width of the frames in pixels.
        seed: chooses the solos.
        properties: of the sounds, see :func:`sopedu.toyband.scene`.
        progress: whether to show a bar.

    Returns:
        The paths of the files.

    Raises:
        SopeduError: if an argument is out of range, or a file cannot be written.
    """
    check_split(split)
    solos, seconds, frame_rate, size, seed = _checked(solos, seconds, frame_rate, size, seed, instruments)
    properties = check_properties(properties)
    out, paths = _folder(out), []
    for number, name, scene in _solos(solos, split, instruments, seconds, frame_rate, size, seed, properties, progress):
        path = out / f"{split}{seed}-{number:06d}-{name}.mp4"
        write_scene_video(path, scene, frame_rate)
        paths.append(path)
    return paths


def render_film(
    path: str | Path,
    pair: Sequence[str],
    seed: int,
    split: str = "test",
    *,
    seconds: float = 8.0,
    frame_rate: float = 25.0,
    size: tuple[int, int] = (270, 480),
) -> Path:
    """Render a duet as an mp4 film, such as the shipped ``duet.mp4``.

    Args:
        path: ends in .mp4; the folder must exist.
        pair: two instruments, from left to right.
        seed: with ``split`` decides melodies, individual instruments, places and background.
        split: train, validation or test.
        seconds: length of the film.
        frame_rate: pictures per second.
        size: height and width in pixels.

    Returns:
        The path.

    Raises:
        SopeduError: for an unknown split or instrument, not two instruments, or if the film cannot be written.
    """
    check_split(split)
    unknown = [name for name in pair if name not in BAND]
    if unknown or len(pair) != 2:
        raise SopeduError(f"a duet of {', '.join(pair)!r}: name two of {', '.join(BAND)}")
    times = tuple(np.arange(round(seconds * frame_rate)) / frame_rate)
    scene = duet(seed, split, pair, samples=round(seconds * SAMPLE_RATE), size=size, times=times)
    write_scene_video(path, scene, frame_rate)
    return Path(path)


def write_scene_video(path: str | Path, scene: Scene, frame_rate: float) -> None:
    """Write a scene as an mp4 with its mixture as sound.

    Args:
        path: ends in .mp4; the folder must exist.
        scene: its frames are ``1 / frame_rate`` seconds apart.
        frame_rate: pictures per second.
    """
    write_video(path, scene.frames, frame_rate, scene.waveform(), scene.sample_rate)


def _checked(
    solos: int, seconds: float, frame_rate: float, size: int, seed: int, instruments: Sequence[str]
) -> tuple[int, float, float, int, int]:
    if not instruments or isinstance(instruments, str) or set(instruments) - set(BAND):
        raise SopeduError(f"instruments={instruments!r:.60}: give a list of some of {', '.join(BAND)}")
    return (
        whole_number(solos, "solos", 1), real_number(seconds, "seconds", 0.1),
        real_number(frame_rate, "frame_rate", 0.1), whole_number(size, "size", 16, 4096), whole_number(seed, "seed", 0),
    )  # fmt: skip


def _folder(path: str | Path) -> Path:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SopeduError(f"{path}: no folder can be made there ({error.strerror}); choose another --out") from error
    return Path(path)


def _solos(solos, split, instruments, seconds, frame_rate, size, seed, properties, progress):
    times = tuple(np.arange(0, seconds, 1 / frame_rate))
    how = {"samples": round(seconds * SAMPLE_RATE), "size": size, "times": times, "properties": properties}
    for number in tqdm(range(solos), desc="rendering", unit="solo", disable=not progress):
        name = instruments[number % len(instruments)]
        yield number, name, solo(seed * 1_000_000 + number, split, name, **how)
