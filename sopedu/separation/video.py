"""Separate the sounds of a whole video: sound files, a map of what sounds where, a video of every region, a page.

    >>> result = separate_video("video.mp4", "toyband", "out")
    >>> result["sounds"]

`windows` walks over the video, `regions` says where to listen, `filming` writes videos; here they meet. Explained in
notebooks 00_start_here and 12_objects_and_their_sounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sopedu.audio.loudness import FAINT
from sopedu.audio.soundfiles import save_waveform_blocks
from sopedu.config import SpectrogramConfig
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.files import folder_written_aside, printable, require_new_folder, write_json
from sopedu.localization.overlays import MapOverlay
from sopedu.localization.pixel_sounds import MAP_KINDS
from sopedu.localization.places import Box
from sopedu.localization.windows import (
    DiskWaveform,
    VideoPart,
    Window,
    crossfade,
    recording_level,
    window_centres,
    window_starts,
    windows_of,
)
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.model.sound_of_pixels import REGION_POOLINGS
from sopedu.objects.detection import Detector
from sopedu.objects.registry import named_detector
from sopedu.objects.tracks import Track, find_tracks
from sopedu.separation.domain_shift import Familiarity
from sopedu.separation.films import Film, highlighting, progress_bar, write_films, write_tour
from sopedu.separation.page import write_separation_page
from sopedu.separation.regions import (
    MOST_REGIONS,
    Region,
    is_there,
    loudest_cells,
    loudest_places,
    regions_asked_for,
    regions_of_objects,
)
from sopedu.video.reading import probe, sound_channels
from sopedu.video.resizing import frame_size
from sopedu.video.writing import WRITTEN_SAMPLE_RATE

MOST_CELLS = 16
_UNHEARD = 0.02  # share of the energy that even the loudest cell does not let through where a model knows nothing
_SILENCE = 1e-5
_DETECTED_SIZE = 480  # shorter side, in pixels, of what a detector is shown
_DETECTED_SECONDS = 0.5  # between two pictures that it is shown


def separate_video(
    path: str | Path,
    checkpoint: Checkpoint | str | Path,
    out: str | Path,
    boxes: Sequence[Box] | Mapping[str, Box] = (),
    *,
    start: float = 0.0,
    end: float | None = None,
    normalise: bool = False,
    keep_rate: bool = False,
    cells: int = 0,
    detector: Detector | str | Path | None = None,
    pooling: str | None = None,
    picture_stream: int | None = None,
    sound_stream: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Write the sound of regions of a video, and a video of where sound comes from.

    The folder appears only when everything in it is complete. Memory does not grow with the length of the video.

    Args:
        path: a video with picture and sound, of any format that PyAV reads and any length.
        checkpoint: the model, on the device that shall do the work; or its folder or name, to work on the CPU.
        out: a folder that does not exist yet or is empty; gets ``sound_map.mp4`` (map over the frames, the original
            sound), ``mixture.wav``, ``region1.wav`` and ``region1.mp4`` (region marked, its sound alone) and so on,
            ``result.json`` and ``report.html``.
        boxes: regions to listen to, fractions of width and height, at most 16; a mapping names them, and their files.
            Without any, the two loudest places of the map.
        start, end: the part of the video to work on, in seconds.
        normalise: divide the masks by the sum of those of all regions: the estimates then add up to the mixture.
        keep_rate: write WAV files at the video's own sample rate instead of the model's.
        cells: also write the sound of that many of the loudest cells of the map, at most 16, as WAV files.
        detector: finds objects, each of which becomes a region that moves with it, and ``tour.mp4`` shows all in turn;
            a function or a name, see :func:`sopedu.named_detector`. What it finds joins the ``boxes``.
        pooling: how the cells of a region answer together, see :meth:`sopedu.PixelSounds.mask`.
        picture_stream, sound_stream: numbers of streams, for files that have several.
        progress: show bars with the time left.

    Returns:
        what ``result.json`` holds.

    Raises:
        SopeduError: the video cannot be used, a box or another choice does not fit, ``out`` already holds files or is
            being written by another run, or the disk is full.
    """
    path, out, checkpoint = Path(path), require_new_folder(out), as_checkpoint(checkpoint)
    start, cells = real_number(start, "start"), whole_number(cells, "cells")
    end = None if end is None or end == float("inf") else real_number(end, "end")
    picture_stream, sound_stream = (
        None if number is None else whole_number(number, f"{kind}_stream", 0)
        for kind, number in (("picture", picture_stream), ("sound", sound_stream))
    )
    normalise, keep_rate = bool(normalise), bool(keep_rate)
    asked = regions_asked_for(boxes)
    if pooling not in (None, *REGION_POOLINGS):
        raise SopeduError(f"unknown pooling {pooling!r}: choose {', '.join(REGION_POOLINGS)}")
    detector = named_detector(str(detector)) if isinstance(detector, str | Path) else detector
    if not 0 <= cells <= MOST_CELLS:
        raise SopeduError(f"{cells} cells: between 0 and {MOST_CELLS} can be written")
    info, sound = probe(path, picture_stream, sound_stream), checkpoint.config.spectrogram
    if not info.has_picture:
        raise SopeduError(
            f"{path}: has no picture stream, so there is nothing to look at; choose a video with pictures"
        )
    if not info.has_sound:
        raise SopeduError(f"{path}: has no sound, so there is nothing to separate; choose a video with sound")
    part, damaged_sound, damaged_pictures, left_out = VideoPart(info, start, end), [], [], []

    with folder_written_aside(out) as folder, ExitStack() as stack:
        spools = Path(stack.enter_context(TemporaryDirectory(prefix=".", dir=folder)))
        mixture = DiskWaveform(spools / "mixture")
        blocks = part.sound(sound.sample_rate, damaged_sound)
        with progress_bar(blocks, "reading sound", progress, part.seconds, "s") as bar:
            for block in bar:
                mixture.append(block)
        if mixture.peak <= _SILENCE:
            raise SopeduError(
                f"{path}: its sound is digital silence, so there is nothing to separate; choose another part or video"
            )
        seconds, level = mixture.length / sound.sample_rate, recording_level(mixture, sound)
        told = [] if level >= FAINT else [f"its sound is very faint ({level:.0f} dB of full scale): noise may be heard"]
        if detector is not None:
            asked, about = _joined(asked, _found_by(detector, part, progress), part, max(seconds, part.seconds))
            told += about
        walk = _Walk(part, checkpoint, mixture, pooling, progress)
        regions, in_one_walk = asked, bool(asked) and not cells
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
            regions = (asked or loudest_places(overall)) + loudest_cells(overall, cells)
            estimates = walk.listen(regions, normalise, spools, look=False)

        gain = 1 / max(1.0, mixture.peak, *(spool.peak for spool in estimates))
        wav_rate = info.sample_rate if keep_rate else sound.sample_rate
        for name, spool in [("mixture", mixture), *zip((r.name for r in regions), estimates, strict=True)]:
            save_waveform_blocks(folder / f"{name}.wav", spool.blocks(gain), sound.sample_rate, wav_rate)
        centres = window_centres(walk.starts, sound)
        overlay = MapOverlay(maps, centres)
        # Above what the model hears the sound can be louder, and would be clipped.
        loudest = max((float(np.abs(block).max()) for block in part.sound(WRITTEN_SAMPLE_RATE, [])), default=0.0)
        quieter = np.float32(min(gain, 1 / max(1.0, loudest)))
        whole = (quieter * block for block in part.sound(WRITTEN_SAMPLE_RATE, []))
        films = [Film(folder / "sound_map.mp4", whole, WRITTEN_SAMPLE_RATE, overlay)]
        filmed = [(region, spool) for region, spool in zip(regions, estimates, strict=True) if region.filmed]
        for region, spool in filmed:
            path_there = folder / f"{region.name}.mp4"
            films.append(Film(path_there, spool.blocks(gain), sound.sample_rate, highlighting(region)))
        shown, last = write_films(part, films, seconds, damaged_pictures, left_out, progress)
        tour = None
        if detector is not None:
            shares = [region for region, _ in filmed], [spool for _, spool in filmed]
            tour = write_tour(folder / "tour.mp4", part, mixture, *shares, sound.sample_rate, gain, progress)
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
            "device": checkpoint.device,
            "hint": domain_hint(checkpoint),
            "level_db": round(level, 1),
            "familiarity": {name: round(value, 3) for name, value in familiarity.distances().items()},
            "notes": [
                *_notes(part, sound, seconds, shown, last, damaged_sound, damaged_pictures, left_out),
                *familiarity.notes(),
                *_faint(float(maps.max())),
                *told,
            ],
            "windows": len(maps),
            "sound_map": "sound_map.mp4",
            "map_kind": MAP_KINDS[0],
            "map_peak": round(float(maps.max()), 4),
            "mixture": "mixture.wav",
            "normalised": normalise,
            "pooling": pooling or checkpoint.config.model.region_pooling,
            "gain": round(gain, 6),
            "tour": tour,
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


def _found_by(detector: Detector, part: VideoPart, progress: bool) -> list[Track]:
    """Objects of the whole part, followed through time."""
    times = [float(time) for time in np.arange(0.0, max(part.seconds, 1e-3), _DETECTED_SECONDS)]
    size = frame_size(part.info, min(_DETECTED_SIZE, part.info.width, part.info.height))
    pictures = zip(times, part.frames_at(times, size), strict=True)
    with progress_bar(pictures, "looking for objects", progress, len(times), "picture") as bar:
        return find_tracks(detector, bar, start=part.start)


def _joined(asked: list[Region], found: list[Track], part: VideoPart, seconds: float) -> tuple[list[Region], list[str]]:
    """Boxes asked for and objects found, and a line on every kind of object that is left out.

    Boxes come first and keep their names; an object of the same name is what the box was drawn around.

    Raises:
        SopeduError: objects, as a box file may name, are all before or after this part of the video.
    """
    if not found:
        instead = "only the boxes are written" if asked else "the loudest places of the map are written in their stead"
        return asked, [f"the detector found no object: {instead}"]
    here = [track for track in found if is_there(track, 0.0, seconds)]
    if not here:
        first, last = (part.start + which(float(t) for track in found for t in track.times) for which in (min, max))
        raise SopeduError(
            f"{part.info.path}: all objects are there from {first:.2f} to {last:.2f} s, but this part goes from "
            f"{part.start:.2f} to {part.start + seconds:.2f} s; write times in seconds of the video"
        )
    taken = {region.name.casefold() for region in asked}
    objects = regions_of_objects(here)
    others = [region for region in objects if region.name.casefold() not in taken]
    regions = [*asked, *others][:MOST_REGIONS]
    too_many = len(here) - len(objects) + len(asked) + len(others) - len(regions)
    left_out = {
        "are not there in this part of the video": len(found) - len(here),
        "have the name of a box, which is written in their stead": len(objects) - len(others),
        f"are too many, {MOST_REGIONS} regions can be written": too_many,
    }
    return regions, [f"{n} of {len(found)} objects {why}: left out" for why, n in left_out.items() if n]


class _Walk:
    """Walks over the windows of a video: looks where it sounds, listens to regions, or does both at once."""

    def __init__(
        self, part: VideoPart, checkpoint: Checkpoint, mixture: DiskWaveform, pooling: str | None, progress: bool
    ) -> None:
        self.part, self.checkpoint, self.mixture, self.progress = part, checkpoint, mixture, progress
        self.pooling = pooling
        self.starts = window_starts(mixture.length, checkpoint.config.spectrogram)
        self.maps: list[np.ndarray] = []  # (h, w) of every window
        self.loudness: list[float] = []  # its energy

    def look(self) -> None:
        """Collect maps and loudness of all windows."""
        with self._windows("looking") as windows:
            for window in windows:
                self._see(window)

    def listen(self, regions: Sequence[Region], normalise: bool, folder: Path, look: bool) -> list[DiskWaveform]:
        """Write the sound of every region to a file of its own, looking around on the way if that is asked for."""
        filmed = [region for region in regions if region.filmed]
        cells = [region.box for region in regions if not region.filmed]

        def pieces(windows: Iterable[Window]) -> Iterator[tuple[int, np.ndarray]]:
            for window in windows:
                if look:
                    self._see(window)
                [time] = window_centres([window.start], window.pixels.sound)
                boxes = [region.box_at(time) for region in filmed]
                yield window.start, _heard(window, boxes, cells, normalise, self.pooling)

        spools = [DiskWaveform(folder / f"estimate{number}") for number in range(len(regions))]
        with self._windows("separating") as windows:
            for block in crossfade(pieces(windows), self.mixture.length):
                for spool, samples in zip(spools, block, strict=True):
                    spool.append(samples)
        return spools

    def _windows(self, title: str) -> Any:
        windows = windows_of(self.part, self.checkpoint, self.mixture)
        return progress_bar(windows, title, self.progress, len(self.starts), "window")

    def _see(self, window: Window) -> None:
        self.maps.append(window.pixels.sound_map().mean(0).astype(np.float32))
        if not np.isfinite(self.maps[-1]).all():
            raise SopeduError(
                "the checkpoint answers with what is no number: its weights are damaged, take another one"
            )
        self.loudness.append(float(window.pixels.magnitude.square().sum()))


def _heard(
    window: Window, boxes: Sequence[Box | None], cells: Sequence[Box], normalise: bool, pooling: str | None
) -> np.ndarray:
    """Waveforms ``(R, L)`` of regions and cells in a window; an object that is not there then is not heard."""
    heard = np.zeros((len(boxes), window.pixels.sound.counted_samples), np.float32)
    there = [number for number, box in enumerate(boxes) if box is not None]
    if there:
        heard[there] = window.pixels.separate_all([boxes[number] for number in there], normalise, pooling).numpy()
    alone = [window.pixels.separate(box).numpy()[None] for box in cells]
    return np.concatenate([heard, *alone])


def _entry(region: Region, spool: DiskWaveform, mixture: DiskWaveform) -> dict[str, Any]:
    """What result.json says of a region."""
    return {
        "name": region.name,
        "box": [round(float(value), 4) for value in region.box],
        "chosen": region.chosen,
        "energy_share": round(spool.energy / max(mixture.energy, 1e-12), 4),
        "wav": f"{region.name}.wav",
        "video": f"{region.name}.mp4" if region.filmed else None,
        **({} if region.track is None else _followed(region.track)),
    }


def _followed(track: Track) -> dict[str, Any]:
    """What result.json says of an object: what it is, and where at which time."""
    sightings = zip(track.times, track.boxes, strict=True)
    places = [[round(float(value), 4) for value in (time, *box)] for time, box in sightings]
    return {"label": track.label, "score": round(float(track.score), 3), "track": places}


def _notes(
    part: VideoPart,
    sound: SpectrogramConfig,
    seconds: float,
    shown: int,
    last: float,
    damaged_sound: Sequence[float],
    damaged_pictures: Sequence[float],
    left_out: Sequence[float],
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
    if (channels := sound_channels(info.path, part.start, part.end, info.sound_stream).note()) is not None:
        notes.append(channels)
    jumps = [time for time, _ in info.jumps if 0 < time - part.start < part.seconds]
    if jumps:
        places = ", ".join(f"{time - part.start:.2f} s" for time in jumps[:5]) + (" …" if len(jumps) > 5 else "")
        notes.append(f"its timestamps jump at {places}: what follows is joined on, sound and pictures together")
    picture = 1 / (info.frame_rate or 25)  # the last one is shown for so long
    announced = min(info.announced, part.end or float("inf")) - part.start
    if announced - max(part.seconds, seconds, last + picture) > max(0.2, 0.02 * announced):
        ends = f"{max(seconds, last):.2f} s, {announced:.2f} s were announced"
        notes.append(f"its sound and pictures end after {ends}: a part is missing, copy it again")
    elif shown > 1 and seconds - last > max(0.4, 3 * picture):
        notes.append(f"its pictures end after {last:.2f} s, before the sound: the last one stands for the rest")
    elif shown > 1 and last + picture - seconds > max(0.4, 3 * picture):
        notes.append(f"its sound ends after {seconds:.2f} s, before the pictures: the rest is silent")
    if left_out:
        count = "1 picture comes" if len(left_out) == 1 else f"{len(left_out)} pictures come"
        notes.append(f"{count} no later than the one before and cannot be shown, first at {min(left_out):.2f} s")
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
