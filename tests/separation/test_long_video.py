"""Ten minutes: sound and picture are still together at the end, and no more memory was taken than for ten seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sopedu.config import preset, with_values
from sopedu.model.checkpoints import Checkpoint, save_checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.video.probing import probe
from sopedu.video.reading import iterate_frames, iterate_sound
from sopedu.video.writing import VideoWriter

RATE, SECONDS = 16000, 600
CLAPS = (5.0, 290.2, 597.4)  # seconds at which a flash and a click come together
PICTURE = 1 / 25
RUN = """
import json, resource, sys
from sopedu.model.checkpoints import load_checkpoint
from sopedu.separation.video import separate_video
import torch
torch.set_num_threads(1)
end = float(sys.argv[4])
boxes = {"left": (0, 0, 0.5, 1), "right": (0.5, 0, 1, 1)}
separate_video(sys.argv[1], load_checkpoint(sys.argv[2]), sys.argv[3], boxes, end=end, progress=False)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)))
"""


def noise_with_clicks() -> Iterator[np.ndarray]:
    generator = np.random.default_rng(0)
    for second in range(SECONDS):
        block = (0.01 * generator.normal(size=RATE)).astype(np.float32)
        for clap in CLAPS:
            if second <= clap < second + 1:
                block[round((clap - second) * RATE)] = 0.9
        yield block


def times_of_pictures() -> list[float]:
    """Two pictures a second, as a slide show has; 25 a second around a clap."""
    dense = [clap + step * PICTURE for clap in CLAPS for step in range(-25, 26)]
    return sorted({round(time, 3) for time in [*np.arange(0, SECONDS, 0.5), *dense]})


@pytest.fixture(scope="module")
def separated(tmp_path_factory) -> tuple[Path, float, float]:
    """The results of ten minutes, and the peak memory in MiB for ten seconds and for ten minutes."""
    folder = tmp_path_factory.mktemp("long")
    torch.manual_seed(0)
    small = "frame_weights=none audio_channels=4,4,4 frame_width=4 components=4"
    values = ["spectrogram.samples=65535", *(f"model.{value}" for value in small.split())]
    model = SoundOfPixels(with_values(preset("tiny"), values)).eval()
    save_checkpoint(folder / "model", Checkpoint(model, ("violin",)))
    with VideoWriter(folder / "long.mp4", 25, noise_with_clicks(), RATE, effort="ultrafast") as writer:
        for time in times_of_pictures():
            flash = any(abs(time - clap) < 0.001 for clap in CLAPS)
            writer.add(time, np.full((48, 64, 3), 255 if flash else 40, np.uint8))
    peaks = []
    for name, end in (("short", 10), ("whole", SECONDS)):
        command = [sys.executable, "-c", RUN, "long.mp4", "model", name, str(end)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    return folder / "whole", *peaks


def test_sound_and_picture_are_together_within_one_picture(separated):
    for name in ("sound_map.mp4", "left.mp4", "right.mp4"):
        path = separated[0] / name
        assert probe(path).duration == pytest.approx(SECONDS, abs=0.6)
        bright = {round(time, 3): picture.mean() for time, picture in iterate_frames(path)}
        heard = np.abs(np.concatenate(list(iterate_sound(path, RATE))))
        for clap in CLAPS:
            near = range(round((clap - 1) * RATE), round((clap + 1) * RATE))
            click = near.start + int(heard[near.start : near.stop].argmax())
            flash = max((t for t in bright if abs(t - clap) < 1), key=lambda t: bright[t])
            assert abs(click / RATE - flash) < PICTURE and abs(flash - clap) < PICTURE / 2, (name, clap)


def test_every_picture_is_written_at_its_time(separated):
    found = [time for time, _ in iterate_frames(separated[0] / "left.mp4")]
    np.testing.assert_allclose(found[: len(times_of_pictures())], times_of_pictures(), atol=0.001)


def test_memory_does_not_grow_with_the_length(separated):
    _, short, long = separated
    assert long - short < 60  # ten minutes of 16 kHz sound in memory once would be 38 MiB, all pictures 11 MiB
    result = json.loads((separated[0] / "result.json").read_text())
    assert result["seconds"] == SECONDS and result["windows"] > 100
