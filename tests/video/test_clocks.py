"""Odd films with a known truth: every picture in its order at its time, the click of a clap at its flash."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch

from sopedu.audio.soundfiles import load_waveform
from sopedu.config import preset, with_values
from sopedu.errors import SopeduError
from sopedu.files import require_place, written_aside
from sopedu.folders import require_new_folder
from sopedu.model.checkpoints import Checkpoint
from sopedu.model.sound_of_pixels import SoundOfPixels
from sopedu.separation.parts import VideoPart
from sopedu.separation.video import separate_video
from sopedu.video import reading as video
from sopedu.video.clock import Clock, clock_of
from sopedu.video.probing import probe

RATE = 48000
FPS = 25
WRAP = 2**33 / 90_000  # seconds until the clock of a transport stream begins anew
AS_IT_IS = {"avoid_negative_ts": "disabled"}
TRANSPORT = {"mpegts_copyts": "1", **AS_IT_IS}


def brightness(number: int) -> int:
    """What tells a picture from its neighbours; 12 of every 25 is a flash."""
    return 250 if number % FPS == 12 else 20 + 6 * (number % FPS)


def packets_of(pictures: Any, sound: Any, count: int, rate: Fraction) -> list[Any]:
    """Encode numbered pictures and a click at every flash; return their packets in decoding order."""
    packets, waveform = [], np.zeros((1, round(count / rate * RATE)), np.float32)
    for number in range(count):
        if brightness(number) == 250:
            waveform[0, round(number / rate * RATE) :][:400] = 0.9
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), brightness(number), np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, 1 / rate
        packets += pictures.encode(frame)
    packets += pictures.encode(None)
    if sound is not None:
        frame = av.AudioFrame.from_ndarray(waveform, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        size = sound.codec_context.frame_size or 1024
        resampler = av.AudioResampler(sound.format, "mono", RATE, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            packets += sound.encode(part)
        packets += sound.encode(None)
    return sorted(packets, key=lambda packet: float(packet.dts * packet.time_base))


def write_film(
    path: Path,
    count: int = 50,
    shift: Callable[[str, float], float] = lambda kind, time: 0.0,
    codecs: tuple[str, str | None] = ("libx264", "aac"),
    rate: Fraction = Fraction(FPS),
    coding: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Write a film whose timestamps are shifted by some seconds, depending on the stream and the time."""
    with av.open(str(path), "w", container_options=options) as container:
        coding = {"g": "25", "bf": "2", "preset": "ultrafast"} | (coding or {})
        pictures = container.add_stream(codecs[0], rate=rate, options=coding)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        if codecs[0] != "libx264":
            pictures.bit_rate = 4_000_000
        sound = container.add_stream(codecs[1], rate=RATE, layout="mono") if codecs[1] else None
        for packet in packets_of(pictures, sound, count, rate):
            seconds = shift(packet.stream.type, float(packet.pts * packet.time_base))
            ticks = round(seconds / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            container.mux(packet)
    return path


def check_whole(path: Path, count: int, clap_within: float = 0.01) -> None:
    """All pictures are there, in order, a 25th of a second apart, and every click is heard at its flash."""
    shown = [(time, round(float(picture.mean()))) for time, picture in video.iterate_frames(path)]
    expected = [brightness(number % 50) for number in range(count)]
    assert len(shown) == count
    assert np.abs(np.array([grey for _, grey in shown]) - expected).max() <= 3
    np.testing.assert_allclose(np.diff([time for time, _ in shown]), 1 / FPS, atol=0.05)
    heard = np.abs(video.read_sound(path, 12000)) > 0.4
    clicks = np.flatnonzero(heard[1:] & ~heard[:-1]) / 12000
    flashes = [time for time, grey in shown if grey > 240]
    assert flashes and all(np.abs(clicks - flash).min() < clap_within for flash in flashes)
    assert len(heard) / 12000 == pytest.approx(count / FPS, abs=0.1)
    assert probe(path).duration == pytest.approx(count / FPS, abs=0.1)


ORDER = {
    "h264.avi": (("libx264", "pcm_s16le"), {"bf": "3"}),
    "open.avi": (("libx264", "pcm_s16le"), {"bf": "3", "x264-params": "open-gop=1:keyint=8:min-keyint=8"}),
    "xvid.avi": (("mpeg4", "pcm_s16le"), {"bf": "2", "qmin": "1", "qmax": "2"}),
    "h264.mkv": (("libx264", "aac"), {"bf": "3"}),
    "h264.mp4": (("libx264", "aac"), {"bf": "3"}),
    "mpeg2.ts": (("mpeg2video", "mp2"), {"bf": "2", "qmin": "1", "qmax": "2"}),
}


@pytest.mark.parametrize("name", ORDER)
def test_pictures_stored_in_another_order_than_shown_are_all_there(tmp_path, name):
    codecs, coding = ORDER[name]
    path = write_film(tmp_path / name, codecs=codecs, coding=coding)
    check_whole(path, 50, clap_within=0.035)  # Matroska and transport streams may begin a packet of sound late
    left_out: list[float] = []
    pictures = VideoPart(probe(path)).pictures(left_out=left_out)
    assert (sum(1 for _ in pictures), left_out) == (50, [])


def test_pictures_packed_two_into_a_packet_are_all_there(tmp_path):
    """DivX and XviD put the picture that is shown before another into one packet with it, and a gap after it."""
    plain, path = tmp_path / "plain.avi", tmp_path / "packed.avi"
    write_film(plain, codecs=("mpeg4", None), coding={"bf": "1", "g": "1000"}, count=49)
    marked, gap = b"\0\0\1\xb2DivX503b1393p", b"\0\0\1\xb6\x5f\xf8"  # the gap: a P picture that is not coded
    with av.open(str(plain)) as read, av.open(str(path), "w") as write:
        stream = read.streams.video[0]
        copied = write.add_stream_from_template(stream)
        stored = [bytes(packet) for packet in read.demux(stream) if packet.size]
        at = stored[0].index(b"\0\0\1\xb6")
        chunks = [stored[0][:at] + marked + stored[0][at:]]
        for later, earlier in zip(stored[1::2], stored[2::2], strict=True):
            chunks += [later + earlier, gap]
        for number, chunk in enumerate(chunks):
            packet = av.Packet(chunk)
            packet.stream, packet.time_base = copied, Fraction(1, FPS)
            packet.pts = packet.dts = number
            packet.is_keyframe = number == 0
            write.mux(packet)
    shown = [(time, round(float(picture.mean()))) for time, picture in video.iterate_frames(path)]
    assert [grey for _, grey in shown] == pytest.approx([brightness(number) for number in range(49)], abs=12)
    assert all(later[0] > earlier[0] for earlier, later in zip(shown, shown[1:], strict=False))


def jump(kind: str, time: float) -> float:
    return 0.0 if time < 1 else 50.0


CLOCKS = {
    "jumps.ts": (jump, TRANSPORT),
    "jumps.mkv": (jump, {}),
    "jumps.flv": (jump, {}),
    "wraps.ts": (lambda kind, time: WRAP - 1, TRANSPORT),
    "copied.ts": (lambda kind, time: 5000.0, TRANSPORT),
    "copied.mkv": (lambda kind, time: 5000.0, AS_IT_IS),
    "negative.mkv": (lambda kind, time: -1.0, AS_IT_IS),
    "late.mp4": (lambda kind, time: 7.0, AS_IT_IS),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_timestamps_that_jump_wrap_or_begin_elsewhere_keep_sound_and_pictures_together(tmp_path, name):
    shift, options = CLOCKS[name]
    path = write_film(tmp_path / name, shift=shift, **options)
    check_whole(path, 50)
    jumps = [time for time, _ in clock_of(path).jumps]
    assert jumps == (pytest.approx([1.0], abs=0.1) if name.startswith("jumps") else [])
    times = [time for time, _ in video.iterate_frames(path)]
    (one,) = video.read_frames(path, [times[40] + 0.01])
    assert one.mean() == pytest.approx(brightness(40), abs=3)
    part = np.abs(video.read_sound(path, 12000, 1.2, 0.6))
    assert (1.2 + part.argmax() / 12000) - times[37] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("shifts", [(0.0, 0.0), (0.0, 90.0), (90.0, 0.0), (0.0, 400.0)])
def test_two_recordings_joined_to_one_file_follow_each_other(tmp_path, shifts):
    joined = b""
    for seconds in shifts:
        path = write_film(tmp_path / "part.ts", shift=lambda kind, time, by=seconds: by, **TRANSPORT)
        joined += path.read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    check_whole(tmp_path / "joined.ts", 100)


def test_what_an_edit_list_leaves_out_is_neither_shown_nor_heard(tmp_path):
    path = write_film(tmp_path / "edited.mp4", 75, lambda kind, time: -1.0, **AS_IT_IS)
    check_whole(path, 50)


def test_only_pictures_that_are_late_stay_late(tmp_path):
    codecs = ("libx264", "pcm_s16le")
    shift = {"video": 0.48, "audio": 0.0}  # whole pictures
    path = write_film(tmp_path / "late.mkv", shift=lambda kind, time: shift[kind], codecs=codecs)
    (first, picture) = next(video.iterate_frames(path))
    assert first == pytest.approx(0.48, abs=0.002) and picture.mean() == pytest.approx(brightness(0), abs=3)
    assert clock_of(path).jumps == ()


def test_a_gap_that_only_one_stream_has_is_no_jump_of_the_clock(tmp_path):
    film = write_film(tmp_path / "long.mkv", 550)
    path = copied_to(tmp_path / "gap.mkv", film, lambda kind, time: kind == "audio" or not 2 <= time < 20)
    times = [time for time, _ in video.iterate_frames(path)]
    assert clock_of(path).jumps == () and max(np.diff(times)) == pytest.approx(18, abs=0.5)


@pytest.mark.parametrize("wild", [0, 300_000, 20_000_000])
def test_one_damaged_timestamp_moves_nothing_else(tmp_path, wild):
    path = write_film(tmp_path / "whole.flv", coding={"bf": "0"})
    whole = [(time, picture.mean()) for time, picture in video.iterate_frames(path)]
    content, at, seen = bytearray(path.read_bytes()), 13, 0
    while seen < 31:  # a tag of an flv: kind, size in 3 bytes, time in 3 bytes and a highest one
        seen += content[at] == 9
        last, at = at, at + 15 + int.from_bytes(content[at + 1 : at + 4], "big")
    content[last + 4 : last + 8] = (wild & 0xFFFFFF).to_bytes(3, "big") + bytes([wild >> 24])
    path.write_bytes(content)
    found = [(time, picture.mean()) for time, picture in video.iterate_frames(path)]
    number = seen - 2  # the first tag holds no picture
    np.testing.assert_allclose(np.delete(found, number, 0), np.delete(whole, number, 0))
    assert clock_of(path).jumps == () and clock_of(path).end == pytest.approx(2.0, abs=0.1)


def test_every_picture_is_found_again_by_its_time_where_key_pictures_are_open(tmp_path, monkeypatch):
    """Pictures that are shown before a key picture may lean on those before it: a seek must go further back."""
    monkeypatch.setattr(video, "_SEEK_BEYOND_SECONDS", 0.01)
    for name in ("a.mp4", "a.mkv", "a.ts"):
        path = write_film(
            tmp_path / name, 75, coding={"bf": "3", "x264-params": "open-gop=1:keyint=6:min-keyint=6:b-adapt=0"}
        )
        whole = [(time, picture.mean()) for time, picture in video.iterate_frames(path)]
        for time, grey in whole[::4]:
            (found,) = video.read_frames(path, [time + 0.01])
            assert found.mean() == pytest.approx(grey, abs=1), (name, time)


@pytest.mark.parametrize("turns", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(True, False), (False, True), (True, True), (False, False)])
def test_a_picture_is_mirrored_and_turned_as_its_matrix_says(tmp_path, turns, flips):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(turns, hflip=flips[0], vflip=flips[1])  # flips come after the turn
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    expected = np.rot90(picture, turns // 90)
    expected = expected[:, ::-1] if flips[0] else expected
    expected = expected[::-1] if flips[1] else expected
    info = probe(tmp_path / "a.mp4")
    (shown,) = video.read_frames(tmp_path / "a.mp4", [0.0])
    assert shown.shape == expected.shape == (info.height, info.width, 3)
    corners = np.ix_([6, -6], [6, -6])
    assert np.abs(shown[corners].astype(int) - expected[corners]).max() < 40
    assert info.mirrored == (flips[0] != flips[1])


def test_a_header_that_is_too_short_does_not_cut_the_sound(tmp_path):
    path = write_film(tmp_path / "a.mp4")
    content = path.read_bytes()
    at = [place for place in range(len(content)) if content.startswith(b"mdhd", place)][1]  # that of the sound
    assert int.from_bytes(content[at + 16 : at + 20], "big") == RATE
    path.write_bytes(content[: at + 20] + (RATE // 2).to_bytes(4, "big") + content[at + 24 :])
    check_whole(path, 50)


@pytest.mark.parametrize("name", ["pipe", "device"])
def test_what_may_never_end_is_refused(tmp_path, name):
    path = Path(os.devnull)
    if name == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes on this system")
        os.mkfifo(path := tmp_path / "pipe.mp4")
    for read in (probe, video.read_sound, lambda path: next(video.iterate_frames(path))):
        with pytest.raises(SopeduError, match=r"is a pipe or a device and may never end; save it as a file"):
            read(path)


@pytest.mark.parametrize("address", ["https://example.org/a.mp4", "HTTP://example.org/a", "rtsp://camera/1"])
def test_an_address_is_shown_as_it_was_given(address):
    for given in (address, Path(address)):  # a Path has one slash less
        with pytest.raises(SopeduError, match=f"^{address}: is a network address; download the file first"):
            probe(given)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    values = "model.frame_weights=none model.audio_channels=2,2 model.frame_width=2 model.components=2 frames.size=16"
    return Checkpoint(SoundOfPixels(with_values(preset("tiny"), values.split())).eval(), ("violin",))


def notes_on(path: Path, checkpoint: Checkpoint) -> str:
    result = separate_video(path, checkpoint, path.with_suffix(""), [(0.0, 0.0, 0.5, 1.0)], progress=False)
    return "\n".join(result["notes"])


def copied_to(path: Path, film: Path, keep: Callable[[str, float], bool], words: Path | None = None) -> Path:
    """Copy those packets of a film that are to be kept, and a file of subtitles, into another film."""
    with ExitStack() as stack:
        write = stack.enter_context(av.open(str(path), "w"))
        packets = []
        for name in filter(None, (film, words)):
            read = stack.enter_context(av.open(str(name)))
            copied = {stream.index: write.add_stream_from_template(stream) for stream in read.streams}
            packets += [(copied[packet.stream.index], packet) for packet in read.demux() if packet.pts is not None]
        for stream, packet in packets:
            if keep(packet.stream.type, float(packet.pts * packet.time_base)):
                packet.stream = stream
                write.mux(packet)
    return path


def one_picture_a_second(folder: Path) -> Path:
    film = write_film(folder / "slides.mp4", 13, rate=Fraction(1))
    return copied_to(folder / "a.mp4", film, lambda kind, time: kind == "video" or time < 12.1)


def times_of_another_film(folder: Path) -> Path:
    return write_film(folder / "copied.mkv", shift=lambda kind, time: 5000.0, **AS_IT_IS)


def long_subtitles(folder: Path) -> Path:
    (folder / "words.srt").write_text("1\n00:00:01,000 --> 00:00:09,000\nThe end\n")
    return copied_to(folder / "a.mkv", write_film(folder / "plain.mkv"), lambda *_: True, folder / "words.srt")


@pytest.mark.parametrize("film", [one_picture_a_second, times_of_another_film, long_subtitles])
def test_a_whole_film_is_not_said_to_lack_a_part(tmp_path, checkpoint, film):
    path = film(tmp_path)
    assert "missing" not in notes_on(path, checkpoint)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_film_that_lacks_a_part_is_said_to(tmp_path, checkpoint, suffix):
    path = write_film(tmp_path / f"half.{suffix}", **({"movflags": "+faststart"} if suffix == "mp4" else {}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    assert "were announced: a part is missing, copy it again" in notes_on(path, checkpoint)
    assert probe(path).duration < 1.8


def test_a_jump_and_an_early_end_are_told(tmp_path, checkpoint):
    path = write_film(tmp_path / "jump.mkv", shift=jump)
    assert "timestamps jump at 1.0" in notes_on(path, checkpoint)
    early = copied_to(tmp_path / "early.mkv", path, lambda kind, time: kind == "video" or time < 1)
    assert "its sound ends after 1.0" in notes_on(early, checkpoint)


def test_pictures_without_a_time_of_their_own_are_counted(tmp_path, checkpoint):
    path = write_film(tmp_path / "fast.mkv", 400, rate=Fraction(2000), coding={"bf": "0"})  # Matroska: milliseconds
    assert re.search("(199|200|201) pictures come no later than the one before", notes_on(path, checkpoint))


def write_channels(path: Path, gains: list[float], layout: str, codec: str, amplitude: float = 0.3) -> np.ndarray:
    """Write 1 s of a tone in every channel at its own gain, beside ten pictures; return the tone."""
    tone = (amplitude * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=RATE, layout=layout)
        for number in range(10):
            grey = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(np.outer(gains, tone).astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        size = sound.codec_context.frame_size or 1024
        resampler = av.AudioResampler(sound.format, layout, RATE, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return tone


CHANNELS = [
    ([1, -1], "stereo", "pcm_s16le", 1.0, True),
    ([1, -1], "stereo", "aac", 1.0, True),
    ([1, -0.9], "stereo", "aac", 1.0, True),
    ([1, -1, 0, 0, 0, 0], "5.1", "pcm_s16le", 1.0, True),
    ([0, 0, 1, 0, 0, 0], "5.1", "aac", 1.0, False),
    ([0, 1], "stereo", "pcm_s16le", 1.0, False),
    ([1, 0.5], "stereo", "pcm_s16le", 0.75, False),
]


@pytest.mark.parametrize(("gains", "layout", "codec", "gain", "cancelled"), CHANNELS)
def test_channels_that_cancel_out_or_are_silent_cost_nothing(tmp_path, gains, layout, codec, gain, cancelled):
    tone = write_channels(tmp_path / "a.mkv", gains, layout, codec)
    heard, middle = video.read_sound(tmp_path / "a.mkv", RATE), slice(RATE // 4, RATE // 2)
    assert np.sqrt(np.mean(heard[middle] ** 2)) == pytest.approx(gain * np.sqrt(np.mean(tone[middle] ** 2)), rel=0.02)
    assert video.sound_channels(tmp_path / "a.mkv").cancelled == cancelled


def test_what_is_said_of_channels_that_cancel_out(tmp_path, checkpoint):
    write_channels(tmp_path / "a.mkv", [1, -1], "stereo", "pcm_s16le")
    assert "channels of sound cancel each other out" in notes_on(tmp_path / "a.mkv", checkpoint)


def test_a_sound_file_whose_channels_cancel_out_is_read_too(tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(11025) / 11025)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -tone], axis=1), 11025, subtype="FLOAT")
    np.testing.assert_allclose(load_waveform(tmp_path / "a.wav"), tone, atol=1e-6)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, 0 * tone], axis=1), 11025, subtype="FLOAT")
    np.testing.assert_allclose(load_waveform(tmp_path / "a.wav"), tone / 2, atol=1e-6)


def test_sound_beyond_full_scale_is_scaled_in_the_map_too(tmp_path, checkpoint):
    write_channels(tmp_path / "loud.mkv", [1], "mono", "pcm_f32le", amplitude=3.0)
    notes_on(tmp_path / "loud.mkv", checkpoint)
    heard = video.read_sound(tmp_path / "loud" / "sound_map.mp4", RATE)[RATE // 4 : RATE // 2]
    assert np.abs(heard).max() == pytest.approx(1.0, abs=0.05)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(0.5), rel=0.1)  # a sine, not a square


@pytest.mark.parametrize("name", ["琴" * 85, "é" * 125])
def test_a_name_of_too_many_bytes_is_refused_at_the_start(tmp_path, name):
    for check in (require_new_folder, require_place):
        if check is require_place:
            name += "x" * 10
        with pytest.raises(SopeduError, match=r"its name takes 2[5-6]\d bytes, 2\d\d are possible.*shorter one"):
            check(tmp_path / name)
    with written_aside(tmp_path / ("琴" * 80)) as unfinished:  # 240 bytes: possible
        unfinished.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["琴" * 80]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mkv")

    def looked_through(film: Path, *_: Any) -> Clock:
        film.write_bytes(film.read_bytes() + b"more")
        return Clock()

    monkeypatch.setattr("sopedu.video.clock._looked_through", looked_through)
    with pytest.raises(SopeduError, match=r"a\.mkv: is still being written; wait until it is complete"):
        probe(path)
