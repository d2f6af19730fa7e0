"""Separate the sounds of a whole video: sound files, a map of what sounds where, a video of every region, a page.

    >>> result = separate_video("video.mp4", load_checkpoint("data_samples/checkpoints/toyband-tiny"), "out")
    >>> result["sounds"]

`windows` walks over the video; here regions are chosen and results are written. Explained in notebook 00_start_here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from sopedu.checkpoints import Checkpoint
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError
from sopedu.familiarity import Familiarity
from sopedu.files import folder_written_aside, printable, require_new_folder, write_json
from sopedu.geometry import Box, box_of_cell, check_box
from sopedu.maps import loudest_regions
from sopedu.overlays import MapOverlay, draw_box
from sopedu.separation_page import write_separation_page
from sopedu.sound import save_waveform_blocks
from sopedu.video import probe
from sopedu.video_writer import WRITTEN_SAMPLE_RATE, VideoWriter
from sopedu.windows import Spool, VideoPart, Window, crossfade, window_centres, window_starts, windows_of

MOST_REGIONS = MOST_CELLS = 16
# x264 on two cores, 720p of leaves in the wind: "superfast" at 18 keeps 40.6 dB at 60 pictures a second, "medium" at
# 20 40.4 dB at 22, in a file of half the size.
_QUALITY, _EFFORT = 18, "superfast"
_UNHEARD = 0.02  # share of the energy that even the loudest cell does not let through where a model knows nothing
_SILENCE = 1e-5


@dataclass(frozen=True)
class Region:
    """A part of the picture that is listened to; its results are named after it."""

    name: str
    box: Box
    chosen: str  # "asked for", "loudest" or "cell"
    filmed: bool = True  # whether it gets a video, not a sound file alone


def separate_video(
    path: str | Path,
    checkpoint: Checkpoint,
    out: str | Path,
    boxes: Sequence[Box] | Mapping[str, Box] = (),
    *,
    start: float = 0.0,
    end: float | None = None,
    normalise: bool = False,
    keep_rate: bool = False,
    cells: int = 0,
    picture_stream: int | None = None,
    sound_stream: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Write the sound of regions of a video, and a video of where sound comes from.

    The folder appears only when everything in it is complete. Memory does not grow with the length of the video.

    Args:
        path: a video with picture and sound, of any format that PyAV reads and any length.
        checkpoint: the model, on the device that shall do the work.
        out: a folder that does not exist yet or is empty; gets ``sound_map.mp4`` (map over the frames, the original
            sound), ``mixture.wav``, ``region1.wav`` and ``region1.mp4`` (region marked, its sound alone) and so on,
            ``result.json`` and ``report.html``.
        boxes: regions to listen to, fractions of width and height, at most 16; a mapping names them, and their files.
            Without any, the two loudest places of the map.
        start, end: the part of the video to work on, in seconds.
        normalise: divide the masks by the sum of those of all regions: the estimates then add up to the mixture.
        keep_rate: write WAV files at the video's own sample rate instead of the model's.
        cells: also write the sound of that many of the loudest cells of the map, at most 16, as WAV files.
        picture_stream, sound_stream: numbers of streams, for files that have several.
        progress: show bars with the time left.

    Returns:
        what ``result.json`` holds.

    Raises:
        SopeduError: the video cannot be used, a box or another choice does not fit, ``out`` already holds files or is
            being written by another run, or the disk is full.
    """
    path, out = Path(path), require_new_folder(out)
    asked = _asked_for(boxes)
    if not 0 <= cells <= MOST_CELLS:
        raise SopeduError(f"{cells} cells: between 0 and {MOST_CELLS} can be written")
    info, sound = probe(path, picture_stream, sound_stream), checkpoint.config.spectrogram
    if not info.has_picture:
        raise SopeduError(
            f"{path}: has no picture stream, so there is nothing to look at; choose a video with pictures"
        )
    if not info.has_sound:
        raise SopeduError(f"{path}: has no sound, so there is nothing to separate; choose a video with sound")
    part, damaged_sound, damaged_pictures = VideoPart(info, start, end), [], []

    with folder_written_aside(out) as folder, ExitStack() as stack:
        spools = Path(stack.enter_context(TemporaryDirectory(prefix=".", dir=folder)))
        mixture = Spool(spools / "mixture")
        blocks = part.sound(sound.sample_rate, damaged_sound)
        with _bar(blocks, "reading sound", progress, part.seconds, "s") as bar:
            for block in bar:
                mixture.append(block)
        if mixture.peak <= _SILENCE:
            raise SopeduError(
                f"{path}: its sound is digital silence, so there is nothing to separate; choose another part or video"
            )
        walk, regions, in_one_walk = _Walk(part, checkpoint, mixture, progress), asked, bool(asked) and not cells
        with Familiarity(checkpoint.model) as familiarity:
            if in_one_walk:
                estimates = walk.listen(regions, normalise, spools, look=True)
            else:
                walk.look()
        maps, loudness = np.stack(walk.maps), np.array(walk.loudness)
        overall = np.average(maps, axis=0, weights=loudness + 1e-12)
        if not in_one_walk:
            # Where to listen is known only now. To keep what the nets said of every window would take memory that
            # grows with the video: they are asked again.
            regions = (asked or _loudest(overall)) + _loudest_cells(overall, cells)
            estimates = walk.listen(regions, normalise, spools, look=False)

        gain = 1 / max(1.0, mixture.peak, *(spool.peak for spool in estimates))
        wav_rate = info.sample_rate if keep_rate else sound.sample_rate
        for name, spool in [("mixture", mixture), *zip((r.name for r in regions), estimates, strict=True)]:
            save_waveform_blocks(folder / f"{name}.wav", spool.blocks(gain), sound.sample_rate, wav_rate)
        seconds = mixture.length / sound.sample_rate
        centres = window_centres(walk.starts, sound)
        overlay = MapOverlay(maps, centres)
        tracks = [_Track(folder / "sound_map.mp4", part.sound(WRITTEN_SAMPLE_RATE, []), WRITTEN_SAMPLE_RATE, overlay)]
        for region, spool in zip(regions, estimates, strict=True):
            if region.filmed:
                draw = partial(_marked, region.box)
                tracks.append(_Track(folder / f"{region.name}.mp4", spool.blocks(gain), sound.sample_rate, draw))
        shown, last = _film(part, tracks, seconds, damaged_pictures, progress)
        result = {
            "video": printable(path.name),
            "start": start,
            "seconds": round(seconds, 3),
            "pictures": shown,
            "size": [info.width, info.height],
            "picture_stream": info.picture_stream,
            "sound_stream": info.sound_stream,
            "sample_rate": sound.sample_rate,
            "wav_sample_rate": wav_rate,
            "model": checkpoint.describe(),
            "hint": domain_hint(checkpoint),
            "familiarity": {name: round(value, 3) for name, value in familiarity.distances().items()},
            "notes": [
                *_notes(part, sound, seconds, shown, last, damaged_sound, damaged_pictures),
                *familiarity.notes(),
                *_faint(float(maps.max())),
            ],
            "windows": len(maps),
            "sound_map": "sound_map.mp4",
            "map_kind": "energy",
            "map_peak": round(float(maps.max()), 4),
            "mixture": "mixture.wav",
            "normalised": normalise,
            "gain": round(gain, 6),
            "sounds": [_entry(region, spool, mixture) for region, spool in zip(regions, estimates, strict=True)],
        }
        still = next(part.frames_at([centres[int(loudness.argmax())]]))
        write_separation_page(folder / "report.html", result, still, overall, mixture, estimates)
        write_json(folder / "result.json", result)
    return result


def domain_hint(checkpoint: Checkpoint) -> str:
    """One line on what may be expected of a model."""
    if checkpoint.trained_on.get("data") == "toyband":
        return (
            "this model has seen drawings and synthesized instruments only: expect the mechanics, not the quality, "
            "of separation on a filmed video; train on MUSIC or VGGSound for that"
        )
    return f"this model knows {', '.join(checkpoint.class_names) or 'its training data'}; other sounds may go anywhere"


def _asked_for(boxes: Sequence[Box] | Mapping[str, Box]) -> list[Region]:
    if not isinstance(boxes, Mapping):
        boxes = {f"region{number}": box for number, box in enumerate(boxes, 1)}
    if len(boxes) > MOST_REGIONS:
        raise SopeduError(f"{len(boxes)} boxes: at most {MOST_REGIONS} regions can be written in one run")
    for name in boxes:
        # Names become file names: nothing that leaves the folder, nothing that one of its files is called.
        if not re.fullmatch(r"[^\W_][\w-]{0,39}", name) or name in ("mixture", "sound_map", "result", "report"):
            raise SopeduError(f"region {name!r:.60}: call it by letters, digits, - and _, and not like another result")
    if len({name.casefold() for name in boxes}) < len(boxes):
        raise SopeduError(f"regions {', '.join(boxes)}: two of these names are the same file on some systems")
    return [Region(name, tuple(check_box(box)), "asked for") for name, box in boxes.items()]


def _loudest(sound_map: np.ndarray) -> list[Region]:
    boxes = loudest_regions(sound_map)
    return [Region(f"region{number}", box, "loudest") for number, box in enumerate(boxes, 1)]


def _loudest_cells(sound_map: np.ndarray, count: int) -> list[Region]:
    rows, columns = np.unravel_index(np.argsort(-sound_map, axis=None, kind="stable")[:count], sound_map.shape)
    return [
        Region(f"cell_row{row + 1}_column{column + 1}", box_of_cell(row, column, *sound_map.shape), "cell", False)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


class _Walk:
    """Walks over the windows of a video: looks where it sounds, listens to regions, or does both at once."""

    def __init__(self, part: VideoPart, checkpoint: Checkpoint, mixture: Spool, progress: bool) -> None:
        self.part, self.checkpoint, self.mixture, self.progress = part, checkpoint, mixture, progress
        self.starts = window_starts(mixture.length, checkpoint.config.spectrogram)
        self.maps: list[np.ndarray] = []  # (h, w) of every window
        self.loudness: list[float] = []  # its energy

    def look(self) -> None:
        """Collect maps and loudness of all windows."""
        with self._windows("looking") as windows:
            for window in windows:
                self._see(window)

    def listen(self, regions: Sequence[Region], normalise: bool, folder: Path, look: bool) -> list[Spool]:
        """Write the sound of every region to a file of its own, looking around on the way if that is asked for."""
        filmed = [region.box for region in regions if region.filmed]
        cells = [region.box for region in regions if not region.filmed]

        def pieces(windows: Iterable[Window]) -> Iterator[tuple[int, np.ndarray]]:
            for window in windows:
                if look:
                    self._see(window)
                heard = [window.pixels.separate_all(filmed, normalise).numpy()]
                heard += [window.pixels.separate_all([box]).numpy() for box in cells]
                yield window.start, np.concatenate(heard)

        spools = [Spool(folder / f"estimate{number}") for number in range(len(regions))]
        with self._windows("separating") as windows:
            for block in crossfade(pieces(windows), self.mixture.length):
                for spool, samples in zip(spools, block, strict=True):
                    spool.append(samples)
        return spools

    def _windows(self, title: str) -> Any:
        windows = windows_of(self.part, self.checkpoint, self.mixture)
        return _bar(windows, title, self.progress, len(self.starts), "window")

    def _see(self, window: Window) -> None:
        self.maps.append(window.pixels.sound_map().mean(0).astype(np.float32))
        if not np.isfinite(self.maps[-1]).all():
            raise SopeduError(
                "the checkpoint answers with what is no number: its weights are damaged, take another one"
            )
        self.loudness.append(float(window.pixels.magnitude.square().sum()))


@dataclass(frozen=True)
class _Track:
    """A video to write: its sound, and what is drawn on every picture, given its time."""

    path: Path
    sound: Iterator[np.ndarray]
    sample_rate: int
    draw: Callable[[float, np.ndarray], np.ndarray]


def _film(
    part: VideoPart, tracks: Sequence[_Track], seconds: float, damaged: list[float], progress: bool
) -> tuple[int, float]:
    """Write all videos in one walk over the pictures; return how many there were, and the time of the last."""
    rate, aspect = part.info.frame_rate, part.info.pixel_aspect
    total = round(part.seconds * rate) if rate else None
    bar = _bar(part.pictures(damaged), f"writing {len(tracks)} videos", progress, total, "picture")
    last, time, shown = None, 0.0, 0
    with bar as pictures, ExitStack() as stack:
        writers = [
            stack.enter_context(VideoWriter(t.path, rate, t.sound, t.sample_rate, _QUALITY, _EFFORT, aspect))
            for t in tracks
        ]
        for time, picture in pictures:
            last, shown = picture, shown + 1
            for writer, track in zip(writers, tracks, strict=True):
                writer.add(time, track.draw(time, picture))
        if last is None:
            raise SopeduError(f"{part.info.path}: no picture is shown in this part; choose another --start and --end")
        held = seconds - 1 / (rate or 25)
        if held > time + 1:  # a player shows nothing where pictures have ended before the sound
            for writer, track in zip(writers, tracks, strict=True):
                writer.add(held, track.draw(held, last))
    return shown, time


def _marked(box: Box, _: float, picture: np.ndarray) -> np.ndarray:
    return draw_box(picture, box)


def _entry(region: Region, spool: Spool, mixture: Spool) -> dict[str, Any]:
    """What result.json says of a region."""
    return {
        "name": region.name,
        "box": [round(float(value), 4) for value in region.box],
        "chosen": region.chosen,
        "energy_share": round(spool.energy / max(mixture.energy, 1e-12), 4),
        "wav": f"{region.name}.wav",
        "video": f"{region.name}.mp4" if region.filmed else None,
    }


def _notes(
    part: VideoPart,
    sound: SpectrogramConfig,
    seconds: float,
    shown: int,
    last: float,
    damaged_sound: Sequence[float],
    damaged_pictures: Sequence[float],
) -> list[str]:
    """What a listener should know of this video, a line each."""
    info, notes = part.info, []
    for kind, number in (("sound", info.sound_stream), ("picture", info.picture_stream)):
        others = [stream for stream in info.streams if stream.kind == kind and stream.number != number]
        if others:
            there = "; ".join(f"{stream.number} ({stream.description})" for stream in others)
            notes.append(f"{kind} stream {number} is used; --{kind}-stream chooses another: {there}")
    if info.sample_rate < sound.sample_rate:
        notes.append(
            f"its sound has {info.sample_rate} samples a second, so nothing above {info.sample_rate // 2} Hz is there "
            f"to be separated (the model hears up to {sound.sample_rate // 2} Hz)"
        )
    if seconds < sound.seconds - 0.01:
        notes.append(f"{seconds:.2f} s is less than the {sound.seconds:.2f} s that the model hears: silence was added")
    if part.seconds - max(seconds, last) > max(0.2, 0.02 * part.seconds):
        ends = f"{max(seconds, last):.2f} s, {part.seconds:.2f} s were announced"
        notes.append(f"its sound and pictures end after {ends}: a part is missing, copy it again")
    elif shown > 1 and seconds - last > max(0.4, 3 / (info.frame_rate or 25)):
        notes.append(f"its pictures end after {last:.2f} s, before the sound: the last one stands for the rest")
    if shown == 1:
        notes.append("there is one picture only: it stands for the whole length")
    for kind, times in (("sound", damaged_sound), ("pictures", damaged_pictures)):
        if times:
            count = f"{len(times)} damaged packet{'s' if len(times) > 1 else ''}"
            notes.append(f"{count} of its {kind} could not be decoded and are missing, first at {min(times):.2f} s")
    return notes


def _faint(peak: float) -> list[str]:
    if peak >= _UNHEARD:
        return []
    return [f"even the loudest place lets only {peak:.1%} of the sound through: the model recognises nothing here"]


def _bar(things: Iterator[Any], title: str, progress: bool, total: float | None, unit: str) -> Any:
    """A progress bar with the time left around an iterator; in a ``with`` it ends before an error is told."""
    total = None if total is None else int(np.ceil(total))
    return tqdm(things, desc=title, total=total, disable=not progress, unit=unit)
