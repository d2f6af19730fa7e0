"""Films in tar parts: damaged members are left out and named, odd names are refused, the rest is prepared."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from filming import contents, write_clapper
from odd_names import ODD

from sopedu.datasets.ledger import read_log
from sopedu.datasets.preparing import prepare

QUIET = {"progress": False, "jobs": 0}
INSIDE = "scratch/shared/VGGSound_final/video/"


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> bytes:
    return write_clapper(tmp_path_factory.mktemp("film") / "film.mp4", 1.5).read_bytes()


def packed(path, members: dict[str, bytes], mode: str = "w:gz"):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_parts_with_their_list(tmp_path, film):
    packed(
        tmp_path / "parts" / "vggsound_00.tar.gz", {f"{INSIDE}aaaaaaaaaaa_000030.mp4": film, f"{INSIDE}notes.txt": b"x"}
    )
    packed(tmp_path / "parts" / "vggsound_01.tar", {f"{INSIDE}-bbbbbbbbbb_000001.mp4": film, "x_000002.mp4": film}, "w")
    (tmp_path / "parts" / "vggsound.csv").write_text(
        'aaaaaaaaaaa,30,flute,test\n-bbbbbbbbbb,1,"eating, chewing",train\nccccccccccc,5,flute,train\n'
    )
    done = prepare(tmp_path / "parts", tmp_path / "out", **QUIET)
    assert {row.key: row.state for row in read_log(tmp_path / "out" / "clips.csv")} == {
        "flute/aaaaaaaaaaa_000030": "ok",
        "eating, chewing/-bbbbbbbbbb_000001": "ok",
        "flute/ccccccccccc_000005": "missing",
    }
    assert done.splits == {"train": 1, "val": 0, "test": 1} and done.notes == []
    before = contents(tmp_path / "out")
    prepare(tmp_path / "parts" / "vggsound.csv", tmp_path / "out", tmp_path / "parts", **QUIET)
    assert contents(tmp_path / "out") == before


def test_parts_without_a_list_take_the_folder_of_a_member_as_its_class(tmp_path, film):
    part = packed(tmp_path / "a.tar", {"flute/1.mp4": film, "cello/1.mp4": film}, "w")
    prepare(part, tmp_path / "out", **QUIET)
    assert {row.key for row in read_log(tmp_path / "out" / "clips.csv")} == {"flute/1", "cello/1"}


def test_names_that_lead_out_links_and_devices_are_refused_and_named(tmp_path, film):
    part = packed(tmp_path / "a.tar", {"../evil.mp4": film, "/abs/evil.mp4": film, "flute/good.mp4": film}, "w")
    with tarfile.open(part, "a") as tar:
        for name, kind in {
            "flute/link.mp4": tarfile.SYMTYPE,
            "flute/hard.mp4": tarfile.LNKTYPE,
            "flute/pipe.mp4": tarfile.FIFOTYPE,
        }.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    done = prepare(part, tmp_path / "out", **QUIET)
    assert done.states == {"ok": 1}
    refused = [note for note in done.notes if "is refused" in note]
    assert len(refused) == 5 and all(note.startswith("a.tar: ") for note in refused)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out"}


def test_odd_names_of_members_are_refused_or_become_harmless(tmp_path, film):
    """A name is a class and a clip, or it leads out of the folder and is refused; null ends it."""
    odd = [text for text in ODD.values() if text != ODD["half a letter"]]  # which no name in a tar file can hold
    members = {f"{text}/{number}.mp4": film for number, text in enumerate(odd)}
    part = packed(tmp_path / "a.tar", members | {"flute/caf\udce9.mp4": film, f"flute/{'x' * 300}.mp4": film}, "w")
    done = prepare(part, tmp_path / "out", **QUIET)
    refused = [note for note in done.notes if "is refused" in note]
    rows = list(read_log(tmp_path / "out" / "clips.csv"))
    assert {row.state for row in rows} == {"ok"} and all("\n" not in note for note in done.notes)
    # "./4.mp4" is in no folder, and null cuts the ending off, so that it is no film.
    assert len(rows) + len(refused) >= len(members) - 1 + 2 and len(refused) >= 6
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.wav")} == {
        f"audio/{row.key}.wav" for row in rows
    }
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "out"}


def test_a_class_without_a_name_is_refused_beside_another_one_of_the_same_video(tmp_path, film):
    part = packed(tmp_path / "parts" / "a.tar", {"aaaaaaaaaaa.mp4": film}, "w")
    (tmp_path / "list.json").write_text('{"flute": ["aaaaaaaaaaa"], "": ["aaaaaaaaaaa"]}')
    done = prepare(tmp_path / "list.json", tmp_path / "out", part.parent, **QUIET)
    assert done.states == {"ok": 1, "refused": 1}


def test_a_damaged_header_and_a_damaged_film_cost_only_themselves(tmp_path, film):
    members = {f"flute/{name}.mp4": film for name in "abcd"} | {"flute/d.mp4": b"no film" * 100}
    part = packed(tmp_path / "a.tar", members, "w")
    with tarfile.open(part) as tar:
        second = tar.getmember("flute/b.mp4").offset
    data = bytearray(part.read_bytes())
    data[second : second + 100] = b"\xff" * 100
    part.write_bytes(data)
    done = prepare(part, tmp_path / "out", **QUIET)
    assert done.states == {"ok": 2, "damaged": 1}
    assert any("after flute/a.mp4 are damaged" in note for note in done.notes)


@pytest.mark.parametrize("mode, ending", [("w", "tar"), ("w:gz", "tar.gz")])
def test_a_part_that_is_cut_off_gives_what_is_before_the_cut(tmp_path, film, mode, ending):
    (tmp_path / "list.csv").write_text("".join(f"{letter * 11},1,flute,train\n" for letter in "abc"))
    # Bytes of their own behind each film, or the second would be compressed to nothing.
    members = {f"{a * 11}_000001.mp4": film + np.random.default_rng(ord(a)).bytes(20000) for a in "abc"}
    part = packed(tmp_path / "parts" / f"p.{ending}", members, mode)
    data = part.read_bytes()
    part.write_bytes(data[: len(data) // 2])
    done = prepare(tmp_path / "list.csv", tmp_path / "out", tmp_path / "parts", **QUIET)
    assert done.states["ok"] == 1 and sum(done.states.values()) == 3
    assert any("p.tar" in note and "aaaaaaaaaaa_000001.mp4" in note or "damaged" in note for note in done.notes)
    packed(tmp_path / "parts" / f"p.{ending}", members, mode)
    assert prepare(tmp_path / "list.csv", tmp_path / "out", tmp_path / "parts", again=True, **QUIET).states == {"ok": 3}


def test_several_clips_of_one_member(tmp_path):
    film = write_clapper(tmp_path / "film.mp4", 4.0).read_bytes()
    (tmp_path / "list.csv").write_text("aaaaaaaaaaa,0,flute,train\naaaaaaaaaaa,2,flute,train\n")
    packed(tmp_path / "parts" / "p.tar.gz", {"aaaaaaaaaaa.mp4": film})
    assert prepare(tmp_path / "list.csv", tmp_path / "out", tmp_path / "parts", **QUIET).states == {"ok": 2}
