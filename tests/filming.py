"""Small films with a known truth, for tests of several rooms: a click is heard at every flash."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE, FPS = 44100, 25
FLASH = 12  # the first of the eight pictures of every second that are white


def write_clapper(
    path: Path,
    seconds: float = 2.0,
    tone: float = 440.0,
    late: tuple[float, float] = (0.0, 0.0),
    times: Callable[[float], float] = lambda time: time,
    sound: bool = True,
    pictures: bool = True,
    size: tuple[int, int] = (48, 64),
    gains: tuple[float, ...] = (1.0,),
) -> Path:
    """Write a film with white pictures and a click from 0.48 s of every second on, over a soft tone.

    Args:
        path: of the film; its ending decides the format.
        seconds: length of both streams before they are shifted.
        tone: in hertz; tells films apart.
        late: seconds by which the picture and the sound begin late; both streams lose what comes before.
        times: changes the time of each picture and each sample (a gap, a varying rate).
        sound: whether there is a stream of sound.
        pictures: whether there is a stream of pictures.
        size: height and width.
        gains: of the channels of the sound, one or two.
    """
    layout = ("mono", "stereo")[len(gains) - 1]
    with av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as container:
        streams = {}
        if pictures:
            video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "10", "bf": "2"})
            video.width, video.height, video.pix_fmt = size[1], size[0], "yuv420p"
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
            streams["video"] = video
        if sound:
            streams["audio"] = container.add_stream("aac", rate=RATE, layout=layout)
        packets = []
        for number in range(round(seconds * FPS)) if pictures else ():
            time = number / FPS
            if time >= late[0] - 1e-9:
                grey = 250 if FLASH <= number % FPS < FLASH + 8 else 20 + 3 * (number % FPS)
                frame = av.VideoFrame.from_ndarray(np.full((*size, 3), grey, np.uint8), format="rgb24")
                frame.pts, frame.time_base = round(times(time) * 1000), Fraction(1, 1000)
                packets += streams["video"].encode(frame)
        if pictures:
            packets += streams["video"].encode(None)
        clock = np.arange(round(seconds * RATE)) / RATE
        wave = (0.02 * np.sin(2 * np.pi * tone * clock)).astype(np.float32)
        for second in range(int(seconds) + 1):
            wave[round((second + FLASH / FPS) * RATE) :][:300] = 0.8
        for begin in range(round(late[1] * RATE) // 1024 * 1024, len(wave) - 1023, 1024) if sound else ():
            channels = np.outer(gains, wave[begin : begin + 1024]).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(times(begin / RATE) * RATE), Fraction(1, RATE)
            packets += streams["audio"].encode(frame)
        if sound:
            packets += streams["audio"].encode(None)
        for packet in sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)):
            container.mux(packet)
    return path


def flashes_and_clicks(frames: Path, sound: Path, frame_rate: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of the first white frame of each flash and of the clicks in a prepared clip, in seconds."""
    from PIL import Image

    from sopedu.audio.soundfiles import load_waveform

    greys = np.array([np.asarray(Image.open(path)).mean() for path in sorted(frames.iterdir())])
    flashes = np.flatnonzero((greys[1:] > 200) & (greys[:-1] < 200)) + 1
    loud = np.flatnonzero(np.abs(load_waveform(sound)) > 0.3)
    return flashes / frame_rate, loud[np.diff(loud, prepend=-9999) > 2000] / 11025


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
