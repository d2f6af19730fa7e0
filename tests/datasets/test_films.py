"""Finding the film of a row under the names that people give it."""

from __future__ import annotations

import os

import pytest

from sopedu.datasets.films import FilmFolder, film_names, films_by_class, video_of
from sopedu.datasets.lists import Wanted
from sopedu.datasets.opening import open_source
from sopedu.errors import SopeduError

CUT = Wanted(0, "---g-f_I2yQ", "people eating", 30.0, 10.0)


@pytest.fixture
def folder(tmp_path):
    def filled(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        return FilmFolder(tmp_path)

    return filled


@pytest.mark.parametrize(
    "name, cut",
    [
        ("---g-f_I2yQ.mp4", False),
        ("---g-f_I2yQ_000030.mp4", True),
        ("---g-f_I2yQ_30.MKV", True),
        ("---g-f_I2yQ_30000_40000.mp4", True),
        ("---g-f_I2yQ_30.000_40.000.webm", True),
        ("Y---g-f_I2yQ_30_40.mp4", True),
        ("eating/part 1/---g-f_I2yQ_000030.mp4", True),
    ],
)
def test_all_forms_of_names_are_found_also_in_folders_below(folder, tmp_path, name, cut):
    film = folder(name, "other.mp4").find(CUT)
    assert (film.path, film.cut) == (str(tmp_path / name), cut)


def test_the_most_exact_name_wins_and_other_times_do_not_count(folder):
    films = folder("---g-f_I2yQ.mp4", "---g-f_I2yQ_000030.mp4", "---g-f_I2yQ_000031.mp4")
    assert films.find(CUT).name == "---g-f_I2yQ_000030"
    assert films.find(Wanted(0, "---g-f_I2yQ", "x")).name == "---g-f_I2yQ"


def test_of_films_of_one_name_the_first_counts_folder_by_folder(folder, tmp_path):
    names = ["b.mp4", "a/b.mkv", "a/b.avi", "a/b/b.mov", "a-z/b.mp4", "c/b.mp4", "a/x/y/b.mov", "a/x/y/z/deep.mp4"]
    films = folder(*names, "odd\udcff.mp4")
    # As a walk in the order of names would find them: `a` with all it holds before `a-z`.
    order = sorted(names, key=lambda name: name.split("/"))
    assert films.find(Wanted(0, "b", "x")).path == str(tmp_path / order[0]) == str(tmp_path / "a/b/b.mov")
    assert len(films) == 2 and films.find(Wanted(0, "odd\udcff", "x")).path == str(tmp_path / "odd\udcff.mp4")
    assert films.find(Wanted(0, "\ud800", "x")) is None


def test_near_misses_are_named(folder):
    films = folder("---g-f_I2yQ_000031.mp4", "---G-F_I2YQ.mp4", "notes.txt", ".hidden_000030.mp4", "x.mp4")
    assert films.find(CUT) is None
    assert films.near(CUT) == ["---G-F_I2YQ.mp4", "---g-f_I2yQ_000031.mp4"]
    assert films.near(Wanted(0, "unknown", "x")) == []


def test_a_name_in_a_list_never_leads_out_of_the_folder(folder, tmp_path):
    (tmp_path.parent / "outside.mp4").write_bytes(b"x")
    films = folder("inside.mp4")
    for video in ("../outside", str(tmp_path.parent / "outside"), "inside.mp4/../../outside"):
        assert films.find(Wanted(0, video, "x")) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_file_is_no_film_because_a_pipe_would_be_waited_for(folder, tmp_path):
    (tmp_path / "flute").mkdir()
    for name in ("a.mp4", "flute/a.mp4", "part.tar"):
        os.mkfifo(tmp_path / name)
    assert len(folder()) == 0 and list(films_by_class(tmp_path)) == []
    with pytest.raises(SopeduError, match="holds no films"):
        open_source(tmp_path)


def test_folders_of_classes_are_read_in_order(tmp_path, folder):
    folder("flute/b.mp4", "flute/a.mov", "cello/c.mp4", "cello/c.txt", "top.mp4", ".git/x.mp4")
    found = [(label, path.removeprefix(f"{tmp_path}/")) for label, path in films_by_class(tmp_path)]
    assert found == [("cello", "cello/c.mp4"), ("flute", "flute/a.mov"), ("flute", "flute/b.mp4")]


def test_the_identifier_is_told_from_the_numbers_joined_to_it():
    assert video_of("ab_c_000030") == video_of("ab_c_30_40.5") == video_of("ab_c") == "ab_c"
    assert video_of("123") == "123"
    assert all(video_of(name) in ("ab_c", "Yab_c") for name, _ in film_names(Wanted(0, "ab_c", "x", 3.0, 10.0)))
