"""Names from lists and folders become names of files that stay in the data folder, on every system.

An identifier, a class or a path in a published list is text that somebody else wrote: it may hold ``../``, a null
byte, 300 letters, or a name that Windows reserves. Here such text is either changed to a harmless name or refused.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from sopedu.errors import SopeduError

_LONGEST = 100  # bytes of a name; the ends of file names are added to it
_FORBIDDEN = set('/\\:*?"<>|')
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_ADDRESSABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control characters, direction marks, halves of characters


@lru_cache(maxsize=4096)  # a list repeats its classes
def file_name(text: str) -> str:
    """Return a text as a name of one file or folder; most texts stay as they are.

    Forbidden characters become ``_``; a name that had to be changed ends in eight digits of its hash, so that two
    different texts never get one name. Unicode is written in its composed form (NFC).

    Args:
        text: for example a class or the name of a film.

    Raises:
        SopeduError: the text is empty.
    """
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    if not composed:
        raise SopeduError("a name is empty; give every class and every film a name")
    name = "".join(
        "_" if letter in _FORBIDDEN or unicodedata.category(letter) in _UNSEEN else letter for letter in composed
    )
    name = name.rstrip(".")
    if name[:1] in ("", ".", "-", "~"):
        name = f"_{name}"
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) > _LONGEST:
        name = name.encode()[: _LONGEST - 9].decode("utf-8", "ignore").rstrip(" .")
    if name == composed:
        return name
    mark = hashlib.sha256(composed.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name.encode()[: _LONGEST - 9].decode('utf-8', 'ignore')}-{mark}"


def require_identifier(text: str) -> str:
    """Return the identifier of a video if it can be the name of a file as it is; a leading ``-`` is allowed.

    Args:
        text: from a list.

    Raises:
        SopeduError: it holds a character that a file name may not hold, is empty or too long.
    """
    if text.strip("-") and is_addressable(text) and not _RESERVED.fullmatch(text):
        return text
    if not text.strip("-") or file_name(text.lstrip("-")) != text.lstrip("-") or len(text.encode()) > _LONGEST - 20:
        raise SopeduError(f"{text[:60]!r} is not the identifier of a video")
    return text


def is_addressable(text: str) -> bool:
    """Return whether an identifier can be a part of an address on the web as it is.

    Args:
        text: from a list.
    """
    return _ADDRESSABLE.fullmatch(text) is not None
