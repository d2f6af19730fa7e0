"""Downloads from a local server that breaks off, stalls, is busy, changes its file, or ignores what is asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from served import Server, cut, page, served, stalled, status, whole, without_ranges

from sopedu import download as module
from sopedu.download import download
from sopedu.errors import SopeduError

BODY = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with served(file=BODY) as server:
        yield server


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    """The pauses that were asked for; none is made. Proxies of this machine are not used."""
    made: list[float] = []
    monkeypatch.setattr(module, "_sleep", made.append)
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return made


def fetched(server: Server, folder: Path, **options) -> bytes:
    path = download(f"{server.url}/file", folder / "new" / "file", progress=False, **options)
    assert [each.name for each in path.parent.iterdir()] == ["file"]  # nothing is left beside it
    return path.read_bytes()


def refusal(server: Server, folder: Path, **options) -> str:
    with pytest.raises(SopeduError) as caught:
        download(f"{server.url}/file", folder / "file", progress=False, **options)
    assert len(str(caught.value).splitlines()) == 1 and not (folder / "file").exists()
    return str(caught.value)


def ranges(server: Server) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.asked]


def test_a_file_is_downloaded_once(server, tmp_path):
    for _ in range(2):
        assert fetched(server, tmp_path) == BODY
    assert [path for path, _ in server.asked] == ["/file"]


@pytest.mark.parametrize("breaks", [cut(100_000), stalled(100_000)])
def test_a_lost_or_silent_connection_is_continued(server, tmp_path, pauses, breaks):
    server.answers = [breaks, whole]
    assert fetched(server, tmp_path) == BODY
    assert ranges(server) == [None, "bytes=100000-"] and server.asked[1][1]["If-Range"] == '"one"'
    assert pauses == [1.0]


def test_what_is_there_of_a_stopped_download_is_continued_by_the_next_call(server, tmp_path, pauses):
    server.answers = [cut(100_000)] + [status(503)] * 5
    assert "file: answers 503 (Service Unavailable); it failed 5 times: run the same command again" in refusal(
        server, tmp_path
    )
    assert pauses == [1, 2, 4, 8, 16]
    path = download(f"{server.url}/file", tmp_path / "file", progress=False)
    assert path.read_bytes() == BODY and ranges(server)[-1] == "bytes=100000-"


def test_a_server_that_ignores_ranges_begins_anew(server, tmp_path):
    server.answers = [cut(100_000), without_ranges]
    assert fetched(server, tmp_path) == BODY and ranges(server) == [None, "bytes=100000-"]


def test_a_file_that_changed_between_begins_anew(server, tmp_path):
    other = BODY[::-1]

    def changed(handler, body):
        server.tag, server.files["/file"] = '"two"', other
        whole(handler, other)

    server.answers = [cut(100_000), changed]
    assert fetched(server, tmp_path) == other


@pytest.mark.parametrize("claim", [{"ETag": '"two"'}, {"Content_Range": "bytes 7-299999/300000"}])
def test_a_part_of_another_file_is_not_joined(server, tmp_path, claim):
    """The server does not look at If-Range, or answers with another range."""

    def wrong(handler, body):
        handler.begin(206, 200_000, **{"Content_Range": "bytes 100000-299999/300000"} | claim)
        handler.wfile.write(bytes(200_000))

    server.answers = [cut(100_000), wrong, whole]
    assert fetched(server, tmp_path) == BODY and ranges(server)[2] is None


def test_without_a_name_for_its_state_a_file_is_not_continued(server, tmp_path):
    server.tag = None
    server.answers = [cut(100_000)]
    assert fetched(server, tmp_path) == BODY and ranges(server) == [None, None]


def test_the_time_of_the_last_change_serves_too(server, tmp_path):
    changed = "Tue, 01 Oct 2019 10:00:00 GMT"

    def first(handler, body):
        handler.begin(200, len(body), ETag='W/"weak"', Last_Modified=changed)
        handler.wfile.write(body[:100_000])

    server.answers, server.tag = [first], changed  # the next answer takes this for what If-Range must say
    assert fetched(server, tmp_path) == BODY
    assert (ranges(server)[1], server.asked[1][1]["If-Range"]) == ("bytes=100000-", changed)


def test_a_part_that_is_longer_than_the_file_begins_anew(server, tmp_path):
    server.answers = [cut(100_000)] + [status(503)] * 5
    refusal(server, tmp_path)
    server.files["/file"] = BODY[:50_000]  # the server kept its tag
    assert download(f"{server.url}/file", tmp_path / "file", progress=False).read_bytes() == BODY[:50_000]


def test_a_busy_server_is_asked_again_when_it_says(server, tmp_path, pauses):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.answers = [status(429, Retry_After="7"), status(503, Retry_After=soon), status(429, Retry_After="soon")]
    assert fetched(server, tmp_path) == BODY
    assert pauses[0] == 7 and 0 <= pauses[1] <= 60 and pauses[2] == 8
    server.answers = [status(429, Retry_After="3600")]
    assert "answers 429 (Too Many Requests); it asks to wait for 3600 s" in refusal(server, tmp_path)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (status(404), "/file: answers 404 (Not Found)"),
        (status(403), "/file: answers 403 (Forbidden)"),
        (page, "/file: answers with a web page, not with the file"),
    ],
)
def test_what_will_not_change_is_told_at_once(server, tmp_path, pauses, answer, said):
    server.answers = [cut(1000), answer]
    assert said in refusal(server, tmp_path)
    assert len(pauses) == 1 and (tmp_path / "file.part").stat().st_size == 1000  # a log-in page costs nothing


def test_a_file_that_is_too_long_is_refused_whether_or_not_it_is_announced(server, tmp_path, monkeypatch):
    assert "has 0 MB, but 0 MB are expected at most" in refusal(server, tmp_path, largest=299_999)

    def endless(handler, body):
        handler.begin(200, None)
        handler.wfile.write(body)

    server.answers = [endless]
    assert "is longer than 0 MB, which is expected at most" in refusal(server, tmp_path, largest=299_999)
    usage = namedtuple("Usage", "total used free")(10**9, 10**9, 299_999)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    assert "has 0 MB, but 0 MB are free" in refusal(server, tmp_path / "full")


def test_a_length_that_is_not_announced_is_no_fault(server, tmp_path):
    def unannounced(handler, body):
        handler.begin(200, None)
        handler.wfile.write(body)

    server.answers = [unannounced]
    assert fetched(server, tmp_path) == BODY


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "file", "http://", "http://a b/c", "http://[/x"])
def test_what_is_no_address_is_refused(tmp_path, url):
    with pytest.raises(SopeduError, match=r"^[^\n]+$"):
        download(url, tmp_path / "file", progress=False)
    assert not (tmp_path / "file").exists()


def test_a_server_that_is_not_there_is_told_at_once(tmp_path, pauses):
    with served() as gone:
        pass
    assert "cannot be reached (Connection refused)" in refusal(gone, tmp_path) and pauses == []


def test_the_proxy_of_the_environment_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    path = download("http://weights.invalid/file", tmp_path / "file", progress=False)
    assert path.read_bytes() == BODY and server.asked[0][0] == "http://weights.invalid/file"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "file").unlink()
    assert download(f"{server.url}/file", path, progress=False).read_bytes() == BODY
    assert server.asked[1][0] == "/file"


ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(module.__file__).parent.parent)}
KILLED = """
import sys
from sopedu.download import download
download(sys.argv[1], sys.argv[2], progress=False)
"""


def test_killed_in_the_middle_the_same_bytes_come(server, tmp_path):
    path = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", KILLED, f"{server.url}/file", str(path)], env=ENVIRONMENT)

    def killing(handler, body):
        cut(200_000)(handler, body)
        handler.wfile.flush()
        part = path.with_name("file.part")
        while not part.exists() or part.stat().st_size == 0:
            server.ended.wait(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()

    server.answers = [killing]
    assert process.wait(60) == -signal.SIGKILL
    kept = path.with_name("file.part").stat().st_size
    assert not path.exists() and 0 < kept <= 200_000
    assert json.loads(path.with_name("file.part.json").read_text())["total"] == len(BODY)
    assert download(f"{server.url}/file", path, progress=False).read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={kept}-"]


def test_the_bar_shows_size_and_time_left(server, tmp_path, capsys):
    server.answers = [cut(100_000)]
    download(f"{server.url}/file", tmp_path / "file")
    shown = capsys.readouterr().err
    assert "file: 100%" in shown and "300k/300k" in shown
    assert "file: the connection ended after 100000 of 300000 bytes; trying again in 1 s" in shown
