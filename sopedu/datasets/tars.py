"""Films in tar parts, as VGGSound is passed on: read in turn, without unpacking a part to the disk.

A member's name is never a path here: a film is copied to a name of our own. Damaged members are left out and named.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from sopedu.datasets.films import film_names, is_film, video_of
from sopedu.datasets.ledger import Row
from sopedu.datasets.lists import Wanted, read_list
from sopedu.datasets.names import file_name
from sopedu.datasets.sources import Item, missing, protocol_of, row_of
from sopedu.errors import SopeduError
from sopedu.files import writing

_LARGEST_MEMBER = 4 * 1024**3  # bytes
_DAMAGES = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)


class TarParts:
    """The films in tar parts.

    Args:
        parts: paths of the parts, ``.tar`` or ``.tar.gz``.
        path: of the list that gives the classes; None: a member's folder is its class.
    """

    counted = False

    def __init__(self, parts: Sequence[str], path: str | None) -> None:
        self.parts, self.notes = list(parts), list[str]()
        self.protocol = protocol_of(Path(path)) if path else "seeded"
        self._wanted: dict[str, list[Wanted]] | None = None
        self._rows = 0
        if path:
            self._wanted = {}
            for wanted in read_list(path):
                self._wanted.setdefault(wanted.video, []).append(wanted)
                self._rows += 1

    def items(self, skip: Callable[[Row], bool], spool: Path) -> Iterator[Item]:
        """Yield the films of all parts, then the rows that no part has; see `Source`."""
        self.notes.clear()
        found = bytearray(self._rows)
        for part in self.parts:
            for tar, member in self._members(part):
                yield from self._of_member(tar, member, part, skip, spool, found)
        for wanted in (wanted for same in (self._wanted or {}).values() for wanted in same):
            if not found[wanted.place]:
                row = row_of(wanted)
                yield Item(row if row.state else missing(row, "in none of the tar parts"))

    def _members(self, part: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        """Yield the members of a part that are films; note what is damaged."""
        name, last, expected = Path(part).name, "its beginning", 0
        plain = part.lower().endswith(".tar")
        try:
            # ignore_zeros: after a damaged header the next good one is looked for.
            with tarfile.open(part, "r:" if plain else "r|gz", ignore_zeros=True) as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # else memory would grow with their number
                    if member.offset > expected:
                        self.notes.append(f"{name}: {member.offset - expected} bytes after {last} are damaged")
                    expected = tar.offset
                    last = _printed(member.name)
                    if member.isdir() or not is_film(PurePosixPath(member.name).name):
                        continue
                    if not member.isreg() or _leads_out(member.name) or member.size > _LARGEST_MEMBER:
                        self.notes.append(f"{name}: {last} is refused: a link, a path that leads out, or too large")
                        continue
                    yield tar, member
        except _DAMAGES as error:
            self.notes.append(f"{name}: cannot be read after {last} ({error}); copy this part again")

    def _of_member(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, part: str, skip: Callable[[Row], bool], spool: Path,
        found: bytearray,
    ) -> Iterator[Item]:  # fmt: skip
        path = PurePosixPath(member.name)
        rows = list(self._rows_of(path, found))
        if all(skip(row) or row.state for row, _, _ in rows):
            yield from (Item(row) for row, _, _ in rows)
            return
        yield from (Item(row) for row, _, _ in rows if row.state)
        rows = [wanted for wanted in rows if not wanted[0].state]
        copies = [spool / f"{secrets.token_hex(8)}{path.suffix.lower()}" for _ in rows]
        if rows and not self._copied(tar, member, copies[0]):
            self.notes.append(f"{Path(part).name}: {_printed(member.name)} is damaged and left out")
            yield from (Item(_damaged(row, Path(part).name)) for row, _, _ in rows)
            return
        for copy in copies[1:]:  # several clips of one film
            shutil.copyfile(copies[0], copy)
        for copy, (row, seconds, cut) in zip(copies, rows, strict=True):
            yield Item(row, str(copy), seconds, cut, temporary=True)

    def _rows_of(self, path: PurePosixPath, found: bytearray) -> Iterator[tuple[Row, float | None, bool]]:
        """Yield (row, seconds, cut) for the rows that a member belongs to."""
        name = path.stem
        if self._wanted is None:
            label = file_name(path.parent.name or "unsorted")
            yield Row(file_name(name), label, "", video=video_of(name)), None, False
            return
        for video in {video_of(name), name, name.removeprefix("Y")}:
            for wanted in self._wanted.get(video, ()):
                cut = dict(film_names(wanted)).get(name)
                if cut is not None and not found[wanted.place]:
                    found[wanted.place] = 1
                    yield row_of(wanted), wanted.seconds, cut

    @staticmethod
    def _copied(tar: tarfile.TarFile, member: tarfile.TarInfo, copy: Path) -> bool:
        """Copy a member to a file; return whether all of it was there."""
        try:
            content = tar.extractfile(member)
            with writing(copy), open(copy, "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            return os.path.getsize(copy) == member.size
        except SopeduError:
            copy.unlink(missing_ok=True)
            raise
        except _DAMAGES:
            copy.unlink(missing_ok=True)
            return False


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name


def _printed(name: str) -> str:
    return " ".join(name.encode("utf-8", "replace").decode().split())[:120]


def _damaged(row: Row, part: str) -> Row:
    from dataclasses import replace

    return replace(row, state="damaged", reason=f"its member of {part} is cut off or damaged")
