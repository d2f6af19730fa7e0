"""From a film to a clip: one clock, exact lengths, and a state for what cannot be used."""

from __future__ import annotations

import os
from itertools import cycle

import numpy as np
import pytest
from filming import contents, flashes_and_clicks, write_clapper
from PIL import Image

from sopedu.audio.soundfiles import load_waveform
from sopedu.datasets import converting
from sopedu.datasets.converting import ClipFormat, ClipJob, frames_place, prepare_clip, sound_place
from sopedu.datasets.ledger import Row, read_log
from sopedu.datasets.preparing import prepare
from sopedu.video import decoding
from sopedu.video.clock import Clock, clock_of
from sopedu.video.reading import read_sound
from sopedu.video.time_limit import TimeLimit


def prepared(film, out, start=None, **how):
    row = prepare_clip(ClipJob(str(film), str(out), Row("clip", "flute", "", start=start), **how))
    return row, frames_place(out, row), sound_place(out, row)


@pytest.mark.parametrize(
    "ending, how, begins",
    [
        (".mp4", {}, 0.0),
        (".mkv", {}, 0.0),
        (".mp4", {"late": (0.72, 0.0)}, 0.72),
        (".mkv", {"late": (0.0, 0.7)}, 0.7),
        (".mp4", {"times": lambda time: time - 0.5}, 0.0),
        (".mkv", {"times": lambda time: time + 7.3}, 0.0),
        (".mkv", {"times": lambda time: time + (1.0 if time >= 2 else 0.0)}, 0.0),
        (".mkv", {"times": lambda time: time + 0.3 * min(time, 1.0)}, 0.0),
    ],
    ids=["plain", "matroska", "late-picture", "late-sound", "negative", "offset", "gap", "varying"],
)
def test_sound_and_pictures_are_on_one_clock(tmp_path, ending, how, begins):
    film = write_clapper(tmp_path / f"film{ending}", 4.0, **how)
    row, frames, sound = prepared(film, tmp_path / "out")
    assert (row.state, row.reason) == ("ok", "")
    assert row.start == pytest.approx(begins, abs=0.06)
    flashes, clicks = flashes_and_clicks(frames, sound)
    assert len(flashes) == len(clicks) >= 3
    assert (flashes - clicks > -0.02).all() and (flashes - clicks < 0.125 + 0.02).all()


def test_lengths_are_exact_and_the_sound_is_mono_16_bit_at_the_paper_s_rate(tmp_path):
    import soundfile

    row, frames, sound = prepared(write_clapper(tmp_path / "film.mp4", 3.0), tmp_path / "out")
    told = soundfile.info(sound)
    assert (told.samplerate, told.channels, told.subtype) == (11025, 1, "PCM_16")
    assert told.frames == round(row.seconds * 11025) and row.frames == 24
    assert sorted(path.name for path in frames.iterdir()) == [f"{n:06d}.jpg" for n in range(1, 25)]
    assert (row.fps, row.duration) == (25.0, pytest.approx(3.0, abs=0.02))
    assert contents(tmp_path / "out" / ".prepare") == {}


@pytest.mark.parametrize("gains, times", [((1.0,), 1), ((1.0, 0.4), 1), ((1.0, 0.0), 2), ((1.0, -1.0), 2)])
def test_the_sound_is_that_of_its_channels_and_decoded_twice_only_to_leave_one_out(tmp_path, monkeypatch, gains, times):
    film, calls, whole = write_clapper(tmp_path / "film.mp4", 3.0, gains=gains), [], converting.iterate_sound
    monkeypatch.setattr(converting, "iterate_sound", lambda *a, **named: calls.append(1) or whole(*a, **named))
    row, _, sound = prepared(film, tmp_path / "out", start=0.4, seconds=2.0)
    expected = read_sound(film, 11025, row.start, row.seconds)
    np.testing.assert_allclose(load_waveform(sound), expected, atol=0.6 / 32768)
    assert len(calls) == times and np.abs(expected).max() > 0.4


def test_only_the_wanted_seconds_of_a_long_film_are_cut(tmp_path):
    film = write_clapper(tmp_path / "film.mp4", 8.0)
    row, frames, sound = prepared(film, tmp_path / "out", start=3.0, seconds=4.0)
    whole, _, whole_sound = prepared(film, tmp_path / "whole")
    assert (row.start, row.seconds, row.frames) == (3.0, 4.0, 32)
    np.testing.assert_allclose(load_waveform(sound), load_waveform(whole_sound)[3 * 11025 : 7 * 11025], atol=2 / 32768)
    at_3_s = frames_place(tmp_path / "whole", whole) / "000025.jpg"
    assert (frames / "000001.jpg").read_bytes() == at_3_s.read_bytes()


def test_a_film_too_short_for_its_time_was_cut_already(tmp_path):
    row, _, _ = prepared(write_clapper(tmp_path / "film.mp4", 2.0), tmp_path / "out", start=30.0, seconds=10.0)
    assert row.state == "ok" and row.seconds == pytest.approx(2.0, abs=0.03) and "cut already" in row.reason


@pytest.mark.parametrize("size, wanted", [((360, 640), (256, 455)), ((640, 360), (455, 256)), ((48, 64), (48, 64))])
def test_the_short_side_is_256_pixels_and_small_pictures_keep_their_size(tmp_path, size, wanted):
    _, frames, _ = prepared(write_clapper(tmp_path / "film.mp4", 1.2, size=size), tmp_path / "out")
    with Image.open(frames / "000001.jpg") as picture:
        assert picture.size[::-1] == wanted


def test_the_same_film_gives_the_same_bytes_also_over_what_was_there(tmp_path):
    film = write_clapper(tmp_path / "film.mp4")
    first, _, sound = prepared(film, tmp_path / "out")
    before = contents(tmp_path / "out")
    sound.unlink()  # as if the run had been killed between frames and sound
    second, frames, _ = prepared(film, tmp_path / "out")
    assert second == first and contents(tmp_path / "out") == before
    other, _, _ = prepared(write_clapper(tmp_path / "other.mp4", tone=500.0), tmp_path / "out")
    assert other.hash != first.hash


@pytest.mark.parametrize(
    "how, state",
    [({"sound": False}, "no-sound"), ({"pictures": False}, "no-picture"), ({"seconds": 0.6}, "short")],
)
def test_what_a_film_lacks_is_its_state(tmp_path, how, state):
    row, frames, sound = prepared(write_clapper(tmp_path / "film.mp4", **how), tmp_path / "out")
    assert row.state == state and row.reason and not frames.exists() and not sound.exists()


@pytest.mark.parametrize("content", [b"", b"no film at all" * 99, b"\0\0\0\x18ftypmp42" + bytes(500)])
def test_what_is_no_film_is_damaged_and_named_without_the_folders_above_it(tmp_path, content):
    (tmp_path / "film.mp4").write_bytes(content)
    row, _, _ = prepared(tmp_path / "film.mp4", tmp_path / "out")
    assert row.state == "damaged" and row.reason and str(tmp_path) not in row.reason
    assert prepared(tmp_path / "gone.mp4", tmp_path / "out")[0].state == "missing"


def test_a_film_that_was_cut_off_gives_what_is_there(tmp_path):
    film = write_clapper(tmp_path / "film.mkv", 6.0)
    film.write_bytes(film.read_bytes()[: int(0.6 * film.stat().st_size)])
    row, frames, sound = prepared(film, tmp_path / "out")
    flashes, clicks = flashes_and_clicks(frames, sound)
    assert row.state == "ok" and 2.0 < row.seconds < 5.0
    assert len(flashes) >= 2 and (np.abs(flashes - clicks[: len(flashes)]) < 0.125 + 0.02).all()


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_a_film_with_damaged_bytes_is_left_whole_or_named(tmp_path, share):
    data = bytearray(write_clapper(tmp_path / "film.mp4", 4.0).read_bytes())
    generator = np.random.default_rng(int(1000 * share))
    for place in generator.integers(100, len(data), max(1, int(share * len(data)))):
        data[place] = generator.integers(256)
    (tmp_path / "film.mp4").write_bytes(data)
    row, frames, sound = prepared(tmp_path / "film.mp4", tmp_path / "out")
    assert row.state in ("ok", "damaged", "short", "no-sound", "no-picture")
    assert (row.state == "ok") == sound.exists() == frames.exists() == bool(row.hash)
    if row.state == "ok":
        assert len(list(frames.iterdir())) == row.frames == pytest.approx(8 * row.seconds, abs=1)


def test_much_damage_and_sound_that_stops_are_no_clip(tmp_path, monkeypatch):
    film = write_clapper(tmp_path / "film.mp4", 4.0)
    whole = converting.iterate_sound
    monkeypatch.setattr(
        converting, "iterate_sound", lambda *a, **named: [np.concatenate(list(whole(*a, **named)))[:22050]]
    )
    row, _, sound = prepared(film, tmp_path / "out")
    assert (row.state, row.reason) == ("damaged", "its sound ends 2.0 s too early") and not sound.exists()

    def damaged(*arguments, skipped, **named):
        skipped += [0.1] * 9
        return whole(*arguments, skipped=skipped, **named)

    monkeypatch.setattr(converting, "iterate_sound", damaged)
    assert prepared(film, tmp_path / "out")[0].reason == "9 packets in 4.0 s are damaged"


def test_limits_on_size_length_streams_and_pixels(tmp_path, monkeypatch):
    film = write_clapper(tmp_path / "film.mp4")
    for name, value in {"_LARGEST": 100, "_LONGEST": 1.0, "_MOST_STREAMS": 1}.items():
        with monkeypatch.context() as patch:
            patch.setattr(converting, name, value)
            assert prepared(film, tmp_path / "out")[0].state == "too-large"
    monkeypatch.setattr("sopedu.video.streams._LARGEST_SIDE", 50)
    assert "64×48 px" in prepared(film, tmp_path / "out")[0].reason


class Endless(Clock):
    """Stands for a file whose packets never end."""

    ticks = 0

    def retimed(self, packets, number):
        for packet in cycle([next(packets)]):
            Endless.ticks += 10
            yield packet


def test_a_film_that_takes_for_ever_fails_and_the_others_are_prepared(tmp_path, monkeypatch):
    source = tmp_path / "films" / "flute"
    source.mkdir(parents=True)
    for name in ("endless", "good"):
        write_clapper(source / f"{name}.mp4")
    clocks = {name: Endless(**vars(clock_of(source / f"{name}.mp4"))) for name in ("endless",)}
    monkeypatch.setattr(decoding, "clock_of", lambda path: clocks.get(path.stem) or clock_of(path))
    monkeypatch.setattr("sopedu.video.time_limit.monotonic", lambda: Endless.ticks)
    prepare(tmp_path / "films", tmp_path / "out", time_limit=1000, jobs=0, progress=False)
    rows = {row.id: row for row in read_log(tmp_path / "out" / "clips.csv")}
    assert rows["endless"].state == "failed" and rows["endless"].reason.startswith("took longer than 1000 s")
    assert rows["good"].state == "ok" and Endless.ticks <= 2010
    assert not frames_place(tmp_path / "out", rows["endless"]).exists()


def test_the_time_limit_grows_with_the_film(tmp_path, monkeypatch):
    film, limits = write_clapper(tmp_path / "film.mp4", 3.0), []
    monkeypatch.setattr(converting, "TimeLimit", lambda *a: limits.append(TimeLimit(*a)) or limits[-1])
    prepared(film, tmp_path / "out")
    monkeypatch.setattr(converting, "_SLOWEST", 1000.0)
    prepared(film, tmp_path / "out")
    prepared(film, tmp_path / "out", time_limit=50.0)
    assert [limit.seconds for limit in limits] == [300.0, pytest.approx(3000.0, rel=0.02), 50.0]


def test_a_disk_that_cannot_be_written_is_an_error_and_not_a_state(tmp_path):
    from sopedu.errors import SopeduError

    film = write_clapper(tmp_path / "film.mp4")
    (tmp_path / "out").write_bytes(b"a file where the folder should be")
    with pytest.raises(SopeduError, match="cannot be written"):
        prepared(film, tmp_path / "out")


def test_a_copy_out_of_a_tar_part_is_removed(tmp_path):
    film = write_clapper(tmp_path / "film.mp4")
    row, _, _ = prepared(film, tmp_path / "out", temporary=True, form=ClipFormat(short_side=32))
    assert row.state == "ok" and not os.path.exists(film)
