"""Lists as the original code and its forks write them: where their paths begin is found, and none leads out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_clips import CONFIG, write_clip

from sopedu.data.index_clips import IndexClips
from sopedu.data.index_paths import is_unusual, leads_out, plain_path
from sopedu.data.opening import open_clips
from sopedu.data.prepared import read_index
from sopedu.errors import SopeduError


@pytest.fixture
def music(tmp_path) -> Path:
    """``project/MUSIC/audio/…`` and ``frames/…`` of four clips."""
    folder = tmp_path / "project" / "MUSIC"
    folder.mkdir(parents=True)
    for number, name in enumerate(["tuba", "cello"] * 2):
        write_clip(folder, name, number)
    return folder


def rows(begin: str, between: str = "/") -> str:
    """The rows of the four clips behind a beginning, which may be that of another machine."""
    names = [("tuba", 0), ("cello", 1), ("tuba", 2), ("cello", 3)]
    lines = [f"{begin}/audio/{name}/{n}.wav,{begin}/frames/{name}/{n},32" for name, n in names]
    return "".join(f"{line}\n" for line in lines).replace("/", between)


WRITTEN = {
    "by the original script, in the folder above": ("MUSIC/train.csv", "./MUSIC"),
    "by the original script, in a folder of another name": ("MUSIC/train.csv", "./data"),
    "by a fork, beside the data": ("code/train.csv", "../MUSIC"),
    "by a fork, whose folder is beside a folder of another name": ("MUSIC/train.csv", "../../MUSIC_dataset/data"),
    "with absolute paths of another machine": ("MUSIC/train.csv", "/data/vision/somebody/sound/MUSIC"),
    "in a folder of lists": ("MUSIC/lists/train.csv", "."),
    "in a folder of lists below it": ("MUSIC/lists/fold0/train.csv", "data"),
    "with an inner way up": ("MUSIC/train.csv", "frames/../audio/.././."),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_list_that_was_written_elsewhere_is_read_as_it_is(music, how):
    name, begin = WRITTEN[how]
    path = music.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows(begin), encoding="utf-8")
    clips = IndexClips(path, CONFIG)
    assert (clips.index.missing(), clips.class_names) == ([], ("cello", "tuba"))
    assert Path(clips.index.root) in (music, music.parent)
    found = clips.index[1]
    assert clips.index.files.located(found.audio) == str(music / "audio/cello/1.wav")
    assert clips.index.files.located(found.frames) == str(music / "frames/cello/1")
    assert clips.check_files() == [] and clips[3].waveform.any()


def test_a_fork_that_names_sounds_and_frames_below_two_folders_is_read(music):
    """As in the lists of iQuery: ``/flute/a.wav,/flute/a.mp4,122``."""
    text = rows(".").replace("./audio", "").replace("./frames", "")
    assert text.startswith("/tuba/0.wav,/tuba/0,32")
    (music / "testmusic.csv").write_text(text, encoding="utf-8")
    clips = IndexClips(music / "testmusic.csv", CONFIG)
    assert clips.check_files() == [] and clips.index[1] == ("audio/cello/1.wav", "frames/cello/1", 32)


def test_absolute_paths_of_this_machine_are_read_only_below_the_folder(music, tmp_path):
    path = music / "train.csv"
    path.write_text(rows(str(music)), encoding="utf-8")
    assert read_index(path).root == str(music) and read_index(path)[0].audio == "audio/tuba/0.wav"
    other = tmp_path / "a" / "b" / "c" / "train.csv"
    other.parent.mkdir(parents=True)
    other.write_text(rows(str(music)), encoding="utf-8")
    with pytest.raises(SopeduError, match=r"train\.csv: 0 of 8 files [^\n]*; --root FOLDER names the folder[^\n]*$"):
        read_index(other)
    assert read_index(other, root=music).root == str(music)


@pytest.mark.parametrize("begin", [".", "..", "../x", "MUSIC", "/home/me/MUSIC", "C:/Users/me"])
def test_a_root_that_is_given_is_taken(music, tmp_path, begin):
    (tmp_path / "far").mkdir()
    path = tmp_path / "far" / "train.csv"
    path.write_text(rows(begin), encoding="utf-8")
    index = read_index(path, root=os.path.relpath(music))
    assert (index.root, index[0].audio, index.missing()) == (str(music), "audio/tuba/0.wav", [])
    with pytest.raises(
        SopeduError, match=r"0 of 8 files and folders that were looked for are below \S+far/none, such as"
    ):
        read_index(path, root=tmp_path / "far" / "none")


def test_windows_separators_marks_and_line_ends(music):
    (music / "train.csv").write_bytes(b"\xef\xbb\xbf" + rows("D:/data", "\\").replace("\n", "\r\n").encode())
    assert read_index(music / "train.csv").missing() == []
    (music / "audio/tuba/0.wav").rename(music / "audio/tuba/one, two.wav")
    (music / "train.csv").write_text('"./audio/tuba/one, two.wav","./frames/tuba/0",32\r\n', encoding="utf-8")
    assert read_index(music / "train.csv").missing() == []


def test_with_a_nearest_root_but_few_files_the_line_names_it(music):
    path = music / "train.csv"
    path.write_text(rows("../gone") + rows("../gone/audio/../gone"), encoding="utf-8")
    for place in (*music.glob("audio/*/[123].wav"), *music.glob("frames/*/[123]")):
        place.rename(place.with_name(f"away{place.name}"))
    with pytest.raises(
        SopeduError, match=rf"2 of 16 files [^\n]* are below {music}, such as \.\./gone/audio/tuba/0\.wav"
    ):
        read_index(path)


@pytest.mark.parametrize("row", ["../elsewhere/a.wav", "/etc/passwd", "../MUSIC/../secret", "../MUSIC"])
def test_one_row_that_leads_out_of_the_folder_of_the_others_is_refused(music, row):
    path = music / "train.csv"
    path.write_text(rows("../MUSIC") * 20 + f"{row},../MUSIC/frames/tuba/0,32\n", encoding="utf-8")
    with pytest.raises(SopeduError, match=r"train\.csv, line 81: '[^']+' leads out of the folder of the other paths"):
        read_index(path)


def test_a_link_to_a_large_disk_is_followed_by_naming_its_folder(music, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (music / "audio").rename(disk / "audio")
    (music / "audio").symlink_to(disk / "audio")
    (music / "train.csv").write_text(rows("."), encoding="utf-8")
    with pytest.raises(SopeduError, match="a link leads out of .* or name the folder of both by --root"):
        read_index(music / "train.csv").files.located("audio/tuba/0.wav")


@given(st.text(alphabet=st.sampled_from("ab./\\ :\0é-"), max_size=12))
def test_no_path_of_a_list_leads_out_or_names_a_folder_above(name):
    try:
        path = plain_path(name, "x")
    except SopeduError:
        return
    assert path and "\0" not in path and "\\" not in path and not path.endswith("/")
    inside = path.removeprefix("/")
    while inside.startswith("../"):
        inside = inside[3:]
    assert not {"", ".", ".."} & set(inside.split("/"))
    if not is_unusual(name):  # the fast way skips nothing that matters
        assert path == name and not leads_out(name)


def test_frames_may_be_png_and_lie_in_folders_that_are_called_like_videos(music):
    (music / "train.csv").write_text(rows("."), encoding="utf-8")
    before = [IndexClips(music / "train.csv", CONFIG)[row].frames for row in range(4)]
    for folder in list(music.glob("frames/*/*")):
        folder = folder.rename(folder.with_name(f"{folder.name}.mp4"))
        for path in sorted(folder.iterdir()):
            from PIL import Image

            with Image.open(path) as image:
                image.save(path.with_suffix(".png"))
            path.unlink()
    text = (music / "train.csv").read_text(encoding="utf-8").replace(",32", ".mp4,32")
    (music / "train.csv").write_text(text, encoding="utf-8")
    clips = open_clips(str(music / "train.csv"), CONFIG)
    assert clips.check_files() == []
    for row, frames in enumerate(before):  # a PNG is not decoded at half its size, as a JPEG may be
        assert (clips[row].frames.float() - frames.float()).abs().max() <= 2
    (folder / "000017.png").unlink()
    with pytest.raises(SopeduError, match=r"no such frame \(31 files"):
        torch.stack([clips[row].frames for row in range(4)])
    video = music / "frames" / "film.mp4"
    video.write_bytes(b"x")
    (music / "train.csv").write_text("audio/tuba/0.wav,frames/film.mp4,32\n", encoding="utf-8")
    with pytest.raises(SopeduError, match=r"film\.mp4: is a file, not a folder of frames"):
        IndexClips(music / "train.csv", CONFIG)[0]


def test_a_letter_and_a_colon_inside_a_path_are_no_drive(music):
    """Linux allows colons in names: ``clips/a:/b`` stays, and ``C:/clips`` loses its drive."""
    for name in ("clips/a:b.wav", "clips/a:/b.wav", "my a:/b.wav", "aa:/b.wav"):
        assert plain_path(name, "x") == name
    assert plain_path("C:/clips/b.wav", "x") == plain_path("C:\\clips\\b.wav", "x") == "/clips/b.wav"
    (music / "audio/tuba").rename(music / "audio/take a:")
    (music / "frames/tuba").rename(music / "frames/take a:")
    (music / "train.csv").write_text(rows(".").replace("tuba", "take a:"), encoding="utf-8")
    index = read_index(music / "train.csv")
    assert (index.missing(), index.class_names) == ([], ("cello", "take a:"))
