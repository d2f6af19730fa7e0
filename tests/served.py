"""A local web server whose answers a test chooses one by one: it stands for any address."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; the first of `server.answers` that is left answers instead."""

    def do_GET(self) -> None:
        """Answer one request."""
        self.server.asked.append((self.path, dict(self.headers)))
        body = self.server.files.get(re.sub(r"^http://[^/]+", "", self.path))
        if body is None:
            self.send_error(404)
        else:
            (self.server.answers.pop(0) if self.server.answers else whole)(self, body)

    def begin(self, status: int, length: int | None, **headers: str) -> None:
        """Send the head of an answer; `_` in the name of a header stands for `-`."""
        self.send_response(status)
        said = {"Content_Length": length, "ETag": self.server.tag, "Content_Type": "application/octet-stream"}
        for name, value in (said | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def whole(handler: Handler, body: bytes) -> None:
    """What a good server does: the part that is asked for, if the file is still the one that was begun."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if asked is None or handler.headers.get("If-Range", handler.server.tag) != handler.server.tag:
        return without_ranges(handler, body)
    begin = int(asked[1])
    if begin >= len(body):
        return handler.begin(416, 0, Content_Range=f"bytes */{len(body)}")
    part = body[begin:]
    handler.begin(206, len(part), Content_Range=f"bytes {begin}-{len(body) - 1}/{len(body)}")
    handler.wfile.write(part)
    return None


def without_ranges(handler: Handler, body: bytes) -> None:
    """The whole file, whatever part is asked for."""
    handler.begin(200, len(body))
    handler.wfile.write(body)


def cut(count: int) -> Answer:
    """The beginning, then the connection ends."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.begin(200, len(body))
        handler.wfile.write(body[:count])

    return answer


def stalled(count: int) -> Answer:
    """The beginning, then nothing for as long as the server lives."""

    def answer(handler: Handler, body: bytes) -> None:
        cut(count)(handler, body)
        handler.wfile.flush()
        handler.server.ended.wait()

    return answer


def status(code: int, **headers: str) -> Answer:
    """An error."""
    return lambda handler, _: handler.begin(code, 0, **headers)


def page(handler: Handler, _: bytes) -> None:
    """What a portal answers to any request."""
    text = b"<html>Please log in</html>"
    handler.begin(200, len(text), Content_Type="text/html; charset=utf-8")
    handler.wfile.write(text)


class Server(ThreadingHTTPServer):
    """The server: `files` by path, `answers` for the next requests, `asked` for what was asked."""

    daemon_threads, block_on_close = True, False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tag: str | None = '"one"'
        self.ended = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error here."""


@contextmanager
def served(**files: bytes) -> Iterator[Server]:
    """A server with these files, for as long as the block runs."""
    with Server() as server:
        server.files = {f"/{name}": body for name, body in files.items()}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()
