"""Walking over a video in windows: all of it is heard, nothing is lost at seams, little is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.localization.long_clips import LongClip, crossfade, window_centres, window_starts
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.separation.parts import DiskWaveform, VideoPart
from sopedu.separation.regions import regions_asked_for
from sopedu.separation.windows import VideoWalk
from sopedu.video.probing import probe
from sopedu.video.reading import read_frames, read_sound
from sopedu.video.writing import VideoWriter, write_video

RATE = 11025
VALUES = "model.frame_weights=none model.audio_channels=4,4,4 model.frame_width=4 model.components=4"


def checkpoint_of(*values: str) -> Checkpoint:
    torch.manual_seed(0)
    return Checkpoint(SoundOfPixels(with_values(preset("tiny"), [*VALUES.split(), *values])).eval(), ())


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Four seconds of noise, and pictures at 8 a second whose grey is their number."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    grey = np.broadcast_to((7 * np.arange(32, dtype=np.uint8))[:, None, None, None], (32, 48, 80, 3))
    write_video(path, grey, 8, 0.1 * np.random.default_rng(0).normal(size=4 * RATE), RATE, crf=5)
    return path


def spool_of(folder: Path, waveform: np.ndarray) -> DiskWaveform:
    spool = DiskWaveform(folder / "spool")
    for block in np.array_split(waveform, 7):
        spool.append(block)
    return spool


def test_a_spool_is_the_waveform_that_was_put_in(tmp_path):
    waveform = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    spool = spool_of(tmp_path, waveform)
    assert (spool.length, spool.peak) == (1000, np.abs(waveform).max())
    assert spool.energy == pytest.approx(float(np.square(waveform).sum()))
    np.testing.assert_array_equal(spool.read(990, 50), waveform[990:])
    assert spool.read(1000, 5).size == spool.read(2000, 5).size == 0
    np.testing.assert_array_equal(np.concatenate(list(spool.blocks(0.5, 300))), waveform / 2)


def test_windows_cover_the_whole_film(film, tmp_path):
    checkpoint, waveform = checkpoint_of(), read_sound(film, RATE)
    sound = checkpoint.config.spectrogram
    windows = list(VideoWalk(VideoPart(probe(film)), checkpoint, spool_of(tmp_path, waveform)).windows())
    assert [window.start for window in windows] == list(window_starts(len(waveform), sound))
    assert windows[-1].start + sound.counted_samples >= len(waveform)
    assert windows[0].pixels.grid == (8, 14)  # 64 × 107 pixels, eight a cell, rounded up
    pieces = ((window.start, window.pixels.mixture().numpy()) for window in windows)
    np.testing.assert_allclose(np.concatenate(list(crossfade(pieces, len(waveform)))), waveform, atol=1e-4)


@pytest.mark.parametrize("start", [0.0, 1.3])
def test_every_window_sees_the_pictures_of_its_time(film, tmp_path, monkeypatch, start):
    # Three frames 0.75 s apart: neighbouring windows share pictures, and at both ends the border stands for beyond.
    checkpoint = checkpoint_of("frames.count=3", "frames.stride=6")
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        "sopedu.localization.long_clips.PixelSounds", lambda model, piece, frames, level: seen.append(frames)
    )
    part = VideoPart(probe(film), start)
    mixture = spool_of(tmp_path, read_sound(film, RATE, start))
    starts = [window.start for window in VideoWalk(part, checkpoint, mixture).windows()]
    centres = window_centres(starts, checkpoint.config.spectrogram)
    assert len(seen) == len(centres) > 2
    for frames, centre in zip(seen, centres, strict=True):
        times = [start + min(max(0, centre + offset), part.seconds) for offset in (-0.75, 0, 0.75)]
        np.testing.assert_array_equal(frames.permute(0, 2, 3, 1).numpy(), read_frames(film, times, (64, 107)))


def test_a_video_and_the_same_recording_in_memory_are_heard_alike(tmp_path):
    path, (height, width) = tmp_path / "film.mp4", (64, 96)  # as the model sees it: nothing is resized
    generator = np.random.default_rng(0)
    write_video(path, generator.integers(256, size=(24, height, width, 3), dtype=np.uint8), 8,
                0.1 * generator.normal(size=3 * RATE), RATE)  # fmt: skip
    checkpoint, waveform, times = checkpoint_of(), read_sound(path, RATE), np.arange(24) / 8
    walk = VideoWalk(VideoPart(probe(path)), checkpoint, spool_of(tmp_path, waveform))
    boxes = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.2, 1.0, 0.9)]
    from_video = [heard.read(0, heard.length) for heard in walk.listen(regions_asked_for(boxes), tmp_path, look=True)]
    clip = LongClip(checkpoint, waveform, read_frames(path, times, (height, width)), times)
    assert len(walk.maps) == len(clip.clips) > 2
    np.testing.assert_allclose(from_video, [clip.separate(box) for box in boxes], atol=1e-6)
    np.testing.assert_allclose(walk.maps, [pixels.sound_map().mean(0) for pixels in clip.clips], atol=1e-5)


def test_a_part_begins_with_the_picture_that_is_shown_then(film):
    pictures = list(VideoPart(probe(film), 1.05, 2.0).pictures())
    assert [round(time, 3) for time, _ in pictures] == [0, 0.075, 0.2, 0.325, 0.45, 0.575, 0.7, 0.825]
    assert [round(float(picture.mean()) / 7) for _, picture in pictures] == list(range(8, 16))


def test_pictures_at_a_varying_rate_keep_their_times(tmp_path):
    times = [0.5, 0.52, 1.4, 3.0, 3.01]
    with VideoWriter(tmp_path / "varying.mp4", 25, [np.full(4 * RATE, 0.1)], RATE) as writer:
        for number, time in enumerate(times):
            writer.add(time, np.full((32, 32, 3), 50 * number, np.uint8))
    found = list(VideoPart(probe(tmp_path / "varying.mp4")).pictures())
    # The first picture stands for what is before it.
    assert [round(time, 3) for time, _ in found] == [0, *times[1:]]
    assert [round(float(picture.mean()) / 50) for _, picture in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("start, end", [(-1, None), (2, 1), (2, 2), (float("nan"), None), (float("inf"), None)])
def test_a_part_that_makes_no_sense_is_refused(film, start, end):
    with pytest.raises(SopeduError, match="change --start or --end"):
        VideoPart(probe(film), start, end)


def test_a_part_after_the_end_is_refused_with_the_length(film):
    with pytest.raises(SopeduError, match=r"film\.mp4: is 4\.0\d s long, nothing is there from 9\.00 s on"):
        VideoPart(probe(film), 9.0)
