"""Run the model on a video of any length, window by window: sound maps, and the sounds of regions.

Memory does not grow with the length of the video: waveforms are kept in files, and only the pictures that the
next windows need are kept. Explained in notebook 00_start_here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from sopedu.config import FramesConfig
from sopedu.errors import SopeduError
from sopedu.localization.long_clips import Window, crossfade, walk_windows, window_centres, window_starts
from sopedu.localization.pixel_sounds import PixelSounds
from sopedu.localization.places import Box
from sopedu.model.checkpoints import Checkpoint
from sopedu.separation.parts import DiskWaveform, VideoPart
from sopedu.separation.regions import Region
from sopedu.video.resizing import frame_size


class VideoWalk:
    """Run the model on the windows of a video: compute sound maps, separate regions, or both at once.

    Args:
        part: the part of the video.
        checkpoint: the model.
        mixture: the sound of the part, at the model's sample rate.
        bar: makes progress bars, with the arguments of tqdm; by default none is shown.

    Attributes:
        starts: first samples of the windows.
        maps: mean sound map ``(h, w)`` float32 of each window that has one.
        loudness: energy of the sound in each of these windows.
    """

    def __init__(self, part: VideoPart, checkpoint: Checkpoint, mixture: DiskWaveform, bar: Any = None) -> None:
        self._part, self._checkpoint, self._mixture = part, checkpoint, mixture
        self._bar = bar or partial(tqdm, disable=True)
        self._sound = checkpoint.config.spectrogram
        self.starts = window_starts(mixture.length, self._sound)
        self.maps: list[np.ndarray] = []
        self.loudness: list[float] = []

    @property
    def centres(self) -> list[float]:
        """Times in seconds of the middles of the windows."""
        return window_centres(self.starts, self._sound)

    def windows(self) -> Iterator[Window]:
        """Yield components and feature map of every window; the last one is padded with silence.

        Frames keep their proportions as they are shown: the shorter side becomes the size that the model was trained
        with.
        """
        frames = frames_of_windows(self._part, self._checkpoint.config.frames, self.centres)
        level = self._mixture.level(self._sound)
        return walk_windows(self._checkpoint, self.starts, self._mixture.read, frames, level)

    def look(self) -> None:
        """Collect maps and loudness of all windows."""
        with self._bar(self.windows(), desc="looking", total=len(self.starts), unit="window") as windows:
            for window in windows:
                self._collect(window.pixels)

    def listen(
        self,
        regions: Sequence[Region],
        folder: Path,
        normalise: bool = False,
        pooling: str | None = None,
        look: bool = False,
    ) -> list[DiskWaveform]:
        """Write the sound of every region to a file of its own.

        Args:
            regions: those with a video together, the others each by itself.
            folder: for the files.
            normalise: divide the masks of the regions with a video by their sum.
            pooling: how the cells of such a region are joined, see :meth:`sopedu.PixelSounds.mask`.
            look: also collect maps and loudness.

        Returns:
            one waveform per region.
        """
        filmed = [region for region in regions if region.filmed]
        cells = [region.box for region in regions if not region.filmed]

        def pieces(windows: Iterable[Window]) -> Iterator[tuple[int, np.ndarray]]:
            for window, time in zip(windows, self.centres, strict=True):
                if look:
                    self._collect(window.pixels)
                boxes = [region.box_at(time) for region in filmed]
                yield window.start, _heard(window.pixels, boxes, cells, normalise, pooling)

        waveforms = [DiskWaveform(folder / f"estimate{number}") for number in range(len(regions))]
        with self._bar(self.windows(), desc="separating", total=len(self.starts), unit="window") as windows:
            for block in crossfade(pieces(windows), self._mixture.length):
                for waveform, samples in zip(waveforms, block, strict=True):
                    waveform.append(samples)
        return waveforms

    def _collect(self, pixels: PixelSounds) -> None:
        self.maps.append(pixels.sound_map().mean(0).astype(np.float32))
        if not np.isfinite(self.maps[-1]).all():
            raise SopeduError("the checkpoint returns NaN or infinity: its weights are damaged, take another one")
        self.loudness.append(float(pixels.magnitude.square().sum()))


def _heard(
    pixels: PixelSounds, boxes: Sequence[Box | None], cells: Sequence[Box], normalise: bool, pooling: str | None
) -> np.ndarray:
    """Waveforms ``(R, L)`` of regions and cells in a window; an object that is not there then is silent."""
    heard = np.zeros((len(boxes), pixels.sound.counted_samples), np.float32)
    there = [number for number, box in enumerate(boxes) if box is not None]
    if there:
        heard[there] = pixels.separate_all([boxes[number] for number in there], normalise, pooling).numpy()
    alone = [pixels.separate(box).numpy()[None] for box in cells]
    return np.concatenate([heard, *alone])


def frames_of_windows(part: VideoPart, config: FramesConfig, centres: Sequence[float]) -> Iterator[torch.Tensor]:
    """Yield the frames ``(S, 3, H, W)`` uint8 of every window, from one walk over the pictures.

    Args:
        part: of the video.
        config: which frames a window has, and their size.
        centres: times in seconds of the middles of the windows, ascending.
    """
    last = max(0.0, part.seconds)
    wanted = [[min(max(0.0, time), last) for time in config.times(centre)] for centre in centres]
    ascending = sorted({time for times in wanted for time in times})
    pictures = zip(ascending, part.frames_at(ascending, frame_size(part.info, config.size)), strict=True)
    kept: dict[float, np.ndarray] = {}
    for times in wanted:
        while times[-1] not in kept:
            time, picture = next(pictures)
            kept[time] = picture
        yield torch.from_numpy(np.stack([kept[time] for time in times])).permute(0, 3, 1, 2)
        kept = {time: picture for time, picture in kept.items() if time >= times[0]}
