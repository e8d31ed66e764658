"""Checks and shows people's names."""

import re
import shlex
import unicodedata
from collections.abc import Iterable

from edgeface.errors import GalleryError
from edgeface.platform.text import JOINERS

MAX_NAME = 100


def quoted(name: str) -> str:
    """Return a name that somebody gave, for messages: on one line, and shortened."""
    shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
    return "'" + "".join(one if one in JOINERS else repr(one)[1:-1] for one in shown) + "'"


def argument(name: str) -> str:
    """Return a name as an argument for a shell and our commands."""
    return "-- " * name.startswith("-") + shlex.quote(name)


def clean_name(name: str) -> str:
    """Return a name as kept: NFC, without outer blanks. Raise ``GalleryError`` if it is empty, too long or unprintable."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise GalleryError("the name is not valid UTF-8") from None
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > MAX_NAME or not re.sub(rf"(?<=\S)[{JOINERS}](?=\S)", "", name).isprintable():
        raise GalleryError(f"{quoted(name)} is no name: it needs 1 to {MAX_NAME} printable characters")
    return name


def other_case(name: str, names: Iterable[str]) -> str | None:
    """Return the name that differs from ``name`` by the case of letters only."""
    return next((one for one in names if one != name and one.casefold() == name.casefold()), None)
