"""Find out what the source of a data set is, and where the indexes of a prepared one are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sopedu.datasets.films import is_part, listed, require_folder
from sopedu.datasets.sources import ClassFolders, ListedFilms, Source
from sopedu.datasets.tars import TarParts
from sopedu.errors import SopeduError


def open_source(source: str | Path, films: str | Path | None = None) -> Source:
    """Find out what a source is.

    Args:
        source: a folder with one folder of films per class; a folder of tar parts, or one part; or a published list
            (see :func:`sopedu.datasets.read_list`).
        films: for a list: the folder with its films, or with tar parts.

    Raises:
        SopeduError: it is none of these, or a list is given without its films.
    """
    source = Path(source)
    if source.is_dir():
        if films is not None:
            raise SopeduError(f"{source}: is a folder of films itself; --films belongs to a list (JSON or CSV)")
        parts = _parts_in(source)
        if not parts:
            return ClassFolders(source)
        lists = [entry.path for entry in listed(source, lambda name: name.lower().endswith(".csv"))]
        if len(lists) > 1:
            raise SopeduError(f"{source}: holds several lists; name one: sopedu prepare LIST.csv --films {source}")
        return TarParts(parts, lists[0] if lists else None)
    if is_part(source.name):
        return TarParts([str(source)], None)
    if source.suffix.lower() not in (".json", ".csv"):
        raise SopeduError(
            f"{source}: is no folder of films and no list; give a folder, a .json, a .csv or a .tar.gz part"
        )
    if films is None:
        raise SopeduError(f"{source}: is a list; name the folder of its films too: --films FOLDER")
    films = Path(films)
    parts = [str(films)] if is_part(films.name) else _parts_in(films)
    return TarParts(parts, str(source)) if parts else ListedFilms(source, films)


def _parts_in(folder: Path) -> list[str]:
    return [entry.path for entry in listed(require_folder(folder, "films"), is_part) if entry.is_file()]


def index_files(places: Sequence[Path]) -> list[Path]:
    """Return the index files at some places: files as they are, of a folder its train.csv, val.csv and test.csv.

    Args:
        places: files and folders.

    Raises:
        SopeduError: a folder holds none of them.
    """
    found = []
    for place in places:
        inside = [place / name for name in ("train.csv", "val.csv", "test.csv") if (place / name).is_file()]
        if place.is_dir() and not inside:
            raise SopeduError(f"{place}: holds no train.csv, val.csv or test.csv; give the path of an index")
        found += inside or [place]
    return found
