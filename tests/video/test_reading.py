"""Video files: sound and pictures on one clock, exact pictures, safe writing, and errors that help."""

from __future__ import annotations

import multiprocessing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from filming import write_clapper

from sopedu.errors import SopeduError
from sopedu.video import reading as video
from sopedu.video import sound
from sopedu.video.probing import probe
from sopedu.video.writing import VideoWriter, write_video

RATE = 11025


def numbered_frames(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """(count, height, width, 3) uint8; each picture says its number in 8 black or white stripes."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    stripes = np.repeat(bits, width // 8, axis=1)[:, None, :, None] * 255
    return np.broadcast_to(stripes, (count, height, width, 3)).astype(np.uint8)


def number_of(frame: np.ndarray) -> int:
    stripes = frame.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1) > 128
    return int((stripes << np.arange(8)).sum())


def write_offset(path: Path, sound_starts: float, picture_starts: float = 0.0) -> None:
    """Write 2 s of numbered pictures at 25 fps and 1 s of sound with a click in its middle."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=44100, layout="stereo")
        for number, picture in enumerate(numbered_frames(50)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round((picture_starts + number / 25) * 1000), Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        samples = np.zeros((1, 2 * 44100), dtype=np.int16)
        samples[0, 44100 : 44100 + 2] = 30000
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44100, round(sound_starts * 44100), Fraction(1, 44100)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """12 s of numbered pictures at 10 fps with noise."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    noise = np.random.default_rng(0).normal(0, 0.1, 12 * RATE)
    write_video(path, numbered_frames(120), 10, noise, RATE)
    return path


def test_probe_says_what_was_written(clip):
    info = probe(clip)
    assert (info.path, info.width, info.height, info.rotation) == (clip, 96, 64, 0)
    assert (info.frame_rate, info.frame_count) == (10.0, 120)
    assert info.duration == pytest.approx(12.0, abs=0.05)
    assert (info.sample_rate, info.channels) == (44100, 1)
    assert info.has_sound
    assert info.has_picture


@pytest.mark.parametrize("frame_rate", [8, 25, 30000 / 1001])
def test_click_and_flash_stay_together(tmp_path, frame_rate):
    count = int(4 * frame_rate)
    frames = np.zeros((count, 64, 64, 3), dtype=np.uint8)
    frames[count // 2] = 255
    moment = count // 2 / frame_rate
    waveform = np.zeros(4 * RATE, dtype=np.float32)
    waveform[round(moment * RATE)] = 0.9
    write_video(tmp_path / "clap.mp4", frames, frame_rate, waveform, RATE)
    heard = video.read_sound(tmp_path / "clap.mp4", RATE)
    click = np.abs(heard).argmax() / RATE
    seen = [(time, frame.mean()) for time, frame in video.iterate_frames(tmp_path / "clap.mp4")]
    flash = max(seen, key=lambda shown: shown[1])[0]
    assert len(heard) == len(waveform)
    assert len(seen) == count
    assert flash == pytest.approx(moment, abs=0.002)
    assert click == pytest.approx(moment, abs=0.002)
    part = video.read_sound(tmp_path / "clap.mp4", RATE, start=moment - 0.5, seconds=1.0)
    assert len(part) == RATE
    assert np.abs(part).argmax() / RATE == pytest.approx(0.5, abs=0.002)


def test_sound_survives_the_round_trip(tmp_path):
    time = np.arange(3 * RATE) / RATE
    waveform = 0.4 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 1800 * time)
    write_video(tmp_path / "tones.mp4", numbered_frames(30), 10, waveform, RATE)
    heard = video.read_sound(tmp_path / "tones.mp4", RATE)
    middle = slice(RATE // 2, -RATE // 2)
    error = np.mean((heard[middle] - waveform[middle]) ** 2)
    assert 10 * np.log10(np.mean(waveform[middle] ** 2) / error) > 25


def test_a_picture_is_the_one_shown_at_its_time(clip):
    times = [3.0, 0.0, 0.05, 0.0999, 0.1, 5.55, 5.55, 11.9, 99.0, -1.0, 2.999, 2.98]
    frames = video.read_frames(clip, times)
    assert frames.shape == (12, 64, 96, 3)
    assert frames.dtype == np.uint8
    assert [number_of(frame) for frame in frames] == [30, 0, 0, 1, 1, 55, 55, 119, 119, 0, 30, 29]


def test_seeking_gives_the_same_pictures_as_one_pass(clip, monkeypatch):
    times = np.linspace(0, 12, 37)
    one_pass = video.read_frames(clip, times)
    monkeypatch.setattr(video, "_SEEK_BEYOND_SECONDS", 0.01)
    np.testing.assert_array_equal(video.read_frames(clip, times), one_pass)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mpg", "avi", "webm"])
def test_other_containers_give_the_same_pictures(tmp_path, suffix):
    codec = {"mpg": "mpeg1video", "webm": "libvpx", "avi": "mpeg4"}.get(suffix, "libx264")
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, bit_rate=2_000_000)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in numbered_frames(250):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    assert [number_of(frame) for _, frame in video.iterate_frames(path)] == list(range(250))
    wanted = [0, 9, 130, 131, 249]
    frames = video.read_frames(path, [number / 25 + 0.01 for number in wanted])
    assert [number_of(frame) for frame in frames] == wanted
    assert [number_of(frame) for _, frame in video.iterate_frames(path, 7.01, 7.25)] == list(range(176, 182))
    assert probe(path).duration == pytest.approx(10.0, abs=0.2)


def test_frames_are_scaled_to_height_and_width(clip):
    assert video.read_frames(clip, [1.0, 2.0], size=(32, 40)).shape == (2, 32, 40, 3)


def test_iterating_gives_times_from_start_to_before_end(clip):
    shown = [(round(time, 6), number_of(frame)) for time, frame in video.iterate_frames(clip, 7.0, 7.5)]
    assert shown == [(7.0, 70), (7.1, 71), (7.2, 72), (7.3, 73), (7.4, 74)]


def test_a_generator_left_early_closes_the_file(clip):
    frames = video.iterate_frames(clip)
    next(frames)
    frames.close()
    with pytest.raises(StopIteration):
        next(frames)


def test_sound_that_starts_late_is_padded(tmp_path):
    write_offset(tmp_path / "late.mkv", sound_starts=0.8)
    heard = video.read_sound(tmp_path / "late.mkv", RATE)
    assert np.abs(heard).argmax() / RATE == pytest.approx(0.8 + 0.5, abs=0.002)
    assert not heard[: round(0.75 * RATE)].any()
    part = video.read_sound(tmp_path / "late.mkv", RATE, start=1.0, seconds=0.6)
    assert np.abs(part).argmax() / RATE == pytest.approx(0.3, abs=0.002)
    before = video.read_sound(tmp_path / "late.mkv", RATE, seconds=0.4)
    assert before.shape == (round(0.4 * RATE),)
    assert not before.any()


def test_time_zero_is_the_earliest_timestamp(tmp_path):
    write_offset(tmp_path / "shifted.mkv", sound_starts=5.0, picture_starts=5.2)
    click = np.abs(video.read_sound(tmp_path / "shifted.mkv", RATE)).argmax() / RATE
    assert click == pytest.approx(0.5, abs=0.002)
    first_time, first = next(video.iterate_frames(tmp_path / "shifted.mkv"))
    assert first_time == pytest.approx(0.2, abs=0.002)
    assert number_of(first) == 0
    (frame,) = video.read_frames(tmp_path / "shifted.mkv", [0.2 + 0.41])
    assert number_of(frame) == 10


def test_stereo_is_averaged_and_not_made_louder(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * 48000) / 48000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone, tone], axis=1), 48000)
    heard = video.read_sound(tmp_path / "stereo.wav", 48000)
    np.testing.assert_allclose(heard, tone, atol=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_has_its_level(tmp_path, subtype):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE, subtype=subtype)
    np.testing.assert_allclose(video.read_sound(tmp_path / "tone.wav", RATE), tone, atol=0.01)


@pytest.mark.parametrize("degrees, corner", [(90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_rotation_is_honoured(tmp_path, degrees, corner):
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:16, :16] = 255
    with av.open(str(tmp_path / "turned.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(degrees)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    info = probe(tmp_path / "turned.mp4")
    height, width = (64, 96) if degrees == 180 else (96, 64)
    assert (info.rotation, info.height, info.width) == (degrees % 360, height, width)
    (shown,) = video.read_frames(tmp_path / "turned.mp4", [0.0])
    assert shown.shape == (height, width, 3)
    assert shown[corner].min() > 200
    assert shown.mean() < 30
    assert video.read_frames(tmp_path / "turned.mp4", [0.0], size=(30, 20)).shape == (1, 30, 20, 3)


@pytest.mark.parametrize("height, width", [(63, 95), (64, 95), (63, 96)])
def test_odd_sizes_become_even(tmp_path, height, width):
    frames = np.full((5, height, width, 3), 200, dtype=np.uint8)
    write_video(tmp_path / "odd.mp4", frames, 5)
    (shown,) = video.read_frames(tmp_path / "odd.mp4", [0.5])
    assert shown.shape == (64, 96, 3)
    assert np.abs(shown.astype(int) - 200).max() < 8


def test_colours_survive(tmp_path):
    frame = np.zeros((64, 64, 3), dtype=np.uint8)
    frame[:32, :32], frame[:32, 32:], frame[32:, :32], frame[32:, 32:] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (90, 140, 190),
    )
    write_video(tmp_path / "colours.mp4", [frame] * 5, 5, crf=10)
    (shown,) = video.read_frames(tmp_path / "colours.mp4", [0.0])
    for row in (10, 50):
        for column in (10, 50):
            assert np.abs(shown[row, column].astype(int) - frame[row, column]).max() <= 6


def test_sound_and_pictures_of_different_length_are_both_kept(tmp_path):
    write_video(tmp_path / "a.mp4", numbered_frames(10), 10, np.full(3 * RATE, 0.1), RATE)
    assert len(video.read_sound(tmp_path / "a.mp4", RATE)) == 3 * RATE
    assert probe(tmp_path / "a.mp4").frame_count == 10
    write_video(tmp_path / "b.mp4", numbered_frames(30), 10, np.full(RATE, 0.1), RATE)
    assert len(video.read_sound(tmp_path / "b.mp4", RATE)) == RATE
    assert probe(tmp_path / "b.mp4").frame_count == 30


def test_sound_and_pictures_are_interleaved(tmp_path):
    count = 200
    noise = np.random.default_rng(1).normal(0, 0.1, 20 * RATE)
    write_video(tmp_path / "long.mp4", numbered_frames(count), 10, noise, RATE)
    with av.open(str(tmp_path / "long.mp4")) as container:
        last = {"audio": 0.0, "video": 0.0}
        apart = []
        for packet in container.demux():
            if packet.dts is not None:
                last[packet.stream.type] = float(packet.dts * packet.time_base)
                apart.append(abs(last["audio"] - last["video"]))
    assert max(apart) < 1.5


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "kept.mp4"
    write_video(path, numbered_frames(3), 5)
    before = path.read_bytes()

    def breaks_down():
        yield from numbered_frames(3)
        raise RuntimeError("the renderer broke down")

    with pytest.raises(RuntimeError, match="renderer"):
        write_video(path, breaks_down(), 5)
    with pytest.raises(SopeduError, match="picture 1"):
        write_video(path, [np.zeros((64, 64, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)], 5)
    with pytest.raises(SopeduError, match="no pictures"):
        write_video(path, [], 5)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["kept.mp4"]


@pytest.mark.parametrize(
    "name, arguments, says",
    [
        ("a.avi", {}, "end the name in .mp4"),
        ("a.mp4", {"waveform": np.zeros(100)}, "sample rate"),
        ("nowhere/a.mp4", {}, "does not exist"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, name, arguments, says):
    with pytest.raises(SopeduError, match=says):
        write_video(tmp_path / name, numbered_frames(2), 5, **arguments)
    assert list(tmp_path.iterdir()) == []


READERS = {
    "probe": probe,
    "read_sound": video.read_sound,
    "read_frames": lambda path: video.read_frames(path, [0.0]),
    "iterate_frames": lambda path: next(video.iterate_frames(path)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "name, says",
    [
        ("missing.mp4", "no such file"),
        ("folder", "is a folder"),
        ("empty.mp4", "is empty"),
        ("noise.mp4", "cannot be read as a video"),
        ("notes.txt", "text or picture file|cannot be read as a video"),
    ],
)
def test_a_bad_file_gives_one_line_with_its_name(tmp_path, reader, name, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(2).bytes(5000))
    (tmp_path / "notes.txt").write_text("a list of instruments\n" * 20)
    with pytest.raises(SopeduError, match=says) as caught:
        READERS[reader](tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_stream_is_said_with_what_was_found(tmp_path):
    write_video(tmp_path / "silent.mp4", numbered_frames(5), 5)
    info = probe(tmp_path / "silent.mp4")
    assert (info.has_sound, info.sample_rate, info.channels) == (False, None, 0)
    with pytest.raises(SopeduError, match=r"silent\.mp4: has no sound, it holds pictures only"):
        video.read_sound(tmp_path / "silent.mp4")
    soundfile.write(tmp_path / "sound.wav", np.zeros(RATE), RATE)
    info = probe(tmp_path / "sound.wav")
    assert (info.has_picture, info.width, info.frame_rate) == (False, 0, None)
    with pytest.raises(SopeduError, match=r"sound\.wav: has no pictures, it holds sound only"):
        video.read_frames(tmp_path / "sound.wav", [0.0])


def test_wrong_times_are_said(clip):
    with pytest.raises(SopeduError, match="no sound from 12.00"):
        video.read_sound(clip, start=12.001)  # in the padding of the last AAC block
    with pytest.raises(SopeduError, match="no sound from 50"):
        video.read_sound(clip, start=50.0)
    with pytest.raises(SopeduError, match="start at 0 or later"):
        video.read_sound(clip, start=-1.0)
    for times in ([], [float("nan")]):
        with pytest.raises(SopeduError, match="no times"):
            video.read_frames(clip, times)


def _number_in_child(path: Path, queue) -> None:
    queue.put(number_of(video.read_frames(path, [3.0])[0]))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_a_forked_child_can_read_what_its_parent_has_read(clip):
    video.read_frames(clip, [1.0])
    video.read_sound(clip, seconds=1.0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_number_in_child, args=(clip, queue), daemon=True)
    child.start()
    assert queue.get(timeout=60) == 30
    child.join(timeout=60)
    assert child.exitcode == 0


def test_sound_in_blocks_is_the_whole_sound(clip):
    blocks = list(video.iterate_sound(clip, RATE, 1.3, 9.7))
    assert max(map(len, blocks)) < 2 * RATE < sum(map(len, blocks))
    np.testing.assert_array_equal(np.concatenate(blocks), video.read_sound(clip, RATE, 1.3, 8.4))


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """Two picture streams (black 96 × 64, white 48 × 32) and two of sound (440 Hz, 880 Hz at half the rate)."""
    path = tmp_path_factory.mktemp("several") / "several.mkv"
    with av.open(str(path), "w") as container:
        pictures = [container.add_stream("libx264", rate=10) for _ in range(2)]
        sounds = [container.add_stream("pcm_s16le", rate=rate, layout="mono") for rate in (16000, 8000)]
        for stream, width, height in zip(pictures, (96, 48), (64, 32), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, (stream, grey) in enumerate(zip(pictures, (0, 255), strict=True)):
            for count in range(20):
                picture = np.full((stream.height, stream.width, 3), grey, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = count, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            rate = sounds[number].rate
            tone = np.sin(2 * np.pi * 440 * (1 + number) * np.arange(2 * rate) / rate)
            frame = av.AudioFrame.from_ndarray((9000 * tone).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(sounds[number].encode(frame))
            container.mux(sounds[number].encode(None))
    return path


def test_any_of_several_streams_can_be_chosen(several):
    info = probe(several)
    assert [stream.kind for stream in info.streams] == ["picture", "picture", "sound", "sound"]
    assert "h264, 48×32 px" in info.streams[1].description and "8000 Hz, 1 channel" in info.streams[3].description
    other = probe(several, picture_stream=1, sound_stream=3)
    assert (info.width, info.sample_rate, other.width, other.sample_rate) == (96, 16000, 48, 8000)
    (black,), (white,) = (video.read_frames(several, [1.0], stream=number) for number in (0, 1))
    assert black.max() < 20 and white.min() > 235
    for number, hertz in ((2, 440), (3, 880)):
        heard = video.read_sound(several, RATE, seconds=1.0, stream=number)
        assert np.abs(np.fft.rfft(heard)).argmax() == pytest.approx(hertz, abs=1)
    for wrong in ({"picture_stream": 2}, {"sound_stream": 0}, {"sound_stream": -1}, {"picture_stream": 9}):
        with pytest.raises(SopeduError, match=r"several\.mkv: has no (picture|sound) stream -?\d; its .* choose one"):
            probe(several, **wrong)


def test_pixels_that_are_not_square_are_said(tmp_path):
    with VideoWriter(tmp_path / "wide.mp4", 5, pixel_aspect=Fraction(16, 15)) as writer:
        for number in range(3):
            writer.add(number / 5, np.zeros((64, 96, 3), np.uint8))
    assert probe(tmp_path / "wide.mp4").pixel_aspect == Fraction(16, 15)


def test_what_is_damaged_in_the_middle_is_left_out_and_counted_or_refused(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 8 * RATE)
    write_video(tmp_path / "whole.mp4", numbered_frames(80), 10, noise, RATE)
    with av.open(str(tmp_path / "whole.mp4")) as container:  # where the packets of 3 s to 4 s lie
        middle = [p for p in container.demux() if p.size and 3 <= float(p.pts * p.time_base) < 4]
        places = {kind: [(p.pos, p.size) for p in middle if p.stream.type == kind] for kind in ("video", "audio")}
    for kind, found in places.items():
        content = bytearray((tmp_path / "whole.mp4").read_bytes())
        for position, size in found:
            content[position : position + size] = b"\xff" * size
        path = tmp_path / f"{kind}.mp4"
        path.write_bytes(content)
        skipped: list[float] = []
        if kind == "audio":
            heard = np.concatenate(list(video.iterate_sound(path, RATE, skipped=skipped)))
            # What is missing is a gap, and what comes later comes at its time.
            assert len(heard) == len(noise) and not heard[round(3.3 * RATE) : round(3.7 * RATE)].any()
            assert np.corrcoef(heard[5 * RATE :], noise[5 * RATE :])[0, 1] > 0.9
        else:
            shown = [(round(time, 2), number_of(p)) for time, p in video.iterate_frames(path, skipped=skipped)]
            assert shown[0] == (0.0, 0) and 60 < len(shown) < 80
        assert skipped and all(2.4 < time < 8.1 for time in skipped)
        with pytest.raises(SopeduError, match=f"{kind}.mp4: cannot be read as a video"):
            list((video.iterate_sound if kind == "audio" else video.iterate_frames)(path))


def test_pictures_keep_their_times_at_a_varying_rate(tmp_path):
    times = [0.0, 0.04, 0.5, 2.0, 2.001, 7.25]
    with VideoWriter(tmp_path / "varying.mp4", 25) as writer:
        for time, picture in zip(times, numbered_frames(6), strict=True):
            writer.add(time, picture)
    shown = [(time, number_of(picture)) for time, picture in video.iterate_frames(tmp_path / "varying.mp4")]
    assert [number for _, number in shown] == list(range(6))
    np.testing.assert_allclose([time for time, _ in shown], times, atol=1e-4)


def test_a_picture_out_of_order_is_said_and_leaves_nothing(tmp_path):
    picture = np.zeros((16, 16, 3), np.uint8)
    late = pytest.raises(SopeduError, match=r"picture 1 at 0\.300 s is not later")
    with late, VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.add(0.4, picture)
        writer.add(0.3, picture)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec, layout", [("aac", "7.1"), ("flac", "7.1"), ("pcm_s16le", "7.1"), ("libopus", "5.1")])
def test_many_channels_are_averaged(tmp_path, codec, layout):
    channels = 8 if layout == "7.1" else 6
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
    with av.open(str(tmp_path / "many.mkv"), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout=layout)
        resampler = av.AudioResampler(stream.format, layout, 48000, frame_size=stream.codec_context.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(
            np.repeat(tone[:, None], channels, axis=1).reshape(1, -1).astype(np.float32), format="flt", layout=layout
        )
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    heard = video.read_sound(tmp_path / "many.mkv", 48000)
    middle = slice(8000, 40000)
    assert np.corrcoef(heard[middle], tone[middle])[0, 1] > 0.99
    # Encoders low-pass the eighth channel, which is made for rumbling; a mean can be softer by that one, not louder.
    assert 0.8 * 0.5 < np.abs(heard[middle]).max() < 1.05 * 0.5


@pytest.mark.parametrize(
    "times",
    [
        lambda time: time,
        lambda time: time - 0.06 * (time >= 1),  # longer than a frame: it is left out, and the next one is not
        lambda time: time - 0.15 * (time >= 1),
        lambda time: time + 0.3 * (time >= 1),
    ],
    ids=["plain", "repeated", "repeated-more", "gap"],
)
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_frames_of_sound_give_the_same_together_and_one_by_one(tmp_path, monkeypatch, times, start):
    film = write_clapper(tmp_path / "film.mkv", 3.0, times=times, gains=(1.0, 0.4), pictures=False)
    together = video.read_sound(film, RATE, start)
    monkeypatch.setattr(sound, "_JOINED_FRAMES", 1)
    np.testing.assert_array_equal(together, video.read_sound(film, RATE, start))
    assert len(together) > 2 * RATE
