"""Pictures that are not shown are left out, and every other one is the same, bit for bit."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sopedu.video.decoding import decoded_frames, shown_frames
from sopedu.video.reading import shown_at
from sopedu.video.sparing import Doubtful
from sopedu.video.streams import seconds_of

FPS = 25


def write_film(path: Path, seconds: float = 3.0, stamp=lambda number: number, codec="libx264", **options) -> Path:
    """Write moving noise: every picture differs, and leans on others."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 255, (64, 160, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options={"g": "12", "bf": "3", "threads": "1", **options})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        packets = []
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[:, number % 64 : number % 64 + 96]), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            packets += stream.encode(frame)
        for place, packet in enumerate(packets + stream.encode(None)):
            packet.pts = round(stamp(place if packet.pts is None else packet.pts) / FPS / packet.time_base)
            container.mux(packet)
    return path


def shown(film: Path, times, quick: bool) -> list[bytes]:
    """What is shown at each time, at the film's own size."""
    decode = shown_frames if quick else decoded_frames
    how = {"times": times} if quick else {"kind": "video"}
    return list(
        shown_at(
            times,
            lambda start: decode(film, start=start, skipped=[], **how),
            lambda frame: frame.to_ndarray().tobytes(),
        )
    )


def decoded(film: Path, start: float = 0.0, times=None) -> list[float]:
    """When the pictures that are decoded begin: all of them, or those that are not left out at these times."""
    with closing(
        shown_frames(film, times, start) if times is not None else decoded_frames(film, "video", start)
    ) as got:
        return [time for time, _ in got]


@pytest.mark.parametrize("start", [0.0, 1.3])
@pytest.mark.parametrize("rate", [8.0, 3.0, 60.0])
def test_what_is_shown_is_the_same_and_less_is_decoded(tmp_path, rate, start):
    film = write_film(tmp_path / "film.mp4")
    times = np.arange(start, 3.4, 1 / rate)  # beyond its end too
    assert shown(film, times, True) == shown(film, times, False)
    whole, some = decoded(film, start), decoded(film, start, times)
    assert set(some) <= set(whole) and (len(some) < 0.8 * len(whole) or rate > FPS)


def test_a_picture_that_is_shown_for_long_and_single_times_are_found(tmp_path):
    film = write_film(tmp_path / "film.mp4", stamp=lambda number: number + 40 * (number >= 30))
    for time in (0.0, 0.04, 1.16, 2.0, 2.79, 2.8, 4.5, 9.0):
        assert shown(film, [time], True) == shown(film, [time], False)


@pytest.mark.parametrize("codec, ending", [("mpeg2video", ".mkv"), ("libvpx", ".webm"), ("mpeg4", ".avi")])
def test_other_formats_are_the_same_too(tmp_path, codec, ending):
    options = {} if codec != "libvpx" else {"bf": "0", "auto-alt-ref": "1", "lag-in-frames": "10"}
    film = write_film(tmp_path / f"film{ending}", codec=codec, **options)
    times = np.arange(0, 3, 1 / 8)
    assert shown(film, times, True) == shown(film, times, False)


def test_where_timestamps_are_not_those_of_display_all_is_decoded(tmp_path):
    """A muxer that numbered the pictures as they are stored: times go up, so nothing shows that they are wrong."""
    order = iter(range(1000))
    film = write_film(tmp_path / "film.mkv", stamp=lambda _: next(order))
    times = np.arange(0, 3, 1 / 8)
    assert decoded(film, 0.0, times) == decoded(film) and shown(film, times, True) == shown(film, times, False)


def test_two_packets_of_one_time_are_doubtful(tmp_path):
    film = write_film(tmp_path / "film.mkv", stamp=lambda number: number - (number == 40))
    with pytest.raises(Doubtful):
        list(decoded_frames(film, "video", 0.0, threads=False, times=[0.0, 2.9]))
    times = np.arange(0, 3, 1 / 8)
    assert shown(film, times, True) == shown(film, times, False)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_film_gives_the_same_pictures_every_time(tmp_path, seed):
    film = write_film(tmp_path / "film.mp4")
    data, generator = bytearray(film.read_bytes()), np.random.default_rng(seed)
    for place in generator.integers(len(data) // 4, len(data) * 3 // 4, 12):
        data[place] = generator.integers(256)
    film.write_bytes(data)
    times = np.arange(0, 3, 1 / 8)
    assert shown(film, times, True) == shown(film, times, True)


def test_seconds_are_rounded_as_a_fraction_is():
    generator = np.random.default_rng(1)
    for _ in range(200):
        ticks, base = int(generator.integers(-(2**40), 2**40)), Fraction(int(generator.integers(1, 1001)), 90000)
        assert seconds_of(ticks, base) == float(ticks * base)
