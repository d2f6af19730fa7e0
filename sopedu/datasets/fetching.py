"""Fetch the films of a published list, politely and once each: ``sopedu fetch``.

One film after the other is asked for, with pauses; whole films in a small size, because cutting at the address is not
exact (`sopedu prepare` cuts). What became of each is in the ledger ``clips.csv``. A run that was stopped or killed goes
on when it is started again: a film that is there, private or removed is never asked for again.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from sopedu.datasets.films import is_film
from sopedu.datasets.ledger import AGAIN, OK, Log, Row, read_log, write_ledger
from sopedu.datasets.lists import read_list
from sopedu.datasets.names import is_addressable
from sopedu.datasets.sources import row_of
from sopedu.errors import SopeduError, real_number, whole_number
from sopedu.files import move_into_place, require_file, writing

YOUTUBE = "https://www.youtube.com/watch?v={id}"
LEDGER = "clips.csv"
_WORK = ".fetch"  # folder of the log and of unfinished films
_TRIES = 3  # per film, before its state is network or bot-check
_BACK_OFF = 30.0  # seconds before the second try; doubled before the third
_DOWN_AFTER = 5  # films in a row that the network did not give: then it is down
_LARGEST = 4 * 1024**3  # bytes of a film
_LONGEST = 4 * 3600  # seconds
_SPARE = 2 * 1024**3  # bytes that stay free on the disk
# State → what yt-dlp says, in the order in which they are looked for.
_SAID = {
    "bot-check": r"not a bot|captcha|HTTP Error 429|Too Many Requests|unusual traffic",
    "private": r"private video|is private|members[- ]only|join this channel|login required|requires payment",
    "age": r"confirm your age|age[- ]restricted|inappropriate for some users",
    "region": r"in your country|geo[- ]?restrict|your (region|location)|blocked it in",
    "format": r"requested format is not available|no video formats|unsupported url|DRM|live event|does not pass filter"
    r"|larger than max-filesize",
    "removed": r"video unavailable|not available|been removed|terminated|no longer|does not exist|HTTP Error (404|410)",
}


@dataclass(frozen=True)
class Fetched:
    """What a run has done.

    Attributes:
        out: folder of the films.
        states: state → number of videos in the ledger.
        coverage: split → class → (videos that are there, videos in the list); the split ``""`` if there is none.
        stopped: why the run ended before the end of the list; empty if it did not.
    """

    out: Path
    states: dict[str, int]
    coverage: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    stopped: str = ""


def fetch(
    path: str | Path,
    out: str | Path,
    *,
    address: str = YOUTUBE,
    height: int = 360,
    pause: tuple[float, float] = (5.0, 10.0),
    cookies: str | Path | None = None,
    proxy: str | None = None,
    limit: int | None = None,
    sleep: Callable[[float], object] = time.sleep,
    progress: bool = True,
) -> Fetched:
    """Fetch the films of a list with yt-dlp; run it again to go on.

    Ask yourself whether you may: the terms of the address and the licences of the films are yours to respect.

    Args:
        path: a list that :func:`sopedu.datasets.read_list` reads.
        out: folder of the films, ``ID.mp4``; made if it does not exist.
        address: of a film, with ``{id}`` in it.
        height: of the pictures at most, in pixels; the smallest larger one if there is no other.
        pause: shortest and longest seconds between two films.
        cookies: file of cookies in Netscape's format, passed to yt-dlp.
        proxy: passed to yt-dlp; None: that of the system.
        limit: how many films to ask for in this run; None: all.
        sleep: waits for some seconds.
        progress: whether to show a bar.

    Raises:
        SopeduError: yt-dlp is not installed, the list or an option cannot be used, or `out` cannot be written.
    """
    if not re.match(r"https?://[^{}\s]+", address) or "{id}" not in address:
        raise SopeduError(f"address={address:.100}: write an address with {{id}} in it, such as {YOUTUBE}")
    low, high = (real_number(seconds, "pause", 0.0, 3600.0) for seconds in pause)
    options = _options(whole_number(height, "height", 1, 4320), cookies, proxy)
    root = Path(out)
    with writing(root):
        (root / _WORK).mkdir(parents=True, exist_ok=True)
    with _locked(root), Log(root / _WORK / "rows.csv") as log:
        known = {row.key: row for name in (LEDGER, f"{_WORK}/rows.csv") for row in _rows_in(root / name)}
        videos = _videos(path)
        left = [row for row in videos if known.get(row.key, row).state in {"", *AGAIN}]
        queue = _Queue(root, address, options, sleep, (low, high))
        stopped = ""
        for row in tqdm(left[:limit], desc="fetching", unit="film", disable=not progress):
            if shutil.disk_usage(root).free < _SPARE:
                stopped = f"less than {_SPARE >> 30} GB are free at {root}; make room, then run this again"
                break
            row = row if row.state else queue.fetched(row)
            log.add(row)
            known[row.key] = row
            if stopped := queue.stopped:
                break
        rows = [known.get(row.key, row) for row in videos]
        write_ledger(root / LEDGER, (row for row in rows if row.state))
        states = dict(sorted(Counter(row.state or "not asked for" for row in rows).items()))
        return Fetched(root, states, _coverage(path, {row.video for row in rows if row.state == OK}), stopped)


class _Queue:
    """Asks for one film at a time, with pauses, and says when to stop."""

    def __init__(
        self, root: Path, address: str, options: dict[str, Any], sleep: Callable[[float], object],
        pause: tuple[float, float],
    ) -> None:  # fmt: skip
        self._root, self._address, self._options, self._sleep, self._pause = root, address, options, sleep, pause
        self._asked, self._lost = False, 0
        self.stopped = ""

    def fetched(self, row: Row) -> Row:
        """Fetch the film of a row; return the row with its state."""
        if not is_addressable(row.video):
            return replace(row, state="refused", reason="its identifier cannot be a part of an address")
        if self._asked:
            self._sleep(random.uniform(*self._pause))
        self._asked = True
        for tried in range(1, _TRIES + 1):
            state, said, seconds = self._try(row)
            proof = state == "bot-check" and "429" not in said  # asking again would make it worse
            if state not in ("network", "bot-check") or proof or tried == _TRIES:
                break
            self._sleep(_BACK_OFF * 2 ** (tried - 1))
        self._lost = self._lost + 1 if state == "network" else 0
        if state == "bot-check":
            self.stopped = (
                "the address asks whether a person is asking; more requests would make it worse: wait some hours, or "
                "pass the cookies of a browser with --cookies, then run this again"
            )
        elif self._lost >= _DOWN_AFTER:
            self.stopped = f"the network gave none of the last {_DOWN_AFTER} films; run this again when it is back"
        return replace(row, state=state, reason=" ".join(said.split())[:300], duration=seconds)

    def _try(self, row: Row) -> tuple[str, str, float | None]:
        """Return (state, reason, seconds)."""
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import YoutubeDLError

        work = self._root / _WORK / f"film {row.video}"  # what an earlier run left there is continued
        place = str(work).replace("%", "%%")
        options = {**self._options, "outtmpl": {"default": f"{place}/film.%(ext)s"}}
        try:
            with writing(work):
                work.mkdir(exist_ok=True)
            with YoutubeDL(options) as downloader:
                found = downloader.extract_info(self._address.replace("{id}", row.video)) or {}
        except YoutubeDLError as error:
            said = re.sub(r"\x1b\[[0-9;]*m|^ERROR: ", "", str(error))
            return state_of(said), said, None
        files = [file for file in work.iterdir() if is_film(file.name)] if "entries" not in found else []
        if not files:
            shutil.rmtree(work, ignore_errors=True)
            return "format", "there is no single film of a size and length that is taken", None
        with writing(self._root):
            move_into_place(files[0], self._root / f"{row.video}{files[0].suffix.lower()}")
        shutil.rmtree(work, ignore_errors=True)
        seconds = found.get("duration")
        return OK, "", float(seconds) if seconds else None


def state_of(said: str) -> str:
    """Return the state for an error of yt-dlp; one that nobody knows counts as ``network`` and is tried again.

    Args:
        said: its text.
    """
    return next((state for state, words in _SAID.items() if re.search(words, said, re.IGNORECASE)), "network")


def _options(height: int, cookies: str | Path | None, proxy: str | None) -> dict[str, Any]:
    try:
        from yt_dlp.utils import match_filter_func
    except ImportError as error:
        raise SopeduError("fetching needs yt-dlp, which is not installed: pip install 'sopedu[fetch]'") from error
    small = f"[height<=?{height}]"
    joined = f"bv*{small}+ba/b{small}/wv*+ba/w" if shutil.which("ffmpeg") else f"b{small}/w"
    return {
        "format": joined,
        "format_sort": ["vcodec:h264", "acodec:aac"],  # what is decoded fastest
        "merge_output_format": "mp4/mkv",
        "noplaylist": True,
        "max_filesize": _LARGEST,
        "match_filter": match_filter_func([f"duration<?{_LONGEST} & !is_live"]),
        "cookiefile": str(require_file(cookies)) if cookies is not None else None,
        "proxy": proxy,
        "socket_timeout": 30,
        "retries": 2,
        "cachedir": False,
        "quiet": True,
        "noprogress": True,
        "logger": _Silent(),
    }


class _Silent:
    """Takes what yt-dlp says; errors are raised as well, and end in the ledger."""

    def debug(self, said: str) -> None:
        """Take a line."""

    info = warning = error = debug


def _videos(path: str | Path) -> list[Row]:
    """Return one row per video of a list, with its first class and split."""
    rows: dict[str, Row] = {}
    for wanted in read_list(path):
        if wanted.video not in rows:
            rows[wanted.video] = row_of(replace(wanted, start=None, seconds=None))
    return list(rows.values())


def _coverage(path: str | Path, there: set[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return split → class → (rows of the list whose film is there, rows)."""
    covered: dict[str, dict[str, tuple[int, int]]] = {}
    for wanted in read_list(path):
        row = row_of(wanted)
        of_split = covered.setdefault(row.split, {})
        have, total = of_split.get(row.label, (0, 0))
        of_split[row.label] = (have + (wanted.video in there), total + 1)
    return covered


def _rows_in(path: Path) -> list[Row]:
    return list(read_log(path)) if path.exists() else []


def _locked(root: Path) -> Any:
    from filelock import FileLock, Timeout

    try:
        return FileLock(root / _WORK / "lock", timeout=0).acquire()
    except Timeout as error:
        raise SopeduError(f"{root}: another run is fetching into this folder; wait for it") from error
