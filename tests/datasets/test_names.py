"""Names from lists: harmless on every system, and never two texts under one name."""

from __future__ import annotations

import os
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sopedu.datasets.names import file_name, is_addressable, require_identifier
from sopedu.errors import SopeduError


@pytest.mark.parametrize("name", ["flute", "playing violin, fiddle", "flute violin", "O'Neill (live)", "Flöte", "笛"])
def test_usual_names_stay_as_they_are(name):
    assert file_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "../x",
        "/etc/passwd",
        "a\0b",
        "-rf",
        ".hidden",
        "..",
        "CON",
        "com1.mp4",
        "a:b",
        "a\\b",
        "x" * 300,
        "e. ",
        "\u202eb",
        "~",
    ],
)
def test_odd_names_become_harmless(text):
    name = file_name(text)
    assert name != text
    check_harmless(name)


@given(st.text(min_size=1, max_size=400))
def test_every_text_becomes_the_name_of_one_file(text):
    try:
        name = file_name(text)
    except SopeduError:
        assert not text.split()
        return
    check_harmless(name)
    assert file_name(name) == name or name != text


def check_harmless(name: str) -> None:
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,) and name not in ("..", ".")
    assert len(os.fsencode(name)) <= 100 and name.isprintable()
    assert name[0] not in "-.~" and name[-1] not in " ."
    assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


def test_different_texts_have_different_names_and_equal_ones_the_same():
    texts = ["a/b", "a_b", "a:b", "a?b", "x" * 300, "x" * 301, "CON", "_CON"]
    assert len({file_name(text) for text in texts}) == len(texts)
    assert file_name("Flo\u0308te") == file_name("Flöte")  # two ways to write one letter


@pytest.mark.parametrize("text", ["---g-f_I2yQ", "-abc", "jW_AuF6dQYY", "own take"])
def test_identifiers_may_begin_with_a_hyphen(text):
    assert require_identifier(text) == text


@pytest.mark.parametrize("text", ["", "-", "../x", "a/b", "a\0", "..", "x" * 300, "a\nb", "con"])
def test_what_is_no_identifier_is_refused_in_one_line(text):
    with pytest.raises(SopeduError, match="not the identifier|empty"):
        require_identifier(text)


def test_what_can_be_a_part_of_an_address():
    assert is_addressable("-a_Z09") and not any(map(is_addressable, ["", "a b", "a/b", "ä", "a?b=c", "a%2e", "x" * 65]))
