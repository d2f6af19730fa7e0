"""Registries: the named choices of a configuration field."""

from __future__ import annotations

from typing import Any, TypeVar

from sopedu.errors import SopeduError

Entry = TypeVar("Entry")

#: Registries by the names of the fields that choose from them.
REGISTRIES: dict[str, Registry[Any]] = {}


class Registry(dict[str, Entry]):
    """The named choices of a field; an added entry is a valid value of the field at once.

    Args:
        fields: the fields that choose an entry, e.g. ``loss.kind``; several with spaces between them.
        entries: those that come with sopedu.
    """

    def __init__(self, fields: str, entries: dict[str, Entry]) -> None:
        super().__init__(entries)
        self.fields = fields
        REGISTRIES.update(dict.fromkeys(fields.split(), self))

    def __missing__(self, name: str) -> Entry:
        raise SopeduError(f"configuration: {self.fields}: no {name!r}; choose one of {', '.join(self)}")
