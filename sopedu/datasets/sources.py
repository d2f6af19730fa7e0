"""Where clips come from: folders of films per class, or a list with its films (`tars` has the tar parts)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sopedu.datasets.films import FilmFolder, films_by_class
from sopedu.datasets.ledger import Row
from sopedu.datasets.lists import Wanted, read_list
from sopedu.datasets.names import file_name, require_identifier
from sopedu.errors import SopeduError

# An identifier of eleven characters and a time: clips of one video, which must not come into different splits.
_CUT_FILM = re.compile(r"(?P<video>[A-Za-z0-9_-]{11})_\d{1,6}(\.\d+)?(_\d{1,7}(\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Item:
    """One clip of a source.

    Attributes:
        row: for the ledger; with a state if there is nothing to prepare.
        film: path of the film; empty if there is none.
        seconds: length of the clip; None: the whole film.
        cut: whether the film holds only the wanted seconds.
        temporary: whether the film is a copy that is removed afterwards.
    """

    row: Row
    film: str = ""
    seconds: float | None = None
    cut: bool = False
    temporary: bool = False


class Source(Protocol):
    """Where clips come from; :func:`sopedu.datasets.opening.open_source` finds out.

    Attributes:
        protocol: how its clips are split if nothing else is asked for, see :mod:`sopedu.datasets.splits`.
        counted: whether going through all items reads no films, so that they can be counted first.
        notes: what a user should know about it, one line each; complete once all items were read.
    """

    protocol: str
    counted: bool
    notes: list[str]

    def items(self, skip: Callable[[Row], bool], spool: Path) -> Iterator[Item]:
        """Yield all clips, always in the same order.

        Args:
            skip: whether the film of a clip is not needed.
            spool: folder for copies of films.
        """
        ...


class ClassFolders:
    """The films in ``FOLDER/<class>/``.

    Args:
        folder: holds one folder per class.
    """

    counted, protocol = True, "seeded"

    def __init__(self, folder: Path) -> None:
        self.folder, self.notes = folder, list[str]()
        if next(films_by_class(folder), None) is None:
            raise SopeduError(f"{folder}: holds no films in folders of classes, FOLDER/flute/a.mp4; make such folders")

    def items(self, skip: Callable[[Row], bool], spool: Path) -> Iterator[Item]:
        """Yield all films; see :class:`Source`."""
        taken: set[str] = set()
        for label, path in films_by_class(self.folder):
            name = Path(path).stem
            cut = _CUT_FILM.fullmatch(name)
            row = Row(_own_name(name), file_name(label), "", video=cut["video"] if cut else f"{label}/{name}")
            if row.key in taken:  # take.mp4 and take.mov are two films
                row = Row(_own_name(Path(path).name), row.label, "", video=row.video)
            taken.add(row.key)
            yield Item(row, path)


def _own_name(name: str) -> str:
    """Return the name of a clip from that of a film; a leading ``-`` stays, as identifiers have it."""
    return name if name.startswith("-") and _CUT_FILM.fullmatch(name) else file_name(name)


class ListedFilms:
    """The films of a published list.

    Args:
        path: of the list.
        folder: with the films.
    """

    counted = True

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.films, self.notes = path, FilmFolder(folder), list[str]()
        self.protocol = protocol_of(path)
        if not len(self.films):
            raise SopeduError(f"{folder}: holds no films; give the folder with the films of {path}")

    def items(self, skip: Callable[[Row], bool], spool: Path) -> Iterator[Item]:
        """Yield all rows of the list; see :class:`Source`."""
        for wanted in read_list(self.path):
            row = row_of(wanted)
            if row.state:
                yield Item(row)
                continue
            film = self.films.find(wanted)
            if film is not None:
                yield Item(row, film.path, wanted.seconds, film.cut)
                continue
            near = "" if skip(row) else ", ".join(self.films.near(wanted))
            yield Item(missing(row, f"no film of this name; near: {near}" if near else "no film of this name"))


def protocol_of(path: Path) -> str:
    """Return how the clips of a list are usually split.

    Args:
        path: of the list.
    """
    return "music" if path.suffix.lower() == ".json" else "listed"


def missing(row: Row, reason: str) -> Row:
    """Return the row of a clip without a film.

    Args:
        row: of the clip.
        reason: in one line.
    """
    from dataclasses import replace

    return replace(row, state="missing", reason=reason)


def row_of(wanted: Wanted) -> Row:
    """Return the row of a clip of a list; with the state ``refused`` if its names cannot be names of files.

    Args:
        wanted: the row of the list.
    """
    how = {"video": wanted.video, "start": wanted.start, "split": wanted.split, "place": wanted.place}
    try:
        require_identifier(wanted.video)
        return Row(wanted.clip, file_name(wanted.label), "", **how)
    except SopeduError as error:
        how["video"] = file_name(wanted.video or "nameless")
        return Row(how["video"], file_name(wanted.label or "nameless"), "refused", str(error), **how)
