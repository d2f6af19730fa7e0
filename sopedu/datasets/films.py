"""Films on disk: folders of them, and which file belongs to a row of a published list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sopedu.datasets.disk import temporary_database
from sopedu.datasets.lists import Wanted
from sopedu.errors import SopeduError

FILM_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts"})
PART_ENDINGS = (".tar", ".tar.gz", ".tgz")
_DEEPEST = 3  # folders below the folder of films that are looked into
_NEAR_NAMES = 3  # near-misses that are named


@dataclass(frozen=True, slots=True)
class Film:
    """A file that belongs to a row of a list.

    Attributes:
        path: of the file.
        name: its name without the ending.
        cut: whether its name says that it holds only the wanted seconds.
    """

    path: str
    name: str
    cut: bool


def require_folder(path: str | Path, what: str) -> Path:
    """Return the path of a folder that can be listed.

    Args:
        path: of the folder.
        what: it should hold, for the error.

    Raises:
        SopeduError: it is missing, a file, or may not be read.
    """
    path = Path(path)
    try:
        os.scandir(path).close()
    except OSError as error:
        raise SopeduError(f"{path!s:.200}: cannot be listed ({error.strerror}); give a folder of {what}") from error
    return path


def is_film(name: str) -> bool:
    """Return whether a file looks like a film by its name; hidden files do not.

    Args:
        name: of the file, without its folder.
    """
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in FILM_SUFFIXES


def is_part(name: str) -> bool:
    """Return whether a file looks like a tar part by its name.

    Args:
        name: of the file, without its folder.
    """
    return not name.startswith(".") and name.lower().endswith(PART_ENDINGS)


def listed(folder: str | Path, wanted: Callable[[str], bool] = lambda name: True) -> list[os.DirEntry[str]]:
    """Return what a folder holds, sorted by name, without hidden entries.

    Args:
        folder: its path.
        wanted: whether an entry of this name is returned.
    """
    with os.scandir(folder) as entries:
        kept = (entry for entry in entries if not entry.name.startswith(".") and wanted(entry.name))
        return sorted(kept, key=lambda entry: entry.name)


def films_by_class(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (name of the class, path) of the films in ``FOLDER/<class>/``, sorted.

    Args:
        folder: holds one folder per class.
    """
    for entry in listed(folder):
        if entry.is_dir():
            for film in listed(entry.path):
                if is_film(film.name) and film.is_file():
                    yield entry.name, film.path


class FilmFolder:
    """The films below a folder, found by the identifier and the time that a list gives.

    Names are looked up among those that the folder holds, so nothing in a list can lead out of it.

    Args:
        folder: with films, also in folders below.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Of films with one name the first counts, folder by folder in the order of names; \0 is below all letters.
        self._database = temporary_database("CREATE TABLE film (name BLOB PRIMARY KEY, path BLOB) WITHOUT ROWID")
        self._database.executemany(
            "INSERT INTO film VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET path = excluded.path "
            "WHERE excluded.path < path",
            (
                (_bytes(os.path.splitext(os.path.basename(path))[0]), _bytes(path.replace(os.sep, "\0")))
                for path in self._walk("", 0)
            ),
        )
        self._has_videos = False

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM film").fetchone()[0]

    def _walk(self, below: str, depth: int) -> Iterator[str]:
        """Yield the paths of films below a folder, in any order."""
        with os.scandir(os.path.join(self.folder, below)) as entries:
            for entry in entries:
                path = os.path.join(below, entry.name)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    if depth < _DEEPEST:
                        yield from self._walk(path, depth + 1)
                elif is_film(entry.name) and entry.is_file():  # opening a pipe would wait for ever
                    yield path

    def _path(self, name: str) -> str | None:
        """Return the path of the film of a name below the folder, or None."""
        found = self._database.execute("SELECT path FROM film WHERE name = ?", (_bytes(name),)).fetchone()
        return found and found[0].decode("utf-8", "surrogatepass").replace("\0", os.sep)

    def find(self, wanted: Wanted) -> Film | None:
        """Return the film of a row, or None.

        Args:
            wanted: the row.
        """
        for name, cut in film_names(wanted):
            if (path := self._path(name)) is not None:
                return Film(os.path.join(self.folder, path), name, cut)
        return None

    def near(self, wanted: Wanted) -> list[str]:
        """Return names of files that may be meant: other times of the video, or other capital letters.

        Args:
            wanted: a row that :meth:`find` found nothing for.
        """
        if not self._has_videos:
            self._has_videos = True
            self._database.execute("CREATE TABLE video (key BLOB, name BLOB, PRIMARY KEY (key, name)) WITHOUT ROWID")
            films = self._database.execute("SELECT name FROM film")
            names = (name.decode("utf-8", "surrogatepass") for (name,) in films)
            keys = ((_bytes(key.lower()), _bytes(name)) for name in names for key in {name, video_of(name)})
            self._database.executemany("INSERT OR IGNORE INTO video VALUES (?, ?)", keys)
        paths = self._database.execute(
            "SELECT DISTINCT name, path FROM video JOIN film USING (name) WHERE key IN (?, ?) ORDER BY name LIMIT ?",
            (_bytes(wanted.video.lower()), _bytes(wanted.clip.lower()), _NEAR_NAMES),
        )
        return [path.rpartition(b"\0")[2].decode("utf-8", "surrogatepass") for _, path in paths]


def _bytes(name: str) -> bytes:
    """Return a name as a database takes it: the name of a file may be no text."""
    return name.encode("utf-8", "surrogatepass")


def video_of(name: str) -> str:
    """Return the identifier in the name of a film: without the numbers that are joined to it by ``_``.

    Args:
        name: without ending, such as ``ID_000030`` or ``ID_30000_40000``.
    """
    parts = name.split("_")
    while len(parts) > 1 and parts[-1].replace(".", "", 1).isdigit():
        parts.pop()
    return "_".join(parts) if any(parts) else name


def film_names(wanted: Wanted) -> list[tuple[str, bool]]:
    """Return the names under which people store a clip, and whether the name says that it is cut already.

    Args:
        wanted: a row of a list.

    Returns:
        (name without ending, whether it is cut), the most exact first: ``ID_000030``, ``ID_30``, ``ID_30000_40000``,
        ``ID_30.000_40.000``, ``ID_30_40``, ``ID`` and AudioSet's ``YID``.
    """
    video, names = wanted.video, list[tuple[str, bool]]()
    if wanted.start is not None:
        start, end = wanted.start, wanted.start + (wanted.seconds or 0)
        times = [f"{start * 1000:.0f}_{end * 1000:.0f}", f"{start:.3f}_{end:.3f}", f"{start:.1f}_{end:.1f}"]
        if start == int(start):
            times = [f"{int(start):06d}", f"{int(start)}", *times, f"{int(start)}_{end:g}"]
        names = [(f"{video}_{time}", True) for time in times]
        names += [(f"Y{name}", True) for name, _ in names]
    return [*names, (video, False), (f"Y{video}", False)]
