"""The published lists, as they are written, rebuilt small."""

from __future__ import annotations

import json

import pytest

from sopedu.datasets.lists import Wanted, read_list
from sopedu.errors import SopeduError


def test_music_lists_have_classes_of_whole_videos_and_duets_two_names(tmp_path):
    path = tmp_path / "duets.json"
    path.write_text(json.dumps({"version": 1.0, "videos": {"flute violin": ["8DHG_hVSw1o", "-a"], "cello": ["x"]}}))
    assert list(read_list(path)) == [
        Wanted(0, "8DHG_hVSw1o", "flute violin"), Wanted(1, "-a", "flute violin"), Wanted(2, "x", "cello"),
    ]  # fmt: skip


def test_vggsound_has_quoted_labels_and_crlf(tmp_path):
    path = tmp_path / "vggsound.csv"
    path.write_bytes('\ufeff---g-f_I2yQ,1,"people eating, chewing",test\r\nab_c,30,flute,train\r\n\r\n'.encode())
    assert list(read_list(path)) == [
        Wanted(0, "---g-f_I2yQ", "people eating, chewing", 1.0, 10.0, "test"),
        Wanted(1, "ab_c", "flute", 30.0, 10.0, "train"),
    ]
    assert [wanted.clip for wanted in read_list(path)] == ["---g-f_I2yQ_000001", "ab_c_000030"]


def test_vggsounds_list_of_test_clips_names_files(tmp_path):
    path = tmp_path / "VGGSound_test.csv"
    path.write_bytes(b"a_b-c_000177.mp4,parrot talking\r\n")
    assert list(read_list(path)) == [Wanted(0, "a_b-c", "parrot talking", 177.0, 10.0, "test")]


def test_audioset_has_comments_blanks_codes_and_names_beside_it(tmp_path):
    path = tmp_path / "eval_segments.csv"
    path.write_text(
        "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=2\n# YTID, start_seconds, end_seconds, labels\n"
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\nab, 30.500, 35.500, "/m/0ytgt"\n'
    )
    assert [wanted.label for wanted in read_list(path)] == ["/m/068hy", "/m/0ytgt"]
    (tmp_path / "class_labels_indices.csv").write_text('index,mid,display_name\n0,/m/068hy,"Pets, at home"\n')
    first, second = read_list(path)
    assert first == Wanted(0, "--4gqARaEJE", "Pets, at home", 0.0, 10.0, "test")
    assert (second.start, second.seconds, second.clip) == (30.5, 5.0, "ab_30500ms")


@pytest.mark.parametrize(
    "name, text, says",
    [
        ("a.json", "{", "is no JSON"),
        ("a.json", "[1]", "no classes"),
        ("a.json", '{"videos": {"flute": "abc"}}', "flute"),
        ("a.json", "[" * 100_000, "is no JSON"),
        ("a.csv", "\n\n", "holds no clip"),
        ("a.csv", "id,start_seconds,label,split\nx,1,flute,train\ny,soon,flute,train\n", "line 3"),
        ("a.csv", "x,1,flute,somewhere\n", "line 1"),
        ("a.csv", "x,9e99,flute,train\n", "line 1"),
        ("a.csv", "x" * 200_000, "cannot be read|found"),
        ("a.csv", "# x\nab, 5, 3, label\n", "line 2"),
    ],
)
def test_what_is_no_list_is_one_line_that_says_what_is_read(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(SopeduError, match=says) as error:
        list(read_list(tmp_path / name))
    assert "\n" not in str(error.value) and "VGGSound" in str(error.value) and len(str(error.value)) < 600
