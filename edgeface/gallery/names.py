"""People's names: what one may be, and how it is shown."""

import re
import shlex
import unicodedata

from edgeface.errors import GalleryError

MAX_NAME = 100
JOINERS = "\u200c\u200d"
"""Zero-width: Persian, Sinhala and others need them in names, and Python does not count them as printable."""


def quoted(name: str) -> str:
    """What somebody gave as a name, for messages: in one line, and not all of it."""
    shown = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
    return "'" + "".join(one if one in JOINERS else repr(one)[1:-1] for one in shown) + "'"


def argument(name: str) -> str:
    """A name as a shell and our commands take it."""
    return "-- " * name.startswith("-") + shlex.quote(name)


def clean_name(name: str) -> str:
    """A name as it is kept: NFC, without outer blanks.

    Raises:
        GalleryError: it is empty, over 100 characters, or has unprintable ones.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise GalleryError("the name is not valid UTF-8") from None
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > MAX_NAME or not re.sub(rf"(?<=\S)[{JOINERS}](?=\S)", "", name).isprintable():
        raise GalleryError(f"{quoted(name)} is no name: it needs 1 to {MAX_NAME} printable characters")
    return name
