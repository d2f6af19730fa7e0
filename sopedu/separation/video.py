"""Separate the sounds of a whole video: sound files, a map of what sounds where, a video of every region, a page.

    >>> result = separate_video("video.mp4", "toyband", "out")
    >>> result["sounds"]

Five steps: plan (check the arguments), walk (run the model, window by window), mix (write sound files), films (write
videos), report. Explained in notebooks 00_start_here and 12_objects_and_their_sounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from sopedu.audio.soundfiles import save_waveform_blocks
from sopedu.errors import SopeduError
from sopedu.files import printable, write_json
from sopedu.folders import folder_written_aside, require_new_folder
from sopedu.localization.overlays import MapOverlay
from sopedu.localization.pixel_sounds import MAP_KINDS
from sopedu.localization.places import Box
from sopedu.model.checkpoints import Checkpoint, as_checkpoint
from sopedu.objects.detection import Detector
from sopedu.objects.registry import named_detector
from sopedu.objects.tracks import Track, find_tracks
from sopedu.separation.domain_shift import DomainShift
from sopedu.separation.films import Film, highlighting, write_films, write_tour
from sopedu.separation.notes import Decoded, domain_hint, notes_on_levels, notes_on_video
from sopedu.separation.page import write_separation_page
from sopedu.separation.parts import DiskWaveform
from sopedu.separation.plan import Plan, checked_cells, part_of_video
from sopedu.separation.regions import Region, join_objects, loudest_cells, loudest_places, regions_asked_for
from sopedu.separation.windows import VideoWalk
from sopedu.video.resizing import frame_size
from sopedu.video.writing import WRITTEN_SAMPLE_RATE

_SILENCE = 1e-5
_DETECTED_SIZE = 480  # shorter side, in pixels, of the pictures for a detector
_DETECTED_SECONDS = 0.5  # between two of these pictures


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
        checkpoint: the model, on the device that should do the work; or its folder or name, to work on the CPU.
        out: a folder that does not exist yet or is empty; gets ``sound_map.mp4`` (map over the frames, the original
            sound), ``mixture.wav``, ``region1.wav`` and ``region1.mp4`` (region marked, its sound alone) and so on,
            ``result.json`` and ``report.html``.
        boxes: regions to separate, fractions of width and height, at most 16; a mapping names them, and their files.
            Without any, the two loudest places of the map.
        start: where the part of the video that is separated begins, in seconds.
        end: where it ends; by default at the end of the video.
        normalise: divide the masks by the sum of those of all regions: the estimates then add up to the mixture.
        keep_rate: write WAV files at the video's own sample rate instead of the model's.
        cells: also write the sound of that many of the loudest cells of the map, at most 16, as WAV files.
        detector: finds objects, each of which becomes a region that moves with it, and ``tour.mp4`` shows all in turn;
            a function or a name, see :func:`sopedu.named_detector`. What it finds joins the ``boxes``.
        pooling: how the cells of a region are joined, see :meth:`sopedu.PixelSounds.mask`; by default as the model's
            configuration says.
        picture_stream: number of the picture stream, for files that have several.
        sound_stream: number of the sound stream.
        progress: show bars with the time left.

    Returns:
        what ``result.json`` holds.

    Raises:
        SopeduError: the video cannot be used, a box or another choice does not fit, ``out`` already holds files or is
            being written by another run, or the disk is full.

    Notebook: 12_objects_and_their_sounds.
    """
    out, checkpoint = require_new_folder(out), as_checkpoint(checkpoint)
    plan = Plan(
        checkpoint=checkpoint,
        cells=checked_cells(cells),
        asked=regions_asked_for(boxes),
        normalise=bool(normalise),
        keep_rate=bool(keep_rate),
        pooling=checkpoint.model.region_pooling(pooling),  # checked here, not after minutes of work
        detector=named_detector(str(detector)) if isinstance(detector, str | Path) else detector,
        part=part_of_video(Path(path), start, end, picture_stream, sound_stream),
        bar=partial(tqdm, disable=not progress),
    )
    with folder_written_aside(out) as folder, TemporaryDirectory(prefix=".", dir=folder) as scratch:
        decoded = Decoded()
        heard = _walk(plan, decoded, Path(scratch))
        gain = _write_sounds(plan, heard, folder)
        tour = _write_videos(plan, heard, gain, decoded, folder)
        return _write_report(plan, heard, gain, decoded, tour, folder)


@dataclass(frozen=True)
class _Heard:
    """The results for all windows: the whole sound, regions with their sounds, maps."""

    mixture: DiskWaveform
    level: float  # of the mixture in dB full scale
    regions: list[Region]
    estimates: list[DiskWaveform]
    maps: np.ndarray  # (W, h, w)
    centres: list[float]  # seconds, of the windows
    loudness: np.ndarray  # (W,)
    overall_map: np.ndarray  # (h, w), mean weighted by loudness
    shift: DomainShift
    left_out: list[str]  # one line per kind of object without a region

    @property
    def sounds(self) -> list[tuple[Region, DiskWaveform]]:
        return list(zip(self.regions, self.estimates, strict=True))

    @property
    def filmed(self) -> list[tuple[Region, DiskWaveform]]:
        return [(region, sound) for region, sound in self.sounds if region.filmed]


def _walk(plan: Plan, decoded: Decoded, scratch: Path) -> _Heard:
    """Read the sound, find objects, compute the sound map, and separate every region."""
    mixture = _read_mixture(plan, decoded, scratch)
    asked, left_out = plan.asked, []
    if plan.detector is not None:
        tracks, seconds = _find_objects(plan), max(decoded.seconds, plan.part.seconds)
        asked, left_out = join_objects(asked, tracks, plan.part, seconds)
    walk = VideoWalk(plan.part, plan.checkpoint, mixture, plan.bar)
    listen = partial(walk.listen, folder=scratch, normalise=plan.normalise, pooling=plan.pooling)
    regions, in_one_walk = asked, bool(asked) and not plan.cells
    with DomainShift(plan.checkpoint.model) as shift:
        if in_one_walk:
            estimates = listen(regions, look=True)
        else:
            walk.look()
    loudness = np.array(walk.loudness)
    overall_map = np.average(np.stack(walk.maps), axis=0, weights=loudness + 1e-12)
    if not in_one_walk:
        # The regions are known only now. Keeping the nets' output of every window would take memory that
        # grows with the video: they run again.
        regions = (asked or loudest_places(overall_map)) + loudest_cells(overall_map, plan.cells)
        estimates = listen(regions)
    return _Heard(
        mixture=mixture,
        level=mixture.level(plan.sound),
        regions=regions,
        estimates=estimates,
        maps=np.stack(walk.maps),
        centres=walk.centres,
        loudness=loudness,
        overall_map=overall_map,
        shift=shift,
        left_out=left_out,
    )


def _read_mixture(plan: Plan, decoded: Decoded, scratch: Path) -> DiskWaveform:
    """The whole sound at the model's sample rate."""
    mixture, sample_rate = DiskWaveform(scratch / "mixture"), plan.sound.sample_rate
    blocks, total = plan.part.sound(sample_rate, decoded.damaged_sound), int(np.ceil(plan.part.seconds))
    with plan.bar(blocks, desc="reading sound", total=total, unit="s") as bar:
        for block in bar:
            mixture.append(block)
    if mixture.peak <= _SILENCE:
        raise SopeduError(
            f"{plan.part.info.path}: its sound is digital silence, so there is nothing to separate; choose another "
            "part or video"
        )
    decoded.seconds = mixture.length / sample_rate
    return mixture


def _find_objects(plan: Plan) -> list[Track]:
    """Objects of the whole part, followed through time."""
    part, info = plan.part, plan.part.info
    times = [float(time) for time in np.arange(0.0, max(part.seconds, 1e-3), _DETECTED_SECONDS)]
    size = frame_size(info, min(_DETECTED_SIZE, info.width, info.height))
    pictures = zip(times, part.frames_at(times, size), strict=True)
    with plan.bar(pictures, desc="looking for objects", total=len(times), unit="picture") as bar:
        return find_tracks(plan.detector, bar, start=part.start)


def _write_sounds(plan: Plan, heard: _Heard, folder: Path) -> float:
    """Write a WAV file of the whole sound and of every region; return the gain that keeps all from clipping."""
    gain = 1 / max(1.0, heard.mixture.peak, *(estimate.peak for estimate in heard.estimates))
    for name, sound in [("mixture", heard.mixture), *((region.name, sound) for region, sound in heard.sounds)]:
        save_waveform_blocks(folder / f"{name}.wav", sound.blocks(gain), plan.sound.sample_rate, plan.wav_rate)
    return gain


def _write_videos(
    plan: Plan, heard: _Heard, gain: float, decoded: Decoded, folder: Path
) -> list[dict[str, Any]] | None:
    """Write sound_map.mp4, a video per region and, for objects, a tour; return the tour's sections."""
    part, sample_rate = plan.part, plan.sound.sample_rate
    # At its own rate the sound can be louder than at the model's, and would be clipped.
    loudest = max((float(np.abs(block).max()) for block in part.sound(WRITTEN_SAMPLE_RATE, [])), default=0.0)
    quieter = np.float32(min(gain, 1 / max(1.0, loudest)))
    original = (quieter * block for block in part.sound(WRITTEN_SAMPLE_RATE, []))
    films = [Film(folder / "sound_map.mp4", original, WRITTEN_SAMPLE_RATE, MapOverlay(heard.maps, heard.centres))]
    films += [
        Film(folder / f"{region.name}.mp4", sound.blocks(gain), sample_rate, highlighting(region))
        for region, sound in heard.filmed
    ]
    total = round(part.seconds * part.info.frame_rate) if part.info.frame_rate else None
    pictures = part.pictures(decoded.damaged_pictures, decoded.left_out)
    with plan.bar(pictures, desc=f"writing {len(films)} videos", total=total, unit="picture") as bar:
        decoded.pictures, decoded.last = write_films(part, bar, films, decoded.seconds)
    if plan.detector is None:
        return None
    return write_tour(folder / "tour.mp4", part, heard.mixture, heard.filmed, sample_rate, gain, plan.bar)


def _write_report(
    plan: Plan, heard: _Heard, gain: float, decoded: Decoded, tour: list[dict[str, Any]] | None, folder: Path
) -> dict[str, Any]:
    """Write result.json and report.html; return what the first holds."""
    result = _result(plan, heard, gain, decoded, tour)
    still = next(plan.part.frames_at([heard.centres[int(heard.loudness.argmax())]]))
    write_separation_page(folder / "report.html", result, still, heard.overall_map, heard.mixture, heard.estimates)
    write_json(folder / "result.json", result)
    return result


def _result(
    plan: Plan, heard: _Heard, gain: float, decoded: Decoded, tour: list[dict[str, Any]] | None
) -> dict[str, Any]:
    info, checkpoint, peak = plan.part.info, plan.checkpoint, float(heard.maps.max())
    faint, unheard = notes_on_levels(heard.level, peak)
    return {
        "video": printable(info.path.name),
        "start": plan.part.start,
        "seconds": round(decoded.seconds, 3),
        "pictures": decoded.pictures,
        "size": [info.width, info.height],
        "picture_stream": info.picture_stream,
        "sound_stream": info.sound_stream,
        "sample_rate": plan.sound.sample_rate,
        "wav_sample_rate": plan.wav_rate,
        "model": checkpoint.describe(),
        "device": checkpoint.device,
        "hint": domain_hint(checkpoint),
        "level_db": round(heard.level, 1),
        "familiarity": {name: round(value, 3) for name, value in heard.shift.distances().items()},
        "notes": [
            *notes_on_video(plan.part, plan.sound, decoded),
            *heard.shift.notes(),
            *unheard,
            *faint,
            *heard.left_out,
        ],
        "windows": len(heard.maps),
        "sound_map": "sound_map.mp4",
        "map_kind": MAP_KINDS[0],
        "map_peak": round(peak, 4),
        "mixture": "mixture.wav",
        "normalised": plan.normalise,
        "pooling": plan.pooling,
        "gain": round(gain, 6),
        "tour": tour,
        "sounds": [_result_of_region(region, sound, heard.mixture) for region, sound in heard.sounds],
    }


def _result_of_region(region: Region, sound: DiskWaveform, mixture: DiskWaveform) -> dict[str, Any]:
    result = {
        "name": region.name,
        "box": [round(float(value), 4) for value in region.box],
        "chosen": region.chosen,
        "energy_share": round(sound.energy / max(mixture.energy, 1e-12), 4),
        "wav": f"{region.name}.wav",
        "video": f"{region.name}.mp4" if region.filmed else None,
    }
    if (track := region.track) is None:
        return result
    boxes = zip(track.times, track.boxes, strict=True)
    places = [[round(float(value), 4) for value in (time, *box)] for time, box in boxes]
    return {**result, "label": track.label, "score": round(float(track.score), 3), "track": places}
