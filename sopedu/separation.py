"""Separate the sounds of a whole video: overlapping windows, cross-faded, with a map of what sounds where.

    >>> result = separate_video("video.mp4", load_checkpoint("data_samples/checkpoints/toyband-tiny"), "out")
    >>> result["sounds"]

A clip has the length that the model was trained on; a longer video is a row of windows, each half a window after the
last. Explained in notebook 00_start_here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.checkpoints import Checkpoint, require_new_folder, write_json
from sopedu.errors import SopeduError
from sopedu.localization import Box, PixelSounds, check_box, loudest_regions
from sopedu.sound import save_waveform
from sopedu.video import VideoInfo, iterate_frames, probe, read_frames, read_sound, write_video

_DARK = 0.1  # share of the mixture's energy below which not even the loudest cell is shown at full brightness


@dataclass(frozen=True)
class Window:
    """One window of a video: its first sample, and what is seen and heard in it."""

    start: int
    pixels: PixelSounds


def windows_of(path: str | Path, checkpoint: Checkpoint, waveform: np.ndarray) -> Iterator[Window]:
    """Walk over a video window by window, each half a window after the last; the end is padded with silence.

    Frames keep their proportions: the shorter side becomes the size the model was trained with.
    """
    config = checkpoint.config
    sound = config.spectrogram
    info = probe(path)
    scale = config.frames.size / min(info.height, info.width)
    size = round(info.height * scale), round(info.width * scale)
    step = sound.counted_samples // 2
    for start in range(0, max(1, len(waveform) - step), step):
        piece = waveform[start : start + sound.samples]
        piece = np.pad(piece, (0, sound.samples - len(piece)))
        centre = (start + sound.counted_samples / 2) / sound.sample_rate
        times = [min(max(0.0, time), info.duration) for time in config.frames.times(centre)]
        frames = torch.from_numpy(read_frames(path, times, size)).permute(0, 3, 1, 2)
        yield Window(start, PixelSounds(checkpoint.model, torch.from_numpy(piece), frames))


def crossfade(pieces: Sequence[np.ndarray], starts: Sequence[int], length: int) -> np.ndarray:
    """Add overlapping pieces ``(n,)`` at their starts, faded with a Hann window whose sum is divided out again.

    Where pieces overlap, the one whose middle is nearer counts more, so no seam is heard; unchanged pieces of one
    signal add up to that signal.
    """
    total, weights = np.zeros(length), np.zeros(length)
    for piece, start in zip(pieces, starts, strict=True):
        end = min(length, start + len(piece))
        # Half a sample in from both ends, so that no weight is zero where only one piece reaches.
        fade = np.sin(np.pi * (np.arange(len(piece)) + 0.5) / len(piece)) ** 2
        total[start:end] += (fade * piece)[: end - start]
        weights[start:end] += fade[: end - start]
    return (total / np.where(weights > 0, weights, 1)).astype(np.float32)


def separate_video(
    path: str | Path,
    checkpoint: Checkpoint,
    out: str | Path,
    boxes: Sequence[Box] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Write the sound of regions of a video, and a video of where sound comes from.

    Args:
        path: a video with picture and sound.
        checkpoint: the model.
        out: a folder that does not exist yet or is empty; gets ``sound_map.mp4`` (map over the frames, original
            sound), ``region1.wav`` and ``region1.mp4`` (region marked, its sound alone) and so on, and ``result.json``.
        boxes: regions to listen to, fractions of width and height. Without any, the two loudest places of the map.
        progress: show bars with the time left.

    Returns:
        what ``result.json`` holds.

    Raises:
        SopeduError: if the video cannot be used, a box is not inside the picture, or ``out`` already holds files.
    """
    path, out = Path(path), require_new_folder(out)
    for box in boxes:
        check_box(box)
    info, sound = probe(path), checkpoint.config.spectrogram
    if not info.has_picture:
        raise SopeduError(f"{path}: has no picture stream, so there is nothing to look at")
    waveform = read_sound(path, sound.sample_rate)
    if not np.any(np.abs(waveform) > 1e-5):
        raise SopeduError(f"{path}: its sound is digital silence, so there is nothing to separate")
    out.mkdir(parents=True, exist_ok=True)

    count = len(range(0, max(1, len(waveform) - sound.counted_samples // 2), sound.counted_samples // 2))
    walk = tqdm(
        windows_of(path, checkpoint, waveform), desc="listening", total=count, disable=not progress, unit="window"
    )
    windows = list(walk)
    maps = np.stack([window.pixels.sound_map().mean(0) for window in windows])
    loudness = np.array([float(window.pixels.magnitude.square().sum()) for window in windows])
    overall = np.average(maps, axis=0, weights=loudness + 1e-12)
    regions = [tuple(box) for box in boxes] or loudest_regions(overall)
    starts = [window.start for window in windows]
    sounds = []
    for number, box in enumerate(regions, 1):
        pieces = [window.pixels.separate(box).numpy() for window in windows]
        estimate = crossfade(pieces, starts, len(waveform))
        name = f"region{number}"
        save_waveform(out / f"{name}.wav", estimate, sound.sample_rate)
        marked = (draw_box(frame, box) for _, frame in iterate_frames(path))
        frames = tqdm(marked, desc=f"writing {name}.mp4", disable=not progress, unit="frame", total=info.frame_count)
        write_video(out / f"{name}.mp4", frames, info.frame_rate, estimate, sound.sample_rate)
        share = float(np.square(estimate).sum() / max(np.square(waveform).sum(), 1e-12))
        sounds.append(
            {
                "box": [round(float(value), 4) for value in box],
                "chosen": "asked for" if boxes else "loudest",
                "energy_share": round(share, 4),
                "wav": f"{name}.wav",
                "video": f"{name}.mp4",
            }
        )
    centres = [(start + sound.counted_samples / 2) / sound.sample_rate for start in starts]
    overlaid = overlay_maps(iterate_frames(path), maps, centres)
    frames = tqdm(overlaid, desc="writing sound_map.mp4", disable=not progress, unit="frame", total=info.frame_count)
    write_video(out / "sound_map.mp4", frames, info.frame_rate, waveform, sound.sample_rate)
    result = {
        "video": path.name,
        "seconds": round(len(waveform) / sound.sample_rate, 3),
        "sample_rate": sound.sample_rate,
        "model": checkpoint.describe(),
        "hint": domain_hint(checkpoint, info),
        "windows": len(windows),
        "sound_map": "sound_map.mp4",
        "map_kind": "energy",
        "map_peak": round(float(maps.max()), 4),
        "sounds": sounds,
    }
    write_json(out / "result.json", result)
    return result


def domain_hint(checkpoint: Checkpoint, info: VideoInfo) -> str:
    """One line on how far a video may be from what the model knows."""
    if checkpoint.trained_on.get("data") == "toyband":
        return (
            "this model has seen drawings and synthesized instruments only: expect the mechanics, not the quality, "
            "of separation on a filmed video; train on MUSIC or VGGSound for that"
        )
    return f"this model knows {', '.join(checkpoint.class_names) or 'its training data'}; other sounds may go anywhere"


def overlay_maps(
    frames: Iterator[tuple[float, np.ndarray]], maps: np.ndarray, centres: Sequence[float]
) -> Iterator[np.ndarray]:
    """Lay sound maps ``(W, h, w)``, known at the times ``centres``, over frames; between two times they are blended.

    The loudest cell of all gets the brightest colour, but a map that hardly lets anything through stays dark.
    """
    scale = max(float(maps.max()), _DARK)
    for time, frame in frames:
        position = float(np.interp(time, centres, np.arange(len(centres))))
        low = min(int(position), len(maps) - 1)
        high = min(low + 1, len(maps) - 1)
        blended = maps[low] + (position - low) * (maps[high] - maps[low])
        yield overlay_map(frame, blended / scale)


def overlay_map(frame: np.ndarray, sound_map: np.ndarray) -> np.ndarray:
    """Lay a map ``(h, w)`` of 0…1 over a frame ``(H, W, 3)`` uint8: loud places glow in the colours of magma."""
    small = torch.from_numpy(np.ascontiguousarray(sound_map, np.float32))[None, None]
    large = torch.nn.functional.interpolate(small, frame.shape[:2], mode="bilinear", align_corners=False)
    level = large[0, 0].clamp(0, 1).numpy()
    opacity = 0.25 + 0.55 * level[..., None]
    glow = _magma()[(255 * level).astype(np.uint8)]
    return np.rint((1 - opacity) * frame + opacity * glow).astype(np.uint8)


@lru_cache(maxsize=1)
def _magma() -> np.ndarray:
    from matplotlib import colormaps

    return (colormaps["magma"](np.arange(256))[:, :3] * 255).astype(np.float32)


def draw_box(frame: np.ndarray, box: Box) -> np.ndarray:
    """Mark a box on a frame ``(H, W, 3)`` uint8 with a white line in a black one, seen on any ground."""
    height, width = frame.shape[:2]
    marked, thickness = frame.copy(), max(2, min(height, width) // 160)
    x0, x1 = (int(round(value * (width - 1))) for value in (box[0], box[2]))
    y0, y1 = (int(round(value * (height - 1))) for value in (box[1], box[3]))
    for inset, colour in ((0, 0), (thickness, 255)):
        left, right, top, bottom = x0 + inset, x1 - inset + 1, y0 + inset, y1 - inset + 1
        for rows, columns in (
            (slice(top, top + thickness), slice(left, right)),
            (slice(bottom - thickness, bottom), slice(left, right)),
            (slice(top, bottom), slice(left, left + thickness)),
            (slice(top, bottom), slice(right - thickness, right)),
        ):
            marked[rows, columns] = colour
    return marked
