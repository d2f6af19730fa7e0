"""Fetching from a server of our own, through yt-dlp's generic extractor."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import sopedu
from filming import contents, write_clapper
from odd_names import ODD

from sopedu.datasets import fetching
from sopedu.datasets.fetching import fetch, state_of
from sopedu.datasets.ledger import read_log
from sopedu.datasets.preparing import prepare
from sopedu.errors import SopeduError


class Site:
    """A site of films: what it answers by identifier, and what it was asked."""

    def __init__(self, film: bytes) -> None:
        self.film, self.status, self.ranges, self.asked = film, dict[str, int](), [], Counter[str]()
        self.half_sent, self.go_on = threading.Event(), threading.Event()
        self.slow: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Print nothing."""

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                site.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/watch/{{id}}.mp4"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        video = Path(handler.path).stem
        self.asked[video] += handler.command == "GET"
        status = self.status.get(video, 200)
        if status != 200:
            handler.send_error(status)
            return
        begin, wanted = 0, handler.headers.get("Range")
        if wanted and wanted.removeprefix("bytes=") != "0-":
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
            self.ranges.append((video, begin))
        handler.send_response(206 if wanted else 200)
        handler.send_header("Content-Type", "video/mp4")
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Length", str(len(self.film) - begin))
        if wanted:
            handler.send_header("Content-Range", f"bytes {begin}-{len(self.film) - 1}/{len(self.film)}")
        handler.end_headers()
        if handler.command == "HEAD":
            return
        try:
            if video in self.slow and not begin:
                handler.wfile.write(self.film[: len(self.film) // 2])
                handler.wfile.flush()
                self.half_sent.set()
                self.go_on.wait(60)
            handler.wfile.write(self.film[begin if video not in self.slow else max(begin, len(self.film) // 2) :])
        except OSError:
            pass  # the reader was killed


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    # Pictures that no coder makes small: the film must be longer than what the system's buffers hold.
    site = Site(write_clapper(tmp_path / "film.mp4", 2.0).read_bytes() + bytes(3 << 20))
    yield site
    site.go_on.set()
    site.server.shutdown()
    site.server.server_close()


def a_list(folder: Path, *videos: str) -> Path:
    path = folder / "vggsound.csv"
    path.write_text("".join(f"{video},0,flute,{'test' if n else 'train'}\n" for n, video in enumerate(videos)))
    return path


def states(out: Path) -> dict[str, str]:
    return {row.video: row.state for row in read_log(out / "clips.csv")}


def run(path: Path, out: Path, site: Site, **how):
    waits: list[float] = []
    done = fetch(path, out, address=site.address, sleep=waits.append, proxy="", progress=False, **how)
    return done, waits


def test_films_are_fetched_once_with_pauses_and_can_be_prepared(tmp_path, site):
    path = a_list(tmp_path, "aaaaaaaaaaa", "-bbbbbbbbbb", "ccccccccccc")
    with open(path, "a") as file:
        file.write("aaaaaaaaaaa,1,flute,train\n")  # another clip of a film that is there already
    site.status["ccccccccccc"] = 404
    done, waits = run(path, tmp_path / "out", site)
    assert done.states == {"ok": 2, "removed": 1} and done.stopped == ""
    assert done.coverage == {"train": {"flute": (2, 2)}, "test": {"flute": (1, 2)}}
    assert len(waits) == 2 and all(5 <= seconds <= 10 for seconds in waits)
    assert (tmp_path / "out" / "-bbbbbbbbbb.mp4").read_bytes() == site.film
    asked = site.asked.copy()
    again, _ = run(path, tmp_path / "out", site)
    assert again == done and site.asked == asked  # nothing is asked for twice, what is removed neither
    prepared = prepare(path, tmp_path / "data", tmp_path / "out", jobs=0, progress=False)
    assert prepared.states == {"missing": 1, "ok": 3}


def test_what_fails_for_a_while_is_asked_for_again_with_longer_waits(tmp_path, site):
    site.status["aaaaaaaaaaa"], waits = 503, []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            site.status.clear()

    how = {"address": site.address, "proxy": "", "progress": False}
    done = fetch(a_list(tmp_path, "aaaaaaaaaaa"), tmp_path / "out", sleep=sleep, **how)
    assert done.states == {"ok": 1} and waits == [30.0, 60.0]


def test_too_many_requests_end_the_run_and_say_so(tmp_path, site):
    site.status["bbbbbbbbbbb"] = 429
    path = a_list(tmp_path, "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")
    done, waits = run(path, tmp_path / "out", site)
    assert "wait some hours" in done.stopped and waits[-2:] == [30.0, 60.0]
    assert done.states == {"bot-check": 1, "not asked for": 1, "ok": 1}
    assert site.asked["ccccccccccc"] == 0
    site.status.clear()
    assert run(path, tmp_path / "out", site)[0].states == {"ok": 3}


def test_a_network_that_is_down_ends_the_run(tmp_path, site):
    path = a_list(tmp_path, *(f"{letter * 11}" for letter in "abcdefgh"))
    site.status |= {f"{letter * 11}": 500 for letter in "abcdefgh"}
    done, _ = run(path, tmp_path / "out", site)
    assert "network" in done.stopped and done.states == {"network": 5, "not asked for": 3}


def test_killed_in_the_middle_of_a_film_it_goes_on_where_it_was(tmp_path, site):
    path = a_list(tmp_path, "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")
    site.slow.add("bbbbbbbbbbb")
    code = (
        "from sopedu.datasets.fetching import fetch\n"
        f"fetch({str(path)!r}, {str(tmp_path / 'out')!r}, address={site.address!r}, proxy='', pause=(0, 0))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(fetching.__file__).parents[2]) as child:
        assert site.half_sent.wait(120)
        part = tmp_path / "out" / ".fetch" / "film bbbbbbbbbbb" / "film.mp4.part"
        while child.poll() is None and not (part.exists() and part.stat().st_size > 1 << 18):
            site.go_on.wait(0.01)
        child.kill()
    site.go_on.set()
    done, _ = run(path, tmp_path / "out", site)
    assert done.states == {"ok": 3} and site.asked["aaaaaaaaaaa"] == site.asked["ccccccccccc"]
    films = {name: data for name, data in contents(tmp_path / "out").items() if name.endswith(".mp4")}
    assert films == {f"{letter * 11}.mp4": site.film for letter in "abc"}
    assert {video for video, begin in site.ranges if begin > 1 << 17} == {"bbbbbbbbbbb"}  # it was not begun anew
    assert not list((tmp_path / "out" / ".fetch").glob("film*"))


def test_odd_identifiers_are_refused_and_nothing_is_asked_for(tmp_path, site):
    harmless = {"an option", "reserved"}  # they are a part of an address as they are
    odd = {name: text for name, text in ODD.items() if name not in harmless} | {"empty": "", "hyphen": "-"}
    videos = {"flute": [*odd.values(), "ok"], **{text: ["ok2"] for text in ODD.values()}}
    (tmp_path / "music.json").write_text(json.dumps({"videos": videos}))
    done, _ = run(tmp_path / "music.json", tmp_path / "out", site)
    assert done.states == {"ok": 2, "refused": len(odd)} and set(site.asked) == {"ok", "ok2"}
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "music.json", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".fetch", "clips.csv", "ok.mp4", "ok2.mp4"}


def test_an_identifier_that_looks_like_an_option_is_a_part_of_the_address_only(tmp_path, site):
    done, _ = run(a_list(tmp_path, "-rf", "--exec"), tmp_path / "out", site)
    assert done.states == {"ok": 2} and set(site.asked) == {"-rf", "--exec"}


def test_a_percent_sign_in_the_folder_is_no_template(tmp_path, site):
    done, _ = run(a_list(tmp_path, "aaaaaaaaaaa"), tmp_path / "50%(id)s", site)
    assert done.states == {"ok": 1} and (tmp_path / "50%(id)s" / "aaaaaaaaaaa.mp4").exists()


def test_cookies_and_proxy_are_passed_on_and_sizes_are_limited(tmp_path):
    (tmp_path / "cookies.txt").write_text("# Netscape HTTP Cookie File\n")
    options = fetching._options(360, tmp_path / "cookies.txt", "socks5://127.0.0.1:9")
    assert (options["cookiefile"], options["proxy"]) == (str(tmp_path / "cookies.txt"), "socks5://127.0.0.1:9")
    assert "height<=?360" in options["format"] and options["max_filesize"] == 4 << 30 and options["noplaylist"]
    assert options["match_filter"]({"duration": 5 * 3600}, incomplete=False)
    assert options["match_filter"]({"duration": 60}, incomplete=False) is None


@pytest.mark.parametrize(
    "said, state",
    [
        ("[youtube] x: Sign in to confirm you’re not a bot. Use --cookies-from-browser", "bot-check"),
        ("HTTP Error 429: Too Many Requests", "bot-check"),
        ("[youtube] x: Private video. Sign in if you've been granted access to this video", "private"),
        ("[youtube] x: Join this channel to get access to members-only content like this video", "private"),
        ("[youtube] x: Sign in to confirm your age. This video may be inappropriate for some users.", "age"),
        ("[youtube] x: The uploader has not made this video available in your country", "region"),
        (
            "[youtube] x: Video unavailable. This video contains content from SME, who has blocked it in your country",
            "region",
        ),
        ("[youtube] x: Video unavailable. This video has been removed by the uploader", "removed"),
        ("[youtube] x: Video unavailable. The account associated with this video has been terminated.", "removed"),
        ("[youtube] x: Requested format is not available. Use --list-formats", "format"),
        ("unable to download video data: HTTP Error 403: Forbidden", "network"),
        ("<urlopen error [Errno -3] Temporary failure in name resolution>", "network"),
        ("something new", "network"),
    ],
)
def test_what_yt_dlp_says_becomes_a_state(said, state):
    assert state_of(said) == state


@pytest.mark.parametrize("address", ["https://example.org/watch", "file:///{id}", "{id}", "https://{id}"])
def test_an_address_needs_a_place_for_the_identifier(tmp_path, address):
    with pytest.raises(SopeduError, match="write an address"):
        fetch(a_list(tmp_path, "a"), tmp_path / "out", address=address)


def test_two_runs_never_share_a_folder_and_a_full_disk_stops(tmp_path, site, monkeypatch):
    path = a_list(tmp_path, "aaaaaaaaaaa")
    (tmp_path / "out" / ".fetch").mkdir(parents=True)
    with fetching._locked(tmp_path / "out"), pytest.raises(SopeduError, match="another run"):
        run(path, tmp_path / "out", site)
    monkeypatch.setattr(fetching, "_SPARE", 1 << 62)
    done, _ = run(path, tmp_path / "out", site)
    assert "make room" in done.stopped and site.asked == {}


def test_the_command_tells_the_coverage_and_what_is_next(tmp_path, site, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = a_list(tmp_path, "aaaaaaaaaaa")
    status, out, _ = sopedu(f"fetch {path} --out {tmp_path / 'out'} --address {site.address}")
    assert status == 0 and "train: 1 of 1 clips of 1 classes have their film" in out
    assert f"next: sopedu prepare {path} --films" in out


def test_without_yt_dlp_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp.utils", None)
    status, _, error = sopedu(f"fetch {a_list(tmp_path, 'a')} --out {tmp_path / 'out'}")
    assert status == 2 and "pip install 'sopedu[fetch]'" in error
