"""Download a file: continued where it stopped, whole or not at all, through the proxy that the environment names."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine, HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, build_opener

from tqdm.auto import tqdm

from sopedu.errors import SopeduError
from sopedu.files import move_into_place, write_json, writing

_PATIENCE = 30.0  # seconds without a byte until a connection is given up
_TRIES = 5  # connections in a row that bring nothing new
_LONGEST_WAIT = 120.0  # seconds that a server may ask to wait
_BLOCK = 2**16  # bytes
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers that say: later
_sleep = time.sleep  # replaced in tests


class _LaterError(Exception):
    """A failure after which another try makes sense, perhaps after a wait in seconds."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class _Origin:
    """Where the beginning of an unfinished file came from; `version` names the state of the file at the server."""

    url: str
    version: str
    total: int


def download(url: str, path: str | Path, largest: int = 2**30, progress: bool = True) -> Path:
    """Download a file; after an error, Ctrl-C or a kill, the next call continues where it stopped.

    What is there of an unfinished file lies beside it, as ``FILE.part``. It is continued only if the server says that
    the file is still the same one (an entity tag, or the time of its last change); otherwise it begins anew. A busy
    server, a lost connection and silence for half a minute are tried again, with growing pauses or after the pause
    that the server asks for.

    Args:
        url: an address that begins with http:// or https://. Proxies are taken from ``http_proxy``, ``https_proxy``
            and ``no_proxy``.
        path: the file to write; one that is there is kept, and nothing is asked of the server.
        largest: bytes; a longer file is refused.
        progress: show a bar with the size, the rate and the time left.

    Returns:
        The path.

    Raises:
        SopeduError: the server cannot be found, has no such file, sends a page instead or too much, stays busy, or the
            disk is full.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise SopeduError(f"{url:.200}: is no address; it begins with http:// or https://")
    path = Path(path)
    if path.is_file():
        return path
    part = path.with_name(f"{path.name}.part")
    furthest, failures = _size(part), 0
    bar = tqdm(desc=path.name, unit="B", unit_scale=True, disable=not progress)
    with bar, writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                _continue(url, part, largest, bar)
                break
            except _LaterError as error:
                size = _size(part)
                failures = 0 if size > furthest else failures + 1
                furthest = max(furthest, size)
                pause = 2.0**failures if error.wait is None else error.wait
                if failures == _TRIES or pause > _LONGEST_WAIT:
                    asked = f"asks to wait for {pause:.0f} s" if error.wait else f"failed {failures} times"
                    raise SopeduError(
                        f"{url}: {error}; it {asked}: run the same command again later, it continues"
                    ) from error
                bar.clear()
                tqdm.write(f"{path.name}: {error}; trying again in {pause:.0f} s", file=sys.stderr)
                _sleep(pause)
        move_into_place(part, path)
        _notes(part).unlink(missing_ok=True)
    return path


def _continue(url: str, part: Path, largest: int, bar: tqdm) -> None:
    """Make one connection, and add what it brings to the part.

    Raises:
        _LaterError: the part is not whole yet.
        SopeduError: it will never be.
    """
    origin, size = _origin(part, url), _size(part)
    if origin and size == origin.total:
        return  # the process was killed just before it was renamed
    headers = {"User-Agent": "sopedu", "Accept-Encoding": "identity"}
    if origin and size:
        headers |= {"Range": f"bytes={size}-", "If-Range": origin.version}
    with _answer(url, headers, part) as answer:
        total = _total(answer)
        _check(url, answer, total, largest, shutil.disk_usage(part.parent).free + size)
        if answer.status == 206:
            if not (origin and _continues(answer.headers, origin, size, total)):
                part.unlink(missing_ok=True)
                raise _LaterError("the server continues another file than it began")
        else:
            part.unlink(missing_ok=True)
            size = 0
            write_json(_notes(part), asdict(_Origin(url, _version(answer.headers), total)))
        bar.reset(total or None)
        bar.initial = bar.n = bar.last_print_n = size  # what was there before does not count for the rate
        with part.open("ab") as file:
            for block in _blocks(answer):
                size += len(block)
                if size > largest:
                    raise SopeduError(f"{url}: is longer than {largest / 1e6:.0f} MB, which is expected at most")
                file.write(block)
                bar.update(len(block))
    if total and size != total:
        raise _LaterError(f"the connection ended after {size} of {total} bytes")


def _check(url: str, answer: HTTPResponse, total: int, largest: int, room: int) -> None:
    """Refuse what is not the file, or too long for what is expected or for the disk."""
    if answer.headers.get_content_type() == "text/html":
        raise SopeduError(f"{url}: answers with a web page, not with the file")
    if total > min(largest, room):
        most = f"{largest / 1e6:.0f} MB are expected at most" if total > largest else f"{room / 1e6:.0f} MB are free"
        raise SopeduError(f"{url}: has {total / 1e6:.0f} MB, but {most}")


def _continues(headers: Message, origin: _Origin, size: int, total: int) -> bool:
    """Whether an answer continues the same state of the same file where the part ends."""
    begins = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return (begins, total) == (str(size), origin.total) and _version(headers) in ("", origin.version)


def _answer(url: str, headers: dict[str, str], part: Path) -> HTTPResponse:
    """Ask the server; an error becomes a line, or a reason to try again."""
    try:
        return build_opener().open(Request(url, headers=headers), timeout=_PATIENCE)  # reads the proxies anew
    except HTTPError as error:
        with error:
            said = f"answers {error.code} ({error.reason})"
            if error.code == 416:  # the file is shorter than what is here of it
                part.unlink(missing_ok=True)
                raise _LaterError(said) from error
            if error.code in _BUSY:
                raise _LaterError(said, _wait(error.headers)) from error
            raise SopeduError(f"{url}: {said}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError | ConnectionResetError | ConnectionAbortedError | BadStatusLine):
            raise _LaterError(_said(reason)) from error
        raise SopeduError(f"{url:.300}: cannot be reached ({_said(reason)})") from error


def _blocks(answer: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := answer.read1(_BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _LaterError(_said(error)) from error


def _said(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {_PATIENCE:.0f} s"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())[:200]


def _total(answer: HTTPResponse) -> int:
    """Bytes of the whole file; 0 if the server does not say."""
    said = answer.headers
    text = said.get("Content-Range", "").rpartition("/")[2] if answer.status == 206 else said.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _version(headers: Message) -> str:
    """What names the state of a file: a strong entity tag, else the time of the last change, else nothing."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _wait(headers: Message) -> float | None:
    """Seconds that the server asks to wait for."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _origin(part: Path, url: str) -> _Origin | None:
    """Where the part came from; None if that is unknown, elsewhere, or cannot be continued."""
    try:
        origin = _Origin(**json.loads(_notes(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return origin if origin.url == url and origin.version and origin.total else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
